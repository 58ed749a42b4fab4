"""Settings of the v1 view of images that were pushed through the distribution API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class ViewSettings:
    """How images of the distribution API are shown to engines of v1."""

    v1_view: bool = setting(
        True,
        converters.flag,
        "whether images that are pushed through /v2/ are shown to engines of v1 at once; if not, v1registry "
        "prepare-v1 does it",
    )
    v1_platform: str = setting(
        "linux/amd64",
        converters.platform,
        "which image of an index engines of v1 get, as OS/ARCHITECTURE; if it is missing, the first one for "
        "Linux",
    )
    max_v1_view_bytes: int = setting(
        4 << 30,
        converters.size,
        "images with a larger layer are not shown to engines of v1 until v1registry prepare-v1 does it",
    )
    v1_view_time_s: int = setting(
        300,
        converters.positive_number,
        "how long the layers of one image are read for that while the client waits, in seconds; "
        "max_expanded_bytes and max_expansion_ratio limit it too, max_look_s does not",
    )


class ViewOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    v1_view: bool | str
    v1_platform: str
    max_v1_view_bytes: int | str
    v1_view_time_s: int | str
