"""Which repositories of a registry have which blobs, as pushes and pulls of one client have shown."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from ...names import Digest

_MOST_BLOBS = 10_000
_MOST_REPOSITORIES = 5


class KnownBlobs:
    """A memory of places of blobs, so that pushes can mount them. Bounded; safe for threads."""

    def __init__(self) -> None:
        self._places: OrderedDict[Digest, str] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def repositories(self) -> Sequence[str]:
        """The repositories that were used last."""
        with self._lock:
            names = list(dict.fromkeys(reversed(self._places.values())))
        return names[:_MOST_REPOSITORIES]

    def add(self, repository: str, digests: Iterable[Digest]) -> None:
        """Remember that a repository has blobs."""
        with self._lock:
            for digest in digests:
                self._places[digest] = repository
                self._places.move_to_end(digest)
            while len(self._places) > _MOST_BLOBS:
                self._places.popitem(last=False)

    def places(self, digest: Digest) -> Sequence[str]:
        """Return the repositories that have a blob."""
        with self._lock:
            place = self._places.get(digest)
        return [] if place is None else [place]
