"""HTTP as the client speaks it: one host and its endpoints, found once; bounded answers; failures in plain words."""

from __future__ import annotations

import base64
import json
import platform
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

try:
    import requests
    import urllib3
    from requests.adapters import HTTPAdapter
except ImportError as exc:
    raise ImportError("the client needs requests: pip install 'v1registry[server]'") from exc

from ..names import is_loopback
from ..version import __version__
from .errors import ClientError, NotAuthorized, NotFoundInRegistry, ProtocolError, RegistryUnreachable
from .reference import check_host, split_scheme

#: JSON documents of images may be as large as our server takes them; other answers are far smaller.
DOCUMENT_LIMIT_BYTES = 16 << 20

_REDIRECTS = 5
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}

#: Answers that mean: later it may work.
TRANSIENT_STATUSES = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Answer:
    """A small answer, read whole."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error_text(self) -> str:
        """What the server says about a failure: ``error`` of a JSON object, a JSON string, or plain text."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            is_text = self.headers.get("Content-Type", "").startswith("text/plain")
            value = self.body.decode("utf-8", "replace") if is_text else ""
        if isinstance(value, dict):
            value = value.get("error")
        text = value if isinstance(value, str) else ""
        return re.sub(r"[^\x20-\x7e\xa0-\U0010ffff]+", " ", text).strip()[:300]

    def json(self) -> Any:
        """Return the body as JSON. ProtocolError."""
        try:
            return json.loads(self.body.decode("utf-8"))
        except (ValueError, RecursionError) as exc:
            raise ProtocolError(f"{self.url} answered something that is no JSON") from exc

    def failure(self, doing: str) -> ClientError:
        """Return the exception for an answer that was not expected. ``doing`` says what was wanted: "push x"."""
        status = f"{self.status} {_phrase(self.status)}".strip()
        where = f"{self.url} answered {status}" + (f": {self.error_text}" if self.error_text else "")
        if self.status == 401:
            return NotAuthorized(f"cannot {doing} without (other) credentials: {where}")
        if self.status == 403:
            return NotAuthorized(f"cannot {doing}, these credentials do not allow it: {where}")
        if self.status == 404:
            return NotFoundInRegistry(f"cannot {doing}, the registry does not have it: {where}")
        if self.status in TRANSIENT_STATUSES:
            return RegistryUnreachable(f"cannot {doing} now, try again later: {where}")
        return ProtocolError(f"cannot {doing}: {where}")


@dataclass(frozen=True)
class PingResult:
    """What a registry says of itself."""

    url: str  #: such as ``https://localhost:5000/v1/``
    status: int
    is_standalone: bool  #: it checks credentials itself, so they may go along on every call (over https)
    version: str  #: ``X-Docker-Registry-Version``, ``""`` where it is not sent

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0]


@dataclass(frozen=True)
class Credentials:
    username: str
    password: str

    @property
    def header(self) -> str:
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")


class Session:
    """Requests to one registry and its endpoints. Safe for threads; cookies are kept.

    :param host: ``name[:port]``, perhaps with ``http://`` or ``https://`` in front.
    :param scheme: ``http`` or ``https``: only this one is tried. None: https, and http where that is allowed.
    :param is_insecure: plain http is allowed for any host, and certificates are not verified.
    :param verify: False, or the path of a bundle of certificates, instead of the system's own.
    """

    def __init__(
        self,
        host: str,
        *,
        scheme: str | None,
        is_insecure: bool,
        timeout_s: float,
        verify: bool | str,
        client_certificate: str | tuple[str, str] | None,
        parallel: int,
        user_agent: str,
        attempts: int,
        sleep: Callable[[float], object],
    ):
        in_front, rest = split_scheme(host)
        self.host = check_host(rest.rstrip("/"))
        self.attempts = attempts
        self._scheme = scheme or in_front
        self._is_insecure = is_insecure
        self._options: dict[str, Any] = {
            "timeout": (min(timeout_s, 10.0), timeout_s),
            "verify": False if is_insecure else verify,
            "cert": client_certificate,
        }
        self._sleep = sleep
        self._requests = _RequestsSession()
        # A compressed answer would have another length and other bytes than the ones that sums are made of.
        self._requests.headers.update({"User-Agent": user_agent, "Accept-Encoding": "identity"})
        for prefix in ("http://", "https://"):
            self._requests.mount(prefix, HTTPAdapter(pool_maxsize=parallel + 1))
        self._ping: PingResult | None = None
        self._ping_lock = threading.Lock()

    def close(self) -> None:
        self._requests.close()

    def pause(self, failures: int) -> None:
        """Wait before the next attempt: longer after each failure."""
        self._sleep(min(0.5 * 2 ** (failures - 1), 15.0))

    # -- finding the registry

    def ping(self) -> PingResult:
        """Return what the registry says of itself; it is asked once. RegistryUnreachable."""
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
                return _read_ping(url, self.call("GET", url + "_ping", attempts=1))
            except RegistryUnreachable as exc:
                failures[scheme] = exc
                if _find_cause(exc, ssl.SSLCertVerificationError):
                    break  # somebody speaks TLS there: plain http would not help
        raise _unreachable(self.host, failures)

    def _may_be_plain(self, host: str) -> bool:
        return self._is_insecure or is_loopback(host)

    def endpoint_url(self, host: str) -> str:
        """Return ``scheme://host/v1/`` of an endpoint that the registry named. ProtocolError.

        It has the scheme of the index, as engines have it, but plain http goes to other machines only where the user
        allowed it.
        """
        try:
            host = check_host(host)
        except ClientError as exc:
            raise ProtocolError(f"{self.host} names an endpoint that is no host: {host[:200]!r}") from exc
        scheme = self.ping().scheme
        if scheme == "http" and self._scheme != "http" and not self._may_be_plain(host):
            raise ProtocolError(
                f"{self.host} names the endpoint {host}, which would be asked over plain http: "
                f"ask it yourself as http://{host}/…, or allow insecure registries"
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
        """Send a request and return its answer, whatever the status. RegistryUnreachable, ProtocolError.

        It is repeated where nobody answered, or the registry was in trouble; a ``body`` that is an iterable is sent
        once, chunked. Redirects of GET are followed; those of other methods only with ``follow_put``.
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
        """Send a request; give its answer with the body unread. RegistryUnreachable, also while it is read."""
        host = url.split("/")[2]
        try:
            with self._requests.request(
                method,
                url,
                headers=dict(headers),
                data=body,
                auth=_Authorization(authorization),
                stream=True,
                allow_redirects=method == "GET",
                **self._options,
            ) as response:
                yield response
        except requests.exceptions.InvalidURL as exc:
            raise ProtocolError(f"{url} is no address") from exc
        except requests.exceptions.TooManyRedirects as exc:
            raise ProtocolError(f"{url} redirects in a circle") from exc
        except (requests.RequestException, urllib3.exceptions.HTTPError) as exc:
            raise RegistryUnreachable(f"cannot reach {host}: {_reason(exc)}") from exc


def _bounded(response: requests.Response) -> Iterator[bytes]:
    size_bytes = 0
    for chunk in response.iter_content(64 * 1024):
        size_bytes += len(chunk)
        if size_bytes > DOCUMENT_LIMIT_BYTES:
            raise ProtocolError(f"{response.url} answered more than {DOCUMENT_LIMIT_BYTES} bytes")
        yield chunk


def _unreachable(host: str, failures: Mapping[str, RegistryUnreachable]) -> RegistryUnreachable:
    """Sum up why the registry was found over none of the schemes that were tried."""
    reasons = ", ".join(f"{_reason(exc.__cause__ or exc)} ({scheme})" for scheme, exc in failures.items())
    text = f"cannot reach {host}: {reasons}"
    exc = failures.get("https")
    helps = not (_find_cause(exc, ssl.SSLCertVerificationError) or _find_cause(exc, socket.gaierror))
    if helps and "http" not in failures:
        text += f"; if it speaks plain http, say so: http://{host}/…, or allow insecure registries"
    summary = RegistryUnreachable(text)
    summary.__cause__ = exc or failures["http"]
    return summary


def _read_ping(url: str, answer: Answer) -> PingResult:
    """Read the ping as engines do: the header wins over the body, and what says nothing is standalone (clients.md 2.2)."""
    standalone = answer.headers.get("X-Docker-Registry-Standalone")
    is_standalone = True
    if standalone is not None:
        is_standalone = standalone.strip().lower() in ("true", "1")
    else:
        try:
            value = json.loads(answer.body)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and isinstance(value.get("standalone"), bool):
            is_standalone = value["standalone"]
    return PingResult(url, answer.status, is_standalone, answer.headers.get("X-Docker-Registry-Version", ""))


class _RequestsSession(requests.Session):
    """A session that takes nothing from the user's surroundings but proxies and certificates."""

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """On a redirect: keep ``Authorization`` on the same host only, and never take one from a netrc."""
        old, new = response.request.url or "", prepared_request.url or ""
        if "Authorization" in prepared_request.headers and self.should_strip_auth(old, new):  # type: ignore[no-untyped-call]
            del prepared_request.headers["Authorization"]

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """No proxy for this machine itself, as with engines."""
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        if is_loopback(str(url).split("/")[2]):
            settings["proxies"] = {}
        return settings


class _Authorization(requests.auth.AuthBase):
    """Sets the header, or nothing: without it requests would look into the user's netrc."""

    def __init__(self, value: str | None):
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value is not None:
            request.headers["Authorization"] = self._value
        return request


def _reason(exc: BaseException) -> str:
    """Say in a few words what lies under the exceptions of three libraries."""
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
    """Return the first exception of ``kind`` among those that led to ``exc``, ``requests``' own aside."""
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


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def default_user_agent() -> str:
    """Return what the client calls itself, in the form that registries read: ``name/version`` pairs.

    docker-registry up to 0.9.0 answers 500 to a checksum from an agent without ``docker/x.y``; name one for it.
    """
    machine = _MACHINES.get(platform.machine(), platform.machine().lower())
    return f"v1registry/{__version__} python/{platform.python_version()} os/{platform.system().lower()} arch/{machine}"
