"""Accounts kept in any storage: one record for each user, one reservation for each address.

Records are changed by conditional writes, without locks. :mod:`~v1registry.accounts.reservations` says which
user has an address, :mod:`~v1registry.accounts.records` what is stored, and docs/internals.md, section
"Registration", which write decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..clock import SYSTEM_CLOCK, Clock
from ..log import audit, get_logger
from ..reserved_names import reserve
from ..rights import User
from ..storage import records
from ..storage.base import KeyConflict, Storage
from .base import Account, AccountExists, BackendUnavailable, Email, EmailRefused, UnknownUser
from .lapsing import LapsingStore
from .passwords import PasswordMemory, Passwords
from .records import USERS_FOLDER, UserRecord, user_key
from .reservations import Reservations
from .user_records import UNAVAILABLE, UserRecords, available, unknown_user

log = get_logger(__name__)


class UserStore(LapsingStore):
    """Accounts in any storage, with profiles, ids and confirmation by links.

    Safe for threads and, if the storage is, for processes. Each call asks for the etag of the user's record,
    so changes of other processes count at once. Only successful verifications of a password are remembered,
    for the hash that is stored. Names and addresses are any text. Every method raises BackendUnavailable if
    the storage fails, or if a record cannot be parsed.

    :param storage: contains the records, below ``accounts/``.
    :param passwords: makes and verifies the hashes. A hash that was made with other parameters is replaced
        when its user logs in.
    :param remember_s: how long a verified password is remembered, in seconds.
    :param clock: gives ``date_joined``, and the time for which a password is remembered.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        passwords: Passwords | None = None,
        remember_s: float = 300.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._storage = storage
        self._records = UserRecords(storage)
        self._reservations = Reservations(storage, self._lists)
        self._passwords = Passwords() if passwords is None else passwords
        self._memory: PasswordMemory[bool] = PasswordMemory(remember_s, clock=clock)
        self._clock = clock

    @property
    def has_ids(self) -> bool:
        """True: each account has an id."""
        return True

    @property
    def gives_names(self) -> bool:
        """True: names of accounts are in lower case."""
        return True

    # -- who is asking, and what is known

    def authenticate(self, username: str, password: str) -> User | None:
        """Return the user if the password is right; see the base class."""
        if not password:
            return None
        found = self._records.find(username)
        stored = found.record.password if found else ""
        is_right = self._memory.get(
            username, password, stored, lambda: self._verified(username, stored, password)
        )
        return found.user if found and is_right else None

    def find(self, username: str) -> User | None:
        """Return the user, None if there is none."""
        found = self._records.find(username)
        return None if found is None else found.user

    def password_mark(self, username: str) -> str:
        """Return the hash of the user's password, empty if there is no such user."""
        record = self._record(username)
        return "" if record is None else record.password

    def account(self, username: str) -> Account:
        """Return all that is known of a user.

        :raises UnknownUser: there is no such user.
        """
        return self._records.require(username).account

    def users(self) -> Iterator[User]:
        """Yield every user, sorted by name. A record that cannot be parsed is left out and logged."""
        with available():
            found = [
                stored.record.user
                for stored in records.find_all(self._storage, f"{USERS_FOLDER}/", UserRecord)
            ]
        yield from sorted(found, key=lambda user: user.name)

    # -- accounts

    def is_taken(self, username: str, email: str) -> bool:
        """Return whether the name or the address belongs to a user."""
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
        """Create a user, of many simultaneous calls exactly one.

        :raises AccountExists: the name or the address belongs to another account.
        """
        if self.is_taken(username, email):
            raise _taken()
        record = UserRecord.new(
            username,
            self._passwords.hash(password),
            email,
            self._clock.now(),
            is_active=is_active,
            is_administrator=is_administrator,
        )
        with available():
            if email:
                self._reservations.reserve(username, email)
            try:
                records.create(self._storage, user_key(username), record)
            except KeyConflict:
                if email:
                    self._reservations.release(username, email)
                raise _taken() from None
            if email and not self._reservations.settle(username, email):
                self._records.delete(username, lambda found: found.id == record.id)
                raise _taken()
        audit("created account %r%s", username, " of an administrator" if is_administrator else "")
        return record.user

    def set_password(self, username: str, password: str) -> None:
        """Replace the password; see the base class."""
        self._records.require(username)
        self._change(username, password=self._passwords.hash(password))
        audit("changed the password of account %r", username)

    def set_active(self, username: str, is_active: bool) -> None:
        """Activate or disable an account; see the base class."""
        self._change(username, is_active=is_active, awaits_activation=False)
        audit("%s account %r", "activated" if is_active else "disabled", username)

    def set_administrator(self, username: str, is_administrator: bool) -> None:
        """Grant or revoke the rights of an administrator.

        :raises UnknownUser: there is no such user.
        """
        self._change(username, is_administrator=is_administrator)
        audit("made account %r %s", username, "an administrator" if is_administrator else "no administrator")

    def set_groups(self, username: str, groups: Iterable[str]) -> None:
        """Replace the user's groups. Each is a namespace that its members may write, and that cannot be
        registered.

        :raises UnknownUser: there is no such user.
        """
        kept = tuple(sorted(set(groups)))
        with available():
            for group in kept:
                reserve(self._storage, group)
        self._change(username, groups=kept)
        audit("set the groups of account %r to %r", username, kept)

    def delete(self, username: str) -> None:
        """Delete a user. The name and the addresses are free afterwards.

        :raises UnknownUser: there is no such user.
        """
        if not self._remove(username, lambda found: True):
            raise unknown_user()

    # -- addresses and profiles

    def emails(self, username: str) -> tuple[Email, ...]:
        """Return the user's addresses in the order of their addition.

        :raises UnknownUser: there is no such user.
        """
        return self._records.require(username).record.emails

    def add_email(self, username: str, email: str) -> bool:
        """Add an unconfirmed address; see the base class."""
        record = self._records.require(username).record
        if record.lists(email) and self._owner(email) == username:
            return False
        # raises EmailRefused before anything is reserved
        record.with_email(email)
        with available():
            self._reservations.reserve(username, email)
            try:
                before = self._records.update(username, lambda record: record.with_email(email))
            except (UnknownUser, EmailRefused):
                self._reservations.release(username, email)
                raise
            if not self._reservations.settle(username, email):
                self._records.update(username, lambda record: record.without_added_email(email))
                raise _taken()
        return not before.lists(email)

    def confirm_email(self, username: str, email: str) -> bool:
        """Mark an address as confirmed; see the base class."""
        return self._change_own_email(username, email, UserRecord.with_confirmed_email)

    def set_primary_email(self, username: str, email: str) -> bool:
        """Make an address the primary one; see the base class."""
        return self._change_own_email(username, email, UserRecord.with_primary_email)

    def remove_email(self, username: str, email: str) -> bool:
        """Remove an address other than the primary one; see the base class.

        A killed process may leave an address in the record whose reservation another user took over. It can
        be removed too.
        """
        is_removed = self._records.update(username, lambda record: record.without_email(email)).lists(email)
        if is_removed:
            with available():
                self._reservations.release(username, email)
        return is_removed

    def set_profile(self, username: str, fields: Mapping[str, str]) -> None:
        """Replace the given fields of the profile; see the base class."""
        self._records.update(username, lambda record: record.with_profile(fields))

    # -- confirmation by links

    def unconfirmed(self, username: str) -> dict[str, str]:
        """Return the addresses that a link may confirm, with the state of the account."""
        record = self._record(username)
        return {} if record is None else record.unconfirmed

    def confirm(self, username: str, email: str, state: str) -> bool:
        """Mark an address as confirmed and its account as active, if the state is still this one."""
        if self._owner(email) != username:
            return False

        def confirmed(record: UserRecord | None) -> UserRecord | None:
            if record is None or record.unconfirmed.get(email) != state:
                return None
            return replace(record.with_confirmed_email(email), is_active=True, awaits_activation=False)

        with available():
            old, _ = records.update(self._storage, user_key(username), UserRecord, confirmed)
        return old is not None and old.unconfirmed.get(email) == state

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._storage!r}>"

    # -- passwords

    def _verified(self, username: str, stored: str, password: str) -> bool | None:
        """Return True if ``stored`` is the password's hash, else None. Without a hash the same work is done.

        :raises BackendUnavailable: the hash cannot be verified.
        """
        if not stored:
            self._passwords.waste(password)
            return None
        try:
            if not self._passwords.verify(stored, password):
                return None
        except ValueError as error:
            log.error("%s: %s", user_key(username), error)
            raise BackendUnavailable(UNAVAILABLE) from error
        if self._passwords.is_outdated(stored):
            self._rehash(username, stored, password)
        return True

    def _rehash(self, username: str, stored: str, password: str) -> None:
        """Replace a hash that was made with other parameters, unless the password was changed meanwhile."""
        new = self._passwords.hash(password)

        def rehashed(record: UserRecord) -> UserRecord:
            return replace(record, password=new) if record.password == stored else record

        try:
            self._records.update(username, rehashed)
        except (BackendUnavailable, UnknownUser) as error:
            log.warning("%s keeps an outdated hash: %s", user_key(username), error)
        else:
            self._memory.get(username, password, new, lambda: True)

    # -- records

    def _record(self, username: str) -> UserRecord | None:
        found = self._records.find(username)
        return None if found is None else found.record

    def _remove(self, username: str, is_meant: Callable[[UserRecord], bool]) -> bool:
        """Delete an account and release its addresses; return whether there was one that is meant."""
        deleted = self._records.delete(username, is_meant)
        with available():
            for email in () if deleted is None else deleted.emails:
                self._reservations.release(username, email.email)
        if deleted is not None:
            audit("deleted account %r", username)
        return deleted is not None

    def _change(self, username: str, **fields: Any) -> None:
        self._records.update(username, lambda record: replace(record, **fields))

    # -- the owners of addresses

    def _owner(self, email: str) -> str | None:
        """Return the name of the user who has the address; None if it is free."""
        with available():
            return self._reservations.owner(email)

    def _lists(self, username: str, email: str) -> bool:
        record = self._record(username)
        return record is not None and record.lists(email)

    def _change_own_email(
        self, username: str, email: str, change: Callable[[UserRecord, str], UserRecord]
    ) -> bool:
        """Change one address in the user's record. Return False if the user does not have it.

        :param change: its exceptions pass through.
        :raises UnknownUser: there is no such user.
        """
        if not self._records.require(username).record.lists(email) or self._owner(email) != username:
            return False
        return self._records.update(username, lambda record: change(record, email)).lists(email)


def _taken() -> AccountExists:
    return AccountExists("Username or email already exists")
