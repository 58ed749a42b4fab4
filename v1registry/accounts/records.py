"""The records of :class:`~v1registry.accounts.users.UserStore`. Pure values.

``accounts/users/<name>`` is the record of a user.
``accounts/addresses/<sha256>`` is the reservation of an address, named by the digest of its folded form.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Final

from ..rights import User
from ..storage.records import quoted
from .base import ID_LIMIT, PROFILE_FIELDS, Account, Email, EmailRefused
from .passwords import encoded

USERS_FOLDER: Final = "accounts/users"
ADDRESSES_FOLDER: Final = "accounts/addresses"

#: The most addresses of an account.
MOST_EMAILS: Final = 50

#: The most unconfirmed addresses of an account. Each may send a mail to a stranger, who cannot use the
#: address meanwhile.
MOST_UNCONFIRMED: Final = 10

#: As the accounts API shows times (oauth.md 4.1): UTC, microseconds, Z.
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


def user_key(username: str) -> str:
    """Return the key of a user's record."""
    return f"{USERS_FOLDER}/{quoted(username)}"


def address_key(email: str) -> str:
    """Return the key of an address's reservation, the same for all spellings of an address."""
    return f"{ADDRESSES_FOLDER}/{hashlib.sha256(encoded(folded(email))).hexdigest()}"


def folded(email: str) -> str:
    """Return what all spellings of an address have in common.

    >>> folded(" Mira@Example.ORG")
    'mira@example.org'
    """
    return email.strip().casefold()


@dataclass(frozen=True)
class UserRecord:
    """The record of a user. Methods that change it return a new record."""

    username: str
    id: int
    password: str  #: the hash
    emails: tuple[Email, ...]  #: in the order of their addition
    is_active: bool
    is_administrator: bool
    groups: tuple[str, ...]
    date_joined: str
    awaits_activation: bool = False  #: by a mailed link; never True if ``is_active``
    full_name: str = ""
    location: str = ""
    company: str = ""
    profile_url: str = ""
    gravatar_email: str = ""

    def __post_init__(self) -> None:
        # a ValueError makes a stored record broken
        _parsed_time(self.date_joined)

    @classmethod
    def new(
        cls,
        username: str,
        password_hash: str,
        email: str,
        date_joined: datetime,
        *,
        is_active: bool,
        is_administrator: bool,
    ) -> UserRecord:
        """Return the record of a new user, with a random id.

        :param email: the primary address; empty for none.
        :param date_joined: aware.
        """
        return cls(
            username=username,
            id=1 + secrets.randbelow(ID_LIMIT - 1),
            password=password_hash,
            emails=(Email(email, verified=is_active, primary=True),) if email else (),
            is_active=is_active,
            is_administrator=is_administrator,
            groups=(),
            date_joined=date_joined.astimezone(timezone.utc).strftime(_TIME_FORMAT),
            awaits_activation=not is_active,
        )

    # -- what it says

    @property
    def user(self) -> User:
        """The user as the other parts of the registry know them."""
        return User(
            name=self.username,
            groups=frozenset(self.groups),
            is_active=self.is_active,
            is_administrator=self.is_administrator,
            id=str(self.id),
        )

    @property
    def account(self) -> Account:
        """All that the record says."""
        return Account(
            user=self.user,
            id=self.id,
            date_joined=_parsed_time(self.date_joined),
            emails=self.emails,
            password_mark=self.password,
            **{name: getattr(self, name) for name in PROFILE_FIELDS},
        )

    @property
    def unconfirmed(self) -> dict[str, str]:
        """Address -> state of the account, for each address that a link may confirm.

        If the account awaits its activation, these are all addresses, because the link activates it too. A
        disabled account has none. The state changes with the password, and differs for a later account with
        the same name.
        """
        if not (self.is_active or self.awaits_activation):
            return {}
        state = hashlib.sha256(encoded(f"{self.id} {self.password}")).hexdigest()
        return {entry.email: state for entry in self.emails if self.awaits_activation or not entry.verified}

    def lists(self, email: str) -> bool:
        """Return whether the record has the address, in any spelling."""
        return any(_is(entry, email) for entry in self.emails)

    # -- changes

    def with_profile(self, fields: Mapping[str, str]) -> UserRecord:
        """Replace the given fields of the profile. Other names than PROFILE_FIELDS are ignored."""
        changes: dict[str, Any] = {name: fields[name] for name in PROFILE_FIELDS if name in fields}
        return replace(self, **changes)

    def with_email(self, email: str) -> UserRecord:
        """Add an unconfirmed address, unless the record has it. The first address is the primary one.

        :raises EmailRefused: the account has too many addresses, or too many unconfirmed ones.
        """
        if self.lists(email):
            return self
        if len(self.emails) >= MOST_EMAILS:
            raise EmailRefused(f"An account has {MOST_EMAILS} addresses at most")
        if sum(not entry.verified for entry in self.emails) >= MOST_UNCONFIRMED:
            raise EmailRefused(f"{MOST_UNCONFIRMED} addresses of this account wait for their confirmation")
        return replace(self, emails=(*self.emails, Email(email, verified=False, primary=not self.emails)))

    def with_confirmed_email(self, email: str) -> UserRecord:
        """Mark an address as confirmed, if the record has it."""
        emails = (replace(entry, verified=entry.verified or _is(entry, email)) for entry in self.emails)
        return replace(self, emails=tuple(emails))

    def with_primary_email(self, email: str) -> UserRecord:
        """Make an address the primary one, if the record has it.

        :raises EmailRefused: the address is not confirmed, and is not the primary one already.
        """
        found = [entry for entry in self.emails if _is(entry, email)]
        if any(not (entry.verified or entry.primary) for entry in found):
            raise EmailRefused("An address has to be verified before it can be the primary one")
        if not found:
            return self
        emails = (replace(entry, primary=entry is found[0]) for entry in self.emails)
        return replace(self, emails=tuple(emails))

    def without_email(self, email: str) -> UserRecord:
        """Remove an address other than the primary one.

        :raises EmailRefused: it is the primary address.
        """
        if any(entry.primary and _is(entry, email) for entry in self.emails):
            raise EmailRefused(
                "The primary address cannot be removed: make a different one the primary address first"
            )
        return self.without_added_email(email)

    def without_added_email(self, email: str) -> UserRecord:
        """Undo :meth:`with_email`. If no address is primary then, the oldest one becomes it."""
        emails = [entry for entry in self.emails if not _is(entry, email)]
        if emails and not any(entry.primary for entry in emails):
            emails[0] = replace(emails[0], primary=True)
        return replace(self, emails=tuple(emails))


@dataclass(frozen=True)
class Reservation:
    """The reservation of an address."""

    username: str | None = None  #: None if it was given up by an older version
    mark: str = ""  #: random, so that each reservation has a different etag

    @classmethod
    def new(cls, username: str) -> Reservation:
        """Return a reservation for a user."""
        return cls(username, secrets.token_hex(8))


def _is(entry: Email, email: str) -> bool:
    return folded(entry.email) == folded(email)


def _parsed_time(text: str) -> datetime:
    return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=timezone.utc)
