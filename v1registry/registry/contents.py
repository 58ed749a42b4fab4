"""The contents of image ids: which are stored, which of them are equal, and how a new one is published.

An id may have several contents (decisions.md 17). The first lies under the keys that docker-registry has; the
others lie beside it, each in a folder of its own. A complete content never changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from .. import errors
from ..clock import SYSTEM_CLOCK, Clock
from ..layers.checksums import PayloadChecksum, parse_checksums
from ..layers.remembered import Remembered
from ..layers.turns import Busy, Turns
from ..log import get_logger
from ..rights import Content, Facts
from ..storage.base import KeyConflict, KeyNotFound, Stat, Storage, StorageUnavailable
from ..storage.combined import publish_left
from . import layout
from .keeping import Keeping
from .known_contents import KnownContents
from .looks import PUSHER
from .wholeness import parts_of, restore, restore_sums, stored_ancestry

log = get_logger(__name__)

#: How often the folder of an image is looked at again because other pushes changed it.
_ATTEMPTS = 100

#: What the sums of layers that have no stored sum may take, in bytes, and one of them, about.
_COMPUTED_SUMS_BYTES: Final = 1 << 20
_COMPUTED_SUM_BYTES: Final = 512

_PAYLOAD_SUM_LENGTH: Final = len("sha256:") + 64


@dataclass(frozen=True)
class Staged:
    """A folder below ``uploads/`` that holds a whole image; only marks are still added to it."""

    folder: str
    payload: str  #: the hex digits of the payload sum
    ancestry: tuple[str, ...]
    is_left: bool = False  #: the caller removes the folder right after it was published
    is_own: bool = False  #: no other process knows the folder, nor the one around it


class Contents:
    """The contents of the images of one storage. Safe for threads and processes."""

    def __init__(self, storage: Storage, *, clock: Clock = SYSTEM_CLOCK):
        self._storage = storage
        self.keeping = Keeping(storage, clock=clock)
        self._known = KnownContents(storage, clock=clock)
        self._turns = Turns()
        self._computed_sums = Remembered[str](_COMPUTED_SUMS_BYTES, lambda _: _COMPUTED_SUM_BYTES)

    # -- reading

    def whole(self, content: Content) -> Content | None:
        """Return the content with its parts; None if it is missing or damaged (decisions.md 22)."""
        if content.parts is not None:
            return content
        look = self._known.look(content)
        if look.parts is not None:
            return Content(content.image_id, content.variant, look.parts)
        if look.is_empty:
            return None
        try:
            parts = self._known.keep(look, parts_of(self._storage, content))
        except errors.ImageDamaged as error:
            log.info("%s counts as incomplete: %s", layout.content_folder(content), error.damage)
            return None
        except errors.ImageNotFound:
            return None
        return Content(content.image_id, content.variant, parts)

    def first(self, image_id: str) -> Content | None:
        """Return the first content if it is complete: it is whole, and has no mark of an unfinished push."""
        # the JSON is looked at first: an old server writes the mark before any JSON, so JSON without a mark
        # is complete
        content = self.whole(Content(image_id))
        if content is None or content.parts is None:
            return None
        facts = _facts_of(content)
        if facts.is_marked is None:
            facts.is_marked = self.has_mark(image_id)
        return None if facts.is_marked else content

    def has_mark(self, image_id: str) -> bool:
        """Tell whether an old server marked the image as being pushed."""
        return self._has(layout.image_key(image_id, layout.IN_PROGRESS))

    def variants(self, image_id: str) -> list[str]:
        """Return the names of the contents beside the first, sorted."""
        return list(self._storage.list_folders(f"{layout.image_folder(image_id)}/{layout.CONTENTS}"))

    def open_content(self, image_id: str) -> Content | None:
        """Return what an id means on an open server: its first content, else the one whose name sorts
        first.
        """
        first = self.first(image_id)
        if first is not None:
            return first
        others = (self.whole(Content(image_id, name)) for name in self.variants(image_id))
        return next((content for content in others if content is not None), None)

    def document(self, content: Content) -> bytes:
        """Return the JSON of a content.

        :raises ImageNotFound: it is not stored.
        """
        if content.parts is not None:
            return content.parts.document
        try:
            return self._storage.read(layout.content_key(content, layout.JSON))[0]
        except KeyNotFound:
            raise errors.ImageNotFound(image_id=content.image_id) from None

    def layer(self, content: Content) -> Stat | None:
        """Return the Stat of the layer; None if it is not stored."""
        if content.parts is not None:
            return content.parts.layer
        try:
            return self._storage.stat(layout.content_key(content, layout.LAYER))
        except KeyNotFound:
            return None

    def checksums(self, content: Content) -> tuple[str, ...]:
        """Return the stored sums; none for an image of a mirror."""
        facts = _facts_of(content)
        if facts.checksums is None:
            try:
                data, _ = self._storage.read(layout.content_key(content, layout.CHECKSUM))
            except KeyNotFound:
                data = b""
            facts.checksums = tuple(parse_checksums(data))
        return facts.checksums

    def payload_sums(self, content: Content) -> tuple[str, ...]:
        """Return the payload sums of a content. They are computed if none is stored.

        :raises ImageNotFound: a mirror has not fetched the layer.
        """
        return _payloads_in(self.checksums(content)) or (self._compute_payload_sum(content),)

    def ancestry(self, content: Content) -> list[str]:
        """Return the stored ancestry. If old data has none, follow the parents, and keep the result.

        :raises ImageNotFound: a parent is missing, or the parents form a circle.
        """
        known = _facts_of(content).ancestry
        if known is not None:
            return list(known)
        stored = stored_ancestry(self._storage, content)
        if stored is not None:
            self._known.keep_ancestry(content, stored)
            return stored
        ancestry: list[str] = []
        current: Content | None = content
        while current is not None:
            try:
                document = self.document(current)
            except errors.ImageNotFound:
                document = None
            if document is None or current.image_id in ancestry:
                raise errors.ImageNotFound(
                    f"{errors.ImageNotFound.text}: the ancestry of {content.image_id} is broken"
                    f" at {current.image_id}"
                )
            ancestry.append(current.image_id)
            parent = layout.parent_in(document)
            current = None if parent is None else Content(parent)
        key = layout.content_key(content, layout.ANCESTRY)
        try:
            self._storage.write(key, json.dumps(ancestry).encode("ascii"))
        except StorageUnavailable as error:
            log.warning("%s is not kept: %s", key, error.reason)
        return ancestry

    def forget(self, content: Content) -> None:
        """Read a content again when it is asked for next: what is stored is not what is remembered."""
        self._known.forget(content)

    def known_ancestry(self, content: Content) -> list[str]:
        """Return the ancestry, or the image alone if more is not known."""
        try:
            return self.ancestry(content)
        except errors.ImageNotFound:
            return [content.image_id]

    # -- publishing

    def publish(self, image_id: str, staged: Staged, marks: Mapping[str, bytes]) -> Content | None:
        """Make a staged image the first content of its id, together with its marks, in one step.

        :param marks: path below the image's folder -> value.
        :return: None if the folder of the image holds anything else; then nothing changed there.
        :raises StorageUnavailable: the garbage collection removes the image at this moment.
        """
        self._storage.write_many({f"{staged.folder}/{path}": value for path, value in marks.items()})
        for _ in range(_ATTEMPTS):
            try:
                self._publish(staged, layout.image_folder(image_id))
            except KeyConflict:
                self.keeping.wait_for_removal(layout.image_folder(image_id))
                if self._restore(Content(image_id), staged) or not self._clear_unfinished(image_id):
                    break
                continue
            except KeyNotFound:
                # a second request for the same sum was faster
                return None
            return Content(image_id)
        for path in marks:
            with suppress(KeyNotFound):
                self._storage.delete(f"{staged.folder}/{path}")
        return None

    def publish_variant(self, image_id: str, staged: Staged) -> Content:
        """Store a staged image beside the other contents of its id, unless an equal content is there.

        :raises StorageUnavailable: the staged folder was removed, or the garbage collection removes the
            content at this moment.
        """
        for name in self._variant_names(staged):
            content = Content(image_id, name)
            try:
                self._publish(staged, layout.content_folder(content))
            except KeyConflict:
                self.keeping.wait_for_removal(layout.content_folder(content))
                if self._is_equal(content, staged) or self._restore(content, staged):
                    return content
                continue
            except KeyNotFound:
                raise StorageUnavailable(staged.folder, "the staged image was removed") from None
            return content
        raise StorageUnavailable(layout.image_folder(image_id), "other contents have the names of this one")

    def find_equal(self, image_id: str, staged: Staged) -> Content | None:
        """Return the stored content with the JSON, layer and ancestry of a staged one; None if there is
        none.

        If its payload sum is lost, it is stored again.
        """
        first = self.first(image_id)
        if first is not None and self._is_equal(first, staged):
            return first
        others = (Content(image_id, name) for name in self._variant_names(staged))
        return next((content for content in others if self._is_equal(content, staged)), None)

    # -- inside

    def _publish(self, staged: Staged, folder: str) -> None:
        if staged.is_left:
            publish_left(self._storage, staged.folder, folder, is_own=staged.is_own)
        else:
            self._storage.publish(staged.folder, folder)

    def _is_equal(self, content: Content, staged: Staged) -> bool:
        whole = self.whole(content)
        if whole is None or tuple(self.known_ancestry(content)) != staged.ancestry:
            return False
        payloads = _payloads_in(self.checksums(whole))
        if payloads:
            return f"sha256:{staged.payload}" in payloads
        try:
            is_equal = self._compute_payload_sum(whole) == f"sha256:{staged.payload}"
        except errors.ImageNotFound:
            return False
        if is_equal:
            restore_sums(self._storage, content, staged.folder)
        return is_equal

    def _restore(self, content: Content, staged: Staged) -> bool:
        """Restore a damaged content from a staged image with the same bytes; tell whether it was done."""
        if self.whole(content) is not None:
            return False
        is_restored = restore(self._storage, content, staged.folder, staged.payload, list(staged.ancestry))
        if is_restored:
            log.warning("%s was damaged; a push restored it", layout.content_folder(content))
        return is_restored

    @staticmethod
    def _variant_names(staged: Staged) -> Iterable[str]:
        """Return the names that a variant may have: its payload sum, which another ancestry may have
        taken.
        """
        chain = hashlib.sha256(" ".join(staged.ancestry).encode("ascii")).hexdigest()[:16]
        return (staged.payload, f"{staged.payload}-{chain}")

    def _clear_unfinished(self, image_id: str) -> bool:
        """Remove what an old server left of an unfinished push, key by key; tell whether nothing is left.

        Each key is removed as it was listed, so that nothing is lost which another process published
        meanwhile.
        """
        folder = layout.image_folder(image_id)
        found = list(self._storage.list(f"{folder}/"))
        if any(
            stat.key.startswith((f"{folder}/{layout.HELD}/", f"{folder}/{layout.CONTENTS}/"))
            for stat in found
        ):
            return False
        if not found:
            return True
        if self.first(image_id) is not None:
            return False
        # the JSON first: without it the rest does not count as an image
        for stat in sorted(found, key=lambda stat: (stat.key != f"{folder}/{layout.JSON}", stat.key)):
            try:
                self._storage.delete(stat.key, expect=stat.etag)
            except KeyNotFound:
                continue
            except KeyConflict:
                return True  # it changed: look again
        return True

    def _compute_payload_sum(self, content: Content) -> str:
        """Read the layer for its payload sum, once and one layer at a time (decisions.md 19).

        :raises ImageNotFound: a mirror has not fetched the layer.
        :raises LayerBusy: other layers are read for too long.
        """
        document, key = self.document(content), layout.content_key(content, layout.LAYER)
        try:
            place = key, self._storage.stat(key).etag, hashlib.sha256(document).digest()
            found = self._computed_sums.find(place)
            if found is not None:
                return found
            with self._turns.turn(PUSHER):
                found = self._computed_sums.find(place)
                if found is None:
                    with self._storage.open(key) as blob:
                        payload = PayloadChecksum(document)
                        for chunk in blob:
                            payload.update(chunk)
                    found = payload.text()
                    self._computed_sums.keep(place, found)
            return found
        except KeyNotFound:
            raise errors.ImageNotFound(image_id=content.image_id) from None
        except Busy:
            raise errors.LayerBusy(image_id=content.image_id) from None

    def _has(self, key: str) -> bool:
        try:
            self._storage.stat(key)
        except KeyNotFound:
            return False
        return True


def _payloads_in(sums: Iterable[str]) -> tuple[str, ...]:
    # a cut sum has fewer digits
    return tuple(sum_ for sum_ in sums if sum_.startswith("sha256:") and len(sum_) == _PAYLOAD_SUM_LENGTH)


def _facts_of(content: Content) -> Facts:
    """Return what is remembered of a content besides its parts; a place for it if nothing is."""
    parts = content.parts
    return Facts() if parts is None or parts.facts is None else parts.facts
