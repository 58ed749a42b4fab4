"""What is pushed: a save archive, or an OCI layout in a folder or an archive."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from ..archives.load import MARKER, ArchiveLimits, SaveArchive, UnreadableArchive, as_tar_file
from ..archives.oci_layout import LAYOUT_FILE, FolderFiles, Layout, TarFiles
from ..archives.tarindex import TarIndex
from .descriptors import descriptor_of
from .errors import BadArchive


def open_input(
    source: str | os.PathLike[str] | IO[bytes], limits: ArchiveLimits, *, is_layout: bool
) -> SaveArchive | Layout:
    """Return what a path or a stream has; the caller closes it.

    :param is_layout: an archive that is both, as those of docker 25 and later, is opened as a layout.
    :raises BadArchive: it is neither, hostile, or cannot be read.
    """
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else "the archive"
    try:
        if not isinstance(source, (str, os.PathLike)):
            return _open_stream(source, limits, is_layout)
        if os.path.isdir(source):
            return Layout(FolderFiles(Path(source)))
        number = descriptor_of(source)
        with open(source, "rb") if number is None else os.fdopen(os.dup(number), "rb") as stream:
            return _open_stream(stream, limits, is_layout)
    except UnreadableArchive as exc:
        raise BadArchive(f"{name} cannot be pushed: {exc}") from exc
    except OSError as exc:
        raise BadArchive(f"{name} cannot be read: {exc.strerror or exc}") from exc


def _open_stream(stream: IO[bytes], limits: ArchiveLimits, is_layout: bool) -> SaveArchive | Layout:
    with ExitStack() as on_error:
        file = as_tar_file(stream, limits)
        on_error.callback(file.close)
        index = TarIndex(file, limits)
        is_saved = "manifest.json" in index or MARKER in index
        opened: SaveArchive | Layout
        if is_layout or (LAYOUT_FILE in index and not is_saved):
            opened = Layout(TarFiles(file, index))
        else:
            opened = SaveArchive(file, index, limits)
        on_error.pop_all()
    return opened
