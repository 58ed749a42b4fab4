"""Settings of the lists of tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class TagSettings:
    """The lists of tags of v1."""

    tags_form: str = setting(
        "object",
        converters.one_of("object", "hub"),
        "how v1 answers the tags of a repository: object is tag -> image id, as docker-registry does; hub is "
        "a list of objects with layer and name, as Docker Hub did from 2014 on, for scripts that read that "
        "(engines up to 1.6 cannot)",
    )


class TagOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    tags_form: str
