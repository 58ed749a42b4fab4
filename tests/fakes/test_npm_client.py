"""A test in another language: npm's docker-registry-client, for v1 and for /v2/, against the process."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.fakes_process import FakesProcess
from support.programs import PATIENCE_S, PROJECT
from v1registry_fakes.layers import layer_of

SCRIPT = Path(__file__).parent / "npm_client.js"

#: Installed by ``npm install --prefix . --no-save docker-registry-client@3.3.0`` in the project's folder.
MODULES = PROJECT / "node_modules"


@pytest.mark.real
def test_npm_client_reads_what_a_script_filled(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not (MODULES / "docker-registry-client").is_dir():
        pytest.skip("needs node, and npm install --prefix . --no-save docker-registry-client@3.3.0")
    with FakesProcess(folder=tmp_path) as process:
        done = subprocess.run(
            [node, str(SCRIPT), process.url],
            env={**os.environ, "NODE_PATH": str(MODULES)},
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert process.end() == (0, "")

    got = json.loads(done.stdout)
    image_id = got["image"]["id"]
    layer = hashlib.sha256(layer_of({"etc/motd": "hello"})).hexdigest()
    assert got["v1"] == {
        "tags": {"1.0": image_id},
        "imgId": image_id,
        "ancestry": [image_id],
        "command": ["sh"],
        "layer": layer,
        "found": ["alice/app"],
    }
    assert got["v2"] == {"isThere": True, "tags": ["1.0"], "digest": f"sha256:{layer}", "layer": layer}
    assert [fault["count"] for fault in got["faults"]] == [1]
    assert got["asked"] > 3
    assert got["repositories"] == {}
