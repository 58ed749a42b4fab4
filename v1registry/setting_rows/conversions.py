"""Settings of the conversion of v1 images for the distribution API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class ConversionSettings:
    """How v1 images are made ready for the distribution API."""

    v2_conversion_wait_s: int = setting(
        25,
        converters.positive_number,
        "how long a request below /v2/ waits for the first conversion of a v1 image, in seconds; then it "
        "gets 503, and the work goes on",
    )
    v2_conversion_threads: int = setting(
        2,
        converters.positive_number,
        "how many layers one process reads at once for such conversions; one more if all these are of one"
        " client and another one waits",
    )
    v2_layer_time_s: int = setting(
        600,
        converters.positive_number,
        "how long the conversion of one layer may take, in seconds; max_expanded_bytes and "
        "max_expansion_ratio limit it too, max_look_s does not",
    )


class ConversionOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    v2_conversion_wait_s: int | str
    v2_conversion_threads: int | str
    v2_layer_time_s: int | str
