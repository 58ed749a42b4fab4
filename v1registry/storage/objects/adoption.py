"""Old buckets: objects whose names are the keys themselves, as docker-registry 0.9 wrote them.

The first process that uses such a bucket makes documents that name these objects where they are. No object is
changed or copied, and objects whose names cannot be keys are left alone for ever. An object :data:`MARKER`
says that this was done, so that it is done once for a bucket, and with which table of groups.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock
from typing import Any, Final

from ...log import get_logger
from ..base import InvalidKey, StorageError, StorageUnavailable
from .documents import NO_DOCUMENT, Entry, Writer, data_entry, inline_entry
from .groups import Group, Groups
from .parallel import in_parallel
from .probes import Version
from .store import Conflict, Found, Level, ObjectAccess

log = get_logger(__name__)

#: The object that says that a bucket belongs to this storage, and whether it has old objects.
MARKER: Final = "registry.json"

#: How long a request waits while old objects are adopted, in seconds.
WAIT_S: Final = 10.0


class AdoptingAccess(ObjectAccess):
    """Calls of one store. Before the first one, the documents of its old objects are made.

    :param groups: which keys change together.
    :param folders: the folders of old objects; without any, nothing is adopted.
    """

    def __init__(self, store: Any, *, groups: Groups, folders: tuple[str, ...], **options: Any):
        super().__init__(store, **options)
        self._groups = groups
        self._folders = folders
        #: the folders in which the store has old objects; None before the first call
        self._old_folders: tuple[str, ...] | None = None if folders else ()
        self._lock = Lock()  # guards the attribute below
        self._adoption: Future[tuple[str, ...]] | None = None
        self._inner = ObjectAccess(store, **options)
        self._inner.conditions = self.conditions  # type: ignore[method-assign]

    def old_folders(self) -> tuple[str, ...]:
        """Return the folders of old objects, empty if the store has none.

        :raises StorageUnavailable: the store failed, or the documents are not made yet.
        """
        if self._old_folders is not None:
            return self._old_folders
        with self._lock:
            if self._adoption is None:
                # no request waits for all of it
                thread = ThreadPoolExecutor(1, thread_name_prefix="v1registry-adoption")
                try:
                    self._adoption = thread.submit(adopt, self._inner, self._groups, self._folders)
                except RuntimeError as error:
                    # the system has no thread left
                    raise _failure(error) from error
                finally:
                    thread.shutdown(wait=False)
            adoption = self._adoption
        if not wait([adoption], timeout=WAIT_S).done:
            raise StorageUnavailable(
                MARKER, "the objects of an old registry are being adopted: try again in a minute"
            )
        failure = adoption.exception()
        if failure is None:
            self._old_folders = adoption.result()
            return self._old_folders
        with self._lock:
            if self._adoption is adoption:
                # the next request tries again
                self._adoption = None
        raise _failure(failure) from failure

    def get(self, name: str, known: Version | None = None) -> tuple[bytes, Version] | None:
        """Return a small object; see the base class."""
        self.old_folders()
        return super().get(name, known)

    def put(self, name: str, data: bytes, expected: Version | None) -> Version:
        """Store a small object; see the base class. Old objects have their documents before the first one."""
        self.old_folders()
        return super().put(name, data, expected)

    def list(self, folder: str, *, after: str = "") -> Iterator[Found]:
        """Yield the objects below a folder; see the base class."""
        self.old_folders()
        yield from super().list(folder, after=after)

    def level(self, folder: str) -> Level:
        """Return what is directly in a folder; see the base class."""
        self.old_folders()
        return super().level(folder)


def _failure(error: BaseException) -> StorageUnavailable:
    """Return what requests get if the adoption failed."""
    if isinstance(error, StorageUnavailable):
        return StorageUnavailable(error.key, error.reason)
    said = error.reason if isinstance(error, StorageError) else type(error).__name__
    return StorageUnavailable(MARKER, f"the objects of an old registry were not adopted ({said})")


def adopt(access: ObjectAccess, groups: Groups, folders: tuple[str, ...]) -> tuple[str, ...]:
    """Make the documents of the old objects of a store, if that was not done before.

    Several processes may do it at once, and again after an interruption: what exists stays.

    :return: the folders in which there are old objects.
    :raises StorageUnavailable: the store failed.
    """
    try:
        found = access.get(MARKER)
        assert found is not None
        marker = json.loads(found[0])
        has_old_objects, written_with = marker["has_old_objects"], marker.get("groups")
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StorageUnavailable(MARKER, f"the object {MARKER} is not one of this storage") from None
    else:
        if written_with != groups.fingerprint:
            # keys would be looked for in other documents, and gc would remove what they name
            raise StorageUnavailable(
                MARKER, "the bucket was written by a version of the registry that arranges keys differently"
            )
        return folders if has_old_objects else ()
    has_old_objects = False
    old = _OldObjects(access, groups, folders)
    for _ in in_parallel(lambda item: _create(access, *item), old.in_groups()):
        has_old_objects = True
    if old.left_alone:
        log.warning(
            "%s objects of an old registry were left alone, because their names cannot be keys: "
            "they are neither served nor removed",
            old.left_alone,
        )
    try:
        marker = {"has_old_objects": has_old_objects, "groups": groups.fingerprint}
        access.put(MARKER, json.dumps(marker).encode(), None)
    except Conflict:
        return adopt(access, groups, folders)
    return folders if has_old_objects else ()


class _OldObjects:
    """The old objects of a store."""

    def __init__(self, access: ObjectAccess, groups: Groups, folders: tuple[str, ...]):
        self._access = access
        self._groups = groups
        self._folders = folders
        self.left_alone = 0  #: how many had names that cannot be keys

    def in_groups(self) -> Iterator[tuple[Group, dict[str, Entry]]]:
        """Yield each group that has old objects, with their names and entries."""
        begun: dict[Group, dict[str, Entry]] = {}
        for folder in self._folders:
            for found in self._access.list(folder):
                try:
                    group = self._groups.of_any(found.name)
                except InvalidKey:
                    self.left_alone += 1
                    continue
                # objects come in order, so a group whose start does not fit any more is whole
                for other in [other for other in begun if not found.name.startswith(other.start)]:
                    yield other, begun.pop(other)
                entry = (
                    data_entry(found.name, found.size, found.modified_ns)
                    if found.size
                    else inline_entry(b"", found.modified_ns)
                )
                begun.setdefault(group, {})[found.name[len(group.start) :]] = entry
        yield from begun.items()


def _create(access: ObjectAccess, group: Group, names: dict[str, Entry]) -> None:
    """Make a document, unless there is one."""
    try:
        access.put(group.object_name, NO_DOCUMENT.followed_by(names, Writer()).dump(), None)
    except Conflict:
        return
