"""``serve`` behind a real lighttpd, which sends layers by ``X-Sendfile`` (examples/servers/lighttpd.conf)."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from support.cheap_passwords import CheapPasswords
from support.engine_client import Image, in_pieces, make_image, random_layer
from support.programs import EXAMPLES, Program
from support.sent_layers import check_answers
from support.wsgi_servers import SERVE

from v1registry import FileStorage
from v1registry.accounts.users import UserStore

pytestmark = pytest.mark.real

LIGHTTPD = shutil.which("lighttpd", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")

LAYER = random_layer(300_000, "lighttpd")


@dataclass
class Front:
    """lighttpd with a registry behind that has accounts."""

    url: str
    session: requests.Session  #: of the user
    storage: Path

    def push(self) -> Image:
        """Push an image to a private repository, the layer chunked."""
        image = make_image(LAYER, name="lighttpd")
        base, repository = f"{self.url}/v1/images/{image.image_id}", f"{self.url}/v1/repositories/mira/app"
        sums = {"X-Docker-Checksum-Payload": image.payload_checksum}
        for answer in (
            self.session.put(f"{repository}/", json=[{"id": image.image_id}]),
            self.session.put(f"{repository}/properties", json={"access": "private"}),
            self.session.put(f"{base}/json", data=image.json),
            self.session.put(f"{base}/layer", data=in_pieces(image.layer)),
            self.session.put(f"{base}/checksum", headers=sums),
            self.session.put(f"{repository}/tags/latest", json=image.image_id),
        ):
            assert answer.status_code == 200, answer.text
        return image


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    assert LIGHTTPD is not None, "needs lighttpd: apt-get install lighttpd"
    storage, folder = tmp_path / "registry", tmp_path / "lighttpd"
    folder.mkdir()
    UserStore(FileStorage(storage), passwords=CheapPasswords()).create("mira", "pw-mira", "mira@example.org")
    settings = {
        "V1REGISTRY_AUTH": "users:",
        "V1REGISTRY_TRUSTED_PROXIES": "127.0.0.1",
        "V1REGISTRY_X_SENDFILE": "yes",
    }
    with contextlib.ExitStack() as stack:
        registry = stack.enter_context(SERVE.start(tmp_path / "server", storage, settings=settings).program)
        text = (EXAMPLES / "servers" / "lighttpd.conf").read_text()
        for before, after in (
            ("server.port = 8080", f'server.bind = "127.0.0.1"\nserver.port = {free_port()}'),
            ('"port" => 5000', f'"port" => {registry.port}'),
            ('"/var/empty"', f'"{folder}"'),
            ('"/srv/registry/images", "/srv/registry/blobs"', f'"{storage}/images", "{storage}/blobs"'),
        ):
            assert before in text
            text = text.replace(before, after)
        (folder / "lighttpd.conf").write_text(text)
        lighttpd = stack.enter_context(
            Program([LIGHTTPD, "-D", "-f", str(folder / "lighttpd.conf")], folder=folder)
        )
        session = stack.enter_context(requests.Session())
        session.trust_env = False
        session.auth = ("mira", "pw-mira")
        yield Front(f"http://127.0.0.1:{lighttpd.port}", session, storage)


def free_port() -> int:
    """Return a port that is free now: lighttpd cannot choose one."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


# lighttpd adds the time of the file, and drops times from requests


def test_answers_about_a_private_layer_are_those_of_the_registry(front: Front) -> None:
    image = front.push()
    check_answers(
        front.session, f"{front.url}/v1/images/{image.image_id}/layer", LAYER, is_public=False, is_dated=True
    )


def test_private_layer_is_sent_to_its_user_alone(front: Front) -> None:
    image = front.push()
    layer = f"{front.url}/v1/images/{image.image_id}/layer"
    stranger = requests.get(layer, timeout=30)
    assert (stranger.status_code, LAYER in stranger.content) == (401, False)


def test_answers_about_a_private_blob_are_those_of_the_registry(front: Front) -> None:
    digest = f"sha256:{hashlib.sha256(LAYER).hexdigest()}"
    uploads = f"{front.url}/v2/mira/app/blobs/uploads/"
    assert front.session.post(uploads, params={"digest": digest}, data=LAYER).status_code == 201
    check_answers(
        front.session, f"{front.url}/v2/mira/app/blobs/{digest}", LAYER, is_public=False, is_dated=True
    )
