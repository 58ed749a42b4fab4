"""The failures of an engine: a status, and the text that clients show to people.

The texts are those of docker 20.10 (remote.md 1.3).
"""

from __future__ import annotations


class EngineError(Exception):
    """The engine rejects a request, or fails in it.

    :param message: for ``{"message": …}``.
    """

    status = 500

    def __init__(self, message: str):
        super().__init__(message)
        self.message = message

    def text(self, version: tuple[int, int]) -> str:
        """Return the message as a release writes it.

        :param version: the highest one of the release.
        """
        return self.message


class InvalidParameter(EngineError):
    """A parameter or the body is invalid."""

    status = 400


class InvalidFilter(InvalidParameter):
    """A filter is unknown, or has an invalid value."""

    def text(self, version: tuple[int, int]) -> str:
        """Return the message, which began with a large letter before release 23."""
        return self.message if version >= (1, 42) else f"I{self.message[1:]}"


class Unauthorized(EngineError):
    """A registry rejects the credentials."""

    status = 401


class NoSuchObject(EngineError):
    """The image, container, network, volume or exec does not exist."""

    status = 404


class ObjectConflict(EngineError):
    """The state of the object does not allow the request."""

    status = 409


class NotModified(EngineError):
    """The object is in the requested state already. The answer has no body."""

    status = 304


class Refused(EngineError):
    """The engine does not allow the request, or a registry rejected it."""

    status = 403


class LogsNotKept(EngineError):
    """The logs of the container are not kept."""

    status = 501


class NotInASwarm(EngineError):
    """Only an engine in a swarm does this."""

    status = 503


class NotSimulated(EngineError):
    """The engine has such an endpoint, but the fake does not simulate it."""

    status = 501

    def __init__(self, what: str):
        super().__init__(f"{what} is not simulated by FakeEngine of v1registry_fakes")
