"""Writes what passes through a WSGI application as a transcript."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ..recording.kept_bodies import BodyCapture, BodyStore
from .masking import Masker
from .transcripts import (
    Exchange,
    bodies_folder,
    exchange_row,
    header_of,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

#: Of bodies above this, only length and digest are kept, in bytes.
MOST_BODY_BYTES: Final = 256 << 20

#: How long the end of a recording waits for requests in progress, in seconds.
_PATIENCE_S: Final = 5.0

_PATH_CHARACTERS: Final = "/:@!$&'()*+,;=~"


class Transcriber:
    """A WSGI application that passes requests on, and records them while a transcript is written."""

    def __init__(self, application: WSGIApplication):
        self._application = application
        self._transcript: _Transcript | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        transcript = self._transcript
        if transcript is None:
            return self._application(environ, start_response)
        return _Recording(transcript, environ).answer(self._application, start_response)

    @contextmanager
    def record(
        self, path: str | os.PathLike[str], *, max_body_bytes: int = MOST_BODY_BYTES
    ) -> Iterator[None]:
        """Write the requests of the block, see :class:`RecordingHelpers`.

        :raises RuntimeError: another transcript is being written.
        :raises OSError: the file cannot be written.
        """
        with self._lock:
            if self._transcript is not None:
                raise RuntimeError("one transcript is written at a time: end the other block first")
            self._transcript = transcript = _Transcript(Path(path), max_body_bytes)
        try:
            with transcript:
                yield
        finally:
            self._transcript = None


class RecordingHelpers:
    """The part of FakeRegistry that writes transcripts."""

    _transcriber: Transcriber

    def record(
        self, path: str | os.PathLike[str], *, max_body_bytes: int = MOST_BODY_BYTES
    ) -> AbstractContextManager[None]:
        """Write the requests of a ``with`` block, and their answers, to a transcript.

        The end of the block waits up to 5 seconds for requests that are in progress.
        The transcript is JSON Lines, one exchange a line. Bodies of more than 4096 bytes are files in
        the folder ``NAME.bodies`` beside it. Credentials, cookies, tokens and passwords are masked.
        :class:`v1registry_fakes.ReplayedRegistry` serves the transcript to clients.

        :param path: of the file, which is replaced; such as ``pull.jsonl``.
        :param max_body_bytes: of longer bodies, only length and digest are kept.
        :raises RuntimeError: another transcript is being written.
        :raises OSError: the file cannot be written.
        """
        return self._transcriber.record(path, max_body_bytes=max_body_bytes)


class _Transcript:
    """A transcript that is being written. Lines are in the order in which requests arrived."""

    def __init__(self, path: Path, max_body_bytes: int):
        self.bodies = BodyStore(bodies_folder(path), max_body_bytes)
        self._masker = Masker()
        self._lock = threading.RLock()  # guards everything below
        self._is_written = threading.Condition(self._lock)
        self._recordings: dict[int, _Recording] = {}  # those that are not written, by number
        self._connections: dict[str, int] = {}
        self._number = 0
        self._file: IO[str] | None = path.open("w", encoding="utf-8")

    def __enter__(self) -> _Transcript:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            # a client has its answer before the server is done with the request
            self._is_written.wait_for(lambda: not self._recordings, _PATIENCE_S)
            for recording in list(self._recordings.values()):
                recording.note = recording.note or "in progress when the recording ended"
                recording.is_finished = True
            self._write()
            if self._file is not None:
                self._file.close()
                self._file = None

    def begin(self, recording: _Recording) -> int:
        """Return the number of a new exchange."""
        with self._lock:
            self._number += 1
            self._recordings[self._number] = recording
            return self._number

    def connection(self, peer: str) -> int:
        """Return the number of a connection."""
        with self._lock:
            return self._connections.setdefault(peer, len(self._connections) + 1)

    def finish(self, recording: _Recording) -> None:
        """Write an exchange as soon as all earlier ones are written. A later call has no effect."""
        with self._lock:
            if not recording.is_finished:
                recording.is_finished = True
                self._write()
                self._is_written.notify_all()

    def _write(self) -> None:
        while self._recordings:
            number = next(iter(self._recordings))
            recording = self._recordings[number]
            if not recording.is_finished or self._file is None:
                return
            del self._recordings[number]
            row = exchange_row(recording.exchange(self._masker))
            self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._file.flush()


class _Recording:
    """One exchange on its way."""

    def __init__(self, transcript: _Transcript, environ: dict[str, Any]):
        self._transcript = transcript
        self.note = ""
        self.is_finished = False
        self._environ = environ
        self._received = BodyCapture(transcript.bodies)
        self._sent = BodyCapture(transcript.bodies)
        self._status: str | None = None
        self._headers: list[tuple[str, str]] = []
        self._is_whole = False
        peer = f"{environ.get('REMOTE_ADDR', '')} {environ.get('REMOTE_PORT', '')}"
        self._connection = transcript.connection(peer)
        self._is_request_whole = False
        self._number = transcript.begin(self)

    # -- the request and the answer

    def answer(self, application: WSGIApplication, start_response: StartResponse) -> Iterable[bytes]:
        """Call the application, and note what passes."""
        environ = self._environ
        source = environ.get("wsgi.input")
        if isinstance(source, BytesIO):
            # httpx.WSGITransport reads chunked bodies whole, but does not set this
            environ["wsgi.input_terminated"] = True
        environ["wsgi.input"] = _Tee(source, self._note_received)

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
        ) -> Callable[[bytes], object]:
            self._status, self._headers = status, list(headers)
            write = start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

            def noted(data: bytes) -> object:
                self._sent.add(data)
                return write(data)

            return noted

        try:
            return _Noted(application(environ, start), self)
        except BaseException as error:
            self._fail(error)
            raise

    def _note_received(self, data: bytes) -> None:
        if self.is_finished:
            return
        self._received.add(data)
        if not data:
            self._is_request_whole = True

    def chunks(self, returned: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks of the answer, and note them."""
        try:
            for chunk in returned:
                if not self.is_finished:
                    self._sent.add(chunk)
                yield chunk
            self._is_whole = True
        except Exception as error:
            self.note = f"broken off: {type(error).__name__}"
            raise

    def _fail(self, error: BaseException) -> None:
        self._status = None
        self.note = f"not answered: {type(error).__name__}"
        self.end()

    def end(self) -> None:
        """Write the exchange."""
        self._transcript.finish(self)

    # -- the line

    def exchange(self, masker: Masker) -> Exchange:
        """Return the exchange without its secrets."""
        environ = self._environ
        path = masker.target(target_of(environ))
        received = self._received.body(masker, environ.get("CONTENT_TYPE", ""), path)
        sent = self._sent.body(masker, header_of(self._headers, "Content-Type"), path)
        length = environ.get("CONTENT_LENGTH") or ""
        is_chunked = not length and self._received.length > 0
        is_received = is_chunked and self._is_request_whole
        if not is_chunked:
            is_received = not length.isdecimal() or self._received.length >= int(length)
        is_sized = bool(header_of(self._headers, "Content-Length"))
        code, _, reason = (self._status or "").partition(" ")
        return Exchange(
            number=self._number,
            connection=self._connection,
            method=environ["REQUEST_METHOD"],
            path=path,
            version=environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
            request_headers=tuple(masker.headers(headers_of(environ))),
            request_body=replace(
                received,
                transfer="content-length" if length else "chunked" if is_chunked else "none",
                is_complete=is_received,
            ),
            status=int(code) if code else None,
            reason=reason or (HTTPStatus(int(code)).phrase if code else ""),
            response_headers=tuple(masker.headers(self._headers)),
            response_body=replace(
                sent,
                transfer="content-length" if is_sized else "chunked" if sent.length else "none",
                is_complete=self._is_whole or environ["REQUEST_METHOD"] == "HEAD",
            ),
            note=self.note,
        )


class _Noted:
    """The answer of an application. Its end is the end of the exchange."""

    def __init__(self, returned: Iterable[bytes], recording: _Recording):
        self._returned = returned
        self._recording = recording

    def __iter__(self) -> Iterator[bytes]:
        return self._recording.chunks(self._returned)

    def close(self) -> None:
        try:
            close = getattr(self._returned, "close", None)
            if close is not None:
                close()
        finally:
            self._recording.end()


class _Tee:
    """The input of a request. What is read of it is noted."""

    def __init__(self, source: Any, note: Callable[[bytes], None]):
        self._source = source
        self._note = note

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._source.read(size)
        self._note(data)
        return data

    def readline(self, size: int = -1) -> bytes:
        data: bytes = self._source.readline(size)
        self._note(data)
        return data

    def readlines(self, hint: int = -1) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")


def target_of(environ: dict[str, Any]) -> str:
    """Return path and query as they were sent, or as near as the environ tells."""
    raw: str = environ.get("REQUEST_URI") or environ.get("RAW_URI") or ""
    if raw.startswith("/"):
        return raw
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1")
    query = environ.get("QUERY_STRING", "")
    return quote(path, safe=_PATH_CHARACTERS) + (f"?{query}" if query else "")


def headers_of(environ: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the headers of a request. Their names have capitals, because the environ has lost their case."""
    found = []
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            found.append((key[5:].replace("_", "-").title(), str(value)))
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            found.append((key.replace("_", "-").title(), str(value)))
    return found
