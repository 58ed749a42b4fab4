"""Log lines with the id of the request to which they belong.

Levels, handlers and formats are configured by the application. Each record gets the attribute
``request_id``, and its message begins with it, so that the plainest format shows it too.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter

#: Proxies may send it. Every answer has it.
REQUEST_ID_HEADER: Final = "X-Request-Id"

#: The value of ``record.request_id`` outside of requests.
NO_REQUEST: Final = "-"

_KEY: Final = "HTTP_" + REQUEST_ID_HEADER.upper().replace("-", "_")
_VALID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

_current: ContextVar[str | None] = ContextVar("v1registry_request_id", default=None)


class RequestLogger(_Adapter):
    """A logger whose records have the id of the request."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Return message and keywords with the id of the request."""
        request_id = _current.get()
        extra = {**(kwargs.get("extra") or {}), "request_id": request_id or NO_REQUEST}
        # an id has no percent sign, so the message stays a format
        return (f"[{request_id}] {msg}" if request_id else msg), {**kwargs, "extra": extra}


def get_logger(name: str) -> RequestLogger:
    """Return the logger of a module, as ``logging.getLogger`` does."""
    return RequestLogger(logging.getLogger(name), {})


def request_id_of(environ: Mapping[str, Any]) -> str:
    """Return the id that came with a request; a new one if none came, or an invalid one."""
    sent = environ.get(_KEY)
    if isinstance(sent, str) and _VALID.fullmatch(sent):
        return sent
    return secrets.token_hex(8)


@contextmanager
def in_request(request_id: str | None) -> Iterator[None]:
    """Give the id to the lines that this thread or task logs within the block."""
    token = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(token)


class RequestBody:
    """A body whose log lines have the id of the request.

    The server reads it after the application returned. It must be made within the request. The id is set for
    each chunk, because a server may read each in a different context.

    :param chunks: the body; it is closed together with this object.
    """

    def __init__(self, chunks: Iterable[bytes]):
        self._chunks = chunks
        self._request_id = _current.get()

    def __iter__(self) -> Iterator[bytes]:
        with in_request(self._request_id):
            chunks = iter(self._chunks)
        while True:
            with in_request(self._request_id):
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    def close(self) -> None:
        """Close the body."""
        close: Callable[[], object] | None = getattr(self._chunks, "close", None)
        if close is not None:
            with in_request(self._request_id):
                close()
