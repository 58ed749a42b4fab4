"""What :class:`~v1registry.accounts.users.UserStore` stores: keys and values, and the words for them. Pure functions.

``accounts/users/<name>`` is the record of a user, a JSON object; what a newer version adds to it is kept.
``accounts/addresses/<sha256>`` is the reservation of an address, by the sum of its folded form.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final
from urllib.parse import quote_from_bytes

from ..rights import User
from .base import PROFILE_FIELDS, Account, Email, EmailRefused
from .passwords import encoded

USERS_FOLDER: Final = "accounts/users"
ADDRESSES_FOLDER: Final = "accounts/addresses"

#: How many addresses an account has at most.
MOST_EMAILS: Final = 50

#: How many addresses of an account may wait for their confirmation: each of them may be a mail to somebody, and whosever it really is
#: cannot have it meanwhile.
MOST_UNCONFIRMED: Final = 10

#: Longer names of users are given by their sum. A segment of a key has at most 255 characters.
_LONGEST_SEGMENT: Final = 200

#: Ids are numbers that JavaScript, too, holds without loss.
_ID_LIMIT: Final = 1 << 53

#: As the accounts API shows it (oauth.md 4.1): UTC, microseconds, Z.
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"

_TYPES: Final[dict[str, type]] = {
    "username": str,
    "id": int,
    "password": str,
    "emails": list,
    "is_active": bool,
    "is_administrator": bool,
    "awaits_activation": bool,
    "groups": list,
    "date_joined": str,
    **dict.fromkeys(PROFILE_FIELDS, str),
}
#: What a record may lack, and what that means.
_DEFAULTS: Final[dict[str, Any]] = {"awaits_activation": False, **dict.fromkeys(PROFILE_FIELDS, "")}
_EMAIL_TYPES: Final[dict[str, type]] = {"email": str, "verified": bool, "primary": bool}


class BrokenValue(Exception):
    """What is stored is not what this module writes."""


# -- keys


def user_key(username: str) -> str:
    """Return the key of a user's record."""
    return f"{USERS_FOLDER}/{quoted(username)}"


def address_key(email: str) -> str:
    """Return the key of an address's reservation; all spellings of an address have the same one."""
    return f"{ADDRESSES_FOLDER}/{hashlib.sha256(encoded(folded(email))).hexdigest()}"


def folded(email: str) -> str:
    """Return what all spellings of an address have in common.

    >>> folded(" Mira@Example.ORG")
    'mira@example.org'
    """
    return email.strip().casefold()


def quoted(name: str) -> str:
    """Return any text as one segment of a key; no two texts have the same one.

    >>> quoted("mira_k"), quoted("a/b"), quoted(".."), quoted("")
    ('mira_k', 'a%2Fb', '%2E.', '%')
    >>> quoted("é" * 100)
    '%%f42ec48e1e4b487e590e0b3d4e58437c8327efa855d769709f4942a4f73a7eb6'
    """
    segment = quote_from_bytes(encoded(name), safe="")
    if segment.startswith("."):
        segment = f"%2E{segment[1:]}"
    if len(segment) > _LONGEST_SEGMENT:
        # no other segment has two percent signs in a row
        return f"%%{hashlib.sha256(encoded(name)).hexdigest()}"
    return segment or "%"


# -- records


def new_record(
    username: str,
    password_hash: str,
    emails: list[dict[str, Any]],
    date_joined: datetime,
    *,
    is_active: bool,
    is_administrator: bool,
) -> dict[str, Any]:
    """Return the record of a new user, with an id that no other account has."""
    return {
        "username": username,
        "id": 1 + secrets.randbelow(_ID_LIMIT - 1),
        "password": password_hash,
        "emails": emails,
        "is_active": is_active,
        "is_administrator": is_administrator,
        "awaits_activation": not is_active,
        "groups": [],
        "date_joined": date_joined.astimezone(timezone.utc).strftime(_TIME_FORMAT),
        **dict.fromkeys(PROFILE_FIELDS, ""),
    }


def parsed_record(value: bytes) -> dict[str, Any]:
    """Return the record of a user, every field of its type; what newer versions added may be missing. BrokenValue."""
    record = _DEFAULTS | loaded(value)
    check_types(record, _TYPES)
    for entry in record["emails"]:
        check_types(entry, _EMAIL_TYPES)
    if not all(isinstance(group, str) for group in record["groups"]):
        raise BrokenValue("groups are text")
    try:
        _parsed_time(record["date_joined"])
    except ValueError:
        raise BrokenValue("date_joined is no time") from None
    return record


def user_of(username: str, record: dict[str, Any]) -> User:
    """Return the user as the other parts of the registry know them."""
    return User(
        name=username,
        groups=frozenset(record["groups"]),
        is_active=record["is_active"],
        is_administrator=record["is_administrator"],
        id=str(record["id"]),
    )


def account_of(username: str, record: dict[str, Any]) -> Account:
    """Return all that a record says."""
    return Account(
        user=user_of(username, record),
        id=record["id"],
        date_joined=_parsed_time(record["date_joined"]),
        emails=emails_of(record),
        password_mark=record["password"],
        **{name: record[name] for name in PROFILE_FIELDS},
    )


def emails_of(record: dict[str, Any]) -> tuple[Email, ...]:
    """Return the addresses of a record, the oldest first."""
    return tuple(Email(*(entry[name] for name in _EMAIL_TYPES)) for entry in record["emails"])


def unconfirmed_of(record: dict[str, Any]) -> dict[str, str]:
    """Return address -> state of the account, for each address that a link may confirm.

    Of an account that awaits its activation that is every address, as the link activates it too; of a disabled one
    none. The state is another one after a change of the password, and for a later account of the same name.
    """
    awaits = record["awaits_activation"]
    if not (record["is_active"] or awaits):
        return {}
    state = hashlib.sha256(encoded(f"{record['id']} {record['password']}")).hexdigest()
    return {entry["email"]: state for entry in record["emails"] if awaits or not entry["verified"]}


def email_entry(email: str, *, verified: bool, primary: bool) -> dict[str, Any]:
    """Return an address as it stands in a record."""
    return {"email": email, "verified": verified, "primary": primary}


def is_listed(record: dict[str, Any], email: str) -> bool:
    """Tell whether the record lists the address, however it is spelled."""
    return any(_is(entry, email) for entry in record["emails"])


# -- changes of a record in place


def set_profile(record: dict[str, Any], fields: Mapping[str, str]) -> None:
    """Replace the given fields of the profile; others than PROFILE_FIELDS are none."""
    record.update({name: fields[name] for name in PROFILE_FIELDS if name in fields})


def add_email(record: dict[str, Any], email: str) -> bool:
    """List an address: the first one as the primary one; False for one that is listed. EmailRefused for one too many."""
    entries = record["emails"]
    if is_listed(record, email):
        return False
    if len(entries) >= MOST_EMAILS:
        raise EmailRefused(f"An account has {MOST_EMAILS} addresses at most")
    if sum(not entry["verified"] for entry in entries) >= MOST_UNCONFIRMED:
        raise EmailRefused(f"{MOST_UNCONFIRMED} addresses of this account wait for their confirmation")
    entries.append(email_entry(email, verified=False, primary=not entries))
    return True


def take_back_email(record: dict[str, Any], email: str) -> None:
    """Undo :func:`add_email`, whatever was done to the others since."""
    entries = [entry for entry in record["emails"] if not _is(entry, email)]
    if entries and not any(entry["primary"] for entry in entries):
        entries[0]["primary"] = True
    record["emails"] = entries


def confirm_email(record: dict[str, Any], email: str) -> bool:
    """Mark a listed address as confirmed; False for another."""
    for entry in record["emails"]:
        if _is(entry, email):
            entry["verified"] = True
    return is_listed(record, email)


def set_primary_email(record: dict[str, Any], email: str) -> bool:
    """Make a listed address the primary one; False for another. EmailRefused for one that would be, and is not confirmed."""
    found = [entry for entry in record["emails"] if _is(entry, email)]
    if any(not (entry["verified"] or entry["primary"]) for entry in found):
        raise EmailRefused("An address has to be verified before it can be the primary one")
    if found:
        for entry in record["emails"]:
            entry["primary"] = entry is found[0]
    return bool(found)


def remove_email(record: dict[str, Any], email: str) -> bool:
    """Strike a listed address; False for another. EmailRefused for the primary one."""
    found = [entry for entry in record["emails"] if _is(entry, email)]
    if any(entry["primary"] for entry in found):
        raise EmailRefused("The primary address cannot be removed: make another one the primary one before")
    record["emails"] = [entry for entry in record["emails"] if entry not in found]
    return bool(found)


def _is(entry: dict[str, Any], email: str) -> bool:
    return folded(entry["email"]) == folded(email)


# -- reservations


def reservation(username: str | None) -> bytes:
    """Return the value that reserves an address for a user, or for nobody; each time another one, with another etag."""
    return dumped({"username": username, "mark": secrets.token_hex(8)})


def reserved_for(value: bytes) -> str | None:
    """Return the name that a reservation holds, None for one that was given up. BrokenValue."""
    owner = loaded(value).get("username")
    if owner is not None and not isinstance(owner, str):
        raise BrokenValue("a user name is text")
    return owner


# -- JSON


def dumped(value: dict[str, Any]) -> bytes:
    """Return the bytes to store for a JSON object."""
    # not escaped: escapes would join two lone surrogates to one character
    return encoded(json.dumps(value, ensure_ascii=False, indent=1))


def loaded(value: bytes) -> dict[str, Any]:
    """Return the JSON object that was stored. BrokenValue."""
    try:
        found = json.loads(value.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        raise BrokenValue("it is no JSON") from None
    if not isinstance(found, dict):
        raise BrokenValue("it is no JSON object")
    return found


def check_types(value: object, types: Mapping[str, type]) -> None:
    """Return if the value is an object with these fields, each of its type. BrokenValue."""
    if not isinstance(value, dict):
        raise BrokenValue("a JSON object is expected")
    for name, expected in types.items():
        if type(value.get(name)) is not expected:
            raise BrokenValue(f"{name} is expected to be of type {expected.__name__}")


def _parsed_time(text: str) -> datetime:
    return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=timezone.utc)
