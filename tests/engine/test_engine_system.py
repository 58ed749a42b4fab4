"""The endpoints about the engine itself, versions, and the ways to reach an engine."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Thread

import docker
import pytest
from v1registry_fakes.engine import FakeEngine
from webtest import TestApp


def test_RMT_001_a_path_has_a_version_or_none(api: TestApp) -> None:
    for path in ("/_ping", "/v1.24/_ping", "/v1.47/_ping"):
        assert api.get(path).body == b"OK"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "/v1.23/info",
            "client version 1.23 is too old. Minimum supported API version is 1.24, "
            "please upgrade your client to a newer version",
        ),
        ("/v1.48/info", "client version 1.48 is too new. Maximum supported API version is 1.47"),
        ("/v1.4.1/info", "the version in the path must be a version such as 1.41, not '1.4.1'"),
        ("/v1/info", "the version in the path must be a version such as 1.41, not '1'"),
    ],
)
def test_RMT_002_a_version_that_is_not_spoken_is_400(api: TestApp, path: str, message: str) -> None:
    assert api.get(path, status=400).json == {"message": message}


def test_RMT_003_every_answer_has_the_headers_of_the_engine(api: TestApp) -> None:
    for answer in (api.get("/_ping"), api.get("/unknown", status=404)):
        assert answer.headers["Api-Version"] == "1.47"
        assert answer.headers["Ostype"] == "linux"
        assert answer.headers["Server"] == "Docker/27.3.1 (linux)"
        assert answer.headers["Docker-Experimental"] == "false"


@pytest.mark.parametrize(("method", "path"), [("GET", "/unknown"), ("DELETE", "/info"), ("GET", "/")])
def test_RMT_004_an_unknown_path_or_method_is_404(api: TestApp, method: str, path: str) -> None:
    assert api.request(path, method=method, status=404).json == {"message": "page not found"}


@pytest.mark.parametrize("path", ["/build", "/swarm/init", "/plugins", "/services/x", "/session"])
def test_RMT_005_what_is_not_simulated_is_501(api: TestApp, path: str) -> None:
    assert "is not simulated by FakeEngine" in api.post(path, status=501).json["message"]


@pytest.mark.parametrize("version", ["1.12.6", "17.05.0-ce", "20.10.24", "27.3.1"])
def test_RMT_010_version_tells_the_release(version: str) -> None:
    with FakeEngine(version=version) as engine:
        told = TestApp(engine.app).get("/version").json
    assert told["Version"] == version
    assert told["MinAPIVersion"] == "1.24"


def test_an_unknown_release_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"version must be one of 1\.12\.6"):
        FakeEngine(version="1.6")


def test_RMT_011_the_library_negotiates_the_version(engine: FakeEngine) -> None:
    for url in (engine.url, engine.socket_url):
        client = docker.DockerClient(base_url=url, version="auto")
        assert client.ping()
        assert client.api.api_version == "1.47"
        assert client.info()["ServerVersion"] == "27.3.1"
        client.close()


def test_RMT_012_ping_answers_head_without_a_body(api: TestApp) -> None:
    answer = api.head("/_ping")
    assert (answer.status_int, answer.body) == (200, b"")
    assert answer.headers["Cache-Control"] == "no-cache, no-store, must-revalidate"


def test_the_port_uses_tls_with_the_certificates_of_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    # requests prefers these to the certificate that the library names
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with FakeEngine(tls=True) as engine:
        environ = engine.environ
        folder = Path(environ["DOCKER_CERT_PATH"])
        assert {path.name for path in folder.iterdir()} >= {"ca.pem", "cert.pem", "key.pem"}
        client = docker.DockerClient.from_env(environment=environ)
        assert client.ping()
        client.close()


def test_more_requests_wait_than_threads_at_the_start(
    engine: FakeEngine, client: docker.DockerClient
) -> None:
    until = time.time() + 60
    streams = [client.api.events(until=until) for _ in range(12)]
    readers = [Thread(target=lambda stream=stream: list(stream)) for stream in streams]
    for reader in readers:
        reader.start()
    assert client.ping()
    engine.reset()
    for reader in readers:
        reader.join(10)
        assert not reader.is_alive()


@pytest.mark.parametrize("query", ["since=x", "since=9&until=3", "filters={"])
def test_RMT_013_invalid_parameters_of_events_are_400(api: TestApp, query: str) -> None:
    assert api.get(f"/events?{query}", status=400).json["message"]


def test_a_closed_engine_has_no_port() -> None:
    engine = FakeEngine()
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        _ = engine.url


def test_requests_are_recorded_with_their_route(engine: FakeEngine, client: docker.DockerClient) -> None:
    client.ping()
    request = engine.requests[-1]
    assert (request.method, request.route, request.status) == ("GET", "ping", 200)
