"""Bytes by digest, stored once for all repositories, and which repository contains them.

Knowing a digest is not access: a blob is read only through a repository that contains it (distribution.md
2.4).
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import Any, Final, TypeVar

from ..clock import SYSTEM_CLOCK, Clock
from ..layers.remembered import Remembered
from ..names import Digest
from ..registry.keeping import Keeper, Keeping
from ..registry.layout import parse_stored
from ..storage.at_once import at_once
from ..storage.base import ABSENT, Blob, KeyConflict, KeyNotFound, Stat, Storage
from ..storage.combined import Combining
from . import layout
from .places import Place

T = TypeVar("T")

#: A blob of at most so many bytes is small. An object store usually has no object for it to redirect to.
SMALL_BYTES: Final = 16 << 10

#: What the small blobs that are kept in memory may take, in bytes, and what each takes besides its bytes.
KEPT_BYTES: Final = 16 << 20
_OVERHEAD_BYTES: Final = 300


class Blobs:
    """The blobs of one storage. Safe for threads and processes.

    Small ones of a storage far away are kept in memory after they were sent: bytes never change under their
    digest. Whether a repository contains them is asked each time, and so is whether they are stored, except
    to send them.
    """

    def __init__(self, storage: Storage, *, clock: Clock = SYSTEM_CLOCK):
        self._storage = storage
        #: whether each call of the storage takes long
        self.is_far = isinstance(storage, Combining)
        self._kept = Remembered[bytes](KEPT_BYTES, lambda data: len(data) + _OVERHEAD_BYTES)
        self.keeping = Keeping(storage, clock=clock)

    # -- bytes

    def sha256_of(self, digest: Digest) -> str | None:
        """Return the hex digits of the SHA-256 of the content with a digest; None if that is unknown.

        A SHA-256 digest is returned as it is, whether or not there is such content.
        """
        if digest.algorithm == "sha256":
            return digest.hex
        with suppress(KeyNotFound):
            return self._storage.read(layout.pointer_key(digest))[0].decode("ascii", "replace")
        return None

    def stat(self, sha256: str) -> Stat | None:
        """Return the Stat of the bytes with a digest, whichever repository contains them; None if there are
        none.
        """
        with suppress(KeyNotFound):
            return self._storage.stat(layout.blob_key(sha256))
        return None

    def open(self, sha256: str, start: int = 0, stop: int | None = None) -> Blob:
        """Return bytes ``[start, stop)`` of a blob as a stream.

        :raises KeyNotFound: there is no such blob.
        """
        return self._storage.open(layout.blob_key(sha256), start, stop)

    def read(self, sha256: str) -> bytes:
        """Return the bytes of a blob that is not large, such as a manifest.

        :raises KeyNotFound: there is no such blob.
        """
        return self._storage.read(layout.blob_key(sha256))[0]

    def read_to_send(self, sha256: str) -> bytes:
        """Return what :meth:`read` does, or bytes that are kept in memory. They may be removed already.

        :raises KeyNotFound: there is no such blob.
        """
        kept = self.kept(sha256)
        if kept is not None:
            return kept
        data = self.read(sha256)
        if self.is_far and len(data) <= SMALL_BYTES and hashlib.sha256(data).hexdigest() == sha256:
            self._kept.keep(sha256, data)
        return data

    def kept(self, sha256: str) -> bytes | None:
        """Return the bytes of a small blob that is kept in memory, None for any other one."""
        return self._kept.find(sha256) if self.is_far else None

    def put(self, data: bytes) -> Digest:
        """Store small bytes, such as a manifest or a config; return their digest."""
        digest = Digest.of(data)
        # far away, a write that is refused costs no more than a look
        if self.is_far or self.stat(digest.hex) is None:
            with suppress(KeyConflict):
                self._storage.write(layout.blob_key(digest.hex), data, expect=ABSENT)
        return digest

    def publish(self, staged: str, sha256: str) -> None:
        """Store the bytes of a staged folder, whose only key is ``data``. The folder is gone afterwards.

        :param sha256: the digest of the bytes, which the caller has computed.
        :raises KeyNotFound: nothing is staged there.
        """
        try:
            self._storage.publish(staged, layout.blob_folder(sha256))
        except KeyConflict:
            if self.stat(sha256) is None:
                # facts are there without the bytes
                with suppress(KeyConflict):
                    self._storage.link(f"{staged}/{layout.DATA}", layout.blob_key(sha256))
            self._storage.delete_tree(staged)

    def link(self, key: str, sha256: str) -> None:
        """Store the value of a key as a blob, without a second copy if the storage can.

        :param sha256: the digest of the value, which the caller has computed.
        :raises KeyNotFound: nothing is stored under the key.
        """
        if self.stat(sha256) is None:
            with suppress(KeyConflict):
                self._storage.link(key, layout.blob_key(sha256))

    def point(self, digest: Digest, sha256: str) -> None:
        """Make content readable under a digest of a different algorithm too."""
        if digest.algorithm != "sha256":
            self._storage.write(layout.pointer_key(digest), sha256.encode("ascii"))

    def verify(self, digest: Digest, sha256: str) -> bool:
        """Tell whether stored bytes have a digest. They are read if its algorithm is not SHA-256."""
        if digest.algorithm == "sha256":
            return digest.hex == sha256
        hasher = hashlib.new(digest.algorithm)
        with self.open(sha256) as blob:
            for chunk in blob:
                hasher.update(chunk)
        return hasher.hexdigest() == digest.hex

    # -- which repository contains them

    def contains(self, place: Place, digest: Digest) -> str | None:
        """Return the SHA-256 digits of a blob if the repository contains it, None if not."""
        sha256 = self.sha256_of(digest)
        if sha256 is None or not self.is_marked(place, sha256):
            return None
        return sha256

    def is_marked(self, place: Place, sha256: str) -> bool:
        """Tell whether the repository contains a blob."""
        try:
            value = self._storage.read(layout.repository_key(place.repository, layout.MARKS, sha256))[0]
        except KeyNotFound:
            return False
        parsed: Any = parse_stored(value)
        return isinstance(parsed, dict) and place.counts(parsed.get("incarnation"))

    def without(self, look: Callable[[T], bool], items: Sequence[T]) -> list[T]:
        """Return the items for which a look into the storage returns False; far away, several looks run at
        once.
        """
        with closing(at_once(self._storage, look, items)) as found:
            return [item for item, is_there in zip(items, found, strict=True) if not is_there]

    def mark(self, place: Place, sha256: str) -> None:
        """Note that the repository contains a blob."""
        key = layout.repository_key(place.repository, layout.MARKS, sha256)
        value = json.dumps({"incarnation": place.incarnation}).encode("ascii")
        if self.is_far:
            # a write that is refused costs no more than a look
            with suppress(KeyConflict):
                self._storage.write(key, value, expect=ABSENT)
                return
        if not self.is_marked(place, sha256):
            self._storage.write(key, value)

    def mark_while(self, place: Place, sha256: str, is_wanted: Callable[[], bool]) -> bool:
        """Note that the repository contains a blob, unless that is not wanted any more; tell whether it does.

        Each call writes a mark of its own. So a mark that is taken back here is not one on which another
        request relies.

        :param is_wanted: never true again once it was false. It is asked after the write; and before it, if
            the mark takes the place of another one.
        """
        key = layout.repository_key(place.repository, layout.MARKS, sha256)
        fields = {"incarnation": place.incarnation, "nonce": secrets.token_hex(8)}
        value, expect = json.dumps(fields).encode("ascii"), ABSENT
        while True:
            # a mark that was there when it was wanted is not one of a repository that was made later
            if expect != ABSENT and not is_wanted():
                return False
            try:
                written = self._storage.write(key, value, expect=expect)
            except KeyConflict:
                try:
                    expect = self._storage.stat(key).etag
                except KeyNotFound:
                    expect = ABSENT
                continue
            if is_wanted():
                return True
            with suppress(KeyNotFound, KeyConflict):
                self._storage.delete(key, expect=written.etag)
            return False

    def keep(self, keeper: Keeper, place: Place, sha256: str) -> bool:
        """Keep a blob that the repository contains from the garbage collection; tell whether both are so."""
        key = layout.repository_key(place.repository, layout.MARKS, sha256)
        is_marked = keeper.keep_value(key) and self.is_marked(place, sha256)
        return is_marked and self.keep_bytes(keeper, sha256)

    def keep_bytes(self, keeper: Keeper, sha256: str) -> bool:
        """Keep the bytes of a blob from the garbage collection; tell whether they are there."""
        return keeper.keep(layout.blob_folder(sha256), layout.DATA)

    def unmark(self, place: Place, sha256: str) -> bool:
        """Note that the repository does not contain a blob any more; tell whether it did."""
        if not self.is_marked(place, sha256):
            return False
        with suppress(KeyNotFound):
            self._storage.delete(layout.repository_key(place.repository, layout.MARKS, sha256))
        return True
