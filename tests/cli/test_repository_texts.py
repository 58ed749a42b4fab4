"""``v1registry repository``: descriptions from files, rows, grants to known users, pipes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.cheap_passwords import CheapPasswords

from v1registry import FileStorage
from v1registry.accounts.users import UserStore
from v1registry.cli.main import main
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.rights import Action, User

ID = "0123456789abcdef" * 4
NAME = RepositoryName("alice", "app")
TEXT = "# Größe\n\nTwo\tlines of text"


@pytest.fixture
def repositories(url: str) -> Repositories:
    """A storage with the repository alice/app."""
    made = Repositories(FileStorage.from_url(url))
    made.set_tag(NAME, "latest", ID, "docker/1.9.1")
    return made


def run(url: str, *words: str) -> int:
    return main(["repository", *words, "--storage", url])


# -- descriptions


def test_description_is_read_from_a_file(
    url: str, repositories: Repositories, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text(f"{TEXT}\n", encoding="utf-8")
    assert run(url, "describe", "alice/app", "--file", str(tmp_path / "README.md")) == 0
    assert capsys.readouterr().out == f"repository alice/app: description set, {len(TEXT)} characters\n"
    assert repositories.description(NAME) == TEXT

    assert run(url, "describe", "alice/app", "") == 0
    assert capsys.readouterr().out == "repository alice/app: description removed\n"


def test_description_is_read_from_standard_input(
    url: str, repositories: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    assert run(url, "describe", "alice/app", "-") == 0
    assert repositories.description(NAME) == TEXT


def test_file_that_is_missing_or_not_utf_8_changes_nothing(
    url: str, repositories: Repositories, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latin").write_bytes(b"Gr\xf6\xdfe")
    for name, told in (("none", "cannot be read: No such file"), ("latin", "must be UTF-8")):
        assert run(url, "describe", "alice/app", "--file", str(tmp_path / name)) == 2
        assert told in capsys.readouterr().err
    assert repositories.description(NAME) == ""


def test_list_has_one_line_for_a_description_of_many(
    url: str, repositories: Repositories, capsys: pytest.CaptureFixture[str]
) -> None:
    repositories.describe(NAME, f"{TEXT}\x1b[2J" + " and more" * 100)
    assert run(url, "list") == 0
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert "description=# Größe Two lines of text [2J and more" in line
    assert line.endswith("…\n")
    assert line.split("\t")[2] == "tags=1"


def test_json_list_names_the_tags(
    url: str, repositories: Repositories, capsys: pytest.CaptureFixture[str]
) -> None:
    repositories.set_tag(NAME, "1.0", ID, "docker/1.9.1")
    repositories.describe(NAME, TEXT)
    assert run(url, "list", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["tags"], row["description"]) == (["1.0", "latest"], TEXT)


@pytest.mark.parametrize("words", [["list", "--json"], ["list"]])
def test_closed_pipe_ends_the_command_quietly(url: str, words: list[str], repositories: Repositories) -> None:
    for number in range(300):
        repositories.describe(NAME, "x" * 2000)
        repositories.set_tag(RepositoryName("alice", f"app-{number}"), "latest", ID, "")
    reader, writer = os.pipe()
    os.close(reader)
    program = "import sys; from v1registry.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "repository", *words, "--storage", url]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


# -- privacy and grants


@pytest.mark.parametrize("auth", ["auth = open:\n", ""])
def test_private_says_that_an_open_server_shows_it(
    url: str, repositories: Repositories, tmp_path: Path, auth: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "registry.ini"
    config.write_text(f"[v1registry]\nstorage = {url}\n{auth}")
    assert main(["repository", "private", "alice/app", "--config", str(config)]) == 0
    assert "so everyone may still read it" in capsys.readouterr().out


def granted(repositories: Repositories, name: str, user_id: str) -> bool:
    return repositories.granted(NAME, User(name, id=user_id)) is not None


def test_grant_to_an_unknown_name_is_refused(
    url: str, repositories: Repositories, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(url, "grant", "alice/app", "robert") == 5
    assert "unknown user 'robert'" in capsys.readouterr().err
    assert repositories.collaborators(NAME) == {}


def test_grant_is_recorded_for_the_account_and_not_its_namesake(url: str, repositories: Repositories) -> None:
    users = UserStore(FileStorage.from_url(url), passwords=CheapPasswords())
    robert = users.create("robert", "s3cret-one")
    assert run(url, "grant", "alice/app", "robert") == 0
    assert granted(repositories, "robert", robert.id)
    users.delete("robert")
    assert not granted(repositories, "robert", users.create("robert", "s3cret-two").id)


def test_grant_by_name_alone_stays_and_gets_the_id_when_touched(url: str, repositories: Repositories) -> None:
    users = UserStore(FileStorage.from_url(url), passwords=CheapPasswords())
    carol, robert = users.create("carol", "s3cret-one"), users.create("robert", "s3cret-one")
    repositories.set_collaborator(NAME, "carol", Action.WRITE)
    assert granted(repositories, "carol", carol.id)
    assert granted(repositories, "carol", "another")

    assert run(url, "grant", "alice/app", "robert") == 0
    assert granted(repositories, "carol", carol.id)
    assert not granted(repositories, "carol", "another")
    assert granted(repositories, "robert", robert.id)
    assert repositories.collaborators(NAME) == {"carol": Action.WRITE, "robert": Action.READ}


def test_force_records_a_name_only_if_users_cannot_be_looked_up(
    url: str, repositories: Repositories, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "registry.ini"
    grant = ["repository", "grant", "alice/app", "robert", "--config", str(config)]
    for auth, is_forced, code in (
        ("users:", True, 5),
        ("environ:REMOTE_USER", False, 5),
        ("environ:REMOTE_USER", True, 0),
        ("open:", True, 2),
    ):
        config.write_text(f"[v1registry]\nstorage = {url}\nauth = {auth}\n")
        assert main([*grant, *(["--force"] if is_forced else [])]) == code, auth
    assert granted(repositories, "robert", "")


def test_grant_of_a_removed_user_can_be_taken_back(url: str, repositories: Repositories) -> None:
    repositories.set_collaborator(NAME, "robert", Action.READ)
    assert run(url, "grant", "alice/app", "robert", "none") == 0
    assert repositories.collaborators(NAME) == {}
