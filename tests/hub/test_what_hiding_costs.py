"""The time of an answer must not tell what is hidden from what is absent: as much is looked at for both.

Clocks would prove nothing on a busy machine, so the looks at the storage are counted, in their order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

import pytest
from support.accounts_world import READ, REPOSITORIES, WRITE, Person, World, list_of
from support.attacked import ABSENT, BASE, MALLORY, OWN, SECRET, with_secret

from v1registry import MemoryStorage, Storage
from v1registry.storage.base import ANY, Blob, Stat


class CountingStorage:
    """A storage that notes what it is asked."""

    shared_by_processes = False

    def __init__(self, storage: Storage):
        self.storage = storage
        self.asked: list[str] = []

    def stat(self, key: str) -> Stat:
        self.asked.append("stat")
        return self.storage.stat(key)

    def read(self, key: str) -> bytes:
        self.asked.append("read")
        return self.storage.read(key)

    def read_with_stat(self, key: str) -> tuple[bytes, Stat]:
        self.asked.append("read_with_stat")
        return self.storage.read_with_stat(key)

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Blob:
        self.asked.append("open")
        return self.storage.open(key, start, stop)

    def write(self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY) -> Stat:
        self.asked.append("write")
        return self.storage.write(key, data, expect=expect)

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        self.asked.append("list")
        return self.storage.list(prefix, after=after)

    def list_folders(self, folder: str, *, after: str = "", even_empty: bool = False) -> Iterator[str]:
        self.asked.append("list_folders")
        return self.storage.list_folders(folder, after=after, even_empty=even_empty)

    def delete(self, key: str) -> None:
        self.asked.append("delete")
        self.storage.delete(key)

    def delete_tree(self, folder: str) -> None:
        self.asked.append("delete_tree")
        self.storage.delete_tree(folder)

    def lock(self, folder: str) -> AbstractContextManager[None]:
        self.asked.append("lock")
        return self.storage.lock(folder)


@pytest.fixture(scope="module")
def world() -> World:
    filled = with_secret()
    filled.person("mallory").push("mallory/x", OWN)
    return filled


@pytest.fixture
def counted(world: World) -> World:
    return World(world.people, CountingStorage(world.copy().storage))


def looks_for(spy: Person, world: World, method: str, path: str, body: str = "") -> tuple[int, list[str]]:
    """Return the status of an answer and what was asked of the storage for it."""
    assert isinstance(world.storage, CountingStorage)
    world.storage.asked.clear()
    status = spy.ask(method, path, body).status_int
    return status, list(world.storage.asked)


def spies(world: World) -> list[Person]:
    return [
        world.nobody(),
        world.person("mallory"),
        *(world.bearer("mallory/x", access, user) for access in (READ, WRITE) for user in (MALLORY, None)),
    ]


@pytest.mark.parametrize("what", ["json", "layer", "ancestry", "files", "diff"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_hidden_image_costs_what_an_absent_one_costs(counted: World, method: str, what: str) -> None:
    for spy in spies(counted):
        spy.image(ABSENT)  # the first request of a server looks through old data
        costs = [
            looks_for(spy, counted, method, f"/v1/images/{image.image_id}/{what}")
            for image in (SECRET, BASE, ABSENT)
        ]
        assert costs[0] == costs[1] == costs[2], spy.headers
        assert costs[0][0] == 404
        assert costs[0][1]


@pytest.mark.parametrize("what", ["json", "layer", "checksum"])
def test_a_push_of_a_hidden_image_that_is_not_listed_costs_what_one_of_an_absent_image_costs(
    counted: World, what: str
) -> None:
    for spy in spies(counted):
        spy.image(ABSENT)
        costs = [
            looks_for(spy, counted, "PUT", f"/v1/images/{image.image_id}/{what}", json.dumps({"id": image.image_id}))
            for image in (SECRET, ABSENT)
        ]  # fmt: skip
        assert costs[0] == costs[1], spy.headers
        assert costs[0][0] in (400, 401)


def test_a_tag_on_a_hidden_image_and_a_child_of_it_cost_what_they_cost_with_an_absent_one(
    counted: World,
) -> None:
    for spy in (counted.person("mallory"), counted.bearer("mallory/x", WRITE, MALLORY)):
        spy.image(ABSENT)
        costs = [
            looks_for(spy, counted, "PUT", f"{REPOSITORIES}/mallory/x/tags/mine", json.dumps(image.image_id))
            for image in (SECRET, ABSENT)
        ]
        assert costs[0] == costs[1]
        assert costs[0][0] == 404
        child = "c" * 64
        assert spy.put(f"{REPOSITORIES}/mallory/x/", json.dumps([{"id": child}])).status_int == 200
        costs = [
            looks_for(
                spy, counted, "PUT", f"/v1/images/{child}/json", json.dumps({"id": child, "parent": image.image_id})
            )
            for image in (SECRET, ABSENT)
        ]  # fmt: skip
        assert costs[0] == costs[1]
        assert costs[0][0] == 400


@pytest.mark.parametrize("end", ["images", "tags", "tags/latest", "tags/latest/json", "json", "properties", f"layer/{SECRET.image_id}/access"])  # fmt: skip
def test_a_hidden_repository_costs_what_an_absent_one_costs(counted: World, end: str) -> None:
    for spy in (counted.nobody(), counted.person("mallory")):
        spy.image(ABSENT)
        costs = [
            looks_for(spy, counted, method, f"{REPOSITORIES}/{name}/{end.replace(SECRET.image_id, image)}")
            for method in ("GET", "HEAD")
            for name, image in (("alice/app", SECRET.image_id), ("alice/not", ABSENT.image_id))
        ]
        assert costs[0] == costs[1]
        assert costs[2] == costs[3]
        assert costs[0][0] in (200, 404)


@pytest.mark.parametrize(("method", "end"), [("PUT", "/"), ("PUT", "/images"), ("PUT", "/tags/latest"), ("DELETE", "/"), ("DELETE", "/images"), ("DELETE", "/tags/latest"), ("PUT", "/properties")])  # fmt: skip
def test_to_be_refused_costs_the_same_whether_the_repository_is_there_or_not(
    counted: World, method: str, end: str
) -> None:
    for spy in (counted.nobody(), counted.person("mallory")):
        costs = [
            looks_for(spy, counted, method, f"{REPOSITORIES}/{name}{end}", list_of(OWN))
            for name in ("alice/app", "alice/not")
        ]
        assert costs[0] == costs[1]
        assert costs[0][0] in (401, 403)


def test_the_storage_that_counts_is_a_storage(world: World) -> None:
    counting = CountingStorage(MemoryStorage())
    counting.write("a/b", b"c")
    assert ([stat.key for stat in counting.list("")], list(counting.list_folders(""))) == (["a/b"], ["a"])
    assert counting.asked == ["write", "list", "list_folders"]
