"""Where a pull keeps what it has fetched, until the archive is written.

Beside ``IMAGE.tar`` stands the folder ``IMAGE.tar.v1registry-parts``::

    ID.part     a layer that is not complete yet        ID.etag    what the server called it
    ID.layer    a complete one
    archive     the save archive while it is written
    lock        held while a pull runs

A pull that broke off leaves the folder, and the next pull with the same output goes on with what it finds. A pull that
succeeds removes it. To give up, delete the folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO

from .errors import ClientError

_SUFFIX = ".v1registry-parts"


class Spool:
    """The folder of one pull: a context manager that holds its lock. ClientError when another pull holds it."""

    def __init__(self, output: Path):
        self.output = output
        self.folder = output.with_name(output.name + _SUFFIX)
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Spool:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        lock = open(self.folder / "lock", "ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            lock.close()
            raise ClientError(
                f"another pull to {self.output} is running: wait for it, or choose another file"
            ) from exc
        self._lock = lock
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._lock is not None
        self._lock.close()

    def part(self, image_id: str) -> Path:
        return self.folder / f"{image_id}.part"

    def layer(self, image_id: str) -> Path:
        return self.folder / f"{image_id}.layer"

    def read_etag(self, image_id: str) -> str:
        """Return what the server called the layer of which a part is here; ``""`` where it said nothing."""
        try:
            return (self.folder / f"{image_id}.etag").read_text("latin-1")
        except FileNotFoundError:
            return ""

    def write_etag(self, image_id: str, etag: str) -> None:
        (self.folder / f"{image_id}.etag").write_text(etag, "latin-1")

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    def deliver(self) -> None:
        """Put the written archive in its place, and remove the folder."""
        os.replace(self.archive, self.output)
        shutil.rmtree(self.folder, ignore_errors=True)
