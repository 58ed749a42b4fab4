"""A large image list is streamed from the storage, and is not in memory for each reader."""

from __future__ import annotations

import json

import pytest
from support.accounts_world import REPOSITORIES, Person
from support.faulty_storage import FaultyStorage

from v1registry import Registry

PATH = f"{REPOSITORIES}/alice/app/images"
KEY = "repositories/alice/app/_index_images"
LARGE = json.dumps([{"id": f"{number:064x}"} for number in range(2_000)]).encode()


@pytest.fixture
def storage() -> FaultyStorage:
    return FaultyStorage()


@pytest.fixture
def client(storage: FaultyStorage) -> Person:
    return Person(Registry(storage=storage), {})


def test_large_list_is_streamed_byte_for_byte(storage: FaultyStorage, client: Person) -> None:
    storage.write(KEY, b"  " + LARGE + b"\n")

    answer = client.get(PATH, {"X-Docker-Token": "true"})

    assert answer.status_int == 200
    assert answer.body == b"  " + LARGE + b"\n"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Length"] == str(len(LARGE) + 3)
    assert answer.headers["X-Docker-Token"]
    assert answer.headers["X-Docker-Endpoints"]
    assert storage.count("read", key=KEY) == 0


def test_head_of_a_large_list_has_its_length_and_no_body(storage: FaultyStorage, client: Person) -> None:
    storage.write(KEY, LARGE)

    answer = client.ask("HEAD", PATH)

    assert (answer.status_int, answer.headers["Content-Length"]) == (200, str(len(LARGE)))
    assert answer.body == b""


@pytest.mark.parametrize("damaged", [LARGE[:-1], LARGE[1:], b"\0" * len(LARGE)])
def test_damaged_large_list_is_answered_from_the_tags(
    storage: FaultyStorage, client: Person, damaged: bytes
) -> None:
    storage.write(KEY, damaged)
    storage.write("repositories/alice/app/tag_latest", b"1" * 64)

    answer = client.get(PATH)

    assert (answer.status_int, answer.json) == (200, [{"id": "1" * 64}])
