"""What ``gc`` removes and keeps of manifests, blobs and tags, while nothing else happens."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from support.garbage import (
    BASE,
    OTHER_ROOT,
    TOP,
    collect,
    everything,
    images_in,
    keys,
    push_openly,
    tagged,
)
from support.two_views import view_of
from support.v2_client import V2Client, descriptor_of, digest_of, index_of
from support.wsgi_client import call

from v1registry import Registry, Storage
from v1registry.housekeeping.retention import Retention


@pytest.fixture
def client(storage: Storage) -> V2Client:
    return V2Client(Registry(storage=storage))


def test_gc_keeps_manifests_and_what_they_name(client: V2Client, storage: Storage) -> None:
    tagged(client, "team/app", "1.0", "one")
    index = index_of(tagged(client, "team/app", "2.0", "two"))
    assert client.put_manifest("team/app", "all", index, json.loads(index)["mediaType"]).status == 201
    before = everything(storage)

    assert collect(storage, takes_untagged=True).freed == []
    assert everything(storage) == before


def test_gc_removes_blobs_of_deleted_manifests(client: V2Client, storage: Storage) -> None:
    kept, gone = tagged(client, "team/app", "1.0", "one"), tagged(client, "team/app", "2.0", "two")
    assert client.delete_manifest("team/app", digest_of(gone)).status == 202

    report = collect(storage)

    assert {row.repository: row.blobs for row in report.freed} == {"": 1, "team/app": 2}
    assert (report.total.blobs, report.total.images) == (3, 1)
    assert len([key for key in keys(storage, "blobs/") if key.endswith("/data")]) == 3
    assert images_in(storage) == {view_of(kept)}
    assert client.shown("team/app", "1.0") == digest_of(kept)


def test_untagged_manifests_go_only_if_wanted(client: V2Client, storage: Storage) -> None:
    first, second = tagged(client, "team/app", "1.0", "one"), tagged(client, "team/app", "1.0", "two")

    collect(storage)
    assert client.get_manifest("team/app", digest_of(first)).status == 200
    (row,) = collect(storage, takes_untagged=True).freed

    assert (row.manifests, row.blobs) == (1, 3)
    assert client.get_manifest("team/app", digest_of(first)).status == 404
    assert client.shown("team/app", "1.0") == digest_of(second)


def test_what_is_attached_to_a_kept_manifest_stays(client: V2Client, storage: Storage) -> None:
    image = tagged(client, "team/app", "1.0", "one")
    subject = descriptor_of(image, json.loads(image)["mediaType"])
    artifact = client.artifact("team/app", "signature", subject=subject)
    assert client.put_manifest("team/app", digest_of(artifact), artifact).status == 201

    assert collect(storage, takes_untagged=True).freed == []
    assert client.delete_manifest("team/app", digest_of(image)).status == 202
    report = collect(storage, takes_untagged=True)

    assert report.total.manifests == 1
    assert keys(storage, "blobs/", "images/", "repositories/team/app/_v2/referrers/") == []


def test_bytes_that_both_apis_have_count_once(client: V2Client, storage: Storage) -> None:
    data = tagged(client, "team/app", "1.0", "one")
    stored = {stat.etag: stat.size for stat in storage.list("") if stat.key.startswith(("images/", "blobs/"))}
    assert client.delete_manifest("team/app", digest_of(data)).status == 202

    assert collect(storage).total.bytes == sum(stored.values())


def test_a_conversion_lives_as_long_as_its_image(client: V2Client, storage: Storage) -> None:
    app = Registry(storage=storage)
    push_openly(app, "foo/bar", BASE, TOP)
    assert client.get_manifest("foo/bar", "latest").status == 200
    before = everything(storage)
    assert collect(storage).freed == []
    assert everything(storage) == before

    push_openly(app, "foo/bar", OTHER_ROOT)
    collect(storage)

    assert keys(storage, "blobs/", "conversions/", "repositories/foo/bar/_v2/") == []
    assert images_in(storage) == {OTHER_ROOT.image_id}


def test_DST_031_a_layer_stays_while_one_view_needs_it(client: V2Client, storage: Storage) -> None:
    app = Registry(storage=storage)
    push_openly(app, "foo/bar", BASE)
    push_openly(app, "foo/baz", BASE)
    found = client.get_manifest("foo/baz", "latest")
    assert call(app, "DELETE", "/v1/repositories/foo/baz/").status == 200

    collect(storage)
    assert keys(storage, "blobs/", "conversions/") == []
    assert call(app, "GET", f"/v1/images/{BASE.image_id}/layer").body == BASE.layer
    assert client.get_manifest("foo/bar", "latest").body == found.body
    assert call(app, "DELETE", "/v1/repositories/foo/bar/tags/latest").status == 200
    collect(storage)

    assert keys(storage, "blobs/", "images/") == []


def test_a_pushed_conversion_stays(client: V2Client, storage: Storage) -> None:
    app = Registry(storage=storage)
    push_openly(app, "foo/bar", BASE)
    found = client.get_manifest("foo/bar", "latest")
    media_type = found.header("Content-Type")
    assert client.put_manifest("foo/bar", digest_of(found.body), found.body, media_type).status == 201
    push_openly(app, "foo/bar", OTHER_ROOT)

    collect(storage)

    assert client.get_manifest("foo/bar", digest_of(found.body)).body == found.body
    for layer in json.loads(found.body)["layers"]:
        assert client.get(f"/v2/foo/bar/blobs/{layer['digest']}").status == 200


def test_pointers_go_with_their_blobs(client: V2Client, storage: Storage) -> None:
    client.put_blob("team/app", b"alone", "sha512")

    collect(storage)

    assert keys(storage, "blobs/", "repositories/team/app/_v2/") == []


# -- rules of retention


def times(client: V2Client, storage: Storage) -> Iterator[str]:
    for number in range(5):
        tagged(client, "team/app", f"v{number}", str(number))
        yield f"v{number}"


def test_retention_keeps_the_newest_tags(client: V2Client, storage: Storage) -> None:
    assert list(times(client, storage)) == ["v0", "v1", "v2", "v3", "v4"]

    rule = Retention(newest=2, patterns=["*0"])
    dry = collect(storage, retention=rule, takes_untagged=True, is_dry_run=True)
    assert client.tags("team/app") == ["v0", "v1", "v2", "v3", "v4"]
    report = collect(storage, retention=rule, takes_untagged=True)

    assert client.tags("team/app") == ["v0", "v3", "v4"]
    assert (report.total.tags, report.total.manifests, report.total.images) == (2, 2, 2)
    assert dry.freed == report.freed


def test_retention_keeps_young_tags_and_other_repositories(client: V2Client, storage: Storage) -> None:
    tagged(client, "team/app", "1.0", "one")
    tagged(client, "team/other", "1.0", "two")

    collect(storage, retention=Retention(younger_s=3600))
    assert client.tags("team/app") == ["1.0"]
    collect(storage, retention=Retention(younger_s=0, repositories=["team/a*"]))

    assert client.tags("team/app") == []
    assert client.tags("team/other") == ["1.0"]


@pytest.mark.parametrize("fields", [{}, {"patterns": ["*"]}, {"newest": -1}, {"younger_s": -1}])
def test_retention_without_a_rule_is_rejected(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="keep_newest"):
        Retention(**fields)  # type: ignore[arg-type]
