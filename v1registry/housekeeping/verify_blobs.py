"""A search for damaged data of the distribution API: blobs, manifests, and what repositories say of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Final, NamedTuple

from ..distribution import layout
from ..distribution.blobs import Blobs
from ..registry.layout import parse_stored
from ..storage.at_once import at_once
from ..storage.base import DataMissing, KeyNotFound, Stat, Storage, StorageUnavailable
from .findings import MOVE, PUSH, Problem, lost
from .verify_images import Known, Reading

_SHA256: Final = re.compile(r"[0-9a-f]{64}")

#: Below these folders of a repository each value is a JSON object.
_OBJECTS: Final = (layout.MARKS, layout.MANIFESTS, layout.REFERRERS, layout.TAGS)

_UNFIT: Final = "the bytes do not fit the digest"


class _BlobLook(NamedTuple):
    """A blob that was read, or was not because it was read lately."""

    sha256: str
    stat: Stat
    modified_s: float  #: when the blob or what leads to it was written, in seconds since the epoch
    begun_at_s: float | None = None  #: in seconds since the epoch; None if it was not read
    fits: bool = True  #: the digest
    is_pointer_right: bool = True  #: the digest of SHA-512 fits, if one leads to it
    failure: str = ""  #: why it cannot be read
    lost: DataMissing | None = None  #: if the storage has lost its bytes
    is_gone: bool = False  #: it was removed or replaced meanwhile


class BlobVerification:
    """Looks at what the distribution API has stored, at several at once if the storage is distant.

    For one thread. Other threads only look; what they found is noted in the order of the keys.

    :param reading: how blobs are read and compared with their digests; None if they are not.
    :param looked_at: called for each blob.
    """

    def __init__(
        self, storage: Storage, known: Known, reading: Reading | None, looked_at: Callable[[], None]
    ):
        self._storage = storage
        self._blobs = Blobs(storage)
        self._known = known
        self._reading = reading
        self._looked_at = looked_at
        #: SHA-256 digits -> the key with the SHA-512 digits under which the blob is readable too
        self._sha512 = dict[str, Stat]()
        self.blobs = 0  #: how many blobs were looked at

    def note_linked(self) -> None:
        """Note which blobs there are, so that layers that share their bytes are read once."""
        for stat in self._storage.list(f"{layout.BLOBS}/sha256/"):
            if stat.key.endswith(f"/{layout.DATA}"):
                self._known.linked[hash(stat.etag)] = None

    def problems(self) -> Iterator[Problem]:
        """Yield what is damaged in the bytes that all repositories share."""
        pointers = self._storage.list(f"{layout.BLOBS}/sha512/")
        for stat, sha256 in at_once(self._storage, self._target_of, pointers):
            if isinstance(sha256, DataMissing):
                yield lost(sha256)
            elif sha256 is None:
                yield Problem(stat.key, f"the digest leads to no blob: {PUSH}")
            elif sha256:
                self._sha512[sha256] = stat
        if self._reading is None:
            for _, stat in self._stored():
                self._note_stored(stat)
            return
        reading = self._reading
        with closing(at_once(self._storage, partial(self._look, reading), self._stored())) as looks:
            for look in looks:
                self._note_stored(look.stat)
                yield from self._note(reading, look)

    def _stored(self) -> Iterator[tuple[str, Stat]]:
        """Yield the SHA-256 digits of all blobs, and the Stats of their bytes."""
        for stat in self._storage.list(f"{layout.BLOBS}/sha256/"):
            sha256, _, name = stat.key.removeprefix(f"{layout.BLOBS}/sha256/")[3:].partition("/")
            if name == layout.DATA and _SHA256.fullmatch(sha256):
                yield sha256, stat

    def _note_stored(self, stat: Stat) -> None:
        self.blobs += 1
        self._looked_at()
        self._known.add_whole(stat.key)

    def problem_of(self, name: str, value: bytes) -> str:
        """Return what is wrong with a value in the folder of a repository; empty if nothing is.

        :param name: the key within that folder.
        """
        _, _, rest = name.partition("/")
        kind, _, last = rest.partition("/")
        if kind not in _OBJECTS:
            return ""
        fields = parse_stored(value)
        if not isinstance(fields, dict):
            return f"the value is empty or cut: {PUSH}"
        if kind not in (layout.MARKS, layout.MANIFESTS):
            return ""
        stat = self._blobs.stat(last) if _SHA256.fullmatch(last) else None
        if stat is None:
            return f"the bytes of sha256:{last} are missing: {PUSH}"
        if kind == layout.MANIFESTS and stat.size != fields.get("size"):
            return f"the manifest has {stat.size} bytes, and its record says {fields.get('size')}: {PUSH}"
        return ""

    def _look(self, reading: Reading, found: tuple[str, Stat]) -> _BlobLook:
        """Read a blob, and compare it with its digests."""
        sha256, stat = found
        modified_s = max(part.modified.timestamp() for part in (stat, self._sha512.get(sha256, stat)))
        if reading.lately.has(stat.key, modified_s):
            return _BlobLook(sha256, stat, modified_s)
        begun_at_s = reading.lately.now_s()
        if self._known.linked.get(hash(stat.etag)) == bytes.fromhex(sha256) and sha256 not in self._sha512:
            return _BlobLook(sha256, stat, modified_s, begun_at_s)
        try:
            fits, is_pointer_right = self._fits(reading, sha256, stat)
        except KeyNotFound:
            return _BlobLook(sha256, stat, modified_s, is_gone=True)
        except DataMissing as error:
            now = self._blobs.stat(sha256)
            if now is None or now.etag != stat.etag:
                return _BlobLook(sha256, stat, modified_s, is_gone=True)
            return _BlobLook(sha256, stat, modified_s, begun_at_s, fits=False, lost=error)
        except StorageUnavailable as error:
            return _BlobLook(sha256, stat, modified_s, begun_at_s, fits=False, failure=error.reason)
        return _BlobLook(sha256, stat, modified_s, begun_at_s, fits, is_pointer_right)

    def _note(self, reading: Reading, look: _BlobLook) -> Iterator[Problem]:
        """Note how a blob was read. If it is damaged, move it out of the way if that is wanted."""
        key = look.stat.key
        if look.is_gone:
            return
        if look.begun_at_s is None:
            reading.skip(key, look.modified_s)
            return
        is_damaged = not (look.fits and look.is_pointer_right)
        reading.note(key, look.begun_at_s, look.modified_s, is_damaged=is_damaged)
        if look.failure:
            self._known.damaged.add(key)
            yield Problem(key, f"the bytes cannot be read: {look.failure}")
        elif not look.fits:
            self._known.damaged.add(key)
            text = _UNFIT if look.lost is None else look.lost.reason
            if reading.quarantine is not None and reading.quarantine.take_blob(look.sha256, look.stat.etag):
                yield Problem(key, f"{text}: {PUSH}", reading.quarantine.folder)
            else:
                yield Problem(key, f"{text}: {MOVE}") if look.lost is None else lost(look.lost, MOVE)
        elif not look.is_pointer_right:
            key = self._sha512[look.sha256].key
            yield Problem(key, f"the digest leads to bytes of a different one: delete {key}, then {PUSH}")

    def _fits(self, reading: Reading, sha256: str, stat: Stat) -> tuple[bool, bool]:
        """Tell whether the bytes of a blob have its digest, and that of SHA-512 if one leads to it.

        :raises KeyNotFound: it was removed, or stored again.
        """
        total, pointer = hashlib.sha256(), self._sha512.get(sha256)
        long = None if pointer is None else hashlib.sha512()
        with self._blobs.open(sha256) as blob:
            if blob.stat.etag != stat.etag:
                raise KeyNotFound(stat.key)
            for chunk in reading.chunks(blob):
                total.update(chunk)
                if long is not None:
                    long.update(chunk)
        is_pointer_right = pointer is None or long is None or pointer.key.endswith(f"/{long.hexdigest()}")
        return total.hexdigest() == sha256, is_pointer_right

    def _target_of(self, stat: Stat) -> tuple[Stat, str | DataMissing | None]:
        """Return a key with the SHA-256 digits under it; None if there is no blob with them; or that the
        digits are lost.

        They are empty if the key was removed.
        """
        try:
            sha256 = self._storage.read(stat.key)[0].decode("ascii", "replace")
        except KeyNotFound:
            return stat, ""
        except DataMissing as error:
            return stat, error
        is_there = _SHA256.fullmatch(sha256) is not None and self._blobs.stat(sha256) is not None
        return stat, sha256 if is_there else None
