"""RecordingProxy in front of a server: it changes nothing but URLs, and writes a transcript."""

from __future__ import annotations

import socket

import pytest
import requests
from v1registry_fakes import FakeRegistry, LiveServer, RecordingProxy, ReplayedRegistry, WSGISession
from v1registry_fakes.transcripts.transcripts import read_transcript

IMAGE_ID = "ab" * 32


@pytest.fixture
def path(tmp_path):
    return tmp_path / "session.jsonl"


@pytest.fixture
def proxy(registry):
    with RecordingProxy(registry.url) as proxy:
        yield proxy


def test_push_and_pull_pass_through(proxy, registry, path):
    with proxy.record(path), requests.Session() as session:
        session.put(f"{proxy.url}/v1/images/{IMAGE_ID}/json", json={"id": IMAGE_ID}, timeout=10)
        pieces = iter([b"one", b"two" * 100_000])
        session.put(f"{proxy.url}/v1/images/{IMAGE_ID}/layer", data=pieces, timeout=10)
        image = registry.images[IMAGE_ID]
        sums = {"X-Docker-Checksum-Payload": image.checksum}
        session.put(f"{proxy.url}/v1/images/{IMAGE_ID}/checksum", headers=sums, timeout=10)
        got = session.get(f"{proxy.url}/v1/images/{IMAGE_ID}/layer", timeout=10).content

    assert got == image.layer == b"one" + b"two" * 100_000
    exchanges = read_transcript(path)
    assert [each.status for each in exchanges] == [200] * 4
    assert exchanges[1].request_body.transfer == "chunked"
    assert exchanges[3].response_body.data() == got
    assert [request.status for request in registry.requests] == [200] * 4


def test_urls_of_the_server_become_those_of_the_proxy(path):
    with FakeRegistry(auth="users:") as registry, RecordingProxy(registry.url) as proxy:
        registry.add_image("alice/app")
        challenge = requests.get(f"{proxy.url}/v2/", timeout=10).headers["WWW-Authenticate"]
        listed = requests.get(f"{proxy.url}/v1/repositories/alice/app/images", timeout=10)
        host, behind = proxy.host, registry.host

    assert f'realm="http://{host}/' in challenge
    assert f'service="{behind}"' in challenge
    assert listed.headers["X-Docker-Endpoints"] == host


def test_recorded_session_is_replayed(proxy, registry, path):
    registry.add_image("alice/app:1.0")
    with proxy.record(path):
        tags = requests.get(f"{proxy.url}/v1/repositories/alice/app/tags", timeout=10).json()

    with ReplayedRegistry(path) as replayed, WSGISession(replayed.app) as session:
        assert session.get("/v1/repositories/alice/app/tags").json() == tags
        replayed.check()


def test_head_errors_and_empty_answers_pass_through(proxy, registry):
    registry.add_image("alice/app", api="v2")
    head = requests.head(f"{proxy.url}/v2/alice/app/manifests/latest", timeout=10)
    missing = requests.get(f"{proxy.url}/v1/images/{IMAGE_ID}/json", timeout=10)
    begun = requests.post(f"{proxy.url}/v2/alice/app/blobs/uploads/", timeout=10)
    ended = requests.delete(requests.compat.urljoin(proxy.url, begun.headers["Location"]), timeout=10)

    assert int(head.headers["Content-Length"]) == len(registry.manifest("alice/app").document)
    assert (missing.status_code, missing.json()) == (404, {"error": "Image not found"})
    assert (begun.status_code, ended.status_code, ended.content) == (202, 204, b"")


def test_servers_with_tls_and_a_path_are_reached(path):
    def application(environ, start_response):
        body = f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}".encode()
        start_response("200 Fine", [("Content-Length", str(len(body)))])
        return [body]

    with (
        LiveServer(application, tls=True) as server,
        RecordingProxy(f"{server.url}/base/", ca_file=server.ca_file) as proxy,
        proxy.record(path),
    ):
        answer = requests.get(f"{proxy.url}/a%20b?c=%2F", timeout=10)

    assert (answer.text, answer.reason) == ("/base/a b?c=%2F", "Fine")
    assert read_transcript(path)[0].path == "/a%20b?c=%2F"


def test_cut_answers_are_cut_and_recorded_as_incomplete(proxy, registry, path):
    image = registry.add_image("alice/app", layer=b"x" * 200_000)
    with (
        proxy.record(path),
        registry.fail("GET", "*/layer", cut_after_bytes=100_000),
        pytest.raises(requests.RequestException),
    ):
        requests.get(f"{proxy.url}/v1/images/{image.id}/layer", timeout=10)

    (exchange,) = read_transcript(path)
    assert (exchange.status, exchange.response_body.is_complete) == (200, False)


def test_server_that_does_not_answer_is_a_502(path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with (
            RecordingProxy(f"http://127.0.0.1:{unused.getsockname()[1]}") as proxy,
            WSGISession(proxy.app) as session,
        ):
            answer = session.get("/v1/_ping")

    assert answer.status_code == 502
    assert f"{proxy.target} did not answer: " in answer.json()["error"]


@pytest.mark.parametrize(
    "url", ["registry.example.com", "ftp://a.example", "http://", "http://a.example/?b=c"]
)
def test_invalid_url_of_the_server_is_rejected(url):
    with pytest.raises(ValueError, match="must be a URL such as"):
        RecordingProxy(url)
