"""The layers of v1 as blobs: what one pass over a layer found out is kept beside it.

A layer that was written again, as an old server may do, is read again: what is kept names the etag of the
layer.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from .. import errors
from ..archives.convert import EMPTY_TAR, EMPTY_TAR_DIFF_ID
from ..clock import SYSTEM_CLOCK, Clock
from ..layers.compression import ExpansionLimitExceeded, LookTooLong, Readable, UnreadableLayer
from ..log import get_logger
from ..registry import layout as registry_layout
from ..registry.contents import Contents
from ..registry.expiry import push_folder
from ..registry.looks import Bounds, Failures
from ..rights import Content
from ..storage.base import KeyConflict, KeyNotFound, Stat, Storage
from ..storage.patience import cleanup
from . import layout
from .blobs import Blobs
from .layer_reading import LayerReading, ReadLayer

log = get_logger(__name__)

#: Stands for the user in the folder of a layer that is being encoded.
_OWNER: Final = 32 * "0"

_EMPTY_SHA256: Final = EMPTY_TAR_DIFF_ID.partition(":")[2]


@dataclass(frozen=True)
class StoredLayer:
    """A stored layer of v1, as it was looked at."""

    content: Content
    stat: Stat

    @property
    def place(self) -> tuple[str, str]:
        """What no other layer has, and no other bytes under the same key."""
        return self.stat.key, self.stat.etag


class WatchedRead(Protocol):
    """Receives the progress of one pass over a layer, in the thread that reads it."""

    def advance(self, size_bytes: int, /) -> None:
        """Add bytes that were read."""

    def finish(self) -> None:
        """End the pass. Called once, also after a failure."""


class Watcher(Protocol):
    """Receives the start of every pass. Several passes run at once, in several threads."""

    def start(self, label: str, total_bytes: int | None, /) -> WatchedRead:
        """Begin a pass.

        :param label: such as ``read 0123456789ab``.
        """


class _Watched:
    """A stream whose progress is watched."""

    def __init__(self, stream: Readable, read: WatchedRead | None):
        self._stream = stream
        self._read = read

    def read(self, size: int, /) -> bytes:
        chunk = self._stream.read(size)
        if self._read is not None:
            self._read.advance(len(chunk))
        return chunk


class LayerBlobs:
    """The layers of one storage as blobs. Safe for threads and processes.

    :param bounds: how far a pass over a layer goes.
    :param watcher: shows the progress of the passes; None if it is not shown.
    :param clock: tells when a layer whose pass took too long may be read again.
    :param timer: seconds that never go back, by which a pass takes its time.
    """

    def __init__(
        self,
        storage: Storage,
        contents: Contents,
        blobs: Blobs,
        bounds: Bounds,
        *,
        watcher: Watcher | None = None,
        clock: Clock = SYSTEM_CLOCK,
        timer: Callable[[], float] = time.monotonic,
    ):
        self._storage = storage
        self._contents = contents
        self._blobs = blobs
        self._bounds = bounds
        self._watcher = watcher
        self._timer = timer
        self._failures = Failures(clock)

    def check(self, layer: StoredLayer) -> None:
        """Raise the failure of an earlier pass over a layer, if there was one.

        :raises ImageNotConvertible: a pass failed before.
        """
        self._failures.check(layer.place)

    def known(self, layer: StoredLayer) -> ReadLayer | None:
        """Return what a pass found out before, None if the layer must be read. The blob is there."""
        etag, found = self._kept(layer.content)
        if found is None or etag != layer.stat.etag:
            return None
        if self._blobs.stat(found.sha256) is None and not self._restore(layer, found):
            return None
        return found

    def read(self, layer: StoredLayer) -> ReadLayer:
        """Read a layer, store it as a blob, and keep what was found out.

        :raises ImageNotConvertible: engines cannot use the layer. The reason is logged once, and remembered.
        """
        content = layer.content
        try:
            found = self._read(layer)
        except UnreadableLayer as error:
            failure = errors.ImageNotConvertible(image_id=content.image_id, reason=str(error))
            failure.__cause__ = error
            self._failures.keep(layer.place, failure)
            log.warning("%s is not shown below /v2/: %s", layer.stat.key, self._reason(error))
            raise failure from error
        except KeyNotFound:
            reason = "the image was removed or changed while it was read"
            raise errors.ImageNotConvertible(image_id=content.image_id, reason=reason) from None
        self._drop_changed(layer, found)
        value = json.dumps({"etag": layer.stat.etag, **asdict(found)}).encode("ascii")
        self._storage.write(registry_layout.content_key(content, layout.LAYER_BLOB), value)
        return found

    def _read(self, layer: StoredLayer) -> ReadLayer:
        end = self._timer() + self._bounds.seconds

        def check() -> None:
            if self._timer() > end:
                raise LookTooLong(f"reading it takes longer than the limit of {self._bounds.seconds:g} s")

        with self._storage.open(layer.stat.key) as blob, self._watch(layer) as watched:
            if blob.stat.etag != layer.stat.etag:
                raise KeyNotFound(layer.stat.key, "it was written again")
            reading = LayerReading(
                _Watched(blob, watched),
                self._contents.document(layer.content),
                limit_bytes=self._bounds.expansion(blob.stat.size),
                check=check,
            )
            if reading.is_recoded:
                return self._recode(layer, reading)
            found = reading.read()
        self._check_sum(layer.content, found)
        self._store(layer, found)
        return found

    @contextmanager
    def _watch(self, layer: StoredLayer) -> Iterator[WatchedRead | None]:
        if self._watcher is None:
            yield None
            return
        watched = self._watcher.start(f"read {layer.content.image_id[:12]}", layer.stat.size)
        try:
            yield watched
        finally:
            watched.finish()

    def _recode(self, layer: StoredLayer, reading: LayerReading) -> ReadLayer:
        folder = push_folder(secrets.token_hex(16), _OWNER, secrets.token_hex(16))
        try:
            self._storage.write(f"{folder}/{layout.DATA}", reading.recode())
            found = reading.read()
            self._check_sum(layer.content, found)
            if found.sha256 == _EMPTY_SHA256:
                self._store(layer, found)
            else:
                self._blobs.publish(folder, found.sha256)
        finally:
            with cleanup():
                self._storage.delete_tree(folder)
        return found

    def _check_sum(self, content: Content, found: ReadLayer) -> None:
        """Check the stored payload sum, because engines of v2 could not notice damaged bytes.

        :raises UnreadableLayer: it does not fit.
        """
        sums = [sum_ for sum_ in self._contents.checksums(content) if sum_.startswith("sha256:")]
        if sums and found.payload not in sums:
            raise UnreadableLayer(
                "it is damaged: it does not fit the stored sum; run v1registry verify --layers"
            )

    def _store(self, layer: StoredLayer, found: ReadLayer) -> None:
        """Store the bytes of a layer as a blob.

        :raises KeyNotFound: the layer was removed or written again meanwhile.
        """
        if found.sha256 == _EMPTY_SHA256:
            self._blobs.put(EMPTY_TAR)
            return
        is_new = self._blobs.stat(found.sha256) is None
        self._blobs.link(layer.stat.key, found.sha256)
        if is_new and self._storage.stat(layer.stat.key).etag != layer.stat.etag:
            # different bytes may have been linked
            with suppress(KeyNotFound):
                self._storage.delete(layout.blob_key(found.sha256))
            raise KeyNotFound(layer.stat.key, "it was written again while it was read")

    def _restore(self, layer: StoredLayer, found: ReadLayer) -> bool:
        """Store a blob again that was removed. Tell whether it was done without reading the layer."""
        if found.is_recoded:
            return False
        with suppress(KeyNotFound):
            self._store(layer, found)
            return True
        return False

    def _drop_changed(self, layer: StoredLayer, found: ReadLayer) -> None:
        """Remove the blob that was linked to a layer before an old server wrote into the layer in place."""
        earlier = self._kept(layer.content)[1]
        if earlier is None or earlier.sha256 == found.sha256:
            return
        blob = self._blobs.stat(earlier.sha256)
        if blob is not None and blob.etag == layer.stat.etag:
            with suppress(KeyNotFound, KeyConflict):
                self._storage.delete(blob.key, expect=blob.etag)

    def _kept(self, content: Content) -> tuple[str, ReadLayer | None]:
        """Return what is kept beside a layer: an etag, and what was found out; None if nothing valid is."""
        try:
            value = self._storage.read(registry_layout.content_key(content, layout.LAYER_BLOB))[0]
        except KeyNotFound:
            return "", None
        fields: Any = registry_layout.parse_stored(value)
        if not isinstance(fields, dict):
            return "", None
        etag = fields.pop("etag", None)
        found = ReadLayer.parse(fields)
        return (etag, found) if isinstance(etag, str) else ("", None)

    def _reason(self, error: UnreadableLayer) -> str:
        """Return the text of an error, with the setting that limits the pass."""
        if isinstance(error, LookTooLong):
            return f"{error} (setting v2_layer_time_s)"
        if isinstance(error, ExpansionLimitExceeded):
            return f"{error} (settings max_expanded_bytes and max_expansion_ratio)"
        return str(error)
