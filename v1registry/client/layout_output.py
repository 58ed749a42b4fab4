"""Where a pull delivers a layout: a folder, or an archive of one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..archives.layout_writer import LayoutWriter, NotALayout, write_layout_archive
from ..archives.load import UnreadableArchive
from .errors import BadOutput
from .output import PARTS_SUFFIX, Output
from .spool import Spool


@dataclass(frozen=True)
class LayoutTarget:
    """A layout that is written, and the folder for blobs that are on the way."""

    layout: LayoutWriter
    spool: Spool


class LayoutOutput(Protocol):
    """The destination of a layout."""

    @property
    def path(self) -> Path | None:
        """The path of the folder or of the archive; None for a stream."""

    def open(self) -> AbstractContextManager[LayoutTarget]:
        """Return a context manager with the layout.

        :raises BadOutput: the folder has other files.
        :raises OSError: the folder cannot be written.
        """

    def deliver(self, target: LayoutTarget) -> int:
        """Deliver the complete layout and return its size in bytes.

        :raises OSError: it cannot be written.
        """


class FolderLayoutOutput:
    """A folder with a layout, to which the image is added. A missing folder is made."""

    def __init__(self, folder: Path):
        self.path = folder
        self._folder = Path(os.path.realpath(folder))

    @contextmanager
    def open(self) -> Iterator[LayoutTarget]:
        """Yield the layout, and a folder beside it, which stays if the pull fails.

        :raises BadOutput: the folder has other files.
        """
        with Spool(self._folder.with_name(self._folder.name + PARTS_SUFFIX)) as spool:
            yield LayoutTarget(_writer(self._folder), spool)

    def deliver(self, target: LayoutTarget) -> int:
        """Remove the other folder, and return the size of the layout."""
        shutil.rmtree(target.spool.folder, ignore_errors=True)
        return sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file())


class ArchiveLayoutOutput:
    """An archive of a layout.

    :param output: where the archive goes.
    """

    def __init__(self, output: Output):
        self.path = output.path
        self._output = output

    @contextmanager
    def open(self) -> Iterator[LayoutTarget]:
        """Yield a layout in the folder of the output."""
        with self._output.spool() as spool:
            yield LayoutTarget(_writer(spool.folder / "layout"), spool)

    def deliver(self, target: LayoutTarget) -> int:
        """Make the archive, and move or copy it to its place.

        :raises OSError: it cannot be written.
        """
        with open(target.spool.archive, "wb") as file:
            size_bytes = write_layout_archive(target.layout.folder, file)
            self._output.sync(file)
        self._output.deliver(target.spool)
        return size_bytes


def _writer(folder: Path) -> LayoutWriter:
    try:
        return LayoutWriter(folder)
    except (NotALayout, UnreadableArchive) as exc:
        raise BadOutput(f"{folder} cannot be written: {exc}") from exc
