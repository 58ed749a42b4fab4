"""Settings of the search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class SearchSettings:
    """The search."""

    search: object = setting(
        "auto",
        converters.text,
        "the index of the search: sqlite (a database in the folder search of the storage, which must be a "
        "folder), sqlite:///DIR (in a folder of its own), scan (no index: every repository is looked at), "
        "postgresql://USER@HOST/DATABASE (for several instances over one storage; needs the extra "
        "postgresql), MODULE:ATTRIBUTE, or a scheme of another package (entry point v1registry.search); auto "
        "is sqlite beside a folder, else scan",
        is_object=True,
        holds_password=True,
    )
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

    search: object
    search_limit: int | str
    search_names: str
