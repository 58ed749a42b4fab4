"""Commands whose output goes to a full device."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MAIN = "import sys; from v1registry.cli.main import main; sys.exit(main())"


@pytest.mark.parametrize(
    "arguments",
    [["repository", "list", "--json"], ["gc"], ["usage"], ["verify", "--json"]],
)
def test_full_device_ends_command_with_a_message(url: str, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "store").mkdir()
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            [sys.executable, "-c", MAIN, *arguments, "--storage", url],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )

    assert ended.stderr.decode() == (
        "v1registry: the output cannot be written: No space left on device; make room where it goes\n"
    )
    assert ended.returncode == 1
