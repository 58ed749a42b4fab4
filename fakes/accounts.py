"""What FakeRegistry has for accounts and OAuth: users, applications, and answers to the page of consent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from v1registry.accounts.passwords import Passwords
from v1registry.accounts.users import UserStore
from v1registry.oauth.provider import AuthorizationRefused, UnsafeAuthorization
from v1registry.oauth.scopes import SCOPES
from v1registry.rights import User

from .applications import FakeApplication
from .clock import FakeClock
from .faults.broken_storage import BrokenStorage
from .recording.recorder import Recorder, WatchedRegistry

if TYPE_CHECKING:
    from v1registry.settings import RegistryOptions


class AccountHelpers:
    """The part of FakeRegistry that works on accounts."""

    clock: FakeClock
    _served_storage: BrokenStorage
    _options: RegistryOptions
    _recorder: Recorder[WatchedRegistry]

    def add_user(
        self,
        username: str,
        password: str = "secret",  # noqa: S107  passwords of tests are no secrets
        *,
        email: str = "",
        groups: Iterable[str] = (),
        is_active: bool = True,
        is_administrator: bool = False,
    ) -> User:
        """Add an account, as ``v1registry user add`` does.

        :param groups: namespaces that the user may write, besides the one with the user's name.
        :raises AccountExists: the name or the address belongs to an existing account.
        :raises ValueError: the registry was not made with ``auth="users:"``.
        """
        users = self._users()
        if users is None:
            raise ValueError(
                f"this registry keeps no accounts (auth is {self._options.get('auth', 'open:')!r}): "
                'make it with auth="users:"'
            )
        user = users.create(username, password, email, is_active=is_active, is_administrator=is_administrator)
        if not groups:
            return user
        users.set_groups(username, groups)
        return users.account(username).user

    def add_application(
        self,
        name: str = "Application of a test",
        redirect_uris: Iterable[str] = ("https://application.example.org/back",),
        *,
        client_id: str | None = None,
        description: str = "",
        scopes: Iterable[str] = tuple(SCOPES),
        is_public: bool = False,
        is_trusted: bool = False,
    ) -> FakeApplication:
        """Add an application that may ask users for access, as ``v1registry application add`` does.

        :param scopes: the scopes that it may ask for; all by default.
        :raises ValueError: OAuth is off, because users have no ids; or a value is invalid.
        """
        application, secret = self._application().applications.add(
            name,
            redirect_uris,
            client_id=client_id,
            description=description,
            scopes=scopes,
            is_public=is_public,
            is_trusted=is_trusted,
        )
        return FakeApplication(application.client_id, secret, application.redirect_uris)

    def consent(self, url: str, username: str, *, is_allowed: bool = True) -> str:
        """Answer the page of consent for a user; return the URL to which the browser would be sent.

        :param url: the URL to which the application under test sends its users:
            ``…/api/v1.1/o/authorize/?client_id=…``. The returned URL reports errors, as that of the page
            does.
        :raises ValueError: there is no such user; or OAuth is off, because users have no ids; or the page
            would send the browser nowhere.
        """
        application, user = self._application(), User(username)
        if application.grants.account(username) is None:
            raise ValueError(f"there is no user {username!r}: create it with add_user()")
        provider = application.provider
        try:
            asked = provider.check_authorization(urlsplit(url).query)
            return provider.allow(asked, user) if is_allowed else provider.deny(asked)
        except AuthorizationRefused as refused:
            return refused.location
        except UnsafeAuthorization as error:
            raise ValueError(f"the page would send the browser nowhere: {error.public}") from error

    def _application(self) -> WatchedRegistry:
        application = self._recorder.registry
        if not application.has_oauth:
            raise ValueError(
                f"this registry has no OAuth (auth is {self._options.get('auth', 'open:')!r}): "
                'make it with auth="users:"'
            )
        return application

    def _users(self) -> UserStore | None:
        """Return the accounts in the storage; None if there are none, or users are kept elsewhere."""
        auth = self._options.get("auth", "open:")
        if isinstance(auth, UserStore):
            return auth
        if isinstance(auth, str) and "users:" in [part.strip() for part in auth.split(",")]:
            passwords = Passwords(memory_kib=8, passes=1)
            return UserStore(self._served_storage, passwords=passwords, clock=self.clock)
        return None
