"""Who looks at a page: logged in here, logged in by the surrounding application, or nobody in particular."""

from __future__ import annotations

from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Final

from .. import errors
from ..auth.access import Access, Rights
from ..auth.base import User
from ..http import Request, is_secure
from ..hub.rights import AccountRights, AccountsAccess
from ..settings import Settings
from .sessions import Session, Sessions

COOKIE: Final = "v1registry_session"


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
    _new: Session | None = None
    _is_forgotten: bool = False

    def form_token(self) -> str:
        """Return what a form of this visitor has to carry."""
        if self.sessions is None:
            raise errors.NotFound
        if self.session is None:
            self.session = self._new = self.sessions.begin(None)
        return self.sessions.form_token(self.session, self._name)

    def check_form(self, token: str | None) -> None:
        """Return if a form was made for this visitor: no other site can send one. Forbidden."""
        if self.sessions is None:
            raise errors.NotFound
        is_good = self.session is not None and self.sessions.is_form_token(
            self.session, self._name, token or ""
        )
        if not is_good:
            raise errors.Forbidden(
                "This form is too old, or cookies are refused: go back, load the page anew, and send it again"
            )

    def log_in(self, user: User) -> None:
        """Begin a session of a user who proved who they are; what was there before is no more."""
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

    Unauthorized, AccountInactive, TooManyAttempts, Unavailable.
    """
    access = request.service(Access)
    if not isinstance(access, AccountsAccess):
        return Visitor(None, request.rights, None)
    sessions, rights = request.service(Sessions), request.rights
    session = sessions.read(_cookie_of(request))
    user = rights.user if isinstance(rights, AccountRights) and rights.is_login else None
    if user is None and session is not None and session.user is not None:
        return Visitor(session.user, access.rights_of(session.user), sessions, session, is_here=True)
    return Visitor(user, rights, sessions, session)


def _cookie_of(request: Request) -> str | None:
    try:
        found = SimpleCookie(request.header("Cookie") or "").get(COOKIE)
    except CookieError:
        return None
    return None if found is None else found.value


def _cookie(request: Request, value: str, *attributes: str) -> str:
    settings = request.service(Settings)
    path = request.environ.get("SCRIPT_NAME", "").rstrip("/") or "/"
    secure = is_secure(request, settings.public_url, settings.trusted_proxies)
    parts = [f"{COOKIE}={value}", f"Path={path}", "HttpOnly", "SameSite=Lax", *attributes]
    return "; ".join([*parts, "Secure"] if secure else parts)
