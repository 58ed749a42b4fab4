"""FileStorage: what lies in folders of unfinished values reaches the disk when it is published or linked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from v1registry import FileStorage
from v1registry.storage import KeyNotFound


class Steps:
    """What was brought to the disk, and what was renamed, in order."""

    def __init__(self, root: Path) -> None:
        self.steps: list[str] = []
        self._root = root
        self.fsync, self.rename = os.fsync, os.rename

    def note_fsync(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        self.steps.append(f"sync {path.relative_to(self._root)}")
        self.fsync(descriptor)

    def note_rename(self, source: str, target: str) -> None:
        if not source.endswith(".tmp"):
            self.steps.append(f"rename to {Path(target).relative_to(self._root)}")
        self.rename(source, target)

    def since(self) -> list[str]:
        """Return the steps since the last call."""
        found, self.steps = self.steps, []
        return found


@pytest.fixture
def durable(root: Path) -> FileStorage:
    """Return a storage with the folders that every write needs."""
    storage = FileStorage(root)
    storage.write("images/y/json", b"")
    storage.write("uploads/y/json", b"")
    return storage


@pytest.fixture
def steps(durable: FileStorage, root: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    found = Steps(root)
    monkeypatch.setattr(os, "fsync", found.note_fsync)
    monkeypatch.setattr(os, "rename", found.note_rename)
    return found


def stage(storage: FileStorage) -> None:
    """Write what a push has sent."""
    storage.write("uploads/x/1/json", b"{}")
    storage.write("uploads/x/1/layer", [b"layer"])
    storage.write("uploads/x/1/marks/a", b"")


def test_unfinished_values_are_not_synced(durable: FileStorage, steps: Steps) -> None:
    stage(durable)
    durable.write("uploads/x/1/json", b"{ }")
    durable.link("images/y/json", "uploads/x/1/linked")
    durable.publish("uploads/x/1", "uploads/x/2")
    durable.delete("uploads/x/2/linked")
    durable.delete_tree("uploads/x")
    assert [step for step in steps.since() if step.startswith("sync")] == []


def test_values_are_synced_before_their_publication_and_folders_after(
    durable: FileStorage, steps: Steps
) -> None:
    stage(durable)
    durable.publish("uploads/x/1", "images/x")
    found = steps.since()
    moved = found.index("rename to images/x")
    assert sorted(found[:moved]) == [f"sync uploads/x/1/{name}" for name in ("json", "layer", "marks/a")]
    after = ["sync images", "sync images/x", "sync images/x/marks"]
    assert sorted(found[moved + 1 :]) == after


def test_published_value_is_durable_if_it_came_between(
    durable: FileStorage, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(durable)
    staged = durable._disk.sync_staged

    def with_a_late_mark(source: str, target: str) -> object:
        found = staged(source, target)
        durable.write("uploads/x/1/marks/b", b"")
        return found

    monkeypatch.setattr(durable._disk, "sync_staged", with_a_late_mark)
    durable.publish("uploads/x/1", "images/x")
    assert "sync images/x/marks/b" in steps.since()


def test_what_another_has_published_is_synced_too(durable: FileStorage, root: Path, steps: Steps) -> None:
    stage(durable)
    steps.rename(str(root / "uploads/x/1"), str(root / "images/x"))
    with pytest.raises(KeyNotFound):
        durable.publish("uploads/x/1", "images/x")
    wanted = {"images", "images/x", "images/x/json", "images/x/layer", "images/x/marks", "images/x/marks/a"}
    assert {step.removeprefix("sync ") for step in steps.since()} == wanted


def test_values_that_were_durable_are_not_synced_again(durable: FileStorage, steps: Steps) -> None:
    durable.write("conversions/x/data", b"")
    steps.since()
    durable.publish("conversions/x", "blobs/x")
    assert not [step for step in steps.since() if step.endswith("data")]


def test_value_is_synced_before_its_link(durable: FileStorage, steps: Steps) -> None:
    stage(durable)
    durable.link("uploads/x/1/layer", "blobs/x/data")
    assert "sync uploads/x/1/layer" in steps.since()


def test_finished_folder_among_unfinished_ones_is_durable(durable: FileStorage, steps: Steps) -> None:
    durable.write("uploads/_deleted/a", b"")
    synced = steps.since()
    assert synced[-1] == "sync uploads/_deleted"
    assert any(step.startswith("sync uploads/_deleted/.a.") for step in synced)
    durable.delete("uploads/_deleted/a")
    assert steps.since() == ["sync uploads/_deleted"]


def test_nothing_is_synced_for_a_publication_without_durability(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("fsync was called"))
    storage = FileStorage(root, durable=False)
    stage(storage)
    storage.publish("uploads/x/1", "images/x")
    assert storage.read("images/x/layer")[0] == b"layer"
