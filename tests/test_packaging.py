"""The metadata lists every package of the source."""

from __future__ import annotations

import configparser
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_package_of_the_source_is_listed() -> None:
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = metadata["options"]["packages"].split()

    found = [".".join(path.parent.relative_to(ROOT).parts) for path in ROOT.glob("v1registry/**/__init__.py")]

    fakes = [
        ".".join(["v1registry_fakes", *path.parent.relative_to(ROOT / "fakes").parts])
        for path in ROOT.glob("fakes/**/__init__.py")
    ]
    assert sorted(listed) == sorted([*found, *fakes])
