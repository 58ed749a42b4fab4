"""Names that cannot be registered: those of old data are collected once for a storage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from support.cheap_passwords import CheapPasswords
from support.faulty_storage import FaultyStorage
from support.wsgi_client import Client

from v1registry import FileStorage, MemoryStorage, Registry, errors
from v1registry.accounts.users import UserStore
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.reserved_names import ReservedNames, reserve
from v1registry.rights import Action
from v1registry.storage.base import StorageUnavailable


class Older:
    """The names of old data. ``count`` is how often they were asked for."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.count = 0
        self.may_go_on = Event()
        self.may_go_on.set()

    def __call__(self) -> Iterator[str]:
        self.count += 1
        self.may_go_on.wait(30)
        yield from self.names


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


def test_names_of_old_data_are_reserved_in_any_case(storage: MemoryStorage) -> None:
    names = ReservedNames(storage, Older("Carol", "team"))
    assert [names.includes(name) for name in ("carol", "CAROL", "team", "dave")] == [True, True, True, False]


def test_old_data_is_collected_once_for_all_processes(storage: MemoryStorage) -> None:
    older = Older("carol")
    for _ in range(3):
        names = ReservedNames(storage, older)
        assert [names.includes(name) for name in ("dave", "carol", "eve")] == [False, True, False]
    assert older.count == 1


def test_name_that_is_reserved_already_needs_no_collection(storage: MemoryStorage) -> None:
    older = Older()
    reserve(storage, "carol")
    assert ReservedNames(storage, older).includes("carol")
    assert older.count == 0


def test_questions_wait_for_one_collection_and_are_refused_when_it_takes_long(storage: MemoryStorage) -> None:
    older = Older("carol")
    older.may_go_on.clear()
    names = ReservedNames(storage, older, wait_s=0.01)
    for name in ("dave", "carol", "dave"):
        with pytest.raises(errors.NamesBusy):
            names.includes(name)
    running = names._collection
    assert running is not None
    older.may_go_on.set()
    running.result(30)
    assert [names.includes(name) for name in ("dave", "carol")] == [False, True]
    assert older.count == 1


def test_collection_that_fails_begins_again() -> None:
    storage = FaultyStorage()
    names = ReservedNames(storage, Older("carol"))
    storage.fail("write")
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            names.includes("dave")
    storage.heal()
    assert [names.includes(name) for name in ("dave", "carol")] == [False, True]


def test_interrupted_collection_is_repeated_by_another_process(storage: MemoryStorage) -> None:
    faulty = FaultyStorage(storage)
    faulty.fail("write", key="accounts/reserved-names-complete")
    with pytest.raises(StorageUnavailable):
        ReservedNames(faulty, Older("carol")).includes("dave")
    older = Older("carol", "team")
    assert ReservedNames(storage, older).includes("team")
    assert older.count == 1


def test_registration_is_503_while_names_are_collected(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        ReservedNames, "includes", lambda names, name: (_ for _ in ()).throw(errors.NamesBusy())
    )
    app = Registry(storage=storage, auth=UserStore(storage, passwords=CheapPasswords()))
    body = json.dumps({"username": "dave", "password": "s3cret-one", "email": "dave@example.org"})
    answer = Client(app).post("/v1/users/", body)
    assert (answer.status_int, answer.headers["Retry-After"]) == (503, "10")
    assert "retry later" in answer.body.decode()


def test_second_registration_looks_at_no_repository(tmp_path: Path) -> None:
    storage = FaultyStorage(FileStorage(tmp_path, durable=False))
    repositories = Repositories(storage)
    for number in range(20):
        name = RepositoryName(f"ns{number}", "app")
        repositories.set_private(name, True)
        repositories.set_collaborator(name, "carol", Action.READ)
    storage.delete_tree("accounts/reserved")
    answers = []
    for number in range(3):
        app = Registry(storage=storage, auth=UserStore(storage, passwords=CheapPasswords()))
        for username in (f"user{number}", "carol"):
            before = storage.count(key="repositories/ns*")
            body = {"username": username, "password": "s3cret-one", "email": f"{username}@example.org"}
            answers.append(Client(app).post("/v1/users/", json.dumps(body)).status_int)
            looked_at = storage.count(key="repositories/ns*") - before
            assert (looked_at >= 20) == (len(answers) == 1)
    assert answers == [201, 400] * 3
