"""The folder for fetched layers, until a pull has written the archive.

It is ``IMAGE.tar.v1registry-parts`` beside ``IMAGE.tar``, or a temporary folder if the output is a stream::

    ID.part     an incomplete layer                     ID.etag    its ETag in the registry
    ID.layer    a complete layer
    archive     the save archive while it is written
    lock        locked while a pull runs

An interrupted pull to a file leaves the folder, and the next pull to the same file continues with it. A
successful pull removes it. The user may delete it.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import IO

from .errors import ClientError


class Spool:
    """The folder of one pull, and a context manager that makes and locks it.

    Entering raises ClientError if another pull has the lock, or the folder belongs to another user.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Spool:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        found = os.lstat(self.folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise ClientError(
                f"{self.folder} must be a folder of this user, because other users could replace layers in "
                "it: remove it, or choose another output"
            )
        lock = open(self.folder / "lock", "ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            lock.close()
            raise ClientError(
                f"another pull uses {self.folder}: wait for it, or choose another output"
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
