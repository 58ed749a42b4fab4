"""Damaged values out of the way: below ``quarantine/``, where no request finds them (decisions.md 22).

Below the folder of a run each value has the key that it had before, so that copying the folder over the root
of the storage restores it. What tells that a push has the same bytes stays where it is: the sums and the
ancestry of an image. So a push restores the image for all repositories that hold it.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Final

from ..clock import SYSTEM_CLOCK, Clock
from ..distribution import layout as blob_layout
from ..registry import layout
from ..rights import Content
from ..storage.base import KeyConflict, KeyNotFound, Stat, Storage

#: The folder of all that was moved out of the way.
QUARANTINE: Final = "quarantine"

#: What goes of a content, besides its diffs.
_GO: Final = frozenset({layout.JSON, layout.LAYER, layout.FILES, layout.OPAQUE, blob_layout.LAYER_BLOB})


class Quarantine:
    """Takes what one run found. For one thread."""

    def __init__(self, storage: Storage, *, clock: Clock = SYSTEM_CLOCK):
        self._storage = storage
        self.folder = f"{QUARANTINE}/{clock.now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"

    def take_content(self, content: Content, document_etag: str, layer_etag: str | None) -> bool:
        """Move the JSON and the layer of a content, and what was made of them; tell whether it was done.

        The JSON is the first: without it the content counts as damaged.

        :param document_etag: of the JSON that was read. If it has changed, nothing is moved.
        :param layer_etag: of the layer that was read; None if there was none.
        """
        folder = layout.content_folder(content)
        read = {f"{folder}/{layout.JSON}": document_etag}
        if layer_etag is not None:
            read[f"{folder}/{layout.LAYER}"] = layer_etag
        stats = [stat for stat in self._storage.list(f"{folder}/") if self._goes(stat.key, folder)]
        if {stat.key: stat.etag for stat in stats if stat.key in read} != read:
            return False
        first = f"{folder}/{layout.JSON}"
        for stat in sorted(stats, key=lambda stat: (stat.key != first, stat.key)):
            if not self._take(stat) and stat.key == first:
                return False
        return True

    def take_blob(self, sha256: str, etag: str) -> bool:
        """Move the bytes of a blob, and what was found in them; tell whether it was done.

        :param sha256: hex digits.
        :param etag: of the bytes that were read. If it has changed, nothing is moved.
        """
        folder = blob_layout.blob_folder(sha256)
        stats = {stat.key: stat for stat in self._storage.list(f"{folder}/")}
        data = stats.get(blob_layout.blob_key(sha256))
        if data is None or data.etag != etag or not self._take(data):
            return False
        facts = stats.get(f"{folder}/{blob_layout.FACTS}")
        if facts is not None:
            self._take(facts)
        return True

    @staticmethod
    def _goes(key: str, folder: str) -> bool:
        name = key[len(folder) + 1 :]
        return name in _GO or (name.startswith(layout.DIFF) and "/" not in name)

    def _take(self, stat: Stat) -> bool:
        """Move a value as it was listed; tell whether it was done."""
        target = f"{self.folder}/{stat.key}"
        try:
            self._storage.link(stat.key, target)
            self._storage.delete(stat.key, expect=stat.etag)
        except KeyNotFound:
            return False
        except KeyConflict:
            # a push restored it meanwhile
            with suppress(KeyNotFound):
                self._storage.delete(target)
            return False
        return True
