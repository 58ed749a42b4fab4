"""Real clients push and pull over Ceph, with and without redirects of layers and blobs to the store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from support.engine_client import make_image, random_layer
from support.object_stores import ObjectStore
from support.oci_clients import OciClient, all_clients
from support.programs import Program
from support.saved_images import image_of, saved_image
from support.wsgi_client import Client

from v1registry import Registry

pytestmark = [pytest.mark.real, pytest.mark.process]

NAMES = ("skopeo", "podman", "buildah", "docker", "ctr")


@pytest.fixture(scope="module")
def clients() -> Iterator[dict[str, OciClient]]:
    # podman and sockets take few characters
    with (
        tempfile.TemporaryDirectory(prefix="v1-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        all_clients(Path(folder)) as found,
    ):
        for client in found:
            archive = Path(folder) / f"{client.name}.tar"
            archive.write_bytes(saved_image(client.name, random_bytes=50_000))
            client.load(archive, image_of(client.name))
        yield {client.name: client for client in found}


@pytest.fixture(scope="module", params=["no", "yes"])
def served(
    request: pytest.FixtureRequest, ceph: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """``serve`` with two workers; the parameter is the setting store_redirect."""
    url = ceph.url(ceph.new_bucket(), "registry")
    with Program(
        ["v1registry", "serve", "--port", "0", "--workers", "2"],
        folder=tmp_path_factory.mktemp("served"),
        environment={"V1REGISTRY_STORAGE": url, "V1REGISTRY_STORE_REDIRECT": request.param},
    ) as program:
        yield program


@pytest.mark.parametrize("name", NAMES)
def test_every_client_pulls_what_one_has_pushed(
    served: Program, clients: dict[str, OciClient], name: str
) -> None:
    reference = f"{served.host}/clients/{name}:1"
    clients[name].push(image_of(name), reference)
    assert len({client.pull(reference) for client in clients.values()}) == 1


def test_layer_of_v1_arrives_through_the_redirect(ceph: ObjectStore) -> None:
    image = make_image(random_layer(100_000, "redirected"), name="redirected")
    url = ceph.url(ceph.new_bucket())
    Client(Registry(storage=url)).push(image)
    answer = Client(Registry(storage=url, store_redirect=True)).get(f"/v1/images/{image.image_id}/layer")
    got = requests.get(answer.headers["Location"], timeout=60)
    assert (got.status_code, got.content) == (200, image.layer)
