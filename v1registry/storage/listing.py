"""What is in the folder of a FileStorage: its keys in order, and its folders that have keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from .base import InvalidKey, KeyConflict, KeyNotFound, Stat, check_key, is_reserved
from .files import reading, stat_at
from .folders import NOWHERE, failure


class Listing:
    """Reads the folders below ``root``. A ``base`` is a folder's key with a slash at the end, or ``""``."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._inside = root.rstrip("/") + "/"

    def subfolders(self, base: str, after: str) -> Iterator[str]:
        """Yield, sorted, the names of the folders in ``base`` that sort after ``after`` and have keys below.

        :raises StorageUnavailable: the system failed.
        """
        names = [name[:-1] for name in self._entries(base) if name[-1] == "/"]
        for name in sorted(name for name in names if name > after):
            if self.has_keys(f"{base}{name}/"):
                yield name

    def has_keys(self, base: str) -> bool:
        """Return whether a key begins with ``base``.

        :raises StorageUnavailable: the system failed.
        """
        # _entries would be too slow: a listing of many folders spends most of its time here.
        folders = []
        try:
            with os.scandir(self._inside + base) as entries:
                for entry in entries:
                    if not _is_segment(entry.name) or len(base) + len(entry.name) > 1024:
                        continue
                    is_folder = self._is_folder(base, entry)
                    if is_folder is False:
                        return True
                    if is_folder:
                        folders.append(f"{base}{entry.name}/")
        except OSError as error:
            if error.errno not in NOWHERE:
                raise failure(base, error) from error
        return any(map(self.has_keys, folders))

    def check_publication(self, staged: str, folder: str) -> None:
        """Check that keys are below ``staged``, and none below ``folder``.

        :raises KeyNotFound: no key is below ``staged``.
        :raises KeyConflict: a key is below ``folder``.
        """
        if not self.has_keys(f"{staged}/"):
            raise KeyNotFound(staged, "no key is below this folder")
        if self.has_keys(f"{folder}/"):
            raise KeyConflict(folder, "a key is below this folder already")

    def keys(self, prefix: str, after: str) -> Iterator[Stat]:
        """Yield the Stat of each key that begins with a prefix and sorts after ``after``, in key order.

        :raises StorageUnavailable: the system failed.
        """
        folder, slash, beginning = prefix.rpartition("/")
        if slash:
            try:
                check_key(folder)
            except InvalidKey:
                return
        yield from self._walk(folder + slash, beginning, after)

    def _walk(self, base: str, beginning: str, after: str) -> Iterator[Stat]:
        """Yield the Stat of each key below ``base`` whose rest begins so and that sorts after ``after``, in
        key order.

        :raises StorageUnavailable: the system failed.
        """
        for name in sorted(self._entries(base, beginning)):
            key = base + name
            if key[-1] == "/":
                if key > after or after.startswith(key):
                    yield from self._walk(key, "", after)
            elif key > after:
                try:
                    found = stat_at(key, self._inside + key)
                except KeyNotFound:  # deleted since the folder was read
                    continue
                yield found

    def _entries(self, base: str, beginning: str = "") -> Iterator[str]:
        """Yield the names in ``base`` that begin so, in any order.

        The name of a folder ends in a slash: ``a/b`` sorts after ``a-b``, so its slash counts.
        """
        longest = 1024 - len(base)
        with suppress(KeyNotFound), reading(base), os.scandir(self._inside + base) as entries:
            for entry in entries:
                name = entry.name
                if not name.startswith(beginning) or not _is_segment(name) or len(name) > longest:
                    continue
                is_folder = self._is_folder(base, entry)
                if is_folder is not None:
                    yield f"{name}/" if is_folder else name

    def _is_folder(self, base: str, entry: os.DirEntry[str]) -> bool | None:
        """Return True for a folder, False for a file, None for others and for broken or circular links."""
        try:
            if entry.is_file():
                return False
            if entry.is_dir() and not self._is_loop(base, entry):
                return True
        except OSError as error:
            if error.errno not in NOWHERE:
                raise
        return None

    def _is_loop(self, base: str, folder: os.DirEntry[str]) -> bool:
        """Return whether a folder is a symbolic link to a folder above itself. OSError."""
        if not folder.is_symlink():
            return False
        target = os.stat(folder.path)
        above = os.path.normpath(os.path.join(self._root, base))
        while not os.path.samestat(os.stat(above), target):
            if above == self._root:
                return False
            above = os.path.dirname(above)
        return True


def _is_segment(name: str) -> bool:
    """Return whether a file name may be a segment of a key."""
    return (
        name.isascii()
        and name.isprintable()
        and "\\" not in name
        and (name[0] != "." or not is_reserved(name))
    )
