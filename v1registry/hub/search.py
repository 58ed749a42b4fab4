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

    def find_ranked(self, query: str, may_list: Callable[[RepositoryName], bool]) -> Iterator[Hit]:
        """Yield what :meth:`find` does for the words of a query, as far as the caller may see it, the best first."""


class ScanSearch:
    """Looks at every repository of the storage: nothing to set up, nothing to get out of step."""

    def __init__(self, repositories: Repositories):
        self._repositories = repositories

    def find(self, words: list[str]) -> Iterator[Hit]:
        return self._find(self._repositories.candidates(), words, lambda name: True)

    def find_ranked(self, query: str, may_list: Callable[[RepositoryName], bool]) -> Iterator[Hit]:
        names = sorted(self._repositories.candidates(), key=lambda name: _rank(query, name))
        return self._find(names, query.split(), may_list)

    def _find(
        self, names: Iterable[RepositoryName], words: list[str], may_list: Callable[[RepositoryName], bool]
    ) -> Iterator[Hit]:
        """Yield those of ``names`` that are hits. They are looked at one by one, as far as they are asked for."""
        folded = [word.casefold() for word in words]
        for name in names:
            text = str(name).casefold()
            missing = [word for word in folded if word not in text]
            description = None
            if missing:
                description = self._repositories.description(name)
                text = description.casefold()
                if not all(word in text for word in missing):
                    continue
            if may_list(name) and self._repositories.exists(name):
                yield Hit(name, self._repositories.description(name) if description is None else description)


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
    hits = list(ranked(index, query, may_list))
    if n is None and page is None:
        return Page(hits[:limit], 1, limit, len(hits))
    page_size = min(LARGEST_PAGE_SIZE, max(1, whole_number(n, DEFAULT_PAGE_SIZE)))
    number = max(1, whole_number(page, 1))
    start = (number - 1) * page_size
    return Page(hits[start : start + page_size], number, page_size, len(hits))


def ranked(index: SearchIndex, query: str, may_list: Callable[[RepositoryName], bool]) -> Iterator[Hit]:
    """Yield the hits that the caller may see: the exact name, official repositories, stars, names.

    Where the index can, only as much is looked at as is asked for.
    """
    if isinstance(index, RankedIndex):
        return index.find_ranked(query, may_list)
    hits = [hit for hit in index.find(query.split()) if may_list(hit.name)]
    return iter(sorted(hits, key=lambda hit: _rank(query, hit.name, hit.star_count)))


def _rank(query: str, name: RepositoryName, star_count: int = 0) -> tuple[bool, bool, int, str]:
    full, wanted = str(name), query.strip().casefold()
    is_exact = bool(wanted) and wanted in (name.short.casefold(), full.casefold())
    return (not is_exact, not name.is_official, -star_count, full)


def whole_number(text: str | None, default: int) -> int:
    """Return the number that a parameter gives, at most of 18 digits; the default where it gives none."""
    found = re.fullmatch(r"\s*([+-]?[0-9]{1,18})[0-9]*\s*", (text or "")[:100], re.ASCII)
    return int(found[1]) if found else default
