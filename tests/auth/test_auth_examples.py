"""Every example of users is run as its text says."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import EXAMPLES, environment_of
from slapd import GROUPS, PEOPLE, Slapd
from webtest import TestApp

FOLDER = EXAMPLES / "auth"

#: "correct horse", by Apache's htpasswd -s
SHA = "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A="

#: Examples that have a test below.
TESTED = {
    "accounts.py",
    "htpasswd_file.py",
    "ldap_directory.py",
    "own_function.py",
    "surrounding_application.py",
    "test_own_backend.py",
}


def run(folder: Path, name: str, *arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
    """Run an example without a terminal, so that the password comes from the standard input."""
    return subprocess.run(
        [sys.executable, str(FOLDER / name), *arguments],
        cwd=folder,
        input=f"{password}\n",
        capture_output=True,
        text=True,
        env=environment_of(folder),
        start_new_session=True,
        timeout=60,
    )


def test_every_example_is_run() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.suffix} == TESTED


def test_accounts_are_made_and_changed(tmp_path: Path) -> None:
    place = (tmp_path / "data").as_uri()
    assert run(tmp_path, "accounts.py", place, "list").stdout == ""
    done = run(tmp_path, "accounts.py", place, "add", "mira", "mira@example.org", password="correct horse")
    assert done.stdout.split() == ["mira"], done.stderr
    assert run(tmp_path, "accounts.py", place, "password", "mira", password="battery staple").returncode == 0
    done = run(tmp_path, "accounts.py", place, "administrator", "mira")
    assert done.stdout.split() == ["mira", "(administrator)"], done.stderr
    assert (
        "AccountExists"
        in run(tmp_path, "accounts.py", place, "add", "mira", "m@example.org", password="x").stderr
    )


@pytest.mark.parametrize(
    ("username", "password", "expected"),
    [
        (
            "mira",
            "correct horse",
            "User(name='mira', groups=frozenset({'tools'}), is_active=True, is_administrator=True)",
        ),
        ("mira", "wrong", "refused"),
        ("nobody", "correct horse", "refused"),
    ],
)
def test_an_htpasswd_file_is_asked(tmp_path: Path, username: str, password: str, expected: str) -> None:
    (tmp_path / "users").write_text(f"mira:{SHA}\n")
    done = run(tmp_path, "htpasswd_file.py", "users", username, password=password)
    assert done.stdout.strip().endswith(expected), done.stderr


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd(tmp_path_factory.mktemp("slapd")) as server:
        server.fill()
        server.restart([], may_everybody_read=True)
        server.add_group("admins", server.add_person("mira", "correct horse"))
        yield server


@pytest.mark.real
def test_an_ldap_directory_is_asked(tmp_path: Path, directory: Slapd) -> None:
    done = run(tmp_path, "ldap_directory.py", directory.url, PEOPLE, "mira", password="correct horse")
    assert done.stdout.strip().endswith(
        "User(name='mira', groups=frozenset({'admins'}), is_active=True, is_administrator=True)"
    ), done.stderr
    done = run(tmp_path, "ldap_directory.py", directory.url, PEOPLE, "mira", password="wrong")
    assert done.stdout.strip().endswith("refused"), done.stderr
    done = run(tmp_path, "ldap_directory.py", directory.url, f"ou=lost,{GROUPS}", "mira", password="wrong")
    assert done.returncode == 1
    assert "The LDAP server cannot look up users now, try again later" in done.stderr


def test_a_function_is_asked(tmp_path: Path) -> None:
    done = run(tmp_path, "own_function.py")
    assert done.stdout.splitlines() == [
        "mira User(name='mira', groups=frozenset({'tools'}), is_active=True, is_administrator=False)",
        "mira refused",
        "zoe User(name='zoe', groups=frozenset({'web'}), is_active=False, is_administrator=False)",
        "nobody refused",
    ], done.stderr


def test_the_surrounding_application_tells_who_it_is() -> None:
    application = TestApp(runpy.run_path(str(FOLDER / "surrounding_application.py"))["application"])
    assert application.get("/?session=4711").text == "mira of tools, web\n"
    assert application.get("/?session=1").text == "somebody\n"
    assert application.get("/", headers={"Site.User": "mira", "Remote-User": "mira"}).text == "somebody\n"


def test_an_own_backend_keeps_the_contract(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FOLDER / "test_own_backend.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment_of(tmp_path),
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
