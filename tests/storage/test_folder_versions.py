"""What tells whether a folder of a FileStorage changed, and many values at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.quiet_folders import Settle, settle
from v1registry_fakes.contracts.storage_versions import VersionRules

from v1registry import FileStorage, MemoryStorage
from v1registry.storage import files
from v1registry.storage.base import Stat, StorageUnavailable
from v1registry.storage.many import read_in_parallel

__all__ = ["settle"]


class SettledStorage(FileStorage):
    """Waits for the clock of the file system before each version that it tells."""

    settle: Settle

    def folder_version(self, folder: str) -> str | None:
        self.settle()
        return super().folder_version(folder)


class TestQuietFolders(VersionRules):
    """The rules hold if each change has a time of its own."""

    @pytest.fixture
    def storage(self, tmp_path: Path, settle: Settle) -> FileStorage:
        storage = SettledStorage(tmp_path / "root", durable=False)
        storage.settle = settle
        return storage


def test_folder_that_just_changed_has_no_version(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, durable=False)
    storage.write("f/a", b"value")
    assert storage.folder_version("f") is None


def test_quiet_folder_has_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = FileStorage(tmp_path, durable=False)
    storage.write("f/a", b"value")
    changed_ns = os.stat(tmp_path / "f").st_ctime_ns
    monkeypatch.setattr(files.time, "time_ns", lambda: changed_ns + files.QUIET_NS)
    assert storage.folder_version("f")


def test_old_time_that_was_set_does_not_make_a_folder_quiet(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, durable=False)
    storage.write("f/a", b"value")
    os.utime(tmp_path / "f", (1, 1))
    assert storage.folder_version("f") is None


def test_folder_with_a_time_of_tomorrow_has_no_version(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, durable=False)
    storage.write("f/a", b"value")
    os.utime(tmp_path / "f", (1 << 32, 1 << 32))
    assert storage.folder_version("f") is None


def test_file_of_another_program_changes_the_version(tmp_path: Path, settle: Settle) -> None:
    storage = FileStorage(tmp_path, durable=False)
    storage.write("f/a", b"value")
    settle()
    before = storage.folder_version("f")
    (tmp_path / "f" / "b").write_bytes(b"value")
    assert before
    assert storage.folder_version("f") != before


def test_value_written_in_place_keeps_the_version(tmp_path: Path, settle: Settle) -> None:
    storage = FileStorage(tmp_path, durable=False)
    storage.write("f/a", b"value")
    settle()
    before = storage.folder_version("f")
    (tmp_path / "f" / "a").write_bytes(b"other")
    assert storage.folder_version("f") == before is not None


def test_versions_of_a_copy_in_memory_stay_apart() -> None:
    storage = MemoryStorage()
    storage.write("f/a", b"value")
    copy = storage.copy()
    assert copy.folder_version("f") == storage.folder_version("f")
    storage.write("f/a", b"one")
    copy.write("f/a", b"two")
    assert copy.folder_version("f") != storage.folder_version("f")


# -- many values at once


def test_values_far_away_are_read_at_the_same_time() -> None:
    meeting = threading.Barrier(4)

    def read(key: str) -> tuple[bytes, Stat]:
        meeting.wait(30)
        return key.encode(), Stat(key, len(key), "1", 0)

    keys = [str(number) for number in range(8)]
    found = list(read_in_parallel(read, keys, threads=4))
    assert [(key, value and value[0]) for key, value in found] == [(key, key.encode()) for key in keys]


def test_number_of_values_that_are_read_ahead_is_bounded() -> None:
    taken: list[int] = []

    def keys() -> Iterator[str]:
        for number in range(1000):
            taken.append(number)
            yield str(number)

    found = read_in_parallel(MemoryStorage().read, keys(), threads=4)
    assert next(found) == ("0", None)
    assert len(taken) == 4
    found.close()


def test_failure_of_one_of_many_values_is_raised() -> None:
    def read(key: str) -> tuple[bytes, Stat]:
        raise StorageUnavailable(key, "the connection is lost")

    with pytest.raises(StorageUnavailable):
        list(read_in_parallel(read, ["a", "b"]))
