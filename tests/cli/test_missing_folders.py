"""Maintenance of a folder that does not exist, such as a disk that is not mounted."""

from __future__ import annotations

from pathlib import Path

import pytest

from v1registry.cli.main import main


@pytest.mark.parametrize("command", ["verify", "gc", "usage", "expire", "reindex"])
def test_maintenance_of_a_missing_folder_fails_and_makes_none(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "registry"
    assert main([command, "--storage", f"file://{folder}"]) == 3
    assert f"the folder of the storage must exist, but {folder} does not" in capsys.readouterr().err
    assert not folder.exists()
