"""Calls on one repository, with the token and the endpoints that the index returned."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from ..names import RepositoryName
from .answers import Answer
from .connection import Connection, Credentials
from .errors import NotAuthorized

#: Sends the first call of a push or a pull with this authorization and these headers.
AskIndex = Callable[[str | None, Mapping[str, str]], Answer]


class RepositoryClient:
    """Calls on one repository, each with the right authorization. Safe for threads.

    Calls to the index (the host that the user named) use Basic. Calls to endpoints use the token of the
    index, as engines do. Two exceptions use Basic: a standalone registry over https, and an index that
    returned no token. Basic is never sent to another host. Source: moby v1.9.1 registry/session.go;
    clients.md 2.5.

    :param ask_index: called by :meth:`open`, and again if the token has expired.
    """

    def __init__(
        self,
        connection: Connection,
        credentials: Credentials | None,
        name: RepositoryName,
        ask_index: AskIndex,
    ):
        self._connection = connection
        self._credentials = credentials
        self._ask_index = ask_index
        self._lock = threading.Lock()
        self._token = ""
        self.index_url = connection.ping().url
        #: Below ``/v1/``.
        self.path = f"repositories/{name}"
        self._endpoint_hosts: tuple[str, ...] = ()

    def open(self) -> None:
        """Ask the index for a token and for the endpoints.

        :raises ClientError: whatever ``ask_index`` raises.
        """
        answer = self._ask_index(self.index_authorization, {"X-Docker-Token": "true"})
        self._token = answer.headers.get("X-Docker-Token", "").strip()
        hosts = (host.strip() for host in answer.headers.get("X-Docker-Endpoints", "").split(","))
        self._endpoint_hosts = tuple(dict.fromkeys(host for host in hosts if host))

    def endpoints(self) -> Iterator[str]:
        """Yield the URLs of the hosts with the images, such as ``https://host/v1/``; at least one.

        Each host is checked when it is reached, because engines pull from the first and ask no other.

        :raises ProtocolError: a host is invalid, or needs a permission of the user.
        """
        for host in self._endpoint_hosts:
            yield self._connection.endpoint_url(host)
        if not self._endpoint_hosts:
            # Engines since 0.11 use the index itself if it names no endpoint (hub.md 4.1).
            yield self.index_url

    @property
    def index_authorization(self) -> str | None:
        """The header for a call to the index."""
        return self._credentials.header if self._credentials else self._token_header()

    def image_authorization(self, url: str) -> str | None:
        """Return the header for a call to an endpoint."""
        is_index = urlsplit(url).netloc == urlsplit(self.index_url).netloc
        ping = self._connection.ping()
        if self._credentials and is_index and ping.is_standalone and ping.scheme == "https":
            return self._credentials.header
        if self._token:
            return self._token_header()
        return self._credentials.header if self._credentials and is_index else None

    def _token_header(self) -> str | None:
        # docker-registry's value begins with the name of the scheme.
        if not self._token or self._token.lower().startswith("token "):
            return self._token or None
        return f"Token {self._token}"

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        chunks: Callable[[], Iterable[bytes]] | None = None,
    ) -> Answer:
        """Send a call to an endpoint and return its answer. If the token is rejected, repeat with a new one.

        :param chunks: makes the body of each attempt, in place of ``body``; sent chunked.
        :raises RegistryUnreachable: no answer came.
        :raises ProtocolError: the answer is too large, or redirects in a circle.
        """
        used = self.image_authorization(url)
        answer = self._call(method, url, used, headers, body, chunks)
        if answer.status == 401 and self.renew(used):
            answer = self._call(method, url, self.image_authorization(url), headers, body, chunks)
        return answer

    def _call(
        self,
        method: str,
        url: str,
        authorization: str | None,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        chunks: Callable[[], Iterable[bytes]] | None,
    ) -> Answer:
        return self._connection.call(
            method, url, authorization=authorization, headers=headers, body=chunks() if chunks else body
        )

    def renew(self, rejected: str | None) -> bool:
        """Get a new token in place of a rejected one. Return whether there is a different one now.

        :param rejected: the header that was rejected.
        """
        with self._lock:
            if rejected is None or rejected != self._token_header():
                return rejected is not None and rejected.startswith("Token ")
            try:
                answer = self._ask_index(self.index_authorization, {"X-Docker-Token": "true"})
            except NotAuthorized:
                return False
            self._token = answer.headers.get("X-Docker-Token", "").strip()
            return self._token_header() != rejected
