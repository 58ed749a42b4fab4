"""Failures of the server itself: the storage, an external index, too much work."""

from __future__ import annotations

from collections.abc import Mapping

from .base import RegistryError


class Unavailable(RegistryError):
    """The storage cannot be reached now. The client may repeat the request."""

    status = 503
    text = "The storage is not available, retry later"

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "10"}


class IndexUnavailable(Unavailable):
    """The external index does not answer, so no token can be checked now."""

    text = "The index that checks tokens does not answer, retry later"


class SeveralProcesses(Unavailable):
    """The storage allows one process that writes, and the WSGI server says that it has several."""

    text = (
        "The storage of this registry allows one server process (single_writer), and the server says "
        "that it has several: its administrator must give it one, such as workers = 1 (gunicorn) or "
        "processes = 1 (uWSGI). If it has one and says so nevertheless, as ASGI adapters do, the URL of "
        "the storage must have single_writer=process"
    )


class Busy(Unavailable):
    """The server does as much at once as it may. Clients can cause it at will, so the log has no error."""


class LayerBusy(Busy):
    """Another request reads the layer or one below it, or there is too much work for one request.

    Results are kept.
    """

    text = "The layer is being looked into, retry later"


class ImageBusy(Busy):
    """The image is being made ready for the distribution API, or too many others are. The work goes on."""

    text = "The image is being prepared for this API, retry later"


class DeletionBusy(Busy):
    """The client makes as many costly deletions at once as it may. Nothing changed."""

    text = "Other deletions are running, retry later"


class TooManyBodies(Busy):
    """The process receives as many bodies as it may. The body was not read."""

    text = "Too many requests are being received, retry later"


class DocumentBusy(Busy):
    """Other large JSON documents are being parsed. Nothing changed."""

    text = "Other large documents are being read, retry later"

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


class NamesBusy(Busy):
    """The names that cannot be registered are being collected in old data. Nothing was registered."""

    text = "The names that are reserved are being collected, retry later"


class OutOfSpace(RegistryError):
    """The storage is full. Nothing was stored."""

    status = 507
    text = "The storage has no room left"
