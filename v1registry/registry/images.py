"""Images: JSON, layer, ancestry and sums, and the states of a push.

An image is *absent* (no JSON), *in progress* (the mark ``_inprogress`` is there), or *complete* (JSON without
the mark). It is shown only when it is complete, and from then on it never changes.

    PUT json      mark, drop the old sum, JSON, ancestry
    PUT layer     layer and its sum
    PUT checksum  compare; take the mark away

Each of the three ends in a short section under the image's lock, in which the state is looked at once more. So two
clients that push one id at once never complete an image whose sum belongs to the other's bytes. No lock is held
while a client sends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Protocol

from .. import errors
from ..layers.checksums import PayloadChecksum, equal_sums, parse_checksums
from ..layers.compression import ExpansionLimitExceeded, UnreadableLayer
from ..layers.listing import Row
from ..layers.tarsum import verify_tarsum
from ..names import check_image_id, is_image_id
from ..storage.base import Blob, KeyNotFound, Stat, Storage
from . import layout
from .listings import Limits, Listings, keep


@dataclass(frozen=True)
class ImageFacts:
    """What is known of a complete image besides its bytes."""

    image_id: str
    json: bytes  #: as pushed, byte for byte
    layer_size: int | None  #: bytes as stored; None where a mirror has not fetched the layer
    checksums: tuple[str, ...]  #: ``sha256:…`` and perhaps ``tarsum…``; empty for old mirrored images

    @property
    def payload_checksum(self) -> str | None:
        return next((sum_ for sum_ in self.checksums if sum_.startswith("sha256:")), None)

    @property
    def tarsum(self) -> str | None:
        return next((sum_ for sum_ in self.checksums if sum_.startswith("tarsum")), None)


@dataclass(frozen=True)
class AnnouncedSums:
    """The sums that a client announces with ``PUT checksum``; None for a header that was not sent."""

    payload: str | None  #: ``X-Docker-Checksum-Payload``
    tarsum: str | None  #: ``X-Docker-Checksum``
    is_old_engine: bool = False  #: docker before 0.10, whose payload sum covers other bytes

    def check(self) -> None:
        """ChecksumHeaderMissing where neither header came, ChecksumMissing where what came is empty."""
        if self.payload is None and self.tarsum is None:
            raise errors.ChecksumHeaderMissing
        if not (self.payload or self.tarsum):
            raise errors.ChecksumMissing


class ImageRights(Protocol):
    """What the model asks, and tells, about the one who pushes; :class:`v1registry.rights.Rights` is one.

    Who pushes has to send the JSON and the layer. Both can be there already, from somebody else's push.
    """

    def can_read_complete_image(self, image_id: str) -> bool:
        """Tell whether the caller may read a complete image."""

    def require_parent(self, image_id: str) -> None:
        """Return if an image may build on this one. ParentNotFound, ParentNotAuthorized."""

    def note_json(self, image_id: str, document: bytes) -> None:
        """Note that the caller sent this JSON, and that it is what is stored."""

    def has_sent_json(self, image_id: str, document: bytes) -> bool:
        """Tell whether the caller sent this JSON."""

    def note_layer(self, image_id: str, document: bytes, payload_checksum: str) -> None:
        """Note that the caller, who sent this JSON, sent the layer of this sum, and that it is what is stored."""

    def prepare_completion(
        self, image_id: str, document: bytes, payload_checksums: Collection[str], parent: str | None
    ) -> None:
        """Return if the caller sent the layer of one of these sums, and may read the parent.

        LayerMissing, ChecksumMismatch, ParentNotFound.
        """

    def hold(self, image_id: str, document: bytes, payload_checksums: Collection[str]) -> None:
        """Note that the image, of which the caller sent all that is to be sent, is complete."""


class _Superseded(Exception):
    """The image changed while its layer came in; ``write`` must not put the layer in place."""


class Images:
    """The images of one storage. Every method takes ids as they come and checks them: InvalidImageId.

    :param expanded_limit_bytes: how many bytes a layer may expand to when it is looked into (files, diff, TarSum).
    """

    def __init__(self, storage: Storage, *, expanded_limit_bytes: int = 64 << 30):
        self._storage = storage
        self._expanded_limit_bytes = expanded_limit_bytes
        self._listings = Listings(storage, self, Limits(expanded_limit_bytes))

    # -- reading

    def facts(self, image_id: str) -> ImageFacts:
        """Return JSON, size and sums of a complete image. ImageNotFound, ImageInProgress."""
        document = self._read_complete_json(image_id)
        return ImageFacts(image_id, document, self._layer_size(image_id), self._checksums(image_id))

    def layer_size(self, image_id: str) -> int | None:
        """Return the bytes of a complete image's layer; None where a mirror has not fetched it. ImageNotFound, ImageInProgress."""
        self.check_complete(image_id)
        return self._layer_size(image_id)

    def layer(self, image_id: str) -> tuple[Stat, tuple[str, ...]]:
        """Return the Stat of a complete image's layer and the image's sums. ImageNotFound, ImageInProgress."""
        self.check_complete(image_id)
        try:
            stat = self._storage.stat(layout.image_key(image_id, layout.LAYER))
        except KeyNotFound:
            raise errors.ImageNotFound(image_id=image_id) from None
        return stat, self._checksums(image_id)

    def open_layer(self, image_id: str, start: int = 0, stop: int | None = None) -> Blob:
        """Open bytes ``[start, stop)`` of a complete image's layer. ImageNotFound, ImageInProgress."""
        self.check_complete(image_id)
        try:
            return self._storage.open(layout.image_key(image_id, layout.LAYER), start, stop)
        except KeyNotFound:
            raise errors.ImageNotFound(image_id=image_id) from None

    def ancestry(self, image_id: str) -> list[str]:
        """Return a complete image's ids from itself to the root. ImageNotFound, ImageInProgress."""
        self.check_complete(image_id)
        return self._ancestry(image_id)

    def reachable(self, image_id: str) -> list[str]:
        """Return the ids that an image builds on, itself first, whatever the state of its push; itself alone where
        nothing more is known.
        """
        try:
            return self._ancestry(image_id)
        except errors.ImageNotFound:
            return [image_id]

    def json_and_size(self, image_id: str, limit_bytes: int) -> tuple[bytes | None, int | None]:
        """Return a complete image's JSON, and the bytes of its layer, which is None where a mirror has not fetched it.

        JSON of more than ``limit_bytes`` is None, and not read. ImageNotFound, ImageInProgress.
        """
        # the JSON is opened after all looks at the state, as in _read_complete_json
        self.check_complete(image_id)
        with self._storage.open(layout.image_key(image_id, layout.JSON)) as blob:
            document = blob.read() if blob.stat.size <= limit_bytes else None
        return document, self._layer_size(image_id)

    def files(self, image_id: str, limits: Limits | None = None) -> bytes:
        """Return the list of the layer's members as JSON, computed once and kept (registry.md 4.8).

        :param limits: how far to look, where that is not as far as ``expanded_limit_bytes`` says.

        ImageNotFound, ImageInProgress, LayerNotSupported, LayerTooLarge, LayerBusy.
        """
        return self._listings.files(image_id, limits)

    def rows(self, image_id: str, limits: Limits | None = None) -> list[Row]:
        """Return what :meth:`files` lists, unless what is kept is no such list. Raises what :meth:`files` does."""
        return self._listings.rows(image_id, limits)

    def diff(self, image_id: str, limits: Limits | None = None) -> bytes:
        """Return what the layer changes against the ancestors as JSON, computed once and kept (registry.md 4.9).

        Takes and raises what :meth:`files` does.
        """
        return self._listings.diff(image_id, limits)

    def listing_version(self, image_id: str, name: str) -> str:
        """Return what changes with the list that is kept of a complete image: ``layout.FILES`` or ``layout.DIFF``.

        ImageNotFound, ImageInProgress.
        """
        return self._listings.version(image_id, name)

    def is_announced(self, image_id: str) -> bool:
        """Tell whether the image's JSON is stored, whatever the state of its push: enough for a tag or a child."""
        try:
            self._storage.stat(layout.image_key(check_image_id(image_id), layout.JSON))
        except KeyNotFound:
            return False
        return True

    def is_complete(self, image_id: str) -> bool:
        """Tell whether the image's push has ended."""
        return self.is_announced(image_id) and not self._is_in_progress(image_id)

    def check_complete(self, image_id: str) -> None:
        """Return if the image is complete. ImageNotFound, ImageInProgress."""
        # First the JSON, then the mark: the mark is written before any JSON, so JSON without a mark is complete.
        announced = self.is_announced(image_id)
        if self._is_in_progress(image_id):
            raise errors.ImageInProgress(image_id=image_id)
        if not announced:
            raise errors.ImageNotFound(image_id=image_id)

    # -- pushing

    def put_json(self, image_id: str, document: bytes, parsed: object, rights: ImageRights) -> None:
        """Announce an image: the mark, the JSON as sent, the ancestry (registry.md 4.5).

        :param parsed: what ``document`` says, None where it is no JSON.

        InvalidJson, BadRequest, ParentNotFound, ParentNotAuthorized, ImageExists. Repeating the stored bytes keeps the layer of
        an unfinished image, other bytes undo it. To one who may not read it a complete image looks absent: the stored bytes are
        accepted and change nothing, others are ImageHasOtherContents (decisions.md 17).
        """
        check_image_id(image_id)
        parent = checked_parent(image_id, parsed)
        if parent is not None:
            rights.require_parent(parent)
            if not self.is_announced(parent):
                raise errors.ParentNotFound(image_id=image_id, parent=parent)
        ancestry = self._ancestry_over(image_id, parent)
        with self._storage.lock(layout.image_folder(image_id)):
            stored = self._stored_json(image_id)
            if stored is not None and not self._is_in_progress(image_id):
                if rights.can_read_complete_image(image_id):
                    raise errors.ImageExists(image_id=image_id)
                if stored != document:
                    raise errors.ImageHasOtherContents(image_id=image_id)
            if stored != document:
                self._storage.write(layout.image_key(image_id, layout.IN_PROGRESS), b"true")
                self._delete(layout.image_key(image_id, layout.CHECKSUM))
                self._delete(layout.image_key(image_id, layout.ANCESTRY))
                self._storage.write(layout.image_key(image_id, layout.JSON), document)
                self._write_ancestry(image_id, ancestry)
            rights.note_json(image_id, document)

    def put_layer(self, image_id: str, chunks: Iterable[bytes], rights: ImageRights) -> None:
        """Store a layer as it is sent, with its payload sum. The image stays as it was if ``chunks`` raises.

        ImageNotFound where no JSON came before; ImageExists where the image is complete with another layer (the
        stored layer again is fine: decisions.md 5), or another client completed it meanwhile; ImageReplaced.
        """
        document = self._pushed_json(image_id, rights)
        payload = PayloadChecksum(document)
        if self._is_complete_with_layer(image_id):
            for chunk in chunks:
                payload.update(chunk)
            self._judge_repetition(image_id, payload.text())
            self._hold(image_id, document, payload.text(), rights)
            return

        with ExitStack() as until_summed:

            def hashed() -> Iterator[bytes]:
                for chunk in chunks:
                    payload.update(chunk)
                    yield chunk
                # From here until the sum is written no other client changes the image. That write() now puts the
                # layer in place lies in between.
                until_summed.enter_context(self._storage.lock(layout.image_folder(image_id)))
                if self._is_complete_with_layer(image_id) or self._stored_json(image_id) != document:
                    raise _Superseded
                self._delete(layout.image_key(image_id, layout.CHECKSUM))

            try:
                self._storage.write(layout.image_key(image_id, layout.LAYER), hashed())
                self._write_checksums(image_id, [payload.text()])
                if self._is_in_progress(image_id):
                    rights.note_layer(image_id, document, payload.text())
                    return
            except _Superseded:
                if self._stored_json(image_id) != document:
                    raise errors.ImageReplaced(image_id=image_id) from None
                self._judge_repetition(image_id, payload.text())
            self._hold(image_id, document, payload.text(), rights)

    def put_checksum(self, image_id: str, announced: AnnouncedSums, rights: ImageRights) -> None:
        """Complete the image if one of the announced sums is that of its bytes (registry.md 4.4, 6.3).

        In this order: ChecksumHeaderMissing, ChecksumMissing, ImageNotFound, ImageExists or ChecksumRefused,
        LayerMissing, ChecksumMismatch.
        """
        check_image_id(image_id)
        announced.check()
        self._pushed_json(image_id, rights)
        fitting: str | None = None
        # A TarSum takes long, so it is computed without the lock, and again where another layer came in meanwhile.
        while (unverified := self._complete(image_id, announced, fitting, rights)) is not None:
            document, fitting = unverified
            if not self._tarsum_fits(image_id, document, announced):
                raise errors.ChecksumMismatch(
                    image_id=image_id, announced=(announced.payload, announced.tarsum)
                )

    def _complete(
        self, image_id: str, announced: AnnouncedSums, fitting: str | None, rights: ImageRights
    ) -> tuple[bytes, str] | None:
        """Take the mark away if the announced sums allow it, while no other client changes the image.

        :param fitting: the etag of the layer that the announced TarSum was found to fit.

        Returns None when the image is complete; the JSON and the layer's etag where only the TarSum can decide. Another
        client that uploads the same layer once more takes the sum away for a moment: so all is looked at under the lock.
        """
        with self._storage.lock(layout.image_folder(image_id)):
            document = self._stored_json(image_id)
            if document is None:
                raise errors.ImageNotFound(image_id=image_id)
            if not self._is_in_progress(image_id):
                if self._is_among(self._checksums(image_id), announced):
                    # another client completed it after this one had sent the same layer
                    rights.hold(image_id, document, self._payload_checksums(image_id))
                    raise errors.ImageExists(image_id=image_id)
                raise errors.ChecksumRefused(image_id=image_id)
            # only sums that a server computed: docker-registry 0.6 kept what the client announced with the JSON
            stored = self._payload_checksums(image_id)
            try:
                layer = self._storage.stat(layout.image_key(image_id, layout.LAYER))
            except KeyNotFound:
                stored = ()
            if not stored:
                raise errors.LayerMissing(image_id=image_id)
            rights.prepare_completion(image_id, document, stored, _parent_in(document))
            if not self._is_among(stored, announced):
                if layer.etag != fitting:
                    return document, layer.etag
                assert announced.tarsum is not None
                self._write_checksums(image_id, [*stored, announced.tarsum])
            self._refresh_ancestry(image_id, document)
            self._delete(layout.image_key(image_id, layout.IN_PROGRESS))
            # where this fails, announcing the sum once more does it
            rights.hold(image_id, document, stored)
        return None

    # -- the state

    def unfinished_json(self, image_id: str) -> bytes | None:
        """Return the JSON of an image whose push has not ended; None where it has, or where there is no such image."""
        return self._stored_json(image_id) if self._is_in_progress(image_id) else None

    def completed(self, image_id: str) -> tuple[bytes, tuple[str, ...]] | None:
        """Return JSON and payload sums of a complete image; None where its push has not ended, or there is no such image."""
        try:
            return self._read_complete_json(image_id), self._payload_checksums(image_id)
        except (errors.ImageNotFound, errors.ImageInProgress):
            return None

    def _pushed_json(self, image_id: str, rights: ImageRights) -> bytes:
        """Return the JSON of an image that the caller pushes. ImageNotFound.

        The caller has to have sent it; of a complete image it is enough to be allowed to read it.
        """
        document = self._stored_json(check_image_id(image_id))
        if document is None or not (
            rights.has_sent_json(image_id, document)
            or (not self._is_in_progress(image_id) and rights.can_read_complete_image(image_id))
        ):
            raise errors.ImageNotFound(image_id=image_id)
        return document

    def _stored_json(self, image_id: str) -> bytes | None:
        try:
            return self._storage.read(layout.image_key(image_id, layout.JSON))[0]
        except KeyNotFound:
            return None

    def _is_in_progress(self, image_id: str) -> bool:
        try:
            self._storage.stat(layout.image_key(image_id, layout.IN_PROGRESS))
        except KeyNotFound:
            return False
        return True

    def _is_complete_with_layer(self, image_id: str) -> bool:
        """Tell whether a layer may no longer be put: a mirror's image without a layer still takes one."""
        if self._is_in_progress(image_id):
            return False
        try:
            self._storage.stat(layout.image_key(image_id, layout.LAYER))
        except KeyNotFound:
            return False
        return True

    def _read_complete_json(self, image_id: str) -> bytes:
        # The JSON is read after all looks at the state: what was read before might have been replaced by what is complete.
        self.check_complete(image_id)
        return self._storage.read(layout.image_key(image_id, layout.JSON))[0]

    def _judge_repetition(self, image_id: str, payload_checksum: str) -> None:
        """Accept the layer that is stored, refuse any other. ImageExists."""
        # a mirror's image has no sums, one of docker-registry 0.6 perhaps only a TarSum
        stored = self._payload_checksums(image_id) or (self._compute_payload_checksum(image_id),)
        if not any(equal_sums(payload_checksum, sum_) for sum_ in stored):
            raise errors.ImageExists(image_id=image_id)

    @staticmethod
    def _hold(image_id: str, document: bytes, payload_checksum: str, rights: ImageRights) -> None:
        """Note that the layer of a complete image was sent again, or that of a mirror's image at last."""
        rights.note_layer(image_id, document, payload_checksum)
        rights.hold(image_id, document, [payload_checksum])

    # -- sums

    def _checksums(self, image_id: str) -> tuple[str, ...]:
        try:
            return tuple(parse_checksums(self._storage.read(layout.image_key(image_id, layout.CHECKSUM))[0]))
        except KeyNotFound:
            return ()

    def _layer_size(self, image_id: str) -> int | None:
        try:
            return self._storage.stat(layout.image_key(image_id, layout.LAYER)).size
        except KeyNotFound:
            return None

    def _payload_checksums(self, image_id: str) -> tuple[str, ...]:
        return tuple(sum_ for sum_ in self._checksums(image_id) if sum_.startswith("sha256:"))

    def _write_checksums(self, image_id: str, sums: list[str]) -> None:
        self._storage.write(layout.image_key(image_id, layout.CHECKSUM), json.dumps(sums).encode("ascii"))

    def _compute_payload_checksum(self, image_id: str) -> str:
        document = self._stored_json(image_id)
        assert document is not None
        payload = PayloadChecksum(document)
        with self._storage.open(layout.image_key(image_id, layout.LAYER)) as blob:
            for chunk in blob:
                payload.update(chunk)
        return payload.text()

    @staticmethod
    def _is_among(stored: Iterable[str], announced: AnnouncedSums) -> bool:
        candidates = [sum_ for sum_ in (announced.payload, announced.tarsum) if sum_]
        return any(equal_sums(candidate, sum_) for candidate in candidates for sum_ in stored)

    def _tarsum_fits(self, image_id: str, document: bytes, announced: AnnouncedSums) -> bool:
        """Tell whether the announced TarSum is that of the layer.

        It expands the layer, so it is asked only where the payload sum cannot decide: where none came, or from docker
        before 0.10, whose payload sum covers the tar before it was rewritten and compressed (registry.md 6.2).
        """
        tarsum = announced.tarsum
        if (
            not tarsum
            or not tarsum.startswith("tarsum")
            or (announced.payload and not announced.is_old_engine)
        ):
            return False
        key = layout.image_key(image_id, layout.LAYER)
        try:
            return verify_tarsum(
                tarsum, lambda: self._storage.open(key), document, limit_bytes=self._expanded_limit_bytes
            )
        except ExpansionLimitExceeded as error:
            raise errors.LayerTooLarge(image_id=image_id) from error
        except UnreadableLayer:
            return False

    # -- ancestry

    def _ancestry(self, image_id: str) -> list[str]:
        """Return the stored ancestry, or follow the parents where old data has none (then it is kept).

        ImageNotFound where a parent is missing or the parents run in a circle.
        """
        with suppress(KeyNotFound):
            stored = layout.parse_stored(self._storage.read(layout.image_key(image_id, layout.ANCESTRY))[0])
            if isinstance(stored, list) and stored[:1] == [image_id] and all(map(is_image_id, stored)):
                return stored
        ancestry: list[str] = []
        current: str | None = image_id
        while current is not None:
            document = self._stored_json(current)
            if document is None or current in ancestry:
                raise errors.ImageNotFound(
                    f"{errors.ImageNotFound.text}: the ancestry of {image_id} is broken at {current}"
                )
            ancestry.append(current)
            current = _parent_in(document)
        keep(self._storage, layout.image_key(image_id, layout.ANCESTRY), json.dumps(ancestry).encode("ascii"))
        return ancestry

    def _ancestry_over(self, image_id: str, parent: str | None) -> list[str]:
        """Return the ancestry that an image has with ``parent``. BadRequest where it would be its own ancestor."""
        above = self._ancestry(parent) if parent is not None else []
        if image_id in above:
            raise errors.BadRequest("Image depends on itself through its parent", image_id=image_id)
        return [image_id, *above]

    def _write_ancestry(self, image_id: str, ancestry: list[str]) -> None:
        self._storage.write(layout.image_key(image_id, layout.ANCESTRY), json.dumps(ancestry).encode("ascii"))

    def _refresh_ancestry(self, image_id: str, document: bytes) -> None:
        """Take over what became of the parent since the image was announced: it may have been announced anew."""
        ancestry = self._ancestry_over(image_id, _parent_in(document))
        if ancestry != self._ancestry(image_id):
            self._write_ancestry(image_id, ancestry)

    def _delete(self, key: str) -> None:
        try:
            self._storage.delete(key)
        except KeyNotFound:
            return


def checked_parent(image_id: str, parsed: object) -> str | None:
    """Return the parent that an image's JSON names, None for a root. InvalidJson, BadRequest."""
    if not isinstance(parsed, dict) or not parsed:
        raise errors.InvalidJson(image_id=image_id)
    if "id" not in parsed:
        raise errors.BadRequest("Missing key `id' in JSON", image_id=image_id)
    if parsed["id"] != image_id:
        raise errors.BadRequest("JSON data contains invalid id", image_id=image_id)
    parent = parsed.get("parent")
    if parent is None or parent == "":
        return None
    if not is_image_id(parent) or parent == image_id:
        raise errors.InvalidJson(image_id=image_id)
    assert isinstance(parent, str)
    return parent


def _parent_in(document: bytes) -> str | None:
    """Return the parent that stored JSON names; whatever is odd in old data counts as a root."""
    parsed = layout.parse_stored(document)
    parent = parsed.get("parent") if isinstance(parsed, dict) else None
    return parent if is_image_id(parent) and isinstance(parent, str) else None


def layer_etag(image_id: str, stat: Stat, checksums: Iterable[str]) -> str:
    """Return the entity tag of a layer: the hex digits of its payload sum, or of the storage's tag where there is none."""
    for sum_ in checksums:
        if sum_.startswith("sha256:"):
            return f'"{sum_.removeprefix("sha256:")}"'
    return f'"{hashlib.sha256(f"{image_id} {stat.etag} {stat.size}".encode()).hexdigest()}"'
