"""A disk of a few MiB that tests fill: a tmpfs, which only root can mount."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

_PIECE_BYTES = 4096


class SmallDisk:
    """A context manager; at the end the disk is gone.

    :param path: where it is mounted; the folder is made.
    """

    def __init__(self, path: Path, size_mib: int):
        if os.geteuid() != 0:
            pytest.skip("needs root: only root can mount a tmpfs")
        self.path = path
        self._filler = path / "filler"
        path.mkdir()
        _run("mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "none", str(path))

    def fill(self, *, left_kib: int = 0) -> None:
        """Take all room that is left, but some KiB."""
        piece = bytes(_PIECE_BYTES)
        with self._filler.open("wb", buffering=0) as filler:
            with suppress(OSError):
                while filler.write(piece):
                    pass
            filler.truncate(max(0, filler.tell() - left_kib * 1024))

    def free(self) -> None:
        """Make room again."""
        self._filler.unlink(missing_ok=True)

    def __enter__(self) -> SmallDisk:
        return self

    def __exit__(self, *exc_info: object) -> None:
        # what is still open there, as by a server that is being ended, must not keep it
        _run("umount", "--lazy", str(self.path))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
