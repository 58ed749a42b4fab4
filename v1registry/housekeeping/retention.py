"""Which tags of a repository the rules of retention remove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..names import RepositoryName


@dataclass(frozen=True)
class Retention:
    """Rules by which tags are removed. A tag stays if one of them keeps it.

    :raises ValueError: neither ``newest`` nor ``younger_s`` is set, or one of them is negative.
    """

    newest: int | None = None  #: keep so many tags of each repository, those that were set last
    younger_s: float | None = None  #: keep the tags that were set so lately, in seconds
    patterns: Sequence[str] = ()  #: keep the tags whose name matches one of them, such as ``v*``
    repositories: Sequence[str] = ()  #: only repositories whose name matches one; all if there are none

    def __post_init__(self) -> None:
        if self.newest is None and self.younger_s is None:
            raise ValueError(
                "keep_newest or keep_younger must be set: without them all tags would be removed"
            )
        if (self.newest or 0) < 0 or (self.younger_s or 0) < 0:
            raise ValueError("keep_newest and keep_younger must be 0 or more")

    def matched(self, repository: RepositoryName) -> set[str]:
        """Return the patterns of repositories that a name matches."""
        return {pattern for pattern in self.repositories if fnmatchcase(str(repository), pattern)}

    def removed(self, repository: RepositoryName, tags: Mapping[str, float], now_s: float) -> list[str]:
        """Return the tags of a repository that are to be removed, sorted.

        :param tags: tag -> when it was set, in seconds since the epoch.
        """
        if self.repositories and not self.matched(repository):
            return []
        by_age = sorted(tags, key=lambda tag: (-tags[tag], tag))
        return sorted(
            tag
            for number, tag in enumerate(by_age)
            if number >= (self.newest or 0)
            and (self.younger_s is None or tags[tag] < now_s - self.younger_s)
            and not _matches(tag, self.patterns)
        )


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
