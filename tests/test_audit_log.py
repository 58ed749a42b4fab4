"""Log lines for failed log-ins, deletions and changed rights: who did it, from where, without secrets."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable

import pytest
from support.cheap_passwords import CheapPasswords
from webtest import TestApp

from v1registry import MemoryStorage, Registry
from v1registry.accounts.users import UserStore
from v1registry.log import RequestContext, audit, in_request
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.registry.tags import TagRule
from v1registry.rights import Action

PLACE = {"REMOTE_ADDR": "192.0.2.7"}


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def users(storage: MemoryStorage) -> UserStore:
    users = UserStore(storage, passwords=CheapPasswords())
    users.create("mira", "correct horse")
    return users


@pytest.fixture
def client(storage: MemoryStorage, users: UserStore) -> TestApp:
    return TestApp(Registry(storage, auth=users), extra_environ=PLACE)


@pytest.fixture
def events(client: TestApp, caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """Return level and text of the events so far, after those of the fixtures."""
    caplog.set_level(logging.INFO, logger="v1registry.audit")
    caplog.clear()
    return lambda: [
        (record.levelname, record.getMessage().partition("] ")[2] or record.getMessage())
        for record in caplog.records
        if record.name == "v1registry.audit"
    ]


def basic(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


MIRA = basic("mira:correct horse")


def test_a_failed_log_in_of_the_api_is_logged(
    client: TestApp, events: Callable[[], list[tuple[str, str]]], caplog: pytest.LogCaptureFixture
) -> None:
    client.get("/v1/users/", headers=basic("mira:hunter2-secret"), status=401)

    line = "user=- address=192.0.2.7 failed log-in of 'mira': wrong password or unknown user"
    assert events() == [("WARNING", line)]
    assert "hunter2" not in caplog.text


def test_a_failed_log_in_of_the_pages_is_logged(
    client: TestApp, events: Callable[[], list[tuple[str, str]]], caplog: pytest.LogCaptureFixture
) -> None:
    form = client.get("/login").form
    form["username"], form["password"] = "mira", "hunter2-secret"
    form.submit(status=401)

    assert [line.partition("failed ")[2] for _, line in events()] == [
        "log-in of 'mira': wrong password or unknown user"
    ]
    assert "hunter2" not in caplog.text


def test_a_log_in_of_a_disabled_account_is_logged(
    client: TestApp, users: UserStore, events: Callable[[], list[tuple[str, str]]]
) -> None:
    users.set_active("mira", False)
    client.get("/v1/users/", headers=MIRA, status=403)

    line = "user=- address=192.0.2.7 failed log-in of 'mira': the account is not active"
    assert events()[-1] == ("WARNING", line)


def test_a_blocked_log_in_is_logged(client: TestApp, events: Callable[[], list[tuple[str, str]]]) -> None:
    for _ in range(12):
        client.get("/v1/users/", headers=basic("mira:wrong"), status="*")

    line = "user=- address=192.0.2.7 blocked log-in of 'mira': too many failures"
    assert events()[-1] == ("WARNING", line)


def test_a_right_password_is_not_logged(client: TestApp, events: Callable[[], list[tuple[str, str]]]) -> None:
    client.get("/v1/users/", headers=MIRA)

    assert events() == []


def test_deletions_are_logged_with_the_user(
    client: TestApp, storage: MemoryStorage, events: Callable[[], list[tuple[str, str]]]
) -> None:
    client.put("/v1/repositories/mira/app/", b"[]", headers=MIRA)
    Repositories(storage).set_tag(RepositoryName("mira", "app"), "1.0", "a" * 64, "")
    client.delete("/v1/repositories/mira/app/tags/1.0", headers=MIRA)
    client.delete("/v1/repositories/mira/app/", headers=MIRA)

    assert [line for _, line in events()] == [
        "user=mira address=192.0.2.7 deleted tag '1.0' of repository 'mira/app'",
        "user=mira address=192.0.2.7 marked repository 'mira/app' as deleted",
        "user=mira address=192.0.2.7 deleted repository 'mira/app'",
    ]


def test_changed_rights_of_a_repository_are_logged(
    client: TestApp, storage: MemoryStorage, events: Callable[[], list[tuple[str, str]]]
) -> None:
    client.put("/v1/repositories/mira/app/", b"[]", headers=MIRA)
    body = json.dumps({"access": "private"})
    client.put("/v1/repositories/mira/app/properties", body, headers=MIRA)
    repositories, name = Repositories(storage), RepositoryName("mira", "app")
    repositories.set_collaborator(name, "zoe1", Action.WRITE)
    repositories.set_collaborator(name, "zoe1", None)
    repositories.set_tag_rule(name, TagRule.IMMUTABLE)

    assert [line for _, line in events()] == [
        "user=mira address=192.0.2.7 made repository 'mira/app' private",
        "user=- address=- gave user 'zoe1' the right to write as a collaborator of repository 'mira/app'",
        "user=- address=- gave user 'zoe1' no right as a collaborator of repository 'mira/app'",
        "user=- address=- set the tag rule of repository 'mira/app' to immutable",
    ]


def test_changes_of_accounts_are_logged_without_passwords(
    users: UserStore, events: Callable[[], list[tuple[str, str]]], caplog: pytest.LogCaptureFixture
) -> None:
    users.create("zoe1", "hunter2-secret", is_administrator=True)
    users.set_password("zoe1", "hunter2-secret-2")
    users.set_administrator("zoe1", False)
    users.set_groups("zoe1", ["tools"])
    users.set_active("zoe1", False)
    users.set_active("zoe1", True)
    users.delete("zoe1")

    assert [line.removeprefix("user=- address=- ") for _, line in events()] == [
        "created account 'zoe1' of an administrator",
        "changed the password of account 'zoe1'",
        "made account 'zoe1' no administrator",
        "set the groups of account 'zoe1' to ('tools',)",
        "disabled account 'zoe1'",
        "activated account 'zoe1'",
        "deleted account 'zoe1'",
    ]
    assert "hunter2" not in caplog.text


def test_a_name_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with in_request(RequestContext("id", "1.2.3.4\n", "mira address=5.6.7.8")):
        audit("deleted %r", "x\ny")

    (record,) = caplog.records
    assert record.getMessage() == ("[id] user='mira address=5.6.7.8' address='1.2.3.4\\n' deleted 'x\\ny'")


def test_a_deletion_on_an_open_server_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="v1registry.audit")
    client = TestApp(Registry(MemoryStorage()), extra_environ=PLACE)
    client.put("/v1/repositories/mira/app/", b"[]")
    client.delete("/v1/repositories/mira/app/")

    lines = [record.getMessage().partition("] ")[2] for record in caplog.records]
    assert lines == ["user=- address=192.0.2.7 deleted repository 'mira/app'"]
