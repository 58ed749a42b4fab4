"""Settings of the pages for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class PageSettings:
    """The pages for people."""

    pages: str = setting(
        "on",
        converters.pages,
        "the web pages: on (at /, unless the registry is in front of another application), off, or a path "
        "such as /registry below which they are, also in front of another application",
    )
    title: str = setting(
        "Registry", converters.title, "the name of the registry in the head and in the titles of the pages"
    )
    templates: str = setting(
        "",
        converters.folder,
        "a folder whose templates replace those of the pages of the same name, or extend them as "
        "v1registry/NAME",
    )
    login_url: str = setting(
        "",
        converters.page_url,
        "the address of the page where users log in to the application around the registry (auth environ:), "
        "a path or a URL; {next} stands for the address to return to",
    )
    session_lifetime_s: int = setting(
        3600,
        converters.positive_number,
        "how long a log-in on the pages lasts without a request, in seconds; it ends after twelve times "
        "that in any case",
    )
    max_shown_bytes: int = setting(
        1 << 30,
        converters.size,
        "how many bytes of a layer are decompressed for the pages, at most max_expanded_bytes",
    )


class PageOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    pages: str
    title: str
    templates: str
    login_url: str
    session_lifetime_s: int | str
    max_shown_bytes: int | str
