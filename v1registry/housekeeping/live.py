"""What stays in a garbage collection, because tags and manifests reach it: sets of short digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ..access.marks import Mark, mark_key
from ..names import RepositoryName
from ..registry import layout
from ..rights import Content
from ..storage.at_once import at_once
from ..storage.base import InvalidKey, KeyNotFound, Storage
from .ancestries import Ancestries

#: The bytes of a digest in a set.
_DIGEST_BYTES: Final = 16


def short(text: str) -> bytes:
    """Return what stands for a text in sets."""
    return hashlib.blake2b(text.encode("utf-8"), digest_size=_DIGEST_BYTES).digest()


def content_name(content: Content) -> str:
    """Return a text that no other content has."""
    return f"{content.image_id}/{content.variant}"


def pair_name(stored_name: str, image_id: str) -> str:
    """Return a text for an image in a repository.

    :param stored_name: see :func:`v1registry.registry.layout.stored_name`.
    """
    return f"{stored_name} {image_id}"


@dataclass
class Live:
    """What stays. The digests are those of :func:`short`. Threads may add to it at the same time."""

    contents: set[bytes] = field(default_factory=set)  #: of the names of contents
    pairs: set[bytes] = field(default_factory=set)  #: of images in repositories, whose marks are needed
    images: set[bytes] = field(default_factory=set)  #: of image ids, all of whose contents and marks stay
    blobs: set[bytes] = field(default_factory=set)  #: raw SHA-256

    def has_content(self, content: Content) -> bool:
        """Tell whether a content is reachable."""
        return short(content_name(content)) in self.contents or short(content.image_id) in self.images

    def has_pair(self, stored_name: str, image_id: str) -> bool:
        """Tell whether a repository needs its mark at an image."""
        return short(pair_name(stored_name, image_id)) in self.pairs or short(image_id) in self.images

    def has_blob(self, sha256: str) -> bool:
        """Tell whether a blob is reachable."""
        return bytes.fromhex(sha256) in self.blobs

    def add_blob(self, sha256: str) -> None:
        """Note that a blob is reachable."""
        self.blobs.add(bytes.fromhex(sha256))

    def add_image(self, image_id: str) -> None:
        """Note that all that is stored of an image stays."""
        self.images.add(short(image_id))


class HeldImages:
    """What the tags of one repository reach.

    :param incarnation: of the repository; empty if it has none.
    """

    def __init__(self, storage: Storage, repository: RepositoryName, incarnation: str, live: Live):
        self._storage = storage
        self._ancestries = Ancestries(storage)
        self._repository = repository
        self._stored_name = layout.stored_name(repository)
        self._incarnation = incarnation
        self._live = live
        self.ids: set[str] = set()  #: of all images that were reached

    def add(self, image_ids: Iterable[str]) -> None:
        """Note that images, and their ancestors, are reachable."""
        new = (image_id for image_id in dict.fromkeys(image_ids) if image_id not in self.ids)
        chains = at_once(self._storage, self._chain, new)
        for content, has_json in at_once(self._storage, self._look, self._not_reached(chains)):
            self._live.pairs.add(short(pair_name(self._stored_name, content.image_id)))
            self._live.contents.add(short(content_name(content)))
            if not has_json:
                # an open server shows one of the others
                self._live.add_image(content.image_id)

    def _chain(self, image_id: str) -> tuple[Content, list[str]]:
        """Return the content that the repository holds, with the ids of the image and its ancestors."""
        with self._storage.moment():
            content = self._content(image_id)
            return content, self._ancestries.of(content)

    def _not_reached(
        self, chains: Iterable[tuple[Content, list[str]]]
    ) -> Iterator[tuple[str, Content | None]]:
        """Yield each id once, and the content if it is known."""
        for content, ancestry in chains:
            for image_id in ancestry:
                if image_id not in self.ids:
                    self.ids.add(image_id)
                    yield image_id, content if image_id == content.image_id else None

    def _look(self, found: tuple[str, Content | None]) -> tuple[Content, bool]:
        """Return the content that the repository holds, and False if it is the first one and has no JSON."""
        image_id, content = found
        with self._storage.moment():
            content = content or self._content(image_id)
            if content.variant or short(content_name(content)) in self._live.contents:
                return content, True
            try:
                self._storage.stat(layout.content_key(content, layout.JSON))
            except KeyNotFound:
                return content, False
        return content, True

    def _content(self, image_id: str) -> Content:
        """Return the content that the repository holds; the first one if no mark says it."""
        if not self._incarnation:
            return Content(image_id)
        try:
            mark = Mark.parse(self._storage.read(mark_key(self._repository, image_id))[0])
        except (KeyNotFound, InvalidKey):
            return Content(image_id)
        return Content(image_id, mark.variant if mark.counts(self._incarnation) else "")
