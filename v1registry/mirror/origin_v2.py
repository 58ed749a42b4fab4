"""Questions to an origin that has the distribution API (distribution.md 1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from cachetools import TTLCache

from .. import errors
from ..client.answers import without_query
from ..client.v2.repository import V2Repository
from ..clock import Clock
from ..distribution.manifests import KNOWN_TYPES, OCI_INDEX, Manifest, parse_manifest
from ..names import Digest, RepositoryName, is_v2_tag
from .origin import Body, NotAtOrigin, Origin

_ACCEPT: Final = ", ".join(sorted(KNOWN_TYPES))

#: How many repositories are kept with their tokens, and for how long, in seconds.
_KEPT_REPOSITORIES: Final = 1000
_KEPT_S: Final = 3600

#: How many tags of a repository are read, and in how many parts.
_MOST_TAGS: Final = 100_000
_MOST_PARTS: Final = 200

#: How many referrers of a manifest are fetched.
_MOST_REFERRERS: Final = 100


class V2Origin:
    """An origin that has the distribution API. Safe for threads.

    :param most_manifest_bytes: the largest manifest.
    """

    def __init__(self, origin: Origin, most_manifest_bytes: int, clock: Clock):
        self._origin = origin
        self._most_manifest_bytes = most_manifest_bytes
        self._repositories: TTLCache[RepositoryName, V2Repository] = TTLCache(
            _KEPT_REPOSITORIES, _KEPT_S, timer=clock.monotonic_s
        )
        self._mutex = Lock()  # cachetools is not safe for threads

    def digest_of(self, name: RepositoryName, tag: str) -> Digest | None:
        """Return the digest of a tag; None if the origin does not tell it without the manifest.

        :raises NotAtOrigin: there is no such tag.
        :raises OriginUnavailable: the origin cannot answer now.
        :raises OriginInvalid: its answer is invalid.
        """
        with self._origin.asked():
            repository = self._repository(name)
            url = f"{repository.url}manifests/{tag}"
            answer = repository.call("HEAD", url, headers={"Accept": _ACCEPT})
            if answer.status in (400, 405, 501):
                return None
            self._origin.check(answer, url)
        try:
            return Digest.parse(answer.headers.get("Docker-Content-Digest", "").strip())
        except errors.DigestInvalid:
            return None

    def manifest(self, name: RepositoryName, reference: str | Digest) -> Manifest:
        """Return a manifest. Its digest is checked.

        :raises NotAtOrigin: there is no such manifest.
        :raises OriginUnavailable: the origin cannot answer now.
        :raises OriginInvalid: its answer is invalid.
        """
        with self._origin.asked():
            repository = self._repository(name)
            url = f"{repository.url}manifests/{reference}"
            answer = repository.call("GET", url, headers={"Accept": _ACCEPT})
            self._origin.check(answer, url)
        if len(answer.body) > self._most_manifest_bytes:
            raise errors.OriginInvalid(reason=f"{url} is larger than max_manifest_bytes")
        expected = reference if isinstance(reference, Digest) else _announced(answer.headers)
        if expected is not None and not expected.fits(answer.body):
            raise errors.OriginInvalid(reason=f"{url} does not have the digest {expected}")
        media_type = answer.headers.get("Content-Type", "")
        if not media_type.startswith("application/vnd."):
            media_type = ""  # the document itself names its type
        try:
            return parse_manifest(answer.body, media_type)
        except (errors.ManifestInvalid, errors.TooManyValues) as error:
            raise errors.OriginInvalid(reason=f"{url}: {error.public}") from None

    def tags(self, name: RepositoryName) -> list[str]:
        """Return the tags of a repository, sorted.

        :raises NotAtOrigin: there is no such repository.
        :raises OriginUnavailable: the origin cannot answer now.
        :raises OriginInvalid: its answer is invalid.
        """
        found: set[str] = set()
        with self._origin.asked():
            repository = self._repository(name)
            url: str | None = f"{repository.url}tags/list"
            for _ in range(_MOST_PARTS):
                answer = repository.call("GET", str(url))
                self._origin.check(answer, str(url))
                document: Any = answer.json()
                tags = document.get("tags") if isinstance(document, dict) else None
                if not isinstance(tags, list) and tags is not None:
                    raise errors.OriginInvalid(reason=f"{answer.shown} is no list of tags")
                found.update(tag for tag in tags or () if isinstance(tag, str) and is_v2_tag(tag))
                url = _next(str(url), answer.headers.get("Link", ""))
                if url is None or len(found) >= _MOST_TAGS:
                    break
        return sorted(found)[:_MOST_TAGS]

    def referrers(self, name: RepositoryName, subject: Digest) -> list[Digest]:
        """Return manifests that name another one as their subject. Of an origin without lists of referrers it
        is what clients put under the tag ``sha256-DIGEST`` instead.

        :raises NotAtOrigin: there are none.
        :raises OriginUnavailable: the origin cannot answer now.
        :raises OriginInvalid: its answer is invalid.
        """
        with self._origin.asked():
            repository = self._repository(name)
            url = f"{repository.url}referrers/{subject}"
            answer = repository.call("GET", url)
            if answer.status == 404:
                return _digests(self.manifest(name, f"{subject.algorithm}-{subject.hex}"[:128]))
            self._origin.check(answer, url)
        try:
            return _digests(parse_manifest(answer.body, OCI_INDEX))
        except (errors.ManifestInvalid, errors.TooManyValues) as error:
            raise errors.OriginInvalid(reason=f"{url}: {error.public}") from None

    def blob_size(self, name: RepositoryName, digest: Digest) -> int | None:
        """Return how many bytes a blob has; None if the origin does not say it.

        :raises NotAtOrigin: there is no such blob.
        :raises OriginUnavailable: the origin cannot answer now.
        :raises OriginInvalid: its answer is invalid.
        """
        with self._origin.asked():
            repository = self._repository(name)
            url = repository.blob_url(digest)
            answer = repository.call("HEAD", url)
            self._origin.check(answer, url)
        length = answer.headers.get("Content-Length", "")
        return int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None

    @contextmanager
    def blob(self, name: RepositoryName, digest: Digest, start: int = 0) -> Iterator[Body]:
        """Open a blob. Its digest is not checked.

        :param start: how many bytes have come already. The rest is asked for.
        :raises NotAtOrigin: there is no such blob.
        :raises OriginUnavailable: the origin cannot answer now, or the blob breaks off.
        :raises OriginInvalid: its answer is invalid.
        """
        with self._origin.asked():
            repository = self._repository(name)
            url = repository.blob_url(digest)
            used = repository.image_authorization(url)
            headers = {"Range": f"bytes={start}-"} if start else {}
            with self._origin.connection.stream("GET", url, used, headers) as response:
                challenge = response.headers.get("WWW-Authenticate")
                if response.status_code != 401:
                    yield self._body(response, url, start)
                    return
            # the token expired
            repository.call("HEAD", url, headers={})
            renewed = repository.image_authorization(url)
            if renewed == used:
                raise NotAtOrigin(f"{url}: 401 {challenge}")
            with self._origin.connection.stream("GET", url, renewed, headers) as response:
                yield self._body(response, url, start)

    def _body(self, response: Any, url: str, start: int) -> Body:
        status, extent = response.status_code, response.headers.get("Content-Range", "")
        if start and status == 206 and extent.startswith(f"bytes {start}-"):
            return self._origin.body_of(response, url, None, start)
        self._origin.check_status(status, response.headers, url)
        if start:
            raise errors.OriginInvalid(reason=f"{url} broke off, and the origin does not send the rest")
        return self._origin.body_of(response, url, None)

    def _repository(self, name: RepositoryName) -> V2Repository:
        with self._mutex:
            found = self._repositories.get(name)
        if found is None:
            found = V2Repository(self._origin.transfer(name), actions="pull")
            with self._mutex:
                self._repositories[name] = found
        return found


def _digests(index: Manifest) -> list[Digest]:
    """Return the first entries of an index."""
    return [entry.digest for entry in index.entries[:_MOST_REFERRERS]]


def _announced(headers: Any) -> Digest | None:
    """Return the digest that an answer names; None without one.

    :raises OriginInvalid: it is malformed.
    """
    text = headers.get("Docker-Content-Digest")
    try:
        return None if text is None else Digest.parse(text.strip())
    except errors.DigestInvalid:
        raise errors.OriginInvalid(reason="Docker-Content-Digest is malformed") from None


def _next(url: str, link: str) -> str | None:
    """Return the URL of the next part of a list; None after the last one.

    :raises OriginInvalid: it is at a different host.
    """
    target, _, relation = link.partition(">")
    if 'rel="next"' not in relation.replace(" ", "") or not target.startswith("<"):
        return None
    following = urljoin(url, target[1:])
    if urlsplit(following)[:2] != urlsplit(url)[:2]:
        raise errors.OriginInvalid(reason=f"{without_query(url)} goes on at a different host")
    return following
