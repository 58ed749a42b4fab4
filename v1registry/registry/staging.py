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
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Final

from .. import errors
from ..clock import SYSTEM_CLOCK, Clock
from ..layers.checksums import PayloadChecksum
from ..layers.streamed_tarsum import TarSumStream
from ..rights import PushKey
from ..storage.base import KeyConflict, KeyNotFound, Storage, StorageError
from . import layout
from .contents import Staged
from .expiry import Expiry
from .quotas import Quotas
from .sent import Facts, SentJson, SentLayer, StagedPush, Unfinished, digest_of, dump, parse, parse_facts

#: How many JSONs and layers of one image are kept for a push key that clients share.
SHARED_LIMIT: Final = 4

#: How many keys of the unfinished pushes of one image are looked at to answer other callers, and how many
#: facts are read, because strangers may begin many pushes.
_MOST_LOOKED_AT: Final = 1000
_MOST_FACTS: Final = 50

#: How much of a stored JSON is read at once to find its line of facts, in bytes.
_HEAD_BYTES: Final = 32 << 10

_SENT, _SUMS, _LAYERS = "sent", "sums", "layers"


class Staging:
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
        self._storage = storage
        self.expiry = Expiry(storage, clock=clock)
        self._quotas = Quotas(
            storage,
            self.expiry,
            most_bytes=most_bytes,
            most_pushes=most_pushes,
            most_total_bytes=most_total_bytes,
        )

    # -- looking

    def find(self, image_id: str, key: PushKey) -> StagedPush:
        """Return what a push has sent; empty if nothing."""
        folder, jsons, layers = StagedPush(image_id, key).folder, [], []
        # "sent" and "sums", without the layers
        for stat in self._storage.list(f"{folder}/s"):
            kind, _, name = stat.key.removeprefix(f"{folder}/").partition("/")
            if kind == _SENT:
                jsons.append(SentJson(stat.key, name.rpartition("-")[2], stat.size))
            elif kind == _SUMS:
                layers.append(SentLayer(stat.key, name.rpartition("-")[2]))
        if not key.is_shared:
            # the last one counts
            jsons = jsons[-1:]
        return StagedPush(image_id, key, tuple(jsons), tuple(layers))

    def has_any(self, image_id: str) -> bool:
        """Tell whether a push of the image has begun and not ended."""
        return any(True for _ in self._sent_keys(image_id))

    def any_facts(self, image_id: str) -> Iterator[Facts]:
        """Yield the facts of the JSONs that unfinished pushes of the image have sent, of many pushes some."""
        for key in islice(self._sent_keys(image_id), _MOST_FACTS):
            with suppress(KeyNotFound):
                yield self._read_facts(key)

    def unfinished(self, image_id: str) -> Unfinished | None:
        """Return what the newest unfinished push of an image has sent; None if there is none."""
        keys = [stat.key for stat in self._storage.list(f"{layout.UPLOADS}/{image_id}/")]
        newest = {
            kind: max(
                (key for key in keys if f"/{kind}/" in key),
                key=lambda key: key.rpartition("/")[2],
                default=None,
            )
            for kind in (_SENT, _SUMS)
        }
        sent, sums = newest[_SENT], newest[_SUMS]
        if sent is None:
            return None
        facts, document = parse(sent, self._storage.read(sent)[0])
        folder = (
            None if sums is None else f"{sums.partition(f'/{_SUMS}/')[0]}/{_LAYERS}/{sums.rpartition('-')[2]}"
        )
        return Unfinished(document, facts.ancestry, folder)

    def facts(self, sent: SentJson) -> Facts | None:
        """Return what was found out about a JSON; None if it was removed meanwhile."""
        try:
            return self._read_facts(sent.key)
        except KeyNotFound:
            return None

    def read(self, sent: SentJson) -> tuple[Facts, bytes] | None:
        """Return the facts of a JSON and the JSON as it was sent; None if it was removed meanwhile."""
        try:
            return parse(sent.key, self._storage.read(sent.key)[0])
        except KeyNotFound:
            return None

    def document(self, sent: SentJson) -> bytes | None:
        """Return a JSON as it was sent; None if it was removed meanwhile."""
        found = self.read(sent)
        return None if found is None else found[1]

    def with_sums(self, layer: SentLayer) -> SentLayer:
        """Return a layer together with its sums; without any if it was removed meanwhile."""
        try:
            return layer.with_record(self._storage.read(layer.key)[0])
        except KeyNotFound:
            return layer

    # -- sending

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
    ) -> tuple[dict[str, str], StagedPush]:
        """Keep a layer as it is sent.

        Return the hex digits of its payload sum with each JSON, and what the push has sent by then. The layer
        is removed if its JSON was replaced meanwhile. Nothing is kept if ``chunks`` raises. The bytes are
        counted before they are read.

        :param payloads: see :meth:`payloads`; at least one.
        :param announced_bytes: the size of the layer; None if it is unknown.
        :param tarsums: computes the TarSums meanwhile; None if they are not needed.
        :raises TooManyUnfinishedBytes: the user has too many bytes of unfinished pushes.
        """
        name = secrets.token_hex(8)
        folder = f"{push.folder}/{_LAYERS}/{name}"
        extra_bytes = push.jsons[-1].size if len(payloads) == 1 else 0
        reservation = self._quotas.reserve(push.image_id, push.key, name)

        def hashed() -> Iterator[bytes]:
            for chunk in reservation.counted(chunks, extra_bytes, announced_bytes):
                for payload in payloads.values():
                    payload.update(chunk)
                yield chunk

        try:
            received = hashed() if tarsums is None else tarsums.through(hashed())
            sizes = {layout.LAYER: self._storage.write(f"{folder}/{layout.LAYER}", received).size}
        except (errors.RegistryError, StorageError):
            with suppress(StorageError):
                # if the storage failed late, the layer may be there: it is counted until it is removed
                self._storage.delete_tree(folder)
                reservation.release()
            raise
        sums = {digest: payload.text().removeprefix("sha256:") for digest, payload in payloads.items()}
        size = reservation.received + extra_bytes
        reservation.settle(size)
        prepared, ancestry, documents = self._prepare_alone(push, folder, sums)
        record = {
            "sums": sums,
            "prepared": prepared,
            "ancestry": ancestry,
            "size": size,
            "tarsums": {} if tarsums is None else self._tarsums(push, sums, tarsums),
            "sizes": {**sizes, **documents},
        }
        # from here on the layer counts
        self._storage.write(f"{push.folder}/{_SUMS}/{self._now()}-{name}", json.dumps(record).encode("ascii"))
        after = self.find(push.image_id, push.key)
        self.drop(after, self._outdated(after))
        return sums, after

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

    def _prepare_alone(
        self, push: StagedPush, folder: str, sums: dict[str, str]
    ) -> tuple[str, tuple[str, ...], dict[str, int]]:
        """Write a whole image beside a layer if the push has one JSON. Return its digest, which is empty if
        it has not, the ancestry, and the sizes of the documents.
        """
        if len(sums) != 1:
            return "", (), {}
        ((digest, sum_),) = sums.items()
        # the JSON is read again, because it should not be in memory while the layer arrives
        found = next((self.read(sent) for sent in push.jsons if sent.digest == digest), None)
        if found is None:
            return "", (), {}
        facts, document = found
        return digest, facts.ancestry, self._write_image(folder, document, facts.ancestry, [f"sha256:{sum_}"])

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
        folder = f"{push.folder}/{_LAYERS}/{layer.name}"
        payload, sizes = sums[0].removeprefix("sha256:"), self._sizes(folder)
        if sizes and layer.is_damaged(sizes):
            return None
        if layer.prepared == digest:
            if len(sums) > 1 or layer.ancestry != tuple(ancestry) or sizes != layer.sizes:
                self._write_image(folder, document, tuple(ancestry), sums)
            return Staged(folder, payload, tuple(ancestry))
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
        self._write_image(claimed, document, tuple(ancestry), sums)
        return Staged(claimed, payload, tuple(ancestry))

    def end(self, push: StagedPush, sent: SentJson, layer: SentLayer, staged: Staged) -> None:
        """Remove what a push has sent, because it completed the image or its bytes are not needed."""
        if push.key.is_token:
            self._storage.delete_tree(push.folder)
            self._quotas.end(push.image_id, push.key)
            return
        # other clients may have sent a JSON or a layer meanwhile
        self._storage.delete_tree(staged.folder)
        self._drop_sums(push, layer)
        self._drop_json(push, sent)

    def drop(self, push: StagedPush, layers: Iterable[SentLayer]) -> None:
        """Remove layers of a push."""
        for layer in layers:
            self._storage.delete_tree(f"{push.folder}/{_LAYERS}/{layer.name}")
            self._drop_sums(push, layer)

    # -- inside

    def _write_counted(self, push: StagedPush, name: str, value: bytes, *, is_first: bool) -> None:
        """Count a JSON and store it; count it no more if that fails."""
        self._quotas.begin(push.image_id, push.key, name, len(value), is_first=is_first)
        try:
            self._storage.write(f"{push.folder}/{_SENT}/{name}", value)
        except StorageError:
            with suppress(StorageError):
                self._quotas.release(push.image_id, push.key, name, len(value))
            raise

    def _sent_keys(self, image_id: str) -> Iterator[str]:
        for stat in islice(self._storage.list(f"{layout.UPLOADS}/{image_id}/"), _MOST_LOOKED_AT):
            if f"/{_SENT}/" in stat.key:
                yield stat.key

    def _read_facts(self, key: str) -> Facts:
        """Return the facts of a stored JSON without the JSON, which may be large.

        :raises KeyNotFound: it was removed meanwhile.
        """
        head = b""
        with self._storage.open(key) as blob:
            while b"\n" not in head and (part := blob.read(_HEAD_BYTES)):
                head += part
        return parse_facts(key, head)

    def _write_image(
        self, folder: str, document: bytes, ancestry: tuple[str, ...], sums: list[str]
    ) -> dict[str, int]:
        """Write what lies beside a layer; return the sizes by the last segments of the keys."""
        documents = {
            layout.JSON: document,
            layout.ANCESTRY: json.dumps(list(ancestry)).encode("ascii"),
            layout.CHECKSUM: json.dumps(sums).encode("ascii"),
        }
        self._storage.write_many({f"{folder}/{name}": data for name, data in documents.items()})
        return {name: len(data) for name, data in documents.items()}

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
