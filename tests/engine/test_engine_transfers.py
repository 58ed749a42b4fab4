"""Pull, push, import, search and log-in of the engine, with a fake registry."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import docker
import pytest
from docker.errors import APIError, NotFound
from v1registry_fakes import FakeRegistry
from v1registry_fakes.engine import FakeEngine


def pull(client: docker.DockerClient, name: str) -> list[dict[str, Any]]:
    """Pull an image and return the messages."""
    return list(client.api.pull(name, stream=True, decode=True))


def test_RMT_040_a_pull_keeps_the_config_and_names_the_digest(
    client: docker.DockerClient, registry: FakeRegistry
) -> None:
    pushed = registry.add_image("alice/app:1.0", files={"etc/motd": "hello"}, api="v2")
    name = f"{registry.host}/alice/app:1.0"

    messages = pull(client, name)

    image = client.images.get(name)
    assert image.id == pushed.json["config"]["digest"]
    assert image.attrs["RepoDigests"] == [f"{registry.host}/alice/app@{pushed.digest}"]
    statuses = [message["status"] for message in messages]
    assert statuses[0] == "Pulling from alice/app"
    assert statuses[-2:] == [f"Digest: {pushed.digest}", f"Status: Downloaded newer image for {name}"]
    assert {"Downloading", "Download complete", "Pull complete"} <= set(statuses)
    assert pull(client, name)[-1]["status"] == f"Status: Image is up to date for {name}"


def test_RMT_040_names_without_a_host_come_from_a_mirror(registry: FakeRegistry) -> None:
    registry.add_image("library/busybox", files={"bin/sh": "x"})
    with FakeEngine(mirrors={"docker.io": registry.url}) as engine:
        client = docker.DockerClient(base_url=engine.url)
        assert client.images.pull("busybox").tags == ["busybox:latest"]
        client.close()


def test_RMT_040_all_tags_of_a_repository_are_pulled(
    client: docker.DockerClient, registry: FakeRegistry
) -> None:
    for tag in ("1", "2"):
        registry.add_image(f"alice/app:{tag}", files={"version": tag})
    images = client.images.pull(f"{registry.host}/alice/app", all_tags=True)
    assert sorted(tag for image in images for tag in image.tags) == [
        f"{registry.host}/alice/app:1",
        f"{registry.host}/alice/app:2",
    ]


def test_RMT_042_a_pull_that_fails_at_once_has_a_status(
    client: docker.DockerClient, registry: FakeRegistry
) -> None:
    with pytest.raises(NotFound, match=f"manifest for {registry.host}/alice/none:1 not found"):
        pull(client, f"{registry.host}/alice/none:1")
    with pytest.raises(APIError, match="/v2/") as refused:
        pull(client, "127.0.0.1:1/alice/app:1")
    assert refused.value.status_code == 500
    assert client.images.list(all=True) == []


def test_RMT_042_a_pull_without_rights_is_404(client: docker.DockerClient) -> None:
    with FakeRegistry(auth="users:") as registry:
        registry.add_user("alice", "secret")
        registry.add_image("alice/app:1")
        registry.add_repository("alice/secret", is_private=True)
        with pytest.raises(NotFound, match=r"pull access denied for|manifest for"):
            pull(client, f"{registry.host}/alice/secret:1")


def test_RMT_042_a_pull_that_breaks_off_is_an_error_in_the_stream(
    client: docker.DockerClient, registry: FakeRegistry
) -> None:
    registry.add_image("alice/app:1", api="v2")
    registry.fail("GET", "*/blobs/*", api="v2", after=1, status=403)
    messages = pull(client, f"{registry.host}/alice/app:1")
    assert messages[0]["status"] == "Pulling from alice/app"
    assert messages[-1]["errorDetail"]["message"] == messages[-1]["error"]
    assert client.images.list(all=True) == []


def test_RMT_043_a_push_sends_an_image_with_equal_layers(
    client: docker.DockerClient, registry: FakeRegistry
) -> None:
    registry.add_image("alice/app:1.0", files={"etc/motd": "hello"}, layers=2, api="v2")
    image = client.images.pull(f"{registry.host}/alice/app", "1.0")
    image.tag(f"{registry.host}/bob/copy", "2")

    messages = list(client.api.push(f"{registry.host}/bob/copy", "2", stream=True, decode=True))

    assert messages[0]["status"] == f"The push refers to repository [{registry.host}/bob/copy]"
    aux = messages[-1]["aux"]
    assert aux["Tag"] == "2"
    pushed = registry.manifest("bob/copy:2")
    assert pushed.digest == aux["Digest"]
    assert pushed.config["rootfs"]["diff_ids"] == image.attrs["RootFS"]["Layers"]
    assert pushed.json["config"]["digest"] == image.id


def test_RMT_043_a_push_of_a_missing_tag_fails_in_the_stream(
    client: docker.DockerClient, registry: FakeRegistry
) -> None:
    name = f"{registry.host}/bob/none"
    last = client.api.push(name, "2").splitlines()[-1]
    assert f"An image does not exist locally with the tag: {name}" in last


def test_RMT_044_import_applies_changes(client: docker.DockerClient) -> None:
    changes = ['CMD ["a"]', 'ENV A=1 B="2 3"', "ENV C 4 5", "LABEL a=b", "EXPOSE 80 90/udp", "VOLUME /x /y"]
    changes += ["USER me", "WORKDIR /srv", "ONBUILD RUN x", "ENTRYPOINT run it"]
    changes += ["HEALTHCHECK --interval=5s --retries=2 CMD look"]
    client.api.import_image_from_data(b"", repository="mine", tag="1", changes=changes)
    settings = client.images.get("mine:1").attrs["Config"]
    assert settings["Cmd"] == ["a"]
    assert settings["Entrypoint"] == ["/bin/sh", "-c", "run it"]
    assert settings["Env"] == ["A=1", "B=2 3", "C=4 5"]
    assert settings["Labels"] == {"a": "b"}
    assert sorted(settings["ExposedPorts"]) == ["80/tcp", "90/udp"]
    assert sorted(settings["Volumes"]) == ["/x", "/y"]
    assert (settings["User"], settings["WorkingDir"], settings["OnBuild"]) == ("me", "/srv", ["RUN x"])
    assert settings["Healthcheck"] == {"Interval": 5_000_000_000, "Retries": 2, "Test": ["CMD-SHELL", "look"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("STOPSIGNAL 9", "stopsignal is not a valid change command"),
        ("RUN x", "run is not a valid change command"),
        ('CMD ["a', "invalid change"),
        ("HEALTHCHECK x", "unknown type 'X' in HEALTHCHECK"),
        ("HEALTHCHECK --interval=x CMD y", "must be seconds"),
        ("HEALTHCHECK --x=1s CMD y", "unknown flag: --x"),
        ('LABEL a="b', "invalid change"),
    ],
)
def test_RMT_044_an_invalid_change_is_400(client: docker.DockerClient, change: str, message: str) -> None:
    with pytest.raises(APIError, match=message):
        client.api.import_image_from_data(b"", changes=[change])


def test_RMT_044_import_makes_an_image_of_one_layer(client: docker.DockerClient) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    client.api.import_image_from_data(archive.getvalue(), repository="mine", tag="1")
    image = client.images.get("mine:1")
    assert len(image.attrs["RootFS"]["Layers"]) == 1
    assert image.history()[0]["Comment"] == "Imported from -"


def test_RMT_045_search_asks_the_registry_of_the_term(
    client: docker.DockerClient, registry: FakeRegistry
) -> None:
    for name in ("alice/app", "alice/other"):
        registry.add_image(name)
    assert [hit["name"] for hit in client.images.search(f"{registry.host}/other")] == ["alice/other"]
    with pytest.raises(APIError, match=r"outside the range of \[1, 100\]"):
        client.images.search(f"{registry.host}/other", limit=101)


def test_RMT_046_auth_tells_right_from_wrong_credentials(client: docker.DockerClient) -> None:
    with FakeRegistry(auth="users:") as registry:
        registry.add_user("alice", "secret")
        assert client.login("alice", "secret", registry=registry.url)["Status"] == "Login Succeeded"
        with pytest.raises(APIError, match="unauthorized") as refused:
            client.login("alice", "wrong", registry=registry.url, reauth=True)
    assert refused.value.status_code == 401


def test_RMT_041_RMT_048_an_old_engine_speaks_v1_alone(registry: FakeRegistry) -> None:
    registry.add_image("alice/app:1.0", files={"etc/motd": "hello"}, layers=2)
    with FakeEngine(version="1.12.6", api="v1") as engine:
        client = docker.DockerClient(base_url=engine.url, version="1.24")
        image = client.images.pull(f"{registry.host}/alice/app", "1.0")
        image.tag(f"{registry.host}/bob/copy", "2")
        client.api.push(f"{registry.host}/bob/copy", "2")
        client.close()
    assert not registry.requests.matching(path="/v2/*")
    assert len(registry.image("bob/copy:2").ancestry) == 2
    # the id that engines make of the images of v1 is the one by which /v2/ shows them
    assert registry.manifest("alice/app:1.0").json["config"]["digest"] == image.id
