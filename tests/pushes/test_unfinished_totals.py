"""Bounds of unfinished pushes if there are no users: all clients of an open server, and the namespaces of an
index (decisions.md 19).
"""

from __future__ import annotations

import pytest
from support.accounts_world import AccountsWorld, Person, image_of
from support.backends import People
from support.clock import Clock
from support.engine_client import Image
from support.set_index import WRITE, Index, make_access

from v1registry import MemoryStorage, Registry
from v1registry.rights import User

IMAGES = [image_of(f"total {number}") for number in range(4)]


def client_of(app: Registry, number: int) -> Person:
    """Return a client that invented its credentials."""
    return Person(app, {"Authorization": f"Token invented={number}"})


def counted_bytes(storage: MemoryStorage) -> int:
    return sum(int(stat.key.rpartition(".")[2]) for stat in storage.list("uploads/_bytes/"))


def size_of_json(image: Image) -> int:
    """Return how many bytes one unfinished push counts after its JSON."""
    storage = MemoryStorage()
    assert client_of(Registry(storage=storage), 0).put_json(image) == 200
    return counted_bytes(storage)


def test_clients_of_an_open_server_are_bounded_together() -> None:
    storage = MemoryStorage()
    most = sum(size_of_json(image) for image in IMAGES[:3])
    app = Registry(storage=storage, max_unfinished_total_bytes=most)

    statuses = [client_of(app, number).put_json(image) for number, image in enumerate(IMAGES)]

    assert statuses == [200, 200, 200, 507]
    assert counted_bytes(storage) == most


def test_refusal_says_the_bound_and_a_finished_push_makes_room() -> None:
    app = Registry(storage=MemoryStorage(), max_unfinished_total_bytes=3_000)
    first, second = client_of(app, 1), client_of(app, 2)
    assert [first.put_json(IMAGES[0]), first.put_layer(IMAGES[0])] == [200, 200]
    large = Image(IMAGES[1].image_id, IMAGES[1].json, b"x" * 3_000)
    assert second.put_json(large) == 200

    assert second.put_layer(large) == 507

    assert second.answers[-1].json == {
        "error": "The unfinished pushes of all clients would have more than 3000 bytes: try again later"
    }
    assert first.put_checksum(IMAGES[0]) == 200
    assert second.put_json(IMAGES[2]) == 200


@pytest.mark.parametrize("total", [1, 1_000])
def test_total_is_for_open_servers_alone(total: int) -> None:
    alice = AccountsWorld(People.of(User("alice")), max_unfinished_total_bytes=total).person("alice")
    alice.push("alice/app", *IMAGES)
    assert alice.image(IMAGES[-1]) == 200


def test_tokens_of_one_namespace_are_counted_together() -> None:
    access = make_access(Index(), Clock())
    keys = [access.rights(WRITE.replace("foo/bar", name), {}).push_key() for name in ("foo/bar", "foo/x")]
    other = access.rights(WRITE.replace("foo/bar", "other/bar"), {}).push_key()

    assert keys[0].owner == keys[1].owner
    assert keys[0].name != keys[1].name
    assert other.owner != keys[0].owner
