"""A storage in a folder: every key is a file, shared by threads and processes of one machine.

The folder is readable by docker-registry 0.6 to 0.9, and theirs by us (spec: storage-layout.md). An old server may write
into its files in place; readers here then see what a file holds, or StorageUnavailable where it became shorter.

How it works, for those who look into the folder:

* A value is written to ``.<name>.<16 hex digits>.tmp`` beside its place, brought to the disk and renamed. Nobody sees it before.
  Its writer holds ``flock`` on the temporary file, so whatever has no lock belongs to a writer that was killed. Each streamed
  write into the folder removes it, and so does the first write of a process. A deleted tree is first renamed to such a
  name in the storage's folder.
* Renaming, comparing etags and deleting are done under ``flock`` on the folder of the key; ``lock()`` is that same lock.
  It is asked for again and again with short pauses, never waited for in the kernel: so a greenlet that holds it can
  go on. The system frees it when the process dies.
* Folders appear with their first key and vanish with their last one. Only who holds the lock of an empty folder removes it.

What it asks of the file system: ``flock`` on folders (local file systems; not NFS, where writing raises
StorageUnavailable), renaming over a file, and times of files that are finer than a second.

Symbolic links inside the folder are the operator's: they are followed, wherever they lead, so that ``images`` may lie on another
disk. No key can make one or name a way out. Writing to or deleting a key that is a link replaces or removes the link.
"""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from .base import (
    ANY,
    Blob,
    InvalidKey,
    KeyConflict,
    KeyNotFound,
    Stat,
    StorageUnavailable,
    check_folders,
    check_key,
    clip_range,
    is_reserved,
)
from .files import FileBlob, Temporary, check_expected, raise_unread, read_range, reading, stat_of
from .folders import NOWHERE, Folders, failure

#: How often a value is put in place when its folder is deleted before it is there.
_ATTEMPTS: Final = 1000


class FileStorage:
    """Keeps every key as a file below ``path``, which is made at the first write. Nothing is opened before.

    :param path: the storage's folder. A relative one is taken from the current folder, now.
    :param durable: False leaves it to the system when values reach the disk. They may then be lost, or be there without
        their contents, after a power cut. For tests.
    :param lock_timeout_s: how long a lock is waited for before StorageUnavailable.
    :param private: folders whose files only the owner may read: modes 0700 and 0600, whatever the umask allows.

    ValueError for an empty path and a negative time. Safe for threads and processes.
    """

    shared_by_processes = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durable: bool = True,
        lock_timeout_s: float = 60.0,
        private: Iterable[str] = ("accounts",),
    ) -> None:
        name = os.fspath(path)
        if not name or "\0" in name:
            raise ValueError(f"expected the path of a folder, not {name!r}")
        if lock_timeout_s < 0:
            raise ValueError(f"expected a time to wait of 0 s or more, not {lock_timeout_s:g} s")
        self._root = os.path.abspath(name)
        self._inside = self._root.rstrip("/") + "/"
        self._folders = Folders(
            self._root,
            durable=durable,
            lock_timeout_s=lock_timeout_s,
            private=[self._path(folder) for folder in private],
        )

    @classmethod
    def from_url(cls, url: str) -> FileStorage:
        """Return the storage for ``file:///folder``; the path is percent-encoded. ValueError says what was expected.

        >>> FileStorage.from_url("file:///srv/my%20registry").path
        '/srv/my registry'
        """
        expected = f"expected file:///absolute/path (percent-encoded) as the URL of a folder, not {url!r}"
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise ValueError(f"{expected}: {error}") from None
        if parts.scheme != "file":
            raise ValueError(f"{expected}: it does not begin with file:")
        if parts.netloc not in ("", "localhost"):
            raise ValueError(f"{expected}: {parts.netloc!r} stands where a host would; is a / missing?")
        if "?" in url or "#" in url:
            raise ValueError(f"{expected}: it has no query and no fragment; write %3F for ? and %23 for #")
        if not parts.path.startswith("/"):
            raise ValueError(f"{expected}: the path is not absolute")
        path = os.fsdecode(unquote_to_bytes(parts.path))
        if not path.strip("/") or "\0" in path:
            raise ValueError(f"{expected}: the path names no folder")
        return cls(path)

    @property
    def path(self) -> str:
        """The absolute path of the storage's folder."""
        return self._root

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._root!r})"

    # -- reading

    def stat(self, key: str) -> Stat:
        """Return size, etag and time of ``key``. KeyNotFound."""
        return self._stat(key, self._path(key))

    def read(self, key: str) -> tuple[bytes, Stat]:
        """Return the whole value, a small one, and the Stat that belongs to exactly these bytes. KeyNotFound."""
        descriptor, stat = self._open_file(key)
        try:
            return read_range(descriptor, key, 0, stat.size), stat
        finally:
            os.close(descriptor)

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Blob:
        """Return bytes ``[start, stop)`` as a stream that the caller closes. KeyNotFound."""
        descriptor, stat = self._open_file(key)
        try:
            first, end = clip_range(start, stop, stat.size)
        except ValueError:
            os.close(descriptor)
            raise
        return FileBlob(descriptor, stat, first, end)

    # -- writing

    def write(self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY) -> Stat:
        """Store ``data`` under ``key``; see the protocol. KeyConflict, InvalidKey, StorageFull."""
        path = self._path(key)
        is_streamed = not isinstance(data, (bytes, bytearray, memoryview))
        self._folders.sweep_before_write(os.path.dirname(path), always=is_streamed)
        with closing(Temporary(self._folders, key, path)) as temporary:
            temporary.write(data)
            temporary.finish()
            changed = {os.path.dirname(path)}
            for _ in range(_ATTEMPTS):
                stat = self._put_in_place(key, path, temporary, expect)
                if stat is not None:
                    for folder in changed:
                        self._folders.sync(key, folder)
                    return stat
                temporary.recover()
                with self._folders.writing(key):
                    changed |= self._folders.make(os.path.dirname(path))
        raise StorageUnavailable(key, "its folder was deleted again and again")

    def delete(self, key: str, *, expect: str = ANY) -> None:
        """Remove ``key`` if it has the expected etag, durably, and folders that are empty then. KeyNotFound, KeyConflict."""
        path = self._path(key)
        folder = os.path.dirname(path)
        with self._folders.locked(key, folder, create=False), reading(key):
            if os.path.isdir(path) or not os.path.lexists(path):
                raise KeyNotFound(key)
            check_expected(key, path, expect)
            os.unlink(path)
        self._folders.sync(key, folder)
        self._folders.prune(folder)

    def delete_tree(self, folder: str) -> None:
        """Remove every key below ``folder + "/"`` at one instant; none of them being there is no error.

        Waits for the lock of ``folder``. While the calling thread holds that lock, the entries of the folder vanish one by one
        instead, as the folder is the lock; so do those behind a symbolic link. Locks of folders further below
        do not outlive this.
        """
        path = self._path(folder)
        parent = os.path.dirname(path)
        for place in {self._root, parent}:
            self._folders.sweep(place)
        try:
            with (
                self._folders.locked(folder, path, create=False) as is_held_before,
                self._folders.writing(folder),
            ):
                if is_held_before or os.path.islink(path):
                    self._folders.empty(folder, path)
                else:
                    self._folders.discard(folder, path)
        except KeyNotFound:
            return
        self._folders.prune(parent)

    def publish(self, staged: str, folder: str) -> None:
        """Rename the folder ``staged`` to ``folder``; see the protocol. KeyNotFound, KeyConflict, InvalidKey, StorageFull.

        Waits for the locks of both folders. An empty folder may be in the place already.
        """
        check_folders(staged, folder)
        self._require_keys(staged)
        source, target = self._path(staged), self._path(folder)
        if os.path.isfile(target):
            raise InvalidKey(folder, "it is a key, not a folder")
        self._folders.sweep(source)
        try:
            for _ in range(_ATTEMPTS):
                if self._move(staged, folder):
                    break
            else:
                raise StorageUnavailable(folder, "others wrote into the folder again and again")
        except BaseException:
            self._folders.prune(target)
            raise
        self._folders.sync_tree(folder, target)
        for parent in {os.path.dirname(source), os.path.dirname(target)}:
            self._folders.sync(folder, parent)
        self._folders.prune(os.path.dirname(source))

    @contextmanager
    def lock(self, folder: str) -> Iterator[None]:
        """Keep out all who ask for the lock of ``folder``, write or delete keys directly in it, or delete it.

        The folder is made, and removed again when it stays empty. A thread may take the lock again, from the same
        FileStorage. StorageUnavailable, InvalidKey.
        """
        path = self._path(folder)
        try:
            with self._folders.locked(folder, path):
                yield
        finally:
            self._folders.prune(path)

    # -- listing

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        """Yield the Stat of every key that begins with ``prefix`` and sorts after ``after``, in key order.

        Folder by folder, as far as it is asked for. Files whose names cannot be keys are left out.
        """
        folder, slash, beginning = prefix.rpartition("/")
        if slash:
            try:
                check_key(folder)
            except InvalidKey:
                return
        yield from self._walk(folder + slash, beginning, after)

    def list_folders(self, folder: str, *, after: str = "") -> Iterator[str]:
        """Yield, sorted, the names of the folders directly in ``folder`` that sort after ``after`` and hold keys."""
        base = f"{check_key(folder)}/" if folder else ""
        return self._subfolders(base, after)

    def _subfolders(self, base: str, after: str) -> Iterator[str]:
        names = sorted(name for name, is_folder in self._entries(base) if is_folder and name > after)
        for name in names:
            if self._has_keys(f"{base}{name}/"):
                yield name

    def _has_keys(self, base: str) -> bool:
        # Without the layers of _entries: a listing of many folders spends most of its time here.
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
        return any(map(self._has_keys, folders))

    def _walk(self, base: str, beginning: str, after: str) -> Iterator[Stat]:
        entries = self._entries(base, beginning)
        # "a/b" sorts after "a-b": a folder has its place by its name with the slash
        for name, is_folder in sorted(entries, key=lambda entry: entry[0] + "/" * entry[1]):
            key = base + name
            if is_folder:
                inside = key + "/"
                if inside > after or after.startswith(inside):
                    yield from self._walk(inside, "", after)
            elif key > after:
                try:
                    found = self._stat(key, f"{self._root}/{key}")
                except KeyNotFound:  # deleted meanwhile
                    continue
                yield found

    def _entries(self, base: str, beginning: str = "") -> Generator[tuple[str, bool], None, None]:
        """Yield name and whether it is a folder of all that may be or hold keys and begins so, in any order."""
        with suppress(KeyNotFound), reading(base), os.scandir(self._inside + base) as entries:
            for entry in entries:
                if not entry.name.startswith(beginning):
                    continue
                if _is_segment(entry.name) and len(base) + len(entry.name) <= 1024:
                    is_folder = self._is_folder(base, entry)
                    if is_folder is not None:
                        yield entry.name, is_folder

    def _is_folder(self, base: str, entry: os.DirEntry[str]) -> bool | None:
        """Tell folders and files apart; None for what is neither, leads nowhere or leads back."""
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
        """Tell whether a folder is a symbolic link to one above itself. OSError."""
        if not folder.is_symlink():
            return False
        target = os.stat(folder.path)
        above = os.path.normpath(os.path.join(self._root, base))
        while not os.path.samestat(os.stat(above), target):
            if above == self._root:
                return False
            above = os.path.dirname(above)
        return True

    # -- steps of reading and writing

    def _path(self, key: str) -> str:
        return self._inside + check_key(key)

    def _stat(self, key: str, path: str) -> Stat:
        try:
            status = os.stat(path)
        except OSError as error:
            raise_unread(key, error)
        if not modes.S_ISREG(status.st_mode):
            raise KeyNotFound(key)
        return stat_of(key, status)

    def _open_file(self, key: str) -> tuple[int, Stat]:
        path = self._path(key)
        try:
            # O_NONBLOCK: someone may have put a named pipe there
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise_unread(key, error)
        try:
            with reading(key):
                status = os.fstat(descriptor)
            if not modes.S_ISREG(status.st_mode):
                raise KeyNotFound(key)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, stat_of(key, status)

    def _require_keys(self, folder: str) -> None:
        if not self._has_keys(f"{folder}/"):
            raise KeyNotFound(folder, "no key is below this folder")

    def _move(self, staged: str, folder: str) -> bool:
        """Rename a folder of keys to one without keys; False if others wrote there meanwhile."""
        source, target = self._path(staged), self._path(folder)
        with ExitStack() as locks:
            # In one order, so that two callers that move in opposite directions do not wait for each other.
            for path, key in sorted([(source, staged), (target, folder)]):
                locks.enter_context(self._folders.locked(key, path, create=path == target))
            self._require_keys(staged)
            if self._has_keys(f"{folder}/"):
                raise KeyConflict(folder, "a key is below this folder already")
            with self._folders.writing(folder):
                return self._folders.move(folder, source, target)

    def _put_in_place(self, key: str, path: str, temporary: Temporary, expect: str) -> Stat | None:
        """Rename the temporary file if the value is the expected one; None where its folder was deleted before."""
        for _ in range(2):
            try:
                with (
                    self._folders.locked(key, os.path.dirname(path), create=False),
                    self._folders.writing(key),
                    suppress(IsADirectoryError),
                ):
                    check_expected(key, path, expect)
                    return temporary.rename()
            except KeyNotFound:
                return None
            self._folders.sweep(path)  # perhaps that folder holds nothing but what a killed writer left
            self._folders.prune(path)
        raise InvalidKey(key, "it is the folder of other keys")


def _is_segment(name: str) -> bool:
    """Tell whether a file name may be a segment of a key."""
    return name.isascii() and name.isprintable() and "\\" not in name and not is_reserved(name)
