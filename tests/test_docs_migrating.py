"""docs/migrating.md: images are copied to docker-registry 2.8 and back by skopeo alone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from support.documents import block
from support.engine_client import make_chain, random_layer
from support.oci_clients import program
from support.old_data import SAMPLE, write
from support.programs import Program, environment_of
from support.wsgi_servers import SERVE, RunningServer

pytestmark = pytest.mark.real

ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
TAGS = {"foo/bar": ["v1"], "library/busybox": ["1.0", "latest"], "deep/er/app": ["latest"]}


@pytest.fixture
def target(tmp_path: Path) -> Iterator[str]:
    """The host of an empty docker-registry 2.8."""
    folder = tmp_path / "target"
    folder.mkdir()
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}/data\n"
        "http:\n  addr: 127.0.0.1:0\n"
    )
    command = [program("docker-registry", "docker-registry"), "serve", str(config)]
    with Program(command, folder=folder) as running:
        yield running.host


@pytest.fixture
def source(tmp_path: Path) -> Iterator[RunningServer]:
    """A server over the folder of docker-registry 0.9.1, with one repository more and a name of v1 only."""
    folder = Path(shutil.copytree(SAMPLE, tmp_path / "registry"))
    write(
        folder / "repositories/Upper/case", {"tag_v1": (folder / "repositories/foo/bar/tag_v1").read_bytes()}
    )
    running = SERVE.start(tmp_path / "source", folder, settings={"V1REGISTRY_V2": "on"})
    with running.program:
        running.client().push("deep/er/app", make_chain([random_layer(1000, "deep")], name="deep"))
        yield running


def run(script: str, folder: Path) -> str:
    """Run a script of the page and return what it says on standard error."""
    folder.mkdir()
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=folder,
        env=environment_of(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def digests(host: str) -> dict[str, str]:
    """Return the digest of each tag that the migration is about."""
    return {
        f"{name}:{tag}": requests.get(
            f"http://{host}/v2/{name}/manifests/{tag}", headers={"Accept": ACCEPT}, timeout=30
        ).headers["Docker-Content-Digest"]
        for name, tags in TAGS.items()
        for tag in tags
    }


def test_everything_is_copied_out_and_in_with_equal_digests(
    source: RunningServer, target: str, tmp_path: Path
) -> None:
    program("skopeo", "skopeo")
    script = block("migrate-out").replace("localhost:5000", source.program.host)
    script = script.replace("file:///srv/registry", source.storage.as_uri())
    script = script.replace("registry.example.org", target).replace(
        "skopeo sync", "skopeo sync --dest-tls-verify=false"
    )
    assert "Upper/case: the distribution API cannot name it" in run(script, tmp_path / "out")
    catalog = requests.get(f"http://{target}/v2/_catalog", timeout=30).json()
    assert catalog == {"repositories": sorted(TAGS)}
    assert digests(target) == digests(source.program.host)

    second = SERVE.start(tmp_path / "second", tmp_path / "copied", settings={"V1REGISTRY_V2": "on"})
    with second.program:
        script = block("migrate-in").replace("localhost:5000", second.program.host)
        script = script.replace("registry.example.org", target).replace("alice/app", "library/busybox")
        script = script.replace("/alice", "/library").replace(
            "skopeo sync", "skopeo sync --src-tls-verify=false"
        )
        run(script, tmp_path / "in")
        tags = requests.get(f"{second.program.url}/v1/repositories/library/busybox/tags", timeout=30).json()
        assert sorted(tags) == TAGS["library/busybox"]
