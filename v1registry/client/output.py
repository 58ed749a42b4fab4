"""Where a pull delivers the archive: a file, or a stream such as a pipe, a FIFO or a device."""

from __future__ import annotations

import os
import select
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol

from ..layers.compression import CHUNK_BYTES
from .descriptors import descriptor_of
from .errors import BadOutput
from .spool import Spool

#: The end of the name of the folder for what is on the way.
PARTS_SUFFIX = ".v1registry-parts"


class Output(Protocol):
    """The destination of an archive."""

    @property
    def name(self) -> str:
        """A short name, for progress."""

    @property
    def path(self) -> Path | None:
        """The path of the file; None for a stream."""

    def spool(self) -> AbstractContextManager[Spool]:
        """Return a context manager with the folder for layers and the archive."""

    def sync(self, archive: IO[bytes]) -> None:
        """Write the complete archive to the disk, if it stays there."""

    def deliver(self, spool: Spool) -> None:
        """Deliver the complete archive of the spool.

        :raises OSError: the archive cannot be written.
        """

    def close(self) -> None:
        """Close what was opened for the output."""


def open_output(target: str | os.PathLike[str] | IO[bytes]) -> Output:
    """Return the output for a path or a binary stream.

    A link stays, and its target is written. What is not a regular file is written, and never replaced.
    Opening a FIFO waits for its reader.

    :raises BadOutput: the output is a terminal.
    :raises OSError: the output cannot be opened, or is a folder.
    """
    if not isinstance(target, (str, os.PathLike)):
        return StreamOutput(target, "stream", is_ours=False)
    name = os.path.basename(os.fspath(target))
    number = descriptor_of(target)
    if number is not None:
        return StreamOutput(os.fdopen(os.dup(number), "wb", buffering=0), name, is_ours=True)
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(None, "must be a file, not a folder", os.fspath(target))
    if not stat.S_ISREG(mode):
        descriptor = os.open(target, os.O_WRONLY)
        return StreamOutput(os.fdopen(descriptor, "wb", buffering=0), name, is_ours=True)
    return FileOutput(Path(os.path.realpath(target)), Path(target))


class FileOutput:
    """A regular file. The complete archive replaces it.

    :param real_path: without links.
    :param path: as the caller wrote it.
    """

    def __init__(self, real_path: Path, path: Path):
        self.path = path
        self.name = path.name
        self._real_path = real_path

    @contextmanager
    def spool(self) -> Iterator[Spool]:
        """Yield the folder beside the file, which stays if the pull fails."""
        with Spool(self._real_path.with_name(self._real_path.name + PARTS_SUFFIX)) as spool:
            yield spool

    def sync(self, archive: IO[bytes]) -> None:
        """Write the complete archive to the disk."""
        archive.flush()
        os.fsync(archive.fileno())

    def deliver(self, spool: Spool) -> None:
        """Move the archive to its place, and remove the folder.

        :raises OSError: the archive cannot be moved.
        """
        os.replace(spool.archive, self._real_path)
        shutil.rmtree(spool.folder, ignore_errors=True)

    def close(self) -> None:
        """Do nothing."""


class StreamOutput:
    """A stream. It receives nothing before the archive is complete.

    :param stream: binary, buffered or not.
    :param name: for progress.
    :param is_ours: :meth:`close` closes the stream.
    :raises BadOutput: the stream is a terminal.
    """

    path = None

    def __init__(self, stream: IO[bytes], name: str, *, is_ours: bool):
        self.name = name
        self._stream = stream
        self._is_ours = is_ours
        if stream.isatty():
            self.close()
            raise BadOutput("the output is a terminal: write the archive to a file or into a pipe")

    @contextmanager
    def spool(self) -> Iterator[Spool]:
        """Yield a temporary folder, which is removed at the end."""
        with (
            tempfile.TemporaryDirectory(prefix="v1registry-", ignore_cleanup_errors=True) as folder,
            Spool(Path(folder)) as spool,
        ):
            yield spool

    def sync(self, archive: IO[bytes]) -> None:
        """Do nothing: the archive of a stream is in a temporary folder."""

    def deliver(self, spool: Spool) -> None:
        """Copy the archive to the stream.

        :raises OSError: the stream cannot be written, such as BrokenPipeError if its reader has ended.
        """
        with open(spool.archive, "rb") as archive:
            while chunk := archive.read(CHUNK_BYTES):
                self._write(memoryview(chunk))
        self._stream.flush()

    def _write(self, chunk: memoryview) -> None:
        while chunk:
            written = self._stream.write(chunk)
            if written is None:  # the pipe is full, and was made not to block
                select.select([], [self._stream], [])
            else:
                chunk = chunk[written:]

    def close(self) -> None:
        """Close the stream if it was opened here."""
        if self._is_ours:
            self._stream.close()
