"""The registry that is mirrored: how it is reached, which API it has, and what its failures mean."""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

try:
    import urllib3
except ImportError as exc:
    raise ImportError("a mirror needs requests: pip install 'v1registry[server]'") from exc

from .. import errors
from ..client.answers import TRANSIENT_STATUSES, Answer
from ..client.connection import Connection, ConnectionOptions, Credentials
from ..client.errors import (
    ApiNotOffered,
    ClientError,
    NotAuthorized,
    NotFoundInRegistry,
    ProtocolError,
    RegistryUnreachable,
)
from ..client.progress import Silence
from ..client.reference import HUB_REGISTRY, Reference
from ..client.transfer import Transfer
from ..client.user_agent import default_user_agent
from ..client.v2.repository import find_api
from ..clock import Clock
from ..log import get_logger
from ..names import RepositoryName
from ..settings import Settings

log = get_logger(__name__)

#: How long the origin is not asked after it did not answer, and the longest pause that it can ask for, in
#: seconds.
_PAUSE_S: Final = 10
_LONGEST_PAUSE_S: Final = 60

#: How often a call is tried.
_ATTEMPTS: Final = 2

#: How long an answer may take that is not a layer or a blob, in seconds.
_DOCUMENT_S: Final = 60.0

#: A transfer may be this slow on average, once it has taken this long.
_LEAST_BYTES_PER_S: Final = 1024
_SLOW_FOR_S: Final = 60.0

_CHUNK_BYTES: Final = 256 << 10


class NotAtOrigin(Exception):
    """The origin does not have this, or does not give it to the user of the mirror."""


@dataclass(frozen=True)
class Body:
    """A layer or a blob of the origin that is about to come."""

    size: int | None  #: bytes of the whole; None if the origin does not say it
    chunks: Iterator[bytes]


class Origin:
    """The registry at a URL. Safe for threads. Nothing is opened before the first question.

    :param settings: those of the mirror.
    :param clock: tells when pauses are over.
    :param timer: seconds that never go back, by which the speed of transfers is measured.
    :raises BadCertificate: the file with certificates is unreadable.
    """

    def __init__(self, settings: Settings, clock: Clock, *, timer: Callable[[], float] = time.monotonic):
        url = urlsplit(settings.mirror)
        #: whether the origin is asked by the distribution API; None if that is still unknown
        self.known_v2: bool | None = {"v1": False, "v2": True}.get(settings.mirror_api)
        self._may_redirect_to = frozenset(host.lower() for host in settings.mirror_redirect_hosts)
        self._most_bytes = settings.max_mirror_blob_bytes
        self._clock = clock
        self._timer = timer
        self._paused_until = float("-inf")
        self._scheme, self._host = url.scheme, url.netloc.lower()
        options = ConnectionOptions(
            scheme=url.scheme,
            is_insecure=False,
            verify=None,
            authorities=(settings.mirror_ca_file,) if settings.mirror_ca_file else (),
            client_certificate=None,
            timeout_s=settings.mirror_timeout_s,
            parallel=settings.mirror_fetches,
            attempts=_ATTEMPTS,
            user_agent=default_user_agent(),
            sleep=time.sleep,
            check_url=self._check_url,
            document_s=_DOCUMENT_S,
            keeps_cookies=False,
        )
        self.connection = Connection(self._host, options)
        self.credentials = (
            Credentials(settings.mirror_user, settings.mirror_password) if settings.mirror_user else None
        )

    def has_v2(self) -> bool:
        """Tell whether the origin is asked by the distribution API.

        :raises OriginUnavailable: it does not answer.
        """
        if self.known_v2 is None:
            with self.asked():
                _, answer = self.connection.find("/v2/")
                if answer.status in TRANSIENT_STATUSES:
                    raise self.failure(answer.status, answer.headers, "the ping of /v2/")
                self.known_v2 = find_api(self.connection) is not None
        return self.known_v2

    def ping(self) -> None:
        """Ask whether the origin is there.

        :raises OriginUnavailable: it does not answer.
        """
        with self.asked():
            path, ping = ("/v1/", "_ping") if self.known_v2 is False else ("/v2/", "")
            _, answer = self.connection.find(path, ping)
            if answer.status in TRANSIENT_STATUSES:
                raise self.failure(answer.status, answer.headers, f"the ping of {path}")

    def transfer(self, name: RepositoryName) -> Transfer:
        """Return what calls on a repository need.

        Official repositories are named without ``library/``, but at Docker Hub, as docker does.
        """
        is_hub = self.connection.host == HUB_REGISTRY
        path = str(name) if is_hub else name.short
        reference = Reference(self._host, path, "latest", self._scheme)
        return Transfer(self.connection, self.credentials, reference, Silence(), 1, self._most_bytes)

    # -- failures

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Turn the failures of calls to the origin into those of this application.

        :raises OriginUnavailable: the origin did not answer, now or lately.
        :raises NotAtOrigin: it refuses what was asked.
        :raises OriginInvalid: its answer is invalid.
        """
        left_s = self._paused_until - self._clock.monotonic_s()
        if left_s > 0:
            raise errors.OriginUnavailable("it did not answer lately", int(left_s) + 1)
        try:
            yield
        except RegistryUnreachable as exc:
            self._pause(_PAUSE_S)
            raise errors.OriginUnavailable(str(exc), _PAUSE_S) from exc
        except (NotAuthorized, NotFoundInRegistry) as exc:
            raise NotAtOrigin(str(exc)) from exc
        except (ApiNotOffered, ProtocolError, ClientError) as exc:
            raise errors.OriginInvalid(reason=str(exc)) from exc

    def check(self, answer: Answer, what: str) -> None:
        """Return if an answer is 200.

        :raises NotAtOrigin: the origin does not have what was asked, or refuses it.
        :raises OriginUnavailable: it cannot answer now.
        :raises OriginInvalid: it gave any other answer.
        """
        self.check_status(answer.status, answer.headers, what)

    def check_status(self, status: int, headers: Mapping[str, str], what: str) -> None:
        """Do the same for the status of an answer whose body is unread."""
        if status in (401, 403, 404):
            raise NotAtOrigin(f"{what}: {status}")
        if status in TRANSIENT_STATUSES:
            raise self.failure(status, headers, what)
        if status != 200:
            raise errors.OriginInvalid(reason=f"{what}: {status}")

    def failure(self, status: int, headers: Mapping[str, str], what: str) -> errors.OriginUnavailable:
        """Return the failure of an answer that says that the origin cannot answer now.

        After 429 it is not asked again for as long as it says.
        """
        delay = headers.get("Retry-After", "")
        seconds = int(delay) if re.fullmatch(r"[0-9]{1,6}", delay) else _PAUSE_S
        seconds = min(max(seconds, 1), _LONGEST_PAUSE_S)
        if status == 429:
            self._pause(seconds)
        return errors.OriginUnavailable(f"{what}: {status}", seconds)

    def _pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, self._clock.monotonic_s() + seconds)

    # -- bodies

    def body_of(self, response: Any, what: str, expected: int | None, start: int = 0) -> Body:
        """Return the body of an answer that is 200, or 206 with the rest of a value. It is bounded in size
        and time.

        :param response: of requests, unread.
        :param expected: how many bytes the whole must have; None if that is unknown.
        :param start: how many bytes have come already.
        :raises OriginInvalid: it announces a different size, or more than may be fetched.
        """
        length = response.headers.get("Content-Length", "")
        size = start + int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
        if None not in (size, expected) and size != expected:
            raise errors.OriginInvalid(reason=f"{what} has {size} bytes, not {expected}")
        size = expected if size is None else size
        if size is not None and size > self._most_bytes:
            raise errors.OriginInvalid(
                reason=f"{what} has {size} bytes, more than {self._most_bytes} (max_mirror_blob_bytes)"
            )
        return Body(size, self._chunks(response, what, size, start))

    def _chunks(self, response: Any, what: str, size: int | None, start: int) -> Iterator[bytes]:
        begun_s, received = self._timer(), start
        while chunk := self._read(response, what):
            received += len(chunk)
            if received > (self._most_bytes if size is None else size):
                raise errors.OriginInvalid(reason=f"{what} is larger than announced or than may be fetched")
            taken_s = self._timer() - begun_s
            if taken_s > _SLOW_FOR_S and received - start < taken_s * _LEAST_BYTES_PER_S:
                raise errors.OriginUnavailable(f"{what} comes too slowly")
            yield chunk
        if size is not None and received != size:
            raise errors.OriginUnavailable(f"{what} ended after {received} of {size} bytes", 1)

    @staticmethod
    def _read(response: Any, what: str) -> bytes:
        """Return the bytes that are there, or wait for some; none at the end.

        :raises OriginUnavailable: the connection broke. The origin may be asked again at once.
        """
        try:
            # urllib3 before 2.1 waits until the chunk is full
            data: bytes = getattr(response.raw, "read1", response.raw.read)(_CHUNK_BYTES)
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise errors.OriginUnavailable(f"{what} broke off: {exc}", 1) from exc
        return data

    # -- where the origin may send the mirror

    def _check_url(self, url: str) -> None:
        """Check that a URL that the origin names leads to itself, to a public address, or to a host that the
        settings allow.

        :raises ProtocolError: it does not.
        """
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if parts.netloc.lower() in (self._host, self.connection.host) or host in self._may_redirect_to:
            return
        try:
            found = socket.getaddrinfo(host, parts.port or parts.scheme, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return  # it cannot be reached either
        if not all(ipaddress.ip_address(address[0]).is_global for *_, address in found):
            raise ProtocolError(
                f"{self._host} refers to {host}, which has a private address; "
                "if that is right, add the host to mirror_redirect_hosts"
            )
