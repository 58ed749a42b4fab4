"""Transcripts of sessions: JSON Lines with one exchange a line, and the bytes of large bodies beside it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

#: Longer bodies are files beside the transcript.
MOST_INLINE_BYTES: Final = 4096

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_NO_TEXT: Final = re.compile(r"[^\t\n\r -~\u00a0-\U0010ffff]")


class TranscriptInvalid(ValueError):
    """A transcript cannot be read; the text names the file, the line and the reason."""


@dataclass(frozen=True)
class TranscriptBody:
    """The body of one side of an exchange."""

    length: int = 0  #: in bytes, without chunk framing, with any content coding
    sha256: str | None = None  #: the digest of these bytes
    content: bytes | Path | None = b""  #: the bytes, or their file; None if only the digest was kept
    transfer: str = "none"  #: ``none``, ``content-length`` or ``chunked``
    is_complete: bool = True  #: False if the transfer broke off
    is_masked: bool = False  #: whether secrets were replaced in it

    def data(self) -> bytes | None:
        """Return the bytes; None if only the digest was kept.

        :raises OSError: the file cannot be read.
        """
        return self.content.read_bytes() if isinstance(self.content, Path) else self.content


@dataclass(frozen=True)
class Exchange:
    """One request of a client and its answer."""

    number: int  #: from 1, in the order of arrival
    method: str
    path: str  #: as sent, with the query
    request_headers: tuple[tuple[str, str], ...]
    request_body: TranscriptBody
    status: int | None  #: None if the connection broke before an answer
    reason: str
    response_headers: tuple[tuple[str, str], ...]
    response_body: TranscriptBody
    connection: int = 1  #: from 1
    version: str = "HTTP/1.1"
    note: str = ""  #: anything unusual

    def request_header(self, name: str) -> str:
        """Return the value of a header of the request, empty if it is missing."""
        return header_of(self.request_headers, name)

    def __str__(self) -> str:
        return f"{self.number}: {self.method} {self.path} {self.status or 'unanswered'}"


def header_of(pairs: tuple[tuple[str, str], ...] | list[tuple[str, str]], name: str) -> str:
    """Return the first value of a header, empty if it is missing. Names are case-insensitive."""
    return next((value for key, value in pairs if key.lower() == name.lower()), "")


def bodies_folder(path: Path) -> Path:
    """Return the folder of the large bodies of a transcript.

    >>> str(bodies_folder(Path("tests/pull.jsonl")))
    'tests/pull.bodies'
    """
    return path.with_name(f"{path.stem}.bodies")


# -- writing


def body_row(body: TranscriptBody) -> dict[str, Any]:
    """Return the row of a body. Bytes in ``content`` become part of it; a file is named by its digest."""
    row: dict[str, Any] = {"encoding": "digest-only", "length": body.length, "sha256": body.sha256}
    if isinstance(body.content, Path):
        row["encoding"] = "file"
    elif body.content is not None:
        text = _text_of(body.content)
        if not body.content:
            row["encoding"] = "empty"
        elif text is not None:
            row |= {"encoding": "text", "data": text}
        else:
            row |= {"encoding": "base64", "data": base64.b64encode(body.content).decode("ascii")}
    row["transfer"] = body.transfer
    if not body.is_complete:
        row["complete"] = False
    if body.is_masked:
        row["masked"] = True
    return row


def exchange_row(exchange: Exchange) -> dict[str, Any]:
    """Return the row of an exchange."""
    row: dict[str, Any] = {
        "seq": exchange.number,
        "connection": exchange.connection,
        "method": exchange.method,
        "path": exchange.path,
        "version": exchange.version,
        "request_headers": exchange.request_headers,
        "request_body": body_row(exchange.request_body),
        "status": exchange.status,
        "reason": exchange.reason,
        "response_headers": exchange.response_headers,
        "response_body": body_row(exchange.response_body),
    }
    if exchange.note:
        row["note"] = exchange.note
    return row


def _text_of(data: bytes) -> str | None:
    """Return bytes as text; None if they are not printable text in UTF-8."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if _NO_TEXT.search(text) else text


# -- reading


class _BodyRow(msgspec.Struct, frozen=True):
    encoding: Literal["empty", "text", "base64", "file", "digest-only", "tls-client-hello"]
    length: int
    sha256: str | None = None
    data: str = ""
    transfer: str = "none"
    complete: bool = True
    masked: bool = False


class _Row(msgspec.Struct):
    seq: int
    method: str | None
    path: str | None = None
    connection: int = 1
    version: str | None = None
    request_headers: list[tuple[str, str]] = []
    request_body: _BodyRow = _BodyRow("empty", 0)
    status: int | None = None
    reason: str | None = None
    response_headers: list[tuple[str, str]] = []
    response_body: _BodyRow = _BodyRow("empty", 0)
    note: str = ""


def read_transcript(path: Path | str) -> list[Exchange]:
    """Return the exchanges of a transcript, without attempts to speak TLS to a plain port.

    :raises TranscriptInvalid: a line does not have the form, or the file of a body is missing.
    :raises OSError: the transcript cannot be read.
    """
    path = Path(path)
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            row = msgspec.json.decode(line, type=_Row)
            if row.method is not None:
                found.append(_exchange(row, bodies_folder(path)))
        except ValueError as error:
            raise TranscriptInvalid(f"{path}, line {number}: {error}") from None
    return found


def _exchange(row: _Row, folder: Path) -> Exchange:
    if row.method is None or row.path is None:
        raise ValueError("a line with a method must have a path")
    return Exchange(
        number=row.seq,
        method=row.method,
        path=row.path,
        request_headers=tuple(row.request_headers),
        request_body=_body(row.request_body, folder),
        status=row.status,
        reason=row.reason or "",
        response_headers=tuple(row.response_headers),
        response_body=_body(row.response_body, folder),
        connection=row.connection,
        version=row.version or "HTTP/1.1",
        note=row.note,
    )


def _body(row: _BodyRow, folder: Path) -> TranscriptBody:
    content: bytes | Path | None = None
    if row.encoding == "file":
        if row.sha256 is None or not _SHA256.fullmatch(row.sha256):
            raise ValueError("a body in a file must have a sha256 of 64 hex digits")
        content = folder / row.sha256
        if not content.is_file():
            raise ValueError(f"the body {content} is missing; keep {folder} beside the transcript")
    elif row.encoding in ("empty", "text", "base64"):
        try:
            content = (
                base64.b64decode(row.data, validate=True) if row.encoding == "base64" else row.data.encode()
            )
        except binascii.Error as error:
            raise ValueError(f"the data of a body must be base64: {error}") from None
    return TranscriptBody(row.length, row.sha256, content, row.transfer, row.complete, row.masked)


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of bytes in hex."""
    return hashlib.sha256(data).hexdigest()
