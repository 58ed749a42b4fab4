"""``v1registry user``."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from v1registry import FileStorage
from v1registry.accounts.users import UserStore
from v1registry.cli.main import main
from v1registry.storage.base import StorageUnavailable


@pytest.fixture
def users(url: str) -> UserStore:
    return UserStore(FileStorage.from_url(url))


@pytest.fixture
def prompted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that sets the answers to password prompts."""

    def answer(*passwords: str) -> None:
        answers = iter(passwords)
        for module in ("options", "users"):
            monkeypatch.setattr(f"v1registry.cli.{module}.getpass", lambda prompt: next(answers))

    return answer


def test_account_is_created_listed_disabled_and_enabled(
    url: str, users: UserStore, typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed("s3cret-one\n")
    new = ["user", "add", "alice", "--storage", url, "--email", "alice@example.org", "--group", "team"]
    assert main([*new, "--administrator", "--password-stdin"]) == 0
    assert capsys.readouterr().out == "account alice created: an administrator and a member of team\n"
    user = users.authenticate("alice", "s3cret-one")
    assert user is not None
    assert user.is_administrator
    assert user.groups == {"team"}

    assert main(["user", "disable", "alice", "--storage", url]) == 0
    assert capsys.readouterr().out == "account alice disabled\n"
    assert main(["user", "list", "--storage", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": "alice",
            "is_active": False,
            "is_administrator": True,
            "groups": ["team"],
            "emails": ["alice@example.org"],
        }
    ]
    assert main(["user", "enable", "alice", "--storage", url]) == 0
    assert main(["user", "list", "--storage", url]) == 0
    assert "alice\tis_active=yes" in capsys.readouterr().out


def test_password_prompt_asks_twice(
    url: str, users: UserStore, prompted: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    prompted("s3cret-one", "s3cret-one")
    assert main(["user", "add", "alice", "--storage", url]) == 0

    prompted("s3cret-two", "s3cret-2wo")
    assert main(["user", "passwd", "alice", "--storage", url]) == 2

    assert "the two passwords are different; nothing was changed" in capsys.readouterr().err
    assert users.authenticate("alice", "s3cret-one") is not None


def test_new_password_replaces_the_old_one(
    url: str, users: UserStore, typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    users.create("alice", "s3cret-one")
    typed("s3cret-two\n")

    assert main(["user", "passwd", "alice", "--storage", url, "--password-stdin"]) == 0

    assert capsys.readouterr().out == "password of alice changed\n"
    assert users.authenticate("alice", "s3cret-one") is None
    assert users.authenticate("alice", "s3cret-two") is not None


@pytest.mark.parametrize("command", ["passwd", "disable", "enable"])
def test_unknown_user_exits_with_5(command: str, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["user", command, "nobody", "--storage", url]) == 5
    assert "unknown user 'nobody'" in capsys.readouterr().err


def test_name_in_use_and_short_password_change_nothing(
    url: str, users: UserStore, typed: Callable[[str], None]
) -> None:
    users.create("alice", "s3cret-one")

    typed("s3cret-two\n")
    assert main(["user", "add", "alice", "--storage", url, "--password-stdin"]) == 2
    typed("1234\n")
    assert main(["user", "passwd", "alice", "--storage", url, "--password-stdin"]) == 2

    assert users.authenticate("alice", "s3cret-one") is not None


@pytest.mark.parametrize("arguments", [["Al"], ["b"], ["bob-"], ["alice/x"], ["alice", "--email", "nowhere"]])
def test_invalid_name_or_address_is_refused(
    arguments: list[str],
    url: str,
    users: UserStore,
    typed: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    typed("s3cret-one\n")

    assert main(["user", "add", *arguments, "--storage", url, "--password-stdin"]) == 2
    assert f"not {arguments[-1]!r}" in capsys.readouterr().err
    assert list(users.users()) == []


def test_storage_in_memory_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["user", "list", "--storage", "memory:"]) == 2
    assert "storage: must be shared by processes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            ["user", "enable", "alice"],
            "v1registry: The accounts cannot be read or changed now, try again later",
        ),
        (["application", "remove", "ci"], "v1registry: accounts/oauth/applications/ci: Input/output error"),
    ],
)
def test_failure_of_the_storage_exits_with_3(
    url: str,
    command: list[str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise StorageUnavailable("accounts/oauth/applications/ci", "Input/output error")

    for method in ("read", "delete"):
        monkeypatch.setattr(FileStorage, method, fail)
    assert main([*command, "--storage", url]) == 3
    assert expected in capsys.readouterr().err.splitlines()
