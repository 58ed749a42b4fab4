"""Failures about who is asking, and about accounts."""

from __future__ import annotations

from collections.abc import Mapping

from .base import BadRequest, NotFound, RegistryError


class Unauthorized(RegistryError):
    """Credentials are missing or wrong.

    :param challenge: the accepted kinds of credentials, for ``WWW-Authenticate``.
    """

    status = 401
    text = "Requires authorization"

    def __init__(self, challenge: str, public: str | None = None, **context: object):
        super().__init__(public, **context)
        self.challenge = challenge  #: the value of ``WWW-Authenticate``

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": self.challenge}


class Forbidden(RegistryError):
    """The caller is known and may not do this. Nothing changed."""

    status = 403
    text = "Access denied: this account has no right to do that"


class AccountInactive(Forbidden):
    """The account is not yet activated, or disabled."""

    text = "Account is not Active"


class AccountTaken(BadRequest):
    """The user name or the address belongs to another account. Nothing changed.

    Engines up to 1.10 compare the text to the letter, and then check the password (moby v1.9.1,
    registry/auth.go).
    """

    text = "Username or email already exists"


class InvalidAccountField(BadRequest):
    """A user name, password or address is missing or invalid. Nothing changed."""


class RegistrationClosed(Unauthorized):
    """Only administrators add accounts. Engines from 0.7.6 on then check the password (clients.md 4)."""

    text = "Registration is closed: ask an administrator for an account"

    def __init__(self, public: str | None = None, **context: object) -> None:
        super().__init__('Basic realm="auth required",Token', public, **context)


class TooManyRegistrations(RegistryError):
    """Too many accounts were registered, or too many mails sent. Nothing changed.

    :param wait_s: time until the next registration, in seconds.
    """

    status = 429

    def __init__(self, wait_s: float):
        self.wait_s = max(1, round(wait_s))  #: in seconds, at least 1
        super().__init__(
            f"Too many accounts were registered or mails sent; try again in {self.wait_s} seconds"
        )

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.wait_s)}


class AccountNotFound(NotFound):
    """The account does not exist. Below ``/v1/`` only administrators get this answer."""

    text = "There is no such account"


class EmailNotFound(NotFound):
    """The account does not have this address. Nothing changed."""

    text = "The account has no such address"


class AccountNotChangeable(Forbidden):
    """The account is kept by a backend that the registry only reads. Nothing changed."""

    text = "This account is kept elsewhere and cannot be changed here"


class InvalidFields(BadRequest):
    """Fields of an account are missing or invalid (oauth.md 4). Nothing changed.

    :param problems: field -> what is wrong with it, in one or more texts.
    """

    def __init__(self, problems: Mapping[str, list[str]], **context: object):
        self.problems = problems  #: field -> texts
        super().__init__(
            "; ".join(f"{field}: {' '.join(texts)}" for field, texts in problems.items()), **context
        )

    @property
    def document(self) -> Mapping[str, object]:
        return self.problems


class TooManyAttempts(RegistryError):
    """Too many logins failed, so the password was not checked.

    The status is 429, not 401: docker reads 401 as a wrong password and asks for a different one. It shows
    the text of any other status (moby v1.9.1, registry/auth.go).

    :param wait_s: time until the next attempt, in seconds.
    """

    status = 429

    def __init__(self, wait_s: float):
        self.wait_s = max(1, round(wait_s))  #: in seconds, at least 1
        super().__init__(f"Too many failed logins; try again in {self.wait_s} seconds")

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.wait_s)}
