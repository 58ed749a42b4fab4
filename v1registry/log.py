"""Log lines with the id of the request to which they belong, and lines that say who did what.

Levels, handlers and formats are configured by the application. Each record gets the attribute
``request_id``, and its message begins with it, so that the plainest format shows it too.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter

#: Proxies may send it. Every answer has it.
REQUEST_ID_HEADER: Final = "X-Request-Id"

#: The value of ``record.request_id`` outside of requests.
NO_REQUEST: Final = "-"

#: The logger of the access log. Its messages have level INFO and no prefix.
ACCESS_LOGGER: Final = "v1registry.requests"

_KEY: Final = "HTTP_" + REQUEST_ID_HEADER.upper().replace("-", "_")
_VALID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

#: What needs no quotes in a line.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:@+-]{1,255}")

#: The longest name of a user in a line, in characters.
_LONGEST_NAME: Final = 255


@dataclass
class RequestContext:
    """What log lines say about the request to which they belong."""

    request_id: str
    address: str = ""  #: of the client; empty if it is unknown
    user: str | None = None  #: the name; None for an anonymous caller, and before the caller is known


_current: ContextVar[RequestContext | None] = ContextVar("v1registry_request", default=None)


class RequestLogger(_Adapter):
    """A logger whose records have the id of the request."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Return message and keywords with the id of the request."""
        context = _current.get()
        request_id = NO_REQUEST if context is None else context.request_id
        extra = {**(kwargs.get("extra") or {}), "request_id": request_id}
        # an id has no percent sign, so the message stays a format
        return (msg if context is None else f"[{request_id}] {msg}"), {**kwargs, "extra": extra}


def get_logger(name: str) -> RequestLogger:
    """Return the logger of a module, as ``logging.getLogger`` does."""
    return RequestLogger(logging.getLogger(name), {})


def request_id_of(environ: Mapping[str, Any]) -> str:
    """Return the id that came with a request; a new one if none came, or an invalid one."""
    sent = environ.get(_KEY)
    if isinstance(sent, str) and _VALID.fullmatch(sent):
        return sent
    return os.urandom(8).hex()


class in_request:  # noqa: N801 (it is used like a function)
    """Give the id to the lines that this thread or task logs within the block.

    A class, because a generator takes four times as long, for each request and each piece of a body.
    """

    __slots__ = ("_context", "_token")

    def __init__(self, context: RequestContext | None):
        self._context = context

    def __enter__(self) -> None:
        self._token = _current.set(self._context)

    def __exit__(self, *exc_info: object) -> None:
        _current.reset(self._token)


def note_user(name: str | None) -> None:
    """Tell the log lines of the current request the user. Without a request, do nothing."""
    context = _current.get()
    if context is not None:
        context.user = name


#: Who did what: failed log-ins, deletions, changed rights.
audit_log: Final = get_logger("v1registry.audit")


def audit(event: str, *arguments: object, level: int = logging.INFO) -> None:
    """Log an event with the user and the address of the current request.

    The record has the attributes ``user`` and ``address``. Outside of requests, for example in a command,
    both are ``-``.

    :param event: what was done, such as ``deleted repository %s``. It contains no password and no token.
    :param arguments: values of the format. Texts that clients send should be formatted by ``%r``.
    """
    context = _current.get() or RequestContext(NO_REQUEST)
    user, address = context.user or NO_REQUEST, context.address or NO_REQUEST
    audit_log.log(
        level,
        f"user=%s address=%s {event}",
        _word(user),
        _word(address),
        *arguments,
        extra={"user": user, "address": address},
    )


def _word(text: str) -> str:
    """Return a text that clients choose as one word: quoted and escaped if it is not plain."""
    return text if _PLAIN.fullmatch(text) else ascii(text[:_LONGEST_NAME])


class RequestBody:
    """A body whose log lines have the id of the request.

    The server reads it after the application returned. It must be made within the request. The id is set for
    each chunk, because a server may read each in a different context.

    :param chunks: the body; it is closed together with this object.
    """

    def __init__(self, chunks: Iterable[bytes]):
        self._chunks = chunks
        self._context = _current.get()

    def __iter__(self) -> Iterator[bytes]:
        with in_request(self._context):
            chunks = iter(self._chunks)
        while True:
            with in_request(self._context):
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    def close(self) -> None:
        """Close the body."""
        close: Callable[[], object] | None = getattr(self._chunks, "close", None)
        if close is not None:
            with in_request(self._context):
                close()
