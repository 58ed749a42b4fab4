"""A search for damaged images: JSON, layers, sums, ancestries, and marks of holders."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

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
from ..storage.at_once import at_once, check_wanted
from ..storage.base import Blob, DataMissing, KeyNotFound, Stat, Storage, StorageUnavailable
from .findings import MOVE, PUSH, Problem, lost
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
    read: Callable[[int], None]  #: called with the size of each chunk, also in other threads
    skipped: int = 0  #: how many layers and blobs were read lately

    def chunks(self, blob: Blob) -> Iterator[bytes]:
        """Yield the bytes of a value. Other threads may do so, too."""
        for chunk in blob:
            check_wanted()
            self.read(len(chunk))
            yield chunk

    def skip(self, key: str, modified_s: float, *, is_last_look: bool = False) -> None:
        """Note that a value was not read, because it was read lately.

        :param modified_s: when it was written, in seconds since the epoch.
        :param is_last_look: the run has passed the key before.
        """
        self.skipped += 1
        if not is_last_look:
            self.lately.skip(key, modified_s)

    def note(
        self, key: str, begun_at_s: float, modified_s: float, *, is_damaged: bool, is_last_look: bool = False
    ) -> None:
        """Note that a value was read.

        :param begun_at_s: when the reading began, in seconds since the epoch.
        :param modified_s: when it was written, in seconds since the epoch.
        :param is_last_look: the run has passed the key before.
        """
        if is_last_look:
            self.lately.note_again(key, is_damaged=is_damaged)
        else:
            self.lately.note(key, begun_at_s, modified_s, is_damaged=is_damaged)

    def note_unread(self, key: str, *, is_last_look: bool) -> None:
        """Note that a value could not be read. Each run looks at it."""
        if is_last_look:
            self.lately.note_again(key, is_damaged=True)
        else:
            self.lately.note_unread(key)


class _LayerLook(NamedTuple):
    """A layer that was read, or was not because it was read lately."""

    stat: Stat
    document_etag: str
    modified_s: float  #: when the layer, the JSON or the sum was written, in seconds since the epoch
    begun_at_s: float | None = None  #: in seconds since the epoch; None if it was not read
    fits: bool = True  #: one of its sums
    failure: str = ""  #: why it cannot be read
    lost: DataMissing | None = None  #: if the storage has lost its bytes
    linked: tuple[int, bytes] | None = None  #: the etag of a blob with these bytes, and their digest


class _Lost(NamedTuple):
    """A content of which the storage has lost a value."""

    error: DataMissing
    document_etag: str
    layer_etag: str | None  #: None if there is no layer


class _ContentLook(NamedTuple):
    """A content of an image as it was found."""

    content: Content
    damage: str = ""  #: what is damaged; empty if it is whole
    is_removing: bool = False  #: a collection removes it
    problems: tuple[Problem, ...] = ()
    layer: _LayerLook | None = None  #: None if it was not to be read
    lost: _Lost | None = None  #: the JSON or its sum, if the storage has lost its bytes


class _ImageLook(NamedTuple):
    """An image as it was found."""

    image_id: str
    has_variants: bool
    contents: list[_ContentLook]
    problems: list[Problem]  #: marks of holders


class ImageVerification:
    """Looks at the images of a storage, at several at once if it is distant. For one thread.

    Other threads only look. What they found is noted by the thread of the run, in the order of the images.

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
        image_ids = filter(is_image_id, self._storage.list_folders(layout.IMAGES))
        with closing(at_once(self._storage, self._look, image_ids)) as looks:
            for look in looks:
                self.images += 1
                self._looked_at()
                if look.has_variants:
                    self._with_variants.add(hash(look.image_id))
                for found in look.contents:
                    yield from self._note(found)
                yield from look.problems
        doubtful, self._doubtful = self._doubtful, []
        with closing(at_once(self._storage, self._look_at_content, doubtful)) as again:
            for content_look in again:
                if content_look is not None:
                    yield from self._note(content_look, is_last_look=True)

    # -- looking

    def _look(self, image_id: str) -> _ImageLook:
        with self._storage.moment():
            # in the order of their keys
            variants = self._contents.variants(image_id)
            contents = [self._look_at_content(Content(image_id, name)) for name in variants]
            if not self._contents.has_mark(image_id):
                contents.append(self._look_at_content(Content(image_id)))
            problems: list[Problem] = []
            for stat in self._storage.list(f"{layout.image_key(image_id, layout.HELD)}/"):
                with _noting_lost(problems):
                    if Mark.parse(self._value(stat.key)).is_damaged:
                        text = "the mark of the holder is cut: push the repository again"
                        problems.append(Problem(stat.key, text))
        found = [look for look in contents if look is not None]
        return _ImageLook(image_id, bool(variants), found, problems)

    def _look_at_content(self, content: Content) -> _ContentLook | None:
        """Return what was found; None if nothing is stored."""
        folder = layout.content_folder(content)
        try:
            parts = parts_of(self._storage, content)
        except errors.ImageDamaged as error:
            is_removing_ = is_removing(self._value(f"{folder}/{CLAIM}"))
            return _ContentLook(content, error.damage, is_removing_)
        except errors.ImageNotFound:
            return None
        except DataMissing as error:
            return self._look_at_lost(content, error)
        problems: list[Problem] = []
        with _noting_lost(problems):
            if self._has(f"{folder}/{layout.ANCESTRY}") and stored_ancestry(self._storage, content) is None:
                text = "the list of ancestors is empty or cut: the next pull makes it from the parents"
                problems.append(Problem(f"{folder}/{layout.ANCESTRY}", text))
        expected: list[str] = []
        with _noting_lost(problems):
            sums = parse_checksums(self._value(f"{folder}/{layout.CHECKSUM}"))
            expected = [sum_ for sum_ in sums if _is_sum(sum_)]
            if not expected and self._has(f"{folder}/{layout.CHECKSUM}"):
                text = "the sum of the layer is empty or cut"
                problems.append(Problem(f"{folder}/{layout.CHECKSUM}", text))
        layer = None
        if self._reading is not None and expected and parts.layer is not None:
            layer = self._look_at_layer(self._reading, folder, parts, parts.layer, expected)
        return _ContentLook(content, problems=tuple(problems), layer=layer)

    def _look_at_lost(self, content: Content, error: DataMissing) -> _ContentLook | None:
        """Return what was found if the bytes of the JSON, or of its sum, are lost; None if it is gone."""
        folder = layout.content_folder(content)
        document, layer = self._stat(f"{folder}/{layout.JSON}"), self._stat(f"{folder}/{layout.LAYER}")
        if document is None:
            return None
        return _ContentLook(content, lost=_Lost(error, document.etag, None if layer is None else layer.etag))

    def _look_at_layer(
        self, reading: Reading, folder: str, parts: Parts, layer: Stat, expected: list[str]
    ) -> _LayerLook | None:
        """Read a layer, and compare it with its sums; return None if it was replaced or removed meanwhile."""
        document, sum_ = (self._stat(f"{folder}/{name}") for name in (layout.JSON, layout.CHECKSUM))
        if document is None:
            return None
        modified_s = max(part.modified.timestamp() for part in (layer, document, sum_ or layer))
        if reading.lately.has(layer.key, modified_s):
            return _LayerLook(layer, parts.etag, modified_s)
        begun_at_s = reading.lately.now_s()
        try:
            fits, linked = self._fits(reading, parts, layer, expected)
        except KeyNotFound:
            return None
        except DataMissing as error:
            if self._is_changed(folder, parts, layer):
                return None
            return _LayerLook(layer, parts.etag, modified_s, begun_at_s, fits=False, lost=error)
        except StorageUnavailable as error:
            return _LayerLook(layer, parts.etag, modified_s, begun_at_s, fits=False, failure=error.reason)
        if not fits and self._is_changed(folder, parts, layer):
            return None  # what was read is not there any more
        return _LayerLook(layer, parts.etag, modified_s, begun_at_s, fits, linked=linked)

    def _fits(
        self, reading: Reading, parts: Parts, layer: Stat, expected: list[str]
    ) -> tuple[bool, tuple[int, bytes] | None]:
        """Tell whether a layer fits one of its sums, and which blob has the same bytes.

        A payload sum is compared if there is one; only old data has none.

        :raises KeyNotFound: it was removed.
        """
        payloads = [sum_ for sum_ in expected if sum_.startswith("sha256:")]
        if not payloads:
            return self._fits_tarsum(reading, parts, layer, expected), None
        payload = PayloadChecksum(parts.document)
        with self._storage.open(layer.key) as blob:
            # a blob of /v2/ with the same bytes need not be read again
            etag = hash(blob.stat.etag)
            plain = hashlib.sha256() if etag in self._known.linked else None
            for chunk in reading.chunks(blob):
                payload.update(chunk)
                if plain is not None:
                    plain.update(chunk)
        return payload.text() in payloads, None if plain is None else (etag, plain.digest())

    def _fits_tarsum(self, reading: Reading, parts: Parts, layer: Stat, expected: list[str]) -> bool:
        reading.read(layer.size)
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

    # -- what was found

    def _note(self, look: _ContentLook, *, is_last_look: bool = False) -> Iterator[Problem]:
        """Note what was found with a content, and yield what is damaged."""
        folder = layout.content_folder(look.content)
        if self._reading is not None and (look.damage or look.lost is not None):
            self._reading.note_unread(f"{folder}/{layout.LAYER}", is_last_look=is_last_look)
        if look.damage:
            if not is_last_look and len(self._doubtful) < _MOST_DOUBTFUL:
                self._doubtful.append(look.content)
                return
            self._known.damaged.add(folder)
            # a collection that was killed leaves halves, and the next one removes the rest
            if not look.is_removing:
                yield Problem(folder, f"{look.damage}: {PUSH}")
            return
        if look.lost is not None:
            self._known.damaged.add(folder)
            yield self._note_lost(look.content, look.lost)
            return
        self._known.add_whole(folder)
        yield from look.problems
        if self._reading is not None and look.layer is not None:
            yield from self._note_layer(self._reading, look.content, look.layer, is_last_look)

    def _note_lost(self, content: Content, found: _Lost) -> Problem:
        """Return the problem of a content that lost a value. Move the content if that is wanted."""
        if found.error.key == layout.content_key(content, layout.CHECKSUM):
            # it stays, and a push needs it
            return lost(found.error)
        quarantine = None if self._reading is None else self._reading.quarantine
        if quarantine is not None and quarantine.take_content(content, found.document_etag, found.layer_etag):
            return Problem(found.error.key, f"{found.error.reason}: {PUSH}", quarantine.folder)
        return lost(found.error, MOVE)

    def _note_layer(
        self, reading: Reading, content: Content, look: _LayerLook, is_last_look: bool
    ) -> Iterator[Problem]:
        """Note how a layer was read. If it is damaged, move it out of the way if that is wanted."""
        folder = layout.content_folder(content)
        key = look.stat.key
        if look.begun_at_s is None:
            reading.skip(key, look.modified_s, is_last_look=is_last_look)
            return
        if look.linked is not None:
            self._known.linked.update([look.linked])
        reading.note(
            key, look.begun_at_s, look.modified_s, is_damaged=not look.fits, is_last_look=is_last_look
        )
        if look.fits:
            return
        self._known.damaged.add(folder)
        if look.lost is not None:
            yield self._note_lost(content, _Lost(look.lost, look.document_etag, look.stat.etag))
            return
        if look.failure:
            yield Problem(look.stat.key, f"the layer cannot be read: {look.failure}")
            return
        quarantine = reading.quarantine
        if quarantine is not None and quarantine.take_content(content, look.document_etag, look.stat.etag):
            yield Problem(folder, f"{_UNFIT}: {PUSH}", quarantine.folder)
        else:
            yield Problem(folder, f"{_UNFIT}: {MOVE}")

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


@contextmanager
def _noting_lost(problems: list[Problem]) -> Iterator[None]:
    """Return a context that adds a problem if the storage has lost the bytes of a value."""
    try:
        yield
    except DataMissing as error:
        problems.append(lost(error))
