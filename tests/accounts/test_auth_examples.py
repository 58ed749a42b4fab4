"""Every example of users serves a registry as its text says, and logs the right users in."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.engine_client import EngineClient, Image, UnexpectedAnswer, make_chain, random_layer
from support.programs import EXAMPLES, Program, environment_of, start_example
from support.slapd import PEOPLE, Slapd

FOLDER = EXAMPLES / "auth"

#: "correct horse", by Apache's htpasswd -s
SHA = "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A="

#: Examples that have a test below.
TESTED = {
    "accounts.py",
    "htpasswd_file.py",
    "ldap_directory.py",
    "own_backend.py",
    "own_function.py",
    "surrounding_application.py",
    "test_own_backend.py",
}

Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Serve an example by its documented command, with other values for its variables."""
    with ExitStack() as stack:

        def started(name: str, **environment: str) -> Program:
            running = start_example(f"auth/{name}", tmp_path, tmp_path / "registry", environment=environment)
            return stack.enter_context(running)

        yield started


@pytest.fixture
def chain() -> list[Image]:
    return make_chain(random_layer(1000, n) for n in range(2))


def engine(running: Program, login: str | None = None) -> EngineClient:
    return EngineClient(running.host, login=login)


def refusal(client: EngineClient, repository: str, chain: list[Image]) -> int:
    """Return the status with which a push is refused."""
    with pytest.raises(UnexpectedAnswer) as caught:
        client.push(repository, chain)
    return caught.value.status


def assert_pushes(client: EngineClient, repository: str, chain: list[Image]) -> None:
    client.push(repository, chain)
    assert client.pull(repository) == chain


def test_every_example_is_run() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.suffix} == TESTED


def test_storage_logs_users_in(start: Start, chain: list[Image]) -> None:
    running = start("accounts.py")
    assert_pushes(engine(running, "root:correct horse"), "library/app", chain)
    fields = b'{"username": "mira", "password": "battery staple", "email": "mira@example.org", "auth": ""}'
    answer = engine(running).request("POST", "/v1/users/", fields, {"Content-Type": "application/json"})
    assert (answer.status, answer.body) == (201, b'"User Created"')
    mira = engine(running, "mira:battery staple")
    assert_pushes(mira, "mira/app", chain)
    assert refusal(mira, "library/app", chain) == 403
    assert refusal(engine(running, "root:not it"), "library/app", chain) == 401


def test_accounts_in_the_storage_survive_a_restart(start: Start) -> None:
    start("accounts.py").end()
    again = start("accounts.py", ROOT_PASSWORD="another one")
    login = engine(again, "root:correct horse")
    assert login.get("/v1/users/", login.basic).status == 200


def test_htpasswd_file_logs_users_in(start: Start, chain: list[Image], tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(f"mira:{SHA}\n")
    running = start("htpasswd_file.py", HTPASSWD=str(users))
    assert_pushes(engine(running, "mira:correct horse"), "library/app", chain)
    zoe = engine(running, "zoe:correct horse")
    assert refusal(zoe, "tools/app", chain) == 401
    users.write_text(f"mira:{SHA}\nzoe:{SHA}\n")
    assert_pushes(zoe, "tools/app", chain)
    assert refusal(zoe, "mira/app", chain) == 403


@pytest.mark.real
@pytest.mark.smoke
def test_ldap_directory_logs_users_in(start: Start, chain: list[Image], tmp_path: Path) -> None:
    with Slapd(tmp_path / "slapd") as directory:
        directory.fill()
        directory.restart([], may_everybody_read=True)
        directory.add_group("admins", directory.add_person("mira", "correct horse"))
        directory.add_group("tools", directory.add_person("zoe", "battery staple"))
        running = start("ldap_directory.py", LDAP_URL=directory.url, LDAP_BASE=PEOPLE)
        assert_pushes(engine(running, "mira:correct horse"), "library/app", chain)
        zoe = engine(running, "zoe:battery staple")
        assert_pushes(zoe, "tools/app", chain)
        assert refusal(zoe, "library/app", chain) == 403
        assert refusal(engine(running, "zoe:not it"), "tools/app", chain) == 401
        directory.stop()
        login = engine(running, "zoe:something else")
        assert login.get("/v1/users/", login.basic).status == 503


def test_function_logs_users_in(start: Start, chain: list[Image]) -> None:
    running = start("own_function.py")
    mira = engine(running, "mira:correct horse")
    assert_pushes(mira, "tools/app", chain)
    assert refusal(mira, "web/app", chain) == 403
    assert refusal(engine(running, "zoe:battery staple"), "web/app", chain) == 403
    for login in ("mira:not it", "nobody:correct horse"):
        assert refusal(engine(running, login), "tools/app", chain) == 401


def documented_curls(name: str) -> list[list[str]]:
    """Return the curl commands in the text of an example."""
    lines = (FOLDER / name).read_text("utf-8").replace("\\\n", "").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("    curl ")]


def test_surrounding_application_names_the_user(start: Start, chain: list[Image]) -> None:
    running = start("surrounding_application.py")
    greeting, announcing = documented_curls("surrounding_application.py")
    assert greeting[-1].endswith("127.0.0.1:5000/")
    session = dict([re.split(": ?", greeting[greeting.index("-H") + 1])])
    client = engine(running)
    assert client.get("/", session).body == b"Hello mira\n"
    assert client.get("/").body == b"Hello stranger\n"
    path = announcing[-1].partition(":5000")[2]
    headers = {**session, "X-Docker-Token": "true", "Content-Type": "application/json"}
    images = b"[%s]" % b",".join(b'{"id": "%s"}' % image.image_id.encode() for image in chain)
    assert client.request("PUT", path, images, {**headers, "X-Session": "1"}).status == 401
    assert (
        client.request("PUT", path, images, {**headers, "X-Session": "1", "Site.User": "mira"}).status == 401
    )
    answer = client.request("PUT", path, images, headers)
    assert answer.status == 200
    token = answer.headers["X-Docker-Token"]
    for image in chain:
        assert client.push_image(image, token)
    client.put_tag("tools/app", "latest", chain[-1].image_id, token)
    assert client.pull("tools/app") == chain
    assert client.request("PUT", "/v1/repositories/other/app/", b"[]", headers).status == 403


def test_own_backend_logs_users_in(start: Start, chain: list[Image]) -> None:
    running = start("own_backend.py")
    mira = engine(running, "mira:correct horse")
    assert_pushes(mira, "mira/app", chain)
    assert refusal(mira, "library/app", chain) == 403
    assert refusal(engine(running, "mira:not it"), "mira/app", chain) == 401


def test_own_backend_passes_the_contract(tmp_path: Path) -> None:
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
