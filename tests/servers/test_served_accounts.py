"""``v1registry serve --auth users:`` with two workers, for users and for the administrator.

A change by one worker, or by a command, must be effective in both workers at once. Each worker has its own
connection, and has read the data before the change, so a stale cache would be noticed.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from support.engine_client import EngineClient, Image, make_chain, random_layer
from support.programs import Program, environment_of, eventually

WORKERS = 2

#: Connections go to workers by chance: so many are tried until each has one.
_ATTEMPTS = 200

PASSWORD = "correct horse"


@dataclass
class Worker:
    """A connection to one of the server's processes."""

    process: int
    connection: http.client.HTTPConnection

    def ask(
        self, method: str, path: str, *, login: str | None = None, token: str = "", body: object = None
    ) -> tuple[int, bytes, str]:
        """Return status, body and token of the answer."""
        headers = {"X-Docker-Token": "true"} if login else {}
        if login is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode("ascii")
        if token:
            headers["Authorization"] = f"Token {token}"
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read(), answer.headers.get("X-Docker-Token", "")

    def status(self, method: str, path: str, *, login: str | None = None, token: str = "") -> int:
        return self.ask(method, path, login=login, token=token)[0]


@dataclass
class Served:
    """The running server, a connection to each worker, and the commands beside it."""

    program: Program
    storage: str
    workers: list[Worker]
    numbers: Iterator[int] = field(default_factory=count)  #: of the users that tests make

    def statuses(self, method: str, path: str, *, login: str | None = None, token: str = "") -> list[int]:
        """Return what each worker answers to the same request."""
        return [worker.status(method, path, login=login, token=token) for worker in self.workers]

    def run(self, *command: str, password: str = "") -> str:
        """Run a command of ``v1registry`` beside the server and return what it printed."""
        done = subprocess.run(
            ["v1registry", *command],
            cwd=self.program.folder,
            env=environment_of(self.program.folder),
            input=f"{password}\n",
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def administer(self, *command: str, password: str = "") -> str:
        """Run a command on the storage of the server."""
        return self.run(*command, "--storage", self.storage, password=password)

    def register(self, name: str) -> None:
        """Register as ``docker login`` does."""
        fields = {"username": name, "password": PASSWORD, "email": f"{name}@example.org", "auth": ""}
        assert self.workers[0].ask("POST", "/v1/users/", body=fields)[:2] == (201, b'"User Created"')

    def engine(self, name: str) -> EngineClient:
        return EngineClient(self.program.host, login=f"{name}:{PASSWORD}")


def _process_behind(connection: http.client.HTTPConnection, program: Program) -> int | None:
    """Return the process that serves a connection; None if it is not accepted yet (proc(5), net/tcp)."""
    local, remote = connection.sock.getpeername()[1], connection.sock.getsockname()[1]
    wanted = (f"0100007F:{local:04X}", f"0100007F:{remote:04X}")
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if (columns[1], columns[2]) != wanted:
            continue
        for process in program.processes():
            folder = f"/proc/{process}/fd"
            for descriptor in os.listdir(folder):
                with suppress(FileNotFoundError):  # just closed
                    if os.readlink(f"{folder}/{descriptor}") == f"socket:[{columns[9]}]":
                        return process
    return None


def _connected(program: Program, stack: ExitStack) -> list[Worker]:
    """Return a connection to each worker; the others that were made stay open until the end."""
    found: dict[int, Worker] = {}
    for _ in range(_ATTEMPTS):
        connection = http.client.HTTPConnection(program.host, timeout=60)
        stack.callback(connection.close)
        connection.request("GET", "/v1/_ping")
        connection.getresponse().read()
        process = _process_behind(connection, program)
        assert process is not None, "a connection that was answered belongs to a process"
        found.setdefault(process, Worker(process, connection))
        if len(found) == WORKERS:
            return list(found.values())
    raise AssertionError(f"{_ATTEMPTS} connections went to {len(found)} of {WORKERS} workers")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    storage = (folder / "registry").as_uri()
    command = ["v1registry", "serve", "--auth", "users:", "--storage", storage]
    command += ["--port", "0", "--workers", str(WORKERS)]
    with Program(command, folder=folder) as program, ExitStack() as stack:
        yield Served(program, storage, _connected(program, stack))


@pytest.fixture
def name(served: Served) -> str:
    """A user who has registered and has logged in with each worker."""
    made = f"user_{next(served.numbers)}"
    served.register(made)
    assert served.statuses("GET", "/v1/users/", login=f"{made}:{PASSWORD}") == [200, 200]
    return made


def chain_of(name: str) -> list[Image]:
    return make_chain((random_layer(1000, f"{name} {number}") for number in range(2)), name=name)


def save(path: Path, image: Image, reference: str) -> None:
    """Write an image as ``docker save`` of docker 1.9 does."""
    repository, _, tag = reference.rpartition(":")
    files = {
        f"{image.image_id}/VERSION": b"1.0",
        f"{image.image_id}/json": image.json,
        f"{image.image_id}/layer.tar": gzip.decompress(image.layer),
        "repositories": json.dumps({repository: {tag: image.image_id}}).encode(),
    }
    with tarfile.open(path, "w") as archive:
        for member, content in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


# -- a person


def test_people_register_themselves_and_are_active_at_once(served: Served) -> None:
    served.register("newcomer")
    for worker in served.workers:
        assert worker.ask("GET", "/v1/users/", login=f"newcomer:{PASSWORD}")[:2] == (200, b'"OK"')
        assert worker.status("GET", "/v1/users/", login="newcomer:not it") == 401
    taken = {"username": "newcomer", "password": "another one", "email": "n@example.org"}
    for worker in served.workers:
        answer = worker.ask("POST", "/v1/users/", body=taken)
        assert answer[:2] == (400, b'"Username or email already exists"')


def test_the_commands_push_and_pull_as_a_user(served: Served, name: str, tmp_path: Path) -> None:
    image = chain_of(name)[0]
    save(tmp_path / "saved.tar", image, f"{name}/app:1.0")
    reference = f"{served.program.host}/{name}/app:1.0"
    login = ("--api", "v1", "--quiet", "--username", name, "--password-stdin")
    served.run("push", str(tmp_path / "saved.tar"), reference, *login, password=PASSWORD)
    served.administer("repository", "private", f"{name}/app")
    served.run("pull", reference, "-o", str(tmp_path / "pulled.tar"), *login, password=PASSWORD)
    with tarfile.open(tmp_path / "pulled.tar") as archive:
        stored = archive.extractfile(f"{image.image_id}/layer.tar")
        assert stored is not None
        assert stored.read() == gzip.decompress(image.layer)


# -- an administrator, beside the running server


def test_a_repository_becomes_private_and_public_at_once(served: Served, name: str) -> None:
    chain = chain_of(name)
    served.engine(name).push(f"{name}/app", chain)
    paths = [f"/v1/repositories/{name}/app/tags", f"/v1/images/{chain[-1].image_id}/layer"]
    assert [served.statuses("GET", path) for path in paths] == [[200, 200], [200, 200]]
    served.administer("repository", "private", f"{name}/app")
    assert [served.statuses("GET", path) for path in paths] == [[401, 401], [401, 401]]
    login = f"{name}:{PASSWORD}"
    assert [served.statuses("GET", path, login=login) for path in paths] == [[200, 200], [200, 200]]
    served.administer("repository", "private", f"{name}/app", "off")
    assert [served.statuses("GET", path) for path in paths] == [[200, 200], [200, 200]]


def test_a_collaborator_comes_and_goes_at_once(served: Served, name: str) -> None:
    served.engine(name).push(f"{name}/app", chain_of(name))
    served.administer("repository", "private", f"{name}/app")
    friend = f"{name}_friend"
    served.register(friend)
    path, login = f"/v1/repositories/{name}/app/images", f"{friend}:{PASSWORD}"
    assert served.statuses("GET", path, login=login) == [404, 404]
    served.administer("repository", "grant", f"{name}/app", friend, "read")
    assert served.statuses("GET", path, login=login) == [200, 200]
    assert served.engine(friend).pull(f"{name}/app") == chain_of(name)
    assert served.statuses("PUT", f"/v1/repositories/{name}/app/tags/stolen", login=login) == [403, 403]
    served.administer("repository", "grant", f"{name}/app", friend, "none")
    assert served.statuses("GET", path, login=login) == [404, 404]


def test_disabled_user_is_403_at_once_with_password_and_token(served: Served, name: str) -> None:
    served.engine(name).push(f"{name}/app", chain_of(name))
    served.administer("repository", "private", f"{name}/app")
    login, path = f"{name}:{PASSWORD}", f"/v1/repositories/{name}/app"
    _, _, token = served.workers[0].ask("GET", f"{path}/images", login=login)
    assert served.statuses("GET", f"{path}/tags", token=token) == [200, 200]
    served.administer("user", "disable", name)
    assert served.statuses("GET", "/v1/users/", login=login) == [403, 403]
    assert served.statuses("GET", f"{path}/tags", login=login) == [403, 403]
    assert served.statuses("GET", f"{path}/tags", token=token) == [403, 403]
    for worker in served.workers:
        assert worker.ask("GET", "/v1/users/", login=login)[1] == b'"Account is not Active"'
    served.administer("user", "enable", name)
    assert served.statuses("GET", f"{path}/tags", login=login) == [200, 200]


@pytest.mark.parametrize("changed_by", ["the first worker", "the second worker", "a command"])
def test_old_password_is_401_in_both_workers_after_a_change(
    served: Served, name: str, changed_by: str
) -> None:
    old, new = f"{name}:{PASSWORD}", f"{name}:battery staple"
    if changed_by == "a command":
        served.administer("user", "passwd", name, "--password-stdin", password="battery staple")
    else:
        worker = served.workers[changed_by == "the second worker"]
        fields = {"password": "battery staple"}
        assert worker.ask("PUT", f"/v1/users/{name}/", login=old, body=fields)[0] == 204
    assert served.statuses("GET", "/v1/users/", login=old) == [401, 401]
    assert served.statuses("GET", "/v1/users/", login=new) == [200, 200]


# -- deletion


def test_layer_of_a_deleted_repository_is_404(served: Served, name: str) -> None:
    chain, login = chain_of(name), f"{name}:{PASSWORD}"
    served.engine(name).push(f"{name}/app", chain)
    served.engine(name).push(f"{name}/kept", chain[:1])
    layers = [f"/v1/images/{image.image_id}/layer" for image in chain]
    assert [served.statuses("GET", path, login=login) for path in layers] == [[200, 200], [200, 200]]
    assert served.workers[0].status("DELETE", f"/v1/repositories/{name}/app/", login=login) == 202
    assert served.statuses("GET", f"/v1/repositories/{name}/app/tags", login=login) == [404, 404]
    assert [served.statuses("GET", path, login=login) for path in layers] == [[200, 200], [404, 404]]
    assert served.workers[1].status("DELETE", f"/v1/repositories/{name}/app/", login=login) == 200
    assert [served.statuses("GET", path, login=login) for path in layers] == [[200, 200], [404, 404]]
    served.engine(name).push(f"{name}/app", chain)
    assert [served.statuses("GET", path) for path in layers] == [[200, 200], [200, 200]]


# -- the log


def test_verbose_log_lines_have_the_id_of_their_request(tmp_path: Path) -> None:
    command = ["v1registry", "serve", "--verbose", "--auth", "users:", "--port", "0"]
    command += ["--storage", (tmp_path / "registry").as_uri()]
    with Program(command, folder=tmp_path) as program:
        engine = EngineClient(program.host)
        login = "Basic " + base64.b64encode(b"mira:not it").decode("ascii")
        answer = engine.get("/v1/users/", {"Authorization": login, "X-Request-Id": "a-4711"})
        assert (answer.status, answer.headers["X-Request-Id"]) == (401, "a-4711")
        eventually(lambda: "a-4711" in program.log, "the refusal is in the log")
        assert re.search(r"INFO v1registry\.app: \[a-4711\] GET '/v1/users/': 401 ", program.log)
        assert login.partition(" ")[2] not in program.log
        assert "not it" not in program.log
