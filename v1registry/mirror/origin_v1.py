"""Questions to an origin of the API v1: its index, and the registries that the index names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Final

from cachetools import TTLCache

from .. import errors
from ..archives.images import UnreadableImage, read_image_json
from ..client.answers import Answer, checksums_in, read_tags
from ..client.errors import RegistryUnreachable
from ..client.repository import RepositoryClient
from ..clock import Clock
from ..layers.remembered import Remembered
from ..names import RepositoryName, is_image_id, is_v2_tag
from .origin import Body, NotAtOrigin, Origin

#: How many repositories are kept with their tokens, and for how long, in seconds.
_KEPT_REPOSITORIES: Final = 1000
_KEPT_S: Final = 600

#: What the images that are kept may take, in bytes, and what one takes without JSON, and an id.
_KEPT_IMAGE_BYTES: Final = 32 << 20
_IMAGE_BYTES: Final = 1000
_ID_BYTES: Final = 128


@dataclass(frozen=True)
class RemoteImage:
    """What the origin says of an image."""

    image_id: str
    json: bytes
    ancestry: tuple[str, ...]  #: the image first
    size: int | None  #: of the layer, in bytes; None if the origin does not say it
    checksums: frozenset[str]  #: payload sums, of which one must be right; none if the origin has none


class V1Origin:
    """An origin of the API v1. Safe for threads.

    :param most_in_chain: how many images an image and its ancestors may be.
    """

    def __init__(self, origin: Origin, most_in_chain: int, clock: Clock):
        self._origin = origin
        self._most_in_chain = most_in_chain
        self._opened: TTLCache[RepositoryName, RepositoryClient] = TTLCache(
            _KEPT_REPOSITORIES, _KEPT_S, timer=clock.monotonic_s
        )
        self._mutex = Lock()  # cachetools is not safe for threads
        self._images = Remembered[RemoteImage](_KEPT_IMAGE_BYTES, _size_of)

    def image_ids(self, name: RepositoryName) -> list[str]:
        """Return the ids in the image list of a repository, which is asked for again.

        :raises NotAtOrigin: there is no such repository.
        :raises OriginUnavailable: the origin cannot answer now.
        :raises OriginInvalid: its answer is invalid.
        """
        with self._origin.asked():
            entries = self._ask_index(name)[1].json()
        found = entries if isinstance(entries, list) else []
        ids = (entry.get("id") for entry in found if isinstance(entry, dict))
        return [str(image_id) for image_id in ids if is_image_id(image_id)]

    def tags(self, name: RepositoryName) -> dict[str, str]:
        """Return the tags of a repository with the ids of their images. Short ids are completed. Tags that
        cannot be set here are left out.

        :raises NotAtOrigin: there is no such repository.
        :raises OriginUnavailable: the origin cannot answer now.
        :raises OriginInvalid: its answer is invalid.
        """
        with self._origin.asked():
            answer = self._call(name, f"{self._path(name)}/tags")
            self._origin.check(answer, answer.url)
            tags = {tag: image_id for tag, image_id in read_tags(answer).items() if is_v2_tag(tag)}
        known = None
        if not all(is_image_id(image_id) for image_id in tags.values()):
            known = self.image_ids(name)
        found = {tag: _whole(image_id, known or ()) for tag, image_id in tags.items()}
        return {tag: image_id for tag, image_id in found.items() if image_id is not None}

    def tag(self, name: RepositoryName, tag: str) -> str:
        """Return the id of the image of a tag.

        :raises NotAtOrigin: there is no such tag.
        :raises OriginUnavailable: the origin cannot answer now.
        :raises OriginInvalid: its answer is invalid.
        """
        with self._origin.asked():
            answer = self._call(name, f"{self._path(name)}/tags/{tag}")
            if answer.status not in (401, 403, 404):
                self._origin.check(answer, answer.url)
                image_id = answer.json()
                if is_image_id(image_id):
                    return str(image_id)
        # the real Hub had lists alone
        found = self.tags(name).get(tag)
        if found is None:
            raise NotAtOrigin(f"{name} has no tag {tag}")
        return found

    def image(self, name: RepositoryName, image_id: str) -> RemoteImage:
        """Return what a repository says of an image.

        :raises NotAtOrigin: there is no such image.
        :raises OriginUnavailable: the origin cannot answer now.
        :raises OriginInvalid: its answer is invalid.
        """
        found = self._images.find((name, image_id))
        if found is None:
            found = self._ask_image(name, image_id)
            self._images.keep((name, image_id), found)
        return found

    def _ask_image(self, name: RepositoryName, image_id: str) -> RemoteImage:
        with self._origin.asked():
            ancestry_answer = self._call(name, f"images/{image_id}/ancestry")
            self._origin.check(ancestry_answer, ancestry_answer.url)
            ancestry = ancestry_answer.json()
            answer = self._call(name, f"images/{image_id}/json")
            self._origin.check(answer, answer.url)
        if (
            not isinstance(ancestry, list)
            or not 0 < len(ancestry) <= self._most_in_chain
            or not all(map(is_image_id, ancestry))
            or len(set(ancestry)) != len(ancestry)
            or ancestry[0] != image_id
        ):
            raise errors.OriginInvalid(reason=f"{ancestry_answer.shown} is no ancestry")
        try:
            parent_id = read_image_json(answer.body, image_id)
        except UnreadableImage as exc:
            raise errors.OriginInvalid(reason=f"{answer.shown}: {exc}") from exc
        if parent_id != (ancestry[1] if len(ancestry) > 1 else None):
            raise errors.OriginInvalid(reason=f"{answer.shown} names a different parent than the ancestry")
        size = answer.headers.get("X-Docker-Size", "")
        return RemoteImage(
            image_id,
            answer.body,
            tuple(ancestry),
            int(size) if re.fullmatch(r"[0-9]{1,18}", size) else None,
            checksums_in(answer.headers),
        )

    @contextmanager
    def layer(self, name: RepositoryName, image: RemoteImage) -> Iterator[Body]:
        """Open the layer of an image. Its checksum is not checked.

        :raises NotAtOrigin: there is no such layer.
        :raises OriginUnavailable: the origin cannot answer now, or the layer breaks off.
        :raises OriginInvalid: its answer is invalid.
        """
        with self._origin.asked():
            client = self._open(name)
            for endpoint in client.endpoints():
                url = f"{endpoint}images/{image.image_id}/layer"
                # this renews an expired token too
                self._origin.check(client.call("GET", f"{endpoint}images/{image.image_id}/json"), url)
                authorization = client.image_authorization(url)
                with self._origin.connection.stream("GET", url, authorization, {}) as response:
                    self._origin.check_status(response.status_code, response.headers, url)
                    yield self._origin.body_of(response, url, image.size)
                return

    # -- inside

    @staticmethod
    def _path(name: RepositoryName) -> str:
        return f"repositories/{name}"

    def _open(self, name: RepositoryName) -> RepositoryClient:
        with self._mutex:
            found = self._opened.get(name)
        return self._ask_index(name)[0] if found is None else found

    def _ask_index(self, name: RepositoryName) -> tuple[RepositoryClient, Answer]:
        """Return a client of a repository, which has a token, and the answer with the image list."""
        transfer = self._origin.transfer(name)
        answers: list[Answer] = []

        def ask_index(authorization: str | None, headers: Mapping[str, str]) -> Answer:
            url = f"{client.index_url}{client.path}/images"
            answer = transfer.connection.call("GET", url, authorization=authorization, headers=headers)
            self._origin.check(answer, url)
            answers[:] = [answer] if is_first else []
            return answer

        client, is_first = transfer.repository(ask_index), True
        client.open()
        is_first = False
        with self._mutex:
            self._opened[name] = client
        # the list may be large, and renewals of the token bring it again
        return client, answers.pop()

    def _call(self, name: RepositoryName, path: str) -> Answer:
        """Ask the first registry of the index that answers."""
        client, failure = self._open(name), RegistryUnreachable("the index names no registry")
        for endpoint in client.endpoints():
            try:
                return client.call("GET", f"{endpoint}{path}")
            except RegistryUnreachable as exc:
                failure = exc
        raise failure


def _size_of(image: RemoteImage) -> int:
    return _IMAGE_BYTES + len(image.json) + _ID_BYTES * len(image.ancestry) + sum(map(len, image.checksums))


def _whole(start: str, known: list[str] | tuple[()]) -> str | None:
    """Return the image id that begins with ``start``; None if that is not clear."""
    if is_image_id(start):
        return start
    found = {image_id for image_id in known if start and image_id.startswith(start)}
    return found.pop() if len(found) == 1 else None
