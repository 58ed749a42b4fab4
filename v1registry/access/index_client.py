"""What a registry asks the index that it trusts: whether a token is good, and which images its bearer may use (hub.md 6)."""

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
from ..version import __version__

log = get_logger(__name__)

#: How large an answer may be: an image list of some hundred thousand images.
ANSWER_LIMIT_BYTES = 16 << 20

#: Connections that are kept open for the next question.
_KEPT_CONNECTIONS = 32

_CHUNK_BYTES = 64 * 1024

#: Answers that say nothing of the token: the index, or a proxy in front of it, is in trouble.
_TROUBLE = frozenset({429, 500, 502, 503, 504})


class IndexClient:
    """An index at a URL. Safe for threads; nothing is opened before the first question.

    The header goes there byte for byte, and nowhere else: redirects are not followed, cookies not kept, no netrc is read. Proxies
    and certificates are those of the environment (``HTTPS_PROXY``, ``REQUESTS_CA_BUNDLE``); certificates are always verified.

    :param url: such as ``https://index.example.com``; the paths of the API begin below it.
    :param timeout_s: how long the index may be silent, and how long an answer may take as a whole.
    :param answer_limit_bytes: a longer answer is none.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0, answer_limit_bytes: int = ANSWER_LIMIT_BYTES):
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._answer_limit_bytes = answer_limit_bytes
        # one session a question at a time: a session is no more than that
        self._idle: deque[requests.Session] = deque(maxlen=_KEPT_CONNECTIONS)

    def image_ids(self, repository: RepositoryName, authorization: str) -> frozenset[str] | None:
        """Return the ids in the repository's image list if the header is good for it, None if not. IndexUnavailable.

        Source: docker-registry 0.9.1, toolkit.py, validate_token. A body that is no list of objects with ids makes the
        token bad, whatever the status.
        """
        found = self._ask(f"repositories/{_path(repository)}/images", authorization)
        if not isinstance(found, list):
            return None
        image_ids = [element.get("id") if isinstance(element, dict) else None for element in found]
        listed = [image_id for image_id in image_ids if isinstance(image_id, str)]
        return frozenset(listed) if len(listed) == len(image_ids) else None

    def may_use(self, repository: RepositoryName, image_id: str, authorization: str) -> bool:
        """Tell whether the bearer may use an image in the repository; all but a clear yes is no. IndexUnavailable.

        Source: docker-registry 0.9.1, toolkit.py, validate_parent_access.
        """
        found = self._ask(f"repositories/{_path(repository)}/layer/{quote(image_id)}/access", authorization)
        return isinstance(found, dict) and found.get("access") is True

    # -- inside

    def _ask(self, path: str, authorization: str) -> object:
        """Return what the JSON of a 200 says, None for every other answer. IndexUnavailable."""
        url = f"{self._url}/v1/{path}"
        try:
            try:
                return self._ask_once(url, authorization, self._kept_session() or _new_session())
            except requests.Timeout:
                raise
            except requests.ConnectionError:
                # what was kept open may have been closed at the other end
                return self._ask_once(url, authorization, _new_session())
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise IndexUnavailable(url=url) from error

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
                raise IndexUnavailable(url=url, status=status)
            if 300 <= status < 400:
                log.warning(
                    "%s redirects to %r, which is not followed", url, response.headers.get("Location")
                )
            parsed = _parse(self._read(response)) if status == 200 else None
        # one in which something was raised does not come here
        self._idle.append(session)
        return parsed

    def _kept_session(self) -> requests.Session | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _read(self, response: requests.Response) -> bytes:
        """Return the body, nothing where it is too long. IndexUnavailable where it takes too long."""
        until = time.monotonic() + self._timeout_s
        parts, size_bytes = [], 0
        # undecoded: nothing compressed was asked for, and nothing shall expand here
        for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
            size_bytes += len(chunk)
            if size_bytes > self._answer_limit_bytes:
                log.warning("%s answers more than %d bytes", response.url, self._answer_limit_bytes)
                return b""
            if time.monotonic() > until:
                raise IndexUnavailable(url=response.url)
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
    # a cookie that the index set for one caller would speak for the next one
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    return session


def _leave_headers_alone(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stand where requests would else put the user's netrc in place of the header."""
    return request


def _path(repository: RepositoryName) -> str:
    return quote(str(repository), safe="/")


def _parse(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
