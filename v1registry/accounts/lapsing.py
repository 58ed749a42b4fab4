"""Accounts in a storage that were never activated give way to new ones of the name or the address."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from .base import Backend
from .records import UserRecord


class LapsingStore(Backend):
    """The part of :class:`~v1registry.accounts.users.UserStore` that deletes accounts which await activation.

    It is a :class:`~v1registry.accounts.newcomers.LapsingAccounts`.
    """

    def lapses(self, username: str, joined_before: datetime) -> bool:
        """Return whether the account of a name awaits activation since before a time."""
        record = self._record(username)
        return record is not None and _lapses(record, joined_before)

    def give_way(self, username: str, email: str, joined_before: datetime) -> None:
        """Delete the accounts with the name or the address that await activation since before a time.

        An account that is activated meanwhile stays.
        """
        for name in {username, self._owner(email) or username}:
            self._remove(name, lambda record: _lapses(record, joined_before))

    def _record(self, username: str) -> UserRecord | None:
        raise NotImplementedError

    def _owner(self, email: str) -> str | None:
        raise NotImplementedError

    def _remove(self, username: str, is_meant: Callable[[UserRecord], bool]) -> bool:
        raise NotImplementedError


def _lapses(record: UserRecord, joined_before: datetime) -> bool:
    return record.awaits_activation and record.account.date_joined < joined_before
