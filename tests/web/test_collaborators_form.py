"""Who can be made a collaborator with the form: active users whom the backend finds (decisions.md 20)."""

from __future__ import annotations

import json

import pytest
from support.managed import NAME, PAGE, ManagedWorld
from support.page_person import Person, described, form_of
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry
from v1registry.accounts.users import UserStore
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.rights import Action

FORM = "/manage/collaborators/mira_k/app"


@pytest.fixture
def world() -> ManagedWorld:
    return ManagedWorld()


def test_account_that_was_never_activated_gets_no_right_and_keeps_no_name(world: ManagedWorld) -> None:
    world.users.create("newcomer", "s3cret-one", "newcomer@example.org", is_active=False)
    person = world.mira()

    answer = person.send(person.get(PAGE), FORM, user="newcomer", right="read")

    assert answer.status_int == 400
    assert described(answer, "user") == "There is no user of this name"
    assert world.repositories.collaborators(NAME) == {}
    assert list(world.storage.list("accounts/reserved/newcomer")) == []


def test_right_of_an_inactive_account_reserves_no_name() -> None:
    storage = MemoryStorage()
    users, repositories = UserStore(storage), Repositories(storage)
    newcomer = users.create("newcomer", "s3cret-one", is_active=False)
    repository = RepositoryName("alice", "app")
    repositories.set_private(repository, True)

    repositories.set_collaborator(
        repository, "newcomer", Action.READ, id_of=lambda username: newcomer.id, is_active=False
    )

    users.delete("newcomer")
    body = {"username": "newcomer", "password": "s3cret-one", "email": "newcomer@example.org"}
    client = Client(Registry(storage=storage, auth=users))
    assert client.post("/v1/users/", json.dumps(body)).status_int == 201
    later = users.find("newcomer")
    assert later is not None
    assert repositories.granted(repository, later) is None


def test_form_refuses_names_that_the_server_cannot_look_up() -> None:
    storage = MemoryStorage()
    app = Registry(storage=storage, auth="environ:REMOTE_USER")
    client = Client(app, REMOTE_USER="mira_k")
    client.put("/v1/repositories/mira_k/app/", "[]")
    person = Person(app, REMOTE_USER="mira_k")

    form = form_of(person.get(PAGE), FORM, user="", right="read")
    form["user"] = "robert"
    answer = form.submit(headers=person.headers, status="*")

    assert answer.status_int == 400
    assert described(answer, "user") == (
        "This server cannot look up users by name. "
        "Ask an administrator, who can add a collaborator on the server"
    )
    assert Repositories(storage).collaborators(NAME) == {}
