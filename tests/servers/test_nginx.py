"""``serve`` behind a real nginx with the configuration of examples/servers/nginx.conf."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from support.crowds import PING_S, many_files
from support.engine_client import Image, in_pieces, make_image, random_layer
from support.nginx import Nginx, started_nginx
from support.programs import Program
from support.raw_connection import RawConnection, request_bytes
from support.sent_layers import check_answers
from support.wsgi_servers import SERVE

pytestmark = pytest.mark.real

LAYER = random_layer(3_000_000, "nginx")


@dataclass
class Front:
    """nginx with a registry behind."""

    nginx: Nginx
    registry: Program
    storage: Path

    @property
    def session(self) -> requests.Session:
        return self.nginx.session

    @property
    def url(self) -> str:
        return self.nginx.url

    def push(self, name: str) -> Image:
        """Push an image through nginx, the layer chunked."""
        image = make_image(LAYER, name=name)
        base = f"{self.url}/v1/images/{image.image_id}"
        sums = {"X-Docker-Checksum-Payload": image.payload_checksum}
        for answer in (
            self.session.put(f"{self.url}/v1/repositories/nginx/{name}/", json=[{"id": image.image_id}]),
            self.session.put(f"{base}/json", data=image.json),
            self.session.put(f"{base}/layer", data=in_pieces(image.layer)),
            self.session.put(f"{base}/checksum", headers=sums),
            self.session.put(f"{self.url}/v1/repositories/nginx/{name}/tags/latest", json=image.image_id),
        ):
            assert answer.status_code == 200, answer.text
        return image

    def ping_from(self, address: str) -> int:
        """Return the status of a ping through nginx that comes from another address of this machine."""
        with secure(self, address) as connection:
            connection.send("GET", "/v1/_ping", {"Connection": "close"})
            return connection.read_answer("GET").status


@pytest.fixture(params=["", "/layers"], ids=["by the registry", "by nginx"])
def front(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Front]:
    """nginx and serve; layers are sent by one or the other."""
    storage = tmp_path / "registry"
    settings = {"V1REGISTRY_TRUSTED_PROXIES": "127.0.0.1", "V1REGISTRY_X_ACCEL_REDIRECT": request.param}
    with contextlib.ExitStack() as stack:
        stack.enter_context(many_files())
        registry = stack.enter_context(SERVE.start(tmp_path / "server", storage, settings=settings).program)
        replaced = {
            "127.0.0.1:5000;": f"127.0.0.1:{registry.port};",
            "client_body_timeout 30s;": "client_body_timeout 2s;",
            "alias /srv/registry/;": f"alias {storage}/;",
        }
        nginx = stack.enter_context(started_nginx("nginx.conf", tmp_path / "nginx", replaced))
        yield Front(nginx, registry, storage)


def test_images_are_pushed_and_pulled_through_nginx(front: Front) -> None:
    image = front.push("whole")
    layer = f"{front.url}/v1/images/{image.image_id}/layer"

    assert front.session.get(layer).content == LAYER
    resumed = front.session.get(layer, headers={"Range": "bytes=1000-"})
    assert (resumed.status_code, resumed.content) == (206, LAYER[1000:])
    listed = front.session.get(
        f"{front.url}/v1/repositories/nginx/whole/images", headers={"X-Docker-Token": "true"}
    )
    assert listed.headers["X-Docker-Endpoints"] == f"localhost:{front.nginx.port}"
    assert "X-Docker-Token" in list(listed.headers)


def test_answers_about_a_layer_are_those_of_the_registry(front: Front) -> None:
    image = front.push("answers")

    url = f"{front.url}/v1/images/{image.image_id}/layer"
    check_answers(front.session, url, LAYER, is_public=True)
    several = front.session.get(url, headers={"Range": "bytes=0-1,5-6"})
    assert (several.status_code, several.content) == (200, LAYER)
    direct = requests.get(f"http://127.0.0.1:{front.registry.port}/v1/_ping", timeout=PING_S)
    version = direct.headers["X-Docker-Registry-Version"]
    answer = front.session.get(url, headers={"Range": "bytes=0-9"})
    assert answer.headers["X-Docker-Registry-Version"] == version
    assert len(answer.headers["X-Request-Id"]) == 32


def test_answers_about_a_blob_are_those_of_the_registry(front: Front) -> None:
    digest = f"sha256:{hashlib.sha256(LAYER).hexdigest()}"
    uploads = f"{front.url}/v2/nginx/blobs/blobs/uploads/"
    assert front.session.post(uploads, params={"digest": digest}, data=LAYER).status_code == 201

    url = f"{front.url}/v2/nginx/blobs/blobs/{digest}"
    check_answers(front.session, url, LAYER, is_public=True)
    assert front.session.get(url).headers["Docker-Content-Digest"] == digest


def test_layers_are_not_read_past_the_registry(front: Front) -> None:
    image = front.push("past")
    assert front.session.get(f"{front.url}/layers/images/{image.image_id}/layer").status_code == 404


def test_documents_beyond_the_limit_are_413(front: Front) -> None:
    answer = front.session.put(f"{front.url}/v1/repositories/nginx/large/", data=b" " * (17 << 20))
    assert answer.status_code == 413


def test_bodies_of_one_address_are_bounded_and_timed(front: Front) -> None:
    form = request_bytes("PUT", "/v1/repositories/a/b/", {"Content-Length": "60000"}, b"[")
    statuses = []
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(secure(front)) for _ in range(40)]
        for client in clients:
            client.socket.sendall(form)
        assert front.ping_from("127.0.0.2") == 200
        for client in clients:
            with contextlib.suppress(EOFError, ConnectionError):
                statuses.append(client.read_answer("PUT").status)
    assert statuses.count(503) == 24, "16 bodies of one address are received at once"
    assert set(statuses) <= {503, 408}, "the others are given up, and the registry sees none"


@contextlib.contextmanager
def secure(front: Front, address: str = "127.0.0.1") -> Iterator[RawConnection]:
    """Open a TLS connection to nginx from an address of this machine."""
    context = ssl.create_default_context(cafile=str(front.nginx.ca_file))
    with (
        socket.create_connection(("127.0.0.1", front.nginx.port), PING_S, (address, 0)) as plain,
        RawConnection(context.wrap_socket(plain, server_hostname="localhost")) as connection,
    ):
        yield connection
