"""Search over repositories: what an index has to do, and the pages of its results (hub.md 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from ..names import RepositoryName, whole_number
from ..rights import Listing

#: Results per page if ``n`` is missing or not a number, and the maximum of ``n`` (as in quay).
DEFAULT_PAGE_SIZE: Final = 25
LARGEST_PAGE_SIZE: Final = 100

#: How many characters the descriptions of one page may have together, and how many each may have in any case.
#: Owners write descriptions of any length, and everybody may ask for all repositories (decisions.md 19).
_DESCRIPTIONS_LENGTH: Final = 500_000
_LEAST_LENGTH: Final = 100

#: The largest ``start`` that counts; a larger one is taken as this one. Clients may ask for any page.
MOST_LEFT_OUT: Final = 1 << 40


class Caller(Protocol):
    """For whom an index searches: the part of ``Rights`` that it needs."""

    def may_list(self, repository: RepositoryName) -> bool:
        """Tell whether search may show the repository to the caller."""

    def listing(self) -> Listing:
        """Return which repositories search may show to the caller."""


@dataclass(frozen=True)
class Hit:
    """One repository that was found."""

    name: RepositoryName
    description: str
    stars: int


@dataclass(frozen=True)
class Found:
    """A part of what was found."""

    hits: list[Hit]
    has_more: bool  #: whether hits follow this part
    total: int | None  #: of all parts; None if it was not asked for, and counting would cost more


class SearchIndex(Protocol):
    """Finds repositories. Its data is derived from the storage, so it can be rebuilt at any time.

    ``v1registry_fakes.contracts.SearchIndexContract`` tests an implementation.
    """

    def find(self, query: str, caller: Caller, start: int, most: int, *, needs_total: bool = True) -> Found:
        """Return repositories that have every word of the query in their names or descriptions.

        The order is: the exact name, official repositories, stars, names. Upper and lower case are the same.
        Repositories that the caller may not see are neither returned nor counted.

        :param start: how many hits are left out, any number.
        :param most: how many hits are returned.
        :param needs_total: whether ``total`` must be a number.
        """

    def names_after(
        self, after: str, caller: Caller, most: int, accepts: Callable[[str], bool]
    ) -> tuple[list[str], str | None]:
        """Return full names that the caller may see, sorted, and the name after which the next part begins.

        The second value is None if nothing follows. It may be given although less than ``most`` names were
        found, because each part examines a bounded number of repositories.

        :param after: only names that sort after this one.
        :param most: how many at most, at least 1.
        :param accepts: tells whether a name may be in the list.
        """


@runtime_checkable
class RebuildableIndex(Protocol):
    """An index that ``v1registry reindex`` can build again."""

    def rebuild(self, on_repository: Callable[[RepositoryName], None]) -> None:
        """Build the index from the storage, and return when it is whole.

        :param on_repository: called for each folder of a repository that was read.
        """


@runtime_checkable
class TriedIndex(Protocol):
    """An index that ``v1registry check-config`` can try."""

    def problems(self) -> list[str]:
        """Try what the index needs; return what is wrong. The texts have no password."""


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
    index: SearchIndex, query: str, n: str | None, page: str | None, limit: int, caller: Caller
) -> Page:
    """Return the page of results that the parameters of a request ask for.

    Without ``n`` and ``page`` it has all results up to ``limit`` (decisions.md 1). If the descriptions of a
    page could be too long together, each is cut.

    :param n: results per page as text, clamped to 1 to 100; 25 if it is not a number.
    :param page: number of the page as text, at least 1; 1 if it is not a number.
    """
    if n is None and page is None:
        number, page_size = 1, limit
    else:
        page_size = min(LARGEST_PAGE_SIZE, max(1, whole_number(n, DEFAULT_PAGE_SIZE)))
        number = max(1, whole_number(page, 1))
    found = index.find(query, caller, (number - 1) * page_size, page_size)
    most = max(_LEAST_LENGTH, _DESCRIPTIONS_LENGTH // max(1, len(found.hits)))
    hits = [Hit(hit.name, hit.description[:most], hit.stars) for hit in found.hits]
    return Page(hits, number, page_size, found.total or 0)
