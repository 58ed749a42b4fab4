"""FakeRegistry and ``/v2/``: filling, looking, and expectations about pushes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from v1registry_fakes import FakeManifest, FakeRegistry, NotThere, PushRefused, WSGISession
from v1registry_fakes.layers import layer_of
from v1registry_fakes.pushing.oci_pusher import MANIFEST


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def session(fake: FakeRegistry) -> Iterator[WSGISession]:
    with WSGISession(fake.app) as session:
        yield session


def push(session: WSGISession, name: str, tag: str, document: bytes, media_type: str = MANIFEST) -> None:
    """Push a manifest whose blobs are there as a client does."""
    headers = {"Content-Type": media_type}
    answer = session.put(f"/v2/{name}/manifests/{tag}", data=document, headers=headers)
    assert answer.status_code == 201, answer.text


def test_image_of_v2_is_pulled_byte_for_byte(fake: FakeRegistry, session: WSGISession) -> None:
    image = fake.add_image("alice/app:1.0", files={"etc/motd": "hello"}, api="v2")
    answer = session.get("/v2/alice/app/manifests/1.0")
    assert answer.content == image.document
    assert answer.headers["Docker-Content-Digest"] == image.digest
    layer = answer.json()["layers"][0]
    assert session.get(f"/v2/alice/app/blobs/{layer['digest']}").content == image.layers[0]
    assert image.files == {"etc/motd": b"hello"}
    assert image.media_type == MANIFEST
    assert image.repositories == ["alice/app"]


def test_equal_images_have_equal_digests(fake: FakeRegistry) -> None:
    first = fake.add_image("alice/app:1.0", files={"a": "1"}, api="v2")
    with FakeRegistry() as other:
        assert other.add_image("bob/copy:2", files={"a": "1"}, api="v2").digest == first.digest


def test_config_says_what_the_layers_are(fake: FakeRegistry) -> None:
    image = fake.add_image("alice/app", layers=3, json={"config": {"Cmd": ["sh"]}}, api="v2")
    assert image.config["config"] == {"Cmd": ["sh"]}
    assert len(image.config["rootfs"]["diff_ids"]) == len(image.config["history"]) == len(image.layers) == 3


def test_layers_of_the_parent_are_below(fake: FakeRegistry) -> None:
    base = fake.add_image("alice/base", files={"bin/sh": "x", "etc/old": "y"}, api="v2")
    image = fake.add_image("alice/app", files={"app": "z", "etc/old": None}, parent=base, api="v2")
    assert image.layers[:-1] == base.layers
    assert image.files == {"bin/sh": b"x", "app": b"z"}


def test_image_of_v2_is_an_image_of_v1_too(fake: FakeRegistry, session: WSGISession) -> None:
    image = fake.add_image("alice/app:1.0", files={"etc/motd": "hello"}, api="v2")
    image_id = session.get("/v1/repositories/alice/app/tags").json()["1.0"]
    assert fake.image("alice/app:1.0").id == image_id
    assert fake.images[image_id].layer == image.layers[0]


def test_image_of_v1_has_a_manifest(fake: FakeRegistry, session: WSGISession) -> None:
    image = fake.add_image("alice/app:1.0", files={"etc/motd": "hello"})
    manifest = fake.manifest("alice/app:1.0")
    assert session.get("/v2/alice/app/manifests/1.0").content == manifest.document
    assert manifest.layers == [image.layer]
    assert fake.manifests[manifest.digest] == manifest


def test_artifact_refers_to_its_subject(fake: FakeRegistry, session: WSGISession) -> None:
    image = fake.add_image("alice/app:1.0", api="v2")
    sbom = fake.add_artifact(
        "alice/app", {"sbom.json": "{}"}, artifact_type="application/spdx+json", subject=image,
        annotations={"made.by": "a test"},
    )  # fmt: skip
    entries = session.get(f"/v2/alice/app/referrers/{image.digest}").json()["manifests"]
    assert [entry["digest"] for entry in entries] == [sbom.digest]
    assert (sbom.artifact_type, sbom.subject) == ("application/spdx+json", image.digest)
    assert sbom.annotations == {"made.by": "a test"}
    assert sbom.layers == [b"{}"]
    assert fake.blobs[f"sha256:{hashlib.sha256(b'{}').hexdigest()}"] == b"{}"


def test_artifact_with_a_tag_is_no_image_of_v1(fake: FakeRegistry) -> None:
    chart = fake.add_artifact("alice/chart:1.0", b"chart")
    assert fake.manifest("alice/chart:1.0") == chart
    assert fake.tags("alice/chart") == {}
    assert "alice/chart:1.0" in fake.describe()


def test_index_lists_platforms(fake: FakeRegistry, session: WSGISession) -> None:
    images = {
        platform: fake.add_image(f"alice/app:{number}", files={"p": platform}, api="v2")
        for number, platform in enumerate(("linux/arm64/v8", "linux/amd64"))
    }
    index = fake.add_index("alice/app:all", images)
    platforms = [
        entry["platform"] for entry in session.get("/v2/alice/app/manifests/all").json()["manifests"]
    ]
    assert platforms == [
        {"os": "linux", "architecture": "arm64", "variant": "v8"}, {"os": "linux", "architecture": "amd64"},
    ]  # fmt: skip
    assert index.manifests == list(images.values())
    with pytest.raises(ValueError, match="OS/ARCHITECTURE"):
        fake.add_index("alice/app:bad", {"amd64": images["linux/amd64"]})


def test_helpers_work_with_accounts() -> None:
    with FakeRegistry(auth="users:") as fake:
        fake.add_user("alice")
        image = fake.add_image("alice/app:1.0", api="v2")
        assert fake.manifest("alice/app:1.0") == image
        assert fake.manifest(f"alice/app@{image.digest}") == image
        assert len(fake.requests) == 0


def test_missing_things_say_what_there_is(fake: FakeRegistry) -> None:
    image = fake.add_image("alice/app:1.0", api="v2")
    for look, text in (
        (lambda: fake.manifest("alice/app:2"), r"no manifest 'alice/app:2'; there are: 1\.0"),
        (lambda: fake.manifests["sha256:x"], f"there are: {image.digest}"),
        (lambda: fake.blobs["x"], "no blob 'x'; there are: sha256:"),
    ):
        with pytest.raises(NotThere, match=text):
            look()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"name": None, "api": "v2"}, ValueError),
        ({"name": "a/b", "api": "v2", "id": "0" * 64}, TypeError),
        ({"name": "a/b", "api": "v2", "is_complete": False}, TypeError),
        ({"name": "a/b", "api": "v2", "parent": "0" * 64}, TypeError),
        ({"name": "A/B", "api": "v2"}, PushRefused),
    ],
)
def test_wrong_calls_are_rejected(
    fake: FakeRegistry, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        fake.add_image(**options)


def test_manifest_is_no_parent_of_an_image_of_v1(fake: FakeRegistry) -> None:
    image: Any = fake.add_image("alice/app", api="v2")
    with pytest.raises(TypeError, match="not a manifest"):
        fake.add_image("alice/other", parent=image)


# -- assert_pushed


def test_push_by_v2_is_found_by_name_and_digest(fake: FakeRegistry, session: WSGISession) -> None:
    image = fake.add_image("alice/app:base", api="v2")
    push(session, "alice/app", "1.0", image.document)
    assert fake.assert_pushed("alice/app:1.0") == image
    assert fake.assert_pushed("alice/app:1.0", digest=image.digest) == image
    push(session, "alice/app", image.digest, image.document)
    assert fake.assert_pushed(f"alice/app@{image.digest}") == image


def test_push_by_v1_is_found(fake: FakeRegistry, session: WSGISession) -> None:
    image = fake.add_image("app:old")
    session.put("/v1/repositories/app/tags/new", data=json.dumps(image.id))
    assert fake.assert_pushed("app:new") == image
    assert fake.assert_pushed("library/app:new") == image


def test_missing_push_lists_the_pushes(fake: FakeRegistry, session: WSGISession) -> None:
    image = fake.add_image("alice/app:base", api="v2")
    with pytest.raises(AssertionError, match="no client pushed alice/app:base, nor anything else"):
        fake.assert_pushed("alice/app:base")
    push(session, "alice/app", "1.0", image.document)
    with pytest.raises(AssertionError, match=f"alice/app 1.0: {image.digest}"):
        fake.assert_pushed("alice/app:2.0")
    with pytest.raises(AssertionError, match="with the digest sha256:0000"):
        fake.assert_pushed("alice/app:1.0", digest=f"sha256:{'0' * 64}")


def test_refused_push_does_not_count(fake: FakeRegistry, session: WSGISession) -> None:
    answer = session.put("/v2/alice/app/manifests/1.0", data=b"{", headers={"Content-Type": MANIFEST})
    assert answer.status_code == 400
    with pytest.raises(AssertionError, match="nor anything else"):
        fake.assert_pushed("alice/app:1.0")


def test_reset_empties_v2(fake: FakeRegistry) -> None:
    fake.add_image("alice/app:base", layer=layer_of({"a": "b"}), api="v2")
    fake.reset()
    assert (list(fake.manifests), list(fake.blobs)) == ([], [])
    with pytest.raises(NotThere):
        fake.manifest("alice/app:base")


def test_manifests_of_one_digest_are_equal(fake: FakeRegistry) -> None:
    image = fake.add_image("alice/app", api="v2")
    copy = fake.add_image("bob/app", api="v2")
    assert len({image, copy, FakeManifest(fake.storage, image.digest)}) == 1
    assert image.repositories == ["alice/app", "bob/app"]
    assert list(fake.manifests) == [image.digest]
