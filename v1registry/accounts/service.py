"""The service over a backend: registration, changes, profiles and addresses (hub.md 2 and 8, oauth.md 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from .. import errors
from ..names import is_email
from ..rights import User
from .base import (
    Account,
    AccountExists,
    Backend,
    Email,
    EmailRefused,
    NotSupported,
    UnknownUser,
    bare_account,
)
from .confirmations import Confirmations
from .fields import (
    AN_ADDRESS,
    LONGEST_NAME,
    checked_email,
    checked_flags,
    checked_password,
    checked_profile,
    checked_username,
    invalid_email,
    unknown_email,
)
from .newcomers import Newcomers
from .records import folded


class Accounts:
    """Registers, shows and changes accounts, in whatever backend they are. Safe for threads.

    Every method raises BackendUnavailable while the backend cannot answer.

    :param backend: the users. Without ``can_create`` nothing can be registered or changed.
    :param is_open: whether registration is open.
    :param is_read_only: whether no account may be created, whatever ``is_open`` says.
    :param is_reserved: returns whether a name cannot be registered, besides RESERVED_NAMES.
    :param confirmations: mails the links that confirm accounts and addresses. If None, accounts are active at
        once, and added addresses stay unconfirmed.
    :param newcomers: bounds registrations; the default bounds if None.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        is_open: bool = True,
        is_read_only: bool = False,
        is_reserved: Callable[[str], bool] = lambda username: False,
        confirmations: Confirmations | None = None,
        newcomers: Newcomers | None = None,
    ):
        self.backend = backend
        self.confirmations = confirmations
        self._is_open = is_open
        self._is_read_only = is_read_only
        self._is_reserved = is_reserved
        self._newcomers = newcomers or Newcomers()

    # -- registration

    @property
    def can_register(self) -> bool:
        """Whether users can register."""
        return self.backend.can_create and self._is_open

    @property
    def mails_links(self) -> bool:
        """Whether accounts and addresses are confirmed by mailed links."""
        return self.confirmations is not None

    def register(self, fields: object, address: str = "") -> None:
        """Create the account of a parsed body (hub.md 2.1). Keys besides ``username``, ``password``,
        ``email`` are ignored.

        With confirmations the account is inactive until its link is followed. A link that could not be mailed
        is mailed at the next login.

        :param address: of the client; empty if it is unknown.
        :raises AccountTaken: the name is taken. This is checked before the other fields (decisions.md 10),
            because the login of an existing user begins with this call, perhaps without an address. Or the
            address is taken.
        :raises ReadOnly: nothing may be changed.
        :raises RegistrationClosed: registration is closed, or the backend creates no accounts.
        :raises InvalidData: the body is no JSON object.
        :raises InvalidAccountField: a field is invalid.
        :raises TooManyRegistrations: too many accounts were registered in the last hour.
        :raises NamesBusy: the reserved names of old data are still being collected.
        """
        values = _object(fields)
        username = values.get("username")
        if isinstance(username, str) and self._is_taken(username) and not self._newcomers.lapses(username):
            raise errors.AccountTaken(username=username)
        if self._is_read_only:
            raise errors.ReadOnly
        if not self.can_register:
            raise errors.RegistrationClosed
        username = checked_username(username, self._is_reserved)
        password, email = checked_password(values.get("password")), checked_email(values.get("email"))
        wait_s = 0.0 if self.confirmations is None else self.confirmations.wait_s(email)
        if wait_s > 0:
            raise errors.TooManyRegistrations(wait_s)
        try:
            with self._newcomers.admitted(address):
                self._newcomers.make_way(username, email)
                self.backend.create(username, password, email, is_active=self.confirmations is None)
        except AccountExists:
            raise errors.AccountTaken(username=username) from None
        self._ask(username, email)

    def problems(self, fields: Mapping[str, object]) -> dict[str, str]:
        """Return field -> problem for the fields of :meth:`register`, as far as no backend has to be
        asked.
        """
        checks: dict[str, Callable[[object], str]] = {
            "username": lambda name: checked_username(name, self._is_reserved),
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
        """Mail a link to an address of the user that awaits confirmation, unless it got one just now."""
        self._ask(username, email)

    def logged_in_inactive(self, username: str) -> None:
        """Mail a link again, because the user of an inactive account logged in with the right password."""
        self._ask(username)

    # -- what the Hub API changes

    def require_change(self, caller: User, username: str) -> None:
        """Return if the caller may change the account (hub.md 2.3): its user, or an administrator.

        :raises Forbidden: the account belongs to another user.
        :raises AccountNotFound: there is no such account; only administrators are told.
        :raises AccountNotChangeable: the backend changes no accounts.
        """
        if caller.name != username and not caller.is_administrator:
            raise errors.Forbidden(username=caller.name)
        if caller.name != username and self._find(username) is None:
            raise errors.AccountNotFound(username=username[:LONGEST_NAME])
        if not self.backend.can_create:
            raise errors.AccountNotChangeable(username=username)

    def change(self, username: str, fields: object) -> None:
        """Change the account as a parsed body says: ``email`` is added, ``password`` replaces the old one.

        Other keys are ignored. All fields are checked before one of them is changed.

        :raises InvalidData: the body is no JSON object.
        :raises InvalidAccountField: a field is invalid, or the name would change.
        :raises AccountTaken: the address belongs to another user.
        :raises AccountNotChangeable: another backend of a chain has the account.
        """
        values = _object(fields)
        if values.get("username", username) != username:
            raise errors.InvalidAccountField("Invalid username: the name of an account cannot be changed")
        password = checked_password(values["password"]) if "password" in values else None
        email = checked_email(values["email"]) if "email" in values else None
        try:
            if email is not None:
                self.backend.add_email(username, email)
            if password is not None:
                self.backend.set_password(username, password)
        except AccountExists:
            raise errors.AccountTaken(username=username) from None
        except EmailRefused as error:
            raise errors.InvalidAccountField(f"Invalid email: {error}", username=username) from None
        except (UnknownUser, NotSupported):
            raise errors.AccountNotChangeable(username=username) from None
        if email is not None:
            # the link depends on the password, so it is made after the change
            self._ask(username, email)

    # -- what is known of accounts

    def account(self, username: str) -> Account | None:
        """Return all that is known of a user; None if there is no such user.

        :raises NotSupported: the backend cannot look up this user by name.
        """
        try:
            return self.backend.account(username)
        except UnknownUser:
            return None

    def current(self, user: User) -> Account | None:
        """Return what is known now of a user who was known before; None if the user was deleted.

        If the backend cannot look up users, the account is made of ``user``.
        """
        try:
            return self.account(user.name)
        except NotSupported:
            return bare_account(user)

    def id_of(self, username: str) -> str:
        """Return the id of an account, by which rights are recorded; empty if it is unknown."""
        user = self._find(username)
        return "" if user is None else user.id

    # -- what the accounts API and the pages change

    def require_changeable(self, username: str) -> None:
        """Return if the profile and the addresses of the account can be changed.

        :raises AccountNotFound: there is no such account.
        :raises AccountNotChangeable: its backend changes no profiles.
        """
        with self._changing(username) as backend:
            # in a chain, only a change says whether the account belongs to the backend that changes accounts
            backend.set_profile(username, {})

    def change_profile(self, username: str, fields: Mapping[str, object]) -> Account:
        """Change the PROFILE_FIELDS that ``fields`` contains, and return the whole account (oauth.md 4.2).

        :raises InvalidFields: some of them are invalid; nothing changed.
        :raises AccountNotFound: there is no such account.
        :raises AccountNotChangeable: its backend changes no profiles.
        """
        with self._changing(username) as backend:
            changes = checked_profile(fields)
            if changes:
                backend.set_profile(username, changes)
            return backend.account(username)

    def add_email(self, username: str, email: object) -> Email:
        """Add an unverified address (oauth.md 4.4). No mail is sent. The first address is the primary one.

        :raises InvalidFields: it is no address, is in use, or is one too many.
        :raises AccountNotFound: there is no such account.
        :raises AccountNotChangeable: its backend changes no profiles.
        """
        with self._changing(username) as backend:
            if not isinstance(email, str) or not is_email(email):
                raise invalid_email(AN_ADDRESS)
            try:
                if not backend.add_email(username, email):
                    raise AccountExists
            except AccountExists:
                raise invalid_email("This address is in use already") from None
            except EmailRefused as error:
                raise invalid_email(str(error)) from None
            return _own_email(backend, username, email)

    def change_email(
        self, username: str, fields: Mapping[str, object], *, may_verify: bool, may_choose: bool = True
    ) -> Email:
        """Verify the address ``email`` or make it the primary one, as ``verified`` and ``primary`` say
        (oauth.md 4.5).

        If an address can be verified and not be made the primary one, it is verified.

        :param may_verify: whether the caller may verify addresses. An address that is verified already may be
            verified by every caller.
        :param may_choose: whether the caller may choose the primary address.
        :raises InvalidFields: a field is invalid, or the address is not verified and would become the primary
            one.
        :raises Forbidden: the caller may not do this.
        :raises EmailNotFound: the user does not have the address.
        :raises AccountNotFound: there is no such account.
        :raises AccountNotChangeable: its backend changes no profiles.
        """
        with self._changing(username) as backend:
            email = checked_flags(fields)
            found = _email_in(backend.account(username), email)
            verifies = "verified" in fields and not (found is not None and found.verified)
            if (verifies and not may_verify) or ("primary" in fields and not may_choose):
                raise errors.Forbidden(
                    "Only trusted applications and administrators can verify an address, "
                    "and only its user can make it the primary one",
                    username=username,
                )
            if found is None or (verifies and not backend.confirm_email(username, found.email)):
                raise unknown_email(email)
            if "primary" in fields:
                _choose(backend, username, found.email)
            return _own_email(backend, username, email)

    def remove_email(self, username: str, email: object) -> None:
        """Remove an address (oauth.md 4.6).

        :raises InvalidFields: it is no address, or it is the primary one.
        :raises EmailNotFound: the user does not have the address.
        :raises AccountNotFound: there is no such account.
        :raises AccountNotChangeable: its backend changes no profiles.
        """
        with self._changing(username) as backend:
            if not isinstance(email, str):
                raise invalid_email(AN_ADDRESS)
            try:
                is_removed = backend.remove_email(username, email)
            except EmailRefused as error:
                raise invalid_email(str(error)) from None
            if not is_removed:
                raise unknown_email(email)

    # -- inside

    def _is_taken(self, username: str) -> bool:
        if len(username) > LONGEST_NAME:
            return False
        if self.backend.can_create:
            return self.backend.is_taken(username, "")
        return self._find(username) is not None

    def _find(self, username: str) -> User | None:
        """Return the user; None if there is none, or if the backend cannot look up users."""
        try:
            return self.backend.find(username)
        except NotSupported:
            return None

    @contextmanager
    def _changing(self, username: str) -> Iterator[Backend]:
        """Give the backend, and turn its exceptions into those of the service.

        :raises AccountNotFound: there is no such account.
        :raises AccountNotChangeable: its backend changes no profiles.
        """
        if not self.backend.has_profiles:
            raise errors.AccountNotChangeable(username=username)
        try:
            yield self.backend
        except NotSupported:
            raise errors.AccountNotChangeable(username=username) from None
        except UnknownUser:
            with suppress(NotSupported):
                if self.account(username) is None:
                    raise errors.AccountNotFound(username=username) from None
            raise errors.AccountNotChangeable(username=username) from None

    def _ask(self, username: str, email: str | None = None) -> None:
        if self.confirmations is not None:
            self.confirmations.ask(username, email)


def _object(fields: object) -> dict[str, object]:
    if not isinstance(fields, dict):
        raise errors.InvalidData
    return fields


def _choose(backend: Backend, username: str, email: str) -> None:
    """Make an address the primary one.

    :raises InvalidFields: it is not verified.
    :raises EmailNotFound: the user does not have it any more.
    """
    try:
        if not backend.set_primary_email(username, email):
            raise unknown_email(email)
    except EmailRefused as error:
        raise errors.InvalidFields({"primary": [str(error)]}, username=username) from None


def _email_in(account: Account, email: str) -> Email | None:
    return next((own for own in account.emails if folded(own.email) == folded(email)), None)


def _own_email(backend: Backend, username: str, email: str) -> Email:
    found = _email_in(backend.account(username), email)
    if found is None:
        raise unknown_email(email)
    return found
