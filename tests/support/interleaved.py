"""Actions that run in turns, one call of a storage at a time, in an order that a random number decides."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

from v1registry import Storage
from v1registry.storage.base import ANY, Blob, Stat
from v1registry.storage.many import delete_in_order, read_in_order, write_in_order

T = TypeVar("T")


class Killed(BaseException):
    """Ends an action at a step, as SIGKILL ends a process: what would be written afterwards is not."""


class _Actor:
    def __init__(self, action: Callable[[], object]):
        self.turn = threading.Semaphore(0)
        self.action = action
        self.is_killed = False
        self.error: Exception | None = None


class Turns:
    """Gives turns to actions. A test's own thread takes no turns.

    :param kill_each: an action is killed at one of so many steps, on average; 0 for never.
    """

    def __init__(self, source: random.Random, *, kill_each: int = 0):
        self._random = source
        self._kill_each = kill_each
        self._current = threading.local()
        self._back = threading.Semaphore(0)

    def run(self, *actions: Callable[[], object]) -> list[bool]:
        """Run actions to their ends; return which of them were killed.

        Any other exception of an action is raised.
        """
        actors = [_Actor(action) for action in actions]
        threads = [threading.Thread(target=self._act, args=(actor,), daemon=True) for actor in actors]
        for thread in threads:
            thread.start()
        running = list(actors)
        while running:
            # the same action goes on for a while, or they change at each step
            actor = self._random.choice(running)
            for _ in range(self._random.choice((1, 1, 3, 20))):
                actor.turn.release()
                self._back.acquire()
                if actor.action is _done:
                    running.remove(actor)
                    break
        for thread in threads:
            thread.join()
        for actor in actors:
            if actor.error is not None:
                raise actor.error
        return [actor.is_killed for actor in actors]

    def _act(self, actor: _Actor) -> None:
        self._current.actor = actor
        actor.turn.acquire()
        try:
            actor.action()
        except Killed:
            pass
        except Exception as error:  # noqa: BLE001 - raised in the test's own thread
            actor.error = error
        actor.action = _done
        self._back.release()

    def step(self) -> None:
        """End the turn of the thread's action, and wait for the next one.

        :raises Killed: the action is killed.
        """
        actor: _Actor | None = getattr(self._current, "actor", None)
        if actor is None:
            return
        if not actor.is_killed:
            self._back.release()
            actor.turn.acquire()
            actor.is_killed = self._kill_each > 0 and not self._random.randrange(self._kill_each)
        if actor.is_killed:
            raise Killed


def _done() -> None:
    """Stand for an action that has ended."""


class SteppedStorage:
    """Ends a turn before each call, and before each value of a list."""

    def __init__(self, storage: Storage, turns: Turns):
        self.storage = storage
        self.turns = turns

    @property
    def shared_by_processes(self) -> bool:
        return self.storage.shared_by_processes

    def _call(self, call: Callable[[], T]) -> T:
        self.turns.step()
        return call()

    def moment(self) -> AbstractContextManager[None]:
        return self.storage.moment()

    def stat(self, key: str) -> Stat:
        return self._call(lambda: self.storage.stat(key))

    def read(self, key: str) -> tuple[bytes, Stat]:
        return self._call(lambda: self.storage.read(key))

    def read_many(self, keys: Iterable[str]) -> Iterator[tuple[str, tuple[bytes, Stat] | None]]:
        return read_in_order(self.read, keys)

    def folder_version(self, folder: str) -> str | None:
        return self._call(lambda: self.storage.folder_version(folder))

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Blob:
        return self._call(lambda: self.storage.open(key, start, stop))

    def write(self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY) -> Stat:
        value = data if isinstance(data, bytes) else b"".join(data)
        return self._call(lambda: self.storage.write(key, value, expect=expect))

    def write_many(self, values: Mapping[str, bytes]) -> None:
        write_in_order(self.write, values)

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        self.turns.step()
        for stat in self.storage.list(prefix, after=after):
            self.turns.step()
            yield stat

    def list_folders(self, folder: str, *, after: str = "") -> Iterator[str]:
        return self._call(lambda: self.storage.list_folders(folder, after=after))

    def delete(self, key: str, *, expect: str = ANY) -> None:
        self._call(lambda: self.storage.delete(key, expect=expect))

    def delete_many(self, keys: Iterable[str]) -> None:
        delete_in_order(self.delete, keys)

    def publish(self, staged: str, folder: str) -> None:
        self._call(lambda: self.storage.publish(staged, folder))

    def link(self, source: str, target: str) -> Stat:
        return self._call(lambda: self.storage.link(source, target))

    def delete_tree(self, folder: str) -> None:
        self._call(lambda: self.storage.delete_tree(folder))
