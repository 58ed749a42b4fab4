"""Settings of the search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class SearchSettings:
    """The search."""

    search_limit: int = setting(
        10_000, converters.positive_number, "the maximum of results of a search without n and page"
    )
    search_names: str = setting(
        "auto",
        converters.one_of("auto", "short", "long"),
        "how search names library/x: short is x, long is library/x, auto is long only if all repositories "
        "are listed",
    )


class SearchOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    search_limit: int | str
    search_names: str
