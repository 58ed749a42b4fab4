"""Accounts kept in any storage: a record for each user, a reservation for each address.

A record is changed by a conditional write, and nothing is locked meanwhile; of many who create one name at once, one succeeds.
:mod:`~v1registry.accounts.reservations` says how an address comes to be of one user at most, and :mod:`~v1registry.accounts.records` what
is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any, Final

from ..log import get_logger
from ..rights import User
from ..storage.base import ABSENT, KeyConflict, KeyNotFound, Storage, StorageUnavailable, update
from .base import Account, AccountExists, Backend, BackendUnavailable, Email, EmailRefused, UnknownUser
from .passwords import PasswordMemory, Passwords
from .records import (
    USERS_FOLDER,
    BrokenValue,
    account_of,
    add_email,
    confirm_email,
    dumped,
    email_entry,
    emails_of,
    is_listed,
    new_record,
    parsed_record,
    remove_email,
    set_primary_email,
    set_profile,
    take_back_email,
    unconfirmed_of,
    user_key,
    user_of,
)
from .reservations import Reservations

log = get_logger(__name__)

_UNAVAILABLE: Final = "The accounts cannot be read or changed now, try again later"


class UserStore(Backend):
    """A :class:`~v1registry.accounts.base.ConfirmingDirectory` and a :class:`~v1registry.accounts.base.ProfileDirectory` over any storage.

    Safe for threads and, if the storage is, for processes.

    Each question reads the user's record, so what another process changed counts at once. Only that a password was right
    for the stored hash is remembered. Names and addresses are any text; the empty password is never right.

    :param storage: where the records are, below ``accounts/``.
    :param passwords: makes and verifies the hashes. A hash that was made with other parameters is replaced when its user
        logs in.
    :param remember_s: how long a verified password is remembered, in seconds.
    :param now: what tells the time of day, for ``date_joined``.

    BackendUnavailable from every method while the storage cannot be used, or where a record cannot be understood.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        passwords: Passwords | None = None,
        remember_s: float = 300.0,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._storage = storage
        self._reservations = Reservations(storage, self._lists)
        self._passwords = Passwords() if passwords is None else passwords
        self._memory: PasswordMemory[bool] = PasswordMemory(remember_s)
        self._now = now

    # -- the protocol

    def authenticate(self, username: str, password: str) -> User | None:
        """Return the user if the password is right; see the protocol. BackendUnavailable."""
        if not password:
            return None
        record = self._record(username)
        stored = record["password"] if record else ""
        is_right = self._memory.get(
            username, password, stored, lambda: self._verified(username, stored, password)
        )
        return user_of(username, record) if record and is_right else None

    def find(self, username: str) -> User | None:
        """Return the user, None where there is none. BackendUnavailable."""
        record = self._record(username)
        return None if record is None else user_of(username, record)

    @property
    def has_ids(self) -> bool:
        """Always: each account has an id of its own."""
        return True

    def password_mark(self, username: str) -> str:
        """Return the hash of the user's password, empty if there is no such user.

        :raises BackendUnavailable: the storage cannot be used, or the record cannot be understood.
        """
        record = self._record(username)
        return "" if record is None else str(record["password"])

    def is_taken(self, username: str, email: str) -> bool:
        """Tell whether the name or the address belongs to somebody. BackendUnavailable."""
        return self._record(username) is not None or (email != "" and self._owner(email) is not None)

    def create(
        self,
        username: str,
        password: str,
        email: str = "",
        *,
        is_active: bool = True,
        is_administrator: bool = False,
    ) -> User:
        """Make a user; of many at once, one succeeds. AccountExists, BackendUnavailable."""
        if self.is_taken(username, email):
            raise _taken()
        record = new_record(
            username,
            self._passwords.hash(password),
            [email_entry(email, verified=is_active, primary=True)] if email else [],
            self._now(),
            is_active=is_active,
            is_administrator=is_administrator,
        )
        with _available():
            if email:
                self._reservations.reserve(username, email)
            try:
                self._storage.write(user_key(username), dumped(record), expect=ABSENT)
            except KeyConflict:
                if email:
                    self._reservations.release(username, email)
                raise _taken() from None
            if email and not self._reservations.settle(username, email):
                with suppress(KeyNotFound):
                    self._storage.delete(user_key(username))
                raise _taken()
        return user_of(username, record)

    def set_password(self, username: str, password: str) -> None:
        """Replace the password; the old one is refused from now on, everywhere. UnknownUser, BackendUnavailable."""
        self._require(username)
        self._change(username, password=self._passwords.hash(password))

    def add_email(self, username: str, email: str) -> bool:
        """Add an unconfirmed address; see the protocol. UnknownUser, AccountExists, EmailRefused, BackendUnavailable.

        The first address of a user is the primary one.
        """
        record = self._require(username)
        if is_listed(record, email) and self._owner(email) == username:
            return False
        # a full account leaves no reservation behind
        add_email(record, email)
        is_added = False

        def added(record: dict[str, Any]) -> None:
            nonlocal is_added
            is_added = add_email(record, email)

        with _available():
            self._reservations.reserve(username, email)
            try:
                self._update(username, added)
            except (UnknownUser, EmailRefused):
                self._reservations.release(username, email)
                raise
            if not self._reservations.settle(username, email):
                self._update(username, lambda record: take_back_email(record, email))
                raise _taken()
        return is_added

    def confirm_email(self, username: str, email: str) -> bool:
        """Mark an address as confirmed; False where it is not the user's. UnknownUser, BackendUnavailable."""
        return self._change_own_email(username, email, confirm_email)

    def set_primary_email(self, username: str, email: str) -> bool:
        """Make an address the primary one; see the protocol. UnknownUser, EmailRefused, BackendUnavailable."""
        return self._change_own_email(username, email, set_primary_email)

    def remove_email(self, username: str, email: str) -> bool:
        """Remove an address, not the primary one; see the protocol. UnknownUser, EmailRefused, BackendUnavailable."""
        is_removed = self._change_own_email(username, email, remove_email)
        if is_removed:
            with _available():
                self._reservations.release(username, email)
        return is_removed

    def set_profile(self, username: str, fields: Mapping[str, str]) -> None:
        """Replace those fields of the profile that are given. UnknownUser, BackendUnavailable."""
        self._update(username, lambda record: set_profile(record, fields))

    def set_active(self, username: str, is_active: bool) -> None:
        """Activate or disable an account; no link activates it any more. UnknownUser, BackendUnavailable."""
        self._change(username, is_active=is_active, awaits_activation=False)

    def unconfirmed(self, username: str) -> dict[str, str]:
        """Return the addresses that a link may confirm, with the state of the account. BackendUnavailable."""
        record = self._record(username)
        return {} if record is None else unconfirmed_of(record)

    def confirm(self, username: str, email: str, state: str) -> bool:
        """Mark an address as confirmed and its account as active, if the state is still this; else False. BackendUnavailable."""
        if self._owner(email) != username:
            return False
        is_confirmed = False

        def confirmed(value: bytes | None) -> bytes | None:
            nonlocal is_confirmed
            record = None if value is None else parsed_record(value)
            is_confirmed = record is not None and unconfirmed_of(record).get(email) == state
            if record is None or not is_confirmed:
                return None
            record.update(is_active=True, awaits_activation=False)
            for entry in record["emails"]:
                if entry["email"] == email:
                    entry["verified"] = True
            return dumped(record)

        with _available():
            update(self._storage, user_key(username), confirmed)
        return is_confirmed

    def users(self) -> Iterator[User]:
        """Yield every user, by name. A record that cannot be understood is left out, and logged. BackendUnavailable."""
        found = []
        with _available():
            for stat in self._storage.list(f"{USERS_FOLDER}/"):
                try:
                    record = parsed_record(self._storage.read(stat.key)[0])
                except KeyNotFound:
                    continue
                except BrokenValue as error:
                    log.error("%s: %s", stat.key, error)
                    continue
                found.append(user_of(record["username"], record))
        yield from sorted(found, key=lambda user: user.name)

    # -- administration, beyond the protocol

    def account(self, username: str) -> Account:
        """Return all that is known of a user. UnknownUser, BackendUnavailable."""
        return account_of(username, self._require(username))

    def emails(self, username: str) -> tuple[Email, ...]:
        """Return the user's addresses, the oldest first. UnknownUser, BackendUnavailable."""
        return emails_of(self._require(username))

    def set_administrator(self, username: str, is_administrator: bool) -> None:
        """Give or take the rights of an administrator. UnknownUser, BackendUnavailable."""
        self._change(username, is_administrator=is_administrator)

    def set_groups(self, username: str, groups: Iterable[str]) -> None:
        """Replace the user's groups; each is a namespace that its members may write. UnknownUser, BackendUnavailable."""
        self._change(username, groups=sorted(set(groups)))

    def delete(self, username: str) -> None:
        """Remove a user; name and addresses are free again. UnknownUser, BackendUnavailable."""
        record = self._require(username)
        with _available():
            try:
                self._storage.delete(user_key(username))
            except KeyNotFound:
                raise _unknown() from None
            for email in emails_of(record):
                self._reservations.release(username, email.email)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._storage!r}>"

    # -- passwords

    def _verified(self, username: str, stored: str, password: str) -> bool | None:
        """Return True if ``stored`` is the password's hash, else None: after as much work where nothing is stored."""
        if not stored:
            self._passwords.waste(password)
            return None
        try:
            if not self._passwords.verify(stored, password):
                return None
        except ValueError as error:
            log.error("%s: %s", user_key(username), error)
            raise BackendUnavailable(_UNAVAILABLE) from error
        if self._passwords.is_outdated(stored):
            self._rehash(username, stored, password)
        return True

    def _rehash(self, username: str, stored: str, password: str) -> None:
        """Replace a hash that was made with other parameters, unless the password was changed meanwhile."""
        new = self._passwords.hash(password)

        def replace(record: dict[str, Any]) -> None:
            if record["password"] == stored:
                record["password"] = new

        try:
            self._update(username, replace)
        except (BackendUnavailable, UnknownUser) as error:
            log.warning("%s keeps an outdated hash: %s", user_key(username), error)
        else:
            self._memory.get(username, password, new, lambda: True)

    # -- records

    def _record(self, username: str) -> dict[str, Any] | None:
        with _available():
            try:
                return parsed_record(self._storage.read(user_key(username))[0])
            except KeyNotFound:
                return None

    def _require(self, username: str) -> dict[str, Any]:
        record = self._record(username)
        if record is None:
            raise _unknown()
        return record

    def _update(self, username: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change a record in place so that no other change is lost. UnknownUser, BackendUnavailable."""

        def changed(value: bytes | None) -> bytes:
            if value is None:
                raise _unknown()
            record = parsed_record(value)
            change(record)
            return dumped(record)

        with _available():
            update(self._storage, user_key(username), changed)

    def _change(self, username: str, **fields: object) -> None:
        self._update(username, lambda record: record.update(fields))

    # -- addresses

    def _owner(self, email: str) -> str | None:
        """Return the name of the user to whom the address belongs, None where it is free. BackendUnavailable."""
        with _available():
            return self._reservations.owner(email)

    def _lists(self, username: str, email: str) -> bool:
        record = self._record(username)
        return record is not None and is_listed(record, email)

    def _change_own_email(
        self, username: str, email: str, change: Callable[[dict[str, Any], str], bool]
    ) -> bool:
        """Change one address in the user's record; False where it is not the user's. What ``change`` raises passes through."""
        if not is_listed(self._require(username), email) or self._owner(email) != username:
            return False
        is_there = False

        def changed(record: dict[str, Any]) -> None:
            nonlocal is_there
            is_there = change(record, email)

        self._update(username, changed)
        return is_there


@contextmanager
def _available() -> Iterator[None]:
    """Turn what a storage raises, or a value that cannot be understood, into BackendUnavailable."""
    try:
        yield
    except StorageUnavailable as error:
        log.error("the storage of the accounts: %s", error.reason)
        raise BackendUnavailable(_UNAVAILABLE) from error
    except BrokenValue as error:
        log.error("a record of an account or an address is broken: %s", error)
        raise BackendUnavailable(_UNAVAILABLE) from error


def _taken() -> AccountExists:
    return AccountExists("Username or email already exists")


def _unknown() -> UnknownUser:
    return UnknownUser("There is no such user")
