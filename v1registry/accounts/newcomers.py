"""Bounds on registration: how many accounts and mails in an hour, and accounts that are never activated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final, Protocol

from .. import errors
from ..clock import SYSTEM_CLOCK, Clock
from ..names import client_network
from .base import AccountExists
from .rates import Rate
from .records import folded

HOUR_S: Final = 3600.0

_ALL: Final = ""


class LapsingAccounts(Protocol):
    """Accounts of which those give way that were not activated in time."""

    def lapses(self, username: str, joined_before: datetime) -> bool:
        """Return whether the account of a name awaits activation since before a time."""

    def give_way(self, username: str, email: str, joined_before: datetime) -> None:
        """Delete the accounts with the name or the address that await activation since before a time."""


def mailbox_of(email: str) -> str:
    """Return what all addresses of one mailbox have in common.

    >>> mailbox_of("Mira+ci@Example.org"), mailbox_of("+x@example.org")
    ('mira@example.org', '@example.org')
    """
    name, _, domain = folded(email).rpartition("@")
    return f"{name.partition('+')[0]}@{domain}"


class Newcomers:
    """Bounds registrations. Counts are those of this process. Safe for threads.

    :param per_address: how many accounts one client address registers in an hour, and
    :param per_hour: how many are registered in all.
    :param mails_per_address: the same as ``per_address`` if each account is mailed a link; 0 for no mails.
    :param accounts: the accounts that give way; None if they do not.
    :param lapse_s: after how many seconds an account that was not activated gives way.
    """

    def __init__(
        self,
        *,
        per_address: int = 100,
        per_hour: int = 1000,
        mails_per_address: int = 0,
        accounts: LapsingAccounts | None = None,
        lapse_s: int = 259_200,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        most = min(per_address, mails_per_address) if mails_per_address else per_address
        self._by_address = Rate(most, HOUR_S, clock=clock)
        self._all = Rate(per_hour, HOUR_S, clock=clock)
        self._accounts = accounts
        self._lapse = timedelta(seconds=lapse_s)
        self._clock = clock

    @contextmanager
    def admitted(self, address: str) -> Iterator[None]:
        """Count a registration while it happens. It does not count if it ends with AccountExists.

        :param address: of the client; empty if it is unknown.
        :raises TooManyRegistrations: there were too many in the last hour.
        """
        network = client_network(address)
        wait_s = self._by_address.take(network) if network else 0.0
        if wait_s > 0:
            raise errors.TooManyRegistrations(wait_s)
        wait_s = self._all.take(_ALL)
        if wait_s > 0:
            self._by_address.give_back(network)
            raise errors.TooManyRegistrations(wait_s)
        try:
            yield
        except AccountExists:
            self._by_address.give_back(network)
            self._all.give_back(_ALL)
            raise

    def lapses(self, username: str) -> bool:
        """Tell whether the account of a name was not activated in time."""
        return self._accounts is not None and self._accounts.lapses(username, self._clock.now() - self._lapse)

    def make_way(self, username: str, email: str) -> None:
        """Delete the accounts with the name or the address that were not activated in time."""
        if self._accounts is not None:
            self._accounts.give_way(username, email, self._clock.now() - self._lapse)
