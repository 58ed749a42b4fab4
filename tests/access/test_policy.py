"""Rights of users on repositories (hub.md 3)."""

from __future__ import annotations

import json

import pytest
from support.backends import PasswordsAlone
from support.credentials import basic
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry
from v1registry.access.policy import CallablePolicy, MembersPolicy, NamespacePolicy
from v1registry.errors import InvalidRepositoryName
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.rights import Action, Listing, User

READ, WRITE, DELETE = Action.READ, Action.WRITE, Action.DELETE


class Facts:
    """Repositories whose names say what they are."""

    def is_private(self, name: RepositoryName) -> bool:
        return "private" in name.repository

    def granted(self, name: RepositoryName, user: User) -> Action | None:
        return {"reader": READ, "writer": WRITE}.get(user.name) if "shared" in name.repository else None


USERS = {
    "anybody": None,
    "stranger": User("stranger"),
    "owner": User("acme"),
    "member": User("mira", frozenset({"acme", "others"})),
    "reader": User("reader"),
    "writer": User("writer"),
    "administrator": User("root", is_administrator=True),
    "namesake": User("library", frozenset({"library"})),
}

#: What each user may do in each repository: r, w and d, or - in their places.
TABLE = """
                        anybody  stranger  owner  member  reader  writer  administrator  namesake
acme/public             r--      r--       rwd    rwd     r--     r--     rwd            r--
acme/private            ---      ---       rwd    rwd     ---     ---     rwd            ---
acme/shared             r--      r--       rwd    rwd     r--     rw-     rwd            r--
acme/private-shared     ---      ---       rwd    rwd     r--     rw-     rwd            ---
library/public          r--      r--       r--    r--     r--     r--     rwd            r--
library/private         ---      ---       ---    ---     ---     ---     rwd            ---
library/private-shared  ---      ---       ---    ---     r--     rw-     rwd            ---
"""


def rows() -> list[tuple[str, str, Action, bool]]:
    head, *lines = (line.split() for line in TABLE.strip().splitlines())
    return [
        (who, line[0], action, letter != "-")
        for line in lines
        for who, letters in zip(head, line[1:], strict=True)
        for action, letter in zip((READ, WRITE, DELETE), letters, strict=True)
    ]


@pytest.mark.parametrize(("who", "name", "action", "is_allowed"), rows())
def test_policy_follows_the_table(who: str, name: str, action: Action, is_allowed: bool) -> None:
    policy = NamespacePolicy(Facts())
    assert policy.allows(USERS[who], action, *name.split("/")) is is_allowed


@pytest.mark.parametrize("namespace", ["Acme", "acme ", "acm", "acmee", "", "acme/x", "."])
def test_namespaces_are_compared_exactly(namespace: str) -> None:
    assert not NamespacePolicy(Facts()).allows(User("acme"), WRITE, namespace, "public")


def test_user_without_a_name_has_no_namespace() -> None:
    with pytest.raises(InvalidRepositoryName):
        RepositoryName("", "x").checked()
    assert not NamespacePolicy(Facts()).allows(User(""), WRITE, "acme", "x")


def test_flags_and_collaborators_count_and_end_at_once() -> None:
    repositories, name = Repositories(MemoryStorage()), RepositoryName("acme", "app")
    policy = NamespacePolicy(repositories)
    repositories.set_private(name, True)
    assert not policy.allows(User("otto"), READ, "acme", "app")
    repositories.set_collaborator(name, "otto", READ)
    assert policy.allows(User("otto"), READ, "acme", "app")
    assert not policy.allows(User("otto"), WRITE, "acme", "app")
    repositories.set_collaborator(name, "otto", WRITE)
    assert policy.allows(User("otto"), WRITE, "acme", "app")
    repositories.set_collaborator(name, "otto", None)
    assert not policy.allows(User("otto"), READ, "acme", "app")
    repositories.set_private(name, False)
    assert policy.allows(None, READ, "acme", "app")


def test_collaborators_end_with_the_repository() -> None:
    repositories, name = Repositories(MemoryStorage()), RepositoryName("acme", "app")
    repositories.set_private(name, True)
    repositories.set_collaborator(name, "otto", WRITE)
    repositories.remove(name)
    repositories.set_private(name, True)
    assert not NamespacePolicy(repositories).allows(User("otto"), READ, "acme", "app")


def test_function_as_policy_gets_all_arguments() -> None:
    asked = []

    def decide(user: User | None, action: Action, namespace: str, repository: str) -> bool:
        asked.append((user, action, namespace, repository))
        return action is READ

    policy = CallablePolicy(decide)
    assert policy.allows(None, READ, "a", "b/c")
    assert not policy.allows(User("mira"), WRITE, "a", "b")
    assert asked == [(None, READ, "a", "b/c"), (User("mira"), WRITE, "a", "b")]


def test_function_gets_each_name_in_one_form_only() -> None:
    """``team/top%252Fsecret`` must not be another name for what is stored as ``team/top/secret``."""
    storage, asked = MemoryStorage(), set()

    def decide(user: User | None, action: Action, namespace: str, repository: str) -> bool:
        asked.add((namespace, repository))
        return (namespace, repository) != ("team", "top/secret") or (user is not None and user.name == "boss")

    client = Client(Registry(storage=storage, auth=PasswordsAlone(), policy=decide))
    boss = basic("boss")
    body = json.dumps([{"id": "a" * 64}])
    assert client.put("/v1/repositories/team/top/secret/", body, boss).status_int == 200
    for written in (
        "top/secret",
        "top%2Fsecret",
        "top%252Fsecret",
        "top%25252Fsecret",
        "top//secret",
        "top/secret/",
    ):
        answer = client.get(f"/v1/repositories/team/{written}/images")
        assert (answer.status_int, b"aaaa" in answer.body) == (401, False), written
    assert ("team", "top/secret") in asked


# -- lists


@pytest.mark.parametrize("user", [None, User("mira"), User("root", is_administrator=True), User("zoe")])
def test_listing_of_namespaces_says_what_the_policy_allows(user: User | None) -> None:
    storage = MemoryStorage()
    repositories = Repositories(storage)
    names = [RepositoryName.parse(name) for name in ("mira/a", "mira/b", "zoe/a", "zoe/b", "base")]
    for name in names:
        repositories.announce(name, b"[]", [])
    for name in names[1::2]:
        repositories.set_private(name, True)
    repositories.set_collaborator(names[3], "mira", Action.READ)
    policy = NamespacePolicy(repositories)
    listing = policy.listing(user)
    for name in names:
        is_listed = (
            listing.is_everything
            or (listing.has_public and not repositories.is_private(name))
            or name.namespace in listing.namespaces
            or name in listing.repositories
            or (listing.collaborator is not None and repositories.granted(name, listing.collaborator))
        )
        assert bool(is_listed) == policy.allows(user, Action.READ, name.namespace, name.repository)


def test_listing_of_members_is_all_or_nothing() -> None:
    assert MembersPolicy().listing(None) == Listing()
    assert MembersPolicy().listing(User("mira")).is_everything


def test_function_as_policy_has_to_be_asked_about_each_repository() -> None:
    assert CallablePolicy(lambda user, action, namespace, repository: True).listing(None) is None
