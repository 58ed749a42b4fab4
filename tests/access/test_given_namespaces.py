"""To whom a namespace belongs, and that it can be given to another user (decisions.md 21)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.accounts_world import REPOSITORIES, AccountsWorld
from support.backends import People
from support.clock import Clock

from v1registry import MemoryStorage
from v1registry.access.namespaces import Namespaces, namespace_key
from v1registry.names import RepositoryName
from v1registry.rights import User


def test_old_owner_of_a_namespace_that_was_given_away_is_soon_refused() -> None:
    storage, clock = MemoryStorage(), Clock()
    namespaces = Namespaces(storage, clock=clock)
    old, new = User("Mira"), User("mira")
    assert (namespaces.admits(old), namespaces.admits(new)) == (True, False)
    storage.delete(namespace_key("mira"))
    assert namespaces.admits(new)
    clock.now_s += 61
    assert (namespaces.admits(old), namespaces.admits(new)) == (False, True)


def finder(*names: str) -> Callable[[str], User | None]:
    return lambda name: next((User(known) for known in names if known.lower() == name), None)


def test_old_repositories_belong_to_the_user_in_lower_case() -> None:
    namespaces = Namespaces(
        MemoryStorage(),
        find=lambda name: User(name) if name in ("Mira", "mira") else None,
        has_repositories=lambda namespace: namespace == "mira",
    )
    assert [namespaces.admits(User(name)) for name in ("Mira", "mira", "Mira")] == [False, True, False]


def test_private_repository_from_before_the_records_stays_with_its_user() -> None:
    world = AccountsWorld(People.of(User("Mira"), User("mira")))
    world.repositories.set_private(RepositoryName("mira", "app"), True)
    tags = f"{REPOSITORIES}/mira/app/tags"
    assert world.person("Mira").get(tags).status_int == 401
    assert world.person("mira").get(tags).status_int == 200


def test_directory_that_ignores_case_gives_the_namespace_to_its_only_user() -> None:
    namespaces = Namespaces(MemoryStorage(), find=finder("Mira"), has_repositories=lambda namespace: True)
    assert namespaces.admits(User("Mira"))


@pytest.mark.parametrize("names", [("Mira", "MIRA"), ("MIRA", "mira")])
def test_read_only_registry_admits_one_user_of_names_in_another_case(names: tuple[str, str]) -> None:
    storage, clock = MemoryStorage(), Clock()
    namespaces = Namespaces(storage, is_read_only=True, clock=clock)
    first, second = (User(name) for name in names)
    assert (namespaces.admits(first), namespaces.admits(second)) == (True, False)
    clock.now_s += 61
    assert (namespaces.admits(second), namespaces.admits(first)) == (False, True)
    assert not list(storage.list(""))
