"""What a run of ``verify`` finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..storage.base import DataMissing

#: The end of texts about damage that a push repairs.
PUSH: Final = "push the image again"

#: What to do about bytes that do not fit their sum.
MOVE: Final = "run v1registry verify --quarantine, then push the image again"

#: What to do about a value whose bytes are lost.
RESTORE: Final = "restore it from a backup"


@dataclass(frozen=True)
class Problem:
    """A value that is damaged."""

    key: str  #: or the folder, if several keys do not fit together
    text: str
    moved_to: str = ""  #: the folder of the quarantine with the value; empty if it is where it was


@dataclass(frozen=True)
class HurtTag:
    """A tag that cannot be pulled whole."""

    tag: str  #: ``NAMESPACE/NAME:TAG``
    keys: tuple[str, ...]  #: folders of contents and keys of blobs that are damaged or missing; some of many


def lost(error: DataMissing, repair: str = "") -> Problem:
    """Return the problem of a value whose bytes the storage has lost.

    :param repair: what else may be done than to restore them; empty for nothing.
    """
    choice = f"{RESTORE}, or {repair}" if repair else RESTORE
    return Problem(error.key, f"{error.reason}: {choice}")
