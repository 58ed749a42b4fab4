"""The number of storage calls of a request with accounts and a token. Each one costs time on every pull."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.accounts_world import REPOSITORIES, Person, list_of
from support.cheap_passwords import CheapPasswords
from support.credentials import basic, token_header
from support.engine_client import make_chain, tar_layer
from support.faulty_storage import FaultyStorage

from v1registry import Registry
from v1registry.accounts.users import UserStore

NAME = "alice/app"
CHAIN = make_chain([tar_layer({f"etc/{number}": b"layer"}) for number in range(5)])
TOP = CHAIN[-1]
CALLS = {"stat", "read", "open", "write", "list", "list_folders", "delete", "delete_tree", "publish"}


def calls_of(storage: FaultyStorage, action: Callable[..., int], *arguments: Any) -> int:
    """Return how many calls of the storage an action makes. Its status must be 200."""
    before = storage.count(*CALLS)
    assert action(*arguments) == 200
    return storage.count(*CALLS) - before


@pytest.fixture
def storage() -> FaultyStorage:
    return FaultyStorage()


@pytest.fixture
def app(storage: FaultyStorage) -> Registry:
    users = UserStore(storage, passwords=CheapPasswords())
    users.create("alice", "pw-alice", "alice@example.org")
    return Registry(storage=storage, auth=users)


@pytest.fixture
def pusher(app: Registry) -> Person:
    """Somebody with a write token of the repository, in which all but the last image are complete."""
    alice = Person(app, basic("alice"))
    token = alice.wanted_token("PUT", f"{REPOSITORIES}/{NAME}/", list_of(*CHAIN))
    pusher = Person(app, token_header(token))
    for image in CHAIN[:-1]:
        assert [pusher.put_json(image), pusher.put_layer(image), pusher.put_checksum(image)] == [200] * 3
    for number in range(10):
        assert pusher.tag(NAME, CHAIN[number % 4], f"v{number}") == 200
    return pusher


def complete(pusher: Person) -> None:
    assert [pusher.put_json(TOP), pusher.put_layer(TOP), pusher.put_checksum(TOP)] == [200] * 3


@pytest.mark.parametrize(("what", "most"), [("json", 7), ("layer", 8), ("ancestry", 6)])
def test_reading_an_image_with_a_token_costs_few_storage_calls(
    storage: FaultyStorage, app: Registry, pusher: Person, what: str, most: int
) -> None:
    complete(pusher)
    alice = Person(app, basic("alice"))
    reader = Person(app, token_header(alice.wanted_token("GET", f"{REPOSITORIES}/{NAME}/images")))
    for person in (pusher, reader):
        assert calls_of(storage, person.image, TOP, what) <= most


def test_completing_an_image_with_a_token_costs_few_storage_calls(
    storage: FaultyStorage, pusher: Person
) -> None:
    assert [pusher.put_json(TOP), pusher.put_layer(TOP)] == [200, 200]
    assert calls_of(storage, pusher.put_checksum, TOP) <= 14


def test_setting_a_tag_with_a_token_costs_few_storage_calls(storage: FaultyStorage, pusher: Person) -> None:
    complete(pusher)
    # one looks for the side of the distribution API, which must not decide any more
    assert calls_of(storage, pusher.tag, NAME, TOP) <= 12


def test_moving_a_tag_with_a_token_costs_few_storage_calls(storage: FaultyStorage, pusher: Person) -> None:
    complete(pusher)
    assert pusher.tag(NAME, CHAIN[0]) == 200
    # the value that is there is seen by the first try to set the tag; then the rule of the tags is read
    assert calls_of(storage, pusher.tag, NAME, TOP) <= 14


def test_a_missing_image_does_not_cost_a_look_at_every_repository(
    storage: FaultyStorage, app: Registry, pusher: Person
) -> None:
    complete(pusher)
    missing = make_chain([tar_layer({"etc/missing": b""})])[0]
    alice = Person(app, basic("alice"))

    def look() -> int:
        before = storage.count(*CALLS)
        assert pusher.image(missing) == 404
        return storage.count(*CALLS) - before

    pusher.image(missing)
    before = look()
    for number in range(20):
        assert alice.put(f"{REPOSITORIES}/alice/other{number}/", json.dumps([])).status_int == 200
    assert look() == before


def test_announcing_unknown_images_costs_one_storage_call_each(storage: FaultyStorage, app: Registry) -> None:
    alice = Person(app, basic("alice"))
    costs = []
    for number in (100, 1100):
        ids = [f"{number:060x}{other:04x}" for other in range(number)]
        body = json.dumps([{"id": image_id} for image_id in ids])
        before = storage.count(*CALLS)
        assert alice.put(f"{REPOSITORIES}/alice/many{number}/", body).status_int == 200
        costs.append(storage.count(*CALLS) - before)
    assert costs[1] - costs[0] == 1000
