"""Search over repositories: what an index has to do, and the pages of its results (hub.md 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from ..names import RepositoryName, whole_number

#: Results per page if ``n`` is missing or not a number, and the maximum of ``n`` (as in quay).
DEFAULT_PAGE_SIZE: Final = 25
LARGEST_PAGE_SIZE: Final = 100

#: How many characters the descriptions of one page may have together, and how many each may have in any case.
#: Owners write descriptions of any length, and everybody may ask for all repositories (decisions.md 19).
_DESCRIPTIONS_LENGTH: Final = 500_000
_LEAST_LENGTH: Final = 100


class SearchIndex(Protocol):
    """Finds repositories. Its data is derived from the storage, so it can be rebuilt at any time."""

    def find(self, query: str, may_list: Callable[[RepositoryName], bool]) -> Iterator[RepositoryName]:
        """Yield each repository that has every word of the query in its name or description.

        Repositories that the caller may not see are left out. Upper and lower case are the same. The order
        is: the exact name, official repositories, stars, names. Names are looked up only as they are asked
        for.

        :param may_list: tells whether the caller may see a repository.
        """

    def description(self, name: RepositoryName) -> str:
        """Return the description of a repository, empty if it has none."""

    def stars(self, name: RepositoryName) -> int:
        """Return the number of stars of a repository, 0 if it has none."""


@dataclass(frozen=True)
class Hit:
    """One repository that was found."""

    name: RepositoryName
    description: str
    stars: int


@dataclass(frozen=True)
class Page:
    """One page of the results."""

    hits: list[Hit]
    page: int  #: starts at 1
    page_size: int
    num_results: int  #: of all pages

    @property
    def num_pages(self) -> int:
        """The number of pages; 1 if there are no results."""
        return max(1, -(-self.num_results // self.page_size))


def search(
    index: SearchIndex,
    query: str,
    n: str | None,
    page: str | None,
    limit: int,
    may_list: Callable[[RepositoryName], bool],
) -> Page:
    """Return the page of results that the parameters of a request ask for.

    Without ``n`` and ``page`` it has all results up to ``limit`` (decisions.md 1). If the descriptions of a
    page could be too long together, each is cut.

    :param n: results per page as text, clamped to 1 to 100; 25 if it is not a number.
    :param page: number of the page as text, at least 1; 1 if it is not a number.
    """
    names = list(index.find(query, may_list))
    if n is None and page is None:
        number, page_size = 1, limit
    else:
        page_size = min(LARGEST_PAGE_SIZE, max(1, whole_number(n, DEFAULT_PAGE_SIZE)))
        number = max(1, whole_number(page, 1))
    start = (number - 1) * page_size
    shown = names[start : start + page_size]
    most = max(_LEAST_LENGTH, _DESCRIPTIONS_LENGTH // max(1, len(shown)))
    hits = [Hit(name, index.description(name)[:most], index.stars(name)) for name in shown]
    return Page(hits, number, page_size, len(names))
