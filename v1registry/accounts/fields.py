"""The rules for user names, passwords, addresses and the fields of profiles (hub.md 2.1, oauth.md 4.2)."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Final

from .. import errors
from ..names import DEFAULT_NAMESPACE, is_email, is_host, is_username, split_url
from .base import PROFILE_FIELDS

#: Names that cannot be registered: the namespace of administrators, and the words after which a path below
#: ``/v1/repositories/`` does not name a repository.
RESERVED_NAMES: Final = frozenset(
    {DEFAULT_NAMESPACE, "auth", "images", "json", "layer", "properties", "tags"}
)

#: In characters. The minimum is that of Docker's documentation 1.5.0; the maximum limits the work of the
#: server.
SHORTEST_PASSWORD: Final = 5
LONGEST_PASSWORD: Final = 1024

#: In characters. Other backends have other grammars, but no longer names.
LONGEST_NAME: Final = 255

#: Of the fields of a profile, in characters.
LONGEST_TEXT: Final = 255
LONGEST_URL: Final = 2000

#: Not part of one line of text: controls, line ends, surrogates, and what changes the direction of other
#: text.
_REFUSED_CATEGORIES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_DIRECTIONS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

AN_ADDRESS: Final = "Must be an address such as mira@example.org"


# -- registration: one message, which names its field


def checked_username(username: object, is_reserved: Callable[[str], bool]) -> str:
    """Return the name if it can be registered.

    :param is_reserved: returns whether a name is reserved, besides RESERVED_NAMES.
    :raises InvalidAccountField: it cannot.
    """
    if not isinstance(username, str) or not is_username(username):
        raise errors.InvalidAccountField(
            "Invalid username: must be 4 to 30 characters, each one of a-z, 0-9 and _"
        )
    if username in RESERVED_NAMES or is_reserved(username):
        raise errors.InvalidAccountField(
            "Invalid username: this name is reserved, only an administrator can give it"
        )
    return username


def checked_password(password: object) -> str:
    """Return the password if an account may have it.

    :raises InvalidAccountField: it is too short or too long, or not text that a client can send.
    """
    is_right = isinstance(password, str) and SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD
    if not (is_right and _is_unicode(password)):
        raise errors.InvalidAccountField(
            f"Invalid password: must be {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
        )
    return str(password)


def checked_email(email: object) -> str:
    """Return the address if mail can be sent there.

    :raises InvalidAccountField: it is no address.
    """
    if not is_email(email):
        raise errors.InvalidAccountField("Invalid email: must be an address such as mira@example.org")
    return str(email)


def _is_unicode(text: object) -> bool:
    """Return whether a login can send the text; JSON has escapes for lone surrogates, UTF-8 does not."""
    try:
        str(text).encode()
    except UnicodeEncodeError:
        return False
    return True


# -- the accounts API: messages beside their fields


def checked_profile(fields: Mapping[str, object]) -> dict[str, str]:
    """Return the PROFILE_FIELDS that ``fields`` contains. Other keys are ignored (oauth.md 4.2).

    :raises InvalidFields: some of them are invalid.
    """
    checked, problems = {}, {}
    for name in PROFILE_FIELDS:
        if name in fields:
            try:
                checked[name] = _checked_field(name, fields[name])
            except ValueError as error:
                problems[name] = [str(error)]
    if problems:
        raise errors.InvalidFields(problems)
    return checked


def checked_flags(fields: Mapping[str, object]) -> str:
    """Return the address ``email``, whose flags ``verified`` and ``primary`` are each True or missing
    (oauth.md 4.5).

    :raises InvalidFields: there is no address or no flag, or a flag has a different value.
    """
    problems = {}
    email = fields.get("email")
    if not isinstance(email, str):
        problems["email"] = [AN_ADDRESS]
    flags = [name for name in ("verified", "primary") if name in fields]
    problems |= {name: ["Must be true: this cannot be undone"] for name in flags if fields[name] is not True}
    if not flags:
        problems |= {
            name: ["Must be true for one of the two, or for both"] for name in ("verified", "primary")
        }
    if problems:
        raise errors.InvalidFields(problems)
    return str(email)


def invalid_email(problem: str) -> errors.InvalidFields:
    """Return the failure of an address."""
    return errors.InvalidFields({"email": [problem]})


def unknown_email(email: str) -> errors.RegistryError:
    """Return the failure of an address that the account does not have: not found, or invalid if it is no
    address.
    """
    return errors.EmailNotFound() if is_email(email) else invalid_email(AN_ADDRESS)


def _checked_field(name: str, value: object) -> str:
    """Return the new value of a field of a profile.

    :raises ValueError: it is invalid.
    """
    if not isinstance(value, str):
        raise ValueError("Must be text")
    longest = LONGEST_URL if name == "profile_url" else LONGEST_TEXT
    if len(value) > longest:
        raise ValueError(f"Must be at most {longest} characters, not {len(value)}")
    if any(unicodedata.category(letter) in _REFUSED_CATEGORIES or letter in _DIRECTIONS for letter in value):
        raise ValueError("Must be one line of text without control characters")
    if name == "profile_url" and value and not _is_web_url(value):
        raise ValueError("Must be a URL such as https://mira.example.org/, or empty")
    if name == "gravatar_email" and value and not is_email(value):
        raise ValueError(f"{AN_ADDRESS}, or empty")
    return value


def _is_web_url(text: str) -> bool:
    """Return whether a text without control characters is an http or https URL without a name and a
    password.
    """
    if any(letter.isspace() or letter in '<>"\\^`{|}' for letter in text):
        return False
    parts = split_url(text)
    if parts is None:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and is_host(parts.netloc)
