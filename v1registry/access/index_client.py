"""Ask the index that a registry trusts whether a token is valid, and for which images (hub.md 6)."""

from __future__ import annotations

import http.cookiejar
import json
import time
from collections import deque
from urllib.parse import quote

try:
    import requests
    import urllib3
except ImportError as exc:
    raise ImportError(
        "a registry that trusts an index needs requests: pip install 'v1registry[server]'"
    ) from exc

from ..errors import IndexUnavailable
from ..log import get_logger
from ..names import RepositoryName
from ..settings import without_passwords
from ..version import __version__

log = get_logger(__name__)

#: The maximum of an answer: an image list of some hundred thousand images.
ANSWER_LIMIT_BYTES = 16 << 20

#: How many connections are kept open for later questions.
_KEPT_CONNECTIONS = 32

_CHUNK_BYTES = 64 * 1024

#: Answers that say nothing about the token: the index, or a proxy in front of it, has a problem.
_TROUBLE = frozenset({429, 500, 502, 503, 504})


class IndexClient:
    """An index at a URL. Safe for threads. Nothing is opened before the first question.

    The ``Authorization`` header is passed on byte for byte, to the index alone. Redirects are not followed,
    cookies are not kept, and no netrc file is read. Proxies and certificates are those of the environment
    (``HTTPS_PROXY``, ``REQUESTS_CA_BUNDLE``). Certificates are always verified.

    :param url: such as ``https://index.example.com``; the paths of the API are below it.
    :param timeout_s: how long the index may be silent, and how long an answer may take in all, in seconds.
    :param answer_limit_bytes: a longer answer is ignored.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0, answer_limit_bytes: int = ANSWER_LIMIT_BYTES):
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._answer_limit_bytes = answer_limit_bytes
        # a session answers one question at a time
        self._idle: deque[requests.Session] = deque(maxlen=_KEPT_CONNECTIONS)

    def image_ids(self, repository: RepositoryName, authorization: str) -> frozenset[str] | None:
        """Return the ids in the repository's image list; None if the header is invalid for the repository.

        Source: docker-registry 0.9.1, toolkit.py, validate_token. The header also counts as invalid if the
        body is not a list of objects with ids.

        :raises IndexUnavailable: the index does not answer now.
        """
        found = self._ask(f"repositories/{_path(repository)}/images", authorization)
        if not isinstance(found, list):
            return None
        image_ids = [element.get("id") if isinstance(element, dict) else None for element in found]
        listed = [image_id for image_id in image_ids if isinstance(image_id, str)]
        return frozenset(listed) if len(listed) == len(image_ids) else None

    def may_use(self, repository: RepositoryName, image_id: str, authorization: str) -> bool:
        """Return whether the index says that the caller may use an image in the repository.

        Source: docker-registry 0.9.1, toolkit.py, validate_parent_access.

        :raises IndexUnavailable: the index does not answer now.
        """
        found = self._ask(f"repositories/{_path(repository)}/layer/{quote(image_id)}/access", authorization)
        return isinstance(found, dict) and found.get("access") is True

    # -- inside

    def _ask(self, path: str, authorization: str) -> object:
        """Return the JSON of an answer with status 200, None for every other answer.

        :raises IndexUnavailable: the index does not answer now.
        """
        url = f"{self._url}/v1/{path}"
        try:
            try:
                return self._ask_once(url, authorization, self._kept_session() or _new_session())
            except requests.Timeout:
                raise
            except requests.ConnectionError:
                # the index may have closed the connection that was kept open
                return self._ask_once(url, authorization, _new_session())
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise IndexUnavailable(url=without_passwords(url)) from error

    def _ask_once(self, url: str, authorization: str, session: requests.Session) -> object:
        with session.get(
            url,
            headers={"Authorization": authorization},
            auth=_leave_headers_alone,
            timeout=self._timeout_s,
            allow_redirects=False,
            stream=True,
        ) as response:
            status = response.status_code
            if status in _TROUBLE:
                raise IndexUnavailable(url=without_passwords(url), status=status)
            if 300 <= status < 400:
                location = str(response.headers.get("Location", "")).partition("?")[0]
                log.warning("%s redirects to %r, which is not followed", without_passwords(url), location)
            parsed = _parse(self._read(response)) if status == 200 else None
        # a session in which an exception was raised is not kept
        self._idle.append(session)
        return parsed

    def _kept_session(self) -> requests.Session | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _read(self, response: requests.Response) -> bytes:
        """Return the body, empty if it is too long.

        :raises IndexUnavailable: it takes too long.
        """
        until, shown = time.monotonic() + self._timeout_s, without_passwords(response.url)
        parts, size_bytes = [], 0
        # not decoded: no compression was requested, and a small answer must not become a large one
        for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
            size_bytes += len(chunk)
            if size_bytes > self._answer_limit_bytes:
                log.warning("%s answers more than %d bytes", shown, self._answer_limit_bytes)
                return b""
            if time.monotonic() > until:
                raise IndexUnavailable(url=shown)
            parts.append(chunk)
        return b"".join(parts)


def _new_session() -> requests.Session:
    session = requests.Session()
    session.headers = requests.structures.CaseInsensitiveDict(
        {
            "User-Agent": f"v1registry/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
    )
    # a cookie that the index sets for one caller would be sent for the next one
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    return session


def _leave_headers_alone(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Change nothing. Without this function, requests would replace the header by that of a netrc file."""
    return request


def _path(repository: RepositoryName) -> str:
    return quote(str(repository), safe="/")


def _parse(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
