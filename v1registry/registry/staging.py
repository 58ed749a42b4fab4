"""What unfinished pushes have sent so far, below ``uploads/``. Old servers do not look there, and readers see
nothing of it.

    uploads/<image id>/<push>/sent/<time>-<sum of the JSON>  a JSON that was sent, after a line of facts
    uploads/<image id>/<push>/sums/<time>-<layer>            a whole layer: its sum with each JSON
    uploads/<image id>/<push>/layers/<layer>/                that layer; a whole image if there is one JSON
    uploads/<image id>/<push>/claimed/<layer>-<sum>/         that layer, taken for one of several JSONs
    uploads/_bytes/<owner>/<size>.<image id>.<push>.<layer>  counts the bytes of a user

``<push>`` is the name of a push key (decisions.md 5). ``<time>`` is in nanoseconds, so that names sort by
age.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from .. import errors
from ..log import get_logger
from ..rights import PushKey
from ..storage.base import KeyConflict, KeyNotFound, Storage, StorageUnavailable
from . import layout
from .contents import Staged
from .sent import Facts, SentJson, SentLayer, StagedPush, Unfinished, digest_of, dump, folder_of, parse

log = get_logger(__name__)

#: How long an unfinished push is kept after its last request, in seconds.
EXPIRY_S: Final = 24 * 3600

#: How many JSONs and layers of one image are kept for a push key that clients share.
SHARED_LIMIT: Final = 4

#: How many folders of unfinished pushes are looked at when a process starts.
_EXPIRED_AT_START: Final = 1000

_SENT, _SUMS, _LAYERS = "sent", "sums", "layers"
_BYTES: Final = f"{layout.UPLOADS}/_bytes"


class Staging:
    """The unfinished pushes of one storage. Safe for threads and processes.

    :param most_bytes: how many bytes of unfinished layers one user may have; on an open server, one push key.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self, storage: Storage, *, most_bytes: int = 1 << 40, clock: Callable[[], float] = time.time
    ):
        self._storage = storage
        self._most_bytes = most_bytes
        self._clock = clock
        self._is_tidied = False

    # -- looking

    def find(self, image_id: str, key: PushKey) -> StagedPush:
        """Return what a push has sent; empty if nothing."""
        folder, jsons, layers = folder_of(image_id, key), [], []
        for stat in self._storage.list(f"{folder}/"):
            kind, _, name = stat.key.removeprefix(f"{folder}/").partition("/")
            if kind == _SENT:
                jsons.append(SentJson(stat.key, name.rpartition("-")[2]))
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
        """Yield the facts of all JSONs that unfinished pushes of the image have sent."""
        for key in self._sent_keys(image_id):
            with suppress(KeyNotFound):
                yield parse(self._storage.read(key)[0])[0]

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
        facts, document = parse(self._storage.read(sent)[0])
        folder = (
            None if sums is None else f"{sums.partition(f'/{_SUMS}/')[0]}/{_LAYERS}/{sums.rpartition('-')[2]}"
        )
        return Unfinished(document, facts.ancestry, folder)

    def facts(self, sent: SentJson) -> Facts | None:
        """Return what was found out about a JSON; None if it was removed meanwhile."""
        found = self.read(sent)
        return None if found is None else found[0]

    def read(self, sent: SentJson) -> tuple[Facts, bytes] | None:
        """Return the facts of a JSON and the JSON as it was sent; None if it was removed meanwhile."""
        try:
            return parse(self._storage.read(sent.key)[0])
        except KeyNotFound:
            return None

    def document(self, sent: SentJson) -> bytes | None:
        """Return a JSON as it was sent; None if it was removed meanwhile."""
        found = self.read(sent)
        return None if found is None else found[1]

    def with_sums(self, layer: SentLayer) -> SentLayer:
        """Return a layer together with its sums; without any if it was removed meanwhile."""
        try:
            parsed = layout.parse_stored(self._storage.read(layer.key)[0])
        except KeyNotFound:
            return layer
        values: dict[str, Any] = parsed if isinstance(parsed, dict) else {}
        return SentLayer(
            layer.key,
            layer.name,
            values.get("sums", {}),
            values.get("prepared", ""),
            tuple(values.get("ancestry", ())),
            values.get("bytes_key", ""),
        )

    # -- sending

    def add_json(self, push: StagedPush, document: bytes, facts: Facts) -> None:
        """Keep a JSON. An older one of the push gives way, unless clients share the key."""
        digest = digest_of(document)
        if not push.key.is_shared and push.digests == [digest]:
            (sent,) = push.jsons
            if self.facts(sent) == facts:
                return  # repeated: what was sent after it stays
            self._storage.write(sent.key, dump(facts, document))
            return
        key = f"{push.folder}/{_SENT}/{self._now()}-{digest}"
        self._storage.write(key, dump(facts, document))
        kept = SHARED_LIMIT - 1 if push.key.is_shared else 0
        for sent in push.jsons[: max(0, len(push.jsons) - kept)]:
            self._delete(sent.key)
        if not push.key.is_shared:
            self.drop(push, push.layers)

    def add_layer(
        self, push: StagedPush, documents: Mapping[str, bytes], facts: Facts, chunks: Iterable[bytes]
    ) -> Mapping[str, str]:
        """Keep a layer as it is sent; return the hex digits of its payload sum with each JSON.

        Nothing is kept if ``chunks`` raises.

        :param documents: digest -> JSON, all that the push has sent.
        :param facts: of the JSON, if there is one only.
        :raises TooManyUnfinishedBytes: the user has too many bytes of unfinished pushes.
        """
        name = secrets.token_hex(8)
        folder = f"{push.folder}/{_LAYERS}/{name}"
        hashes = {digest: hashlib.sha256(document + b"\n") for digest, document in documents.items()}
        left_bytes = self._most_bytes - self._unfinished_bytes(push.key)
        received = 0

        def hashed() -> Iterator[bytes]:
            nonlocal received
            for chunk in chunks:
                received += len(chunk)
                if received > left_bytes:
                    raise errors.TooManyUnfinishedBytes(self._most_bytes)
                for running in hashes.values():
                    running.update(chunk)
                yield chunk

        self._storage.write(f"{folder}/{layout.LAYER}", hashed())
        sums = {digest: running.hexdigest() for digest, running in hashes.items()}
        prepared = ""
        if len(documents) == 1:
            ((prepared, document),) = documents.items()
            self._write_image(folder, document, facts.ancestry, [f"sha256:{sums[prepared]}"])
        bytes_key = f"{_BYTES}/{push.key.owner}/{received}.{push.image_id}.{push.key.name}.{name}"
        self._storage.write(bytes_key, b"")
        record = {"sums": sums, "prepared": prepared, "ancestry": facts.ancestry, "bytes_key": bytes_key}
        # from here on the layer counts
        self._storage.write(f"{push.folder}/{_SUMS}/{self._now()}-{name}", json.dumps(record).encode("ascii"))
        layers = self.find(push.image_id, push.key).layers
        kept = SHARED_LIMIT if push.key.is_shared else 1
        self.drop(push, layers[: max(0, len(layers) - kept)])
        return sums

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
        meanwhile.

        :param sums: what is to be stored as its sums, the payload sum first.
        """
        folder = f"{push.folder}/{_LAYERS}/{layer.name}"
        payload = sums[0].removeprefix("sha256:")
        if layer.prepared == digest:
            if len(sums) > 1 or layer.ancestry != tuple(ancestry):
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
            if layer.bytes_key:
                self._delete(layer.bytes_key)
            return
        # other clients may have sent a JSON or a layer meanwhile
        self._storage.delete_tree(staged.folder)
        self._drop_sums(layer)
        self._delete(sent.key)

    # -- expiry

    def tidy(self) -> None:
        """Remove expired pushes, once in the life of a process and a bounded number of them."""
        if self._is_tidied:
            return
        self._is_tidied = True
        try:
            for number, image_id in enumerate(self._storage.list_folders(layout.UPLOADS)):
                if number >= _EXPIRED_AT_START:
                    break
                self.expire(image_id)
        except StorageUnavailable as error:
            log.warning("expired uploads are not removed: %s", error.reason)

    def expire(self, image_id: str) -> None:
        """Remove the pushes of an image whose last request was too long ago."""
        oldest = self._clock() - EXPIRY_S
        folder = f"{layout.UPLOADS}/{image_id}"
        newest: dict[str, float] = {}
        for stat in self._storage.list(f"{folder}/"):
            push = stat.key.removeprefix(f"{folder}/").partition("/")[0]
            modified = stat.modified.timestamp()
            if image_id.startswith("_"):
                # a key of its own each, not a push
                if modified < oldest:
                    self._delete(stat.key)
                continue
            newest[push] = max(newest.get(push, 0.0), modified)
        for push, modified in newest.items():
            if modified < oldest:
                self._storage.delete_tree(f"{folder}/{push}")

    # -- inside

    def _sent_keys(self, image_id: str) -> Iterator[str]:
        for stat in self._storage.list(f"{layout.UPLOADS}/{image_id}/"):
            if f"/{_SENT}/" in stat.key:
                yield stat.key

    def _unfinished_bytes(self, key: PushKey) -> int:
        total, oldest = 0, self._clock() - EXPIRY_S
        prefix = f"{_BYTES}/{key.owner}/"
        for stat in self._storage.list(prefix):
            if stat.modified.timestamp() < oldest:
                self._delete(stat.key)
                continue
            size = stat.key.removeprefix(prefix).partition(".")[0]
            total += int(size) if size.isdigit() else 0
        return total

    def _write_image(self, folder: str, document: bytes, ancestry: tuple[str, ...], sums: list[str]) -> None:
        self._storage.write(f"{folder}/{layout.JSON}", document)
        self._storage.write(f"{folder}/{layout.ANCESTRY}", json.dumps(list(ancestry)).encode("ascii"))
        self._storage.write(f"{folder}/{layout.CHECKSUM}", json.dumps(sums).encode("ascii"))

    def drop(self, push: StagedPush, layers: Iterable[SentLayer]) -> None:
        """Remove layers of a push."""
        for layer in layers:
            self._storage.delete_tree(f"{push.folder}/{_LAYERS}/{layer.name}")
            self._drop_sums(layer)

    def _drop_sums(self, layer: SentLayer) -> None:
        known = layer if layer.bytes_key else self.with_sums(layer)
        if known.bytes_key:
            self._delete(known.bytes_key)
        self._delete(layer.key)

    def _now(self) -> str:
        return f"{time.time_ns():020d}"

    def _delete(self, key: str) -> None:
        with suppress(KeyNotFound):
            self._storage.delete(key)
