"""What ``check-config`` tries, and its verdict; what ``serve`` says at its start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trustme
from support.programs import Program, eventually
from support.slapd import BASE, READER, Slapd

from v1registry import FileStorage
from v1registry.assembly import Services, assemble
from v1registry.cli import trials
from v1registry.cli.main import main
from v1registry.cli.startup import print_start
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a registry with one public and one private repository."""
    repositories = Repositories(FileStorage(tmp_path / "data"))
    for name in ("app", "secret-app"):
        repositories.set_tag(RepositoryName("mira", name), "1", "a" * 64, "")
    repositories.set_private(RepositoryName("mira", "secret-app"), True)
    return tmp_path / "data"


def checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *lines: str, storage: str = ""
) -> tuple[int, list[str]]:
    """Return exit code and output of check-config."""
    ini = tmp_path / "registry.ini"
    place = storage or f"file://{tmp_path}/data"
    ini.write_text("\n".join(["[v1registry]", f"storage = {place}", *lines, ""]))
    code = main(["check-config", "--config", str(ini)])
    return code, capsys.readouterr().out.splitlines()


def started(capsys: pytest.CaptureFixture[str], **settings: str) -> tuple[str, str]:
    """Return what the start prints to standard output and to standard error."""
    services: Services = assemble(settings)
    print_start(services, settings["storage"], "http", 5000)
    printed = capsys.readouterr()
    return printed.out, printed.err


def found(lines: list[str], kind: str) -> list[str]:
    return [line.removeprefix(f"{kind}: ") for line in lines if line.startswith(f"{kind}: ")]


# -- check-config


def test_given_settings_come_first(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = checked(tmp_path, capsys, "search_limit = 5", "auth = users:")

    assert code == 0
    heads = [line.split(" = ")[0] for line in lines if " = " in line and not line.startswith(" ")]
    assert heads[:3] == ["storage", "auth", "search_limit"]
    assert lines.index("settings that are given:") < lines.index("defaults of the others:")
    assert len(heads) == len(set(heads))


def test_working_settings_end_with_a_verdict(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = checked(tmp_path, capsys, "auth = users:")

    assert (code, found(lines, "verdict")) == (0, ["the settings are valid, and all that they name works"])
    assert found(lines, "storage") == ["2 repositories"]
    assert lines[-1].startswith("verdict: ")


def test_a_storage_that_cannot_be_made_is_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = checked(tmp_path, capsys, storage="file:///proc/x")

    assert code == 3
    (problem,) = found(lines, "problem")
    assert problem.startswith("storage: /proc/x cannot be made in /proc, so pushes will fail: ")
    assert found(lines, "verdict") == ["1 problem(s); a server would start, but not everything would work"]


def test_a_new_storage_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = checked(tmp_path, capsys)

    assert (code, found(lines, "problem")) == (0, [])
    assert not (tmp_path / "data").exists()
    assert sorted(os.listdir(tmp_path)) == ["registry.ini"]


def test_the_storage_is_left_as_it_was(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(str(path) for path in folder.rglob("*"))
    checked(tmp_path, capsys)

    assert sorted(str(path) for path in folder.rglob("*")) == before


def test_a_folder_of_other_files_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    for name in ("a.txt", "b.txt", "c.txt", "d.txt"):
        (tmp_path / "data" / name).write_text("")
    code, lines = checked(tmp_path, capsys)

    assert code == 3
    assert found(lines, "problem") == [
        f"storage: {tmp_path}/data has other files ('a.txt', 'b.txt', 'c.txt', …) and nothing of a registry; "
        "is it the right folder?"
    ]


def test_a_missing_folder_of_a_read_only_registry_is_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = checked(tmp_path, capsys, "read_only = yes")

    assert code == 3
    assert "does not exist, and read_only is on" in found(lines, "problem")[0]


def test_broken_templates_are_problems(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "login.html").write_text("<p>\n{% if %}")
    (templates / "base.html").write_bytes(b"\xff")
    (templates / "error.html").write_text('{% extends "no_such.html" %}')
    (templates / "account.html").write_text('{% extends "v1registry/account.html" %}')
    code, lines = checked(tmp_path, capsys, f"templates = {templates}")

    assert code == 3
    problems = found(lines, "problem")
    assert [problem.partition(": ")[0] for problem in problems] == [
        f"{templates}/base.html",
        f"{templates}/error.html",
        f"{templates}/login.html, line 2",
    ]
    assert "no_such.html" in problems[1]


def test_lines_of_htpasswd_are_problems(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    users = tmp_path / "users"
    users.write_text("mira:$6$abc$hunter2hash\nzoe:hunter2\nno colon\n")
    code, lines = checked(tmp_path, capsys, f"auth = htpasswd://{users}")

    assert code == 3
    problems = found(lines, "problem")
    assert [problem.partition(": ")[0] for problem in problems[:3]] == [
        f"{users}, line {number}" for number in (1, 2, 3)
    ]
    assert problems[3] == f"{users} has no user who can log in; add one with htpasswd -B"
    assert "hunter2" not in "\n".join(lines)


def test_a_missing_htpasswd_file_is_a_problem(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = checked(tmp_path, capsys, f"auth = users:,htpasswd://{tmp_path}/missing")

    assert code == 3
    assert found(lines, "problem") == [
        f"the htpasswd file {tmp_path}/missing cannot be read: No such file or directory"
    ]


def test_an_ldap_server_that_cannot_be_reached_is_a_problem(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = checked(
        tmp_path,
        capsys,
        "auth = ldap://127.0.0.1:1/dc=example,dc=org????bind_dn=cn=a,bind_password=hunter2",
    )

    assert code == 3
    assert found(lines, "problem")[0].startswith("ldap://127.0.0.1:1: The LDAP server ")
    assert "hunter2" not in "\n".join(lines)


def test_an_ldap_server_without_tls_is_a_problem(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = checked(tmp_path, capsys, "auth = ldap://192.0.2.1/dc=example,dc=org????timeout_s=0.01")

    assert code == 3
    assert (
        found(lines, "problem")[0]
        == "ldap://192.0.2.1:389: passwords are sent unprotected; use ldaps:// or start_tls=yes"
    )


def test_an_ldap_server_that_answers_is_no_problem(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Slapd(tmp_path / "slapd") as server:
        server.fill()
        name = READER.replace(",", "%2C")
        login = f"bind_dn={name},bind_password=reader-password"
        code, lines = checked(tmp_path, capsys, f"auth = {server.url}/{BASE}?uid?sub??{login}")
        wrong = f"bind_dn={name},bind_password=hunter2"
        code_of_wrong, lines_of_wrong = checked(
            tmp_path, capsys, f"auth = {server.url}/{BASE}?uid?sub??{wrong}"
        )

    assert (code, found(lines, "problem")) == (0, [])
    assert (code_of_wrong, len(found(lines_of_wrong, "problem"))) == (3, 1)
    assert "hunter2" not in "\n".join(lines_of_wrong)


def test_a_certificate_of_another_key_is_a_problem(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = trustme.CA()
    authority.issue_cert("a.example").cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.issue_cert("a.example").private_key_pem.write_to_path(tmp_path / "key.pem")
    code, lines = checked(
        tmp_path, capsys, f"tls_cert = {tmp_path}/cert.pem", f"tls_key = {tmp_path}/key.pem"
    )

    assert code == 3
    assert "must be a certificate and its key in PEM: KEY_VALUES_MISMATCH" in found(lines, "problem")[0]


@pytest.mark.parametrize(
    ("secret", "is_weak"),
    [
        ("a", True),
        ("abc", True),
        ("a" * 64, True),
        ("0123456789abcdef0123", False),
        ("4f2a9c81d07be635", False),
    ],
)
def test_a_weak_secret_is_warned_of(
    secret: str, is_weak: bool, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = checked(tmp_path, capsys, "auth = users:", f"secret = {secret}")

    assert code == 0
    assert bool(found(lines, "warning")) is is_weak
    assert not [line for line in lines if line.startswith(f"secret = {secret}")]


def test_members_who_register_themselves_are_warned_of(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, lines = checked(tmp_path, capsys, "auth = users:", "policy = members")
    _, closed = checked(tmp_path, capsys, "auth = users:", "policy = members", "registration = closed")

    assert "every person can register" in found(lines, "warning")[0]
    assert found(closed, "warning") == []


# -- the start of serve


def test_the_start_counts_repositories(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = started(capsys, storage=f"file://{folder}", auth="users:")

    assert f"storage: file://{folder}, 2 repositories\n" in out
    assert err == ""


def test_the_start_tells_a_new_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = started(capsys, storage=f"file://{tmp_path}/regsitry")

    assert f"storage: file://{tmp_path}/regsitry, a new folder, which the first push makes\n" in out
    assert err == ""


def test_the_start_warns_of_private_repositories_of_an_open_server(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, err = started(capsys, storage=f"file://{folder}")

    assert err == (
        "v1registry: warning: 1 repository is private, but auth = open: asks no client for a password, "
        "so every client can read them; set auth, such as users:\n"
    )


def test_the_start_warns_of_storage_secret_and_htpasswd(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    users = tmp_path / "users"
    users.write_text("mira:abcrypt\n")
    _, err = started(capsys, storage="file:///proc/x", auth=f"htpasswd://{users}", secret="x")

    for text in ("secret: the key is easy to guess", "storage: /proc/x cannot be made", f"{users}, line 1: "):
        assert text in err


def test_the_start_asks_no_ldap_server(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr("v1registry.accounts.backends.ldap_server.LdapServer.search", fail)
    _, err = started(capsys, storage=f"file://{folder}", auth="ldap://ldap.example/dc=example,dc=org")

    assert err == ""


def test_serve_warns_of_ldap_without_tls_once(tmp_path: Path) -> None:
    arguments = [
        "v1registry",
        "serve",
        "--storage",
        f"file://{tmp_path}/new",
        "--port",
        "0",
        "--workers",
        "2",
    ]
    auth = "ldap://192.0.2.1/dc=example,dc=org"
    with Program([*arguments, "--auth", auth], folder=tmp_path) as serving:
        for _ in range(2):
            with serving.connect() as connection:
                connection.sendall(b"GET /v1/_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert b"200 OK" in connection.recv(4096)
        assert serving.log.count("passwords are sent to the LDAP server 192.0.2.1 unprotected") == 1


def test_counting_ends_in_time(folder: Path) -> None:
    count = trials.count_repositories(assemble({"storage": f"file://{folder}"}), within_s=-1)

    assert count is not None
    assert not count.is_complete
    assert str(count) == "more than 0 repositories"


@pytest.mark.parametrize(
    ("settings", "access"),
    [
        ({}, "open: every client that reaches this address may read, write and delete"),
        ({"read_only": "yes"}, "read-only; every client reads everything"),
        ({"auth": "users:", "policy": "members"},
         "users: accounts in the storage read and write everything, all other clients nothing"),
        ({"auth": "users:", "policy": "os.path:exists"},
         "users: accounts in the storage, with the rules of os.path:exists"),
        ({"auth": "environ:REMOTE_USER"},
         "environ: users write in their own namespaces, everyone reads public repositories"),
        ({"index": "https://a:b@index.example"},
         "with tokens that the index https://a:...@index.example checks"),
    ],
)  # fmt: skip
def test_the_start_tells_who_may_do_what(
    settings: dict[str, str], access: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = started(capsys, storage="memory:", **settings)

    assert f"access:  {access}\n" in out


def test_serve_prints_its_warnings(tmp_path: Path) -> None:
    arguments = ["v1registry", "serve", "--storage", f"file://{tmp_path}/new", "--port", "0"]
    with Program(arguments, folder=tmp_path, environment={"V1REGISTRY_SECRET": "x"}) as serving:
        eventually(
            lambda: "warning: secret: the key is easy to guess" in serving.log, "the warning is printed"
        )
        assert f"storage: file://{tmp_path}/new, a new folder" in serving.log
