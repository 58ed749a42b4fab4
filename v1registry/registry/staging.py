"""What unfinished pushes have sent so far, below ``uploads/``. Old servers do not look there, and readers see
nothing of it.

    uploads/<image id>/<push>/sent/<time>-<sum of the JSON>  a JSON that was sent, after a line of facts
    uploads/<image id>/<push>/sums/<time>-<layer>            a whole layer: its sum with each JSON
    uploads/<image id>/<push>/layers/<layer>/                that layer; a whole image if there is one JSON
    uploads/<image id>/<push>/claimed/<layer>-<sum>/         that layer, taken for one of several JSONs
    uploads/_bytes/<owner>/...                               counts the bytes of a user (quotas.py)

``<push>`` is the owner and the name of a push key (decisions.md 5). ``<time>`` is in nanoseconds, so that
names sort by age.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Final

from .. import errors
from ..clock import SYSTEM_CLOCK, Clock
from ..layers.checksums import PayloadChecksum
from ..layers.remembered import Remembered
from ..layers.streamed_tarsum import TarSumStream
from ..rights import PushKey
from ..storage.base import CHUNK_BYTES, KeyConflict, KeyNotFound, Stat, Storage, StorageError
from ..storage.combined import Combining, guessing, write_with
from ..storage.patience import cleanup
from . import layout
from .contents import Staged
from .expiry import Expiry
from .quotas import Quotas
from .sent import Facts, SentJson, SentLayer, StagedPush, digest_of, documents_of, dump, sizes_of
from .sent_pushes import LAYERS, SENT, SUMS, AddedLayer, SentPushes

#: How many JSONs and layers of one image are kept for a push key that clients share.
SHARED_LIMIT: Final = 4

#: How many keys of JSONs are remembered.
_GOT_HERE: Final = 1000


class Staging(SentPushes):
    """The unfinished pushes of one storage. Safe for threads and processes.

    :param most_bytes: how many bytes of unfinished pushes one user may have; on an open server, one push key.
    :param most_pushes: how many unfinished pushes one user may have; one push is of one image.
    :param most_total_bytes: how many bytes all may have together; None if only each user is bounded.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        most_bytes: int = 64 << 30,
        most_pushes: int = 500,
        most_total_bytes: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ):
        super().__init__(storage)
        self._got_here = Remembered[bool](_GOT_HERE, lambda _: 1)  #: the keys of JSONs that this process got
        self.expiry = Expiry(storage, clock=clock)
        self._quotas = Quotas(
            storage,
            self.expiry,
            most_bytes=most_bytes,
            most_pushes=most_pushes,
            most_total_bytes=most_total_bytes,
        )

    # -- sending

    def find_or_expire(self, image_id: str, key: PushKey) -> StagedPush:
        """Return what a push has sent. It is removed before, if its last request was too long ago."""
        push = self.find(image_id, key)
        if not push.jsons or push.newest_s >= self.expiry.oldest:
            return push
        self.expiry.expire(image_id, key.owner, key.name)
        self.expiry.expire_any(image_id)
        return self.find(image_id, key)

    def add_json(self, push: StagedPush, document: bytes, facts: Facts) -> None:
        """Keep a JSON. An older one of the push gives way, unless clients share the key.

        :raises TooManyUnfinishedBytes: the user has too many bytes of unfinished pushes.
        :raises TooManyUnfinishedPushes: the push is new, and the user has too many unfinished pushes.
        """
        digest, value = digest_of(document), dump(facts, document)
        if not push.key.is_shared and push.digests == [digest]:
            (sent,) = push.jsons
            if self.facts(sent) == facts and sent.size == len(value):
                return  # repeated: what was sent after it stays
            if sent.size == len(value):
                # a push that goes on is counted by a key that is as new
                self._quotas.renew(push.image_id, push.key, sent.name, sent.size)
                self._storage.write(sent.key, value)
            else:
                self._write_counted(push, sent.name, value, is_first=False)
                self._quotas.release(push.image_id, push.key, sent.name, sent.size)
            return
        name = f"{self._now()}-{digest}"
        self._write_counted(push, name, value, is_first=not push.jsons)
        kept = SHARED_LIMIT - 1 if push.key.is_shared else 0
        for number, sent in enumerate(push.jsons, start=1):
            # a damaged one would be taken for the one that was sent now
            is_damaged = sent.digest == digest and self.read(sent) is None
            if is_damaged or number <= len(push.jsons) - kept:
                self._drop_json(push, sent)
        if not push.key.is_shared:
            self.drop(push, push.layers)

    def probable(self, image_id: str, key: PushKey) -> tuple[StagedPush, dict[str, PayloadChecksum]]:
        """Return what a push has probably sent, and its :meth:`payloads`.

        Over an object store another instance may have changed that. :meth:`add_layer` finds out.
        """
        with guessing(self._storage):
            push = self.find(image_id, key)
            return push, self.payloads(push)

    def payloads(self, push: StagedPush) -> dict[str, PayloadChecksum]:
        """Return digest -> the payload sum that a layer continues, for each JSON of the push."""
        payloads = {}
        for sent in push.jsons:
            document = self.document(sent)
            if document is not None:
                payloads[sent.digest] = PayloadChecksum(document)
        return payloads

    def add_layer(
        self,
        push: StagedPush,
        payloads: dict[str, PayloadChecksum],
        chunks: Iterable[bytes],
        announced_bytes: int | None = None,
        tarsums: TarSumStream | None = None,
        *,
        is_probable: bool = False,
    ) -> AddedLayer:
        """Keep a layer as it is sent.

        The layer is removed if its JSON was replaced meanwhile. Nothing is kept if ``chunks`` raises. The
        bytes are counted before they are stored.

        :param payloads: see :meth:`payloads`; at least one.
        :param announced_bytes: the size of the layer; None if it is unknown.
        :param tarsums: computes the TarSums meanwhile; None if they are not needed.
        :param is_probable: ``push`` is what :meth:`probable` returned.
        :raises TooManyUnfinishedBytes: the user has too many bytes of unfinished pushes.
        """
        name = secrets.token_hex(8)
        folder = f"{push.folder}/{LAYERS}/{name}"
        extra_bytes = push.jsons[-1].size if len(payloads) == 1 else 0
        # a request that ends the push of a token removes all its counters, others only those that they know
        stays = not push.key.is_token
        reservation = self._quotas.reserve(push.image_id, push.key, name, stays=stays)
        with guessing(self._storage):
            # the digest in its key tells that it is this JSON
            alone = self._alone(push, payloads, CHUNK_BYTES)

        def hashed() -> Iterator[bytes]:
            for chunk in reservation.counted(chunks, extra_bytes, announced_bytes):
                for payload in payloads.values():
                    payload.update(chunk)
                yield chunk

        received = hashed() if tarsums is None else tarsums.through(hashed())
        sums = dict[str, str]()

        def beside(_: Stat | None = None) -> dict[str, bytes]:
            """Return what is stored with the layer, which has arrived."""
            sums.update((digest, made.text().removeprefix("sha256:")) for digest, made in payloads.items())
            size = reservation.received + extra_bytes
            reservation.settle(size)
            # a long JSON should not be in memory while the layer arrives
            prepared, ancestry, documents = _whole(alone or self._alone(push, payloads), sums)
            record = {
                "sums": sums,
                "prepared": prepared,
                "ancestry": ancestry,
                "size": size,
                "tarsums": {} if tarsums is None else self._tarsums(push, sums, tarsums),
                "sizes": {layout.LAYER: reservation.received, **sizes_of(documents)},
            }
            values = {f"{folder}/{document}": value for document, value in documents.items()}
            # with the last one the layer counts
            values[f"{push.folder}/{SUMS}/{self._now()}-{name}"] = json.dumps(record).encode("ascii")
            return values

        key = f"{folder}/{layout.LAYER}"
        try:
            first = _beginning(received)
            if len(first) <= CHUNK_BYTES:
                self._storage.write_many({key: first, **beside()})
            else:
                write_with(self._storage, key, chain([first], received), beside)
        except (errors.RegistryError, StorageError):
            with cleanup(), suppress(StorageError):
                # if the storage failed late, the layer may be there: it is counted until it is removed
                self._storage.delete_tree(folder)
                reservation.release()
            raise
        after = self.find(push.image_id, push.key)
        if is_probable and isinstance(self._storage, Combining) and self._is_doubtful(sums, after):
            return AddedLayer(name, sums, after, is_doubtful=True)
        self.drop(after, self._outdated(after))
        return AddedLayer(name, sums, after)

    def _is_doubtful(self, digests: Collection[str], after: StagedPush) -> bool:
        """Tell whether a push has probably sent other JSONs when a layer began to arrive than was guessed.

        :param digests: of the JSONs that were guessed.
        """
        # a guess has all that this process got before
        others = [sent for sent in after.jsons if not self._got_here.find(sent.key)]
        return not after.jsons or any(sent.digest not in digests for sent in others)

    def _outdated(self, push: StagedPush) -> list[SentLayer]:
        """Return the layers that give way: all but the newest for a JSON that still counts."""
        if push.key.is_shared:
            return list(push.layers[: max(0, len(push.layers) - SHARED_LIMIT)])
        fitting = [
            layer.key
            for layer in push.layers
            if not self.with_sums(layer).sums.keys().isdisjoint(push.digests)
        ]
        return [layer for layer in push.layers if layer.key not in fitting[-1:]]

    def _alone(
        self, push: StagedPush, digests: Collection[str], most_bytes: int | None = None
    ) -> tuple[Facts, bytes] | None:
        """Return the JSON with which a layer is a whole image, and its facts; None if the push has several.

        :param digests: of the JSONs that the layer may belong to.
        :param most_bytes: None is returned for a longer JSON; None for any.
        """
        found = [sent for sent in push.jsons if sent.digest in digests]
        if len(digests) != 1 or not found or (most_bytes is not None and found[0].size > most_bytes):
            return None
        return self.read(found[0])

    def _tarsums(
        self, push: StagedPush, digests: Iterable[str], stream: TarSumStream
    ) -> dict[str, tuple[str, ...]]:
        """Return digest -> the TarSums of a layer that has arrived; empty if they need another look."""
        right_sums = stream.right_sums()
        found = {}
        for sent in push.jsons if right_sums is not None else ():
            document = self.document(sent) if sent.digest in digests else None
            if right_sums is not None and document is not None:
                found[sent.digest] = right_sums(document)
        return found

    # -- completing

    def prepare(
        self,
        push: StagedPush,
        layer: SentLayer,
        digest: str,
        document: bytes,
        ancestry: list[str],
        sums: list[str],
    ) -> Staged | None:
        """Return the folder of a whole image that no other request changes; None if the layer was removed
        meanwhile, or if a power cut has damaged it.

        :param sums: what is to be stored as its sums, the payload sum first.
        """
        folder = f"{push.folder}/{LAYERS}/{layer.name}"
        documents = documents_of(document, ancestry, sums)
        payload, sizes = sums[0].removeprefix("sha256:"), self._sizes(folder)
        if sizes and layer.is_damaged(sizes):
            return None
        if layer.prepared == digest:
            if layout.LAYER not in sizes:
                return None
            if len(sums) > 1 or layer.ancestry != tuple(ancestry) or sizes != layer.sizes:
                self._write_image(folder, documents)
            return Staged(folder, payload, tuple(ancestry), is_left=True)
        # another request may want the same layer with another JSON: the first rename of the folder decides
        claimed = f"{push.folder}/claimed/{layer.name}-{digest}"
        try:
            self._storage.publish(folder, claimed)
        except KeyConflict:
            pass
        except KeyNotFound:
            try:
                self._storage.stat(f"{claimed}/{layout.LAYER}")
            except KeyNotFound:
                return None
        self._write_image(claimed, documents)
        return Staged(claimed, payload, tuple(ancestry), is_left=True)

    def end(self, push: StagedPush, sent: SentJson, layer: SentLayer, staged: Staged) -> None:
        """Remove what a push has sent, because it completed the image or its bytes are not needed."""
        if push.key.is_token:
            self._storage.delete_tree(push.folder)
            self._quotas.end(push.image_id, push.key)
            return
        # other clients may have sent a JSON or a layer meanwhile
        known = layer if layer.size is not None else self.with_sums(layer)
        names = (layout.JSON, layout.ANCESTRY, layout.CHECKSUM, layout.LAYER)
        self._storage.delete_many([*(f"{staged.folder}/{name}" for name in names), layer.key, sent.key])
        # marks may be left
        self._storage.delete_tree(staged.folder)
        sizes = {sent.name: sent.size}
        if known.size is not None:
            sizes[layer.name] = known.size
        self._storage.delete_many(self._quotas.counters(push.image_id, push.key, sizes))

    def drop(self, push: StagedPush, layers: Iterable[SentLayer]) -> None:
        """Remove layers of a push."""
        for layer in layers:
            self._storage.delete_tree(f"{push.folder}/{LAYERS}/{layer.name}")
            self._drop_sums(push, layer)

    def drop_layer(self, added: AddedLayer) -> None:
        """Remove a layer that was stored, if it is still there."""
        self.drop(added.after, [layer for layer in added.after.layers if layer.name == added.name])

    # -- inside

    def _write_counted(self, push: StagedPush, name: str, value: bytes, *, is_first: bool) -> None:
        """Count a JSON and store it; count it no more if that fails."""
        self._quotas.begin(push.image_id, push.key, name, len(value), is_first=is_first)
        key = f"{push.folder}/{SENT}/{name}"
        try:
            self._got_here.keep(key, True)
            self._storage.write(key, value)
        except StorageError:
            with cleanup(), suppress(StorageError):
                self._quotas.release(push.image_id, push.key, name, len(value))
            raise

    def _write_image(self, folder: str, documents: Mapping[str, bytes]) -> None:
        self._storage.write_many({f"{folder}/{name}": value for name, value in documents.items()})

    def _sizes(self, folder: str) -> dict[str, int]:
        return {stat.key.rpartition("/")[2]: stat.size for stat in self._storage.list(f"{folder}/")}

    def _drop_json(self, push: StagedPush, sent: SentJson) -> None:
        self._delete(sent.key)
        self._quotas.release(push.image_id, push.key, sent.name, sent.size)

    def _drop_sums(self, push: StagedPush, layer: SentLayer) -> None:
        known = layer if layer.size is not None else self.with_sums(layer)
        self._delete(layer.key)
        if known.size is not None:
            self._quotas.release(push.image_id, push.key, layer.name, known.size)

    def _now(self) -> str:
        # it orders what pushes send, and nothing expires by it: so it is always the time of the system
        return f"{time.time_ns():020d}"

    def _delete(self, key: str) -> None:
        with suppress(KeyNotFound):
            self._storage.delete(key)


def _whole(
    alone: tuple[Facts, bytes] | None, sums: Mapping[str, str]
) -> tuple[str, tuple[str, ...], dict[str, bytes]]:
    """Return the digest of the JSON with which a layer is a whole image, the ancestry, and what lies beside
    the layer; an empty digest and nothing if ``alone`` is None.
    """
    if alone is None:
        return "", (), {}
    ((digest, sum_),), (facts, document) = sums.items(), alone
    return digest, facts.ancestry, documents_of(document, facts.ancestry, [f"sha256:{sum_}"])


def _beginning(pieces: Iterator[bytes]) -> bytes:
    """Return all pieces if they are short together, else the first ones, of more than CHUNK_BYTES."""
    value = bytearray()
    for piece in pieces:
        value += piece
        if len(value) > CHUNK_BYTES:
            break
    return bytes(value)
