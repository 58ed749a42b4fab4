"""A search for damaged data of the distribution API: blobs, manifests, and what repositories say of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final

from ..distribution import layout
from ..distribution.blobs import Blobs
from ..registry.layout import parse_stored
from ..storage.base import KeyNotFound, Storage

_SHA256: Final = re.compile(r"[0-9a-f]{64}")

#: Below these folders of a repository each value is a JSON object.
_OBJECTS: Final = (layout.MARKS, layout.MANIFESTS, layout.REFERRERS, layout.TAGS)

_PUSH: Final = "push the image again"


class BlobVerification:
    """Looks at what the distribution API has stored.

    :param reads_blobs: compare the bytes of all blobs with their digests.
    """

    def __init__(self, storage: Storage, *, reads_blobs: bool = False):
        self._storage = storage
        self._blobs = Blobs(storage)
        self._reads_blobs = reads_blobs
        self.blobs = 0  #: how many blobs were looked at

    def of_blobs(self) -> Iterator[tuple[str, str]]:
        """Yield keys of the bytes that all repositories share, and what is wrong there."""
        for stat in self._storage.list(f"{layout.BLOBS}/"):
            parts = stat.key.split("/")
            if parts[1] == "sha256" and parts[-1] == layout.DATA and _SHA256.fullmatch(parts[-2]):
                self.blobs += 1
                if self._reads_blobs and not self._fits(parts[-2]):
                    yield stat.key, f"the bytes do not fit the digest: delete {stat.key}, then {_PUSH}"
            elif parts[1] == "sha512" and not self._leads_to_blob(stat.key):
                yield stat.key, f"the digest leads to no blob: {_PUSH}"

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
            return f"the value is empty or cut: {_PUSH}"
        if kind not in (layout.MARKS, layout.MANIFESTS):
            return ""
        stat = self._blobs.stat(last) if _SHA256.fullmatch(last) else None
        if stat is None:
            return f"the bytes of sha256:{last} are missing: {_PUSH}"
        if kind == layout.MANIFESTS and stat.size != fields.get("size"):
            return f"the manifest has {stat.size} bytes, and its record says {fields.get('size')}: {_PUSH}"
        return ""

    def _fits(self, sha256: str) -> bool:
        """Tell whether the bytes of a blob have its digest. A blob that was removed meanwhile is whole."""
        total = hashlib.sha256()
        try:
            with self._blobs.open(sha256) as blob:
                for chunk in blob:
                    total.update(chunk)
        except KeyNotFound:
            return True
        return total.hexdigest() == sha256

    def _leads_to_blob(self, key: str) -> bool:
        """Tell whether a blob has the SHA-256 digest under a key. A removed key is right."""
        try:
            sha256 = self._storage.read(key)[0].decode("ascii", "replace")
        except KeyNotFound:
            return True
        return bool(_SHA256.fullmatch(sha256)) and self._blobs.stat(sha256) is not None
