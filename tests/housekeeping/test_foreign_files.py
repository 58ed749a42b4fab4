"""Maintenance leaves alone what is not of the registry, such as in a folder that was named by mistake."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from v1registry import FileStorage, Storage
from v1registry.housekeeping.service import Housekeeping

FOREIGN = (
    "uploads/photos/2020/beach.jpg",
    "uploads/photos/old-new/beach.jpg",
    "uploads/photos/lost+found/x/y",
    "uploads/photo.jpg",
    "conversions/units.csv",
    "conversions/ab/units.json",
    "images/photos/beach.jpg",
    "blobs/sha256/ab/beach.jpg",
    "blobs/beach.jpg",
    "repositories/library/README",
    "quarantine/notes.txt",
)

RUNS: dict[str, Callable[[Housekeeping], object]] = {
    "expire": lambda housekeeping: housekeeping.expire(),
    "gc": lambda housekeeping: housekeeping.collect_garbage(grace_s=0, takes_untagged=True),
    "verify": lambda housekeeping: list(housekeeping.verify(quarantines=True).findings()),
    "usage": lambda housekeeping: housekeeping.usage(),
}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    for name in FOREIGN:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (1e9, 1e9))
    return FileStorage(tmp_path)


@pytest.mark.parametrize("command", RUNS)
def test_foreign_files_stay(command: str, storage: Storage, tmp_path: Path) -> None:
    RUNS[command](Housekeeping(storage))
    assert [name for name in FOREIGN if not (tmp_path / name).exists()] == []
