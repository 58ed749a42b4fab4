"""Real clients of the distribution API and ``v1registry serve``: each pulls what each has pushed.

Images of v1 are pulled by all of them, and what they push is pulled through v1 with equal layers.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import requests
from support.engine_client import EngineClient, make_chain, random_layer
from support.oci_clients import Docker, OciClient, Skopeo, all_clients
from support.old_data import SAMPLE, tree
from support.saved_images import image_of, layers_in, saved_image
from support.wsgi_servers import SERVE, RunningServer

from v1registry.cli.main import main

pytestmark = pytest.mark.real

NAMES = ("skopeo", "podman", "buildah", "docker", "ctr")
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.oci.image.index.v1+json"
)


@pytest.fixture(scope="module")
def short_folder() -> Iterator[Path]:
    """A folder with a short name: podman and sockets take few characters."""
    with tempfile.TemporaryDirectory(prefix="v1-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def clients(short_folder: Path) -> Iterator[dict[str, OciClient]]:
    with all_clients(short_folder) as found:
        for client in found:
            archive = short_folder / f"{client.name}.tar"
            archive.write_bytes(saved_image(client.name))
            client.load(archive, image_of(client.name))
        yield {client.name: client for client in found}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("served")
    running = SERVE.start(folder, folder / "registry", settings={"V1REGISTRY_V2": "on"})
    with running.program:
        yield running


def manifest_of(server: RunningServer, repository: str, tag: str) -> dict[str, object]:
    answer = requests.get(
        f"{server.program.url}/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFESTS}, timeout=30
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def config_of(manifest: dict[str, object]) -> str:
    config = manifest["config"]
    assert isinstance(config, dict)
    return str(config["digest"]).removeprefix("sha256:")


def layers_of(manifest: dict[str, object]) -> list[str]:
    layers = manifest["layers"]
    assert isinstance(layers, list)
    return [layer["digest"] for layer in layers]


def v1_layers(server: RunningServer, repository: str, tag: str) -> Sequence[bytes]:
    """Return the layers that v1 serves of a tag, the lowest first."""
    url = server.program.url
    image_id = requests.get(f"{url}/v1/repositories/{repository}/tags/{tag}", timeout=30).json()
    ancestry = requests.get(f"{url}/v1/images/{image_id}/ancestry", timeout=30).json()
    return [requests.get(f"{url}/v1/images/{each}/layer", timeout=30).content for each in reversed(ancestry)]


@pytest.mark.parametrize("name", NAMES)
def test_every_client_pulls_what_one_has_pushed(
    served: RunningServer, clients: dict[str, OciClient], name: str
) -> None:
    reference = f"{served.program.host}/team/by-{name}:1"
    clients[name].push(image_of(name), reference)
    manifest = manifest_of(served, f"team/by-{name}", "1")
    for client in clients.values():
        assert client.pull(reference) == config_of(manifest), client.name
    pushed = [
        f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in v1_layers(served, f"team/by-{name}", "1")
    ]
    assert pushed == layers_of(manifest)


@pytest.mark.parametrize("name", NAMES)
def test_v1registry_pulls_through_v1_what_each_client_has_pushed(
    served: RunningServer, clients: dict[str, OciClient], tmp_path: Path, name: str
) -> None:
    reference = f"{served.program.host}/team/saved-{name}:1"
    clients[name].push(image_of(name), reference)
    assert main(["pull", "--api", "v1", reference, "-o", str(tmp_path / "image.tar"), "--quiet"]) == 0
    with tarfile.open(tmp_path / "image.tar") as archive:
        (saved,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        layers = [archive.extractfile(layer).read() for layer in saved["Layers"]]  # type: ignore[union-attr]
    assert layers == layers_in(name)


@pytest.mark.parametrize("name", NAMES)
def test_second_push_changes_nothing(served: RunningServer, clients: dict[str, OciClient], name: str) -> None:
    reference = f"{served.program.host}/team/again-{name}:1"
    clients[name].push(image_of(name), reference)
    first = manifest_of(served, f"team/again-{name}", "1")
    clients[name].push(image_of(name), reference)
    assert manifest_of(served, f"team/again-{name}", "1") == first


def test_every_client_pulls_an_image_of_v1(served: RunningServer, clients: dict[str, OciClient]) -> None:
    chain = make_chain((random_layer(1000, f"real {n}") for n in range(3)), name="real")
    served.client().push("old/image", chain)
    manifest = manifest_of(served, "old/image", "latest")
    digests = {client.pull(f"{served.program.host}/old/image:latest") for client in clients.values()}
    assert digests == {config_of(manifest)}
    # make_chain has the root first, as a manifest
    assert layers_of(manifest) == [f"sha256:{hashlib.sha256(image.layer).hexdigest()}" for image in chain]


def test_docker_mounts_the_layers_of_another_repository(
    served: RunningServer, clients: dict[str, OciClient]
) -> None:
    docker, host = clients["docker"], served.program.host
    assert isinstance(docker, Docker)
    docker.push(image_of("docker"), f"{host}/mount/source:1")
    told = docker.push_loudly(image_of("docker"), f"{host}/mount/target:1")
    assert told.count("Mounted from ") == 2
    assert manifest_of(served, "mount/target", "1") == manifest_of(served, "mount/source", "1")


@pytest.mark.parametrize("name", ["skopeo", "docker"])
def test_folder_of_docker_registry_is_pulled_and_unchanged(
    clients: dict[str, OciClient], tmp_path: Path, name: str
) -> None:
    folder = Path(shutil.copytree(SAMPLE, tmp_path / "registry"))
    before = tree(folder)
    running = SERVE.start(tmp_path / "server", folder, settings={"V1REGISTRY_V2": "on"})
    with running.program:
        for repository, tag in (("library/busybox", "latest"), ("library/busybox", "1.0"), ("foo/bar", "v1")):
            pulled = clients[name].pull(f"{running.program.host}/{repository}:{tag}")
            assert pulled == config_of(manifest_of(running, repository, tag))
    after = tree(folder)
    assert {path: after.get(path) for path in before} == before


def test_skopeo_lists_copies_and_deletes(served: RunningServer, clients: dict[str, OciClient]) -> None:
    skopeo, host = clients["skopeo"], served.program.host
    assert isinstance(skopeo, Skopeo)
    for tag in ("1", "2"):
        skopeo.push(image_of("skopeo"), f"{host}/team/listed:{tag}")
    assert skopeo.tags(f"{host}/team/listed") == ["1", "2"]
    skopeo.copy(f"{host}/team/listed:1", f"{host}/other/copy:1")
    assert (
        skopeo.inspect(f"{host}/other/copy:1")["Layers"] == skopeo.inspect(f"{host}/team/listed:1")["Layers"]
    )
    skopeo.delete(f"{host}/team/listed:1")
    answer = requests.get(f"{served.program.url}/v2/team/listed/tags/list", timeout=30)
    assert answer.json() == {"name": "team/listed", "tags": []}


# -- with accounts


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with the account alice, and a private repository of hers."""
    folder = tmp_path_factory.mktemp("guarded")
    settings = {"V1REGISTRY_V2": "on", "V1REGISTRY_AUTH": "users:"}
    running = SERVE.start(folder, folder / "registry", settings=settings)
    with running.program:
        url = running.program.url
        account = {"username": "alice", "password": "s3cret-one", "email": "alice@example.org"}
        assert requests.post(f"{url}/v1/users/", json=account, timeout=30).status_code == 201
        user = ("alice", "s3cret-one")
        for name in NAMES:
            path = f"{url}/v1/repositories/alice/private-{name}"
            assert requests.put(f"{path}/", json=[], auth=user, timeout=30).status_code == 200
            answer = requests.put(f"{path}/properties", json={"access": "private"}, auth=user, timeout=30)
            assert answer.status_code == 200, answer.text
        yield running


@pytest.mark.parametrize("name", NAMES)
def test_private_repository_needs_the_right_password(
    guarded: RunningServer, clients: dict[str, OciClient], name: str
) -> None:
    client, host = clients[name], guarded.program.host
    reference = f"{host}/alice/private-{name}:1"
    client.pull(reference, is_right=False)
    client.login(host, "alice", "not it", is_right=False)
    client.pull(reference, is_right=False)
    client.login(host, "alice", "s3cret-one", is_right=True)
    client.push(image_of(name), reference)
    assert len(client.pull(reference)) == 64


def test_public_repository_is_pulled_without_log_in(
    guarded: RunningServer, clients: dict[str, OciClient]
) -> None:
    chain = make_chain((random_layer(1000, f"public {n}") for n in range(2)), name="public")
    EngineClient(guarded.program.host, login="alice:s3cret-one").push("alice/public", chain)
    digests = {client.pull(f"{guarded.program.host}/alice/public:latest") for client in clients.values()}
    assert len(digests) == 1
