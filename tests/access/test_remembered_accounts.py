"""What a server remembers of users, tokens and rights never outlives a change that another process makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.accounts_world import Person
from support.credentials import basic
from support.two_account_servers import IMAGE, OF_TEAM, OTHER_IMAGE, PRIVATE, PUBLIC, Asked, TwoServers
from support.v2_client import V2Client

from v1registry.rights import Action

OF_V1 = ("json", "ancestry", "layer", "tag", "tags")
OF_V2 = ("manifest", "digest", "blob")


@pytest.fixture(params=["folder", "memory"])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> TwoServers:
    return TwoServers.over_memory() if request.param == "memory" else TwoServers.over_folder(tmp_path)


@pytest.fixture
def in_folder(tmp_path: Path) -> TwoServers:
    return TwoServers.over_folder(tmp_path)


@dataclass(frozen=True)
class Change:
    """A change by another process, and the statuses of v1 and of ``/v2/`` after it.

    :param statuses: kind of credentials -> status of v1, status of ``/v2/``.
    """

    username: str
    repository: str
    make: Callable[[TwoServers], object]
    statuses: dict[str, tuple[int, int]]


def create_again(servers: TwoServers, username: str) -> None:
    servers.other.users.delete(username)
    servers.other.users.create(username, f"pw-{username}")


def delete(servers: TwoServers, repository: str, owner: str) -> None:
    assert Person(servers.other.app, basic(owner)).delete(repository).status_int == 200


def delete_and_begin_again(servers: TwoServers, repository: str, owner: str) -> None:
    delete(servers, repository, owner)
    assert Person(servers.other.app, basic(owner)).announce(repository, OTHER_IMAGE) == 200


GONE = {"Basic": (401, 401), "token": (401, 401)}
HIDDEN = {"Basic": (404, 404), "token": (404, 404)}

CHANGES = {
    "disabled user": Change(
        "mira",
        PRIVATE,
        lambda servers: servers.other.users.set_active("mira", False),
        {"Basic": (403, 403), "token": (403, 401)},
    ),
    "changed password": Change(
        "mira", PRIVATE, lambda servers: servers.other.users.set_password("mira", "another one"), GONE
    ),
    "deleted user": Change("mira", PRIVATE, lambda servers: servers.other.users.delete("mira"), GONE),
    "later account of the name": Change(
        "mira",
        PRIVATE,
        lambda servers: create_again(servers, "mira"),
        {"Basic": (200, 200), "token": (401, 401)},
    ),
    "revoked collaborator": Change("alice", PRIVATE, lambda servers: servers.grant("alice", None), HIDDEN),
    "later account of the name of a collaborator": Change(
        "alice",
        PRIVATE,
        lambda servers: create_again(servers, "alice"),
        {"Basic": (404, 404), "token": (401, 401)},
    ),
    "left group": Change("bob", OF_TEAM, lambda servers: servers.other.users.set_groups("bob", []), HIDDEN),
    "revoked administrator": Change(
        "root", PRIVATE, lambda servers: servers.other.users.set_administrator("root", False), HIDDEN
    ),
    "repository that became private": Change(
        "eve",
        PUBLIC,
        lambda servers: servers.owner.make_private(PUBLIC),
        {**HIDDEN, "anonymous": (401, 401)},
    ),
    "deleted repository": Change("mira", PRIVATE, lambda servers: delete(servers, PRIVATE, "mira"), HIDDEN),
    "public repository that was deleted": Change(
        "eve", PUBLIC, lambda servers: delete(servers, PUBLIC, "mira"), {**HIDDEN, "anonymous": (401, 401)}
    ),
    "repository that was made again": Change(
        "mira", PRIVATE, lambda servers: delete_and_begin_again(servers, PRIVATE, "mira"), HIDDEN
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_answers_after_a_change_are_those_of_a_fresh_server(servers: TwoServers, name: str) -> None:
    change = CHANGES[name]
    asked = [
        Asked(change.username, kind, change.repository, what)
        for kind in change.statuses
        for what in (*OF_V1, *OF_V2)
    ]
    askers = {one: servers.asker(one) for one in asked}
    for ask in askers.values():
        assert [ask(servers.server.app)[0] for _ in range(3)] == [200, 200, 200]
    change.make(servers)
    fresh = servers.fresh()
    for one, ask in askers.items():
        found, expected = ask(servers.server.app), ask(fresh)
        assert found == expected, one
        if one.what in ("tag", "manifest"):
            assert found[0] == change.statuses[one.kind][one.what == "manifest"], one


@pytest.mark.parametrize("kind", ["Basic", "token"])
def test_rights_that_are_given_count_at_once(servers: TwoServers, kind: str) -> None:
    askers = [servers.asker(Asked("eve", kind, PUBLIC, what)) for what in OF_V1]
    private = [servers.asker(Asked("eve", "Basic", PRIVATE, what)) for what in ("tag", "manifest")]
    assert [ask(servers.server.app)[0] for ask in private] == [404, 404]
    servers.grant("eve", Action.READ)
    assert [ask(servers.server.app)[0] for ask in private] == [200, 200]
    assert [ask(servers.server.app)[0] for ask in askers] == [200] * len(OF_V1)


def test_user_who_is_enabled_again_is_let_in(servers: TwoServers) -> None:
    ask = servers.asker(Asked("mira", "token", PRIVATE, "json"))
    for is_active, status in ((True, 200), (False, 403), (True, 200), (False, 403)):
        servers.other.users.set_active("mira", is_active)
        assert ask(servers.server.app)[0] == status


def test_new_password_counts_at_once(servers: TwoServers) -> None:
    paths = "/v1/users/", f"/v1/repositories/{PRIVATE}/tags/latest"
    for password in ("second password", "third password"):
        servers.other.users.set_password("mira", password)
        person = Person(servers.server.app, basic("mira", password))
        assert [person.get(path).status_int for path in paths * 2] == [200] * 4
        assert Person(servers.server.app, basic("mira")).get(paths[1]).status_int == 401


def test_image_that_another_process_pushes_is_seen(servers: TwoServers) -> None:
    person = Person(servers.server.app, basic("eve"))
    assert [person.image(OTHER_IMAGE) for _ in range(2)] == [404, 404]
    servers.owner.push(PUBLIC, OTHER_IMAGE, tag="other")
    assert person.image(OTHER_IMAGE) == 200


def test_holder_that_another_process_adds_is_seen(servers: TwoServers) -> None:
    alice = Person(servers.server.app, basic("alice"))
    for _ in range(2):
        assert (alice.image(IMAGE), alice.image(OTHER_IMAGE)) == (200, 404)
    Person(servers.other.app, basic("alice")).push("alice/one", OTHER_IMAGE)
    assert alice.image(OTHER_IMAGE) == 200
    delete(servers, PUBLIC, "mira")
    assert alice.image(IMAGE) == 200  # by the private repository alone
    servers.grant("alice", None)
    assert (alice.image(IMAGE), alice.image(OTHER_IMAGE)) == (404, 200)
    delete(servers, "alice/one", "alice")
    assert alice.image(OTHER_IMAGE) == 404


def test_images_of_a_repository_that_is_made_again_are_new(servers: TwoServers) -> None:
    token, bearer = servers.credentials("mira", "token", PRIVATE)
    person = Person(servers.server.app, {"Authorization": token})
    assert person.image(IMAGE) == 200
    delete_and_begin_again(servers, PRIVATE, "mira")
    assert person.image(IMAGE) == 404
    servers.owner.push(PRIVATE, IMAGE, tag="again")
    assert person.image(IMAGE) == 200
    blob = f"/v2/{PRIVATE}/blobs/{servers.blob(PRIVATE)}"
    assert Person(servers.server.app, {"Authorization": bearer}).get(blob).status_int == 404
    V2Client(servers.other.app, "mira").image(PRIVATE, PRIVATE)
    assert Person(servers.server.app, {"Authorization": bearer}).get(blob).status_int == 200


def test_mark_that_is_damaged_later_does_not_count(servers: TwoServers) -> None:
    ask = servers.asker(Asked("mira", "token", PRIVATE, "json"))
    assert ask(servers.server.app)[0] == 200
    servers.other_storage.write(f"images/{IMAGE.image_id}/_held_by/{PRIVATE}", b"{")
    assert ask(servers.server.app) == ask(servers.fresh())


def test_incarnation_that_is_emptied_later_does_not_count(servers: TwoServers) -> None:
    ask = servers.asker(Asked("mira", "token", PRIVATE, "json"))
    assert ask(servers.server.app)[0] == 200
    servers.other_storage.write(f"repositories/{PRIVATE}/_incarnation", b"")
    found = ask(servers.server.app)
    assert found[0] == 404
    assert found == ask(servers.fresh())


def test_collaborators_that_are_damaged_later_do_not_count(servers: TwoServers) -> None:
    ask = servers.asker(Asked("alice", "token", PRIVATE, "tag"))
    assert ask(servers.server.app)[0] == 200
    servers.other_storage.write(f"repositories/{PRIVATE}/_collaborators", b"[")
    assert ask(servers.server.app)[0] == 404


def test_user_record_that_is_damaged_later_does_not_count(servers: TwoServers) -> None:
    asks: list[Callable[[Any], tuple[int, bytes]]] = [
        servers.asker(Asked("mira", kind, PRIVATE, what)) for kind in ("Basic", "token") for what in OF_V1
    ]
    assert {ask(servers.server.app)[0] for ask in asks} == {200}
    servers.other_storage.write("accounts/users/mira", b"{}")
    assert {ask(servers.server.app)[0] for ask in asks} == {503}


def test_image_that_an_old_server_removes_is_missing(in_folder: TwoServers, tmp_path: Path) -> None:
    asks = [in_folder.asker(Asked("mira", kind, PRIVATE, "json")) for kind in ("Basic", "token")]
    assert [ask(in_folder.server.app)[0] for ask in asks] == [200, 200]
    (tmp_path / f"images/{IMAGE.image_id}/json").unlink()
    assert [ask(in_folder.server.app)[0] for ask in asks] == [404, 404]


def test_tag_that_an_old_server_writes_in_place_is_seen(in_folder: TwoServers, tmp_path: Path) -> None:
    in_folder.owner.push(PRIVATE, OTHER_IMAGE, tag="other")
    asks = [in_folder.asker(Asked("mira", kind, PRIVATE, "tag")) for kind in ("Basic", "token")]
    for image in (IMAGE, OTHER_IMAGE, IMAGE):
        (tmp_path / f"repositories/{PRIVATE}/tag_latest").write_text(image.image_id, "ascii")
        assert [ask(in_folder.server.app)[1] for ask in asks] == [f'"{image.image_id}"'.encode()] * 2
