"""The folder for fetched layers, until a pull has written the archive.

It is ``IMAGE.tar.v1registry-parts`` beside ``IMAGE.tar``::

    ID.part     an incomplete layer                     ID.etag    its ETag in the registry
    ID.layer    a complete layer
    archive     the save archive while it is written
    lock        locked while a pull runs

An interrupted pull leaves the folder, and the next pull to the same output continues with it. A successful
pull removes it. The user may delete it.
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
    """The folder of one pull, and a context manager that locks it.

    Entering raises ClientError if another pull has the lock.
    """

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
                f"another pull to {self.output} is running: wait for it, or choose another output"
            ) from exc
        self._lock = lock
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._lock is not None
        self._lock.close()

    def part(self, image_id: str) -> Path:
        """Return the path of an incomplete layer."""
        return self.folder / f"{image_id}.part"

    def layer(self, image_id: str) -> Path:
        """Return the path of a complete layer."""
        return self.folder / f"{image_id}.layer"

    def read_etag(self, image_id: str) -> str:
        """Return the ETag of an incomplete layer; ``""`` without one."""
        try:
            return (self.folder / f"{image_id}.etag").read_text("latin-1")
        except FileNotFoundError:
            return ""

    def write_etag(self, image_id: str, etag: str) -> None:
        """Store the ETag of an incomplete layer."""
        (self.folder / f"{image_id}.etag").write_text(etag, "latin-1")

    @property
    def archive(self) -> Path:
        """The path of the archive while it is written."""
        return self.folder / "archive"

    def deliver(self) -> None:
        """Move the archive to the output, and remove the folder."""
        os.replace(self.archive, self.output)
        shutil.rmtree(self.folder, ignore_errors=True)
