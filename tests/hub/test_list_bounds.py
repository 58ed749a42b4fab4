"""Image lists, announcements and chains have bounds (decisions.md 19)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from support.accounts_world import REPOSITORIES, AccountsWorld, People, Person, image_of
from support.engine_client import Image, make_chain, tar_layer
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry
from v1registry.names import RepositoryName
from v1registry.registry.image_lists import find_id
from v1registry.registry.repositories import Repositories
from v1registry.rights import User
from v1registry.wsgi import documents

CHAIN = make_chain([tar_layer({f"etc/{number}": b"layer"}) for number in range(4)], name="bounded")


def id_of(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def entries_of(numbers: range, **more: object) -> list[dict[str, object]]:
    return [{"id": id_of(number), **more} for number in numbers]


def alice_of(**settings: Any) -> Person:
    return AccountsWorld(People.of(User("alice")), **settings).person("alice")


def announce(person: Person, entries: object, name: str = "alice/app") -> int:
    return person.put(f"{REPOSITORIES}/{name}/", json.dumps(entries)).status_int


def end(person: Person, entries: object, name: str = "alice/app") -> int:
    return person.put(f"{REPOSITORIES}/{name}/images", json.dumps(entries)).status_int


def test_list_of_too_many_ids_is_413_and_changes_nothing() -> None:
    alice = alice_of(max_list_ids=10)
    assert announce(alice, entries_of(range(11))) == 413
    assert alice.answers[-1].json == {"error": "An image list may have at most 10 different ids"}
    assert alice.get(f"{REPOSITORIES}/alice/app/images").status_int == 404
    assert announce(alice, entries_of(range(10))) == 200
    assert end(alice, entries_of(range(11))) == 413
    assert len(alice.get(f"{REPOSITORIES}/alice/app/images").json) == 10


def test_ids_that_repeat_with_other_tags_count_once() -> None:
    alice = alice_of(max_list_ids=10)
    entries = [entry | {"Tag": tag} for entry in entries_of(range(10)) for tag in ("1", "2", "latest")]
    assert announce(alice, entries) == 200


def test_list_of_ten_thousand_ids_with_sums_and_tags_is_accepted() -> None:
    client = Client(Registry(storage=MemoryStorage()))
    entries = entries_of(range(10_000), checksum="tarsum+sha256:" + "0" * 64, Tag="latest")
    assert client.put(f"{REPOSITORIES}/library/many/", json.dumps(entries)).status_int == 200
    assert client.put(f"{REPOSITORIES}/library/many/", json.dumps(entries * 2)).status_int == 200
    too_many = json.dumps(entries_of(range(10_001)))
    assert client.put(f"{REPOSITORIES}/library/many/", too_many).status_int == 413


def test_list_with_a_large_bound_may_have_as_many_values() -> None:
    client = Client(Registry(storage=MemoryStorage(), max_list_ids=40_000))
    entries = entries_of(range(35_000), checksum="", Tag="latest")
    assert client.put(f"{REPOSITORIES}/library/many/", json.dumps(entries)).status_int == 200


@pytest.mark.parametrize("send", [announce, end])
@pytest.mark.parametrize(("length", "statuses"), [(200, (200, 204)), (201, (400,)), (1 << 20, (400,))])
def test_checksum_in_a_list_has_at_most_200_characters(send: Any, length: int, statuses: tuple[int]) -> None:
    alice = alice_of()
    assert send(alice, entries_of(range(1), checksum="A" * length)) in statuses


def test_list_does_not_grow_beyond_the_largest_document() -> None:
    alice = alice_of(max_document_bytes=10_000)
    statuses = [announce(alice, entries_of(range(50 * n, 50 * n + 50))) for n in range(4)]
    assert statuses == [200, 200, 413, 413]
    assert "would have more than 10000 bytes" in alice.answers[-1].json["error"]
    assert end(alice, entries_of(range(100, 150))) == 413
    listed = alice.get(f"{REPOSITORIES}/alice/app/images").body
    assert len(listed) <= 10_000
    assert len(json.loads(listed)) == 100


def test_full_list_still_takes_known_images_and_the_end_of_a_push() -> None:
    alice = alice_of(max_document_bytes=10_000)
    for number in range(3):
        announce(alice, entries_of(range(50 * number, 50 * number + 50)))
    assert announce(alice, entries_of(range(50))) == 200
    assert end(alice, []) == 204


def test_body_of_many_values_is_413_whatever_it_says() -> None:
    alice = alice_of()
    body = "[" + "{}," * 1_000_000 + "{}]"
    for path in (f"{REPOSITORIES}/alice/app/", f"{REPOSITORIES}/alice/app/images"):
        assert alice.put(path, body).status_int == 413
    assert "100000 values" in alice.answers[-1].json["error"]


def test_large_list_is_503_while_others_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "TURN_WAIT_S", 0.01)
    alice = alice_of()
    with documents.turn_for(documents.LARGE_BYTES + 1):
        assert announce(alice, entries_of(range(5000))) == 503
        assert alice.answers[-1].headers["Retry-After"] == "5"
        assert announce(alice, entries_of(range(5))) == 200
    assert announce(alice, entries_of(range(5000))) == 200


def test_merging_into_a_large_list_takes_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "TURN_WAIT_S", 0.01)
    alice = alice_of()
    assert announce(alice, entries_of(range(5000))) == 200
    with documents.turn_for(documents.LARGE_BYTES + 1):
        assert end(alice, entries_of(range(1))) == 503
    assert end(alice, entries_of(range(1))) == 204


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (f'[{{"id": "{id_of(1)}"}}]', True),
        (f'[{{"id":"{id_of(1)}","Tag":"latest"}}]', True),
        (f'[{{"id"\n:\t"{id_of(1)}"}}]', True),
        (f'[{{"\\u0069d": "\\u0036{id_of(1)[1:]}"}}]', True),
        (f'[{{"id": "{id_of(2)}"}}]', False),
        (f'[{{"id": "{id_of(2)}", "checksum": "{id_of(1)}"}}]', False),
        (f'[{{"id": "{id_of(2)}", "Tag": "\\"id\\":\\"{id_of(1)}\\""}}]', False),
    ],
)
def test_id_is_found_if_the_list_names_an_image(stored: str, expected: bool) -> None:
    assert id_of(1)[0] == "6"
    storage = MemoryStorage()
    storage.write("repositories/alice/app/_index_images", stored.encode())
    found = Repositories(storage).find_in_list(RepositoryName.parse("alice/app"), id_of(1))
    assert found == (expected, len(stored))


@pytest.mark.parametrize("cut", range(1, 100, 7))
def test_id_is_found_wherever_the_list_is_cut(cut: int) -> None:
    stored = f'[{{"id": "{id_of(2)}"}}, {{"id": "{id_of(1)}"}}]'.encode()
    assert find_id([stored[:cut], stored[cut : cut + 30], stored[cut + 30 :]], id_of(1)) is True
    assert find_id([stored[:cut], stored[cut : cut + 30], stored[cut + 30 :]], id_of(3)) is False


# -- chains


def test_chain_beyond_the_bound_is_400_and_says_why() -> None:
    alice = alice_of(max_chain_images=3)
    assert alice.announce("alice/app", *CHAIN) == 200
    for image in CHAIN[:3]:
        assert [alice.put_json(image), alice.put_layer(image), alice.put_checksum(image)] == [200] * 3
    assert alice.put_json(CHAIN[3]) == 400
    assert alice.answers[-1].json == {"error": "An image and its ancestors may be at most 3 images"}


def test_longer_chain_that_exists_stays_readable() -> None:
    world = AccountsWorld(People.of(User("alice")))
    world.person("alice").push("alice/app", *CHAIN)
    alice = Person(world.another_app(max_chain_images=2), world.person("alice").headers)
    for what in ("json", "layer", "ancestry", "files", "diff"):
        assert alice.image(CHAIN[-1], what) == 200
    assert alice.announce("alice/copy", *CHAIN) == 200
    assert alice.tag("alice/copy", CHAIN[-1]) == 200
    child = image_of("child", CHAIN[-1])
    assert alice.announce("alice/app", child) == 200
    assert alice.put_json(child) == 400


def test_chain_of_four_hundred_images_is_accepted_and_no_longer_one() -> None:
    client = Client(Registry(storage=MemoryStorage()))
    statuses = []
    for number in range(401):
        parent = {"parent": id_of(number - 1)} if number else {}
        document = json.dumps({"id": id_of(number), **parent}).encode()
        statuses.append(client.put_json(Image(id_of(number), document, b"")).status_int)
    assert statuses == [200] * 400 + [400]
