"""Pagination. Page numbers start at 1; out-of-range values are clamped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ...names import whole_number

T = TypeVar("T")


@dataclass(frozen=True)
class Part(Generic[T]):
    """One page of a longer list."""

    items: Sequence[T]
    page: int
    page_size: int
    has_next: bool
    total: int | None  #: how many items there are; None if the rest was not counted

    @property
    def has_previous(self) -> bool:
        """Whether a page comes before this one."""
        return self.page > 1

    @property
    def first(self) -> int:
        """The number of the first item, from 1; 0 if there are no items."""
        return (self.page - 1) * self.page_size + 1 if self.items else 0

    @property
    def last(self) -> int:
        """The number of the last item, from 1; 0 if there are no items."""
        return self.first + len(self.items) - 1 if self.items else 0

    @property
    def pages(self) -> int | None:
        """How many pages there are; None if the items were not counted."""
        return None if self.total is None else max(1, -(-self.total // self.page_size))


def part_of(items: Sequence[T], asked: str | None, page_size: int) -> Part[T]:
    """Return the page that a query parameter asks for.

    :param asked: the parameter. The first page is returned if it is not a number, the last page if it is
        larger.

    >>> part_of("abcde", "2", 2).items, part_of("abcde", "-9", 2).items, part_of("abcde", "9", 2).items
    ('cd', 'ab', 'e')
    """
    total = len(items)
    page = min(max(1, whole_number(asked, 1)), max(1, -(-total // page_size)))
    start = (page - 1) * page_size
    return Part(items[start : start + page_size], page, page_size, start + page_size < total, total)
