"""Lists of tags below /v2/ that are remembered: what they cost, and that they are not stale."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clock import Clock
from support.faulty_storage import FaultyStorage
from support.quiet_folders import Settle, settle
from support.two_views import FILE, NAME, OLD, TwoViews
from support.v2_client import digest_of

from v1registry import FileStorage
from v1registry.distribution import tag_lists
from v1registry.distribution.tag_lists import LOOKED_EVERY_S
from v1registry.registry.known_tags import COMPARED_EVERY_S

__all__ = ["settle"]

URL = f"/v2/{NAME}/tags/list"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def storage(tmp_path: Path) -> FaultyStorage:
    return FaultyStorage(FileStorage(tmp_path, durable=False))


@pytest.fixture
def views(storage: FaultyStorage, clock: Clock, settle: Settle) -> TwoViews:
    """Return a server that has listed its tags: two of v1, one of both APIs, one that only /v2/ shows."""
    found = TwoViews(storage, clock)
    for tag in ("a", "b"):
        assert found.put_in_v1(found.old.image_id, tag) == 200
    found.put(found.images[0], "both")
    found.put(found.artifact, "report")
    settle()
    assert listed(found) == ["a", "b", "both", "report"]
    return found


@pytest.fixture
def other(tmp_path: Path, views: TwoViews) -> TwoViews:
    """Another process on the folder."""
    return TwoViews(FileStorage(tmp_path, durable=False))


def listed(views: TwoViews, query: str = "") -> list[str]:
    answer = views.v1.get(URL + query)
    assert answer.status_int == 200
    tags: list[str] = json.loads(answer.body)["tags"]
    return tags


# -- cost


def test_unchanged_list_asks_for_versions_alone(storage: FaultyStorage, views: TwoViews) -> None:
    methods = ("read", "list", "open")
    before = storage.count(*methods), storage.count("stat"), storage.count("folder_version")
    listed(views)
    assert storage.count(*methods) == before[0]
    assert storage.count("stat") - before[1] <= 4  # whether the repository exists
    assert storage.count("folder_version") - before[2] == 3


@pytest.mark.parametrize(
    "query", ["", "?n=2", "?n=2&last=a", "?n=1&last=both", "?last=report", "?n=0", "?last=aa"]
)
def test_remembered_part_is_that_of_a_list_that_is_read(views: TwoViews, tmp_path: Path, query: str) -> None:
    class Plain(FileStorage):
        def folder_version(self, folder: str) -> str | None:
            return None

    reading = TwoViews(Plain(tmp_path, durable=False))
    answers = [one.v1.get(URL + query) for one in (views, reading)]
    assert answers[0].body == answers[1].body
    assert answers[0].headers.get("Link") == answers[1].headers.get("Link")


def test_memory_of_lists_is_bounded(
    storage: FaultyStorage, clock: Clock, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tag_lists, "KEPT_BYTES", 600)
    views = TwoViews(storage, clock)
    for tag in ("a", "b"):
        views.put_in_v1(views.old.image_id, tag)
    settle()
    assert listed(views) == listed(views) == ["a", "b"]
    lists = views.app._services.distribution.tag_lists
    assert len(lists._shown) == 0


# -- changes


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda other: other.put(other.images[1], "new"), ["a", "b", "both", "new", "report"]),
        (lambda other: other.put(other.artifact, "new"), ["a", "b", "both", "new", "report"]),
        (lambda other: other.put_in_v1(OLD.image_id, "new"), ["a", "b", "both", "new", "report"]),
        (lambda other: other.delete("report"), ["a", "b", "both"]),
        (lambda other: other.delete("both"), ["a", "b", "report"]),
        (lambda other: other.delete_in_v1("a"), ["b", "both", "report"]),
        (lambda other: other.delete(digest_of(other.artifact)), ["a", "b", "both"]),
        (lambda other: other.put(other.artifact, "a"), ["a", "b", "both", "report"]),
    ],
    ids=["image", "artifact", "v1", "only here", "both", "deleted in v1", "manifest", "replaced"],
)
def test_change_through_another_process_is_seen(
    views: TwoViews,
    other: TwoViews,
    settle: Settle,
    change: Callable[[TwoViews], object],
    expected: list[str],
) -> None:
    change(other)
    settle()
    assert listed(views) == expected


def test_change_through_the_same_process_is_seen(views: TwoViews) -> None:
    views.put(views.artifact, "new")
    assert listed(views) == ["a", "b", "both", "new", "report"]
    views.delete("new")
    assert listed(views) == ["a", "b", "both", "report"]


def test_tag_that_docker_registry_moves_to_nothing_is_left_out_after_two_seconds(
    views: TwoViews, tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / FILE.replace("tag_1.0", "tag_a")).write_text("f" * 64)
    clock.now_s += COMPARED_EVERY_S
    assert listed(views) == ["b", "both", "report"]


def test_image_that_vanishes_is_left_out_after_ten_seconds(
    views: TwoViews, tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "images" / views.old.image_id / "json").unlink()
    clock.now_s += LOOKED_EVERY_S
    assert listed(views) == ["both", "report"]


def test_image_that_was_missing_is_seen_at_once(
    views: TwoViews, tmp_path: Path, clock: Clock, settle: Settle
) -> None:
    document = tmp_path / "images" / views.old.image_id / "json"
    moved = document.rename(tmp_path / "json")
    clock.now_s += LOOKED_EVERY_S
    assert listed(views) == ["both", "report"]
    moved.rename(document)
    assert listed(views) == ["a", "b", "both", "report"]
