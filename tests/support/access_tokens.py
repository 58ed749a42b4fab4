"""Access tokens for tests of what they are good for: granted as by a user on a page, without the page."""

from __future__ import annotations

from collections.abc import Iterable

from v1registry import Storage
from v1registry.accounts.base import Backend
from v1registry.accounts.service import Accounts
from v1registry.clock import SYSTEM_CLOCK, Clock
from v1registry.oauth.applications import Application, Applications
from v1registry.oauth.grants import Grants, Issued
from v1registry.oauth.scopes import SCOPES
from v1registry.rights import User

REDIRECT_URI = "https://ci.example.org/back"

#: What no application was ever given.
UNKNOWN = "Zq3mB0x8TnWc5LkEr2uYdHs7VgPa1o"


class Granter:
    """Registers applications, and grants them scopes of users, over the storage of a server."""

    def __init__(self, storage: Storage, backend: Backend, clock: Clock = SYSTEM_CLOCK) -> None:
        self._profiles = Accounts(backend)
        self._applications = Applications(storage)
        self.grants = Grants(storage, self._applications, self._profiles, clock=clock)

    def token(
        self,
        username: str,
        scopes: Iterable[str] = tuple(SCOPES),
        *,
        is_trusted: bool = False,
        name: str = "CI",
    ) -> str:
        """Return an access token that a user granted to an application of its own."""
        application, _ = self._applications.add(
            name, [REDIRECT_URI], scopes=tuple(SCOPES), is_trusted=is_trusted
        )
        return self._issued(username, scopes, application).access_token

    def refreshed(self, username: str, scopes: Iterable[str]) -> tuple[str, str, Application]:
        """Return two access tokens of one grant, both good, and the application that has them."""
        application, _ = self._applications.add("CI", [REDIRECT_URI], scopes=tuple(SCOPES))
        first = self._issued(username, scopes, application)
        second = self.grants.refresh(first.refresh_token, application, tuple(scopes))
        return first.access_token, second.access_token, application

    def _issued(self, username: str, scopes: Iterable[str], application: Application) -> Issued:
        account = self._profiles.current(User(username))
        assert account is not None
        code = self.grants.issue_code(
            application,
            account,
            tuple(scopes),
            redirect_uri=REDIRECT_URI,
            is_redirect_given=True,
            challenge=None,
        )
        return self.grants.redeem(code, application)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
