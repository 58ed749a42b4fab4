"""Who looks at a page: logged in here, logged in by the surrounding application, or nobody in particular."""

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

#: Browsers take a cookie of such a name from this very host alone, over https: no neighbour below the same domain, and nobody on
#: the way, can plant one (RFC 6265bis, 4.1.3.2).
_HOST_PREFIX: Final = "__Host-"

#: Below a path of the host a cookie cannot have that name. One of this name at least comes from somebody who speaks https
#: (RFC 6265bis, 4.1.3.1).
_SECURE_PREFIX: Final = "__Secure-"

_FOREIGN_FORM: Final = "This form came from another site. Behind a proxy that hides the host that browsers ask for, set public_url"
_NO_COOKIE: Final = "The browser sent no cookie: allow cookies for this site, and try again"
_OLD_FORM: Final = (
    "This form was too old, or was made for somebody else: look at it once more, and send it again"
)


@dataclass(frozen=True, kw_only=True)
class VisitorServices(Services):
    """The services that tell who looks at a page."""

    sessions: Sessions | None  #: None on a server without accounts


Request: TypeAlias = AnyRequest[VisitorServices]


@dataclass
class Visitor:
    """Somebody at a page.

    Forms need a session, which may be nobody's: :meth:`form_token` begins one.
    """

    user: User | None
    rights: Rights | None  #: None on the page of a failure, where nobody looked
    sessions: Sessions | None = field(repr=False)  #: None on a server without accounts
    session: Session | None = None
    is_here: bool = False  #: whether the log-in was made on these pages, and can be ended here
    _new: Session | None = field(default=None, init=False, repr=False)
    _is_forgotten: bool = field(default=False, init=False)

    def form_token(self) -> str:
        """Return what a form of this visitor has to carry."""
        if self.sessions is None:
            raise errors.NotFound
        if self.session is None:
            self.session = self._new = self.sessions.begin(None)
        return self.sessions.form_token(self.session, self._name)

    def form_problem(self, request: Request, fields: Mapping[str, str]) -> str | None:
        """Return what is wrong with where a form comes from, in words for people; None for one that was made for this visitor.

        Its token says so. That browsers tell of foreign forms too is a second wall, where they do.
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
        """Return if a form was made for this visitor: no other site can send one. Forbidden."""
        problem = self.form_problem(request, fields)
        if problem is not None:
            raise errors.Forbidden(problem)

    def log_in(self, user: User) -> None:
        """Begin a session of a user who proved who they are, with another id than the one before (no fixation)."""
        if self.sessions is None:
            raise errors.NotFound
        self.user, self.is_here = user, True
        self.session = self._new = self.sessions.begin(user)

    def log_out(self) -> None:
        """End the session."""
        if self.session is not None and self.sessions is not None:
            self.sessions.end(self.session)
        self.user, self.session, self._new, self._is_forgotten = None, None, None, True

    def cookie_headers(self, request: Request) -> list[tuple[str, str]]:
        """Return what the answer has to say of the cookie."""
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
    """Return who looks at a page. Credentials in the request go before the surrounding application's user, he before a session.

    A token of whatever kind is good for what may be seen, but its bearer is nobody here: an application must not consent for its
    user, or change the account. Unauthorized, AccountInactive, TooManyAttempts, Unavailable; of access tokens OAuthError.
    """
    access, rights = request.services.access, request.rights
    if not access.has_accounts:
        return Visitor(None, rights, None)
    sessions = configured(request.services.sessions)
    session = sessions.read(_cookie_of(request))
    if rights.is_login:
        return Visitor(rights.user, rights, sessions, session)
    is_anybody = rights.user is None and not rights.has_token
    if is_anybody and session is not None and session.user is not None:
        return Visitor(session.user, access.rights_of(session.user), sessions, session, is_here=True)
    return Visitor(None, rights, sessions, session)


def _cookie_of(request: Request) -> str | None:
    """Return the value of our cookie, None where there is none.

    Of several the first one: browsers send that of the longest path first (RFC 6265, 5.4). Cookies of others, however they
    look, are passed over.
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
