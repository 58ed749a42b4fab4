"""The base class of backends, and what a backend knows of a user.

A backend of your own derives from :class:`Backend` and overrides what it can do::

    class Staff(Backend):
        def authenticate(self, username, password):
            return User(username) if staff_database.check(username, password) else None

        def find(self, username):
            return User(username) if staff_database.has(username) else None

The suites of ``v1registry_fakes.contracts`` check it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Final, Protocol

from ..rights import Bearer, User
from .passwords import encoded


@dataclass(frozen=True)
class Email:
    """An address of a user. Exactly one address of a user is the primary one, if there are any."""

    email: str
    verified: bool
    primary: bool


@dataclass(frozen=True)
class Account:
    """All that a backend knows of a user. ``emails`` are in the order in which they were added."""

    user: User
    #: as the accounts API shows it. Rights and grants are recorded by ``user.id``, not by this number
    id: int
    date_joined: datetime  #: aware, UTC, with microseconds
    emails: tuple[Email, ...] = ()
    full_name: str = ""
    location: str = ""
    company: str = ""
    profile_url: str = ""
    gravatar_email: str = ""
    password_mark: str = field(default="", repr=False)  #: see Backend.password_mark


#: The fields of a profile, all of them text (oauth.md 4.2).
PROFILE_FIELDS: Final = ("full_name", "location", "company", "profile_url", "gravatar_email")

#: Numbers of accounts are below this limit: JavaScript represents them exactly.
ID_LIMIT: Final = 1 << 53

#: The time of joining, if the backend does not know it.
_UNKNOWN_TIME: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


class BearerVerifier(Protocol):
    """Verifies access tokens."""

    def verify(self, token: str) -> Bearer | None:
        """Return what the token allows; None if it is unknown, expired or revoked, or its user was deleted.

        The user may be inactive.

        :raises BackendUnavailable: the backend of the user cannot answer now.
        :raises StorageUnavailable: the storage cannot be read now.
        """

    def is_granted(self, username: str, access_id: str) -> bool:
        """Return whether the access token of a Bearer is still valid.

        It is called for each repository token that an application got for an access token. Such a repository
        token is valid no longer than that access token.

        :raises BackendUnavailable: the backend of the user cannot answer now.
        :raises StorageUnavailable: the storage cannot be read now.
        """


class AuthError(Exception):
    """Base of the exceptions of backends. Their texts contain no password."""


class BackendUnavailable(AuthError):
    """The backend cannot answer now (a server is down, a time-out). The request is answered with 503.

    The text may be shown to clients: it contains no host, path or user. The details are in ``__cause__`` and
    in the backend's log.
    """


class NotSupported(AuthError):
    """The backend cannot do this at all, for example look up users by name. Nothing changed."""


class AccountExists(AuthError):
    """The user name or the address belongs to another account; nothing changed."""


class UnknownUser(AuthError):
    """There is no such user; nothing changed."""


class EmailRefused(AuthError):
    """The addresses of an account cannot be changed like this; nothing changed. The text may be shown to
    clients.
    """


class Backend:
    """Base class of backends. Only :meth:`authenticate` or :meth:`user_of_request` has to be overridden.

    What a backend can do is told by its flags, the properties below. A method without its flag raises
    NotSupported. A flag is True if the class overrides the method that its documentation names. Override the
    property if that depends on the configuration.

    A backend is used by many threads at once and, after a fork, by several processes. It opens nothing before
    the first call of a method. Every method may raise BackendUnavailable. Names, passwords and addresses are
    any text: names are checked (hub.md 2.1) before :meth:`create` is called, not before :meth:`authenticate`.
    """

    # -- what it can do

    @property
    def takes_passwords(self) -> bool:
        """Whether users log in with a password: :meth:`authenticate`."""
        return self._overrides("authenticate")

    @property
    def reads_environ(self) -> bool:
        """Whether the surrounding application or server logs users in: :meth:`user_of_request`."""
        return self._overrides("user_of_request")

    @property
    def can_find(self) -> bool:
        """Whether :meth:`find` answers for every name.

        If not, ``find`` may raise NotSupported. A disabled or deleted user then keeps access until the token
        expires, because callers continue with the user of the token.
        """
        return self._overrides("find")

    @property
    def has_ids(self) -> bool:
        """Whether users have an id, :attr:`v1registry.rights.User.id`. OAuth needs it.

        An id is given once: a later account of the same name has a different one. A user whose ``id`` is
        empty in spite of this flag is not allowed to use OAuth. No method tells it, so override it.
        """
        return False

    @property
    def gives_names(self) -> bool:
        """Whether all users get their names here, so that no two names differ in case only.

        The namespaces of all other users go to the first one who logs in (decisions.md 21).
        """
        return False

    @property
    def can_create(self) -> bool:
        """Whether accounts can be created and changed: :meth:`create` and the methods below it."""
        return self._overrides("create")

    @property
    def can_confirm(self) -> bool:
        """Whether mailed links confirm accounts and addresses: :meth:`unconfirmed` and :meth:`confirm`."""
        return self._overrides("confirm")

    @property
    def has_profiles(self) -> bool:
        """Whether users have a profile and several addresses: :meth:`set_profile` and the methods below
        it.
        """
        return self._overrides("set_profile")

    def _overrides(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(Backend, method)

    def problems(self, *, asks_servers: bool = True) -> list[str]:
        """Return what keeps users from logging in now. Without ``asks_servers`` it reads files only."""
        return []

    # -- who is asking

    def authenticate(self, username: str, password: str) -> User | None:
        """Return the user if the password is right; None if it is wrong or the user is unknown.

        It is called for each request with a password, so expensive checks should be remembered
        (:class:`v1registry.accounts.passwords.PasswordMemory`). Both kinds of None take the same time, as far
        as the backend can see to it. An empty password is always wrong. An inactive user is returned, with
        ``is_active`` False.

        :raises BackendUnavailable: the backend cannot answer now.
        """
        return None

    def user_of_request(self, environ: Mapping[str, object]) -> User | None:
        """Return the user whom the surrounding application or server has logged in; None if there is none.

        It is called for each request without an ``Authorization`` header, before the body is read. The WSGI
        environ must not be changed.

        :raises BackendUnavailable: the backend cannot answer now.
        """
        return None

    # -- what is known of users

    def find(self, username: str) -> User | None:
        """Return the user, with the id if the backend has ids; None if there is no such user.

        It is called for the user of each token, so that the tokens of deleted and disabled users end.

        :raises NotSupported: the backend cannot look up this user by name.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        raise self._not_supported("look up users by name")

    def password_mark(self, username: str) -> str:
        """Return a text that changes with the user's password; empty if the backend has none.

        Sessions of the pages end when it changes. It is a secret: sign it, never store or show it.

        :raises BackendUnavailable: the backend cannot answer now.
        """
        return ""

    def account(self, username: str) -> Account:
        """Return all that is known of a user: without profiles the name, a number made of id or name, and
        1970.

        :raises UnknownUser: there is no such user.
        :raises NotSupported: the backend cannot look up this user by name.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        user = self.find(username)
        if user is None:
            raise UnknownUser("There is no such user")
        return bare_account(user, password_mark=self.password_mark(username))

    # -- accounts that are created and changed here: can_create

    def is_taken(self, username: str, email: str) -> bool:
        """Return whether the name or the address belongs to a user. Addresses are compared without case.

        :param email: empty for none.
        :raises NotSupported: the backend creates no accounts.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        raise self._not_supported("create accounts")

    def create(
        self,
        username: str,
        password: str,
        email: str = "",
        *,
        is_active: bool = True,
        is_administrator: bool = False,
    ) -> User:
        """Create a user, of many simultaneous calls for one name or address exactly one.

        :param email: the only address; confirmed if the account is active. Empty for none.
        :raises AccountExists: the name or the address belongs to another account.
        :raises NotSupported: the backend creates no accounts.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        raise self._not_supported("create accounts")

    def set_password(self, username: str, password: str) -> None:
        """Replace the password. The old one is refused from now on, in every process.

        :raises UnknownUser: there is no such user.
        :raises NotSupported: the backend cannot change this account.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        raise self._not_supported("change accounts")

    def set_active(self, username: str, is_active: bool) -> None:
        """Activate or disable an account. No link activates it afterwards.

        :raises UnknownUser: there is no such user.
        :raises NotSupported: the backend cannot change this account.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        raise self._not_supported("change accounts")

    def add_email(self, username: str, email: str) -> bool:
        """Add an unconfirmed address. Return False if the user has it; of simultaneous calls one returns
        True.

        The first address of a user is the primary one.

        :raises UnknownUser: there is no such user.
        :raises AccountExists: the address belongs to another user.
        :raises EmailRefused: the account has too many addresses, or too many unconfirmed ones.
        :raises NotSupported: the backend cannot change this account.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        raise self._not_supported("change accounts")

    def confirm_email(self, username: str, email: str) -> bool:
        """Mark an address as confirmed. Return False if the user does not have it.

        :raises UnknownUser: there is no such user.
        :raises NotSupported: the backend cannot change this account.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        raise self._not_supported("change accounts")

    def users(self) -> Iterator[User]:
        """Yield every user, sorted by name.

        :raises NotSupported: the backend cannot list its users.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        raise self._not_supported("list users")

    # -- accounts and addresses that mailed links confirm: can_confirm

    def unconfirmed(self, username: str) -> Mapping[str, str]:
        """Return address -> state, for each address of the user that a link may confirm.

        An account that was created with ``is_active=False`` awaits activation until ``confirm`` or
        ``set_active`` is called: all its addresses are returned. Of an active account the unconfirmed
        addresses are returned; of a disabled account and of an unknown name, none. The state is any text. It
        differs after a change of the password, and for a later account of the same name, so that older links
        end.

        :raises NotSupported: the backend has no confirmation by links.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        raise self._not_supported("confirm addresses by links")

    def confirm(self, username: str, email: str, state: str) -> bool:
        """Mark the address as confirmed and the account as active, if ``unconfirmed`` still returns this
        state.

        Return whether that was done. Comparison and change are one step: of simultaneous calls one returns
        True, and an account that is disabled meanwhile stays disabled.

        :raises NotSupported: the backend has no confirmation by links.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        raise self._not_supported("confirm addresses by links")

    # -- profiles and several addresses: has_profiles (oauth.md 4)

    def set_profile(self, username: str, fields: Mapping[str, str]) -> None:
        """Replace the PROFILE_FIELDS that ``fields`` contains. Other keys are ignored.

        It is called without fields to find out whether the account can be changed.

        :raises UnknownUser: there is no such user.
        :raises NotSupported: the backend cannot change this account.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        raise self._not_supported("change profiles")

    def set_primary_email(self, username: str, email: str) -> bool:
        """Make an address the primary one. Return False if the user does not have it.

        Exactly one address is the primary one at any time, in all processes.

        :raises UnknownUser: there is no such user.
        :raises EmailRefused: the address is neither confirmed nor the primary one already.
        :raises NotSupported: the backend cannot change this account.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        raise self._not_supported("change profiles")

    def remove_email(self, username: str, email: str) -> bool:
        """Remove an address, so that other users can add it. Return False if the user does not have it.

        :raises UnknownUser: there is no such user.
        :raises EmailRefused: the address is the primary one.
        :raises NotSupported: the backend cannot change this account.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        raise self._not_supported("change profiles")

    def _not_supported(self, what: str) -> NotSupported:
        return NotSupported(f"{type(self).__name__} cannot {what}")


def bare_account(user: User, *, password_mark: str = "") -> Account:
    """Return the account of a user of whom the backend knows the name, perhaps the id, and no more."""
    digest = hashlib.sha256(encoded(user.id or user.name)).digest()
    number = 1 + int.from_bytes(digest[:8], "big") % (ID_LIMIT - 1)
    return Account(user, number, _UNKNOWN_TIME, password_mark=password_mark)
