"""Where fetched layers are, until a pull has written the archive: in a folder, or in memory.

The folder is ``IMAGE.tar.v1registry-parts`` beside ``IMAGE.tar``, or a temporary one if the output is a
stream::

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
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol

from .errors import ClientError


class LayerSpool(Protocol):
    """A place for fetched layers. Each belongs to one thread until it is complete."""

    def open_part(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Open an incomplete layer, at any position; what is written comes at its end."""

    def part_bytes(self, name: str) -> int:
        """Return the size of an incomplete layer, 0 without one."""

    def remove_part(self, name: str) -> None:
        """Remove an incomplete layer."""

    def complete(self, name: str) -> None:
        """Make the incomplete layer a complete one."""

    def check_again(self, name: str) -> None:
        """Make a complete layer of an earlier pull an incomplete one."""

    def open_layer(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Open a complete layer at its beginning."""

    def read_etag(self, name: str) -> str:
        """Return the ETag of an incomplete layer; ``""`` without one."""

    def write_etag(self, name: str, etag: str) -> None:
        """Store the ETag of an incomplete layer."""

    @property
    def kept(self) -> str:
        """A text that tells where an incomplete layer stays after a failure; ``""`` if it does not stay."""


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

    @property
    def kept(self) -> str:
        """A text that tells where an incomplete layer stays."""
        return f"; these bytes are kept in {self.folder}, pull again to continue"

    def part(self, name: str) -> Path:
        """Return the path of an incomplete layer."""
        return self.folder / f"{name}.part"

    def open_part(self, name: str) -> IO[bytes]:
        """Open an incomplete layer; what is written comes at its end."""
        return open(self.part(name), "a+b")

    def part_bytes(self, name: str) -> int:
        """Return the size of an incomplete layer, 0 without one."""
        try:
            return self.part(name).stat().st_size
        except FileNotFoundError:
            return 0

    def remove_part(self, name: str) -> None:
        """Remove an incomplete layer."""
        self.part(name).unlink()

    def complete(self, name: str) -> None:
        """Make the incomplete layer a complete one."""
        os.replace(self.part(name), self.layer(name))

    def check_again(self, name: str) -> None:
        """Make a complete layer of an earlier pull an incomplete one."""
        if self.layer(name).exists():
            os.replace(self.layer(name), self.part(name))

    def layer(self, name: str) -> Path:
        """Return the path of a complete layer."""
        return self.folder / f"{name}.layer"

    def open_layer(self, name: str) -> IO[bytes]:
        """Open a complete layer at its beginning."""
        return open(self.layer(name), "rb")

    def read_etag(self, name: str) -> str:
        """Return the ETag of an incomplete layer; ``""`` without one."""
        try:
            return (self.folder / f"{name}.etag").read_text("latin-1")
        except FileNotFoundError:
            return ""

    def write_etag(self, name: str, etag: str) -> None:
        """Store the ETag of an incomplete layer."""
        (self.folder / f"{name}.etag").write_text(etag, "latin-1")

    @property
    def archive(self) -> Path:
        """The path of the archive while it is written."""
        return self.folder / "archive"


class MemorySpool:
    """Layers in memory, and large ones in temporary files. A context manager that forgets them.

    :param most_bytes: of a layer in memory.
    """

    kept = ""

    def __init__(self, most_bytes: int):
        self._most_bytes = most_bytes
        self._files: dict[str, tempfile.SpooledTemporaryFile[bytes]] = {}
        self._etags: dict[str, str] = {}

    def __enter__(self) -> MemorySpool:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for file in self._files.values():
            file.close()

    @contextmanager
    def open_part(self, name: str) -> Iterator[IO[bytes]]:
        """Open an incomplete layer at its end."""
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = tempfile.SpooledTemporaryFile(self._most_bytes)  # noqa: SIM115
        file.seek(0, os.SEEK_END)
        yield file

    def part_bytes(self, name: str) -> int:
        """Return the size of an incomplete layer, 0 without one."""
        if name not in self._files:
            return 0
        self._files[name].seek(0, os.SEEK_END)
        return self._files[name].tell()

    def remove_part(self, name: str) -> None:
        """Remove an incomplete layer."""
        self._files.pop(name).close()

    def complete(self, name: str) -> None:
        """Do nothing: a complete layer is at the same place."""

    def check_again(self, name: str) -> None:
        """Do nothing: there are no earlier pulls."""

    @contextmanager
    def open_layer(self, name: str) -> Iterator[IO[bytes]]:
        """Open a complete layer at its beginning, once at a time."""
        file = self._files[name]
        file.seek(0)
        yield file

    def read_etag(self, name: str) -> str:
        """Return the ETag of an incomplete layer; ``""`` without one."""
        return self._etags.get(name, "")

    def write_etag(self, name: str, etag: str) -> None:
        """Store the ETag of an incomplete layer."""
        self._etags[name] = etag
