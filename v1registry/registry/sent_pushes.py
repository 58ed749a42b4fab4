"""What unfinished pushes have sent: where it is, and how it is read. ``staging.py`` writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

from .. import errors
from ..rights import PushKey
from ..storage.base import Blob, KeyNotFound, Storage
from . import layout
from .sent import Facts, SentJson, SentLayer, StagedPush, Unfinished, parse, parse_facts

#: How many keys of the unfinished pushes of one image are looked at to answer other callers, and how many
#: facts are read, because strangers may begin many pushes.
_MOST_LOOKED_AT: Final = 1000
_MOST_FACTS: Final = 50

#: How much of a stored JSON is read at once to find its line of facts, in bytes.
_HEAD_BYTES: Final = 32 << 10

#: The folders of a push: its JSONs, the sums of its layers, and the layers.
SENT, SUMS, LAYERS = "sent", "sums", "layers"


@dataclass(frozen=True)
class AddedLayer:
    """A layer that was stored."""

    name: str
    sums: Mapping[str, str]  #: digest of a JSON -> hex digits of the payload sum
    after: StagedPush  #: what the push has sent by then
    #: other JSONs count than the process knew when the layer began to arrive
    is_doubtful: bool = False

    @property
    def key(self) -> str:
        """The key of the bytes."""
        return f"{self.after.folder}/{LAYERS}/{self.name}/{layout.LAYER}"


class SentPushes:
    """Reads what the unfinished pushes of one storage have sent. Safe for threads and processes."""

    def __init__(self, storage: Storage):
        self._storage = storage

    def find(self, image_id: str, key: PushKey) -> StagedPush:
        """Return what a push has sent; empty if nothing."""
        folder, jsons, layers, newest_s = StagedPush(image_id, key).folder, [], [], 0.0
        # "sent" and "sums", without the layers
        for stat in self._storage.list(f"{folder}/s"):
            newest_s = max(newest_s, stat.modified.timestamp())
            kind, _, name = stat.key.removeprefix(f"{folder}/").partition("/")
            if kind == SENT:
                jsons.append(SentJson(stat.key, name.rpartition("-")[2], stat.size))
            elif kind == SUMS:
                layers.append(SentLayer(stat.key, name.rpartition("-")[2]))
        if not key.is_shared:
            # the last one counts
            jsons = jsons[-1:]
        return StagedPush(image_id, key, tuple(jsons), tuple(layers), newest_s)

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
            for kind in (SENT, SUMS)
        }
        sent, sums = newest[SENT], newest[SUMS]
        if sent is None:
            return None
        facts, document = parse(sent, self._storage.read(sent)[0])
        folder = (
            None if sums is None else f"{sums.partition(f'/{SUMS}/')[0]}/{LAYERS}/{sums.rpartition('-')[2]}"
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

    def open_layer(self, added: AddedLayer) -> Blob:
        """Return the bytes of a layer that was stored.

        :raises ImageReplaced: it was removed meanwhile.
        """
        try:
            return self._storage.open(added.key)
        except KeyNotFound:
            raise errors.ImageReplaced(image_id=added.after.image_id) from None

    def _sent_keys(self, image_id: str) -> Iterator[str]:
        for stat in islice(self._storage.list(f"{layout.UPLOADS}/{image_id}/"), _MOST_LOOKED_AT):
            if f"/{SENT}/" in stat.key:
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
