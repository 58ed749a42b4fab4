"""A recorded session is served again, and what a client does differently is reported."""

from __future__ import annotations

import hashlib
import json
import random
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from support.transcripts import TRANSCRIPTS
from v1registry_fakes import FakeRegistry, ReplayedRegistry, TranscriptInvalid, WSGISession
from v1registry_fakes.layers import layer_of

IMAGE_ID = "ab" * 32
LAYER = layer_of({"data": random.Random(1).randbytes(25_000)})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "session.jsonl"


def pull(url, auth=None):
    """Pull an image of v1 and of /v2/ as a client does; return all that it got."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = False
        wanted = {"X-Docker-Token": "true"}
        begun = session.get(f"{url}/v1/repositories/alice/app/images", headers=wanted, auth=auth)
        token = {"Authorization": f"Token {begun.headers['X-Docker-Token']}"}
        endpoint = begun.headers["X-Docker-Endpoints"]
        tags = session.get(f"http://{endpoint}/v1/repositories/alice/app/tags", headers=token).json()
        layers = [
            session.get(f"{url}/v1/images/{IMAGE_ID}/layer", headers={**token, **more}).content
            for more in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=10-19"})
        ]
        asked = session.get(f"{url}/v2/alice/app/manifests/1.0", auth=None)
        realm = asked.headers["WWW-Authenticate"].split('realm="')[1].split('"')[0]
        service = asked.headers["WWW-Authenticate"].split('service="')[1].split('"')[0]
        scope = {"service": service, "scope": "repository:alice/app:pull"}
        bearer = session.get(realm, params=scope, auth=auth).json()["token"]
        manifest = session.get(
            f"{url}/v2/alice/app/manifests/1.0", headers={"Authorization": f"Bearer {bearer}"}
        )
        return tags, layers, manifest.content, manifest.headers["Docker-Content-Digest"]


@pytest.fixture
def recorded(path):
    """What a client got from a registry with accounts, which is recorded at ``path``."""
    with FakeRegistry(auth="users:") as registry:
        registry.add_user("alice", "correct horse")
        registry.add_repository("alice/app", is_private=True)
        registry.add_image("alice/app:1.0", id=IMAGE_ID, layer=LAYER)
        with registry.record(path):
            return pull(registry.url, ("alice", "correct horse"))


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_client_gets_again_what_was_recorded(path, tls):
    with FakeRegistry(auth="users:") as registry:
        registry.add_user("alice", "correct horse")
        registry.add_image("alice/app:1.0", layer=LAYER)
        url = registry.url
        with registry.record(path), requests.Session() as session:
            realm = session.get(f"{url}/v2/").headers["WWW-Authenticate"]
    with ReplayedRegistry(path, tls=tls) as replayed, requests.Session() as session:
        session.trust_env = False
        again = session.get(f"{replayed.url}/v2/", verify=replayed.ca_file if tls else True)
        replayed.check()

    assert url in realm
    assert again.headers["WWW-Authenticate"] == realm.replace(url, replayed_url(again)).replace(
        url.removeprefix("http://"), replayed_url(again).partition("://")[2]
    )
    assert again.status_code == 401


def replayed_url(answer):
    return answer.url.removesuffix("/v2/")


def test_session_with_tokens_ranges_and_files_is_replayed(path, recorded):
    assert (path.parent / "session.bodies").is_dir()
    with ReplayedRegistry(path) as replayed:
        assert pull(replayed.url, ("alice", "correct horse")) == recorded
        assert replayed.report() == ""
        replayed.check()
        replayed.rewind()
        assert len(replayed.unused) == len(replayed.exchanges)
        assert pull(replayed.url, ("alice", "another password")) == recorded
        replayed.check()


def test_requests_come_in_another_order_and_at_once(path, registry):
    images = [registry.add_image(f"alice/app:{number}") for number in range(8)]
    paths = [f"/v1/images/{image.id}/layer" for image in images]
    with registry.record(path):
        expected = [requests.get(f"{registry.url}{each}", timeout=10).content for each in paths]

    with ReplayedRegistry(path) as replayed, ThreadPoolExecutor(4) as pool:
        got = list(
            pool.map(lambda each: requests.get(f"{replayed.url}{each}", timeout=10).content, paths[::-1])
        )
        replayed.check()

    assert got[::-1] == expected


def test_equal_requests_get_their_answers_in_order(path, registry):
    with registry.record(path), WSGISession(registry.app) as session, registry.fail(status=503, times=1):
        assert [session.get("/v1/_ping").status_code for _ in range(2)] == [503, 200]

    with ReplayedRegistry(path) as replayed, WSGISession(replayed.app) as session:
        statuses = [session.get("/v1/_ping").status_code for _ in range(3)]

    assert statuses == [503, 200, 200]
    (difference,) = replayed.differences
    assert (difference.kind, difference.request) == ("repeated", "GET /v1/_ping")


def test_everything_that_differs_is_reported(path, registry):
    with registry.record(path), WSGISession(registry.app) as session:
        session.put(f"/v1/images/{IMAGE_ID}/json", json={"id": IMAGE_ID})
        session.get("/v1/search?q=a")
        session.get("/v1/_ping", headers={"Accept": "application/json"})

    with ReplayedRegistry(path) as replayed, WSGISession(replayed.app) as session:
        session.put(f"/v1/images/{IMAGE_ID}/json", json={"id": IMAGE_ID, "more": 1})
        session.get("/v1/_ping", headers={"Accept": "text/html"})
        wrong = session.get("/v1/search?q=b")
        twice = session.put(f"/v1/images/{IMAGE_ID}/json", json={"id": IMAGE_ID})
        with pytest.raises(AssertionError, match="the client differs from the transcript"):
            replayed.check()

    lines = replayed.report().splitlines()
    digest = hashlib.sha256(json.dumps({"id": IMAGE_ID}).encode()).hexdigest()
    pushed = f"PUT /v1/images/{IMAGE_ID}/json"
    assert lines[0].startswith(f"body: {pushed}: the body had 74 bytes of sha256 {digest}")
    assert lines[1] == "header: GET /v1/_ping: Accept was 'application/json', and is 'text/html'"
    assert lines[2].startswith("unexpected: GET /v1/search?q=b: the transcript has no such request left; ")
    assert lines[2].endswith("the nearest of 1 is GET /v1/search?q=a")
    assert lines[3].startswith(f"unexpected: PUT /v1/images/{IMAGE_ID}/json: ")
    assert lines[4] == "not asked: 2: GET /v1/search?q=a 200"
    assert (wrong.status_code, twice.status_code) == (404, 404)
    assert "the nearest of 1 is GET /v1/search?q=a" in wrong.json()["error"]


def test_order_of_accepted_types_does_not_count(path, registry):
    with registry.record(path), WSGISession(registry.app) as session:
        session.get("/v1/_ping", headers={"Accept": "text/plain, application/json;q=0.5"})

    with ReplayedRegistry(path) as replayed, WSGISession(replayed.app) as session:
        session.get("/v1/_ping", headers={"Accept": "application/json;q=0.5,text/plain"})
        replayed.check()


def test_broken_answers_break_again(path, registry):
    image = registry.add_image("alice/app", layer=LAYER)
    layer = f"/v1/images/{image.id}/layer"
    with registry.record(path):
        for fault in ({"cut_after_bytes": 9000}, {"refuse_connection": True}):
            with registry.fail("GET", "*/layer", **fault), pytest.raises(requests.RequestException):
                requests.get(f"{registry.url}{layer}", timeout=10)

    with ReplayedRegistry(path) as replayed:
        with requests.get(f"{replayed.url}{layer}", stream=True, timeout=10) as answer:
            assert answer.headers["Content-Length"] == str(len(LAYER))
            with pytest.raises(requests.RequestException):
                list(answer.iter_content())
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{replayed.url}{layer}", timeout=10)
        replayed.check()


def test_answers_whose_bytes_were_not_kept_are_501(path, registry):
    image = registry.add_image("alice/app", layer=LAYER)
    with registry.record(path, max_body_bytes=100), WSGISession(registry.app) as session:
        session.get(f"/v1/images/{image.id}/layer")

    with ReplayedRegistry(path) as replayed, WSGISession(replayed.app) as session:
        answer = session.get(f"/v1/images/{image.id}/layer")

    assert answer.status_code == 501
    assert f"only the digest of this answer of {len(LAYER)} bytes" in answer.json()["error"]
    assert [difference.kind for difference in replayed.differences] == ["not kept"]


def test_head_has_the_recorded_length_without_a_body(path, registry):
    image = registry.add_image("alice/app", api="v2")
    with registry.record(path), WSGISession(registry.app) as session:
        recorded = session.head("/v2/alice/app/manifests/latest")

    with ReplayedRegistry(path) as replayed:
        answer = requests.head(f"{replayed.url}/v2/alice/app/manifests/latest", timeout=10)

    assert answer.headers["Content-Length"] == recorded.headers["Content-Length"]
    assert answer.headers["Docker-Content-Digest"] == image.digest


def test_push_through_v2_is_replayed(path, registry):
    def push(url):
        body = b"blob"
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        begun = requests.post(f"{url}/v2/alice/app/blobs/uploads/", timeout=10)
        place = requests.compat.urljoin(url, begun.headers["Location"])
        sent = requests.patch(place, data=iter([body[:1], body[1:]]), timeout=10)
        place = requests.compat.urljoin(url, sent.headers["Location"])
        return requests.put(place, params={"digest": digest}, timeout=10).status_code

    with registry.record(path):
        assert push(registry.url) == 201
    with ReplayedRegistry(path) as replayed:
        assert push(replayed.url) == 201
        replayed.check()


def test_parallel_uploads_get_the_ids_of_each_other(path, registry):
    def begin(session):
        return session.post("/v2/alice/app/blobs/uploads/").headers["Location"]

    def send(session, place, body):
        digest = {"digest": f"sha256:{hashlib.sha256(body).hexdigest()}"}
        sent = session.patch(place, data=body)
        assert sent.headers["Range"] == f"0-{len(body) - 1}"
        assert session.put(sent.headers["Location"], params=digest).status_code == 201

    with registry.record(path), WSGISession(registry.app) as session:
        one, two = begin(session), begin(session)
        send(session, one, b"first layer")
        send(session, two, b"second layer")
    with ReplayedRegistry(path) as replayed, WSGISession(replayed.app) as session:
        one, two = begin(session), begin(session)
        send(session, one, b"second layer")
        send(session, two, b"first layer")
        replayed.check()


def test_recordings_of_docker_daemons_are_served():
    path = TRANSCRIPTS / "docker-1.9.1" / "push-new.jsonl"
    with ReplayedRegistry(path) as replayed, WSGISession(replayed.app) as session:
        got = [
            session.request(each.method, each.path, data=each.request_body.data()).status_code
            for each in replayed.exchanges
        ]

    assert got == [each.status for each in replayed.exchanges]
    assert len(got) > 10
    assert {each.kind for each in replayed.differences} == {"header"}
    assert replayed.unused == []


@pytest.mark.parametrize("method", ["GET", "POST", "BREW"])
@pytest.mark.parametrize("target", ["/", "/%FF?a=%FF&&=;", "//x", "/" + "a" * 5000, "/?" + "a=1&" * 5000])
def test_odd_requests_get_404(path, method, target):
    path.write_text("")
    with ReplayedRegistry(path) as replayed, WSGISession(replayed.app) as session:
        assert session.request(method, f"http://a.test{target}", data=b"x").status_code == 404
    assert [each.kind for each in replayed.differences] == ["unexpected"]


def test_broken_request_body_is_rejected(path):
    path.write_text("")
    with (
        ReplayedRegistry(path) as replayed,
        socket.create_connection(("127.0.0.1", int(replayed.host.split(":")[1]))) as sock,
    ):
        sock.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1000).startswith(b"HTTP/1.1 400")


def test_missing_and_invalid_transcripts_are_named(path):
    with pytest.raises(FileNotFoundError, match=r"session\.jsonl"):
        ReplayedRegistry(path)
    path.write_text("{}")
    with pytest.raises(TranscriptInvalid, match=r"session\.jsonl, line 1"):
        ReplayedRegistry(path)
