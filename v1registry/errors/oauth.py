"""Failures of the OAuth endpoints and of access tokens."""

from __future__ import annotations

from collections.abc import Mapping

from .accounts import Forbidden, TooManyAttempts, Unauthorized
from .base import NotFound, RegistryError


class InvalidBearer(Unauthorized):
    """The access token is malformed, unknown, expired or revoked (RFC 6750, 3.1)."""

    text = "The access token is not valid"

    def __init__(self) -> None:
        super().__init__('Bearer realm="api", error="invalid_token"')


class InsufficientScope(Forbidden):
    """The access token is valid, but not granted for this action (RFC 6750, 3.1). Nothing changed.

    :param scope: the scope that is needed.
    """

    def __init__(self, scope: str, **context: object):
        self.scope = scope  #: the scope that is needed
        super().__init__(f"The access token was not granted for this; it needs the scope {scope}", **context)

    @property
    def headers(self) -> Mapping[str, str]:
        challenge = f'Bearer realm="api", error="insufficient_scope", scope="{self.scope}"'
        return {"WWW-Authenticate": challenge}


class GrantNotFound(NotFound):
    """The user has no grant of this id, or revoked it."""

    text = "There is no such grant"


class OAuthError(RegistryError):
    """A failure in the form of RFC 6749, 5.2.

    :param code: such as ``invalid_grant``.
    :param public: text for people: what was expected and what came.
    :param status: of the answer.
    :param challenge: the value of ``WWW-Authenticate``; None for no such header.
    """

    def __init__(
        self, code: str, public: str, status: int = 400, challenge: str | None = None, **context: object
    ):
        super().__init__(public, **context)
        self.code = code  #: such as ``invalid_grant``
        self.status = status  # type: ignore[misc]  # the only kind of failure with several statuses
        self.challenge = challenge  #: None for no header ``WWW-Authenticate``

    @property
    def headers(self) -> Mapping[str, str]:
        return {} if self.challenge is None else {"WWW-Authenticate": self.challenge}

    @property
    def document(self) -> Mapping[str, object]:
        return {"error": self.code, "error_description": self.public}


class TooManyClientAttempts(TooManyAttempts):
    """Too many authentications of an OAuth application failed, so its secret was not checked."""

    @property
    def document(self) -> Mapping[str, object]:
        return {"error": "temporarily_unavailable", "error_description": self.public}
