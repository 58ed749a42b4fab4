"""Maintenance of a storage that has no room left."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.faulty_storage import FaultyStorage
from support.garbage import BASE, TOP, collect, images_in, push_openly

from v1registry import FileStorage, MemoryStorage, Registry
from v1registry.cli.main import main
from v1registry.housekeeping.service import Housekeeping
from v1registry.storage.base import StorageFull

FULL = StorageFull("housekeeping/sweep", "No space left on device")


@pytest.mark.parametrize("kept", ["housekeeping/usage", "housekeeping/verify"])
def test_gc_of_a_full_storage_takes_the_room_of_what_maintenance_keeps(kept: str) -> None:
    storage = FaultyStorage(_with_garbage())
    storage.write(kept, b"{}")
    storage.fail("write", error=FULL)
    storage.after(storage.heal, "delete", key=kept)

    report = collect(storage)

    assert report.total.images == 1
    assert images_in(storage) == {BASE.image_id}


def test_gc_of_a_full_storage_removes_expired_pushes_first() -> None:
    storage = FaultyStorage(_with_garbage())
    storage.fail("write", error=FULL)
    storage.after(storage.heal, "list_folders", key="uploads")

    assert collect(storage).total.images == 1


def test_gc_without_any_room_changes_nothing_but_what_maintenance_keeps() -> None:
    storage = FaultyStorage(_with_garbage())
    Housekeeping(storage).usage()
    storage.fail("write", error=FULL)

    with pytest.raises(StorageFull):
        collect(storage)

    assert images_in(storage) == {BASE.image_id, TOP.image_id}
    assert Housekeeping(storage).last_usage() is None


def test_command_without_any_room_says_what_may_be_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise FULL

    monkeypatch.setattr(FileStorage, "write", fail)

    assert main(["gc", "--storage", f"file://{tmp_path}"]) == 3
    printed = capsys.readouterr().err
    assert "housekeeping/sweep: No space left on device" in printed
    assert "Remove the folder search" in printed


def _with_garbage() -> MemoryStorage:
    """Return a storage with an image that no tag needs any more."""
    storage = MemoryStorage()
    push_openly(Registry(storage=storage), "team/app", BASE, TOP)
    push_openly(Registry(storage=storage), "team/app", BASE)
    return storage
