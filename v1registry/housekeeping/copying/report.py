"""What a copy did, and what it could not copy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ..findings import Problem

#: How many problems, and how many tags that were left out, are kept of one pass.
MOST_KEPT: Final = 10_000


@dataclass(frozen=True)
class LeftOutTag:
    """A tag that was not copied, because the destination lacks something that it reaches."""

    tag: str  #: ``NAMESPACE/NAME:TAG``
    text: str  #: what is missing


@dataclass(frozen=True)
class Deleted:
    """A key that was removed from the destination, because the source has lost it."""

    key: str


@dataclass
class CopyReport:
    """The result of a copy."""

    is_dry_run: bool
    passes: int = 0  #: how many were made
    is_settled: bool = False  #: whether the last one found nothing to copy
    keys: int = 0  #: how many the last pass looked at
    copied: int = 0  #: how many values were written
    copied_bytes: int = 0
    linked: int = 0  #: how many values share their bytes with a copied one
    deleted: int = 0  #: how many keys were removed from the destination
    extra: int = 0  #: how many keys only the destination has
    left_out_folders: tuple[str, ...] = ()  #: those of the source that are no part of a copy
    problems: list[Problem] = field(default_factory=list)  #: values of the source that are damaged
    left_out_tags: list[LeftOutTag] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the source is missing, as far as the last pass saw it."""
        return not self.problems and not self.left_out_tags
