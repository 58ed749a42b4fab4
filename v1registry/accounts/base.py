"""What a backend of users is, and what it knows of a user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, runtime_checkable

from ..rights import Bearer, User


@dataclass(frozen=True)
class Email:
    """An address of a user. A user who has addresses has exactly one primary one."""

    email: str
    verified: bool
    primary: bool


@dataclass(frozen=True)
class Account:
    """All that is known of a user. ``emails`` are in the order in which they were added."""

    user: User
    id: int  #: of this account for ever; a later account of the same name has another one
    date_joined: datetime  #: aware, UTC, with microseconds
    emails: tuple[Email, ...] = ()
    full_name: str = ""
    location: str = ""
    company: str = ""
    profile_url: str = ""
    gravatar_email: str = ""
    password_mark: str = field(default="", repr=False)  #: see Backend.password_mark


#: The fields of an account that say who somebody is, all of them text (oauth.md 4.2).
PROFILE_FIELDS: Final = ("full_name", "location", "company", "profile_url", "gravatar_email")


class BearerVerifier(Protocol):
    """Knows which access tokens are good."""

    def verify(self, token: str) -> Bearer | None:
        """Return what the token is good for, None where it is unknown, expired or revoked, or its user gone.

        The user may be inactive. BackendUnavailable, StorageUnavailable.
        """

    def is_granted(self, username: str, access_id: str) -> bool:
        """Tell whether the access token of a Bearer is still good. BackendUnavailable, StorageUnavailable.

        It is asked for each repository token that an application got for an access token, and that is good no longer than this.
        """


class AuthError(Exception):
    """Base of what a backend raises on purpose; never holds a password."""


class BackendUnavailable(AuthError):
    """The backend cannot tell now (a server that is down, a time-out); nobody is let in. Answered with 503.

    The text may be shown to clients: it names no host, path or person. What happened in detail is the cause (``__cause__``)
    and stands in the backend's log.
    """


class NotSupported(AuthError):
    """The backend cannot do this at all, for example look up users by name. Nothing changed."""


class AccountExists(AuthError):
    """The user name or the address is taken; nothing changed."""


class UnknownUser(AuthError):
    """There is no such user; nothing changed."""


class EmailRefused(AuthError):
    """The addresses of an account may not be changed like this; nothing changed. The text may be shown to clients."""


class Backend:
    """Base class of backends. What a backend can do is told by its flags; a method without its flag raises NotSupported."""

    @property
    def can_find(self) -> bool:
        """Whether :meth:`find` answers for every name."""
        return type(self).find is not Backend.find

    @property
    def has_ids(self) -> bool:
        """Whether users have an id (:attr:`v1registry.rights.User.id`). OAuth needs it, and ``can_find``."""
        return False

    def find(self, username: str) -> User | None:
        """Return the user, with the id if the backend has ids; None if there is none.

        :raises NotSupported: the backend cannot look up users by name.
        :raises BackendUnavailable: the backend cannot tell now.
        """
        raise NotSupported(f"{type(self).__name__} cannot look up users")

    def password_mark(self, username: str) -> str:
        """Return a text that changes with the user's password. Empty if the backend has none.

        It is a secret: sign it, never store or show it.

        :raises BackendUnavailable: the backend cannot tell now.
        """
        return ""


@runtime_checkable
class Authenticator(Protocol):
    """All that a backend must have. Safe for threads. Nothing is opened before the first call.

    Custom backends are checked by ``v1registry_fakes.contracts.AuthenticatorContract``.
    """

    def authenticate(self, username: str, password: str) -> User | None:
        """Return the user if the password is right, None if it is not or there is no such user.

        Both cases take the same time, as far as the backend can see to it. An empty password is never right. A user that is
        not active is returned, with ``is_active`` false. Whatever text comes as name and password is taken.
        BackendUnavailable.
        """


@runtime_checkable
class RequestAuthenticator(Protocol):
    """A backend that needs no password: the application or server around the registry has logged the user in.

    :class:`v1registry.accounts.backends.environ.Environ` is one. Safe for threads.
    """

    def user(self, environ: Mapping[str, object]) -> User | None:
        """Return whom this WSGI environ names, None where it names nobody (then other backends are asked).

        It is called for every request, before its body is read, and changes nothing in the environ. BackendUnavailable.
        """


@runtime_checkable
class UserLookup(Protocol):
    """What a backend has that can tell of a user without a password."""

    def find(self, username: str) -> User | None:
        """Return the user, None where there is none. BackendUnavailable, NotSupported.

        It is asked for the user of each token, so that the tokens of users who were deleted or disabled end.
        """


@runtime_checkable
class UserDirectory(Authenticator, UserLookup, Protocol):
    """A backend in which users can be made and changed.

    Custom backends are checked by ``v1registry_fakes.contracts.UserDirectoryContract``. What names, passwords and addresses have to
    look like is checked before (hub.md 2.1); a directory takes any.
    """

    def is_taken(self, username: str, email: str) -> bool:
        """Tell whether the name or the address belongs to somebody; addresses are compared without case."""

    def create(
        self,
        username: str,
        password: str,
        email: str = "",
        *,
        is_active: bool = True,
        is_administrator: bool = False,
    ) -> User:
        """Make a user whose only address is ``email``: confirmed if active. AccountExists: of many at once, one succeeds."""

    def set_password(self, username: str, password: str) -> None:
        """Replace the password; the old one is refused from now on, in every process. UnknownUser."""

    def add_email(self, username: str, email: str) -> bool:
        """Add an unconfirmed address; False where it is the user's own already: of many who add it at once, one is told True.

        UnknownUser, AccountExists; EmailRefused where the account has as many as it may have, or as many that are not confirmed.
        """

    def confirm_email(self, username: str, email: str) -> bool:
        """Mark an address as confirmed; False where it is not the user's. UnknownUser."""

    def set_active(self, username: str, is_active: bool) -> None:
        """Activate or disable an account. UnknownUser."""

    def users(self) -> Iterator[User]:
        """Yield every user, by name."""


@runtime_checkable
class ConfirmingDirectory(UserDirectory, Protocol):
    """A directory whose accounts and addresses can be confirmed by links in mails.

    An account that was made with ``is_active=False`` awaits its activation until ``confirm`` or ``set_active`` is called.
    """

    def unconfirmed(self, username: str) -> Mapping[str, str]:
        """Return address -> state, for each of the user's addresses that a link may confirm. BackendUnavailable.

        Of an account that awaits its activation that is every address, of an active one each unconfirmed address, of one that
        ``set_active`` disabled, and of an unknown name, none. The state is any text; it is another one after the password was
        changed, and for a later account of the same name, so that links of before end.
        """

    def confirm(self, username: str, email: str, state: str) -> bool:
        """Mark the address as confirmed and the account as active if ``unconfirmed`` would still say this; else False.

        Nothing can change in between: of many who confirm the same at once, one is told True, and an account that is disabled
        meanwhile stays so. BackendUnavailable.
        """


@runtime_checkable
class AccountLookup(Protocol):
    """What a backend has that knows more of its users than their names."""

    def account(self, username: str) -> Account:
        """Return all that is known of a user. UnknownUser, BackendUnavailable."""


@runtime_checkable
class ProfileDirectory(UserDirectory, AccountLookup, Protocol):
    """A directory whose users have profiles and several addresses (oauth.md 4).

    Whatever happens at once, in however many processes: of the addresses of a user who has some, exactly one is the primary one.
    A user's first address is it until ``set_primary_email`` chooses another.

    Custom backends are checked by ``v1registry_fakes.contracts.ProfileDirectoryContract``. What the fields and addresses have to look
    like is checked before; a directory takes any text.
    """

    def set_profile(self, username: str, fields: Mapping[str, str]) -> None:
        """Replace those of PROFILE_FIELDS that ``fields`` has. UnknownUser, BackendUnavailable."""

    def set_primary_email(self, username: str, email: str) -> bool:
        """Make an address the primary one in place of the one before; False where it is not the user's.

        UnknownUser, BackendUnavailable; EmailRefused for one that is not confirmed, unless it is the primary one already.
        """

    def remove_email(self, username: str, email: str) -> bool:
        """Remove an address, which is free from then on; False where it is not the user's.

        UnknownUser, BackendUnavailable; EmailRefused for the primary one.
        """
