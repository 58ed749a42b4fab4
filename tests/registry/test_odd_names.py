"""Repositories of old data whose names are not allowed any more can be read and deleted (decisions.md 7)."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from support.accounts_world import REPOSITORIES, AccountsWorld, Person, image_of
from support.backends import People

from v1registry import MemoryStorage, Registry
from v1registry.names import RepositoryName
from v1registry.registry import layout
from v1registry.registry.repositories import Repositories
from v1registry.rights import User

IMAGE = image_of("base")
ODD_NAMES = [
    "Team/App",
    "team/with blank",
    "team/100%",
    "team/$x",
    "-team/app",
    "team/a/-b",
    "team/" + "x y" * 60,
]


@pytest.fixture(params=[0, -1], ids=["written up to 0.8.0", "written from 0.8.1 on"])
def storage(request: pytest.FixtureRequest) -> MemoryStorage:
    """Old data with all of the names, quoted once or twice."""
    storage = MemoryStorage()
    for name in ODD_NAMES:
        folder = layout.repository_folders(RepositoryName.parse(name))[request.param]
        if max(map(len, folder.split("/"))) > 240:
            folder = layout.repository_folders(RepositoryName.parse(name))[0]
        storage.write(f"{folder}/tag_1", IMAGE.image_id.encode())
        storage.write(f"{folder}/tag_odd+tag", IMAGE.image_id.encode())
        storage.write(f"{folder}/tag1_json", b"{}")
        storage.write(f"{folder}/_index_images", b"[]")
    for key, value in (("json", IMAGE.json), ("layer", IMAGE.layer)):
        storage.write(f"images/{IMAGE.image_id}/{key}", value)
    return storage


def people_of(storage: MemoryStorage) -> list[Person]:
    """Return those who may delete everything: a client of an open server, and an administrator."""
    world = AccountsWorld(People.of(User("root", is_administrator=True), User("eve")), storage)
    return [Person(Registry(storage=storage), {}), world.person("root")]


def path_of(name: str) -> str:
    return f"{REPOSITORIES}/{quote(name)}"


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("has_accounts", [False, True])
def test_old_repository_with_an_odd_name_can_be_deleted(
    storage: MemoryStorage, name: str, has_accounts: bool
) -> None:
    person = people_of(storage)[has_accounts]
    path = path_of(name)
    assert set(person.get(f"{path}/tags").json) == {"1", "odd tag"}
    assert person.ask("DELETE", f"{path}/tags/1").status_int == 200
    assert person.ask("DELETE", f"{path}/tags/{quote('odd tag')}").status_int == 200
    assert person.get(f"{path}/tags").json == {}
    assert person.ask("DELETE", f"{path}/").status_int == 200
    assert person.get(f"{path}/tags").status_int == 404
    assert person.ask("DELETE", f"{path}/").status_int == 400
    assert len(list(Repositories(storage).all())) == len(ODD_NAMES) - 1


def test_deletion_in_two_steps_works_under_an_odd_name(storage: MemoryStorage) -> None:
    root = people_of(storage)[1]
    assert root.ask("DELETE", f"{path_of('Team/App')}/", headers={"X-Docker-Token": "true"}).status_int == 202
    assert root.get(f"{path_of('Team/App')}/tags").status_int == 404
    assert root.ask("DELETE", f"{path_of('Team/App')}/", headers={"X-Docker-Token": "true"}).status_int == 200
    assert not list(storage.list("repositories/Team/"))


@pytest.mark.parametrize("name", ["Team/App", "Team/Missing"])
def test_others_do_not_learn_whether_an_odd_name_exists(storage: MemoryStorage, name: str) -> None:
    world = AccountsWorld(People.of(User("eve")), storage)
    for path in (f"{path_of(name)}/", f"{path_of(name)}/tags/1"):
        assert world.nobody().ask("DELETE", path).status_int == 401
        assert world.person("eve").ask("DELETE", path).status_int == 403


def test_odd_names_are_not_pushed_to(storage: MemoryStorage) -> None:
    for person in people_of(storage):
        for name in ("Team/App", "Team/New"):
            assert person.ask("PUT", f"{path_of(name)}/", "[]").status_int == 400
            assert person.tag(quote(name), IMAGE) == 400
