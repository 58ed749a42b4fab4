"""HTTP connections to one registry and its endpoints, with bounded answers and readable failures."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

try:
    import requests
    import urllib3
    from requests.adapters import HTTPAdapter
except ImportError as exc:
    raise ImportError("the client needs requests: pip install 'v1registry[server]'") from exc

from ..names import is_loopback
from .answers import TRANSIENT_STATUSES, Answer, PingResult, read_ping, without_query
from .causes import find_cause, reason_of
from .errors import BadReference, ClientError, ProtocolError, RegistryUnreachable
from .http_session import AuthorizationHeader, HttpSession, check_redirect
from .reference import check_host, registry_of, split_scheme

#: The largest answer except layers, in bytes: the largest image JSON that our server accepts.
DOCUMENT_LIMIT_BYTES = 16 << 20

_REDIRECTS = 5


@dataclass(frozen=True)
class Credentials:
    """A user name and a password, or an identity token, which the API v2 takes in their place."""

    username: str
    password: str
    identity_token: str = ""

    @property
    def has_password(self) -> bool:
        """Whether they are good for the API v1, which has no identity tokens."""
        return bool(self.password) or not self.identity_token

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
    authorities: tuple[str, ...]
    client_certificate: str | tuple[str, str] | None
    timeout_s: float
    parallel: int
    attempts: int
    user_agent: str
    sleep: Callable[[float], object]
    #: called with each URL before it is asked, those of redirects too; raises to refuse it
    check_url: Callable[[str], object] = lambda url: None
    #: how long an answer that is not streamed may take after its head, in seconds
    document_s: float = float("inf")
    keeps_cookies: bool = True
    #: returns what carries plain http to ``HOST[:PORT]`` in place of the network, None for the network
    plain_adapter: Callable[[str], HTTPAdapter | None] = lambda host: None


class Connection:
    """Requests to one registry and its endpoints. Safe for threads; keeps cookies, unless the options say no.

    :param host: ``name[:port]``, optionally with ``http://`` or ``https://`` in front.
    :raises BadReference: the host or the scheme is invalid.
    :raises BadCertificate: a certificate is unreadable.
    """

    def __init__(self, host: str, options: ConnectionOptions):
        if options.scheme not in (None, "http", "https"):
            raise BadReference(f"scheme must be http or https, not {options.scheme!r}")
        in_front, rest = split_scheme(host)
        self.host = registry_of(check_host(rest.rstrip("/")))
        self.attempts = options.attempts
        self._scheme = options.scheme or in_front
        self._is_insecure = options.is_insecure
        self._has_certificate = options.client_certificate is not None
        verify = True if options.verify is None else options.verify
        self._options: dict[str, Any] = {
            "timeout": (min(options.timeout_s, 10.0), options.timeout_s),
            "verify": False if options.is_insecure else verify,
        }
        self._sleep = options.sleep
        self._document_s = options.document_s
        self._requests = HttpSession(
            options.user_agent,
            options.parallel + 1,
            options.check_url,
            keeps_cookies=options.keeps_cookies,
        )
        self._requests.max_redirects = _REDIRECTS
        if options.authorities or options.client_certificate:
            self._requests.use_certificates(
                self.host,
                authorities=options.authorities,
                certificate=options.client_certificate,
                is_verified=not options.is_insecure,
            )
        adapter = options.plain_adapter(self.host)
        self._is_plain = adapter is not None
        if adapter is not None:
            self._requests.mount(f"http://{self.host}/", adapter)
        self._found: dict[str, tuple[str, Answer]] = {}
        self._found_lock = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        self._requests.close()

    def pause(self, failures: int) -> None:
        """Wait before the next attempt: 0.5 s, then twice as long each time, up to 15 s."""
        self._sleep(min(0.5 * 2 ** (failures - 1), 15.0))

    def wait(self, seconds: float) -> None:
        """Wait as long as the registry asks for."""
        self._sleep(seconds)

    # -- finding the registry

    def ping(self) -> PingResult:
        """Find the registry and return its ping; later calls return the same.

        :raises RegistryUnreachable: it does not answer with any allowed scheme.
        """
        return read_ping(*self.find("/v1/", "_ping"))

    def find(self, path: str, ping: str = "") -> tuple[str, Answer]:
        """Find the registry; later calls return the same, unless the answer was that it cannot answer now.

        :param path: that of the API: ``/v1/`` or ``/v2/``.
        :param ping: what to ask below it.
        :return: the URL of the API, and the answer, whatever its status.
        :raises RegistryUnreachable: the registry does not answer with any allowed scheme.
        """
        with self._found_lock:
            found = self._found.get(path)
            if found is None:
                found = self._discover(path, ping)
                if found[1].status not in TRANSIENT_STATUSES:
                    self._found[path] = found
            return found

    def _discover(self, path: str, ping: str) -> tuple[str, Answer]:
        schemes = [self._scheme] if self._scheme else ["https"]
        if not self._scheme and self._may_be_plain(self.host):
            schemes.append("http")
        failures: dict[str, RegistryUnreachable] = {}
        for scheme in schemes:
            url = f"{scheme}://{self.host}{path}"
            try:
                if scheme == "https" and len(schemes) > 1:
                    self._find_plain_port()
                answer = self.call("GET", url + ping, attempts=1)
            except RegistryUnreachable as exc:
                failures[scheme] = exc
                if _spoke_tls(exc) or self._requests.has_answer_of_https:
                    break  # plain http would fail too, or tell others what https hides
            else:
                if not (scheme == "http" and answer.status == 400 and self._offers_tls()):
                    return self._without_downgrade(url, answer.url), answer
                failures[scheme] = RegistryUnreachable("it answered 400 Bad Request")
        if list(failures) == ["http"] and self._offers_tls():
            raise RegistryUnreachable(
                f"{self.host} does not speak plain http, but TLS: write https://{self.host}/…"
            ) from failures["http"]
        raise _unreachable(self.host, failures)

    def _without_downgrade(self, url: str, answered_url: str) -> str:
        """Return the address to use from now on: over https if a ping over http was redirected there.

        :raises RegistryUnreachable: the ping was redirected to https at another host.
        """
        before, after = urlsplit(url), urlsplit(answered_url)
        if (before.scheme, after.scheme) != ("http", "https"):
            return url
        if after.netloc != before.netloc:
            raise RegistryUnreachable(
                f"{self.host} redirects to https://{after.netloc}/: write https://{after.netloc}/…"
            )
        return f"https://{self.host}{before.path}"

    def _find_plain_port(self) -> None:
        """Return unless it is certain that https fails, because the port of this machine does not speak TLS.

        A call over https would find that too, but reads all certificates of the system first, which takes
        longer than a whole pull from a registry of a test.

        :raises RegistryUnreachable: TLS fails.
        """
        if self._is_plain:
            raise RegistryUnreachable(f"{self.host} does not speak TLS")
        if is_loopback(self.host) and not self._has_certificate:
            try:
                self._shake_hands(443)
            except (OSError, ValueError) as exc:
                raise RegistryUnreachable(f"cannot reach {self.host}: {reason_of(exc)}") from exc

    def _offers_tls(self) -> bool:
        """Tell whether a TLS handshake with the port of plain http succeeds. Nothing is sent in it."""
        try:
            self._shake_hands(80)
        except (OSError, ValueError):
            return False
        return True

    def _shake_hands(self, default_port: int) -> None:
        """Connect with TLS, without a look at certificates, and close the connection.

        :param default_port: the port of a host without one.
        :raises OSError: nothing listens there, or it does not speak TLS.
        :raises ValueError: the host cannot be the name of a server in TLS.
        """
        parts = urlsplit(f"https://{self.host}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the default one would read certificates
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection((parts.hostname or "", parts.port or default_port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname),
        ):
            pass

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
                f"use http://{host}/… directly, or allow insecure registries (--insecure)"
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

        The request is repeated if no answer came, or one with a transient status. Redirects of GET and
        HEAD are followed.

        :param authorization: the value of the header; None to send none.
        :param body: an iterable is sent chunked, and only once.
        :param attempts: how often the request is sent at most; None for the number of the connection.
        :param follow_put: follow redirects of other methods too.
        :raises RegistryUnreachable: no answer came.
        :raises ProtocolError: the answer is too large, or redirects in a circle or from https to http.
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
                if failures + 1 >= left or find_cause(exc, ssl.SSLCertVerificationError):
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
        host = urlsplit(url).netloc
        for _ in range(_REDIRECTS):
            with self.stream(method, url, authorization, headers, body) as response:
                data = b"".join(_bounded(response, self._document_s))
                answer = Answer(response.url or url, response.status_code, response.headers, data)
                location = response.headers.get("Location")
            if not (follow_put and location and 300 <= answer.status < 400):
                return answer
            url = check_redirect(url, location)
            if urlsplit(url).netloc != host:
                authorization = None
        raise ProtocolError(f"{without_query(url)} redirects in a circle")

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
        :raises ProtocolError: the URL is invalid, or redirects in a circle or from https to http.
        """
        host = urlsplit(url).netloc
        try:
            with self._requests.request(
                method,
                url,
                headers=dict(headers),
                data=body,
                auth=AuthorizationHeader(authorization),
                stream=True,
                allow_redirects=method in ("GET", "HEAD"),
                **self._options,
            ) as response:
                yield response
        except requests.exceptions.InvalidURL as exc:
            raise ProtocolError(f"{without_query(url)} is not a valid URL") from exc
        except requests.exceptions.TooManyRedirects as exc:
            raise ProtocolError(f"{without_query(url)} redirects in a circle") from exc
        except (requests.RequestException, urllib3.exceptions.HTTPError) as exc:
            raise RegistryUnreachable(f"cannot reach {host}: {reason_of(exc)}") from exc


def _bounded(response: requests.Response, seconds: float) -> Iterator[bytes]:
    size_bytes, begun_s = 0, time.monotonic()
    # urllib3 before 2.1 waits until the chunk is full
    read = getattr(response.raw, "read1", response.raw.read)
    while chunk := read(64 * 1024, decode_content=True):
        size_bytes += len(chunk)
        if time.monotonic() - begun_s > seconds:
            raise RegistryUnreachable(
                f"{without_query(response.url)} answers too slowly: not within {seconds:g} s"
            )
        if size_bytes > DOCUMENT_LIMIT_BYTES:
            raise ProtocolError(
                f"{without_query(response.url)} answered more than the limit of {DOCUMENT_LIMIT_BYTES} bytes"
            )
        yield chunk


def _unreachable(host: str, failures: Mapping[str, RegistryUnreachable]) -> RegistryUnreachable:
    """Return one exception for the failures of all schemes that were tried."""
    reasons = ", ".join(f"{reason_of(exc.__cause__ or exc)} ({scheme})" for scheme, exc in failures.items())
    text = f"cannot reach {host}: {reasons}"
    exc = failures.get("https")
    helps = not (find_cause(exc, ssl.SSLCertVerificationError) or find_cause(exc, socket.gaierror))
    if helps and "http" not in failures:
        text += f"; if it uses plain http, write http://{host}/…, or allow insecure registries (--insecure)"
    summary = RegistryUnreachable(text)
    summary.__cause__ = exc or failures["http"]
    return summary


def _spoke_tls(exc: BaseException) -> bool:
    """Tell whether the connection failed after the TLS handshake, or because of the certificate."""
    # http.client raises its own exceptions only while it reads an answer.
    return any(find_cause(exc, kind) for kind in (ssl.SSLCertVerificationError, http.client.HTTPException))
