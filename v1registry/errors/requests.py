"""Failures of requests, before any image or repository is looked at."""

from __future__ import annotations

from collections.abc import Mapping

from .base import BadRequest, NotFound, RegistryError


class PathNotFound(NotFound):
    """No row has this path."""


class MethodNotAllowed(RegistryError):
    """The path exists, but not with this method.

    :param allowed: the methods that it has.
    :param hint: a sentence on the likely cause; empty if there is none.
    """

    status = 405

    def __init__(self, method: str, allowed: tuple[str, ...], hint: str = ""):
        text = f"Method {method[:20]} is not allowed here; allowed: {', '.join(allowed)}"
        super().__init__(f"{text}. {hint}" if hint else text)
        self.allowed = allowed  #: the methods that the path has

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Allow": ", ".join(self.allowed)}


class ReadOnly(RegistryError):
    """The setting ``read_only`` is on. Nothing changed."""

    status = 403
    text = "This registry is read-only: nothing can be pushed, changed or deleted here"


class LengthRequired(RegistryError):
    """The body is chunked and the WSGI server does not decode that. The body was not read."""

    status = 411
    text = (
        "This server does not decode chunked bodies: send a Content-Length, "
        "or run the registry under a server that sets wsgi.input_terminated"
    )


class BodyTooLarge(RegistryError):
    """A document is larger than the configured limit. Nothing changed."""

    status = 413

    def __init__(self, limit_bytes: int):
        super().__init__(f"The body is larger than the {limit_bytes} bytes that are accepted here")


class TooManyValues(RegistryError):
    """A JSON document has too many values, so it was not parsed. Nothing changed."""

    status = 413

    def __init__(self, limit: int):
        super().__init__(f"The JSON has more than the {limit} values that are accepted here")


class BrokenUpload(BadRequest):
    """The body ended before it was complete. Nothing was stored."""

    text = "The body ended before it was complete"


class InvalidJson(BadRequest):
    """The JSON of an image is malformed, empty, or not an object (docker-registry 0.9.1, images.py)."""

    text = "Invalid JSON"


class UndecodableJson(BadRequest):
    """The body of a call to the index is not JSON (docker-registry 0.9.1, index.py)."""

    text = "Error Decoding JSON"


class InvalidData(BadRequest):
    """The body is JSON, but does not have the form that the endpoint accepts."""

    text = "Invalid data"
