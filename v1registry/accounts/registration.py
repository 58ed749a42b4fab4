"""Accounts as their users see them: registered, changed, activated (hub.md 2 and 8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from .. import errors
from ..access.accounts import CHALLENGE
from ..names import DEFAULT_NAMESPACE, is_email, is_username
from ..rights import User
from .base import AccountExists, Backend, EmailRefused, NotSupported, UnknownUser
from .confirmations import Confirmations

#: Names that nobody registers: the namespace of administrators, and the words after which a path below ``/v1/repositories/``
#: says something else than the name of a repository.
RESERVED_NAMES: Final = frozenset(
    {DEFAULT_NAMESPACE, "auth", "images", "json", "layer", "properties", "tags"}
)

#: In characters. The least is that of Docker's documentation 1.5.0; more than the most is only work for the server.
SHORTEST_PASSWORD: Final = 5
LONGEST_PASSWORD: Final = 1024

#: Longer names are nobody's, in characters: other backends have other grammars, but no longer names.
_LONGEST_NAME: Final = 255


class Accounts:
    """Makes and changes accounts in a backend that lets one. Safe for threads.

    :param backend: the users. Without ``can_create`` nothing can be registered or changed here.
    :param is_open: whether everybody may register.
    :param is_reserved: tells which names nobody registers, besides RESERVED_NAMES.
    :param confirmations: mails the links that new accounts and addresses wait for. Without it accounts are active at once, and added
        addresses stay unconfirmed.

    BackendUnavailable from every method while the backend cannot tell.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        is_open: bool = True,
        is_reserved: Callable[[str], bool] = lambda username: False,
        confirmations: Confirmations | None = None,
    ):
        self._backend = backend
        self._is_open = is_open
        self._is_reserved = is_reserved
        self._confirmations = confirmations

    def register(self, fields: object) -> None:
        """Make the account of a parsed body (hub.md 2.1). Keys besides ``username``, ``password``, ``email`` are ignored.

        AccountTaken for a name that somebody has, before anything else is looked at (decisions.md 10): the login of an
        existing user begins with this call, and may have no address, or another password. RegistrationClosed then, where it is or where
        the backend makes no accounts. InvalidData, InvalidAccountField, and AccountTaken for an address that somebody has.

        With confirmations the account is not active until its link was followed. A link that could not be mailed is
        mailed at the next login.
        """
        values = _object(fields)
        username = values.get("username")
        if isinstance(username, str) and self._is_taken(username):
            raise errors.AccountTaken(username=username)
        if not self.can_register:
            raise errors.RegistrationClosed(CHALLENGE)
        username = self._checked_username(username)
        password, email = checked_password(values.get("password")), checked_email(values.get("email"))
        try:
            self._backend.create(username, password, email, is_active=self._confirmations is None)
        except AccountExists:
            raise errors.AccountTaken(username=username) from None
        self._ask(username, email)

    @property
    def can_register(self) -> bool:
        """Whether people make accounts of their own here."""
        return self._backend.can_create and self._is_open

    @property
    def mails_links(self) -> bool:
        """Whether accounts and addresses are confirmed by mailed links."""
        return self._confirmations is not None

    def problems(self, fields: Mapping[str, object]) -> dict[str, str]:
        """Return what is wrong with each of the fields of :meth:`register`, as far as that can be told without asking the backend."""
        checks = {
            "username": self._checked_username,
            "email": checked_email,
            "password": checked_password,
        }
        found = {}
        for name, check in checks.items():
            try:
                check(fields.get(name))
            except errors.InvalidAccountField as error:
                found[name] = error.public
        return found

    def mail_again(self, username: str, email: str) -> None:
        """Mail another link to an address of the user that waits for its confirmation; to no other one, and not too soon."""
        self._ask(username, email)

    def logged_in_inactive(self, username: str) -> None:
        """Note that somebody logged in with the password of an account that is not active: a link is mailed again."""
        self._ask(username)

    def require_change(self, caller: User | None, username: str) -> None:
        """Return if the caller may change the account (hub.md 2.3): the own one, or as an administrator.

        Unauthorized, Forbidden; for administrators AccountNotFound. AccountNotChangeable where the backend changes none.
        """
        if caller is None:
            raise errors.Unauthorized(CHALLENGE)
        if caller.name != username and not caller.is_administrator:
            raise errors.Forbidden(username=caller.name)
        if caller.name != username and self._find(username) is None:
            raise errors.AccountNotFound(username=username[:_LONGEST_NAME])
        if not self._backend.can_create:
            raise errors.AccountNotChangeable(username=username)

    def change(self, username: str, fields: object) -> None:
        """Change the account as a parsed body says: ``email`` is added, ``password`` replaces the old one.

        Other keys are ignored, but a name cannot change. InvalidData, InvalidAccountField: nothing changed. AccountTaken: the
        address is somebody else's, nothing changed. AccountNotChangeable: another backend of a chain has the account.
        """
        values = _object(fields)
        if values.get("username", username) != username:
            raise errors.InvalidAccountField("Invalid username: the name of an account does not change")
        password = checked_password(values["password"]) if "password" in values else None
        email = checked_email(values["email"]) if "email" in values else None
        try:
            if email is not None:
                self._add_email(username, email)
            if password is not None:
                self._backend.set_password(username, password)
        except (UnknownUser, NotSupported):
            raise errors.AccountNotChangeable(username=username) from None
        if email is not None:
            # a link is bound to the password, so it comes last
            self._ask(username, email)

    # -- inside

    def _is_taken(self, username: str) -> bool:
        if len(username) > _LONGEST_NAME:
            return False
        if self._backend.can_create:
            return self._backend.is_taken(username, "")
        return self._find(username) is not None

    def _find(self, username: str) -> User | None:
        """Return the user, None where the backend knows none or cannot tell without a password."""
        try:
            return self._backend.find(username)
        except NotSupported:
            return None

    def _checked_username(self, username: object) -> str:
        if not isinstance(username, str) or not is_username(username):
            raise errors.InvalidAccountField(
                "Invalid username: 4 to 30 characters are expected, each one of a-z, 0-9 and _"
            )
        if username in RESERVED_NAMES or self._is_reserved(username):
            raise errors.InvalidAccountField(
                "Invalid username: this name is reserved, only an administrator can give it"
            )
        return username

    def _add_email(self, username: str, email: str) -> None:
        try:
            self._backend.add_email(username, email)
        except AccountExists:
            raise errors.AccountTaken(username=username) from None
        except EmailRefused as error:
            raise errors.InvalidAccountField(f"Invalid email: {error}", username=username) from None

    def _ask(self, username: str, email: str | None = None) -> None:
        if self._confirmations is not None:
            self._confirmations.ask(username, email)


def checked_password(password: object) -> str:
    """Return the password if an account may have it. InvalidAccountField."""
    is_right = isinstance(password, str) and SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD
    if not (is_right and _is_unicode(password)):
        raise errors.InvalidAccountField(
            f"Invalid password: {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters are expected"
        )
    return str(password)


def checked_email(email: object) -> str:
    """Return the address if mail can be sent there. InvalidAccountField."""
    if not is_email(email):
        raise errors.InvalidAccountField("Invalid email: an address such as mira@example.org is expected")
    return str(email)


def _object(fields: object) -> dict[str, object]:
    if not isinstance(fields, dict):
        raise errors.InvalidData
    return fields


def _is_unicode(text: object) -> bool:
    """Tell whether a text can be sent at all: JSON has escapes for half a character, and no login could bring that."""
    try:
        str(text).encode()
    except UnicodeEncodeError:
        return False
    return True
