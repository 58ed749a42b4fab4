"""Images of the engine: names, lists, history, deletion, archives."""

from __future__ import annotations

import io
import json
import tarfile

import docker
import pytest
from docker.errors import APIError, ImageNotFound
from v1registry_fakes import FakeRegistry
from v1registry_fakes.engine import FakeEngine
from webtest import TestApp


@pytest.fixture
def pulled(engine: FakeEngine, registry: FakeRegistry, client: docker.DockerClient) -> str:
    """The name of an image of two layers that the engine has."""
    registry.add_image(
        "alice/app:1.0", files={"etc/motd": "hello"}, layers=2, json={"config": {"Labels": {"a": "b"}}}
    )
    name = f"{registry.host}/alice/app:1.0"
    client.images.pull(name)
    return name


def test_RMT_030_an_image_is_found_by_name_digest_and_id(client: docker.DockerClient, pulled: str) -> None:
    image = client.images.get(pulled)
    digest = image.attrs["RepoDigests"][0]
    for text in (digest, image.id, image.id[7:], image.id[7:19], image.id[:20]):
        assert client.images.get(text).id == image.id


def test_RMT_030_a_missing_image_is_404_and_a_malformed_name_400(
    client: docker.DockerClient, api: TestApp
) -> None:
    with pytest.raises(ImageNotFound, match="No such image: alice/none:latest"):
        client.images.get("alice/none")
    assert api.get("/images/A%20B/json", status=400).json == {
        "message": "invalid reference format: repository name must be lowercase"
    }
    assert api.post("/images/create?fromImage=Upper", status=400).json == {
        "message": "invalid reference format: repository name must be lowercase"
    }


def test_RMT_031_the_list_has_the_newest_image_first(
    client: docker.DockerClient, registry: FakeRegistry, pulled: str
) -> None:
    registry.add_image("alice/new", json={"created": "2020-01-01T00:00:00Z"})
    client.images.pull(f"{registry.host}/alice/new")
    names = [image.tags[0] for image in client.images.list()]
    assert names == [f"{registry.host}/alice/new:latest", pulled]
    assert client.images.list()[1].attrs["Size"] > 0


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"label": "a"}, 1),
        ({"label": "a=b"}, 1),
        ({"label": "a=c"}, 0),
        ({"dangling": True}, 0),
        ({"dangling": False}, 1),
        ({"reference": "*/alice/app"}, 1),
        ({"reference": "*/alice/app:1.*"}, 1),
        ({"reference": "alice"}, 0),
    ],
)
def test_RMT_032_the_list_is_filtered(
    client: docker.DockerClient, pulled: str, filters: dict[str, str], count: int
) -> None:
    assert len(client.images.list(filters=filters)) == count


def test_RMT_032_before_and_since_compare_times(client: docker.DockerClient, pulled: str) -> None:
    for name in ("before", "since"):
        assert client.images.list(filters={name: pulled}) == []


def test_RMT_032_an_unknown_filter_is_400(client: docker.DockerClient) -> None:
    with pytest.raises(APIError, match="invalid filter 'color'"):
        client.images.list(filters={"color": "red"})


def test_RMT_033_json_has_config_names_and_layers(client: docker.DockerClient, pulled: str) -> None:
    found = client.images.get(pulled).attrs
    assert found["RepoTags"] == [pulled]
    assert found["Config"]["Labels"] == {"a": "b"}
    assert len(found["RootFS"]["Layers"]) == 2


def test_RMT_034_the_history_has_the_last_step_first(client: docker.DockerClient, pulled: str) -> None:
    steps = client.images.get(pulled).history()
    assert len(steps) == 2
    assert steps[0]["Tags"] == [pulled]
    assert [step["Id"] for step in steps] == [client.images.get(pulled).id, "<missing>"]


def test_RMT_035_a_tag_moves_to_another_image(
    client: docker.DockerClient, registry: FakeRegistry, pulled: str
) -> None:
    registry.add_image("alice/other", files={"x": "y"})
    other = client.images.pull(f"{registry.host}/alice/other")
    assert client.images.get(pulled).tag("mine", "1")
    assert other.tag("mine", "1")
    assert client.images.get("mine:1").id == other.id
    with pytest.raises(APIError, match="invalid tag format"):
        other.tag("mine", "-1")


def test_RMT_036_deletion_by_name_removes_the_image_with_its_last_name(
    client: docker.DockerClient, engine: FakeEngine, pulled: str
) -> None:
    image = client.images.get(pulled)
    image.tag("mine", "1")
    assert client.api.remove_image("mine:1") == [{"Untagged": "mine:1"}]
    records = client.api.remove_image(pulled)
    assert {"Untagged": pulled} in records
    assert {"Deleted": image.id} in records
    assert client.images.list(all=True) == []


def test_RMT_037_deletion_by_id_needs_force_for_several_repositories(
    client: docker.DockerClient, pulled: str
) -> None:
    image = client.images.get(pulled)
    image.tag("mine", "1")
    with pytest.raises(APIError, match=r"\(must be forced\) - image is referenced in multiple repositories"):
        client.images.remove(image.id)
    client.images.remove(image.id, force=True)
    assert client.images.list() == []


def test_RMT_038_prune_removes_images_without_names(
    client: docker.DockerClient, registry: FakeRegistry, pulled: str
) -> None:
    old = client.images.get(pulled)
    registry.reset()
    registry.add_image("alice/app:1.0", files={"etc/motd": "new"})
    client.images.pull(pulled)
    client.images.remove(old.attrs["RepoDigests"][0])
    assert client.images.prune()["SpaceReclaimed"] == 0
    found = client.images.prune(filters={"dangling": False})
    assert found["SpaceReclaimed"] > 0
    assert client.images.list() == []


def test_RMT_047_an_archive_keeps_ids_and_layers(client: docker.DockerClient, pulled: str) -> None:
    image = client.images.get(pulled)
    data = b"".join(image.save(named=True))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert manifest[0]["RepoTags"] == [pulled]
    client.images.remove(image.id, force=True)
    (loaded,) = client.images.load(data)
    assert loaded.attrs["RootFS"] == image.attrs["RootFS"]
    assert (loaded.id, loaded.tags) == (image.id, [pulled])


def test_an_archive_that_is_none_is_an_error_in_the_stream(client: docker.DockerClient) -> None:
    with pytest.raises(docker.errors.ImageLoadError, match="the archive cannot be loaded"):
        client.images.load(b"nothing" * 1000)


def test_RMT_047_several_images_are_saved_in_one_archive(
    client: docker.DockerClient, registry: FakeRegistry, pulled: str
) -> None:
    registry.add_image("alice/other", files={"x": "y"})
    other = f"{registry.host}/alice/other:latest"
    client.images.pull(other)
    url = client.api._url("/images/get")
    data = client.api.get(url, params={"names": [pulled, other]}).content
    ids = {client.images.get(name).id for name in (pulled, other)}
    for name in (pulled, other):
        client.images.remove(name)
    assert {image.id for image in client.images.load(data)} == ids
