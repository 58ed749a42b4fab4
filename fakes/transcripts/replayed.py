"""ReplayedRegistry: serves a transcript to clients, and says what they did differently."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qsl, unquote

from v1registry.errors import RegistryError
from v1registry.wsgi.bodies import Upload

from ..faults.connection_cuts import cut
from ..live_port import WITH_URLS, OnLivePort, refuse, with_moved_urls
from ..recording.recorded_request import RequestHeaders
from .masking import MOST_MASKED_BYTES, Masker, is_content
from .transcriber import target_of
from .transcripts import Exchange, TranscriptBody, header_of, read_transcript

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

    from ..server import LiveServer

#: The most differences that are kept.
MOST_DIFFERENCES: Final = 1000

_CHUNK_BYTES: Final = 64 << 10
_HOP_BY_HOP: Final = frozenset(["connection", "keep-alive", "transfer-encoding", "content-length"])

#: Headers of requests that are compared, besides Accept and X-Docker-….
_COMPARED: Final = ("content-type", "content-range", "range")

#: Longer targets are compared with nothing to find the nearest one.
_MOST_COMPARED_CHARACTERS: Final = 500

#: The path of an upload through ``/v2/``, which ends in its id.
_UPLOAD: Final = re.compile(r"(/v2/.+/blobs/uploads/)[^/]+")

_DifferenceKind = Literal["unexpected", "repeated", "header", "body", "not kept"]


@dataclass(frozen=True)
class ReplayDifference:
    """One thing that a client did differently from the transcript.

    ``unexpected``: no exchange has this method and path; the client got 404. ``repeated``: all such
    exchanges were served; the client got the last answer again. ``header``, ``body``: the request was
    served, although this differs. ``not kept``: the transcript has only the digest of the answer; the client
    got 501.
    """

    kind: _DifferenceKind
    request: str  #: method and path
    text: str  #: what was expected and what came

    def __str__(self) -> str:
        return f"{self.kind}: {self.request}: {self.text}"


class ReplayedRegistry(OnLivePort):
    """Serves the answers of a transcript to a client that asks the same again. Safe for threads.

    A request gets the answer of the first exchange with its method, path and query that was not served yet;
    if several are left, of the one with the same range and body. So requests may come in a different order.
    Secrets, hosts and the ids of uploads are not compared. Where the recorded host is in headers and
    documents, the client gets that of its request.

    :param path: the transcript, see :meth:`FakeRegistry.record`.
    :param tls: whether the live port uses https; see :attr:`ca_file`.
    :param server: the live port to use.
    :raises TranscriptInvalid: the transcript cannot be read; it is a ValueError.
    :raises OSError: there is no such file.
    """

    def __init__(self, path: str | os.PathLike[str], *, tls: bool = False, server: LiveServer | None = None):
        self.exchanges = read_transcript(Path(path))
        self._differences: list[ReplayDifference] = []
        self._served: set[int] = set()  # places in exchanges
        self._lock = threading.Lock()  # guards the two above
        self._masker = Masker(is_numbered=False)
        self._keys = [
            self._key(each.method, each.path, each.request_header("Host")) for each in self.exchanges
        ]
        super().__init__(self._answer, tls=tls, server=server)

    # -- what differed

    @property
    def differences(self) -> list[ReplayDifference]:
        """What clients did differently so far, at most the first 1000."""
        with self._lock:
            return list(self._differences)

    @property
    def unused(self) -> list[Exchange]:
        """The exchanges that no client asked for yet."""
        with self._lock:
            return [each for place, each in enumerate(self.exchanges) if place not in self._served]

    def report(self) -> str:
        """Return what differed, one thing in a line; empty if clients asked exactly what was recorded."""
        lines = [str(difference) for difference in self.differences]
        return "\n".join([*lines, *(f"not asked: {exchange}" for exchange in self.unused)])

    def check(self) -> None:
        """Return if clients asked everything that was recorded, and nothing else.

        :raises AssertionError: something differs; the text is that of :meth:`report`.
        """
        report = self.report()
        if report:
            raise AssertionError(f"the client differs from the transcript:\n{report}")

    def rewind(self) -> None:
        """Serve the transcript from its beginning, and forget the differences."""
        with self._lock:
            self._served.clear()
            self._differences.clear()

    def _note(self, kind: _DifferenceKind, request: str, text: str) -> None:
        with self._lock:
            if len(self._differences) < MOST_DIFFERENCES:
                self._differences.append(ReplayDifference(kind, request, text))

    # -- finding the exchange

    def _key(self, method: str, target: str, host: str) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        """Return what must be equal: method, path and query, without secrets and the host."""
        path, _, query = self._masker.target(target).partition("?")
        pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
        upload = _UPLOAD.fullmatch(path)
        if upload is not None:
            # clients send layers in parallel, so an upload may get the id of another one
            path = upload[1]
            pairs = [(name, value) for name, value in pairs if name == "digest"]
        values = ((name, value.replace(host, "HOST") if host else value) for name, value in pairs)
        return method, unquote(path), tuple(sorted(values))

    def _find(self, request: _Request) -> Exchange | None:
        """Return the exchange of a request, and mark it as served."""
        key = self._key(request.method, request.target, request.host)
        with self._lock:
            places = [place for place, each in enumerate(self._keys) if each == key]
            left = [place for place in places if place not in self._served]
            if left:
                place = min(left, key=lambda place: (self._distance(self.exchanges[place], request), place))
                self._served.add(place)
                return self.exchanges[place]
        if places and request.method in ("GET", "HEAD"):
            self._note("repeated", request.line, f"was recorded {len(places)} times, and came once more")
            return self.exchanges[places[-1]]
        return None

    def _distance(self, exchange: Exchange, request: _Request) -> int:
        is_other_range = exchange.request_header("Range") != request.headers.get("Range", "")
        return 2 * is_other_range + (not self._is_same_body(exchange, request))

    def _is_same_body(self, exchange: Exchange, request: _Request) -> bool:
        body = exchange.request_body
        if not body.is_complete or body.sha256 is None or body.sha256 == request.sha256:
            return True
        recorded = body.data() if body.is_masked else None
        if recorded is None or request.body is None:
            return False
        kind, path = exchange.request_header("Content-Type"), exchange.path
        return self._masker.body(recorded, kind, path) == self._masker.body(request.body, kind, path)

    # -- the answer

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            request = _Request(environ)
        except RegistryError as error:
            return refuse(start_response, f"{error.status} Bad Request", error.public)
        exchange = self._find(request)
        if exchange is None:
            text = f"the transcript has no such request left; {self._nearest(request)}"
            self._note("unexpected", request.line, text)
            return refuse(start_response, "404 Not Found", f"{request.line}: {text}")
        self._compare(exchange, request)
        if exchange.status is None:
            raise cut(environ, "the connection broke in the transcript", with_headers=False)
        if exchange.response_body.content is None and request.method != "HEAD":
            text = (
                f"the transcript has only the digest of this answer of {exchange.response_body.length} bytes"
            )
            self._note("not kept", request.line, text)
            return refuse(start_response, "501 Not Implemented", text)
        return self._replay(exchange, request, start_response)

    def _nearest(self, request: _Request) -> str:
        """Say which request that is left is the most similar one."""
        lines = [f"{each.method} {each.path}" for each in self.unused]
        if not lines:
            return "all requests were served"
        short = [line for line in lines if len(line) <= _MOST_COMPARED_CHARACTERS]
        near = get_close_matches(request.line[:_MOST_COMPARED_CHARACTERS], short, n=1, cutoff=0.0)
        return f"the nearest of {len(lines)} is {(near or lines)[0]}"

    def _compare(self, exchange: Exchange, request: _Request) -> None:
        """Note where the request differs from the recorded one."""
        recorded = dict(self._compared(exchange.request_headers))
        sent = dict(self._compared(request.headers.items()))
        for name in sorted(recorded.keys() | sent.keys()):
            if recorded.get(name) != sent.get(name):
                text = f"{name.title()} was {recorded.get(name)!r}, and is {sent.get(name)!r}"
                self._note("header", request.line, text)
        if not self._is_same_body(exchange, request):
            was = exchange.request_body
            text = (
                f"the body had {was.length} bytes of sha256 {was.sha256}, "
                f"and has {request.length} of {request.sha256}"
            )
            self._note("body", request.line, text)

    def _compared(self, pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        for name, value in self._masker.headers(pairs):
            name = name.lower()
            if name == "accept":
                # docker's engine sends the types in a different order each time
                yield name, ", ".join(sorted(part.strip() for part in value.split(",")))
            elif name in _COMPARED or name.startswith("x-docker-"):
                yield name, value
            elif name == "authorization":
                yield name, value.partition(" ")[0]  # the scheme

    def _replay(
        self, exchange: Exchange, request: _Request, start_response: StartResponse
    ) -> Iterable[bytes]:
        old, new = exchange.request_header("Host"), request.host
        body = exchange.response_body
        headers = [
            (name, _moved(name, value, old, request))
            for name, value in exchange.response_headers
            if name.lower() not in _HOP_BY_HOP
        ]
        content = body.content
        if isinstance(content, bytes) and old and new and not is_content(exchange.path):
            content = _moved_document(content, old, request)
        length = header_of(exchange.response_headers, "Content-Length")
        has_body = request.method != "HEAD" and exchange.status not in (204, 304)
        if has_body and body.is_complete and body.transfer != "chunked":
            length = str(len(content) if isinstance(content, bytes) else body.length)
        if length:
            headers.append(("Content-Length", length))
        start_response(f"{exchange.status} {exchange.reason or 'Status'}", headers)
        return _chunks(content, body, request.environ) if has_body else []


class _Request:
    """A request whose body was read."""

    def __init__(self, environ: dict[str, Any]):
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.target = target_of(environ)
        self.host: str = environ.get("HTTP_HOST", "")
        self.origin = f"{environ.get('wsgi.url_scheme', 'http')}://{self.host}"
        self.headers = RequestHeaders(environ)
        self.line = f"{self.method} {Masker(is_numbered=False).target(self.target)}"
        digest, kept = hashlib.sha256(), bytearray()
        upload = Upload.of(environ)
        for chunk in upload:
            digest.update(chunk)
            if len(kept) <= MOST_MASKED_BYTES:
                kept += chunk
        self.length = upload.received
        self.sha256 = digest.hexdigest()
        self.body = bytes(kept) if self.length <= MOST_MASKED_BYTES else None


def _moved(name: str, value: str, old_host: str, request: _Request) -> str:
    """Return the value of a header in which the recorded host is that of the request."""
    if not old_host or not request.host:
        return value
    if name.lower() in WITH_URLS:
        value = with_moved_urls(value, old_host, request.origin)
    if name.lower() in ("www-authenticate", "x-docker-endpoints"):
        value = value.replace(old_host, request.host)
    return value


def _moved_document(content: bytes, old_host: str, request: _Request) -> bytes:
    """Return a document in which the URLs of the recorded host are those of the request."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return content
    return with_moved_urls(text, old_host, request.origin).encode("utf-8")


def _chunks(content: bytes | Path | None, body: TranscriptBody, environ: dict[str, Any]) -> Iterator[bytes]:
    """Yield a body, and cut the connection after it if it was incomplete."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    elif content:
        yield content
    if not body.is_complete:
        raise cut(environ, "the answer broke off in the transcript", with_headers=True)
