"""Settings of limits of what a request may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class LimitSettings:
    """Limits of what a request may cost."""

    max_document_bytes: int = setting(
        16 << 20,
        converters.size,
        "the largest JSON body that is accepted, and the largest image list that a repository may get",
    )
    max_list_ids: int = setting(
        10_000, converters.positive_number, "how many images a push may announce in one list"
    )
    max_chain_images: int = setting(
        400,
        converters.positive_number,
        "how many images an image and its ancestors may be; longer chains that exist stay readable",
    )
    max_unfinished_bytes: int = setting(
        64 << 30,
        converters.size,
        "how many bytes of unfinished pushes are kept for one user; on an open server, for one client;"
        " behind an index, for one namespace",
    )
    max_unfinished_total_bytes: int = setting(
        256 << 30,
        converters.size,
        "how many bytes of unfinished pushes an open server keeps for all clients together",
    )
    max_unfinished_pushes: int = setting(
        500,
        converters.positive_number,
        "how many images one user may have begun to push and not finished; on an open server, one client;"
        " behind an index, one namespace",
    )


class LimitOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    max_document_bytes: int | str
    max_list_ids: int | str
    max_chain_images: int | str
    max_unfinished_bytes: int | str
    max_unfinished_total_bytes: int | str
    max_unfinished_pushes: int | str
