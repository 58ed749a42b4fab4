"""Which values of the source share their bytes with a blob, so that the destination stores them once too."""

from __future__ import annotations

from typing import Final

from ...distribution import layout
from ...storage.base import KeyNotFound, Stat, Storage

#: How many hex digits of a digest are kept. Blobs with equal ones are told apart by a listing.
_DIGITS: Final = 15


class SharedBytes:
    """The etags of the blobs of the source. About 150 bytes each.

    Two keys have the same etag only if they share their bytes.
    """

    def __init__(self, destination: Storage):
        self._destination = destination
        self._digits: dict[int, int] = {}
        self._unshared_bytes = -1  # up to this size the destination stores linked values twice

    def note(self, stat: Stat) -> None:
        """Note a blob of the source, called for each before :meth:`blob_of`."""
        sha256 = stat.key.split("/")[3]
        self._digits[hash(stat.etag)] = int(sha256[:_DIGITS], 16)

    def blob_of(self, found: Stat) -> Stat | None:
        """Return the blob of the destination whose copy in the source shares its bytes with a value.

        :return: None if there is none, or the destination does not have it, or does not share so few bytes.
        """
        if found.size <= self._unshared_bytes:
            return None
        number = self._digits.get(hash(found.etag))
        if number is None:
            return None
        digits = f"{number:0{_DIGITS}x}"
        listed = self._destination.list(f"{layout.BLOBS}/sha256/{digits[:2]}/{digits}")
        blobs = [stat for stat in listed if stat.key.endswith(f"/{layout.DATA}")]
        return blobs[0] if len(blobs) == 1 and blobs[0].size == found.size else None

    def link(self, blob: Stat, key: str) -> Stat | None:
        """Share the bytes of a blob with a key of the destination.

        :return: None if the destination cannot do that. Then nothing is stored under the key.
        """
        try:
            linked = self._destination.link(blob.key, key)
        except KeyNotFound:
            return None
        if linked.etag == blob.etag:
            return linked
        self._unshared_bytes = max(self._unshared_bytes, blob.size)
        self._destination.delete(key)
        return None
