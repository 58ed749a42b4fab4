"""What differs between versions of the API and releases."""

from __future__ import annotations

import docker
import pytest
from v1registry_fakes.engine import FakeEngine
from webtest import TestApp


@pytest.mark.parametrize(("release", "text"), [("20.10.24", "Invalid"), ("27.3.1", "invalid")])
@pytest.mark.parametrize("path", ["images/json", "containers/json", "networks", "volumes"])
def test_RMT_008_unknown_filters_are_named(path: str, release: str, text: str) -> None:
    with FakeEngine(version=release) as engine:
        answer = TestApp(engine.app).get(f"/{path}", {"filters": '{"x": ["y"]}'}, status=400)
    assert answer.json == {"message": f"{text} filter 'x'"}


@pytest.mark.parametrize(
    ("version", "missing"),
    [("1.43", []), ("1.44", ["VirtualSize"]), ("1.45", ["Container", "ContainerConfig", "VirtualSize"])],
)
def test_RMT_009_images_lose_old_keys(
    engine: FakeEngine, api: TestApp, version: str, missing: list[str]
) -> None:
    engine.add_image("alice/app")
    told = api.get(f"/v{version}/images/alice/app/json").json
    assert [key for key in ("Container", "ContainerConfig", "VirtualSize") if key not in told] == missing
    assert ("VirtualSize" in api.get(f"/v{version}/images/json").json[0]) is ("VirtualSize" not in missing)


@pytest.mark.parametrize(
    ("version", "names", "has_id"),
    [("1.43", "missing", True), ("1.44", ["web", "www", "ID"], True), ("1.45", ["web", "www", "ID"], False)],
)
def test_RMT_009_endpoints_have_the_names_of_their_version(
    api: TestApp, client: docker.DockerClient, image: str, version: str, names: object, has_id: bool
) -> None:
    network = client.networks.create("mine")
    container = client.containers.create(image, name="web")
    network.connect(container, aliases=["www"])
    told = api.get(f"/v{version}/containers/web/json").json["NetworkSettings"]["Networks"]["mine"]
    short_id = container.id[:12]
    shown = told.get("DNSNames", "missing")
    assert shown == (
        names if isinstance(names, str) else [short_id if name == "ID" else name for name in names]
    )
    assert told["Aliases"] == ["www", *([short_id] if has_id else [])]


@pytest.mark.parametrize("path", ["/etc/motd/", "/etc/motd/."])
def test_RMT_121_a_file_is_no_folder(
    api: TestApp, client: docker.DockerClient, image: str, path: str
) -> None:
    client.containers.create(image, name="web")
    answer = api.get("/v1.47/containers/web/archive", {"path": path}, status=500)
    assert answer.json == {"message": f"lstat {path}: not a directory"}
