"""A search for damaged images: JSON, layers, sums, ancestries, and marks of holders."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from .. import errors
from ..access.marks import Mark
from ..layers.checksums import PayloadChecksum, parse_checksums
from ..layers.compression import ExpansionLimitExceeded, UnreadableLayer
from ..layers.tarsum import Label, verify_tarsum
from ..names import is_image_id
from ..registry import layout
from ..registry.contents import Contents
from ..registry.keeping import CLAIM, is_removing
from ..registry.wholeness import parts_of, stored_ancestry
from ..rights import Content, Parts
from ..storage.base import Blob, KeyNotFound, Stat, Storage, StorageUnavailable
from .findings import MOVE, PUSH, Problem
from .quarantine import Quarantine
from .verify_state import ReadLately

#: How many contents that look damaged are looked at again at the end: they may be on their way out.
_MOST_DOUBTFUL: Final = 10_000

_UNFIT: Final = "the layer or the JSON does not fit the stored sum"


class Known:
    """What a run has found whole and damaged so far. Texts are numbers, so that millions fit into memory."""

    def __init__(self) -> None:
        self._whole = set[int]()
        self.damaged = set[str]()  #: folders of contents, and keys of blobs
        #: etags of blobs -> the digest that a pass over the layer of an image found
        self.linked: dict[int, bytes | None] = {}

    def add_whole(self, place: str) -> None:
        """Note that a content or a blob is stored."""
        self._whole.add(hash(place))

    def is_whole(self, place: str) -> bool:
        """Tell whether a content or a blob was found whole."""
        return hash(place) in self._whole and place not in self.damaged


@dataclass
class Reading:
    """How layers and blobs are read."""

    lately: ReadLately
    quarantine: Quarantine | None  #: takes what does not fit; None to leave it where it is
    read: Callable[[int], None]  #: called with the size of each chunk
    skipped: int = 0  #: how many layers and blobs were read lately

    def chunks(self, blob: Blob) -> Iterator[bytes]:
        """Yield the bytes of a value."""
        for chunk in blob:
            self.read(len(chunk))
            yield chunk


class ImageVerification:
    """Looks at the images of a storage. For one thread.

    :param reading: how layers are read and compared with their sums; None if they are not.
    :param looked_at: called for each image.
    """

    def __init__(
        self, storage: Storage, known: Known, reading: Reading | None, looked_at: Callable[[], None]
    ):
        self._storage = storage
        self._contents = Contents(storage)
        self._known = known
        self._reading = reading
        self._looked_at = looked_at
        self._doubtful: list[Content] = []
        self._with_variants = set[int]()
        self.images = 0  #: how many image ids were looked at

    def has_variants(self, image_id: str) -> bool:
        """Tell whether an id had contents beside the first when it was looked at."""
        return hash(image_id) in self._with_variants

    def problems(self) -> Iterator[Problem]:
        """Yield what is damaged."""
        for image_id in self._storage.list_folders(layout.IMAGES):
            if is_image_id(image_id):
                self.images += 1
                self._looked_at()
                with self._storage.moment():
                    # the consumer of these makes its own calls
                    found = list(self._of_image(image_id))
                yield from found
        doubtful, self._doubtful = self._doubtful, []
        for content in doubtful:
            yield from self._of_content(content, is_last_look=True)

    def _of_image(self, image_id: str) -> Iterator[Problem]:
        # in the order of their keys
        for name in self._contents.variants(image_id):
            self._with_variants.add(hash(image_id))
            yield from self._of_content(Content(image_id, name))
        if not self._contents.has_mark(image_id):
            yield from self._of_content(Content(image_id))
        for stat in self._storage.list(f"{layout.image_key(image_id, layout.HELD)}/"):
            if Mark.parse(self._value(stat.key)).is_damaged:
                yield Problem(stat.key, "the mark of the holder is cut: push the repository again")

    def _of_content(self, content: Content, *, is_last_look: bool = False) -> Iterator[Problem]:
        folder = layout.content_folder(content)
        try:
            parts = parts_of(self._storage, content)
        except errors.ImageDamaged as error:
            if not is_last_look and len(self._doubtful) < _MOST_DOUBTFUL:
                self._doubtful.append(content)
                return
            self._known.damaged.add(folder)
            # a collection that was killed leaves halves, and the next one removes the rest
            if not is_removing(self._value(f"{folder}/{CLAIM}")):
                yield Problem(folder, f"{error.damage}: {PUSH}")
            return
        except errors.ImageNotFound:
            return
        self._known.add_whole(folder)
        if self._has(f"{folder}/{layout.ANCESTRY}") and stored_ancestry(self._storage, content) is None:
            yield Problem(
                f"{folder}/{layout.ANCESTRY}",
                "the list of ancestors is empty or cut: the next pull makes it from the parents",
            )
        sums = parse_checksums(self._value(f"{folder}/{layout.CHECKSUM}"))
        if self._has(f"{folder}/{layout.CHECKSUM}") and not any(map(_is_sum, sums)):
            yield Problem(f"{folder}/{layout.CHECKSUM}", "the sum of the layer is empty or cut")
        expected = [sum_ for sum_ in sums if _is_sum(sum_)]
        if self._reading is not None and expected and parts.layer is not None:
            yield from self._of_layer(content, parts, parts.layer, expected)

    # -- layers

    def _of_layer(
        self, content: Content, parts: Parts, layer: Stat, expected: list[str]
    ) -> Iterator[Problem]:
        """Read a layer, and compare it with its sums."""
        assert self._reading is not None
        reading, folder = self._reading, layout.content_folder(content)
        document = self._stat(f"{folder}/{layout.JSON}")
        if document is None:
            return
        modified_s = max(layer.modified.timestamp(), document.modified.timestamp())
        if reading.lately.has(layer.key, modified_s):
            reading.skipped += 1
            return
        reading.lately.begin(layer.key)
        try:
            fits = self._fits(parts, layer, expected)
        except KeyNotFound:
            return  # removed meanwhile
        except StorageUnavailable as error:
            self._known.damaged.add(folder)
            reading.lately.end(layer.key, is_damaged=True)
            yield Problem(layer.key, f"the layer cannot be read: {error.reason}")
            return
        if not fits and self._is_changed(folder, parts, layer):
            return  # what was read is not there any more
        reading.lately.end(layer.key, is_damaged=not fits)
        if not fits:
            self._known.damaged.add(folder)
            quarantine = reading.quarantine
            if quarantine is not None and quarantine.take_content(content, parts.etag, layer.etag):
                yield Problem(folder, f"{_UNFIT}: {PUSH}", quarantine.folder)
            else:
                yield Problem(folder, f"{_UNFIT}: {MOVE}")

    def _fits(self, parts: Parts, layer: Stat, expected: list[str]) -> bool:
        """Tell whether a layer fits one of its sums.

        A payload sum is compared if there is one; only old data has none.

        :raises KeyNotFound: it was removed.
        """
        payloads = [sum_ for sum_ in expected if sum_.startswith("sha256:")]
        if not payloads:
            return self._fits_tarsum(parts, layer, expected)
        assert self._reading is not None
        payload = PayloadChecksum(parts.document)
        with self._storage.open(layer.key) as blob:
            # a blob of /v2/ with the same bytes need not be read again
            plain = hashlib.sha256() if hash(blob.stat.etag) in self._known.linked else None
            for chunk in self._reading.chunks(blob):
                payload.update(chunk)
                if plain is not None:
                    plain.update(chunk)
            if plain is not None:
                self._known.linked[hash(blob.stat.etag)] = plain.digest()
        return payload.text() in payloads

    def _fits_tarsum(self, parts: Parts, layer: Stat, expected: list[str]) -> bool:
        assert self._reading is not None
        self._reading.read(layer.size)
        for announced in expected:
            if Label.of(announced) is None:
                return True  # of an unknown kind
            try:
                if verify_tarsum(announced, lambda: self._storage.open(layer.key), parts.document):
                    return True
            except ExpansionLimitExceeded:
                return True  # no server looks that far
            except UnreadableLayer:
                continue
        return False

    def _is_changed(self, folder: str, parts: Parts, layer: Stat) -> bool:
        """Tell whether the JSON or the layer was written or removed since it was looked at."""
        document, now = self._stat(f"{folder}/{layout.JSON}"), self._stat(layer.key)
        return document is None or now is None or (document.etag, now.etag) != (parts.etag, layer.etag)

    # -- keys

    def _value(self, key: str) -> bytes:
        try:
            return self._storage.read(key)[0]
        except KeyNotFound:  # removed since the listing
            return b""

    def _has(self, key: str) -> bool:
        return self._stat(key) is not None

    def _stat(self, key: str) -> Stat | None:
        try:
            return self._storage.stat(key)
        except KeyNotFound:
            return None


def _is_sum(text: str) -> bool:
    name, colon, digits = text.rpartition(":")
    is_known = name == "sha256" or name.startswith("tarsum")
    return bool(colon) and is_known and len(digits) in (32, 40, 64, 96, 128) and digits.isalnum()
