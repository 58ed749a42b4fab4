"""What looks into the blobs of layers found: each is read once, and the result kept beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from .. import errors
from ..archives.convert import EMPTY_TAR_DIFF_ID
from ..layers.compression import ExpansionLimitExceeded, LookTooLong, UnreadableLayer
from ..layers.diff_ids import digests_of_layer
from ..registry.layout import parse_stored
from ..registry.looks import PUSHER, Looks
from ..storage.base import KeyNotFound, Storage
from . import layout
from .blobs import Blobs

#: How many payload sums are remembered of a blob: one for each image that it became.
_MOST_SUMS: Final = 20


class NoView(Exception):
    """There is no v1 view; the text says why."""


@dataclass(frozen=True)
class ViewFacts:
    """What is known of the blob of a layer."""

    diff_id: str
    is_zstd: bool
    sums: Mapping[str, str]  #: SHA-256 of a JSON -> the payload sum of the layer with it, both in hex. That
    #: of a zstd layer is of the gzip bytes that v1 gets

    def payload_with(self, document: bytes) -> str | None:
        """Return the payload sum of the layer with a JSON, in hex; None if it is unknown."""
        return self.sums.get(hashlib.sha256(document).hexdigest())


class FactsOfLayers:
    """The facts of the layers of one storage. Safe for threads and processes.

    :param most_layer_bytes: larger layers are not read.
    """

    def __init__(self, storage: Storage, blobs: Blobs, looks: Looks, *, most_layer_bytes: int):
        self._storage = storage
        self._blobs = blobs
        self._looks = looks
        self._most_layer_bytes = most_layer_bytes

    def of(self, sha256: str, document: bytes) -> ViewFacts:
        """Return the facts of a layer, which is read unless that was remembered.

        :param document: the JSON of the image that the layer becomes.
        :raises NoView: it cannot be read within the bounds.
        :raises LayerBusy: other looks into layers take too long.
        """
        facts = self._stored(sha256)
        if facts is None or (facts.payload_with(document) is None and not facts.is_zstd):
            facts = self._read(sha256, document, facts)
        return facts

    def remember(self, sha256: str, facts: ViewFacts, document: bytes, payload: str) -> ViewFacts:
        """Keep the facts of a layer together with one more payload sum."""
        sums = {**facts.sums, hashlib.sha256(document).hexdigest(): payload}
        return self._keep(sha256, replace(facts, sums=dict(list(sums.items())[-_MOST_SUMS:])))

    def _keep(self, sha256: str, facts: ViewFacts) -> ViewFacts:
        value = {"diff_id": facts.diff_id, "is_zstd": facts.is_zstd, "sums": dict(facts.sums)}
        self._storage.write(f"{layout.blob_folder(sha256)}/{layout.FACTS}", json.dumps(value).encode("ascii"))
        return facts

    def _stored(self, sha256: str) -> ViewFacts | None:
        try:
            value = self._storage.read(f"{layout.blob_folder(sha256)}/{layout.FACTS}")[0]
        except KeyNotFound:
            return None
        parsed: Any = parse_stored(value)
        try:
            sums = {str(key): str(sum_) for key, sum_ in parsed["sums"].items()}
            return ViewFacts(str(parsed["diff_id"]), parsed["is_zstd"] is True, sums)
        except (TypeError, KeyError, AttributeError):
            return None

    def _read(self, sha256: str, document: bytes, known: ViewFacts | None) -> ViewFacts:
        """Read a layer once, and remember what was found.

        :raises NoView: it cannot be read within the bounds.
        """
        stat = self._blobs.stat(sha256)
        if stat is None:
            raise NoView(f"the layer sha256:{sha256} is missing")
        if stat.size > self._most_layer_bytes:
            raise NoView(
                f"the layer sha256:{sha256} has {stat.size} bytes; "
                f"at most {self._most_layer_bytes} are read (max_v1_view_bytes)"
            )
        payload = hashlib.sha256(document + b"\n")
        bounds, place = self._looks.bounds, (stat.key, stat.etag)
        try:
            self._looks.failures.check(place)
            with self._looks.look(sha256, PUSHER) as check, self._blobs.open(sha256) as blob:
                found = digests_of_layer(
                    blob, also=[payload], limit_bytes=bounds.expansion(stat.size), check=check
                )
        except ExpansionLimitExceeded as error:
            setting = "max_look_s" if isinstance(error, LookTooLong) else "max_expanded_bytes"
            failure = errors.LayerTooLarge()
            failure.__cause__ = error
            self._looks.failures.keep(place, failure)
            raise NoView(f"the layer sha256:{sha256}: {error} ({setting})") from None
        except errors.LayerTooLarge:
            raise NoView(f"the layer sha256:{sha256} is too large, as was found before") from None
        except UnreadableLayer as error:
            raise NoView(f"the layer sha256:{sha256}: {error}") from None
        except KeyNotFound:
            raise NoView(f"the layer sha256:{sha256} is missing") from None
        diff_id = found.diff_id if found.expanded_bytes else EMPTY_TAR_DIFF_ID
        facts = ViewFacts(diff_id, found.compression == "zstd", {} if known is None else known.sums)
        if facts.is_zstd:
            return self._keep(sha256, facts)
        return self.remember(sha256, facts, document, payload.hexdigest())
