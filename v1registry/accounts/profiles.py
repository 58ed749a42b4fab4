"""Accounts as the accounts API shows them (oauth.md 4). Pure functions."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import Any

from .base import Account, Email
from .passwords import encoded


def profile_of(account: Account, url: str) -> dict[str, Any]:
    """Return an account as ``GET /api/v1.1/users/NAME/`` shows it, with its 12 keys (oauth.md 4.1).

    :param url: the URL of the account itself.
    """
    return {
        "id": account.id,
        "username": account.user.name,
        "url": url,
        "date_joined": shown_time(account.date_joined),
        "type": "User",
        "full_name": account.full_name,
        "location": account.location,
        "company": account.company,
        "profile_url": account.profile_url,
        "gravatar_url": gravatar_url(account),
        "email": primary_email(account),
        "is_active": account.user.is_active,
    }


def shown_time(time: datetime) -> str:
    """Return a time as the accounts API shows it: UTC, microseconds, ``Z`` (oauth.md 4.1).

    >>> shown_time(datetime(2014, 5, 3, 8, 15, 30, 250, tzinfo=timezone.utc))
    '2014-05-03T08:15:30.000250Z'
    """
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def emails_of(account: Account) -> list[Email]:
    """Return the addresses in the order of their addition, except that the primary one is first (oauth.md
    4.3).
    """
    return sorted(account.emails, key=lambda email: not email.primary)


def primary_email(account: Account) -> str:
    """Return the primary address, empty if the account has none."""
    return next((email.email for email in account.emails if email.primary), "")


def gravatar_url(account: Account) -> str:
    """Return the URL of the picture for ``gravatar_email``, or for the primary address (oauth.md 4.1 and
    4.2).
    """
    email = account.gravatar_email or primary_email(account)
    digest = hashlib.md5(encoded(email.strip().lower()), usedforsecurity=False).hexdigest()
    return f"https://secure.gravatar.com/avatar/{digest}.jpg?s=80&r=g&d=mm"


def state_of(account: Account) -> bytes:
    """Return what changes with the password, and differs for a later account of the same name.

    It must be signed, and not be stored: from a plain hash of it, passwords of weak hashes could be guessed.
    """
    return encoded(f"{account.id} {account.password_mark}")
