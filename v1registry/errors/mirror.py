"""Failures of a mirror: of the registry that is its origin, and of requests that a mirror refuses."""

from __future__ import annotations

from collections.abc import Mapping

from .base import RegistryError
from .server import Unavailable


class OriginUnavailable(Unavailable):
    """The origin of the mirror does not answer, or answers that it cannot now. Nothing is here to be served.

    :param reason: for the log.
    :param retry_after_s: when the client may try again.
    """

    text = "The registry that is mirrored here does not answer, retry later"

    def __init__(self, reason: str, retry_after_s: int = 30):
        super().__init__(reason=reason)
        self.retry_after_s = retry_after_s  #: when the client may try again, in seconds

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after_s)}


class OriginInvalid(RegistryError):
    """The answer of the origin of the mirror is invalid. Nothing of it was kept."""

    status = 502
    text = "The registry that is mirrored here gave an invalid answer"


class RepositoryMirrored(RegistryError):
    """The repository was fetched from the origin of the mirror, so nothing can be pushed to it."""

    status = 403
    text = (
        "This repository mirrors that of another registry: nothing can be pushed to it; "
        "push to another name, or delete the repository first"
    )
