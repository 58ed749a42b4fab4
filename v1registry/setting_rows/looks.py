"""Settings of how far the server looks into layers: for lists of files, changes and TarSums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class LookSettings:
    """How far the server looks into layers."""

    max_expanded_bytes: int = setting(
        4 << 30,
        converters.size,
        "how many bytes of a layer are decompressed for files, diff, TarSum and the pages",
    )
    max_expansion_ratio: int = setting(
        100,
        converters.positive_number,
        "how many times its own size a layer may expand to in such a look; 32 MiB are always allowed",
    )
    max_layer_records: int = setting(
        1_000_000,
        converters.positive_number,
        "how many tar headers and PAX records of a layer are read in such a look",
    )
    max_look_s: int = setting(
        30,
        converters.positive_number,
        "how long such a look may take, in seconds; other looks of the process wait meanwhile",
    )


class LookOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    max_expanded_bytes: int | str
    max_expansion_ratio: int | str
    max_layer_records: int | str
    max_look_s: int | str
