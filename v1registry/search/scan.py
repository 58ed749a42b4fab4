"""Search over repositories (hub.md 7)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..names import RepositoryName
from ..registry.repositories import Repositories

#: Results per page where ``n`` is missing or no number, and the most that ``n`` may ask for (quay does the same).
DEFAULT_PAGE_SIZE = 25
LARGEST_PAGE_SIZE = 100


@dataclass(frozen=True)
class Hit:
    """One repository that was found."""

    name: RepositoryName
    description: str = ""
    star_count: int = 0
    is_trusted: bool = False
    is_automated: bool = False


@dataclass(frozen=True)
class Page:
    """One page of the hits, and what there is in all."""

    hits: list[Hit]
    page: int
    page_size: int
    num_results: int  #: over all pages

    @property
    def num_pages(self) -> int:
        return max(1, -(-self.num_results // self.page_size))


class SearchIndex(Protocol):
    """Finds repositories. It is derived from the storage and may be asked at any time."""

    def find(self, words: list[str]) -> Iterator[Hit]:
        """Yield, in any order, each repository whose name or description holds every word, in any case."""


@runtime_checkable
class RankedIndex(SearchIndex, Protocol):
    """An index that need not find everything to tell what comes first."""

    def names_ranked(
        self, query: str, may_list: Callable[[RepositoryName], bool]
    ) -> Iterator[RepositoryName]:
        """Yield the names of what :meth:`find` finds for the words of a query, as far as the caller may see it, the best first."""


class ScanSearch:
    """Looks at every repository of the storage: nothing to set up, nothing to get out of step."""

    def __init__(self, repositories: Repositories):
        self._repositories = repositories

    def find(self, words: list[str]) -> Iterator[Hit]:
        for name in self._having(self._repositories.candidates(), words):
            if self._repositories.exists(name):
                yield Hit(name, self._repositories.description(name))

    def names_ranked(
        self, query: str, may_list: Callable[[RepositoryName], bool]
    ) -> Iterator[RepositoryName]:
        # several sorts by simple keys cost less than one by all of them
        names = sorted(self._repositories.candidates(), key=str)
        names.sort(key=lambda name: not name.is_official)
        if query:
            names.sort(key=lambda name: not _is_exact(query, name))
        for name in self._having(names, query.split()):
            if may_list(name) and self._repositories.exists(name):
                yield name

    def _having(self, names: Iterable[RepositoryName], words: list[str]) -> Iterator[RepositoryName]:
        """Yield those whose name or description holds every word. They are looked at as far as they are asked for."""
        folded = [word.casefold() for word in words]
        if not folded:
            yield from names
            return
        for name in names:
            text = str(name).casefold()
            missing = [word for word in folded if word not in text]
            if missing:
                text = self._repositories.description(name).casefold()
            if all(word in text for word in missing):
                yield name


def search(
    index: SearchIndex,
    query: str,
    n: str | None,
    page: str | None,
    limit: int,
    may_list: Callable[[RepositoryName], bool],
) -> Page:
    """Return the page of hits that the parameters of a request ask for, of the repositories that the caller may see.

    Without ``n`` and ``page`` all hits up to ``limit`` (decisions.md 1); else pages of ``n``, 1 to 100, 25 where it is
    no number. The exact name comes first, then official repositories, then stars, then names.
    """
    hits = _ranked(index, query, may_list)
    if n is None and page is None:
        return Page(hits[:limit], 1, limit, len(hits))
    page_size = min(LARGEST_PAGE_SIZE, max(1, whole_number(n, DEFAULT_PAGE_SIZE)))
    number = max(1, whole_number(page, 1))
    start = (number - 1) * page_size
    return Page(hits[start : start + page_size], number, page_size, len(hits))


def names_ranked(
    index: SearchIndex, query: str, may_list: Callable[[RepositoryName], bool]
) -> Iterator[RepositoryName]:
    """Yield the names of all hits that the caller may see, in the order of :func:`search`.

    Where the index can, only as much is looked at as is asked for.
    """
    if isinstance(index, RankedIndex):
        return index.names_ranked(query, may_list)
    return (hit.name for hit in _ranked(index, query, may_list))


def _ranked(index: SearchIndex, query: str, may_list: Callable[[RepositoryName], bool]) -> list[Hit]:
    """Return the hits that the caller may see: the exact name, official repositories, stars, names."""

    def rank(hit: Hit) -> tuple[bool, bool, int, str]:
        return (
            not _is_exact(query, hit.name),
            not hit.name.is_official,
            -hit.star_count,
            str(hit.name),
        )

    return sorted((hit for hit in index.find(query.split()) if may_list(hit.name)), key=rank)


def _is_exact(query: str, name: RepositoryName) -> bool:
    return query.strip().casefold() in (name.short.casefold(), str(name).casefold())


def whole_number(text: str | None, default: int) -> int:
    """Return the number that a parameter gives, at most of 18 digits; the default where it gives none."""
    found = re.fullmatch(r"\s*([+-]?[0-9]{1,18})[0-9]*\s*", (text or "")[:100], re.ASCII)
    return int(found[1]) if found else default
