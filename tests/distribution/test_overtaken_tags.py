"""A tag of ``/v2/`` that others write, or whose repository is deleted, while it is set (DST-021)."""

from __future__ import annotations

from functools import partial

import pytest
from support.two_views import FILE, NAME, SIDE, TAG, TwoViews, view_of
from support.v2_client import digest_of
from support.wsgi_client import call

from v1registry.names import RepositoryName


@pytest.fixture
def views() -> TwoViews:
    return TwoViews()


def delete_repository(views: TwoViews) -> None:
    assert call(views.app, "DELETE", f"/v1/repositories/{NAME}/tags").status == 200


@pytest.mark.parametrize("later", ["artifact", "image", "v1"])
def test_tag_that_was_seen_and_moved_does_not_come_back(views: TwoViews, later: str) -> None:
    first, image = views.images
    expected = {"artifact": digest_of(views.artifact), "image": digest_of(image), "v1": None}[later]
    old = views.old.image_id

    def move() -> None:
        assert views.in_v1() == view_of(first)
        if later == "v1":
            assert views.put_in_v1(old) == 200
        else:
            views.put(views.artifact if later == "artifact" else image)

    # something is there, so that the later write through v1 removes it
    views.put(image)
    views.storage.before(move, "write", key=SIDE)
    views.put(first)
    if later == "v1":
        assert views.in_v1() == old
    else:
        assert views.shown() == expected


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_artifact_is_not_lost_if_the_image_before_it_is_deleted_meanwhile(views: TwoViews, api: str) -> None:
    paths = {"v1": f"/v1/repositories/{NAME}/tags/{TAG}", "v2": f"/v2/{NAME}/manifests/{TAG}"}

    def delete() -> None:
        assert call(views.app, "DELETE", paths[api]).status in (200, 202)
        assert (views.shown(), views.in_v1()) == (None, None)

    views.put(views.images[0])
    views.storage.before(delete, "delete", key=FILE)
    views.put(views.artifact)
    assert (views.shown(), views.in_v1()) == (digest_of(views.artifact), None)


def test_artifact_is_refused_if_the_repository_is_deleted_before_it_decides(views: TwoViews) -> None:
    views.put(views.images[0])
    views.storage.before(partial(delete_repository, views), "delete", key=FILE)
    assert views.v2.put_manifest(NAME, TAG, views.artifact).status == 404
    assert (views.shown(), views.in_v1()) == (None, None)


@pytest.mark.parametrize("kind", ["artifact", "image"])
def test_tag_of_a_repository_that_is_deleted_meanwhile_is_refused(views: TwoViews, kind: str) -> None:
    manifest = views.artifact if kind == "artifact" else views.images[0]
    views.storage.before(partial(delete_repository, views), "write", key=SIDE)
    assert views.v2.put_manifest(NAME, TAG, manifest).status == 404
    assert (views.shown(), views.in_v1()) == (None, None)

    again = views.v2.artifact(NAME, "report") if kind == "artifact" else views.v2.image(NAME, "one")
    assert again == manifest
    views.put(again, "other")
    assert (views.shown(), views.in_v1()) == (None, None)


@pytest.mark.parametrize("kind", ["artifact", "image"])
def test_manifest_whose_blobs_are_deleted_meanwhile_is_refused(views: TwoViews, kind: str) -> None:
    manifest = views.artifact if kind == "artifact" else views.images[0]
    record = f"repositories/{NAME}/_v2/manifests/*"
    views.put(views.images[1], "old")
    views.storage.before(partial(delete_repository, views), "write", key=record)
    assert views.v2.put_manifest(NAME, TAG, manifest).status == 400
    assert (views.shown(), views.in_v1()) == (None, None)


def test_tag_that_was_set_after_a_deletion_is_not_removed_by_an_earlier_push(views: TwoViews) -> None:
    artifact, old = views.artifact, views.old.image_id

    def begin_again() -> None:
        delete_repository(views)
        assert views.put_in_v1(old) == 200

    views.put(views.images[0])
    views.storage.before(begin_again, "read", key=FILE)
    assert views.v2.put_manifest(NAME, TAG, artifact).status == 404
    assert views.in_v1() == old


@pytest.mark.parametrize("kind", ["artifact", "image"])
def test_push_to_a_repository_that_is_marked_as_deleted_is_kept(views: TwoViews, kind: str) -> None:
    views.put(views.images[1], "old")
    views.app._services.holding.mark_deleted(RepositoryName.parse(NAME))
    manifest = views.v2.artifact(NAME, "report") if kind == "artifact" else views.v2.image(NAME, "one")

    views.put(manifest)

    assert views.v2.tags(NAME) == [TAG]
    assert views.shown() == digest_of(manifest)
    assert views.v2.shown(NAME, digest_of(manifest)) == digest_of(manifest)
