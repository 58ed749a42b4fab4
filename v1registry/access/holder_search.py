"""The order in which the holders of an image are looked at (decisions.md 17).

An image may have any number of marks, and each user can add marks. So the order is fair, and what was found
is remembered: marks that one user adds neither hide an image from others nor make their requests slow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from threading import Lock
from typing import Final

from cachetools import LRUCache

from ..names import RepositoryName
from ..registry import layout
from ..storage.base import InvalidKey, Storage

#: How many holders of an image are asked for one caller: those that the caller may read.
MOST_ASKED: Final = 50

#: How many repositories are looked at in vain for one request: hidden ones, and those whose marks do not
#: count. The next request of the caller goes on behind them.
MOST_HIDDEN: Final = 500

#: How many marks of an image are listed for one caller.
_MOST_LISTED: Final = 10_000

#: For how many images and callers the holders that were found are remembered, and how many of each.
_REMEMBERED: Final = 10_000
_REMEMBERED_OF_ONE: Final = 4


class HolderSearch:
    """Lists the repositories that have a mark of an image. Safe for threads and processes."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self._lock = Lock()  # cachetools is not safe for threads
        self._found: LRUCache[tuple[str, str], tuple[RepositoryName, ...]] = LRUCache(_REMEMBERED)
        self._positions: LRUCache[tuple[str, str], int] = LRUCache(_REMEMBERED)

    def candidates(
        self, image_id: str, near: Iterable[str] = (), seeker: str = ""
    ) -> Iterator[RepositoryName]:
        """Yield the repositories that may hold an image, each once. Marks that do not count are included.

        First come the namespaces of ``near`` in their order, then what was remembered for the seeker and for
        anonymous callers. Then comes one repository of each other namespace in turn.

        :param seeker: the name of the user, empty for an anonymous caller.
        """
        near, seen = tuple(near), set()
        known = chain(
            self.near(image_id, near), self._remembered(image_id, seeker), self._remembered(image_id, "")
        )
        for repository in known:
            if repository not in seen:
                seen.add(repository)
                yield repository
        begin = self._position(image_id, seeker)
        others = chain(
            islice(self._in_turn(image_id, set(near)), begin, _MOST_LISTED),
            islice(self._in_turn(image_id, set(near)), begin),
        )
        for repository in others:
            if repository not in seen:
                yield repository

    def near(self, image_id: str, namespaces: Iterable[str]) -> Iterator[RepositoryName]:
        """Yield the repositories of some namespaces that have a mark of the image."""
        for namespace in dict.fromkeys(namespaces):
            yield from islice(self.in_namespace(image_id, namespace), _MOST_LISTED)

    def all(self, image_id: str) -> Iterator[RepositoryName]:
        """Yield every repository that has a mark of the image, by namespace and stored name."""
        for namespace in self._namespaces(image_id):
            yield from self.in_namespace(image_id, namespace)

    def in_namespace(self, image_id: str, namespace: str) -> Iterator[RepositoryName]:
        """Yield the repositories of a namespace that have a mark of the image, by stored name."""
        stored = layout.store_part(namespace)
        prefix = f"{layout.image_key(image_id, layout.HELD)}/{stored}/"
        try:
            for stat in self._storage.list(prefix):
                folder = stat.key[len(prefix) :]
                if "/" not in folder:
                    yield layout.repository_from_folders(stored, folder)
        except InvalidKey:
            return  # the name of a user need not be one of a folder

    def remember(self, image_id: str, seeker: str, repository: RepositoryName) -> None:
        """Remember a holder that the seeker may read. It is checked again before it counts."""
        key = image_id, seeker
        with self._lock:
            others = (name for name in self._found.get(key, ()) if name != repository)
            self._found[key] = (repository, *islice(others, _REMEMBERED_OF_ONE - 1))

    def go_on_later(self, image_id: str, seeker: str, looked_at: int) -> None:
        """Let the next search of the seeker begin behind those that were looked at in vain."""
        begin = (self._position(image_id, seeker) + looked_at) % _MOST_LISTED
        with self._lock:
            self._positions[image_id, seeker] = begin

    def _remembered(self, image_id: str, seeker: str) -> tuple[RepositoryName, ...]:
        with self._lock:
            return self._found.get((image_id, seeker), ())

    def _position(self, image_id: str, seeker: str) -> int:
        with self._lock:
            return self._positions.get((image_id, seeker), 0)

    def _namespaces(self, image_id: str) -> Iterator[str]:
        for stored in self._storage.list_folders(layout.image_key(image_id, layout.HELD)):
            yield layout.unstore_part(stored)

    def _in_turn(self, image_id: str, without: set[str]) -> Iterator[RepositoryName]:
        """Yield the first repository of each namespace, then the second of each, and so on."""
        rows = [
            self.in_namespace(image_id, namespace)
            for namespace in self._namespaces(image_id)
            if namespace not in without
        ]
        while rows:
            left = []
            for row in rows:
                repository = next(row, None)
                if repository is not None:
                    left.append(row)
                    yield repository
            rows = left
