"""The scopes that an application may be granted, and their descriptions for users (oauth.md 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

#: Scope -> what it lets the application do, as the pages describe it. The documents have the first four; the
#: last two are ours.
SCOPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "profile_read": "see your profile: your full name, location, company and web page, and your primary "
        "e-mail address",
        "profile_write": "change your profile",
        "email_read": "see your e-mail addresses",
        "email_write": "add and remove your e-mail addresses, and make another one primary",
        "repo_read": "see and pull your private repositories, and those that others share with you",
        "repo_write": "pull, push to, change and delete your repositories, and those that others share with "
        "you",
    }
)

#: The scopes of an application that is registered without any (oauth.md 2).
ACCOUNT_SCOPES: Final = ("profile_read", "profile_write", "email_read", "email_write")

#: The scopes of a request that names none (oauth.md 3.1).
DEFAULT_SCOPES: Final = ("profile_read", "email_read")


def parse_scope(text: str) -> tuple[str, ...]:
    """Return the scopes of a ``scope`` parameter in their order, each once. They may be unknown.

    >>> parse_scope("email_read profile_read  email_read")
    ('email_read', 'profile_read')
    """
    return tuple(dict.fromkeys(word for word in text.split(" ") if word))


def in_words(scopes: Iterable[str]) -> list[str]:
    """Return for each scope what it lets an application do, as the pages describe it.

    >>> in_words(["email_read"])
    ['see your e-mail addresses']
    """
    return [SCOPES[scope] for scope in scopes]
