"""Settings of the access log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class LogSettings:
    """The access log."""

    access_log: str = setting(
        "auto",
        converters.one_of("auto", "combined", "json", "off"),
        "the access log, one line for each request: combined (as Apache and nginx, with duration and request "
        "id at the end) or json; serve writes it, other servers get it from the logger v1registry.requests; "
        "auto: combined, which serve writes only with -v",
    )
    access_log_file: str = setting(
        "",
        converters.file_to_write,
        "the file to which serve appends the access log, opened again once it is renamed; if empty, "
        "standard output",
    )


class LogOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    access_log: str
    access_log_file: str
