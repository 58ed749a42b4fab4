"""Helpers that look into the folder of a FileStorage."""

from __future__ import annotations

from pathlib import Path

from v1registry.storage import FileStorage

#: The name of a file that a killed writer left.
STALE = ".layer.0123456789abcdef.tmp"


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def keys_of(storage: FileStorage, prefix: str = "") -> list[str]:
    return [stat.key for stat in storage.list(prefix)]
