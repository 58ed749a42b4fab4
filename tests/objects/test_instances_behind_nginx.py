"""Three instances over one Ceph behind nginx: one is killed in the middle of a push, and clients go on.

The settings, the commands and the configuration of nginx are those of docs/operating.md, with accounts and
PostgreSQL. The addresses are different, and Ceph and PostgreSQL have no TLS.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from support.documents import block
from support.engine_client import PIECE_BYTES, Image, in_pieces, make_image, random_layer
from support.nginx import Nginx, started_nginx
from support.object_stores import ObjectStore
from support.postgres import Postgres, own_server
from support.programs import Program, environment_of, eventually, free_port
from support.push_requests import PushRequest, announcement, checksum_of, end_of, json_of, layer_of, tag_of
from support.v2_client import CONFIG_TYPES, LAYER_TYPE, OCI_MANIFEST, descriptor_of, digest_of, dumped

pytestmark = [pytest.mark.real, pytest.mark.process]

INSTANCES = 3
LAYER = random_layer(3_000_000, "instances")
REPOSITORY = "team/app"
USER, PASSWORD = "mira", "s3cret-one"
UPLOADS = f"/v2/{REPOSITORY}/blobs/uploads/"


class Cluster:
    """Instances with the settings of the documents, and nginx in front of them.

    :param replaced: a line of the settings -> what is there in the test.
    """

    def __init__(self, folder: Path, replaced: dict[str, str]):
        self._folder, self._replaced = folder, replaced
        self.nginx: Nginx
        assert "all that they name works" in self.run("check-config")
        self.run("reindex")
        self.run("user", "add", USER, "--administrator", "--password-stdin", stdin=f"{PASSWORD}\n")
        self.instances = [self._start() for _ in range(INSTANCES)]
        self._ports = [program.port for program in self.instances]

    def _settings(self, port: int = 0) -> str:
        """Write the settings of an instance; return the path."""
        text = block("instances")
        for before, after in {**self._replaced, "port = 5000": f"port = {port}"}.items():
            assert f"{before}\n" in text, f"the settings do not have {before!r}"
            text = text.replace(f"{before}\n", f"{after}\n")
        path = self._folder / f"{port}.ini"
        path.write_text(text, "utf-8")
        return str(path)

    def _start(self, port: int = 0) -> Program:
        return Program(["v1registry", "serve", "--config", self._settings(port)], folder=self._folder)

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a command with the settings; return what it printed."""
        done = subprocess.run(
            ["v1registry", *command, "--config", self._settings()],
            cwd=self._folder,
            env=environment_of(self._folder),
            input=stdin,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def replaced(self) -> dict[str, str]:
        """The addresses of the example, and those of the instances."""
        return {
            f"10.0.0.1{number}:5000": f"127.0.0.1:{port}" for number, port in enumerate(self._ports, start=1)
        }

    @property
    def bases(self) -> list[str]:
        """The URLs of nginx and of each instance."""
        return [self.nginx.url, *(program.url for program in self.instances)]

    def start_again(self) -> None:
        """Start the instances that were ended."""
        running = {program.port for program in self.instances}
        self.instances += [self._start(port) for port in self._ports if port not in running]

    def end(self) -> None:
        for program in self.instances:
            program.kill()

    def ask(self, method: str, path: str, **arguments: Any) -> requests.Response:
        url = path if path.startswith("https:") else f"{self.nginx.url}{path}"
        return self.nginx.session.request(method, url, timeout=60, **arguments)

    def send(self, request: PushRequest) -> requests.Response:
        """Make a request of a push of v1."""
        return self.ask(request.method, request.path, headers=request.headers, data=request.body)

    def push(self, image: Image) -> None:
        """Push an image through v1, as an engine does again after an error."""
        assert self.send(announcement(REPOSITORY, [image.image_id])).status_code == 200
        for request in (json_of(image), layer_of(image), checksum_of(image)):
            answer = self.send(request)
            assert answer.status_code == 200, answer.text
        assert self.send(tag_of(REPOSITORY, "latest", image.image_id)).status_code == 200
        assert self.send(end_of(REPOSITORY, image)).status_code == 204

    def broken_by_a_kill(self, data: bytes) -> Iterator[bytes]:
        """Return the pieces of a body. After half of them, the instance that reads it is killed."""
        before = {program.port: connections_of(program) for program in self.instances}

        def has_reader() -> bool:
            readers[:] = [
                program for program in self.instances if connections_of(program) > before[program.port]
            ]
            return len(readers) == 1

        def pieces() -> Iterator[bytes]:
            all_pieces = list(in_pieces(data))
            yield from all_pieces[: len(all_pieces) // 2]
            eventually(has_reader, "one instance reads the body")
            self.instances.remove(readers[0])
            readers[0].kill()
            yield from all_pieces[len(all_pieces) // 2 :]

        readers: list[Program] = []
        return pieces()

    def assert_served(self, path: str, data: bytes) -> None:
        """Check that every instance that is left, and nginx, answer with these bytes."""
        assert len(self.instances) == INSTANCES - 1
        for base in self.bases:
            answer = self.nginx.session.get(f"{base}{path}", timeout=60, headers={"Accept": OCI_MANIFEST})
            assert (answer.status_code, answer.content == data) == (200, True)


def connections_of(program: Program) -> int:
    """Return how many connections a server has. Source: proc(5), net/tcp."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1] == f"0100007F:{program.port:04X}" and row[3] == "01" for row in rows)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with own_server() as server:
        yield server


@pytest.fixture(scope="module")
def started(
    ceph: ObjectStore, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    port = free_port()
    settings = dict(line.split(" = ", 1) for line in block("instances").splitlines() if " = " in line)
    own = {
        "storage": ceph.url(ceph.new_bucket(), "production"),
        "search": postgres.url(postgres.new_database()),
        "public_url": f"https://localhost:{port}",
        "trusted_proxies": "127.0.0.1",
        "host": "127.0.0.1",
    }
    replaced = {f"{name} = {settings[name]}": f"{name} = {value}" for name, value in own.items()}
    with ExitStack() as stack:
        cluster = Cluster(folder, replaced)
        stack.callback(cluster.end)
        addresses = {**cluster.replaced, "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;"}
        cluster.nginx = stack.enter_context(
            started_nginx("nginx-instances.conf", folder / "nginx", addresses)
        )
        cluster.nginx.session.auth = (USER, PASSWORD)
        yield cluster


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    """All instances are running."""
    started.start_again()
    return started


def test_push_of_v1_succeeds_again_after_its_instance_was_killed(cluster: Cluster) -> None:
    image = make_image(LAYER, name="killed")
    assert cluster.send(announcement(REPOSITORY, [image.image_id])).status_code == 200
    assert cluster.send(json_of(image)).status_code == 200
    layer = f"/v1/images/{image.image_id}/layer"

    assert cluster.ask("PUT", layer, data=cluster.broken_by_a_kill(LAYER)).status_code == 502
    cluster.push(image)

    cluster.assert_served(layer, LAYER)
    cluster.assert_served(f"/v1/repositories/{REPOSITORY}/tags/latest", json.dumps(image.image_id).encode())


def test_upload_of_v2_goes_on_after_its_instance_was_killed(cluster: Cluster) -> None:
    first = LAYER[: 10 * PIECE_BYTES]
    place = cluster.ask("POST", UPLOADS).headers["Location"]
    place = cluster.ask("PATCH", place, data=first).headers["Location"]

    broken = cluster.broken_by_a_kill(LAYER[len(first) :])
    assert cluster.ask("PATCH", place, data=broken).status_code == 502
    state = cluster.ask("GET", place)
    assert (state.status_code, state.headers["Range"]) == (204, f"0-{len(first) - 1}")
    place = cluster.ask("PATCH", state.headers["Location"], data=LAYER[len(first) :]).headers["Location"]
    ended = cluster.ask("PUT", place, params={"digest": digest_of(LAYER)})

    assert ended.status_code == 201
    cluster.assert_served(f"/v2/{REPOSITORY}/blobs/{digest_of(LAYER)}", LAYER)
    manifest = put_manifest(cluster)
    cluster.assert_served(f"/v2/{REPOSITORY}/manifests/1.0", manifest)


def put_manifest(cluster: Cluster) -> bytes:
    """Push a manifest with the layer; return it."""
    diff_id = f"sha256:{hashlib.sha256(gzip.decompress(LAYER)).hexdigest()}"
    config = dumped(
        {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    )
    answer = cluster.ask("POST", UPLOADS, params={"digest": digest_of(config)}, data=config)
    assert answer.status_code == 201
    manifest = dumped(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor_of(config, CONFIG_TYPES[OCI_MANIFEST]),
            "layers": [descriptor_of(LAYER, LAYER_TYPE)],
        }
    )
    headers = {"Content-Type": OCI_MANIFEST}
    answer = cluster.ask("PUT", f"/v2/{REPOSITORY}/manifests/1.0", data=manifest, headers=headers)
    assert answer.status_code == 201, answer.text
    return manifest


@pytest.mark.parametrize("way", ["kill", "end"])
def test_changes_go_on_while_an_instance_is_away(cluster: Cluster, way: str) -> None:
    image = make_image(random_layer(1000, way), name=way)
    cluster.push(image)

    getattr(cluster.instances.pop(), way)()

    for number in range(12):
        assert cluster.send(tag_of(REPOSITORY, f"v{number}", image.image_id)).status_code == 200
        assert cluster.ask("GET", f"/v1/repositories/{REPOSITORY}/tags/v{number}").json() == image.image_id


def test_every_instance_finds_what_one_of_them_got(cluster: Cluster) -> None:
    cluster.push(make_image(random_layer(1000, "found"), name="found"))
    for base in cluster.bases:
        found = cluster.nginx.session.get(f"{base}/v1/search", params={"q": "app"}, timeout=60).json()
        assert [entry["name"] for entry in found["results"]] == [REPOSITORY]


def test_client_without_password_is_rejected(cluster: Cluster) -> None:
    url = f"{cluster.nginx.url}/v1/repositories/{REPOSITORY}/"
    answer = requests.put(url, json=[], verify=str(cluster.nginx.ca_file), timeout=60)
    assert answer.status_code == 401
