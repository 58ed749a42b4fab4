"""Unpacking an archive into the files of a container (remote.md 8)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from copy import copy
from typing import Final

from .errors import InvalidParameter
from .files import Entry, Files, clean

#: How many symbolic links of a path are followed, as in the kernel.
_MOST_LINKS: Final = 40


def unpack(files: Files, folder: str, members: Iterable[tuple[str, Entry]], *, keeps_kinds: bool) -> None:
    """Put the members of an archive below a folder. Links within the container are followed.

    :param folder: a path from the root.
    :param members: name in the archive -> entry. Names never leave the root of the container.
    :param keeps_kinds: a folder must not replace something else, nor the other way round.
    :raises InvalidParameter: a member cannot be put where its name says.
    """
    for name, entry in members:
        path = clean(posixpath.join(folder, name.lstrip("/")))
        if path in (folder, "/"):
            # the folder itself, which archives begin with
            continue
        above, base = posixpath.split(path)
        path = posixpath.join(_folder_of(files, above), base)
        old = files.get(path)
        if keeps_kinds and old is not None and old.is_folder != entry.is_folder:
            raise InvalidParameter(f"cannot overwrite {path} with an entry of another kind")
        if entry.info.islnk():
            entry = _linked(files, folder, path, entry)
        files.put(path, entry)


def _folder_of(files: Files, path: str) -> str:
    """Return where a folder really is.

    :raises InvalidParameter: a part of the path is no folder, or there are too many links.
    """
    found, left, links = "/", [part for part in path.split("/") if part], 0
    while left:
        part = left.pop(0)
        place = posixpath.join(found, part)
        entry = files.get(place)
        if entry is not None and entry.info.issym():
            links += 1
            if links > _MOST_LINKS:
                raise InvalidParameter(f"{path}: too many levels of symbolic links")
            target = clean(posixpath.join(found, entry.info.linkname))
            found, left = "/", [*(piece for piece in target.split("/") if piece), *left]
        elif entry is not None and not entry.is_folder:
            raise InvalidParameter(f"mkdir {place}: not a directory")
        else:
            found = place
    return found


def _linked(files: Files, folder: str, path: str, entry: Entry) -> Entry:
    """Return the file of a hard link.

    :raises InvalidParameter: it does not exist.
    """
    target = clean(posixpath.join(folder, entry.info.linkname.lstrip("/")))
    found = files.get(target)
    if found is None or found.is_folder:
        raise InvalidParameter(f"link {target} {path}: no such file or directory")
    return Entry(copy(found.info), found.open)
