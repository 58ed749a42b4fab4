"""The order in which the holders of an image are looked at (decisions.md 17).

An image may have any number of marks, and each user can add marks. So the order is fair, and what was found
is remembered: marks that one user adds neither hide an image from others nor make their requests slow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
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

#: How many listings of a namespace's marks of an image are kept, and the longest of them.
_KEPT_LISTINGS: Final = 10_000
_LONGEST_LISTING: Final = 16


class HolderSearch:
    """Lists the repositories that have a mark of an image. Safe for threads and processes."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self._lock = Lock()  # cachetools is not safe for threads
        self._found: LRUCache[tuple[str, str], tuple[RepositoryName, ...]] = LRUCache(_REMEMBERED)
        self._positions: LRUCache[tuple[str, str], int] = LRUCache(_REMEMBERED)
        self._listings: LRUCache[str, tuple[str, tuple[RepositoryName, ...]]] = LRUCache(_KEPT_LISTINGS)

    def candidates(
        self, image_id: str, near: Iterable[str] = (), seeker: str = ""
    ) -> Iterator[RepositoryName]:
        """Yield the repositories that may hold an image, each once. Marks that do not count are included.

        First come the namespaces of ``near`` in their order, then what was remembered for the seeker and for
        anonymous callers. Then comes one repository of each other namespace in turn.

        :param seeker: the name of the user, empty for an anonymous caller.
        """
        near, seen = tuple(near), set()
        for repository in self._known(image_id, near, seeker):
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

    def _known(self, image_id: str, near: tuple[str, ...], seeker: str) -> Iterator[RepositoryName]:
        for namespace in near:
            yield from islice(self.in_namespace(image_id, namespace), _MOST_LISTED)
        yield from self._remembered(image_id, seeker)
        if seeker:
            yield from self._remembered(image_id, "")

    def near(self, image_id: str, namespaces: Iterable[str]) -> Iterator[RepositoryName]:
        """Yield the repositories of some namespaces that have a mark of the image."""
        for namespace in dict.fromkeys(namespaces):
            yield from islice(self.in_namespace(image_id, namespace), _MOST_LISTED)

    def all(self, image_id: str) -> Iterator[RepositoryName]:
        """Yield every repository that has a mark of the image, by namespace and stored name."""
        for namespace in self._namespaces(image_id):
            yield from self.in_namespace(image_id, namespace)

    def in_namespace(self, image_id: str, namespace: str) -> Iterable[RepositoryName]:
        """Return the repositories of a namespace that have a mark of the image, by stored name."""
        stored = layout.store_part(namespace)
        folder = f"{layout.image_key(image_id, layout.HELD)}/{stored}"
        try:
            version = self._storage.folder_version(folder)
        except InvalidKey:
            return ()  # the name of a user need not be one of a folder
        if version == "":
            return ()
        found = self._listed(folder, version)
        if found is not None:
            return found
        names = map(partial(layout.repository_from_folders, stored), self._names(folder))
        return names if version is None else self._kept(folder, version, names)

    def _names(self, folder: str) -> Iterator[str]:
        """Yield the names of the keys directly in a folder."""
        prefix = f"{folder}/"
        for stat in self._storage.list(prefix):
            name = stat.key[len(prefix) :]
            if "/" not in name:
                yield name

    def _listed(self, folder: str, version: str | None) -> Iterable[RepositoryName] | None:
        """Return the kept listing of a folder; None if there is none, or the folder has changed."""
        with self._lock:
            found = self._listings.get(folder)
        return None if found is None or found[0] != version else found[1]

    def _kept(self, folder: str, version: str, listed: Iterator[RepositoryName]) -> Iterable[RepositoryName]:
        """Return a listing, and keep it if it is short.

        :param version: of the folder, before it was read.
        """
        beginning = tuple(islice(listed, _LONGEST_LISTING + 1))
        if len(beginning) > _LONGEST_LISTING:
            return chain(beginning, listed)
        with self._lock:
            self._listings[folder] = version, beginning
        return beginning

    def remember(self, image_id: str, seeker: str, repository: RepositoryName) -> None:
        """Remember a holder that the seeker may read. It is checked again before it counts."""
        key = image_id, seeker
        with self._lock:
            if self._found.get(key, ())[:1] == (repository,):
                return
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
            iter(self.in_namespace(image_id, namespace))
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
