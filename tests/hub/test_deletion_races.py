"""A deletion that overlaps a new push to the name leaves the new repository alone (decisions.md 14)."""

from __future__ import annotations

import pytest
from support.accounts_world import REPOSITORIES, AccountsWorld, image_of
from support.backends import People
from support.faulty_storage import FaultyStorage

from v1registry.rights import User

OLD, NEW = image_of("old"), image_of("new")

#: Calls after the look that finds the repository marked as deleted. The other request comes before them.
MOMENTS = [
    ("stat", "repositories/alice/app/_deleted", 2),
    ("list", "repositories/alice/app/*", 0),
    ("delete", "repositories/alice/app/*", 0),
    ("delete", "repositories/alice/app/*", 1),
    ("delete_tree", "repositories/alice/app", 0),
]


@pytest.fixture
def storage() -> FaultyStorage:
    return FaultyStorage()


@pytest.fixture
def world(storage: FaultyStorage) -> AccountsWorld:
    world = AccountsWorld(People.of(User("alice")), storage)
    world.person("alice").push("alice/app", OLD)
    return world


@pytest.mark.parametrize("wants_token", [True, False])
@pytest.mark.parametrize("moment", MOMENTS)
def test_second_request_of_a_deletion_spares_a_new_push(
    world: AccountsWorld, storage: FaultyStorage, moment: tuple[str, str, int], wants_token: bool
) -> None:
    alice, other = world.person("alice"), world.person("alice")
    assert alice.delete("alice/app", wants_token=True).status_int == 202
    method, key, skip = moment
    storage.before(lambda: other.push("alice/app", NEW), method, key=key, skip=skip)
    alice.delete("alice/app", wants_token=wants_token)
    storage.heal()
    if not other.answers:
        other.push("alice/app", NEW)  # there is no such call
    answer = alice.get(f"{REPOSITORIES}/alice/app/tags")
    assert (answer.status_int, answer.json) == (200, {"latest": NEW.image_id})
    assert [alice.image(NEW, what) for what in ("json", "layer")] == [200, 200]
    assert alice.image(OLD) == 404


def test_deletion_in_one_request_spares_a_push_that_comes_after_it_decided(
    world: AccountsWorld, storage: FaultyStorage
) -> None:
    alice, other = world.person("alice"), world.person("alice")
    storage.after(lambda: other.push("alice/app", NEW), "write", key="repositories/alice/app/_deleted")
    assert alice.delete("alice/app").status_int == 200
    assert alice.get(f"{REPOSITORIES}/alice/app/tags").json == {"latest": NEW.image_id}
    assert [alice.image(NEW), alice.image(OLD)] == [200, 404]


def test_deletion_leaves_no_key_of_the_repository(world: AccountsWorld) -> None:
    assert world.person("alice").delete("alice/app").status_int == 200
    assert not list(world.storage.list("repositories/"))
