"""Archives of this client in today's tools, and the reverse."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from support.archives import layer_sums, make_archive
from v1registry_fakes import FakeRegistry

from v1registry.archives.convert import chain_ids
from v1registry.archives.load import open_save_archive
from v1registry.client import Client

pytestmark = pytest.mark.real


@pytest.fixture
def skopeo(tmp_path: Path) -> str:
    """The path of skopeo."""
    program = shutil.which("skopeo")
    if program is None:
        pytest.skip("needs skopeo: apt-get install skopeo")
    return program


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_skopeo_reads_a_pulled_archive_with_the_reported_id(
    skopeo: str, v1registry: FakeRegistry, tmp_path: Path
) -> None:
    make_archive(tmp_path / "image.tar")
    reference = f"{v1registry.host}/foo/bar:v1"
    with Client(v1registry.url, api="v1") as client:
        client.push(tmp_path / "image.tar", reference)
        pulled = client.pull(reference, tmp_path / "pulled.tar")
    run(skopeo, "--insecure-policy", "copy", f"docker-archive:{tmp_path}/pulled.tar", f"dir:{tmp_path}/dir")
    manifest = json.loads((tmp_path / "dir" / "manifest.json").read_text())
    assert manifest["config"]["digest"] == pulled.engine_image_id


def test_ENG_008_archive_of_skopeo_gets_the_ids_of_an_engine(
    skopeo: str, v1registry: FakeRegistry, tmp_path: Path
) -> None:
    make_archive(tmp_path / "image.tar")
    source, target = (
        f"docker-archive:{tmp_path}/image.tar",
        f"docker-archive:{tmp_path}/skopeo.tar:foo/bar:v1",
    )
    run(skopeo, "--insecure-policy", "copy", source, target)
    reference = f"{v1registry.host}/foo/bar:v1"
    with Client(v1registry.url, api="v1") as client:
        pushed = client.push(tmp_path / "skopeo.tar", reference)
        client.pull(reference, tmp_path / "pulled.tar")
    with open_save_archive(tmp_path / "image.tar") as archive:
        diff_ids = [str(image.diff_id) for image in archive.chains[0].images]
    assert pushed.pushed[:2] == tuple(chain_id[7:] for chain_id in chain_ids(diff_ids)[:2])
    sums = layer_sums(tmp_path / "pulled.tar")
    assert [f"sha256:{sums[image_id]}" for image_id in pushed.pushed] == diff_ids
