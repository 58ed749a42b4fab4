"""Announced pushes with passwords: few records, few lists, and nothing for a later account of the name."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.access_tokens import Granter, bearer
from support.accounts_world import REPOSITORIES, AccountsWorld, People, Person, image_of
from support.attacked import with_other_json
from support.credentials import basic
from support.engine_client import Image
from support.faulty_storage import FaultyStorage
from support.world import World

from v1registry import FileStorage, MemoryStorage
from v1registry.access.announcements import MOST_REPOSITORIES, Announcements
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.rights import User

IMAGE = image_of("announced")
ALICE = User("alice", id="1")
LOOKS = ("stat", "read", "open", "list", "list_folders")


def name_of(number: int) -> RepositoryName:
    return RepositoryName.parse(f"alice/app{number}")


def announce(storage: MemoryStorage | FaultyStorage, numbers: range, ids: list[str]) -> Announcements:
    """Return the announcements of a storage in which alice announced the ids to many repositories."""
    repositories = Repositories(storage)
    announcements = Announcements(storage, repositories)
    body = json.dumps([{"id": image_id} for image_id in ids]).encode()
    for number in numbers:
        repositories.announce(name_of(number), body, [])
        announcements.add(ALICE, name_of(number), ids)
    return announcements


def test_oldest_records_of_a_user_are_removed() -> None:
    storage = MemoryStorage()
    announcements = announce(storage, range(MOST_REPOSITORIES + 20), [IMAGE.image_id])
    assert len([*storage.list("uploads/_announced/")]) == MOST_REPOSITORIES
    assert announcements.recorded(ALICE, IMAGE.image_id)[0] == name_of(MOST_REPOSITORIES + 19)


def test_push_counts_for_the_newest_sixteen_repositories() -> None:
    announcements = announce(MemoryStorage(), range(30), [IMAGE.image_id])
    assert announcements.recorded(ALICE, IMAGE.image_id) == [name_of(number) for number in range(29, 13, -1)]


@pytest.mark.parametrize("ask", [Announcements.recorded, Announcements.of])
def test_question_about_an_image_costs_the_same_for_any_number_of_announcements(
    ask: Callable[[Announcements, User, str], list[RepositoryName]],
) -> None:
    costs = []
    for number in (300, 600):
        storage = FaultyStorage()
        announcements = announce(storage, range(number), [image_of("other").image_id])
        before = storage.count(*LOOKS)
        assert ask(announcements, ALICE, IMAGE.image_id) == []
        costs.append(storage.count(*LOOKS) - before)
    assert costs[0] == costs[1]


def test_few_bytes_of_long_records_are_read() -> None:
    storage = FaultyStorage()
    ids = [f"{number:064x}" for number in range(10_000)]
    announcements = announce(storage, range(20), ids)
    before = storage.count("read", key="uploads/_announced/*")
    assert announcements.recorded(ALICE, IMAGE.image_id) == []
    assert storage.count("read", key="uploads/_announced/*") - before <= 4


def test_few_bytes_of_long_lists_are_read() -> None:
    storage = FaultyStorage()
    repositories = Repositories(storage)
    announcements = Announcements(storage, repositories)
    body = json.dumps([{"id": f"{number:064x}", "Tag": "x" * 900} for number in range(4_000)]).encode()
    for number in range(20):
        repositories.announce(name_of(number), body, [])
        announcements.add(ALICE, name_of(number), [IMAGE.image_id])
    before = storage.count("open", "read", key="repositories/*/_index_images")
    assert announcements.recorded(ALICE, IMAGE.image_id) == []
    assert storage.count("open", "read", key="repositories/*/_index_images") - before <= 5


def test_record_that_was_written_again_is_the_newest() -> None:
    storage = MemoryStorage()
    announcements = announce(storage, range(3), [IMAGE.image_id])
    announcements.add(ALICE, name_of(0), [image_of("later").image_id])
    assert announcements.recorded(ALICE, IMAGE.image_id) == [name_of(0), name_of(2), name_of(1)]


def test_record_of_the_same_images_that_was_written_again_is_the_newest() -> None:
    storage = MemoryStorage()
    announcements = announce(storage, range(3), [IMAGE.image_id])
    announcements.add(ALICE, name_of(0), [IMAGE.image_id])
    assert announcements.recorded(ALICE, IMAGE.image_id) == [name_of(0), name_of(2), name_of(1)]


def test_image_that_is_announced_again_counts_however_many_others_come_with_it() -> None:
    announcements = announce(MemoryStorage(), range(1), [IMAGE.image_id])
    others = [f"{number:064x}" for number in range(9_999)]
    announcements.add(ALICE, name_of(0), [image_of("between").image_id])
    announcements.add(ALICE, name_of(0), [IMAGE.image_id, *others])
    assert announcements.recorded(ALICE, IMAGE.image_id) == [name_of(0)]


def test_same_push_a_day_later_takes_nothing_from_a_stranger(tmp_path: Path) -> None:
    people = {"root": User("root", is_administrator=True), "mallory": User("mallory")}
    world = AccountsWorld(People(people), FileStorage(tmp_path))
    root = world.person("root")
    assert root.announce("library/base", IMAGE) == 200
    world.person("mallory").push("mallory/base", with_other_json(IMAGE))
    day_ago_s = time.time() - 25 * 3600
    for path in (tmp_path / "uploads/_announced").rglob("base"):
        os.utime(path, (day_ago_s, day_ago_s))
    assert root.announce("library/base", IMAGE) == 200
    assert root.image(IMAGE) == 404
    root.push("library/base", IMAGE)
    assert world.nobody().get(f"/v1/images/{IMAGE.image_id}/json").body == IMAGE.json


def test_application_pushes_an_image_that_a_stranger_holds() -> None:
    world = World(oauth_http="allow")
    for name in ("alice", "mallory"):
        world.users.create(name, f"pw-{name}", f"{name}@example.org")
    Person(world.app, basic("mallory")).push("mallory/base", with_other_json(IMAGE))
    token = Granter(world.storage, world.users).token("alice", ["repo_write"])
    application = Person(world.app, bearer(token))
    assert application.announce("alice/app", IMAGE) == 200
    assert application.image(IMAGE) == 404
    application.push("alice/app", IMAGE)
    assert application.get(f"/v1/images/{IMAGE.image_id}/json").body == IMAGE.json


def test_push_counts_for_the_namespace_of_a_name_with_capitals() -> None:
    storage = MemoryStorage()
    announce(storage, range(1), [IMAGE.image_id])
    announcements = Announcements(storage, Repositories(storage))
    assert announcements.of(User("Alice", id="2"), IMAGE.image_id) == [name_of(0)]


# -- accounts


@dataclass
class Renewed(People):
    """People whose accounts can be replaced by later ones of the same names."""

    generation: int = 1

    def find(self, username: str) -> User | None:
        user = super().find(username)
        return None if user is None else replace(user, id=f"{username} {self.generation}")


def begun(world: AccountsWorld, image: Image) -> Person:
    """Return alice, who has sent a JSON and a layer."""
    alice = world.person("alice")
    assert [alice.announce("alice/app", image), alice.put_json(image), alice.put_layer(image)] == [200] * 3
    return alice


def test_later_account_of_the_name_inherits_no_unfinished_push() -> None:
    people = Renewed({"alice": User("alice")})
    world = AccountsWorld(people)
    begun(world, IMAGE)
    people.generation = 2
    later = world.person("alice")
    assert later.put_layer(IMAGE) == 404
    assert later.put_checksum(IMAGE) == 404


def test_same_account_completes_its_push_in_a_new_process() -> None:
    people = Renewed({"alice": User("alice")})
    world = AccountsWorld(people)
    begun(world, IMAGE)
    again = AccountsWorld(people, world.storage).person("alice")
    assert again.put_checksum(IMAGE) == 200


def test_later_account_of_the_name_inherits_no_announcement() -> None:
    announcements = announce(MemoryStorage(), range(1), [IMAGE.image_id])
    assert announcements.recorded(User("alice", id="1"), IMAGE.image_id) == [name_of(0)]
    assert announcements.recorded(User("alice", id="2"), IMAGE.image_id) == []


def test_later_account_of_the_name_does_not_count_the_bytes_of_the_earlier_one() -> None:
    people = Renewed({"alice": User("alice")})
    world = AccountsWorld(people, max_unfinished_pushes=1)
    begun(world, IMAGE)
    people.generation = 2
    begun(world, image_of("other"))


def test_token_and_password_of_a_user_count_together() -> None:
    world = AccountsWorld(People.of(User("alice")), max_unfinished_pushes=1)
    alice = begun(world, IMAGE)
    body = json.dumps([{"id": IMAGE.image_id}])
    token = alice.wanted_token("PUT", f"{REPOSITORIES}/alice/app/", body)
    assert Person(world.app, {"Authorization": f"Token {token}"}).put_json(IMAGE) == 429
