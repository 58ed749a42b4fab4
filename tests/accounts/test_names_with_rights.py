"""Names of groups, collaborators and outside users: nobody gets their rights by registering (decisions.md 20,
21).
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from pathlib import Path

import pytest
from support.accounts_world import AccountsWorld, Person
from support.backends import PasswordsAlone, People
from support.cheap_passwords import CheapPasswords
from support.credentials import basic
from support.wsgi_client import Client, call

from v1registry import MemoryStorage, Registry
from v1registry.accounts import BackendChain, Callback
from v1registry.accounts.users import UserStore
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.rights import Action, User

RESERVED = "Invalid username: this name is reserved, only an administrator can give it"
NAME = RepositoryName("alice", "app")


def register(app: Registry, username: str) -> tuple[int, object]:
    body = json.dumps({"username": username, "password": "s3cret-one", "email": f"{username}@example.org"})
    answer = Client(app).post("/v1/users/", body)
    return answer.status_int, answer.json


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def users(storage: MemoryStorage) -> UserStore:
    made = UserStore(storage, passwords=CheapPasswords())
    made.create("dave", "s3cret-one")
    return made


# -- names of groups and collaborators


def test_name_of_a_group_cannot_be_registered(storage: MemoryStorage, users: UserStore) -> None:
    app = Registry(storage=storage, auth=users)
    assert register(app, "other")[0] == 201
    users.set_groups("dave", ["team_one"])
    assert register(app, "team_one") == (400, RESERVED)
    users.set_groups("dave", [])
    assert register(app, "team_one") == (400, RESERVED)
    users.create("team_one", "s3cret-one")


def test_name_of_a_collaborator_cannot_be_registered(storage: MemoryStorage, users: UserStore) -> None:
    app, repositories = Registry(storage=storage, auth=users), Repositories(storage)
    assert register(app, "other")[0] == 201
    repositories.set_private(NAME, True)
    repositories.set_collaborator(NAME, "Carol", Action.READ)
    assert register(app, "carol") == (400, RESERVED)


def test_names_that_got_rights_under_an_older_version_are_reserved(
    storage: MemoryStorage, users: UserStore
) -> None:
    repositories = Repositories(storage)
    repositories.set_private(NAME, True)
    repositories.set_collaborator(NAME, "carol", Action.READ)
    users.set_groups("dave", ["team_one"])
    storage.delete_tree("accounts/reserved")

    app = Registry(storage=storage, auth=users)
    assert register(app, "carol") == register(app, "team_one") == (400, RESERVED)
    assert register(app, "other")[0] == 201


def test_groups_of_a_directory_are_reserved_once_a_member_logs_in(storage: MemoryStorage) -> None:
    directory = People.of(User("mira", frozenset({"team_one"})))
    chain = BackendChain([directory, UserStore(storage, passwords=CheapPasswords())])
    app = Registry(storage=storage, auth=chain)
    assert Person(app, basic("mira")).get("/v1/users/").status_int == 200
    assert register(app, "team_one") == (400, RESERVED)


# -- chains with a backend that cannot look up names


def chain_of(storage: MemoryStorage, kind: str) -> BackendChain:
    users = UserStore(storage, passwords=CheapPasswords())
    first = PasswordsAlone() if kind == "alone" else Callback(lambda username, password: False)
    return BackendChain([first, users])


@pytest.mark.parametrize("kind", ["alone", "callback"])
def test_registration_is_closed_in_a_chain_that_cannot_look_up_names(
    storage: MemoryStorage, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = Registry(storage=storage, auth=chain_of(storage, kind))
    assert register(app, "carol")[0] == 401
    assert "registration is closed, because a backend of the chain" in caplog.text


def test_registration_is_closed_beside_a_surrounding_application(storage: MemoryStorage) -> None:
    app = Registry(storage=storage, auth="environ:REMOTE_USER,users:")
    assert register(app, "carol")[0] == 401


def test_registration_that_is_opened_explicitly_is_warned_about(
    storage: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    app = Registry(storage=storage, auth=chain_of(storage, "alone"), registration="open")
    assert register(app, "carol")[0] == 201
    assert "becomes that user" in caplog.text


def test_chain_that_looks_up_names_stays_open(
    storage: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    people = People.of(User("carol"))
    app = Registry(storage=storage, auth=BackendChain([people, UserStore(storage)]))
    assert register(app, "carol")[0] == 400
    assert register(app, "other")[0] == 201
    assert caplog.text == ""


def test_user_of_the_surrounding_application_cannot_be_registered_later(storage: MemoryStorage) -> None:
    app = Registry(storage=storage, auth="environ:REMOTE_USER,users:", registration="open")
    assert call(app, "GET", "/v1/users/", REMOTE_USER="Carol").status == 200
    assert register(app, "carol") == (400, RESERVED)


# -- the namespace of an outside user


def test_namespace_of_an_outside_user_is_in_lower_case() -> None:
    world = AccountsWorld(People.of(User("Mira.Kovac"), User("alice")))
    mira = world.person("Mira.Kovac")
    assert mira.announce("mira.kovac/app") == 200
    assert mira.delete("mira.kovac/app").status_int == 200
    assert world.person("alice").announce("mira.kovac/app") == 403
    assert mira.announce("alice/app") == 403


def test_second_user_with_the_name_in_different_case_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    world = AccountsWorld(People.of(User("Mira"), User("mira"), User("MIRA")))
    assert world.person("Mira").announce("mira/app") == 200
    for name in ("mira", "MIRA"):
        with caplog.at_level(logging.WARNING):
            assert world.person(name).announce("mira/app") == 401
        assert f"refused user {name!r}: the namespace 'mira' belongs to user 'Mira'" in caplog.text
    another = Person(world.another_app(), basic("mira"))
    assert another.get("/v1/users/").status_int == 401
    assert world.person("Mira").announce("mira/app") == 200


def test_refused_namesake_is_refused_for_each_kind_of_outside_user(tmp_path: Path) -> None:
    line = "{SHA}" + base64.b64encode(hashlib.sha1(b"pw").digest()).decode()
    (tmp_path / "users").write_text(f"Mira:{line}\nmira:{line}\n")
    for auth in (f"htpasswd://{tmp_path}/users", Callback(lambda username, password: password == "pw")):
        app = Registry(storage=MemoryStorage(), auth=auth)
        statuses = [Person(app, basic(name, "pw")).get("/v1/users/").status_int for name in ("Mira", "mira")]
        assert statuses == [200, 401]
    app = Registry(storage=MemoryStorage(), auth="environ:REMOTE_USER")
    statuses = [call(app, "GET", "/v1/users/", REMOTE_USER=name).status for name in ("Mira", "mira", "Mira")]
    assert statuses == [200, 401, 200]


def test_refused_namesake_with_the_right_password_is_no_failed_guess() -> None:
    world = AccountsWorld(People.of(User("Mira"), User("mira")))
    assert world.person("Mira").get("/v1/users/").status_int == 200
    assert {world.person("mira").get("/v1/users/").status_int for _ in range(20)} == {401}
    assert world.person("Mira").get("/v1/users/").status_int == 200


# -- rights by account id


def test_grant_does_not_pass_to_a_namesake(storage: MemoryStorage, users: UserStore) -> None:
    repositories = Repositories(storage)
    repositories.set_private(NAME, True)
    account = users.find("dave")
    assert account is not None
    repositories.set_collaborator(NAME, "dave", Action.READ, id_of=lambda username: account.id)
    client = Client(Registry(storage=storage, auth=users))
    tags = f"/v1/repositories/{NAME}/tags"
    assert client.get(tags, basic("dave", "s3cret-one")).status_int == 200
    users.delete("dave")
    users.create("dave", "s3cret-two")
    assert client.get(tags, basic("dave", "s3cret-two")).status_int == 404


@pytest.mark.parametrize(
    "broken", [b"[]", b"{", b'{"dave": 5}', b'{"dave": {"right": "read", "account": 5}}']
)
def test_broken_record_of_collaborators_gives_no_right(storage: MemoryStorage, broken: bytes) -> None:
    repositories = Repositories(storage)
    repositories.set_private(NAME, True)
    storage.write(f"repositories/{NAME}/_collaborators", broken)
    assert repositories.granted(NAME, User("dave")) is None
    assert repositories.collaborators(NAME) == {}
