"""Many processes want one name at the same time, over HTTP, from two server processes over one folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest
from support.account_client import TAKEN, USER_CREATED
from support.credentials import basic
from support.programs import PATIENCE_S, Program

_PROCESSES = 20

#: Connects, waits until its input ends, registers, and prints status and body.
_REGISTER = """
import json, sys
from http.client import HTTPConnection
port, body = sys.argv[1:]
connection = HTTPConnection("127.0.0.1", int(port), timeout=60)
connection.connect()
print("ready", flush=True)
sys.stdin.read()
connection.request("POST", "/v1/users/", body, {"Content-Type": "application/json"})
answer = connection.getresponse()
print(json.dumps([answer.status, answer.read().decode()]), flush=True)
"""


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[list[int]]:
    """The ports of two servers with accounts."""
    with ExitStack() as stack:
        programs = []
        for number in range(2):
            folder = tmp_path / f"server-{number}"
            folder.mkdir()
            command = ["v1registry", "serve", "--port", "0", "--auth", "users:"]
            command += ["--storage", (tmp_path / "registry").as_uri()]
            programs.append(stack.enter_context(Program(command, folder=folder)))
        yield [program.port for program in programs]


def registered_at_once(ports: list[int], bodies: list[str]) -> list[tuple[int, bytes]]:
    """Register each body from a process of its own, all at the same time; return what was answered."""
    with ExitStack() as stack:
        processes = []
        for number, body in enumerate(bodies):
            command = [sys.executable, "-S", "-c", _REGISTER, str(ports[number % len(ports)]), body]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            processes.append(stack.enter_context(process))
            stack.callback(process.kill)
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        outputs = [process.communicate(timeout=PATIENCE_S)[0] for process in processes]
    answers = [json.loads(output) for output in outputs]
    return [(status, body.encode()) for status, body in answers]


def login_status(port: int, username: str, password: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/v1/users/", headers=basic(username, password))
        return connection.getresponse().status
    finally:
        connection.close()


def test_HUB_001_HUB_002_one_of_20_processes_registers_a_name(
    ports: list[int],
) -> None:
    passwords = [f"password {number}" for number in range(_PROCESSES)]
    bodies = [
        json.dumps({"username": "mira_k", "password": password, "email": f"mira{number}@example.org"})
        for number, password in enumerate(passwords)
    ]

    answers = registered_at_once(ports, bodies)

    assert Counter(answers) == {(201, USER_CREATED): 1, (400, TAKEN): _PROCESSES - 1}
    winner = answers.index((201, USER_CREATED))
    loser = (winner + 1) % _PROCESSES
    for port in ports:
        assert login_status(port, "mira_k", passwords[winner]) == 200
        assert login_status(port, "mira_k", passwords[loser]) == 401


def test_HUB_002_at_most_one_of_20_processes_gets_an_address(ports: list[int]) -> None:
    """Every process may lose if each saw the others first; the address is free afterwards."""
    bodies = [
        json.dumps({"username": f"mira_{number}", "password": "s3cret-one", "email": "mira@example.org"})
        for number in range(_PROCESSES)
    ]

    answers = registered_at_once(ports, bodies)

    assert set(answers) <= {(201, USER_CREATED), (400, TAKEN)}
    assert answers.count((201, USER_CREATED)) <= 1
    if (201, USER_CREATED) not in answers:
        assert registered_at_once(ports, bodies[:1]) == [(201, USER_CREATED)]
    assert registered_at_once(ports, bodies[-1:]) == [(400, TAKEN)]


def test_HUB_006_changed_password_is_refused_by_other_servers(ports: list[int]) -> None:
    one, two = ports
    body = json.dumps({"username": "mira_k", "password": "s3cret-one", "email": "mira@example.org"})
    assert registered_at_once([one], [body]) == [(201, USER_CREATED)]
    assert [login_status(port, "mira_k", "s3cret-one") for port in ports] == [200, 200]

    connection = HTTPConnection("127.0.0.1", one, timeout=PATIENCE_S)
    headers = {"Content-Type": "application/json", **basic("mira_k", "s3cret-one")}
    connection.request("PUT", "/v1/users/mira_k/", '{"password": "s3cret-two"}', headers)
    assert connection.getresponse().status == 204
    connection.close()

    assert [login_status(port, "mira_k", "s3cret-one") for port in (two, one)] == [401, 401]
    assert [login_status(port, "mira_k", "s3cret-two") for port in (two, one)] == [200, 200]
