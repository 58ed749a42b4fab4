"""Answers that faults change: status, headers and body, and how the body is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .connection_cuts import cut
from .effects import Body, FaultEffects, decisive_of, status_line

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

#: Statuses of answers that never have a body.
_WITHOUT_BODY: Final = ("204", "304")

#: What the checksums of answers end with.
_DIGEST: Final = re.compile(r"((?:sha256|sha512|tarsum[.+\w]*):)([0-9a-f]{32,128})")

#: The headers of answers that hold a checksum of v1 or a digest of ``/v2/``.
_CHECKSUM_HEADERS: Final = frozenset(
    {"x-docker-checksum", "x-docker-checksum-payload", "x-docker-payload-checksum", "docker-content-digest"}
)

#: Each hexadecimal digit becomes a different one.
_OTHER_DIGITS: Final = str.maketrans("0123456789abcdef", "fedcba9876543210")

_PAGE: Final = """\
<html>
<head><title>{status}</title></head>
<body>
<center><h1>{status}</h1></center>
<hr><center>nginx</center>
</body>
</html>
"""


@dataclass
class Answer:
    """An answer before it is sent."""

    status: str  #: with the phrase
    headers: list[tuple[str, str]]
    chunks: Iterable[bytes]
    close: Callable[[], None] = field(default=lambda: None)

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def set_header(self, name: str, value: str | None) -> None:
        """Replace all headers of a name by one, or remove them if the value is None."""
        self.headers = [(key, old) for key, old in self.headers if key.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))

    @property
    def has_no_body(self) -> bool:
        """Whether the status forbids a body."""
        return self.status.startswith(_WITHOUT_BODY)


def answer_of(application: WSGIApplication, environ: dict[str, Any]) -> Answer:
    """Call an application that starts its answer at once, and return the answer."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        started.append((status, list(headers)))
        return lambda data: None

    chunks = application(environ, start)
    status, headers = started[-1]
    return Answer(status, headers, chunks, getattr(chunks, "close", lambda: None))


def page(status: int) -> Answer:
    """Return the HTML page with which a proxy answers in place of the registry."""
    body = _PAGE.format(status=status_line(status)).encode()
    headers = [("Server", "nginx"), ("Content-Type", "text/html"), ("Content-Length", str(len(body)))]
    return Answer(status_line(status), headers, [body])


def redirection(status: int, location: str) -> Answer:
    """Return the answer that sends a client elsewhere."""
    return Answer(status_line(status), [("Location", location), ("Content-Length", "0")], [])


def change(answer: Answer, effects: Sequence[FaultEffects], *, is_head: bool) -> None:
    """Change status, headers and body as the effects of all faults say, the first one first."""
    decisive = decisive_of(effects)
    if decisive is not None and decisive.status is not None and not decisive.is_failure:
        _replace_status(answer, decisive.status)
    body = next((found.body for found in effects if found.body is not None), None)
    if body is not None and not answer.has_no_body:
        _replace_body(answer, body, is_head=is_head)
    for found in effects:
        _change_headers(answer, found)


def _replace_status(answer: Answer, status: int) -> None:
    answer.status = status_line(status)
    if answer.has_no_body:
        for name in ("Content-Length", "Content-Type"):
            answer.set_header(name, None)
        answer.chunks = []


def _change_headers(answer: Answer, effects: FaultEffects) -> None:
    if effects.wrong_checksum:
        _change_checksums(answer)
    if effects.retry_after_s is not None:
        answer.set_header("Retry-After", str(effects.retry_after_s))
    for name, value in (effects.headers or {}).items():
        answer.set_header(name, value)
    if effects.doubled_header is not None:
        name = effects.doubled_header.lower()
        answer.headers += [(key, value) for key, value in answer.headers if key.lower() == name][:1]


def _replace_body(answer: Answer, body: Body, *, is_head: bool) -> None:
    if isinstance(body, str):
        data = body.encode()
    elif isinstance(body, bytes):
        data = body
    else:
        data = json.dumps(body).encode()
        answer.set_header("Content-Type", "application/json")
    answer.set_header("Content-Length", str(len(data)))
    answer.chunks = [] if is_head else [data]


def _change_checksums(answer: Answer) -> None:
    """Change every digit of the checksums in headers, and in the body if it is JSON with checksums."""
    answer.headers = [
        (name, _wrong(value) if name.lower() in _CHECKSUM_HEADERS else value)
        for name, value in answer.headers
    ]
    if answer.header("X-Docker-Endpoints") is not None:
        # the image list of the Hub API (hub.md 4.1), or an empty answer of it
        answer.chunks = [_wrong(b"".join(answer.chunks).decode()).encode()]


def _wrong(text: str) -> str:
    return _DIGEST.sub(lambda found: found[1] + found[2].translate(_OTHER_DIGITS), text)


# -- how the body is sent


def corrupted(chunks: Iterable[bytes], offset: int) -> Iterator[bytes]:
    """Yield the body with one byte changed.

    :param offset: of the byte; a negative one counts from the end. Other bodies are too short to change.
    """
    if offset < 0:
        whole = b"".join(chunks)
        chunks = [whole]
        offset += len(whole)
    for chunk in chunks:
        if 0 <= offset < len(chunk):
            changed = bytearray(chunk)
            changed[offset] ^= 0xFF
            chunk = bytes(changed)
            offset = -1
        elif offset >= 0:
            offset -= len(chunk)
        yield chunk


def slowed(
    chunks: Iterable[bytes], bytes_per_second: int, wait: Callable[[float], object]
) -> Iterator[bytes]:
    """Yield the body in pieces with pauses.

    :param wait: waits for some seconds.
    """
    size = max(1, bytes_per_second // 10)
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            piece = chunk[start : start + size]
            wait(len(piece) / bytes_per_second)
            yield piece


def cut_off(chunks: Iterable[bytes], limit: int, environ: Mapping[str, Any], reason: str) -> Iterator[bytes]:
    """Yield the first bytes of a body, and cut the connection if there are more.

    :raises ConnectionCut: there are more than ``limit`` bytes.
    """
    left = limit
    for chunk in chunks:
        if len(chunk) > left:
            if left:
                yield chunk[:left]
            raise cut(environ, reason, with_headers=True)
        left -= len(chunk)
        yield chunk


def fitted(chunks: Iterable[bytes], announced: int, environ: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield as many bytes as a changed ``Content-Length`` announces; cut the connection if there are fewer.

    :raises ConnectionCut: the body is too short. Otherwise the client would wait for the rest.
    """
    left = announced
    for chunk in chunks:
        piece = chunk[:left]
        left -= len(piece)
        if piece:
            yield piece
    if left:
        raise cut(environ, "the body is shorter than the changed Content-Length", with_headers=True)


class SentBody:
    """The body of an answer on its way, with the ``close()`` of the application's."""

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None]):
        self._chunks = chunks
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self._close()


def send(answer: Answer, chunks: Iterable[bytes], start_response: StartResponse) -> Iterable[bytes]:
    """Start an answer and return its body."""
    start_response(answer.status, answer.headers)
    return SentBody(iter(chunks), answer.close)
