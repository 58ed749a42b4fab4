"""The values that a FileStorage writes: how they get to their places, one at a time or several together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from typing import Final, NamedTuple

from .base import ANY, InvalidKey, KeyNotFound, Stat, StorageUnavailable
from .disk import OpenFolders
from .files import Temporary, check_expected
from .folders import Folders
from .together import run_together
from .trees import sweep

#: How often a step is repeated if other processes undo what it needs.
_ATTEMPTS: Final = 1000

#: How many values are written at the same time. Each has an open file.
_MOST_AT_ONCE: Final = 32


class Small(NamedTuple):
    """A small value that is to be written."""

    key: str
    path: str
    value: bytes
    modified_ns: int | None = None  #: the time of the file, since 1970; None for now


class Writer:
    """Writes values to paths. Errors name the key.

    :param folders: makes, locks and syncs the folders of the values.
    """

    def __init__(self, folders: Folders) -> None:
        self._folders = folders

    def write(
        self, key: str, path: str, data: bytes | Iterable[bytes], expect: str, modified_ns: int | None
    ) -> Stat:
        """Put a value in its place, whole or not at all, and durably; return its Stat.

        :param modified_ns: the time of the file, in nanoseconds since 1970; None for now.
        :raises KeyConflict: the stored value is not the expected one.
        :raises InvalidKey: a part of the path is a file, or the place is the folder of other keys.
        :raises StorageFull: no room is left on the disk.
        :raises StorageUnavailable: the system failed.
        """
        is_streamed = not isinstance(data, (bytes, bytearray, memoryview))
        self._folders.sweep_before_write(os.path.dirname(path), always=is_streamed)
        with closing(
            Temporary(self._folders, key, path, is_small=not is_streamed, modified_ns=modified_ns)
        ) as temporary:
            temporary.write(data)
            temporary.finish()
            return self._place(key, path, temporary, expect)

    def write_many(self, values: Sequence[Small]) -> None:
        """Put small values in their places, in order and durably; they are synced at the same time.

        :raises InvalidKey: as :meth:`write`.
        :raises StorageFull: no room is left on the disk. The first values may be stored.
        :raises StorageUnavailable: the system failed. The first values may be stored.
        """
        for start in range(0, len(values), _MOST_AT_ONCE):
            self._write_together(values[start : start + _MOST_AT_ONCE])

    def _write_together(self, values: Sequence[Small]) -> None:
        with ExitStack() as opened:
            temporaries = []
            for key, path, value, modified_ns in values:
                self._folders.sweep_before_write(os.path.dirname(path), always=False)
                temporary = opened.enter_context(
                    closing(Temporary(self._folders, key, path, is_small=True, modified_ns=modified_ns))
                )
                temporary.write(value)
                temporary.set_time()
                temporaries.append(temporary)
            run_together([temporary.sync for temporary in temporaries if temporary.needs_sync])
            changed = opened.enter_context(closing(OpenFolders()))
            for small, temporary in zip(values, temporaries, strict=True):
                self._place(small.key, small.path, temporary, ANY, changed)
            with self._folders.writing(values[0].key):
                changed.sync()

    def _place(
        self, key: str, path: str, temporary: Temporary, expect: str, changed: OpenFolders | None = None
    ) -> Stat:
        """Put a finished value in its place, also if others delete its folder.

        :param changed: gets the folder, which the caller syncs. None if it is synced here.
        """
        made_in: set[str] = set()
        for _ in range(_ATTEMPTS):
            stat = self._try_to_place(key, path, temporary, expect, changed)
            if stat is not None:
                self._folders.sync_all(key, made_in)
                return stat
            temporary.recover()
            with self._folders.writing(key):
                made_in |= self._folders.make(os.path.dirname(path))
        raise StorageUnavailable(key, "other processes deleted its folder again and again")

    def _try_to_place(
        self, key: str, path: str, temporary: Temporary, expect: str, changed: OpenFolders | None
    ) -> Stat | None:
        """Rename the temporary file if the value is the expected one; None if its folder was deleted."""
        for _ in range(2):
            try:
                with (
                    self._folders.locked(key, os.path.dirname(path), changed=changed) as held,
                    self._folders.writing(key),
                    suppress(IsADirectoryError),
                ):
                    check_expected(key, path, expect)
                    stat = temporary.rename()
                    held.is_changed = stat is not None
                    return stat
            except KeyNotFound:
                return None
            sweep(path)  # the folder may hold nothing but files of killed writers
            self._folders.prune(path)
        raise InvalidKey(key, "it is the folder of other keys")
