"""The visitor of a page: a user with a session, a user of the surrounding application, or anonymous."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from .. import errors
from ..rights import Rights, User
from ..wsgi.request import Request as AnyRequest
from ..wsgi.request import Services, configured
from .sessions import Session, Sessions

COOKIE: Final = "v1registry_session"

#: Browsers accept a cookie with this prefix only from the host itself, over https. Neither a host of the same
#: domain nor an attacker on the network can set one (RFC 6265bis, 4.1.3.2).
_HOST_PREFIX: Final = "__Host-"

#: A cookie for a path below the root cannot have the prefix above. A cookie with this one was set over https
#: (RFC 6265bis, 4.1.3.1).
_SECURE_PREFIX: Final = "__Secure-"

_FOREIGN_FORM: Final = (
    "This form came from another site. If a proxy hides the host that browsers ask for, set public_url"
)
_NO_COOKIE: Final = "Your browser sent no cookie. Allow cookies for this site, and try again"
_OLD_FORM: Final = "This form has expired, or was made for another user. Check it, and send it again"


@dataclass(frozen=True, kw_only=True)
class VisitorServices(Services):
    """The services that identify the visitor of a page."""

    sessions: Sessions | None  #: None on a server without accounts


Request: TypeAlias = AnyRequest[VisitorServices]


@dataclass
class Visitor:
    """The visitor of a page.

    Forms need a session, also those of anonymous visitors: :meth:`form_token` begins one.
    """

    user: User | None
    rights: Rights | None  #: None on an error page, which does not look for a user
    sessions: Sessions | None = field(repr=False)  #: None on a server without accounts
    session: Session | None = None
    has_session: bool = False  #: whether the user logged in on these pages, and can log out here
    _new: Session | None = field(default=None, init=False, repr=False)
    _is_forgotten: bool = field(default=False, init=False)

    def form_token(self) -> str:
        """Return the token for the forms of this visitor. Begin a session if there is none.

        :raises NotFound: the server has no accounts.
        """
        if self.sessions is None:
            raise errors.NotFound
        if self.session is None:
            self.session = self._new = self.sessions.begin(None)
        return self.sessions.form_token(self.session, self._name)

    def form_problem(self, request: Request, fields: Mapping[str, str]) -> str | None:
        """Return why a form was not made for this visitor, as a message for users; None if it was.

        The token of the form decides. The headers by which browsers report other sites are a second check.

        :raises NotFound: the server has no accounts.
        """
        if self.sessions is None:
            raise errors.NotFound
        if request.origin.is_from_other_site:
            return _FOREIGN_FORM
        if self.session is None:
            return _NO_COOKIE if _cookie_of(request) is None else _OLD_FORM
        is_good = self.sessions.is_form_token(self.session, self._name, fields.get("form_token", ""))
        return None if is_good else _OLD_FORM

    def check_form(self, request: Request, fields: Mapping[str, str]) -> None:
        """Check that a form was made for this visitor, so that other sites cannot send one.

        :raises Forbidden: it was not.
        :raises NotFound: the server has no accounts.
        """
        problem = self.form_problem(request, fields)
        if problem is not None:
            raise errors.Forbidden(problem)

    def log_in(self, user: User) -> None:
        """Begin a session of an authenticated user. Its id is new (no session fixation).

        :raises NotFound: the server has no accounts.
        """
        if self.sessions is None:
            raise errors.NotFound
        self.user, self.has_session = user, True
        self.session = self._new = self.sessions.begin(user)

    def log_out(self) -> None:
        """End the session."""
        if self.session is not None and self.sessions is not None:
            self.sessions.end(self.session)
        self.user, self.session, self._new, self._is_forgotten = None, None, None, True

    def cookie_headers(self, request: Request) -> list[tuple[str, str]]:
        """Return the headers that set, refresh or remove the cookie."""
        if self._is_forgotten:
            return [("Set-Cookie", _cookie(request, "", "Max-Age=0"))]
        if self.sessions is None or self.session is None:
            return []
        new = self._new if self._new is not None else self.sessions.seen(self.session)
        return [] if new is None else [("Set-Cookie", _cookie(request, self.sessions.cookie(new)))]

    @property
    def _name(self) -> str | None:
        return None if self.user is None else self.user.name


def visitor_of(request: Request) -> Visitor:
    """Return the visitor. Precedence: Authorization header, then REMOTE_USER, then session cookie.

    A token gives the rights of its owner, but the visitor stays anonymous. An application must not consent
    for its user, or change the account.

    :raises Unauthorized: the credentials are invalid.
    :raises AccountInactive: the account is not active.
    :raises TooManyAttempts: there were too many failed log-ins.
    :raises Unavailable: a backend does not answer.
    :raises OAuthError: the access token is invalid.
    """
    access, rights = request.services.access, request.rights
    if not access.has_accounts:
        return Visitor(None, rights, None)
    sessions = configured(request.services.sessions)
    session = sessions.read(_cookie_of(request))
    if rights.is_login:
        return Visitor(rights.user, rights, sessions, session)
    is_anonymous = rights.user is None and not rights.has_token
    if is_anonymous and session is not None and session.user is not None:
        request.note_user(session.user.name)
        return Visitor(session.user, access.rights_of(session.user), sessions, session, has_session=True)
    return Visitor(None, rights, sessions, session)


def _cookie_of(request: Request) -> str | None:
    """Return the value of the session cookie, or None.

    Browsers send the cookie of the longest path first (RFC 6265, 5.4), so the first one of that name counts.
    Other cookies are ignored, even if they are malformed.
    """
    wanted = _cookie_name(request)
    for part in (request.headers.get("Cookie") or "").split(";"):
        name, is_pair, value = part.strip().partition("=")
        if is_pair and name == wanted:
            return value
    return None


def _cookie(request: Request, value: str, *attributes: str) -> str:
    parts = [
        f"{_cookie_name(request)}={value}",
        f"Path={_cookie_path(request)}",
        "HttpOnly",
        "SameSite=Lax",
        *attributes,
    ]
    return "; ".join([*parts, "Secure"] if _is_https(request) else parts)


def _cookie_name(request: Request) -> str:
    if not _is_https(request):
        return COOKIE
    return f"{_HOST_PREFIX if _cookie_path(request) == '/' else _SECURE_PREFIX}{COOKIE}"


def _cookie_path(request: Request) -> str:
    return request.origin.mount_path or "/"


def _is_https(request: Request) -> bool:
    return request.origin.is_secure
