"""Every fault reaches every kind of client through every API, in process and over the live port."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlsplit

import pytest
from support.fault_clients import CLIENTS, TIMEOUT_S, Asked
from v1registry_fakes import FakeRegistry, WSGISession

APIS = ["v1", "hub", "oauth", "v2"]
BASIC = {"Authorization": f"Basic {b64encode(b'alice:secret').decode()}"}


@dataclass(frozen=True)
class World:
    """A registry with an image, and a request to each API with a token."""

    registry: FakeRegistry
    asked: dict[str, Asked]


def _tokens(registry: FakeRegistry) -> dict[str, str]:
    """Return the value of Authorization for each API."""
    application = registry.add_application("CI", ["https://ci.example.org/back"])
    authorize = f"/api/v1.1/o/authorize/?client_id={application.client_id}&response_type=code"
    location = registry.consent(f"http://v1registry.test{authorize}&scope=profile_read", "alice")
    with WSGISession(registry.app) as session:
        found = session.get("/v1/repositories/alice/app/images", headers={**BASIC, "X-Docker-Token": "true"})
        access = session.post(
            "/api/v1.1/o/token/",
            data={"grant_type": "authorization_code", "code": parse_qs(urlsplit(location).query)["code"][0]},
            auth=(application.client_id, application.client_secret),
        )
        scope = "repository:alice/app:pull,push"
        v2 = session.get("/v2/token", params={"service": "v1registry.test", "scope": scope}, headers=BASIC)
        assert [answer.status_code for answer in (found, access, v2)] == [200, 200, 200]
        v1_token = f"Token {found.headers['X-Docker-Token']}"
        return {
            "v1": v1_token,
            "hub": v1_token,
            "oauth": f"Bearer {access.json()['access_token']}",
            "v2": f"Bearer {v2.json()['token']}",
        }


def _world(registry: FakeRegistry) -> World:
    registry.clock.freeze()  # tokens of /v2/ live for minutes
    registry.add_user("alice", "secret", email="alice@example.org")
    image = registry.add_image("alice/app:1.0", files={"etc/motd": "hello"})
    sums = [{"id": image.id, "checksum": "tarsum+sha256:" + "01" * 32}]
    with WSGISession(registry.app) as session:
        answer = session.put(
            "/v1/repositories/alice/app/images", headers=BASIC, data=json.dumps(sums).encode()
        )
        assert answer.status_code == 204
    paths = {
        "v1": f"/v1/images/{image.id}/json",
        "hub": "/v1/repositories/alice/app/images",
        "oauth": "/api/v1.1/users/alice/",
        "v2": "/v2/alice/app/manifests/1.0",
    }
    tokens = _tokens(registry)
    asked = {api: Asked("GET", paths[api], {"Authorization": tokens[api], "Accept": "*/*"}) for api in APIS}
    registry.requests.clear()
    return World(registry, asked)


#: Tokens of /v2/ are for one host.
OPTIONS = {"auth": "users:", "public_url": "http://v1registry.test"}


@pytest.fixture(scope="module")
def shared_world():
    """The world of all tests that only read. Each undoes its faults."""
    with FakeRegistry(**OPTIONS) as registry:
        yield _world(registry)


@pytest.fixture(params=CLIENTS)
def client(request):
    return CLIENTS[request.param]


@pytest.fixture(params=APIS)
def api(request):
    return request.param


@contextmanager
def in_a_thread(act):
    """Run a function in a thread during the block, and return what it returned in a list."""
    found = []
    thread = threading.Thread(target=lambda: found.append(act()))
    thread.start()
    try:
        yield found
    finally:
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()


def wait_until_hit(fault):
    deadline = time.monotonic() + TIMEOUT_S
    while not fault.count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def ask(shared_world, client, api):
    """Return a function that sends the request of an API with faults, and checks that they hit it."""

    def ask(hits=1, **effects):
        with shared_world.registry.fail(api=api, **effects) as fault:
            try:
                return client.ask(shared_world.registry, shared_world.asked[api])
            finally:
                assert fault.count == hits
                assert fault.requests[0].fault == str(fault)

    return ask


@pytest.fixture
def sound(shared_world, client, api):
    """The answer without a fault."""
    assert len(shared_world.registry.faults) == 0
    answer = client.ask(shared_world.registry, shared_world.asked[api])
    assert answer.status == 200
    return answer


FORMS = {
    "v1": lambda text: {"error": text},
    "hub": lambda text: {"error": text},
    "oauth": lambda text: {"detail": text},
    "v2": lambda text: {"errors": [{"code": "UNKNOWN", "message": text, "detail": None}]},
}


# -- answers


def test_status_is_an_error_of_the_api(ask, api):
    answer = ask(status=500)
    assert (answer.status, json.loads(answer.body)) == (500, FORMS[api]("Internal server error"))
    assert answer.values("X-Docker-Registry-Version")


def test_error_is_the_text_of_that_error(ask, api):
    answer = ask(status=418, error="Out of coffee")
    assert (answer.status, json.loads(answer.body)) == (418, FORMS[api]("Out of coffee"))


def test_status_below_400_replaces_that_of_the_answer(ask, sound):
    answer = ask(status=203)
    assert (answer.status, answer.body) == (203, sound.body)


def test_retry_after_is_a_header(ask):
    answer = ask(status=429, retry_after_s=7)
    assert (answer.status, answer.values("Retry-After")) == (429, ["7"])


def test_body_replaces_that_of_the_answer(ask, sound):
    answer = ask(body='{"cut')
    assert (answer.status, answer.body) == (200, b'{"cut')
    assert answer.values("Content-Length") == ["5"]
    assert answer.values("Content-Type") == sound.values("Content-Type")


def test_html_is_the_page_of_a_proxy(ask):
    answer = ask(html=True)
    assert (answer.status, answer.values("Content-Type")) == (502, ["text/html"])
    assert answer.body.startswith(b"<html>")
    assert not answer.values("X-Docker-Registry-Version")


def test_redirect_names_the_other_place(ask):
    answer = ask(redirect="https://cdn.example.org/x?y=z")
    assert (answer.status, answer.values("Location")) == (302, ["https://cdn.example.org/x?y=z"])


def test_headers_are_replaced_added_and_removed(ask):
    answer = ask(headers={"content-type": "text/x-odd", "X-Request-Id": None, "X-New": "1"})
    assert answer.values("Content-Type") == ["text/x-odd"]
    assert answer.values("X-New") == ["1"]
    assert answer.values("X-Request-Id") == []


def test_a_doubled_header_comes_twice(ask, sound):
    assert len(sound.values("X-Request-Id")) == 1
    values = ask(doubled_header="x-request-id").values("X-Request-Id")
    assert len(values) == 2
    assert values[0] == values[1]


# -- transfers


@pytest.mark.parametrize("effect", [{"delay_s": 600}, {"bytes_per_second": 1}], ids=["delay", "slow"])
def test_delayed_and_slow_answers_are_whole_after_undo(shared_world, client, api, sound, effect):
    registry, asked = shared_world.registry, shared_world.asked[api]
    with registry.fail(api=api, **effect) as fault, in_a_thread(lambda: client.ask(registry, asked)) as found:
        try:
            wait_until_hit(fault)
            time.sleep(0.005)
            assert not found
        finally:
            fault.undo()
    assert (found[0].status, found[0].body) == (200, sound.body)


@pytest.mark.parametrize("limit", [0, 10])
def test_a_cut_body_breaks_the_connection(ask, client, limit):
    with pytest.raises(client.broken):
        ask(cut_after_bytes=limit)


def test_a_refused_connection_gives_no_answer(ask, client):
    with pytest.raises(client.refused):
        ask(refuse_connection=True, hits=client.attempts)


def test_a_too_long_content_length_breaks_the_connection(ask, client):
    with pytest.raises(client.broken):
        ask(headers={"Content-Length": "100000"})


@pytest.mark.parametrize("offset", [0, 7, -1])
def test_one_byte_is_changed(ask, sound, offset):
    body = ask(corrupt_byte=offset).body
    changed = bytearray(sound.body)
    changed[offset] ^= 0xFF
    assert body == changed


def test_checksums_are_wrong(ask, sound, api):
    answer = ask(wrong_checksum=True)
    names = {
        "v1": ["X-Docker-Checksum-Payload", "X-Docker-Payload-Checksum"],
        "hub": [],
        "oauth": [],
        "v2": ["Docker-Content-Digest"],
    }
    for name in names[api]:
        (wrong,), (right,) = answer.values(name), sound.values(name)
        assert (len(wrong), wrong[:7]) == (len(right), "sha256:")
        assert all(one != other for one, other in zip(wrong[7:], right[7:], strict=True))
    if api == "hub":
        assert json.loads(answer.body)[0]["checksum"] == "tarsum+sha256:" + "fe" * 32
    else:
        assert answer.body == sound.body


# -- the state of the registry


def test_an_expired_token_is_rejected(ask, sound):
    answer = ask(expired_token=True)
    assert answer.status == 401
    assert answer.values("WWW-Authenticate")


def test_an_unavailable_storage_is_503(ask):
    assert ask(storage="unavailable").status == 503


WRITES = {
    "v1": ("PUT", "/v1/repositories/alice/app/tags/2.0", lambda image: json.dumps(image)),
    "hub": ("PUT", "/v1/repositories/alice/new/", lambda image: "[]"),
    "oauth": ("PATCH", "/api/v1.1/users/alice/", lambda image: '{"location": "Oslo"}'),
    "v2": ("POST", "/v2/alice/app/blobs/uploads/", lambda image: ""),
}


@pytest.fixture
def own_world(v1registry_server):
    with FakeRegistry(server=v1registry_server, **OPTIONS) as registry:
        yield _world(registry)


def test_a_full_storage_is_507_and_changes_nothing(own_world, client, api):
    registry = own_world.registry
    method, path, body = WRITES[api]
    image = registry.image("alice/app:1.0")
    headers = {**BASIC, "Content-Type": "application/json"}
    asked = Asked(method, path, headers, body(image.id).encode())
    kept = {stat.key: stat.etag for stat in registry.storage.list("")}
    with registry.fail(storage="full"):
        assert client.ask(registry, asked).status == 507
    assert {stat.key: stat.etag for stat in registry.storage.list("")} == kept
    assert client.ask(registry, asked).status < 300


LISTS = {
    "v1": "/v1/repositories/alice/app/tags",
    "hub": "/v1/search?q=alice",
    "v2": "/v2/alice/app/tags/list",
}


@pytest.mark.parametrize("api", LISTS)
def test_stale_answers_are_those_of_the_moment_of_the_fault(own_world, client, api):
    registry, asked = own_world.registry, replace(own_world.asked["v1"], path=LISTS[api], headers=BASIC)
    before = client.ask(registry, asked).body
    with registry.fail("GET", stale=True):
        registry.add_image("alice/app:2.0")
        registry.add_repository("alice/new")
        assert client.ask(registry, asked).body == before
    assert client.ask(registry, asked).body != before


def test_accounts_are_never_stale(own_world, client):
    registry, asked = own_world.registry, replace(own_world.asked["oauth"], headers=BASIC)
    with registry.fail("GET", stale=True) as fault:
        registry.add_user("robert")
        login = {"Authorization": f"Basic {b64encode(b'robert:secret').decode()}"}
        there = Asked("GET", "/api/v1.1/users/robert/", login)
        assert client.ask(registry, there).status == client.ask(registry, asked).status == 200
        assert fault.count == 2
