"""One repository in two APIs: conversions on demand, deletion, and requests that are killed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.accounts_world import Person
from support.credentials import basic
from support.faulty_storage import FaultyStorage
from support.old_data import SAMPLE, tree
from support.token_world import TokenWorld
from support.two_views import NAME, TwoViews, view_of
from support.v2_client import V2Client, digest_of
from support.wsgi_client import Answer, call

from v1registry import FileStorage, MemoryStorage, Registry
from v1registry.distribution.manifests import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from v1registry.names import RepositoryName

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "data" / "v1-to-v2.json").read_text("utf-8")
)["images"]


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Return a copy of the folder that docker-registry 0.9.1 wrote."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "sample"))


def facts_of(answer: Answer) -> list[str | None]:
    names = ("Docker-Content-Digest", "Content-Type", "Content-Length", "ETag")
    return [answer.header(name) for name in names]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["tags"][0])
def test_ENG_014_head_and_get_by_tag_and_digest_agree(sample: Path, vector: dict[str, Any]) -> None:
    before = tree(sample)
    client = V2Client(Registry(storage=FileStorage(str(sample), durable=False), v2="on"))
    name, _, tag = vector["tags"][0].partition(":")
    digest = vector["schema2_digest"]
    answers = [
        client.ask(method, f"/v2/{name}/manifests/{reference}")
        for method in ("HEAD", "GET")
        for reference in (tag, digest, tag)
    ]
    assert [answer.status for answer in answers] == [200] * 6
    assert {tuple(facts_of(answer)) for answer in answers} == {
        (digest, DOCKER_MANIFEST, str(len(vector["schema2_manifest"])), f'"{digest}"')
    }
    assert [answer.body for answer in answers] == [b""] * 3 + [vector["schema2_manifest"].encode()] * 3
    assert tag in client.tags(name)
    after = tree(sample)
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, DOCKER_MANIFEST),
        ("", DOCKER_MANIFEST),
        ("*/*", DOCKER_MANIFEST),
        (DOCKER_MANIFEST, DOCKER_MANIFEST),
        (OCI_MANIFEST, OCI_MANIFEST),
        (f"{OCI_INDEX},{OCI_MANIFEST}", OCI_MANIFEST),
        (f"{OCI_MANIFEST};q=0.5 , {DOCKER_MANIFEST};q=0.1", DOCKER_MANIFEST),
        (f"{OCI_MANIFEST}, {DOCKER_MANIFEST};q=0.0", OCI_MANIFEST),
        (f"{OCI_MANIFEST};q=0", DOCKER_MANIFEST),
        (f"{OCI_INDEX}, {DOCKER_LIST}", DOCKER_MANIFEST),
        (f"application/json, {OCI_INDEX}, {DOCKER_LIST}, {OCI_MANIFEST}, {DOCKER_MANIFEST}", DOCKER_MANIFEST),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", DOCKER_MANIFEST),
        (",;=,q;;" * 1000, DOCKER_MANIFEST),
    ],
)
def test_ENG_015_accept_chooses_the_form_of_an_image_of_v1(accept: str | None, media_type: str) -> None:
    views = TwoViews()
    assert views.put_in_v1(views.old.image_id) == 200
    headers = {} if accept is None else {"Accept": accept}
    answer = views.v2.get_manifest(NAME, "1.0", **headers)
    assert (answer.status, answer.header("Content-Type")) == (200, media_type)
    named = views.v2.get_manifest(NAME, str(answer.header("Docker-Content-Digest")), Accept="text/plain")
    assert (named.body, named.header("Content-Type")) == (answer.body, media_type)


def test_ENG_015_pushed_manifest_is_served_whatever_is_accepted() -> None:
    views = TwoViews()
    views.put(views.images[0])
    assert views.v2.get_manifest(NAME, "1.0", Accept=DOCKER_MANIFEST).body == views.images[0]


def test_pushed_manifest_is_shown_for_a_tag_of_v1() -> None:
    views = TwoViews()
    views.put(views.images[0])
    assert views.put_in_v1(view_of(views.images[0]), "v1") == 200
    assert views.shown("v1") == digest_of(views.images[0])


def test_v1_sees_an_empty_repository_of_artifacts() -> None:
    views = TwoViews()
    views.put(views.artifact)
    for path, wanted in (("images", b"[]"), ("tags", b"{}")):
        answer = call(views.app, "GET", f"/v1/repositories/{NAME}/{path}")
        assert (answer.status, answer.body) == (200, wanted)


def test_v1_lists_the_images_of_a_pushed_one() -> None:
    views = TwoViews()
    views.put(views.images[0])
    answer = call(views.app, "GET", f"/v1/repositories/{NAME}/images")
    assert json.loads(answer.body) == [{"id": view_of(views.images[0])}]


# -- deleting the repository through v1


def contents(client: V2Client, name: str, *manifests: bytes) -> list[int]:
    paths = ["manifests/1.0", "manifests/a", "tags/list"]
    paths += [f"manifests/{digest_of(manifest)}" for manifest in manifests]
    paths += [f"blobs/{json.loads(manifest)['layers'][0]['digest']}" for manifest in manifests]
    return [client.get(f"/v2/{name}/{path}").status for path in paths]


@pytest.mark.parametrize("name", ["team/app", "team/deep/app"])
def test_deletion_through_v1_deletes_all_of_a_repository(name: str) -> None:
    client = V2Client(Registry(storage=MemoryStorage(), v2="on"))
    image, artifact = client.image(name, "one"), client.artifact(name, "two")
    client.put_manifest(name, "1.0", image)
    client.put_manifest(name, "a", artifact)
    assert contents(client, name, image, artifact) == [200] * 7
    assert call(client.app, "DELETE", f"/v1/repositories/{name}/").status == 200
    assert contents(client, name, image, artifact) == [404] * 7
    assert json.loads(client.get("/v2/_catalog").body)["repositories"] == []
    assert client.put_manifest(name, "1.0", artifact).status == 400
    client.put_manifest(name, "1.0", client.image(name, "three"))
    assert contents(client, name, image, artifact) == [200, 404, 200, 404, 404, 404, 404]


@pytest.mark.parametrize("name", ["alice/app", "alice/deep/app"])
def test_deletion_in_two_steps_hides_a_repository_at_once(name: str) -> None:
    world = TokenWorld()
    client = V2Client(world.app, "alice")
    image, artifact = client.image(name, "one"), client.artifact(name, "two")
    client.put_manifest(name, "1.0", image)
    client.put_manifest(name, "a", artifact)
    headers = {**basic("alice"), "X-Docker-Token": "true"}
    assert Person(world.app, headers).ask("DELETE", f"/v1/repositories/{name}/").status_int == 202
    assert contents(client, name, image, artifact) == [404] * 7
    client.put_manifest(name, "1.0", client.image(name, "three"))
    assert contents(client, name, image, artifact) == [200, 404, 200, 404, 404, 404, 404]


def test_marked_deletion_hides_a_repository_on_an_open_server() -> None:
    client = V2Client(Registry(storage=MemoryStorage(), v2="on"))
    image, artifact = client.image(NAME, "one"), client.artifact(NAME, "two")
    client.put_manifest(NAME, "1.0", image)
    client.put_manifest(NAME, "a", artifact)
    client.app._services.holding.mark_deleted(RepositoryName.parse(NAME))
    assert contents(client, NAME, image, artifact)[:5] == [404] * 5
    assert client.put_manifest(NAME, "1.0", client.image(NAME, "three")).status == 201
    assert client.tags(NAME) == ["1.0"]
    assert client.get_manifest(NAME, digest_of(image)).status == 404


def test_marked_deletion_of_an_old_folder_deletes_what_v2_added() -> None:
    name, storage = "team/deep/app", MemoryStorage()
    # versions up to 0.8.0 quoted the name once
    storage.write("repositories/team/deep%2Fapp/_index_images", b"[]")
    client = V2Client(Registry(storage=storage, v2="on"))
    artifact = client.artifact(name, "one")
    assert client.put_manifest(name, "1.0", artifact).status == 201
    client.app._services.holding.mark_deleted(RepositoryName.parse(name))
    assert client.get_manifest(name, "1.0").status == 404
    client.put_manifest(name, "2.0", client.image(name, "two"))
    assert client.tags(name) == ["2.0"]
    assert client.get_manifest(name, digest_of(artifact)).status == 404


# -- a request that is killed at each of its steps


class Killed(BaseException):
    """The server is killed."""


@pytest.mark.parametrize("kind", ["image", "artifact"])
def test_killed_push_of_a_manifest_leaves_nothing_half_visible(kind: str) -> None:
    for step in range(100):
        views = TwoViews(FaultyStorage())
        subject = {"mediaType": OCI_MANIFEST, "digest": digest_of(b"x"), "size": 1}
        make = views.v2.image if kind == "image" else views.v2.artifact
        manifest = make(NAME, "new", subject=subject)
        views.storage.fail("write", "delete", "publish", "link", error=Killed(), skip=step)
        try:
            views.put(manifest)
        except Killed:
            views.storage.heal()
        else:
            break
        _check_all_or_nothing(views, manifest)
        views.put(manifest)
        assert views.shown() == digest_of(manifest)
    else:
        pytest.fail("the push was always killed")
    assert step >= 5


def _check_all_or_nothing(views: TwoViews, manifest: bytes) -> None:
    """Check that all that is visible is whole, through both APIs."""
    shown = views.shown()
    assert shown in (None, digest_of(manifest))
    by_digest = views.v2.get_manifest(NAME, digest_of(manifest))
    if shown is not None:
        assert by_digest.status == 200
        assert views.v2.tags(NAME) == ["1.0"]
    if by_digest.status == 200:
        assert by_digest.body == manifest
    in_v1 = views.in_v1()
    assert in_v1 is None or shown is not None
    if in_v1 is not None:
        for part in ("json", "layer", "ancestry"):
            assert call(views.app, "GET", f"/v1/images/{in_v1}/{part}").status == 200


def test_deletion_during_a_push_wins() -> None:
    world = TokenWorld(FaultyStorage())
    client, storage = V2Client(world.app, "alice"), world.storage
    assert isinstance(storage, FaultyStorage)
    manifest = client.artifact("alice/app", "one")
    client.put_manifest("alice/app", "kept", manifest)

    def delete() -> None:
        assert (
            Person(world.app, basic("alice")).ask("DELETE", "/v1/repositories/alice/app/").status_int == 200
        )

    storage.before(delete, "write", key="repositories/alice/app/_v2/tags/1.0")
    assert client.put_manifest("alice/app", "1.0", manifest).status == 404
    assert client.get_manifest("alice/app", "1.0").status == 404
