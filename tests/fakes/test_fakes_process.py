"""``python -m v1registry_fakes``: its line of JSON, its options, and its end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import pytest
import requests
from support.fakes_process import FakesProcess
from v1registry_fakes.command import main

TIMEOUT_S = 60


@pytest.mark.smoke
def test_process_says_where_it_listens_and_is_filled(tmp_path):
    with FakesProcess(folder=tmp_path) as process:
        made = requests.post(
            f"{process.place['control']}images", json={"name": "alice/app:1.0"}, timeout=TIMEOUT_S
        ).json()
        tags = requests.get(f"{process.url}/v1/repositories/alice/app/tags", timeout=TIMEOUT_S).json()

    assert tags == {"1.0": made["id"]}
    assert process.url == f"http://{process.host}"
    assert process.place["control"] == f"{process.url}/_fakes/"
    assert process.host.startswith("127.0.0.1:")
    assert process.place["ca_file"] is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_signal_ends_the_process_although_clients_are_connected(number, tmp_path):
    with FakesProcess(folder=tmp_path) as process, requests.Session() as session:
        session.get(f"{process.url}/v1/_ping", timeout=TIMEOUT_S)
        process.send(number)
        assert process.wait() == (0, "")


def test_end_of_stdin_ends_the_process(tmp_path):
    with FakesProcess("--end-with-stdin", folder=tmp_path) as process:
        process.end_stdin()
        assert process.wait() == (0, "")


def test_options_are_those_of_the_registry(tmp_path):
    with FakesProcess(
        "serve", "--option", "auth=users:", "--option", "search_limit=1", folder=tmp_path
    ) as process:
        control = process.place["control"]
        user = requests.post(f"{control}users", json={"username": "alice"}, timeout=TIMEOUT_S)
        for name in ("alice/one", "alice/two"):
            requests.post(f"{control}repositories", json={"name": name}, timeout=TIMEOUT_S)
        found = requests.get(f"{process.url}/v1/search", timeout=TIMEOUT_S).json()

    assert user.status_code == 201
    assert (len(found["results"]), found["num_results"]) == (1, 2)


def test_profile_is_that_of_another_registry(tmp_path):
    with FakesProcess("--profile", "docker-registry-0.6", folder=tmp_path) as process:
        answer = requests.get(f"{process.url}/v1/_ping", timeout=TIMEOUT_S)

    assert answer.headers["X-Docker-Registry-Version"].startswith("0.6")


def test_certificate_of_a_process_with_tls_is_trusted(tmp_path):
    with FakesProcess("--tls", folder=tmp_path) as process, requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"{process.url}/v1/_ping", verify=process.place["ca_file"], timeout=TIMEOUT_S)

    assert process.url.startswith("https://127.0.0.1:")
    assert answer.status_code == 200


def test_given_address_and_port_are_used(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.2", 0))
        port = free.getsockname()[1]
    with FakesProcess("--host", "127.0.0.2", "--port", str(port), folder=tmp_path) as process:
        assert process.host == f"127.0.0.2:{port}"
        assert requests.get(f"{process.url}/v1/_ping", timeout=TIMEOUT_S).status_code == 200


def test_used_port_is_named(capsys):
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        code = main(["--port", str(port)])

    assert code == 2
    assert capsys.readouterr().err.startswith(f"v1registry_fakes: cannot listen on 127.0.0.1:{port}: ")


def test_invalid_option_of_the_registry_is_named(capsys):
    code = main(["--option", "serach_limit=5", "--option", "auth=nothing:"])

    errors = capsys.readouterr().err.splitlines()
    assert code == 2
    assert len(errors) == 2
    assert all(line.startswith("v1registry_fakes: ") for line in errors)
    assert {line.split(": ")[1] for line in errors} == {"auth", "serach_limit"}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--option", "auth"], "must be KEY=VALUE, such as auth=users:, not 'auth'"),
        (["--option", "server=x"], "must be a setting of the registry, not 'server'; see --help"),
        (["--profile", "artifactory"], "invalid choice: 'artifactory' (choose from"),
        (["--port", "x"], "must be a port from 0 to 65535, not 'x'"),
        (["nothing"], "invalid choice: 'nothing'"),
    ],
)
def test_invalid_command_line_is_explained(words, text, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)

    assert ended.value.code == 2
    assert text in capsys.readouterr().err


def test_help_names_the_line_of_json():
    done = subprocess.run(
        [sys.executable, "-m", "v1registry_fakes", "--help"],
        capture_output=True, text=True, check=True, timeout=TIMEOUT_S,
    )  # fmt: skip

    assert "one line of JSON" in done.stdout


def test_recorded_session_is_served_by_another_process(tmp_path):
    with FakesProcess("--record", "one.jsonl", folder=tmp_path) as fake:
        requests.post(f"{fake.place['control']}images", json={"name": "alice/app:1.0"}, timeout=TIMEOUT_S)
        with FakesProcess("record", fake.url, "--to", "two.jsonl", folder=tmp_path) as proxy:
            tags = requests.get(f"{proxy.url}/v1/repositories/alice/app/tags", timeout=TIMEOUT_S).json()
            assert "control" not in proxy.place
            assert proxy.end() == (0, "")
        assert fake.end() == (0, "")

    for name in ("one.jsonl", "two.jsonl"):
        assert len((tmp_path / name).read_text().splitlines()) == 1
        with FakesProcess("replay", name, folder=tmp_path) as replayed:
            url = f"{replayed.url}/v1/repositories/alice/app/tags"
            assert requests.get(url, timeout=TIMEOUT_S).json() == tags
            assert replayed.end() == (0, "")


def test_differences_from_a_transcript_fail_the_process(tmp_path):
    line = {"seq": 1, "method": "GET", "path": "/v1/_ping", "status": 200}
    (tmp_path / "ping.jsonl").write_text(json.dumps(line))
    with FakesProcess("replay", "ping.jsonl", folder=tmp_path) as replayed:
        assert requests.get(f"{replayed.url}/v2/", timeout=TIMEOUT_S).status_code == 404
        code, errors = replayed.end()

    assert code == 1
    assert errors.splitlines() == [
        "v1registry_fakes: the client differs from the transcript:",
        "unexpected: GET /v2/: the transcript has no such request left; the nearest of 1 is GET /v1/_ping",
        "not asked: 1: GET /v1/_ping 200",
    ]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["replay", "missing.jsonl"], "cannot read the transcript: [Errno 2]"),
        (["record", "registry.example.com", "--to", "a.jsonl"], "URL: must be a URL such as"),
        (["record", "http://a.example", "--to", "missing/a.jsonl"], "cannot write missing/a.jsonl: "),
        (["--record", "missing/a.jsonl"], "cannot write missing/a.jsonl: "),
    ],
)
def test_file_or_url_that_cannot_be_used_is_named(words, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    assert main(words) == 2

    assert text in capsys.readouterr().err
