"""Other holders of an image neither hide it nor make its requests slow (decisions.md 17)."""

from __future__ import annotations

import pytest
from support.accounts_world import AccountsWorld, Person, image_of
from support.backends import People
from support.engine_client import Image
from support.faulty_storage import FaultyStorage

from v1registry.access.holder_search import MOST_HIDDEN
from v1registry.access.marks import Mark
from v1registry.names import RepositoryName
from v1registry.registry import layout
from v1registry.registry.repositories import Repositories
from v1registry.rights import Action, User

IMAGE = image_of("base")
CALLS = ("stat", "read", "list", "list_folders")


@pytest.fixture
def storage() -> FaultyStorage:
    return FaultyStorage()


@pytest.fixture
def world(storage: FaultyStorage) -> AccountsWorld:
    """The public image of zoe, whose name sorts last."""
    world = AccountsWorld(People.of(User("zoe"), User("anna"), User("mira", frozenset({"team"}))), storage)
    world.person("zoe").push("zoe/app", IMAGE)
    return world


def hide_in(storage: FaultyStorage, *names: str, folder: str = layout.HELD) -> None:
    """Let private repositories hold the image, as their owners can by a push each."""
    for name in names:
        storage.write(f"repositories/{name}/{layout.PRIVATE}", b"")
        storage.write(f"repositories/{name}/{layout.INCARNATION}", b"made by anna")
        storage.write(f"images/{IMAGE.image_id}/{folder}/{name}", Mark("", "made by anna").dump())


def another_process(world: AccountsWorld) -> AccountsWorld:
    return AccountsWorld(world.people, world.storage)


def calls_of(storage: FaultyStorage, person: Person) -> int:
    before = storage.count(*CALLS)
    assert person.image(IMAGE) == 200
    return storage.count(*CALLS) - before


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("caller", ["nobody", "mira"])
def test_private_holders_do_not_hide_a_public_image(
    world: AccountsWorld, storage: FaultyStorage, caller: str, is_new: bool
) -> None:
    anna = world.person("anna")
    anna.push("anna/r0", IMAGE)
    anna.make_private("anna/r0")
    for number in range(1, 60):
        anna.announce(f"anna/r{number}", IMAGE)
        anna.make_private(f"anna/r{number}")
    assert anna.image(IMAGE) == 200
    seen = another_process(world) if is_new else world
    person = seen.nobody() if caller == "nobody" else seen.person(caller)
    assert [person.image(IMAGE, what) for what in ("json", "layer", "ancestry")] == [200] * 3


def test_holders_of_one_namespace_cost_one_look(world: AccountsWorld, storage: FaultyStorage) -> None:
    alone = calls_of(storage, another_process(world).nobody())
    hide_in(storage, *(f"anna/r{number}" for number in range(2 * MOST_HIDDEN)))
    assert calls_of(storage, another_process(world).nobody()) <= alone + 4


def test_found_holder_is_asked_first_next_time(world: AccountsWorld, storage: FaultyStorage) -> None:
    alone = calls_of(storage, world.nobody())
    hide_in(storage, *(f"n{number}/app" for number in range(300)))
    assert calls_of(storage, world.nobody()) <= alone
    assert calls_of(storage, world.person("mira")) <= alone + 4


def test_searches_of_one_caller_do_not_displace_what_others_found(
    world: AccountsWorld, storage: FaultyStorage
) -> None:
    alone = calls_of(storage, world.nobody())
    hide_in(storage, *(f"n{number}/app" for number in range(300)), *(f"anna/r{n}" for n in range(30)))
    for _ in range(3):
        assert world.person("anna").image(IMAGE) == 200
    assert calls_of(storage, world.nobody()) <= alone


def test_remembered_holder_is_checked_again(world: AccountsWorld) -> None:
    reader = world.nobody()
    assert reader.image(IMAGE) == 200
    world.person("zoe").make_private("zoe/app")
    assert reader.image(IMAGE) == 401
    world.person("zoe").make_private("zoe/app", "public")
    assert reader.image(IMAGE) == 200
    world.person("zoe").delete("zoe/app")
    assert reader.image(IMAGE) == 401


def test_a_search_is_bounded_and_the_next_one_goes_on(world: AccountsWorld, storage: FaultyStorage) -> None:
    hide_in(storage, *(f"n{number:04}/app" for number in range(MOST_HIDDEN + 10)))
    reader = another_process(world).nobody()
    before = storage.count("stat", "read")
    first = reader.image(IMAGE)
    assert storage.count("stat", "read") - before <= 4 * MOST_HIDDEN
    assert [first, reader.image(IMAGE), reader.image(IMAGE)] == [401, 200, 200]


@pytest.mark.parametrize("near", ["mira/app", "team/app", "library/app"])
def test_near_holders_are_asked_first(world: AccountsWorld, storage: FaultyStorage, near: str) -> None:
    hide_in(storage, *(f"b{number:04}/app" for number in range(MOST_HIDDEN + 10)))
    hide_in(storage, near)
    world.person("zoe").make_private("zoe/app")
    Repositories(storage).set_private(RepositoryName.parse(near), near != "library/app")
    person = another_process(world).person("mira")
    before = storage.count(*CALLS)
    assert person.image(IMAGE) == 200
    assert storage.count(*CALLS) - before <= 20


def test_public_copies_do_not_replace_the_first_content(world: AccountsWorld, storage: FaultyStorage) -> None:
    """60 public repositories hold other bytes of the id: callers without a token still get the first ones."""
    anna, other = world.person("anna"), image_of("other")
    other = Image(IMAGE.image_id, IMAGE.json, other.layer)
    anna.push("anna/r0", other)
    for number in range(1, 60):
        assert anna.announce(f"anna/r{number}", other) == 200
    reader = another_process(world).nobody()
    assert reader.get(f"/v1/images/{IMAGE.image_id}/layer").body == IMAGE.layer
    assert anna.get(f"/v1/images/{IMAGE.image_id}/layer").body == other.layer


# -- what lends


def test_grant_of_a_collaborator_does_not_lend_images(world: AccountsWorld) -> None:
    """A stranger grants writing to the victim. The victim's push must not take over the stranger's bytes."""
    world.grant("zoe/app", "mira", Action.WRITE)
    mira = world.person("mira")
    token = mira.wanted_token("PUT", "/v1/repositories/mira/app/", f'[{{"id": "{IMAGE.image_id}"}}]')
    pusher = Person(world.app, {"Authorization": f"Token {token}"})
    assert pusher.image(IMAGE) == 404
    assert pusher.tag("mira/app", IMAGE) == 404
    child = image_of("child", IMAGE)
    assert mira.announce("mira/app", child) == 200
    assert mira.put_json(child) == 400


def test_collaborator_still_pushes_to_the_granted_repository(world: AccountsWorld) -> None:
    world.grant("zoe/app", "mira", Action.WRITE)
    world.person("mira").push("zoe/app", image_of("child", IMAGE), tag="new")


@pytest.mark.parametrize("lender", ["mira/one", "team/one"])
def test_own_namespaces_lend_images(world: AccountsWorld, lender: str) -> None:
    mira = world.person("mira")
    mira.push(lender, IMAGE)
    assert mira.announce("mira/two", IMAGE) == 200
    assert mira.tag("mira/two", IMAGE) == 200


def test_repositories_that_a_policy_lets_all_write_lend_images(storage: FaultyStorage) -> None:
    world = AccountsWorld(
        People.of(User("zoe"), User("mira")), storage, policy=lambda user, *what: user is not None
    )
    world.person("zoe").push("common/app", IMAGE)
    mira = world.person("mira")
    assert mira.announce("common/other", IMAGE) == 200
    assert mira.tag("common/other", IMAGE) == 200
