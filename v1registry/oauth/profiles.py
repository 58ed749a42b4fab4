"""Accounts as the accounts API shows them: profiles and addresses (oauth.md 4)."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import datetime, timezone
from typing import Final, Protocol, runtime_checkable

from ..auth.base import Account, Authenticator, LookupNotSupported, UnknownUser, User, UserLookup
from ..auth.chain import DirectoryChain
from ..auth.passwords import encoded

#: Ids are numbers that JavaScript, too, holds without loss.
_ID_LIMIT: Final = 1 << 53

_NEVER: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


@runtime_checkable
class AccountDirectory(Protocol):
    """A backend that knows more of its users than their names; :class:`~v1registry.auth.users.UserStore` is one."""

    def account(self, username: str) -> Account:
        """Return all that is known of a user. UnknownUser, BackendUnavailable."""


class Profiles:
    """What is known of accounts, in whatever backend they are. Safe for threads.

    BackendUnavailable from every method while the backend cannot tell.
    """

    def __init__(self, backend: Authenticator):
        self._backend = backend
        part = backend.directory if isinstance(backend, DirectoryChain) else backend
        self._directory = part if isinstance(part, AccountDirectory) else None

    def account(self, username: str) -> Account | None:
        """Return all that is known of a user, None where there is none. LookupNotSupported.

        Of one whose backend keeps names alone that is the name, an id that is made of it, and 1970 as the time of joining.
        """
        if self._directory is not None:
            with suppress(UnknownUser):
                return self._directory.account(username)
        if not isinstance(self._backend, UserLookup):
            raise LookupNotSupported("The backend cannot look up users")
        user = self._backend.find(username)
        return None if user is None else _account_of(user)

    def current(self, user: User) -> Account | None:
        """Return what is known now of a user who was known before, None where they are gone.

        A backend that cannot look up users cannot tell; there they are what they were.
        """
        try:
            return self.account(user.name)
        except LookupNotSupported:
            return _account_of(user)


def _account_of(user: User) -> Account:
    digest = hashlib.sha256(encoded(user.name)).digest()
    return Account(user, 1 + int.from_bytes(digest[:8], "big") % (_ID_LIMIT - 1), _NEVER)
