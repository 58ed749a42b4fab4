"""A storage whose calls are counted, and which fails or is interrupted when a test wants it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from threading import Lock
from typing import TypeVar

from v1registry import MemoryStorage, Storage
from v1registry.storage.base import ANY, Blob, Stat, StorageUnavailable
from v1registry.storage.many import delete_in_order, read_in_order, write_in_order

T = TypeVar("T")


@dataclass
class _Rule:
    """What happens at some of the calls."""

    action: Callable[[], object]
    methods: tuple[str, ...]
    pattern: str
    is_after: bool
    skip: int
    times: int | None  #: how often the action runs; None if it always does

    def is_due(self, method: str, key: str, is_after: bool) -> bool:
        """Tell whether the action has to run now, and count the call."""
        if is_after != self.is_after or self.times == 0 or not _fits(method, key, self.methods, self.pattern):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class FaultyStorage:
    """Passes all calls on to another storage, with what a test added to them. Safe for threads.

    Without names of methods, a rule is for all of them. ``key`` is a pattern of :mod:`fnmatch`. It is
    compared with the prefix or the folder if the method has no key.

    :param storage: where the values are; a new MemoryStorage if it is left out.
    """

    def __init__(self, storage: Storage | None = None) -> None:
        self.storage: Storage = MemoryStorage() if storage is None else storage
        self._rules: list[_Rule] = []
        self._calls: Counter[tuple[str, str]] = Counter()
        self._mutex = Lock()  # guards the two attributes above

    # -- for tests

    def fail(self, *methods: str, key: str = "*", error: BaseException | None = None, skip: int = 0) -> None:
        """Let the calls fail before they change anything, until :meth:`heal`.

        :param error: what is raised; StorageUnavailable if it is left out.
        :param skip: how many calls succeed first.
        """

        def fail() -> None:
            raise StorageUnavailable("any", "the disk is gone") if error is None else error

        self.before(fail, *methods, key=key, skip=skip, times=None)

    def heal(self) -> None:
        """Remove all that was added to the calls."""
        with self._mutex:
            self._rules.clear()

    def before(
        self,
        action: Callable[[], object],
        *methods: str,
        key: str = "*",
        skip: int = 0,
        times: int | None = 1,
    ) -> None:
        """Call ``action`` before a call; it may use this storage. If it raises, the call fails with that.

        :param skip: how many calls pass first.
        :param times: how often it is done; None means each time.
        """
        self._add(_Rule(action, methods, key, False, skip, times))

    def after(self, action: Callable[[], object], *methods: str, key: str = "*") -> None:
        """Call ``action`` once, after a call, whether that failed or not."""
        self._add(_Rule(action, methods, key, True, 0, 1))

    def count(self, *methods: str, key: str = "*") -> int:
        """Return how many calls there were."""
        with self._mutex:
            return sum(
                number
                for (method, called_key), number in self._calls.items()
                if _fits(method, called_key, methods, key)
            )

    def _add(self, rule: _Rule) -> None:
        with self._mutex:
            self._rules.append(rule)

    # -- for the code under test

    @property
    def shared_by_processes(self) -> bool:
        return self.storage.shared_by_processes

    def moment(self) -> AbstractContextManager[None]:
        return self.storage.moment()

    def stat(self, key: str) -> Stat:
        return self._call("stat", key, lambda: self.storage.stat(key))

    def read(self, key: str) -> tuple[bytes, Stat]:
        return self._call("read", key, lambda: self.storage.read(key))

    def read_many(self, keys: Iterable[str]) -> Iterator[tuple[str, tuple[bytes, Stat] | None]]:
        """Count, and let fail, each value as one call of ``read``."""
        return read_in_order(self.read, keys)

    def folder_version(self, folder: str) -> str | None:
        return self._call("folder_version", folder, lambda: self.storage.folder_version(folder))

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Blob:
        return self._call("open", key, lambda: self.storage.open(key, start, stop))

    def write(self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY) -> Stat:
        return self._call("write", key, lambda: self.storage.write(key, data, expect=expect))

    def write_many(self, values: Mapping[str, bytes]) -> None:
        """Count, and let fail, each value as one call of ``write``."""
        write_in_order(self.write, values)

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        return self._call("list", prefix, lambda: self.storage.list(prefix, after=after))

    def list_folders(self, folder: str, *, after: str = "") -> Iterator[str]:
        return self._call("list_folders", folder, lambda: self.storage.list_folders(folder, after=after))

    def delete(self, key: str, *, expect: str = ANY) -> None:
        self._call("delete", key, lambda: self.storage.delete(key, expect=expect))

    def delete_many(self, keys: Iterable[str]) -> None:
        delete_in_order(self.delete, keys)

    def publish(self, staged: str, folder: str) -> None:
        self._call("publish", folder, lambda: self.storage.publish(staged, folder))

    def link(self, source: str, target: str) -> Stat:
        return self._call("link", target, lambda: self.storage.link(source, target))

    def delete_tree(self, folder: str) -> None:
        self._call("delete_tree", folder, lambda: self.storage.delete_tree(folder))

    def _call(self, method: str, key: str, call: Callable[[], T]) -> T:
        with self._mutex:
            self._calls[method, key] += 1
        self._act(method, key, is_after=False)
        try:
            return call()
        finally:
            self._act(method, key, is_after=True)

    def _act(self, method: str, key: str, *, is_after: bool) -> None:
        with self._mutex:
            due = [rule.action for rule in self._rules if rule.is_due(method, key, is_after)]
        for action in due:
            action()


def _fits(method: str, key: str, methods: tuple[str, ...], pattern: str) -> bool:
    """Tell whether a call is one of ``methods`` with a key of this pattern."""
    return (not methods or method in methods) and fnmatchcase(key, pattern)
