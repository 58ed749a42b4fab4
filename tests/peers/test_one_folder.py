"""docker-registry 0.9.1 and ``v1registry serve`` run at once over one folder: v1 beside /v2/ (DST-021)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.engine_client import EngineClient, Image, make_chain, tar_layer
from support.forwarding import Forwarding
from support.oci_clients import Skopeo
from support.programs import Program
from support.saved_images import image_of, saved_image
from support.v2_client import V2Client, digest_of
from support.wsgi_servers import SERVE

from v1registry import FileStorage
from v1registry.accounts.users import UserStore

pytestmark = pytest.mark.real

NAME, TAG = "alice/app", "1.0"
CHAIN = make_chain((tar_layer({f"file-{n}": b"%d" % n}) for n in range(3)), name="one folder")
OTHER = make_chain([tar_layer({"other": b"other"})], name="other")


@dataclass
class Both:
    """The two servers, and a client of each. skopeo has the images ``one`` and ``two``."""

    ours: Program
    theirs: Program
    skopeo: Skopeo

    @property
    def v1(self) -> EngineClient:
        """An engine at docker-registry."""
        return EngineClient(self.theirs.host)

    @property
    def v2(self) -> V2Client:
        return V2Client(Forwarding(self.ours.host), "alice")

    def reference(self, tag: str = TAG) -> str:
        return f"{self.ours.host}/{NAME}:{tag}"

    def push(self, name: str, tag: str = TAG) -> None:
        """Push an image of skopeo to /v2/."""
        self.skopeo.push(image_of(name), self.reference(tag))

    def tags_in_v1(self) -> set[str]:
        """Return the tags that docker-registry lists."""
        listed = self.v1.expect({200}, "GET", f"/v1/repositories/{NAME}/tags").json()
        assert isinstance(listed, dict)
        return set(listed)

    def check_same(self, tag: str = TAG) -> list[Image]:
        """Check that a tag has equal layers through both. Return the images from docker-registry."""
        images = self.v1.pull(NAME, tag)
        document = json.loads(self.v2.get_manifest(NAME, tag).body)
        assert [layer["digest"] for layer in document["layers"]] == [
            digest_of(image.layer) for image in images
        ]
        assert self.skopeo.pull(self.reference(tag)) == document["config"]["digest"].removeprefix("sha256:")
        return images


@pytest.fixture(params=["open", "accounts"])
def both(request: pytest.FixtureRequest, start: Callable[..., Program], tmp_path: Path) -> Iterator[Both]:
    data, settings = tmp_path / "data", {"V1REGISTRY_V2": "on"}
    skopeo = Skopeo(tmp_path / "skopeo")
    for name in ("one", "two"):
        archive = tmp_path / f"{name}.tar"
        archive.write_bytes(saved_image(name))
        skopeo.load(archive, image_of(name))
    if request.param == "accounts":
        UserStore(FileStorage(data)).create("alice", "pw-alice", "alice@example.org")
        settings["V1REGISTRY_AUTH"] = "users:"
    theirs = start(data)
    with SERVE.start(tmp_path / "ours", data, settings=settings).program as ours:
        if request.param == "accounts":
            skopeo.login(ours.host, "alice", "pw-alice", is_right=True)
        yield Both(ours, theirs, skopeo)


def test_DST_021_push_through_docker_registry_is_pulled_through_v2(both: Both) -> None:
    both.v1.push(NAME, CHAIN, TAG)
    assert both.check_same() == CHAIN
    # a tag that appears while this server runs
    both.v1.push(NAME, OTHER, "2.0")
    assert both.check_same("2.0") == OTHER
    assert both.skopeo.tags(f"{both.ours.host}/{NAME}") == [TAG, "2.0"]


def test_DST_021_push_through_v2_is_pulled_through_docker_registry(both: Both) -> None:
    both.push("one")
    assert len(both.check_same()) == 2
    assert both.tags_in_v1() == {TAG}
    # what v1 cannot express is not there
    assert both.v2.put_manifest(NAME, "report", both.v2.artifact(NAME, "report")).status == 201
    assert both.tags_in_v1() == {TAG}
    assert both.skopeo.tags(f"{both.ours.host}/{NAME}") == [TAG, "report"]


def test_DST_021_tag_moved_by_either_server_is_moved_in_both(both: Both) -> None:
    both.push("one")
    first = both.check_same()
    both.v1.push(NAME, CHAIN, TAG)
    assert both.check_same() == CHAIN
    both.push("two")
    second = both.check_same()
    assert second not in (first, CHAIN)
    # docker-registry tags what was pushed through /v2/
    both.v1.put_tag(NAME, TAG, first[-1].image_id)
    assert both.check_same() == first
    assert both.v2.put_manifest(NAME, TAG, both.v2.artifact(NAME, "report")).status == 201
    assert both.tags_in_v1() == set()
    both.v1.put_tag(NAME, TAG, second[-1].image_id)
    assert both.check_same() == second


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_DST_021_tag_deleted_by_docker_registry_is_deleted_in_v2(both: Both, api: str) -> None:
    for tag in (TAG, "kept"):
        if api == "v1":
            both.v1.push(NAME, CHAIN, tag)
        else:
            both.push("one", tag)
        both.check_same(tag)
    both.v1.expect({200}, "DELETE", f"/v1/repositories/{NAME}/tags/{TAG}")
    assert both.v2.shown(NAME, TAG) is None
    both.skopeo.pull(both.reference(), is_right=False)
    assert both.skopeo.tags(f"{both.ours.host}/{NAME}") == ["kept"]
    both.check_same("kept")
    # and the other way round
    assert both.v2.delete_manifest(NAME, "kept").status == 202
    assert both.tags_in_v1() == set()
    both.push("two")
    both.check_same()


def test_DST_021_repository_deleted_by_docker_registry_is_missing_in_v2(both: Both) -> None:
    both.push("one")
    digest = both.v2.shown(NAME, TAG)
    assert digest is not None
    assert both.v2.put_manifest(NAME, "report", both.v2.artifact(NAME, "report")).status == 201
    both.v1.expect({200}, "DELETE", f"/v1/repositories/{NAME}/")
    for path in (f"manifests/{TAG}", f"manifests/{digest}", "manifests/report", "tags/list"):
        assert both.v2.get(f"/v2/{NAME}/{path}").status == 404, path
    both.skopeo.pull(both.reference(), is_right=False)
    both.v1.push(NAME, CHAIN, TAG)
    assert both.check_same() == CHAIN
    assert both.skopeo.tags(f"{both.ours.host}/{NAME}") == [TAG]
