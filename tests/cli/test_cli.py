"""The command line, as somebody types it. What ``serve`` does with requests is tested among the servers."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from v1registry_fakes import FakeRegistry

from v1registry import FileStorage
from v1registry.accounts.users import UserStore
from v1registry.cli.main import main
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories, TagRule
from v1registry.settings import descriptions

ID = "0123456789abcdef" * 4
NAME = RepositoryName("alice", "app")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/store"


@pytest.fixture
def repositories(url: str) -> Repositories:
    made = Repositories(FileStorage.from_url(url))
    made.set_tag(NAME, "latest", ID, "docker/1.9.1")
    return made


@pytest.fixture
def users(url: str) -> UserStore:
    return UserStore(FileStorage.from_url(url))


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a text come from standard input."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


# -- settings


def test_check_config_shows_values_sources_and_meanings_but_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ini = tmp_path / "registry.ini"
    ini.write_text("[v1registry]\nstorage = memory:\nsecret = hunter2\nsearch_limit = 5\n")
    monkeypatch.setenv("V1REGISTRY_SEARCH_LIMIT", "7")

    assert main(["check-config", "--config", str(ini)]) == 0

    shown = capsys.readouterr().out
    assert f"storage = memory:  ({ini})" in shown
    assert "search_limit = 7  (V1REGISTRY_SEARCH_LIMIT)\n    the most results" in shown
    assert "v2 = ping  (default)" in shown
    assert "hunter2" not in shown


def test_check_config_tells_all_problems_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("V1REGISTRY_STORAGE", "file:relative")
    monkeypatch.setenv("V1REGISTRY_SEARCH_LIMT", "5")
    monkeypatch.setenv("V1REGISTRY_V2", "maybe")

    assert main(["check-config"]) == 2

    complaints = capsys.readouterr().err
    assert "search_limt: there is no such setting; did you mean search_limit?" in complaints
    assert "v2: one of ping, absent, pass is expected, not 'maybe'" in complaints
    assert "storage: expected file:///absolute/path" in complaints


def test_an_ini_file_without_the_section_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.ini").write_text("[other]\n")

    assert main(["check-config", "--config", str(tmp_path / "x.ini")]) == 2
    assert "there is no section [v1registry]" in capsys.readouterr().err


# -- serve: what it refuses


def test_several_workers_over_memory_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--storage", "memory:", "--workers", "2"]) == 2
    assert "belongs to one process" in capsys.readouterr().err


def test_a_storage_that_is_a_file_or_below_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")

    for place in ("file", "file/store"):
        assert main(["serve", "--storage", f"file://{tmp_path}/{place}"]) == 2
        assert f"{tmp_path}/file is no folder" in capsys.readouterr().err


def test_serve_without_a_storage_asks_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve"]) == 2
    assert "a place for the data must be named" in capsys.readouterr().err


def test_a_certificate_without_its_key_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--storage", "memory:", "--tls-cert", "cert.pem"]) == 2
    assert "go together" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert main(["serve", "--storage", "memory:", "--port", str(port)]) == 2
    assert f"127.0.0.1:{port} cannot be listened on" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "5000"])
def test_a_host_that_is_none_of_this_machine_is_told(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--storage", "memory:", "--host", "no such host", "--port", port]) == 2
    assert "no such host:" in capsys.readouterr().err


def test_files_that_are_no_certificate_and_key_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = trustme.CA()
    issued, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    certificate, key, text = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "readme.txt"
    issued.cert_chain_pems[0].write_to_path(certificate)
    other.private_key_pem.write_to_path(key)
    text.write_text("neither\n")

    for one, two, complaint in (
        (certificate, tmp_path / "missing.pem", "missing.pem cannot be read: No such file"),
        (tmp_path, key, f"{tmp_path} cannot be read: Is a directory"),
        (text, key, "are no certificate in PEM with its key"),
        (certificate, text, "are no certificate in PEM with its key"),
        (certificate, key, "are no certificate in PEM with its key: KEY_VALUES_MISMATCH"),
    ):
        files = ["--tls-cert", str(one), "--tls-key", str(two)]
        assert main(["serve", "--storage", "memory:", "--port", "0", *files]) == 2
        assert complaint in capsys.readouterr().err


def test_the_help_of_check_config_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["check-config", "--help"])

    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for key in ("storage", *descriptions()):
        assert f"\n  {key}" in shown


@pytest.mark.parametrize(
    "arguments", [["--port", "70000"], ["--port", "x"], ["--workers", "0"], ["--storag", "memory:"]]
)
def test_nonsense_on_the_command_line_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["serve", *arguments])
    assert stopped.value.code == 2


# -- push and pull


def test_what_is_pulled_and_pushed_again_sends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = str(tmp_path / "app.tar")
    with FakeRegistry() as registry:
        registry.add_image("alice/app:1.0", files={"etc/motd": "hello"}, layers=3)

        assert main(["pull", f"{registry.host}/alice/app:1.0", "-o", archive]) == 0
        assert "3 image(s)" in capsys.readouterr().out
        assert main(["push", archive, f"{registry.host}/alice/copy:2.0"]) == 0
        assert "0 image(s) pushed, 3 were there already, 0 bytes sent" in capsys.readouterr().out
        assert registry.tags("alice/copy") == {"2.0": registry.tags("alice/app")["1.0"]}


def test_exit_codes_tell_what_went_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = str(tmp_path / "x.tar")
    with socket.socket() as nobody, FakeRegistry() as registry:
        nobody.bind(("127.0.0.1", 0))
        silent = f"127.0.0.1:{nobody.getsockname()[1]}"

        assert main(["pull", "no-registry/app", "-o", output]) == 2
        assert main(["push", str(tmp_path / "missing.tar"), f"{registry.host}/a/b"]) == 2
        assert main(["pull", f"{silent}/alice/app", "-o", output]) == 3
        assert main(["pull", f"{registry.host}/alice/app", "-o", output]) == 5
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 4
    assert all(line.startswith("v1registry: ") for line in complaints)


def test_options_of_the_client_that_cannot_be_meant_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pull = ["pull", "localhost/alice/app", "-o", str(tmp_path / "x.tar")]

    assert main([*pull, "--password-stdin"]) == 2
    assert "--password-stdin needs --username" in capsys.readouterr().err
    assert main([*pull, "--ca-cert", str(tmp_path / "missing.pem")]) == 2
    assert "missing.pem: it cannot be read" in capsys.readouterr().err


# -- accounts


def test_an_account_is_made_listed_disabled_and_enabled(
    url: str, users: UserStore, typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed("s3cret-one\n")
    new = ["user", "add", "alice", "--storage", url, "--email", "alice@example.org", "--group", "team"]
    assert main([*new, "--administrator", "--password-stdin"]) == 0
    user = users.authenticate("alice", "s3cret-one")
    assert user is not None
    assert user.is_administrator
    assert user.groups == {"team"}

    assert main(["user", "disable", "alice", "--storage", url]) == 0
    capsys.readouterr()
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


def test_a_password_is_asked_for_twice_without_echo(
    url: str, users: UserStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["s3cret-one", "s3cret-one", "s3cret-two", "s3cret-2wo"])
    monkeypatch.setattr("v1registry.cli.users.getpass", lambda prompt: next(answers))

    assert main(["user", "add", "alice", "--storage", url]) == 0
    with pytest.raises(SystemExit) as stopped:
        main(["user", "passwd", "alice", "--storage", url])

    assert stopped.value.code == 2
    assert "the two differ" in capsys.readouterr().err
    assert users.authenticate("alice", "s3cret-one") is not None


def test_a_new_password_ends_the_old_one(url: str, users: UserStore, typed: Callable[[str], None]) -> None:
    users.create("alice", "s3cret-one")
    typed("s3cret-two\n")

    assert main(["user", "passwd", "alice", "--storage", url, "--password-stdin"]) == 0

    assert users.authenticate("alice", "s3cret-one") is None
    assert users.authenticate("alice", "s3cret-two") is not None


@pytest.mark.parametrize("command", ["passwd", "disable", "enable"])
def test_an_unknown_user_exits_with_5(command: str, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["user", command, "nobody", "--storage", url]) == 5
    assert "there is no user 'nobody'" in capsys.readouterr().err


def test_a_taken_name_and_a_short_password_change_nothing(
    url: str, users: UserStore, typed: Callable[[str], None]
) -> None:
    users.create("alice", "s3cret-one")

    typed("s3cret-two\n")
    assert main(["user", "add", "alice", "--storage", url, "--password-stdin"]) == 2
    typed("1234\n")
    with pytest.raises(SystemExit):
        main(["user", "passwd", "alice", "--storage", url, "--password-stdin"])

    assert users.authenticate("alice", "s3cret-one") is not None


@pytest.mark.parametrize("arguments", [["Al"], ["bob"], ["alice/x"], ["alice", "--email", "nowhere"]])
def test_a_name_or_an_address_that_nobody_could_register_is_refused(
    arguments: list[str], url: str, users: UserStore, typed: Callable[[str], None]
) -> None:
    typed("s3cret-one\n")

    assert main(["user", "add", *arguments, "--storage", url, "--password-stdin"]) == 2
    assert list(users.users()) == []


def test_accounts_in_the_memory_of_another_process_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["user", "list", "--storage", "memory:"]) == 2
    assert "no other one can change" in capsys.readouterr().err


# -- repositories


def test_repositories_are_described_hidden_shared_and_listed(
    url: str, repositories: Repositories, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        ["describe", "alice/app", "Größe 42"],
        ["private", "alice/app"],
        ["grant", "alice/app", "robert"],
        ["grant", "alice/app", "carol", "write"],
        ["tags", "alice/app", "immutable-but-latest"],
    ):
        assert main(["repository", *arguments, "--storage", url]) == 0
    capsys.readouterr()

    assert main(["repository", "list", "--storage", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": "alice/app",
            "access": "private",
            "tags": 1,
            "tag_rule": "immutable-but-latest",
            "collaborators": {"carol": "write", "robert": "read"},
            "description": "Größe 42",
        }
    ]
    assert repositories.tag_rule(NAME) is TagRule.IMMUTABLE_BUT_LATEST


def test_a_grant_and_privacy_are_taken_back(url: str, repositories: Repositories) -> None:
    for arguments in (["grant", "alice/app", "robert"], ["private", "alice/app", "on"]):
        assert main(["repository", *arguments, "--storage", url]) == 0
    for arguments in (["grant", "alice/app", "robert", "none"], ["private", "alice/app", "off"]):
        assert main(["repository", *arguments, "--storage", url]) == 0

    assert repositories.collaborators(NAME) == {}
    assert not repositories.is_private(NAME)


def test_an_unknown_repository_exits_with_5(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repository", "private", "alice/none", "--storage", url]) == 5
    assert "there is no repository alice/none" in capsys.readouterr().err
