"""What a garbage collection removed, or would remove."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..storage.sweeping import Swept
from .candidates import Candidate


@dataclass
class Freed:
    """What was removed of one repository.

    What several repositories had is counted for one of them.
    """

    repository: str  #: ``NAMESPACE/NAME``; empty for what no repository names
    tags: int = 0
    manifests: int = 0
    images: int = 0  #: contents of images
    blobs: int = 0
    bytes: int = 0  #: of images and blobs; bytes that are stored once count once


@dataclass
class GarbageReport:
    """The result of a garbage collection."""

    is_dry_run: bool
    repositories: int = 0  #: how many were looked at
    images: int = 0  #: how many image ids were looked at
    blobs: int = 0  #: how many were looked at
    kept: int = 0  #: how many images and blobs stay because requests use them again
    unmatched: set[str] = field(default_factory=set)  #: patterns of the retention that no repository matches
    freed: list[Freed] = field(default_factory=list)  #: by name
    swept: Swept | None = None  #: bytes without keys; None if the storage keeps none

    @property
    def total(self) -> Freed:
        """The sum over all repositories."""
        total = Freed("")
        for row in self.freed:
            total.tags += row.tags
            total.manifests += row.manifests
            total.images += row.images
            total.blobs += row.blobs
            total.bytes += row.bytes
        return total


class Account:
    """Counts what is removed. Bytes with equal etags are one file, which counts if all of it is removed."""

    def __init__(self) -> None:
        self._counted: set[int] = set()
        self._rows: dict[str, Freed] = {}

    def share(self, shared: Iterable[int]) -> None:
        """Note which bytes stay.

        :param shared: hashes of their etags.
        """
        self._counted.update(shared)

    def of(self, repository: str) -> Freed:
        """Return the row of a repository."""
        return self._rows.setdefault(repository, Freed(repository))

    def add(self, candidate: Candidate, repository: str) -> None:
        """Count a content or a blob."""
        row = self.of(repository)
        row.bytes += candidate.size
        if candidate.content is None:
            row.blobs += 1
        else:
            row.images += 1
        if candidate.data is not None and hash(candidate.data[0]) not in self._counted:
            self._counted.add(hash(candidate.data[0]))
            row.bytes += candidate.data[1]

    def stays(self, candidate: Candidate) -> None:
        """Note that the bytes of a candidate stay."""
        if candidate.data is not None:
            self._counted.add(hash(candidate.data[0]))

    def rows(self) -> list[Freed]:
        """Return the rows in which something was counted, by name."""
        return [row for _, row in sorted(self._rows.items()) if row != Freed(row.repository)]
