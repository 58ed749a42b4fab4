"""``v1registry user``: administrators, groups, removal, and settings under which it has no effect."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cheap_passwords import CheapPasswords

from v1registry import FileStorage
from v1registry.accounts.users import UserStore
from v1registry.cli.main import main
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.rights import Action

NAME = RepositoryName("zoe", "app")


@pytest.fixture
def users(url: str) -> UserStore:
    """The accounts of a storage, with alice."""
    made = UserStore(FileStorage.from_url(url), passwords=CheapPasswords())
    made.create("alice", "s3cret-one")
    return made


def run(url: str, *words: str) -> int:
    return main(["user", *words, "--storage", url])


def test_administrator_is_made_and_unmade(
    url: str, users: UserStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(url, "grant-admin", "alice") == 0
    assert capsys.readouterr().out == "alice is now an administrator\n"
    assert [user.is_administrator for user in users.users()] == [True]

    assert run(url, "revoke-admin", "alice") == 0
    assert capsys.readouterr().out == "alice is no administrator\n"
    assert [user.is_administrator for user in users.users()] == [False]


def test_groups_are_shown_added_and_removed(
    url: str, users: UserStore, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, told in (
        ([], "none"),
        (["--add", "web", "--add", "team.one"], "team.one, web"),
        (["--remove", "web", "--add", "ops"], "ops, team.one"),
        ([], "ops, team.one"),
    ):
        assert run(url, "groups", "alice", *words) == 0
        assert capsys.readouterr().out == f"groups of alice: {told}\n"
    assert [user.groups for user in users.users()] == [{"ops", "team.one"}]


@pytest.mark.parametrize(
    ("group", "told"), [("Team", "not 'Team'"), ("a/b", "not 'a/b'"), ("x", "not 'x'"), ("", "not ''"),
    ("library", "must not be library")],
)  # fmt: skip
def test_group_that_is_no_namespace_is_refused(
    url: str, users: UserStore, group: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(url, "groups", "alice", "--add", group) == 2
    assert told in capsys.readouterr().err
    assert [user.groups for user in users.users()] == [frozenset()]


def test_removed_user_keeps_no_rights_for_a_namesake(
    url: str, users: UserStore, capsys: pytest.CaptureFixture[str]
) -> None:
    repositories = Repositories(FileStorage.from_url(url))
    for name in (NAME, RepositoryName("alice", "own")):
        repositories.set_private(name, True)
    repositories.set_collaborator(NAME, "alice", Action.READ)

    assert run(url, "remove", "alice") == 0
    assert capsys.readouterr().out == (
        "account alice removed, with 1 rights as a collaborator; 1 repositories are kept\n"
    )
    assert list(users.users()) == []
    assert repositories.collaborators(NAME) == {}


@pytest.mark.parametrize("command", ["remove", "grant-admin", "revoke-admin", "groups"])
def test_unknown_user_exits_with_5(url: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(url, command, "nobody") == 5
    assert "unknown user 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mira.kovac", "moe", "ci-2", "a" * 255])
def test_administrator_may_give_any_namespace_as_name(
    url: str, name: str, users: UserStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("v1registry.cli.users.read_password", lambda options, prompt: "s3cret-one")
    monkeypatch.setattr("v1registry.cli.users.getpass", lambda prompt: "s3cret-one")
    assert run(url, "add", name) == 0
    assert users.authenticate(name, "s3cret-one") is not None


@pytest.mark.parametrize("auth", ["htpasswd:///srv/users", "open:", "ldap://host/dc=example,dc=test", ""])
@pytest.mark.parametrize(
    "words", [["add", "carla"], ["list"], ["passwd", "alice"], ["remove", "alice"], ["groups", "alice"]]
)
def test_command_fails_if_the_registry_has_other_users(
    url: str,
    tmp_path: Path,
    auth: str,
    words: list[str],
    users: UserStore,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tmp_path / "registry.ini"
    line = f"auth = {auth}\n" if auth else ""
    config.write_text(f"[v1registry]\nstorage = {url}\n{line}")
    assert main(["user", *words, "--config", str(config)]) == 2
    assert "nothing was changed" in capsys.readouterr().err
    assert [user.name for user in users.users()] == ["alice"]


def test_command_works_for_a_chain_with_accounts_in_the_storage(
    url: str, tmp_path: Path, users: UserStore, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "registry.ini"
    config.write_text(f"[v1registry]\nstorage = {url}\nauth = environ:REMOTE_USER, users:\n")
    assert main(["user", "list", "--config", str(config)]) == 0
    assert capsys.readouterr().out == "alice\tis_active=yes\tis_administrator=no\n"
