"""Clients of two servers over one storage in this process: a server that remembers a tag is found out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import pytest
from support.faulty_storage import FaultyStorage
from support.linearisable import NotLinearisable, check_histories
from support.tag_clients import Crowd, TagClient

from v1registry import MemoryStorage, Registry, Storage
from v1registry.registry.tags import is_tag_value
from v1registry.storage.base import Stat
from v1registry.storage.many import read_in_order

REPOSITORIES = ("team/one", "team/two", "team/gone")

#: How long the wrong storage remembers a tag, in seconds.
REMEMBERED_S = 0.1


class RememberingStorage(FaultyStorage):
    """Remembers the file of a tag for 100 ms, which is wrong if another process writes it."""

    def __init__(self, storage: Storage):
        super().__init__(storage)
        self._remembered: dict[str, tuple[float, tuple[bytes, Stat]]] = {}
        self.remembered = 0  #: how many tags were answered from memory

    def read(self, key: str) -> tuple[bytes, Stat]:
        until_s, found = self._remembered.get(key, (0.0, (b"", None)))
        if time.monotonic() < until_s and found[1] is not None:
            self.remembered += 1
            return found[0], found[1]
        value = super().read(key)
        if is_tag_value(value[0]):
            self._remembered[key] = time.monotonic() + REMEMBERED_S, value
        return value

    def read_many(self, keys: Iterable[str]) -> Iterator[tuple[str, tuple[bytes, Stat] | None]]:
        return read_in_order(self.read, keys)


def run(one: Storage, other: Storage, *, seed: int) -> Crowd:
    """Let clients of two servers push, move, delete and read tags; return what they saw."""
    apps = [Registry(storage=storage, v2="on") for storage in (one, other)]
    crowd = Crowd(REPOSITORIES, pushes=40, deleted="team/gone")
    TagClient(crowd, apps[0], "first").push_base()
    crowd.run(apps * 3, seed=seed, limit_s=60)
    for app in apps:
        TagClient(crowd, app, "last").read_all()
    return crowd


def test_history_of_two_servers_over_one_storage_is_linearisable() -> None:
    storage = MemoryStorage()
    crowd = run(storage, storage, seed=1)
    assert sum(map(len, crowd.history.operations.values())) > 100
    check_histories(crowd.history.operations)


def test_server_that_remembers_a_tag_for_100_ms_is_found_out() -> None:
    storage = MemoryStorage()
    remembering = RememberingStorage(storage)
    crowd = run(storage, remembering, seed=1)
    assert remembering.remembered > 0
    with pytest.raises(NotLinearisable):
        check_histories(crowd.history.operations)
