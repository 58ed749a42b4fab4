"""``v1registry serve`` as a mirror of real registries, pulled by real clients (DST-045, DST-046)."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.engine_client import EngineClient, make_chain, tar_layer
from support.forwarding import Forwarding
from support.mirrored import blobs_of, large
from support.oci_clients import OciClient, Skopeo, all_clients, program
from support.programs import Program, eventually
from support.saved_images import image_of, layers_in, saved_image
from support.v2_client import V2Client
from support.wsgi_servers import SERVE, RunningServer
from v1registry_fakes import FakeRegistry

pytestmark = pytest.mark.real

NAME, TAG = "alice/app", "1.0"
CHAIN = make_chain((tar_layer({f"file-{n}": b"%d" % n}) for n in range(3)), name="mirrored")


@pytest.fixture(scope="module")
def short_folder() -> Iterator[Path]:
    """A folder with a short name: podman and sockets take few characters."""
    with tempfile.TemporaryDirectory(prefix="v1-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def clients(short_folder: Path) -> Iterator[list[OciClient]]:
    with all_clients(short_folder) as found:
        yield list(found)


@pytest.fixture
def mirror_of(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start a mirror with ``mirror_of(url)``; again over the same data after its end."""
    with ExitStack() as stack:

        def start(url: str, **settings: str) -> RunningServer:
            named = {f"V1REGISTRY_{name.upper()}": value for name, value in settings.items()}
            running = SERVE.start(
                tmp_path / "mirror", tmp_path / "data", settings={"V1REGISTRY_MIRROR": url, **named}
            )
            stack.enter_context(running.program)
            return running

        yield start


@pytest.fixture
def distribution(tmp_path: Path) -> Iterator[Program]:
    """An empty docker-registry 2.8."""
    config = tmp_path / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {tmp_path}/origin\n"
        "http:\n  addr: 127.0.0.1:0\n"
    )
    command = [program("docker-registry", "docker-registry"), "serve", str(config)]
    with Program(command, folder=tmp_path) as running:
        yield running


def test_DST_045_mirror_of_distribution_serves_all_clients(
    distribution: Program, mirror_of: Callable[..., RunningServer], clients: list[OciClient], tmp_path: Path
) -> None:
    skopeo = Skopeo(tmp_path / "skopeo")
    archive = tmp_path / "image.tar"
    archive.write_bytes(saved_image("one"))
    skopeo.load(archive, image_of("one"))
    skopeo.push(image_of("one"), f"{distribution.host}/{NAME}:{TAG}")
    expected = skopeo.pull(f"{distribution.host}/{NAME}:{TAG}")

    mirror = mirror_of(distribution.url)
    reference = f"{mirror.program.host}/{NAME}:{TAG}"
    for client in clients:
        assert client.pull(reference) == expected, client.name
    assert skopeo.tags(f"{mirror.program.host}/{NAME}") == [TAG]
    pulled = EngineClient(mirror.program.host).pull(NAME, TAG)
    assert [gzip.decompress(image.layer) for image in pulled] == layers_in("one")

    distribution.end()
    shutil.rmtree(tmp_path / "skopeo")
    assert Skopeo(tmp_path / "skopeo").pull(reference) == expected
    assert EngineClient(mirror.program.host).pull(NAME, TAG) == pulled


def test_DST_045_mirror_of_docker_registry_serves_all_clients(
    start: Callable[..., Program],
    mirror_of: Callable[..., RunningServer],
    clients: list[OciClient],
    tmp_path: Path,
) -> None:
    origin = start(tmp_path / "origin")
    EngineClient(origin.host).push(NAME, CHAIN, TAG)
    mirror = mirror_of(origin.url)
    assert EngineClient(mirror.program.host).pull(NAME, TAG) == list(CHAIN)
    reference = f"{mirror.program.host}/{NAME}:{TAG}"
    assert len({client.pull(reference) for client in clients}) == 1
    origin.end()
    assert EngineClient(mirror.program.host).pull(NAME, TAG) == list(CHAIN)


def test_DST_045_client_of_v2_is_the_first_to_pull_from_docker_registry(
    start: Callable[..., Program], mirror_of: Callable[..., RunningServer], tmp_path: Path
) -> None:
    origin = start(tmp_path / "origin")
    EngineClient(origin.host).push(NAME, CHAIN, TAG)
    mirror = mirror_of(origin.url)
    assert Skopeo(tmp_path / "skopeo").pull(f"{mirror.program.host}/{NAME}:{TAG}")
    assert EngineClient(mirror.program.host).pull(NAME, TAG) == list(CHAIN)


def test_DST_046_killed_mirror_keeps_nothing_half(mirror_of: Callable[..., RunningServer]) -> None:
    with FakeRegistry() as origin:
        image = origin.add_image(f"{NAME}:{TAG}", files={"data": large(size=2_000_000)}, api="v2")
        blobs = blobs_of(origin, image)
        digest = max(blobs, key=lambda each: len(blobs[each]))
        mirror = mirror_of(origin.url)
        client = V2Client(Forwarding(mirror.program.host))
        assert client.get_manifest(NAME, TAG).body == image.document
        failures: list[BaseException] = []

        def pull() -> None:
            try:
                client.get(f"/v2/{NAME}/blobs/{digest}")
            except Exception as error:  # noqa: BLE001  the connection is cut
                failures.append(error)

        with origin.fail("GET", "*/blobs/*", bytes_per_second=1_000_000):
            thread = threading.Thread(target=pull)
            thread.start()
            eventually(lambda: bool(mirror.unfinished()), "the blob is on its way")
            mirror.program.kill()
            thread.join()
        assert failures
        assert not any(mirror.storage.rglob(digest.removeprefix("sha256:")))
        again = mirror_of(origin.url)
        client = V2Client(Forwarding(again.program.host))
        assert client.get_manifest(NAME, TAG).body == image.document
        assert client.get(f"/v2/{NAME}/blobs/{digest}").body == blobs[digest]
