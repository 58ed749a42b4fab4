"""What a request for a manifest asks of the storage, and that what is kept in memory is never stale."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.engine_client import make_image, tar_layer
from support.faulty_storage import FaultyStorage
from support.two_views import FILE, NAME, SIDE, TAG, TwoViews, view_of
from support.v2_client import V2Client, digest_of

from v1registry import FileStorage
from v1registry.names import RepositoryName
from v1registry.rights import User

OTHER = make_image(tar_layer({"other": b"other"}), name="other")


@pytest.fixture
def storage(tmp_path: Path) -> FaultyStorage:
    return FaultyStorage(FileStorage(tmp_path, durable=False))


@pytest.fixture
def views(storage: FaultyStorage) -> TwoViews:
    return TwoViews(storage)


@pytest.fixture
def other(tmp_path: Path, views: TwoViews) -> TwoViews:
    """Another process on the folder."""
    return TwoViews(FileStorage(tmp_path, durable=False))


def calls_of(storage: FaultyStorage, ask: Callable[[], object]) -> int:
    """Return how many calls the second of two equal requests makes."""
    first = ask()
    before = storage.count()
    assert ask() == first is not None
    return storage.count() - before


# -- how many calls


def test_manifest_by_digest_costs_four_calls(views: TwoViews, storage: FaultyStorage) -> None:
    views.put(views.images[0])
    assert calls_of(storage, lambda: views.shown(digest_of(views.images[0]))) == 4


def test_tag_of_a_pushed_manifest_costs_five_calls(views: TwoViews, storage: FaultyStorage) -> None:
    views.put(views.images[0])
    assert calls_of(storage, views.shown) == 5


def test_tag_of_a_converted_image_costs_eight_calls(views: TwoViews, storage: FaultyStorage) -> None:
    views.put_in_v1(views.old.image_id)
    assert calls_of(storage, views.shown) == 8


def test_tag_that_v1_cannot_show_costs_eight_calls(views: TwoViews, storage: FaultyStorage) -> None:
    views.put(views.artifact)
    assert calls_of(storage, views.shown) == 8


def test_second_tag_read_parses_neither_side_nor_record(views: TwoViews, storage: FaultyStorage) -> None:
    views.put(views.images[0])
    views.shown()
    before = storage.count("read")
    views.shown()
    assert storage.count("read") - before == 2  # the file of the tag, and the manifest


def test_converted_tag_of_an_account_costs_nine_calls(storage: FaultyStorage) -> None:
    world = AccountsWorld(People.of(User("alice")), storage, v2="on")
    world.person("alice").push("alice/app", image_of("base"))
    client = V2Client(world.app, "alice")
    assert calls_of(storage, lambda: client.shown("alice/app", "latest")) == 9


# -- other processes


def test_tag_that_another_process_moves_is_seen(views: TwoViews, other: TwoViews) -> None:
    first, second = views.images
    views.put(first)
    assert views.shown() == digest_of(first)
    other.put(second)
    assert views.shown() == digest_of(second)


def test_tag_that_another_process_deletes_is_seen(views: TwoViews, other: TwoViews) -> None:
    views.put(views.images[0])
    views.shown()
    other.delete()
    assert views.shown() is None


def test_artifact_that_another_process_replaces_is_seen(views: TwoViews, other: TwoViews) -> None:
    views.put(views.artifact)
    views.shown()
    other.put(views.images[0])
    assert views.shown() == digest_of(views.images[0])


def test_manifest_that_another_process_deletes_is_seen(views: TwoViews, other: TwoViews) -> None:
    digest = digest_of(views.images[0])
    views.put(views.images[0])
    assert views.shown(digest) == digest
    other.delete(digest)
    assert (views.shown(digest), views.shown()) == (None, None)


def test_side_that_is_damaged_later_does_not_count(views: TwoViews, tmp_path: Path) -> None:
    views.put(views.artifact)
    views.shown()
    (tmp_path / SIDE).write_bytes(b"{")
    assert views.shown() is None


def test_record_that_is_damaged_later_does_not_count(views: TwoViews, tmp_path: Path) -> None:
    digest = digest_of(views.artifact)
    views.put(views.artifact)
    views.shown(digest)
    (tmp_path / f"repositories/{NAME}/_v2/manifests/{digest.partition(':')[2]}").write_bytes(b"[]")
    assert views.shown(digest) is None


def test_repository_that_another_process_deletes_is_seen(views: TwoViews, other: TwoViews) -> None:
    digest = digest_of(views.images[0])
    views.put(views.images[0])
    assert views.shown() == digest
    other.app._services.repositories.mark_deleted(RepositoryName.parse(NAME))
    for reference in (TAG, digest):
        answer = views.v2.get_manifest(NAME, reference)
        assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (404, "NAME_UNKNOWN")


@pytest.mark.parametrize("is_side_left", [True, False])
def test_missing_repository_is_unknown_with_tags_left(views: TwoViews, is_side_left: bool) -> None:
    views.put(views.artifact)
    views.storage.delete(f"repositories/{NAME}/_index_images")
    if not is_side_left:
        views.storage.delete(SIDE)
    answer = views.v2.get_manifest(NAME, TAG)
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (404, "NAME_UNKNOWN")


# -- docker-registry 0.9, which writes in place


def test_file_that_is_written_in_place_is_seen_at_once(views: TwoViews, tmp_path: Path) -> None:
    views.v1.push(OTHER)
    views.put_in_v1(views.old.image_id)
    old = views.shown()
    views.put_in_v1(OTHER.image_id, "other")
    other = views.shown("other")
    assert other != old
    for image_id, expected in ((OTHER.image_id, other), (views.old.image_id, old)):
        (tmp_path / FILE).write_text(image_id, "ascii")
        assert views.shown() == expected


def test_file_written_in_place_decides_against_the_side(views: TwoViews, tmp_path: Path) -> None:
    image = views.images[0]
    views.put(image)
    views.put_in_v1(views.old.image_id, "old")
    assert views.shown() == digest_of(image)
    (tmp_path / FILE).write_text(views.old.image_id, "ascii")
    assert views.shown() == views.shown("old")
    (tmp_path / FILE).write_text(view_of(image), "ascii")
    assert views.shown() == digest_of(image)


@pytest.mark.parametrize("part", ["json", "layer"])
def test_converted_image_that_is_damaged_later_is_missing(views: TwoViews, tmp_path: Path, part: str) -> None:
    views.put_in_v1(views.old.image_id)
    assert views.shown() is not None
    (tmp_path / f"images/{views.old.image_id}" / part).write_bytes(b"")
    assert views.shown() is None


def test_converted_image_that_is_pushed_again_is_missing(views: TwoViews, tmp_path: Path) -> None:
    views.put_in_v1(views.old.image_id)
    assert views.shown() is not None
    folder = tmp_path / f"images/{views.old.image_id}"
    (folder / "_inprogress").write_bytes(b"true")
    (folder / "json").write_bytes(views.old.json)
    assert views.shown() is None


def test_converted_image_that_an_old_server_replaces_is_converted_again(
    views: TwoViews, tmp_path: Path
) -> None:
    views.put_in_v1(views.old.image_id)
    before = views.shown()
    folder = tmp_path / f"images/{views.old.image_id}"
    (folder / "_checksum").unlink()
    (folder / "layer").write_bytes(tar_layer({"new": b"new"}))
    assert views.shown() not in (None, before)


def test_converted_image_that_is_removed_is_missing(views: TwoViews) -> None:
    views.put_in_v1(views.old.image_id)
    assert views.shown() is not None
    views.storage.delete(f"images/{views.old.image_id}/json")
    assert views.shown() is None
