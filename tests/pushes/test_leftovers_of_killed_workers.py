"""What a killed worker left of a value goes with the next expiry, not only when ``serve`` starts again."""

from __future__ import annotations

import fcntl
from pathlib import Path

from v1registry import FileStorage, Registry

NAME = ".data.0123456789abcdef.tmp"


def unfinished(root: Path, image_id: str) -> Path:
    """Return a file as a writer has it before it is in its place."""
    path = root / "uploads" / image_id / "push" / "whole" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(b"unfinished")
    return path


def test_expiry_removes_what_killed_writers_left_and_nothing_else(tmp_path: Path) -> None:
    left, being_written = unfinished(tmp_path, "a" * 64), unfinished(tmp_path, "b" * 64)
    with being_written.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        Registry(FileStorage(tmp_path)).housekeeping.expire()
        assert (left.exists(), being_written.exists()) == (False, True)
