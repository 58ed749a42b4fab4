"""Accounts as the accounts API shows and changes them: profiles and addresses (oauth.md 4)."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any, Final

from .. import errors
from ..names import is_email, is_host, split_url
from ..rights import User
from .base import (
    PROFILE_FIELDS,
    Account,
    AccountExists,
    Backend,
    Email,
    EmailRefused,
    NotSupported,
    UnknownUser,
    bare_account,
)
from .passwords import encoded
from .records import folded

#: In characters.
LONGEST_TEXT: Final = 255
LONGEST_URL: Final = 2000

#: What no line of text holds: controls and ends of lines, half characters, and what turns the direction of the text around it.
_REFUSED_CATEGORIES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_DIRECTIONS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_AN_ADDRESS: Final = "An address such as mira@example.org is expected"
_ONLY_TRUE: Final = "Only true is taken: this cannot be undone"


class Profiles:
    """What is known of accounts, in whatever backend they are, and what their users may change. Safe for threads.

    Of the backends of a chain the first one that knows a name decides, as it does about log-ins.

    BackendUnavailable from every method while the backend cannot tell.
    """

    def __init__(self, backend: Backend):
        self._backend = backend

    def account(self, username: str) -> Account | None:
        """Return all that is known of a user, None where there is none. NotSupported.

        Of one whose backend keeps names alone that is a NamedAccount: the name, an id that is made of it, and 1970 as the time of
        joining.
        """
        try:
            return self._backend.account(username)
        except UnknownUser:
            return None

    def current(self, user: User) -> Account | None:
        """Return what is known now of a user who was known before, None where they are gone.

        A backend that cannot look up users cannot tell; there they are what they were, and are said to be remembered.
        """
        try:
            return self.account(user.name)
        except NotSupported:
            return bare_account(user, is_remembered=True)

    def require_changeable(self, username: str) -> None:
        """Return if the account may be changed here. AccountNotChangeable, AccountNotFound."""
        with self._changing(username) as directory:
            directory.account(username)

    def change(self, username: str, fields: Mapping[str, object]) -> Account:
        """Change those of PROFILE_FIELDS that ``fields`` has, and return the whole account. Other keys are ignored (oauth.md 4.2).

        InvalidFields; AccountNotFound, AccountNotChangeable.
        """
        with self._changing(username) as directory:
            changes, problems = {}, {}
            for name in PROFILE_FIELDS:
                if name in fields:
                    try:
                        changes[name] = _checked_field(name, fields[name])
                    except ValueError as error:
                        problems[name] = [str(error)]
            if problems:
                raise errors.InvalidFields(problems, username=username)
            if changes:
                directory.set_profile(username, changes)
            return directory.account(username)

    def add_email(self, username: str, email: object) -> Email:
        """Add an address, which is neither verified nor, unless it is the first one, primary (oauth.md 4.4). No mail is sent.

        InvalidFields: it is no address, or somebody's already, or one too many; AccountNotFound, AccountNotChangeable.
        """
        with self._changing(username) as directory:
            if not isinstance(email, str) or not is_email(email):
                raise _invalid_email(_AN_ADDRESS)
            try:
                if not directory.add_email(username, email):
                    raise AccountExists
            except AccountExists:
                raise _invalid_email("This address is used already") from None
            except EmailRefused as error:
                raise _invalid_email(str(error)) from None
            return _own_email(directory, username, email)

    def change_email(
        self, username: str, fields: Mapping[str, object], *, may_verify: bool, may_choose: bool = True
    ) -> Email:
        """Do to the address ``email`` what ``verified`` and ``primary`` say: each is True or not there (oauth.md 4.5).

        :param may_verify: whether the caller may vouch for addresses. One that is verified already may be called so by anybody.
        :param may_choose: whether the caller may say which address is the primary one.

        InvalidFields, also for an address that would be primary and is not verified. Forbidden. EmailNotFound;
        AccountNotFound, AccountNotChangeable. Where an address may be verified and not be made primary, it is verified.
        """
        with self._changing(username) as directory:
            email = _checked_flags(fields)
            found = _email_in(directory.account(username), email)
            verifies = "verified" in fields and not (found is not None and found.verified)
            if (verifies and not may_verify) or ("primary" in fields and not may_choose):
                raise errors.Forbidden(
                    "Only trusted applications and administrators say that an address is verified, "
                    "and only its user that it is the primary one",
                    username=username,
                )
            if found is None:
                raise _unknown_email(email)
            if verifies and not directory.confirm_email(username, found.email):
                raise _unknown_email(email)
            if "primary" in fields:
                try:
                    if not directory.set_primary_email(username, found.email):
                        raise _unknown_email(email)
                except EmailRefused as error:
                    raise errors.InvalidFields({"primary": [str(error)]}, username=username) from None
            return _own_email(directory, username, email)

    def remove_email(self, username: str, email: object) -> None:
        """Remove an address (oauth.md 4.6).

        InvalidFields: it is none, or the primary one; EmailNotFound; AccountNotFound, AccountNotChangeable.
        """
        with self._changing(username) as directory:
            if not isinstance(email, str):
                raise _invalid_email(_AN_ADDRESS)
            try:
                is_removed = directory.remove_email(username, email)
            except EmailRefused as error:
                raise _invalid_email(str(error)) from None
            if not is_removed:
                raise _unknown_email(email)

    # -- inside

    @contextmanager
    def _changing(self, username: str) -> Iterator[Backend]:
        """Give the directory in which the account may be changed. AccountNotFound, AccountNotChangeable."""
        if not self._backend.has_profiles:
            raise errors.AccountNotChangeable(username=username)
        try:
            yield self._backend
        except NotSupported:
            raise errors.AccountNotChangeable(username=username) from None
        except UnknownUser:
            with suppress(NotSupported):
                if self.account(username) is None:
                    raise errors.AccountNotFound(username=username) from None
            raise errors.AccountNotChangeable(username=username) from None


# -- what is shown


def profile_of(account: Account, url: str) -> dict[str, Any]:
    """Return an account as ``GET /api/v1.1/users/NAME/`` shows it, with its 12 keys (oauth.md 4.1).

    :param url: of the account itself.
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
    """Return the addresses in the order of their addition, but the primary one first (oauth.md 4.3)."""
    return sorted(account.emails, key=lambda email: not email.primary)


def primary_email(account: Account) -> str:
    """Return the primary address, nothing where the account has none."""
    return next((email.email for email in account.emails if email.primary), "")


def gravatar_url(account: Account) -> str:
    """Return the address of the picture that goes with ``gravatar_email``, or with the primary address (oauth.md 4.1, 4.2)."""
    email = account.gravatar_email or primary_email(account)
    digest = hashlib.md5(encoded(email.strip().lower()), usedforsecurity=False).hexdigest()
    return f"https://secure.gravatar.com/avatar/{digest}.jpg?s=80&r=g&d=mm"


# -- what is taken


def _checked_field(name: str, value: object) -> str:
    """Return the new value of a field of a profile. ValueError says what is expected."""
    if not isinstance(value, str):
        raise ValueError("Text is expected")
    longest = LONGEST_URL if name == "profile_url" else LONGEST_TEXT
    if len(value) > longest:
        raise ValueError(f"{longest} characters at most are expected, not {len(value)}")
    if any(unicodedata.category(letter) in _REFUSED_CATEGORIES or letter in _DIRECTIONS for letter in value):
        raise ValueError("One line of text is expected, without control characters")
    if name == "profile_url" and value and not _is_web_url(value):
        raise ValueError("A URL such as https://mira.example.org/ is expected, or nothing")
    if name == "gravatar_email" and value and not is_email(value):
        raise ValueError(f"{_AN_ADDRESS}, or nothing")
    return value


def _is_web_url(text: str) -> bool:
    """Tell whether a text without control characters is an http or https URL, without a name and password in it."""
    if any(letter.isspace() or letter in '<>"\\^`{|}' for letter in text):
        return False
    parts = split_url(text)
    if parts is None:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and is_host(parts.netloc)


def _checked_flags(fields: Mapping[str, object]) -> str:
    """Return the address that is to be changed, and see that each flag is True or not there. InvalidFields."""
    problems = {}
    email = fields.get("email")
    if not isinstance(email, str):
        problems["email"] = [_AN_ADDRESS]
    flags = [name for name in ("verified", "primary") if name in fields]
    problems |= {name: [_ONLY_TRUE] for name in flags if fields[name] is not True}
    if not flags:
        problems |= {name: ["true is expected here, there, or both"] for name in ("verified", "primary")}
    if problems:
        raise errors.InvalidFields(problems)
    return str(email)


def _email_in(account: Account, email: str) -> Email | None:
    return next((own for own in account.emails if folded(own.email) == folded(email)), None)


def _own_email(directory: Backend, username: str, email: str) -> Email:
    found = _email_in(directory.account(username), email)
    if found is None:
        raise _unknown_email(email)
    return found


def _unknown_email(email: str) -> errors.RegistryError:
    """Return the failure of an address that is not the account's: what is no address at all is malformed."""
    return errors.EmailNotFound() if is_email(email) else _invalid_email(_AN_ADDRESS)


def _invalid_email(problem: str) -> errors.InvalidFields:
    return errors.InvalidFields({"email": [problem]})


def state_of(account: Account) -> bytes:
    """Return what another password, and a later account of the same name, change: to be signed, and not to be stored.

    In a mere hash of it an old kind of hash could be guessed.
    """
    return encoded(f"{account.id} {account.password_mark}")
