"""Accounts in a storage that were never activated give way to new ones of the name or the address."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from .base import Backend, EmailRefused, UnknownUser
from .records import UserRecord
from .reservations import Reservations


class LapsingStore(Backend):
    """The part of :class:`~v1registry.accounts.users.UserStore` that deletes accounts which await activation.

    It is a :class:`~v1registry.accounts.newcomers.LapsingAccounts`.
    """

    _reservations: Reservations

    def lapses(self, username: str, joined_before: datetime) -> bool:
        """Return whether the account of a name awaits activation since before a time."""
        record = self._record(username)
        return record is not None and _lapses(record, joined_before)

    def give_way(self, username: str, email: str, joined_before: datetime) -> None:
        """Delete the accounts with the name or the address that await activation since before a time.

        An account that is activated meanwhile stays. If an active account added the address before that time
        and did not confirm it, the account loses the address.
        """
        owner = self._owner(email)
        for name in {username, owner or username}:
            self._remove(name, lambda record: _lapses(record, joined_before))
        record = None if owner is None else self._record(owner)
        if owner is not None and record is not None and email in record.unconfirmed:
            reserved_at = self._reservations.reserved_at(email)
            if reserved_at is not None and reserved_at < joined_before:
                with suppress(EmailRefused, UnknownUser):
                    self.remove_email(owner, email)

    def _record(self, username: str) -> UserRecord | None:
        raise NotImplementedError

    def _owner(self, email: str) -> str | None:
        raise NotImplementedError

    def _remove(self, username: str, is_meant: Callable[[UserRecord], bool]) -> bool:
        raise NotImplementedError


def _lapses(record: UserRecord, joined_before: datetime) -> bool:
    return record.awaits_activation and record.account.date_joined < joined_before
