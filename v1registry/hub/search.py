"""Search over repositories (hub.md 7)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

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


class ScanSearch:
    """Looks at every repository of the storage: nothing to set up, nothing to get out of step."""

    def __init__(self, repositories: Repositories):
        self._repositories = repositories

    def find(self, words: list[str]) -> Iterator[Hit]:
        folded = [word.casefold() for word in words]
        for name in self._repositories.candidates():
            description = self._repositories.description(name)
            text = f"{name} {description}".casefold()
            if all(word in text for word in folded) and self._repositories.exists(name):
                yield Hit(name, description)


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
    words = query.split()
    wanted = query.strip().casefold()

    def rank(hit: Hit) -> tuple[bool, bool, int, str]:
        is_exact = wanted in (hit.name.short.casefold(), str(hit.name).casefold())
        return (not is_exact, not hit.name.is_official, -hit.star_count, str(hit.name))

    hits = sorted((hit for hit in index.find(words) if may_list(hit.name)), key=rank)
    if n is None and page is None:
        return Page(hits[:limit], 1, limit, len(hits))
    page_size = min(LARGEST_PAGE_SIZE, max(1, _whole_number(n, DEFAULT_PAGE_SIZE)))
    number = max(1, _whole_number(page, 1))
    start = (number - 1) * page_size
    return Page(hits[start : start + page_size], number, page_size, len(hits))


def _whole_number(text: str | None, default: int) -> int:
    found = re.fullmatch(r"\s*([+-]?[0-9]{1,18})[0-9]*\s*", (text or "")[:100], re.ASCII)
    return int(found[1]) if found else default
