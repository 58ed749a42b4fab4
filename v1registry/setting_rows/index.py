"""Settings of a registry and an index on different hosts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class IndexSettings:
    """A registry and an index on different hosts."""

    images: str = setting(
        "here",
        converters.one_of("here", "elsewhere"),
        "here: this server stores images; elsewhere: it is the index of the registries that endpoints names",
    )
    index: str = setting(
        "",
        converters.url,
        "the external index that checks tokens, such as https://index.example.com; if empty, this server is "
        "the index",
    )
    index_cache_s: int = setting(
        60,
        converters.number,
        "how long an answer of the external index is kept, in seconds; 0: the index is asked each time",
    )


class IndexOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    images: str
    index: str
    index_cache_s: int | str
