"""Opening archives that are given as bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.archive_builder import Archive, read_chains

from v1registry.archives.load import ArchivedChain, ArchiveLimits


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., list[tuple[ArchivedChain, list[bytes]]]]:
    def load(
        archive: Archive | bytes, limits: ArchiveLimits | None = None
    ) -> list[tuple[ArchivedChain, list[bytes]]]:
        path = tmp_path / "image.tar"
        path.write_bytes(archive.bytes() if isinstance(archive, Archive) else archive)
        return read_chains(path, limits)

    return load
