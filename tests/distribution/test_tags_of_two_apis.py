"""The one pointer of a tag (DST-020, DST-021): each state, each order of writes, each interleaving."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from support.faulty_storage import FaultyStorage
from support.two_views import FILE, NAME, SIDE, TAG, TwoViews, view_of
from support.v2_client import digest_of, index_of

from v1registry import FileStorage, MemoryStorage
from v1registry.distribution.manifests import OCI_INDEX
from v1registry.names import RepositoryName
from v1registry.registry.tags import TagRule


@pytest.fixture(params=["memory", "folder"])
def views(request: pytest.FixtureRequest, tmp_path: Path) -> TwoViews:
    storage = MemoryStorage() if request.param == "memory" else FileStorage(str(tmp_path), durable=False)
    return TwoViews(FaultyStorage(storage))


#: What a write leaves in v2 and v1; None in place of it if there was nothing to do.
Written: TypeAlias = tuple[str | None, str | None]
Write: TypeAlias = Callable[[TwoViews], "Written | None"]


# -- each state


def test_DST_021_image_of_v1_is_converted(views: TwoViews) -> None:
    assert views.put_in_v1(views.old.image_id) == 200
    assert views.side() is None
    assert views.shown() == views.converted()


def test_DST_021_image_of_v2_is_in_v1(views: TwoViews) -> None:
    image = views.images[0]
    views.put(image)
    assert views.in_v1() == view_of(image)
    assert views.shown() == digest_of(image)
    side = views.side()
    assert side is not None
    assert side["image_id"] == view_of(image)


def test_file_without_side_shows_the_newest_manifest_of_its_image(views: TwoViews) -> None:
    image = views.images[0]
    again = json.dumps({**json.loads(image), "annotations": {"a": "b"}}).encode()
    views.put(image, "a")
    views.put(again, "b")
    views.write_file(view_of(image))
    assert views.shown() == digest_of(again)
    views.v2.delete_manifest(NAME, digest_of(again))
    views.write_file(view_of(image))
    assert views.shown() == digest_of(image)


def test_DST_020_artifact_has_no_tag_in_v1(views: TwoViews) -> None:
    views.put(views.artifact)
    assert (views.shown(), views.in_v1()) == (digest_of(views.artifact), None)
    side = views.side()
    assert side is not None
    assert side["image_id"] is None


def test_DST_020_artifact_removes_the_tag_of_v1(views: TwoViews) -> None:
    assert views.put_in_v1(views.old.image_id) == 200
    views.put(views.artifact)
    assert (views.shown(), views.in_v1()) == (digest_of(views.artifact), None)


def test_DST_021_old_server_moves_the_tag_of_an_artifact(views: TwoViews) -> None:
    views.put(views.artifact)
    views.write_file(views.old.image_id)
    assert (views.shown(), views.in_v1()) == (views.converted(), views.old.image_id)


def test_DST_021_old_server_moves_the_tag_of_an_image(views: TwoViews) -> None:
    views.put(views.images[0])
    views.write_file(views.old.image_id)
    assert views.shown() == views.converted()


def test_DST_021_old_server_moves_the_tag_back(views: TwoViews) -> None:
    image = views.images[0]
    views.put(image)
    views.write_file(views.old.image_id)
    views.write_file(view_of(image))
    assert views.shown() == digest_of(image)


def test_DST_021_old_server_deletes_the_tag(views: TwoViews) -> None:
    views.put(views.images[0])
    views.write_file(None)
    assert views.shown() is None
    assert views.v2.tags(NAME) == []


def test_side_of_a_deleted_manifest_leaves_the_file(views: TwoViews) -> None:
    image = views.images[0]
    views.put(image)
    views.storage.delete(f"repositories/{NAME}/_v2/manifests/{digest_of(image)[7:]}")
    shown = views.shown()
    assert shown is not None
    assert shown != digest_of(image)


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"{}", b'{"digest": 7}', b'{"digest": "x", "image_id": 7}']
)
def test_damaged_side_counts_for_nothing(views: TwoViews, value: bytes) -> None:
    views.put(views.images[0])
    views.storage.write(SIDE, value)
    assert views.shown() == digest_of(views.images[0])
    views.write_file(None)
    assert views.shown() is None
    views.put(views.artifact)
    assert views.shown() == digest_of(views.artifact)


def test_damaged_file_counts_for_nothing(views: TwoViews) -> None:
    views.put(views.artifact)
    views.storage.write(FILE, b"damaged")
    assert views.shown() == digest_of(views.artifact)
    views.put(views.images[0])
    assert (views.shown(), views.in_v1()) == (digest_of(views.images[0]), view_of(views.images[0]))


# -- each order of two writes


def _v2_image(views: TwoViews) -> Written:
    views.put(views.images[0])
    return digest_of(views.images[0]), view_of(views.images[0])


def _v2_other_image(views: TwoViews) -> Written:
    views.put(views.images[1])
    return digest_of(views.images[1]), view_of(views.images[1])


def _v2_artifact(views: TwoViews) -> Written:
    views.put(views.artifact)
    return digest_of(views.artifact), None


def _v1_image(views: TwoViews) -> Written:
    assert views.put_in_v1(views.old.image_id) == 200
    return views.converted(), views.old.image_id


def _file(views: TwoViews) -> Written:
    views.write_file(views.old.image_id)
    return views.converted(), views.old.image_id


def _v2_delete(views: TwoViews) -> Written:
    assert views.delete() in (202, 404)
    return None, None


def _v1_delete(views: TwoViews) -> Written | None:
    status = views.delete_in_v1()
    assert status in (200, 404)
    return (None, None) if status == 200 else None


_WRITES = [_v2_image, _v2_other_image, _v2_artifact, _v1_image, _file, _v2_delete, _v1_delete]


@pytest.mark.parametrize("third", _WRITES)
@pytest.mark.parametrize("second", _WRITES)
@pytest.mark.parametrize("first", _WRITES)
def test_DST_021_last_write_decides_in_both(first: Write, second: Write, third: Write) -> None:
    views = TwoViews()
    views.put(views.artifact, "kept")
    first(views)
    second(views)
    before = _state(views)
    wanted = third(views) or before
    assert _state(views) == wanted
    assert views.v2.tags(NAME) == ["kept"] if wanted[0] is None else [TAG, "kept"]


def _state(views: TwoViews) -> Written:
    return views.shown(), views.in_v1()


# -- interleavings: another writer comes before each step of a write


_SECOND = [_v2_image, _v2_artifact, _v1_image, _v2_delete, _v1_delete]


def _prepared(start: str) -> TwoViews:
    """Return a server with all content, and the tag as a test wants it at first."""
    views = TwoViews()
    for manifest in (*views.images, views.artifact):
        views.put(manifest, "kept")
    _v1_image(views)
    views.delete_in_v1()
    {"image": _v2_image, "artifact": _v2_artifact, "old": _v1_image, "none": lambda views: None}[start](views)
    return views


class _Meeting:
    """Another writer, who comes before a step of a request on the tag.

    :param step: before how many steps of the request the writer does not come.
    """

    def __init__(self, views: TwoViews, write: Write, *methods: str, step: int) -> None:
        self.left: list[Written | None] = []  #: what the writer left; empty if the writer did not come

        def meet() -> None:
            self.left.append(write(views))

        views.storage.before(meet, *methods, key=f"repositories/{NAME}/*{TAG}", skip=step)


@pytest.mark.parametrize("start", ["none", "image", "artifact", "old"])
@pytest.mark.parametrize("second", _SECOND)
@pytest.mark.parametrize("write", [_v2_other_image, _v2_artifact, _v2_delete, _v1_image, _v1_delete])
def test_writers_that_meet_leave_the_tag_of_one_of_them(write: Write, second: Write, start: str) -> None:
    for step in range(40):
        views = _prepared(start)
        before = _state(views)
        meeting = _Meeting(views, second, "read", "write", "delete", step=step)
        written = write(views)
        views.storage.heal()
        if not meeting.left:
            return
        left = {result for result in (written, *meeting.left) if result is not None}
        assert _state(views) in (left or {before}), step
    pytest.fail("the other writer always came")


@pytest.mark.parametrize("start", ["image", "artifact", "old"])
@pytest.mark.parametrize("second", [_v2_other_image, _v2_artifact, _v1_image])
def test_reader_sees_the_tag_before_or_after_a_write(second: Write, start: str) -> None:
    for step in range(40):
        views = _prepared(start)
        before = views.shown()
        meeting = _Meeting(views, second, "read", step=step)
        shown = views.shown()
        views.storage.heal()
        if not meeting.left:
            return
        assert meeting.left[0] is not None
        assert shown in (before, meeting.left[0][0]), step
    pytest.fail("the writer always came")


class Killed(BaseException):
    """The server is killed."""


@pytest.mark.parametrize("start", ["none", "image", "artifact", "old"])
@pytest.mark.parametrize("write", [_v2_other_image, _v2_artifact, _v2_delete, _v1_image, _v1_delete])
def test_killed_writer_leaves_the_old_or_the_new_tag(write: Write, start: str) -> None:
    after = write(_prepared(start))
    for step in range(60):
        views = _prepared(start)
        before = _state(views)
        views.storage.fail("write", "delete", error=Killed(), skip=step)
        try:
            write(views)
        except Killed:
            views.storage.heal()
        else:
            return
        wanted = after or before
        assert views.shown() in (before[0], wanted[0]), step
        assert views.in_v1() in (before[1], wanted[1]), step
        # a repetition completes what was begun
        again = write(views)
        assert again is None or _state(views) == again, step
    pytest.fail("the writer was always killed")


# -- rules


def test_immutable_tag_keeps_its_manifest(views: TwoViews) -> None:
    repositories = views.app._services.repositories
    views.put(views.images[0])
    views.put(views.artifact, "a")
    repositories.set_tag_rule(RepositoryName.parse(NAME), TagRule.IMMUTABLE)
    for tag, kept, other in ((TAG, views.images[0], views.images[1]), ("a", views.artifact, views.images[0])):
        refused = views.v2.put_manifest(NAME, tag, other)
        assert (refused.status, json.loads(refused.body)["errors"][0]["code"]) == (409, "TAG_INVALID")
        views.put(kept, tag)
        assert views.put_in_v1(views.old.image_id, tag) == 409
        assert views.shown(tag) == digest_of(kept)
    views.put(views.artifact, "new")
    assert views.shown("new") == digest_of(views.artifact)


def test_tag_with_the_file_of_another_tag_is_refused(views: TwoViews) -> None:
    views.put(views.images[0], "_x")
    refused = views.v2.put_manifest(NAME, "x_json", views.images[1])
    assert (refused.status, json.loads(refused.body)["errors"][0]["code"]) == (400, "TAG_INVALID")
    views.put(views.artifact, "x_json")
    assert views.shown("_x") == digest_of(views.images[0])


def test_deleting_the_shown_part_of_an_index_removes_the_view(views: TwoViews) -> None:
    for image in views.images:
        views.v2.put_manifest(NAME, digest_of(image), image)
    index = index_of(*views.images)
    assert views.v2.put_manifest(NAME, TAG, index, OCI_INDEX).status == 201
    assert views.in_v1() == view_of(views.images[0])
    assert views.v2.delete_manifest(NAME, digest_of(views.images[1])).status == 202
    assert views.in_v1() == view_of(views.images[0])
    assert views.v2.delete_manifest(NAME, digest_of(views.images[0])).status == 202
    assert (views.shown(), views.in_v1()) == (digest_of(index), None)


def test_deleting_a_converted_manifest_deletes_the_tags_of_its_image(views: TwoViews) -> None:
    for tag in ("a", "b"):
        assert views.put_in_v1(views.old.image_id, tag) == 200
    views.put(views.images[0], "c")
    assert views.v2.delete_manifest(NAME, str(views.shown("a"))).status == 202
    assert (views.shown("a"), views.in_v1("b")) == (None, None)
    assert views.v2.tags(NAME) == ["c"]
