"""Transcripts that a fake writes: their lines, their masks and the bodies beside them."""

from __future__ import annotations

import hashlib
import json
import socket
import threading

import pytest
import requests
from v1registry_fakes import FakeRegistry, WSGISession
from v1registry_fakes.transcripts.masking import Masker
from v1registry_fakes.transcripts.transcripts import TranscriptInvalid, read_transcript

IMAGE_ID = "ab" * 32


@pytest.fixture
def path(tmp_path):
    return tmp_path / "session.jsonl"


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def with_body(**row):
    return json.dumps({"seq": 1, "method": "GET", "path": "/", "response_body": row})


def test_exchanges_are_written_in_the_form_of_the_recordings(registry, path):
    registry.add_image("alice/app:1.0", id=IMAGE_ID)
    with registry.record(path), requests.Session() as session:
        session.get(f"{registry.url}/v1/repositories/alice/app/tags?n=1", timeout=10)
        session.put(f"{registry.url}/v1/repositories/alice/app/tags/2.0", data=f'"{IMAGE_ID}"', timeout=10)
    requests.get(f"{registry.url}/v1/_ping", timeout=10)

    first, second = lines(path)

    assert (first["seq"], first["connection"], first["method"]) == (1, 1, "GET")
    assert first["path"] == "/v1/repositories/alice/app/tags?n=1"
    assert (first["status"], first["reason"], first["version"]) == (200, "OK", "HTTP/1.1")
    assert ["Host", registry.host] in first["request_headers"]
    assert ["Content-Type", "application/json"] in first["response_headers"]
    assert first["request_body"]["encoding"] == "empty"
    body = first["response_body"]
    assert json.loads(body["data"]) == {"1.0": IMAGE_ID}
    assert (body["encoding"], body["transfer"], body["length"]) == (
        "text",
        "content-length",
        len(body["data"]),
    )
    assert body["sha256"] == hashlib.sha256(body["data"].encode()).hexdigest()
    assert (second["seq"], second["connection"]) == (2, 1)
    assert second["request_body"]["data"] == f'"{IMAGE_ID}"'
    assert not path.with_suffix(".bodies").exists()


def test_large_bodies_are_files_beside_the_transcript_once(registry, path):
    layer = bytes(range(256)) * 8000
    image = registry.add_image("alice/app", layer=layer)
    small = registry.add_image("alice/small", layer=b"\0" * 4096)
    with registry.record(path), WSGISession(registry.app) as session:
        for each in (image, image, small):
            session.get(f"/v1/images/{each.id}/layer")
        session.put(f"/v1/images/{'cd' * 32}/json", json={"id": "cd" * 32})
        session.put(f"/v1/images/{'cd' * 32}/layer", data=iter([layer[:1000], layer[1000:]]))

    bodies = [line["response_body"] for line in lines(path)]
    pushed = lines(path)[4]["request_body"]
    digest = hashlib.sha256(layer).hexdigest()
    assert [body["encoding"] for body in bodies[:3]] == ["file", "file", "base64"]
    assert (pushed["encoding"], pushed["transfer"], pushed["length"]) == ("file", "chunked", len(layer))
    assert {bodies[0]["sha256"], pushed["sha256"]} == {digest}
    assert [each.name for each in path.with_suffix(".bodies").iterdir()] == [digest]
    assert path.with_suffix(".bodies").joinpath(digest).read_bytes() == layer
    assert read_transcript(path)[0].response_body.data() == layer


def test_bodies_above_the_limit_keep_only_their_digest(registry, path):
    layer = b"x" * 3_000_000
    image = registry.add_image("alice/app", layer=layer)
    with registry.record(path, max_body_bytes=2_000_000), WSGISession(registry.app) as session:
        session.get(f"/v1/images/{image.id}/layer")

    (line,) = lines(path)
    assert line["response_body"]["encoding"] == "digest-only"
    assert line["response_body"]["length"] == len(layer)
    assert line["response_body"]["sha256"] == hashlib.sha256(layer).hexdigest()
    assert list(path.with_suffix(".bodies").iterdir()) == []


def test_secrets_are_masked_the_same_way_each_time(path):
    with FakeRegistry(auth="users:") as registry, WSGISession(registry.app) as session:
        registry.add_user("alice", "correct horse")
        registry.add_image("alice/app", api="v2")
        with registry.record(path):
            session.auth = ("alice", "correct horse")
            token = session.get("/v2/token?scope=repository:alice/app:pull&service=x").json()["token"]
            session.auth = None
            bearer = {"Authorization": f"Bearer {token}"}
            session.get("/v2/alice/app/manifests/latest", headers=bearer)
            session.post(
                "/v1/users/", json={"username": "bob", "password": "battery", "email": "b@b.example"}
            )
            session.get(
                "/v1/repositories/alice/app/images",
                headers={"X-Docker-Token": "true", "Cookie": "a=chocolate"},
            )

    text = path.read_text()
    for secret in (token, "battery", "YWxpY2U6Y29ycmVjdCBob3JzZQ==", "chocolate"):
        assert secret not in text
    one, two, three, four = lines(path)
    mask = json.loads(one["response_body"]["data"])["token"]
    assert ["Authorization", f"Bearer {mask}"] in two["request_headers"]
    assert one["response_body"]["masked"] is True
    assert "masked" not in two["response_body"]
    assert json.loads(three["request_body"]["data"])["username"] == "bob"
    assert ["X-Docker-Token", "true"] in four["request_headers"]


@pytest.mark.parametrize(
    ("header", "value", "masked"),
    [
        ("Authorization", "Basic YTpi", "Basic masked-1"),
        ("authorization", "secret", "masked-1"),
        ("Authorization", "Token Token signature=ab,access=x", "Token Token signature=masked-1,access=x"),
        ("X-Docker-Token", 'signature=ab,repository="a/b"', 'signature=masked-1,repository="a/b"'),
        ("X-Docker-Token", "True", "True"),
        ("Cookie", "a=1; b=2; a=1", "a=masked-1; b=masked-2; a=masked-1"),
        ("Set-Cookie", "session=abc; Path=/; HttpOnly", "session=masked-1; Path=/; HttpOnly"),
        ("X-Registry-Auth", "abc", "masked-1"),
        ("Location", "https://a.example/b?state=1&code=x%2Fy", "https://a.example/b?state=1&code=masked-1"),
        ("Location", "/l?X-Amz-Signature=a&X-Amz-Date=1", "/l?X-Amz-Signature=masked-1&X-Amz-Date=1"),
        ("User-Agent", "docker/1.9.1", "docker/1.9.1"),
    ],
)  # fmt: skip
def test_secret_of_a_header_is_masked(header, value, masked):
    assert Masker().headers([(header, value)]) == [(header, masked)]


@pytest.mark.parametrize(
    ("data", "kind", "path", "masked"),
    [
        (b'{"password": "a", "n": [1]}', "application/json", "/x", b'{"password": "masked-1", "n": [1]}'),
        (b'{"Token":"a"}', "", "/token", b'{"Token": "masked-1"}'),
        (b"grant_type=x&code=a%2Fb&client_id=c", "application/x-www-form-urlencoded", "/t",
         b"grant_type=x&code=masked-1&client_id=c"),
        (b'{"token": "a"}', "application/json", "/v2/a/blobs/sha256:0", b'{"token": "a"}'),
        (b'{"token": "a"}', "application/json", "/v1/images/00/json", b'{"token": "a"}'),
        (b'{"n":  1}', "application/json", "/x", b'{"n":  1}'),
        (b"[" * 100_000, "application/json", "/x", b"[" * 100_000),
        (b"\xff", "application/json", "/x", b"\xff"),
    ],
)  # fmt: skip
def test_secret_of_a_body_is_masked(data, kind, path, masked):
    assert Masker().body(data, kind, path) == masked


def test_cut_transfers_are_incomplete_and_unanswered_requests_have_no_status(registry, path):
    image = registry.add_image("alice/app", layer=b"x" * 5000)
    with registry.record(path), requests.Session() as session:
        with registry.fail("GET", "*/layer", cut_after_bytes=1000), pytest.raises(requests.RequestException):
            session.get(f"{registry.url}/v1/images/{image.id}/layer", timeout=10)
        with (
            registry.fail("GET", "*/_ping", refuse_connection=True),
            pytest.raises(requests.RequestException),
        ):
            session.get(f"{registry.url}/v1/_ping", timeout=10)

    cut, unanswered = read_transcript(path)
    assert (cut.status, cut.response_body.is_complete, cut.response_body.length) == (200, False, 1000)
    assert (unanswered.status, unanswered.note) == (None, "not answered: ConnectionCut")


def test_broken_upload_is_incomplete(registry, path):
    with (
        registry.record(path),
        socket.create_connection(("127.0.0.1", int(registry.host.split(":")[1]))) as sock,
    ):
        head = f"PUT /v1/images/{IMAGE_ID}/json HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"
        sock.sendall(head.encode())
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1000).startswith(b"HTTP/1.1 400")

    (exchange,) = read_transcript(path)
    assert (exchange.request_body.data(), exchange.request_body.is_complete) == (b"abc", False)


def test_lines_of_simultaneous_requests_are_in_the_order_of_arrival(registry, path):
    began, go_on = threading.Event(), threading.Event()

    def slow():
        began.set()
        assert go_on.wait(10)
        yield b'{"id": "x"}'

    with registry.record(path), WSGISession(registry.app) as session, WSGISession(registry.app) as other:
        thread = threading.Thread(
            target=session.put, args=(f"/v1/images/{IMAGE_ID}/json",), kwargs={"data": slow()}
        )
        thread.start()
        assert began.wait(10)
        other.get("/v1/_ping")
        go_on.set()
        thread.join()

    assert [line["method"] for line in lines(path)] == ["PUT", "GET"]


def test_one_transcript_is_written_at_a_time(registry, path, tmp_path):
    with registry.record(path):
        with (
            pytest.raises(RuntimeError, match="one transcript is written at a time"),
            registry.record(tmp_path / "b"),
        ):
            raise AssertionError
        assert not (tmp_path / "b").exists()
    with registry.record(path):
        registry.reset()
    assert path.read_text() == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "line 1: Input data was truncated"),
        ("[]", "line 1: Expected `object`, got `array`"),
        ('{"seq": 1}', "line 1: Object missing required field `method`"),
        ('{"seq": 1, "method": "GET"}', "line 1: a line with a method must have a path"),
        (with_body(encoding="base64", length=1, data="!"), "line 1: the data of a body must be base64"),
        (with_body(encoding="text", length="1"), "Expected `int`, got `str` - at `$.response_body.length`"),
        (with_body(encoding="file", length=1, sha256="../x"),
         "line 1: a body in a file must have a sha256 of 64 hex digits"),
        (with_body(encoding="file", length=1, sha256="0" * 64), "session.bodies beside the transcript"),
    ],
)  # fmt: skip
def test_invalid_transcript_is_explained(text, reason, path):
    path.write_text(text)

    with pytest.raises(TranscriptInvalid) as raised:
        read_transcript(path)

    assert reason in str(raised.value)
