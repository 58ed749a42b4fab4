"""HTTP connections to one registry and its endpoints, with bounded answers and readable failures."""

from __future__ import annotations

import base64
import platform
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

try:
    import requests
    import urllib3
    from requests.adapters import HTTPAdapter
except ImportError as exc:
    raise ImportError("the client needs requests: pip install 'v1registry[server]'") from exc

from ..names import is_loopback
from ..version import __version__
from .answers import TRANSIENT_STATUSES, Answer, PingResult, read_ping
from .errors import BadReference, ClientError, ProtocolError, RegistryUnreachable
from .reference import check_host, split_scheme

#: The largest answer except layers, in bytes: the largest image JSON that our server accepts.
DOCUMENT_LIMIT_BYTES = 16 << 20

_REDIRECTS = 5
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Credentials:
    """A user name and a password."""

    username: str
    password: str

    @property
    def header(self) -> str:
        """The value of ``Authorization`` for Basic authentication."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")


@dataclass(frozen=True)
class ConnectionOptions:
    """How to connect; :class:`v1registry.client.Client` describes each option."""

    scheme: str | None
    is_insecure: bool
    verify: str | None
    client_certificate: str | tuple[str, str] | None
    timeout_s: float
    parallel: int
    attempts: int
    user_agent: str
    sleep: Callable[[float], object]


class Connection:
    """Requests to one registry and its endpoints. Safe for threads; keeps cookies.

    :param host: ``name[:port]``, optionally with ``http://`` or ``https://`` in front.
    :raises BadReference: the host or the scheme is invalid.
    """

    def __init__(self, host: str, options: ConnectionOptions):
        if options.scheme not in (None, "http", "https"):
            raise BadReference(f"scheme must be http or https, not {options.scheme!r}")
        in_front, rest = split_scheme(host)
        self.host = check_host(rest.rstrip("/"))
        self.attempts = options.attempts
        self._scheme = options.scheme or in_front
        self._is_insecure = options.is_insecure
        verify = True if options.verify is None else options.verify
        self._options: dict[str, Any] = {
            "timeout": (min(options.timeout_s, 10.0), options.timeout_s),
            "verify": False if options.is_insecure else verify,
            "cert": options.client_certificate,
        }
        self._sleep = options.sleep
        self._requests = _RequestsSession()
        # Checksums and lengths are those of the bytes without content encoding.
        self._requests.headers.update({"User-Agent": options.user_agent, "Accept-Encoding": "identity"})
        for prefix in ("http://", "https://"):
            self._requests.mount(prefix, HTTPAdapter(pool_maxsize=options.parallel + 1))
        self._ping: PingResult | None = None
        self._ping_lock = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        self._requests.close()

    def pause(self, failures: int) -> None:
        """Wait before the next attempt: 0.5 s, then twice as long each time, up to 15 s."""
        self._sleep(min(0.5 * 2 ** (failures - 1), 15.0))

    # -- finding the registry

    def ping(self) -> PingResult:
        """Find the registry and return its ping; later calls return the same.

        :raises RegistryUnreachable: it does not answer with any allowed scheme.
        """
        with self._ping_lock:
            if self._ping is None:
                self._ping = self._discover()
            return self._ping

    def _discover(self) -> PingResult:
        schemes = [self._scheme] if self._scheme else ["https"]
        if not self._scheme and self._may_be_plain(self.host):
            schemes.append("http")
        failures: dict[str, RegistryUnreachable] = {}
        for scheme in schemes:
            url = f"{scheme}://{self.host}/v1/"
            try:
                return read_ping(url, self.call("GET", url + "_ping", attempts=1))
            except RegistryUnreachable as exc:
                failures[scheme] = exc
                if _find_cause(exc, ssl.SSLCertVerificationError):
                    break  # it uses TLS, so plain http would fail too
        raise _unreachable(self.host, failures)

    def _may_be_plain(self, host: str) -> bool:
        return self._is_insecure or is_loopback(host)

    def endpoint_url(self, host: str) -> str:
        """Return ``scheme://host/v1/`` of an endpoint that the registry named.

        The scheme is that of the index, as in engines. Plain http to other machines needs the user's
        permission.

        :raises ProtocolError: the host is invalid, or plain http is not allowed.
        """
        try:
            host = check_host(host)
        except ClientError as exc:
            raise ProtocolError(
                f"{self.host} names an endpoint that is not HOST[:PORT]: {host[:200]!r}"
            ) from exc
        scheme = self.ping().scheme
        if scheme == "http" and self._scheme != "http" and not self._may_be_plain(host):
            raise ProtocolError(
                f"{self.host} names the endpoint {host}, which needs plain http: "
                f"use http://{host}/… directly, or allow insecure registries"
            )
        return f"{scheme}://{host}/v1/"

    # -- requests

    def call(
        self,
        method: str,
        url: str,
        *,
        authorization: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        attempts: int | None = None,
        follow_put: bool = False,
    ) -> Answer:
        """Send a request and return its answer, whatever the status.

        The request is repeated if no answer came, or one with a transient status. Redirects of GET are
        followed.

        :param authorization: the value of the header; None to send none.
        :param body: an iterable is sent chunked, and only once.
        :param attempts: how often the request is sent at most; None for the number of the connection.
        :param follow_put: follow redirects of other methods too.
        :raises RegistryUnreachable: no answer came.
        :raises ProtocolError: the answer is too large, or redirects in a circle.
        """
        once = attempts == 1 or not (body is None or isinstance(body, bytes))
        left = 1 if once else attempts or self.attempts
        failures = 0
        while True:
            try:
                answer = self._call_once(method, url, authorization, headers or {}, body, follow_put)
                if failures + 1 >= left or answer.status not in TRANSIENT_STATUSES:
                    return answer
            except RegistryUnreachable as exc:
                if failures + 1 >= left or _find_cause(exc, ssl.SSLCertVerificationError):
                    raise
            failures += 1
            self.pause(failures)

    def _call_once(
        self,
        method: str,
        url: str,
        authorization: str | None,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
        follow_put: bool,
    ) -> Answer:
        host = url.split("/")[2]
        for _ in range(_REDIRECTS):
            with self.stream(method, url, authorization, headers, body) as response:
                data = b"".join(_bounded(response))
                answer = Answer(url, response.status_code, response.headers, data)
                location = response.headers.get("Location")
            if not (follow_put and location and 300 <= answer.status < 400):
                return answer
            url = requests.compat.urljoin(url, location)
            if url.split("/")[:1] not in (["http:"], ["https:"]) or url.split("/")[2] != host:
                authorization = None
        raise ProtocolError(f"{url} redirects in a circle")

    @contextmanager
    def stream(
        self,
        method: str,
        url: str,
        authorization: str | None,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None = None,
    ) -> Iterator[requests.Response]:
        """Send a request and yield its answer with the body unread.

        :raises RegistryUnreachable: no answer came, or the connection broke while the body was read.
        :raises ProtocolError: the URL is invalid, or redirects in a circle.
        """
        host = url.split("/")[2]
        try:
            with self._requests.request(
                method,
                url,
                headers=dict(headers),
                data=body,
                auth=_AuthorizationHeader(authorization),
                stream=True,
                allow_redirects=method == "GET",
                **self._options,
            ) as response:
                yield response
        except requests.exceptions.InvalidURL as exc:
            raise ProtocolError(f"{url} is not a valid URL") from exc
        except requests.exceptions.TooManyRedirects as exc:
            raise ProtocolError(f"{url} redirects in a circle") from exc
        except (requests.RequestException, urllib3.exceptions.HTTPError) as exc:
            raise RegistryUnreachable(f"cannot reach {host}: {_reason(exc)}") from exc


def _bounded(response: requests.Response) -> Iterator[bytes]:
    size_bytes = 0
    for chunk in response.iter_content(64 * 1024):
        size_bytes += len(chunk)
        if size_bytes > DOCUMENT_LIMIT_BYTES:
            raise ProtocolError(
                f"{response.url} answered more than the limit of {DOCUMENT_LIMIT_BYTES} bytes"
            )
        yield chunk


def _unreachable(host: str, failures: Mapping[str, RegistryUnreachable]) -> RegistryUnreachable:
    """Return one exception for the failures of all schemes that were tried."""
    reasons = ", ".join(f"{_reason(exc.__cause__ or exc)} ({scheme})" for scheme, exc in failures.items())
    text = f"cannot reach {host}: {reasons}"
    exc = failures.get("https")
    helps = not (_find_cause(exc, ssl.SSLCertVerificationError) or _find_cause(exc, socket.gaierror))
    if helps and "http" not in failures:
        text += f"; if it uses plain http, write http://{host}/…, or allow insecure registries"
    summary = RegistryUnreachable(text)
    summary.__cause__ = exc or failures["http"]
    return summary


class _RequestsSession(requests.Session):
    """A session that uses proxies and certificates of the environment, but no netrc."""

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Keep ``Authorization`` on redirects to the same host only, and never read a netrc."""
        old, new = response.request.url or "", prepared_request.url or ""
        if "Authorization" in prepared_request.headers and self.should_strip_auth(old, new):  # type: ignore[no-untyped-call]
            del prepared_request.headers["Authorization"]

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """Use no proxy for this machine, as engines do."""
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        if is_loopback(str(url).split("/")[2]):
            settings["proxies"] = {}
        return settings


class _AuthorizationHeader(requests.auth.AuthBase):
    """Sets the header, or none. Without it requests would read the user's netrc."""

    def __init__(self, value: str | None):
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value is not None:
            request.headers["Authorization"] = self._value
        return request


def _reason(exc: BaseException) -> str:
    """Return the reason of a failure in a few words, from the exceptions of three libraries."""
    untrusted = _find_cause(exc, ssl.SSLCertVerificationError)
    if isinstance(untrusted, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({untrusted.verify_message}); "
            "give the certificate of its authority, or allow insecure registries"
        )
    if isinstance(exc, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return "it does not answer in time"
    cause = _find_cause(exc, OSError)
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return re.sub(r"<[^>]*>:? ?", "", str(exc))[:300]


def _find_cause(exc: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    """Return the first exception of ``kind`` in the causes of ``exc``, except those of requests."""
    waiting: list[object] = [exc]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, kind) and not isinstance(current, requests.RequestException):
            return current
        waiting += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
    return None


def default_user_agent() -> str:
    """Return the default ``User-Agent``, in the form that registries parse: ``name/version`` pairs.

    docker-registry up to 0.9.0 answers 500 to a checksum from an agent without ``docker/x.y``.
    """
    machine = _MACHINES.get(platform.machine(), platform.machine().lower())
    python, system = platform.python_version(), platform.system().lower()
    return f"v1registry/{__version__} python/{python} os/{system} arch/{machine}"
