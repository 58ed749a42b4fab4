"""RecordingProxy: passes requests on to a server that is not a fake, and writes them as a transcript."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from v1registry.errors import RegistryError
from v1registry.wsgi.bodies import Upload

from ..faults.connection_cuts import cut
from ..live_port import WITH_URLS, OnLivePort, refuse, with_moved_urls
from .transcriber import RecordingHelpers, Transcriber, headers_of, target_of

try:
    import urllib3
    from urllib3.util import SKIP_HEADER
except ImportError as error:
    raise ImportError(f"the proxy needs requests: pip install 'v1registry[fakes]' ({error})") from error

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

    from ..server import LiveServer

_CHUNK_BYTES: Final = 64 << 10

#: How long the server may take to accept a connection, and to send the next bytes, in seconds.
_CONNECT_S: Final = 10
_SILENCE_S: Final = 300

#: Connections to the server. The live port has fewer threads.
_CONNECTIONS: Final = 20

_HOP_BY_HOP: Final = frozenset(
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]
)


class RecordingProxy(OnLivePort, RecordingHelpers):
    """Passes requests on to another server, and records them in the blocks of :meth:`record`.

    URLs of the server in headers of answers become URLs of the proxy. Requests to other hosts, such as a
    token service elsewhere, do not pass through it.

    :param target: the URL of the server, such as ``https://registry.example.com``.
    :param ca_file: the certificate of the server's authority; None for those that the system trusts.
    :param tls: whether the live port of the proxy uses https.
    :param server: the live port to use.
    :raises ValueError: ``target`` is no http or https URL of a host.

    >>> RecordingProxy("registry.example.com")
    Traceback (most recent call last):
    ValueError: must be a URL such as https://registry.example.com, not 'registry.example.com'
    """

    def __init__(
        self,
        target: str,
        *,
        ca_file: str | None = None,
        tls: bool = False,
        server: LiveServer | None = None,
    ):
        parts = urlsplit(target)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"must be a URL such as https://registry.example.com, not {target!r}")
        self.target = target.rstrip("/")
        self._host = parts.netloc.rpartition("@")[2]
        self._base_path = parts.path.rstrip("/")
        options: dict[str, Any] = {"maxsize": _CONNECTIONS}
        if parts.scheme == "https":
            options |= {"cert_reqs": "CERT_REQUIRED", "ca_certs": ca_file}
        self._pool = urllib3.connection_from_url(f"{parts.scheme}://{self._host}", **options)
        self._transcriber = Transcriber(self._pass_on)
        super().__init__(self._transcriber, tls=tls, server=server)

    def close(self) -> None:
        """Stop the live port, and close the connections to the server."""
        super().close()
        self._pool.close()

    def _pass_on(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            upload = Upload.of(environ)
            response = self._send(environ, upload)
        except RegistryError as error:
            return refuse(start_response, f"{error.status} Bad Request", error.public)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            text = f"{self.target} did not answer: {error}"
            return refuse(start_response, "502 Bad Gateway", text)
        origin = f"{environ.get('wsgi.url_scheme', 'http')}://{environ.get('HTTP_HOST', '')}"
        headers = [
            (name, self._moved(name.lower(), value, origin))
            for name, value in response.headers.items()
            if name.lower() not in _HOP_BY_HOP
        ]
        start_response(f"{response.status} {response.reason or 'Status'}", headers)
        return _Body(response, environ)

    def _send(self, environ: dict[str, Any], upload: Upload) -> urllib3.response.BaseHTTPResponse:
        """Send a request to the server and return its answer, whose body was not read.

        :raises RegistryError: the body of the request broke off.
        :raises urllib3.exceptions.HTTPError: the server does not answer.
        """
        # urllib3 adds these two if they are missing
        headers = {"User-Agent": SKIP_HEADER, "Accept-Encoding": SKIP_HEADER}
        for name, value in headers_of(environ):
            if name.lower() not in _HOP_BY_HOP and name != "Host":
                headers[name] = value
        has_body = upload.size is None or bool(upload.size)
        return self._pool.urlopen(
            environ["REQUEST_METHOD"],
            f"{self._base_path}{target_of(environ)}",
            body=iter(upload) if has_body else None,
            headers=headers,
            retries=False,
            redirect=False,
            timeout=urllib3.Timeout(connect=_CONNECT_S, read=_SILENCE_S),
            chunked=upload.size is None,
            preload_content=False,
            decode_content=False,
        )

    def _moved(self, name: str, value: str, origin: str) -> str:
        """Return the value of a header in which the server is the proxy."""
        if name in WITH_URLS:
            return with_moved_urls(value, self._host, origin)
        if name == "x-docker-endpoints":
            return value.replace(self._host, urlsplit(origin).netloc)
        return value


class _Body:
    """The body of an answer of the server."""

    def __init__(self, response: urllib3.response.BaseHTTPResponse, environ: dict[str, Any]):
        self._response = response
        self._environ = environ

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._response.stream(_CHUNK_BYTES, decode_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise cut(self._environ, f"the server broke off: {error}", with_headers=True) from error

    def close(self) -> None:
        """Give the connection back; it is closed if the body was not read."""
        if self._response.closed:
            self._response.release_conn()
        else:
            self._response.close()
