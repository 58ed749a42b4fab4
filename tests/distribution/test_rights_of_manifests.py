"""Who may read, push and delete manifests, on a server with accounts."""

from __future__ import annotations

import pytest
from support.accounts_world import Person
from support.credentials import basic
from support.token_world import TokenWorld
from support.v2_client import V2Client

from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.rights import Action

#: Caller -> statuses of GET, PUT and DELETE of a tag in a public and in a private repository of alice.
STATUSES = {
    None: ((200, 401, 401), (401, 401, 401)),
    "stranger": ((200, 403, 403), (404, 403, 403)),
    "reader": ((200, 403, 403), (200, 403, 403)),
    "writer": ((200, 201, 403), (200, 201, 403)),
    "alice": ((200, 201, 202), (200, 201, 202)),
    "root": ((200, 201, 202), (200, 201, 202)),
}


@pytest.mark.parametrize("caller", STATUSES)
@pytest.mark.parametrize("is_private", [False, True], ids=["public", "private"])
def test_each_caller_may_do_what_the_rights_of_v1_say(caller: str | None, is_private: bool) -> None:
    world = TokenWorld()
    for name in ("stranger", "reader", "writer"):
        world.users.create(name, f"pw-{name}")
    client = V2Client(world.app, "alice")
    manifest = client.artifact("alice/app", "one")
    assert client.put_manifest("alice/app", "1.0", manifest).status == 201
    if is_private:
        Person(world.app, basic("alice")).make_private("alice/app")
    repositories, repository = Repositories(world.storage), RepositoryName.parse("alice/app")
    repositories.set_collaborator(repository, "reader", Action.READ)
    repositories.set_collaborator(repository, "writer", Action.WRITE)
    asking = V2Client(world.app, caller)
    found = (
        asking.get_manifest("alice/app", "1.0").status,
        asking.put_manifest("alice/app", "2.0", manifest).status,
        asking.delete_manifest("alice/app", "1.0").status,
    )
    assert found == STATUSES[caller][is_private]
    assert client.get_manifest("alice/app", "1.0").status == (404 if found[2] == 202 else 200)
