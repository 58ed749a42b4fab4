"""What one push or pull may do where: the token and the endpoints that the index gave for a repository."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from ..names import RepositoryName
from .errors import NotAuthorized
from .session import Answer, Credentials, Session

#: Makes the first call of a push or a pull, with this authorization and these headers.
AskIndex = Callable[[str | None, Mapping[str, str]], Answer]


class Access:
    """The authorization of every call on one repository. Safe for threads.

    Basic goes to the index (the host that the user named) alone; with a standalone registry over https on every call,
    else only where the index gave no token. Calls on endpoints carry the index's token, as engines do it.
    Source: moby v1.9.1 registry/session.go; clients.md 2.5.

    :param ask_index: repeated when the token has expired on the way.
    """

    def __init__(
        self,
        session: Session,
        credentials: Credentials | None,
        name: RepositoryName,
        ask_index: AskIndex,
    ):
        self._session = session
        self._credentials = credentials
        self._ask_index = ask_index
        self._lock = threading.Lock()
        self._token = ""
        self.index_url = session.ping().url
        self.repository_path = f"repositories/{name}"
        #: Where the images are: ``https://host/v1/``, never empty.
        self.endpoints: tuple[str, ...] = (self.index_url,)

    def open(self) -> None:
        """Ask the index for a token and for the endpoints. Whatever ``ask_index`` raises."""
        answer = self._ask_index(self.index_authorization, {"X-Docker-Token": "true"})
        self._token = answer.headers.get("X-Docker-Token", "").strip()
        hosts = [host.strip() for host in answer.headers.get("X-Docker-Endpoints", "").split(",")]
        urls = [self._session.endpoint_url(host) for host in hosts if host]
        # Engines since 0.11 use the index itself where it names no endpoint (hub.md 4.1).
        self.endpoints = tuple(dict.fromkeys(urls)) or (self.index_url,)

    @property
    def index_authorization(self) -> str | None:
        return self._credentials.header if self._credentials else self._token_header()

    def image_authorization(self, url: str) -> str | None:
        """Return the header for a call on an endpoint."""
        is_index = urlsplit(url).netloc == urlsplit(self.index_url).netloc
        ping = self._session.ping()
        if self._credentials and is_index and ping.is_standalone and ping.scheme == "https":
            return self._credentials.header
        if self._token:
            return self._token_header()
        return self._credentials.header if self._credentials and is_index else None

    def _token_header(self) -> str | None:
        # docker-registry puts the scheme's name into the value already.
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
        """Make a call on an endpoint and return its answer; ask for a new token once where the old one is refused.

        ``chunks`` makes the body anew for each try. RegistryUnreachable, ProtocolError.
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
        return self._session.call(
            method, url, authorization=authorization, headers=headers, body=chunks() if chunks else body
        )

    def renew(self, refused: str | None) -> bool:
        """Get a new token instead of the one in ``refused``; tell whether there is another one now."""
        with self._lock:
            if refused is None or refused != self._token_header():
                return refused is not None and refused.startswith("Token ")
            try:
                answer = self._ask_index(self.index_authorization, {"X-Docker-Token": "true"})
            except NotAuthorized:
                return False
            self._token = answer.headers.get("X-Docker-Token", "").strip()
            return self._token_header() != refused
