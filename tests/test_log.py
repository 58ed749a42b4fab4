"""Log lines have the id of their request, and no secrets."""

from __future__ import annotations

import base64
import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.cheap_passwords import CheapPasswords
from support.engine_client import EngineClient, UnexpectedAnswer, make_chain, random_layer
from support.faulty_storage import FaultyStorage
from v1registry_fakes.listener import Listener, ThreadServer
from webtest import TestApp

from v1registry import MemoryStorage, Registry, errors
from v1registry.accounts.users import UserStore
from v1registry.log import NO_REQUEST, RequestBody, RequestContext, get_logger, in_request

#: Whom the threads ask for.
IMAGE_IDS = {name: str(number) * 64 for number, name in enumerate(["one", "two", "three", "four"])}

MADE = re.compile(r"[0-9a-f]{16}")


@pytest.fixture
def client() -> TestApp:
    return TestApp(Registry(storage=MemoryStorage()))


# -- the header


@pytest.mark.parametrize("sent", ["a", "4711", "1-67891233.abc_DEF", "x" * 64])
def test_the_id_of_a_request_is_in_the_answer(client: TestApp, sent: str) -> None:
    assert client.get("/v1/_ping", headers={"X-Request-Id": sent}).headers["X-Request-Id"] == sent


@pytest.mark.parametrize(
    "sent", ["", "x" * 65, "a b", "a\tb", "a,b", "%s", "<script>", "caf\xe9", "a=b", "a\n", "\x1b[31m"]
)
def test_an_invalid_id_is_replaced(client: TestApp, sent: str) -> None:
    # past WebTest, which would refuse some of them itself
    answer = client.get("/v1/_ping", extra_environ={"HTTP_X_REQUEST_ID": sent})
    assert MADE.fullmatch(answer.headers["X-Request-Id"])


def test_every_request_gets_a_different_id(client: TestApp) -> None:
    ids = {client.get("/v1/nothing", status=404).headers["X-Request-Id"] for _ in range(20)}
    assert len(ids) == 20


def test_an_answer_of_the_application_behind_is_not_changed() -> None:
    def behind(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"behind"]

    client = TestApp(Registry(storage=MemoryStorage()).in_front_of(behind))
    assert "X-Request-Id" not in client.get("/").headers
    assert "X-Request-Id" in client.get("/v1/_ping").headers


# -- the lines


def test_log_lines_have_the_id_as_attribute_and_prefix(
    client: TestApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client.get("/v1/nothing", headers={"X-Request-Id": "abc"}, status=404)
    (record,) = [record for record in caplog.records if record.name != "v1registry.requests"]
    assert record.request_id == "abc"  # type: ignore[attr-defined]
    assert record.getMessage().startswith("[abc] GET '/v1/nothing': 404 ")
    assert (record.name, record.module) == ("v1registry.app", "app")


def test_an_error_and_its_traceback_have_the_id(caplog: pytest.LogCaptureFixture) -> None:
    storage = FaultyStorage()
    storage.fail("stat", error=RuntimeError("the disk is gone"))
    answer = TestApp(Registry(storage=storage)).get(f"/v1/images/{'0' * 64}/json", status=500)
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.request_id == answer.headers["X-Request-Id"]  # type: ignore[attr-defined]
    assert record.getMessage().startswith(f"[{answer.headers['X-Request-Id']}] ")
    assert record.exc_info is not None


def test_log_lines_of_models_have_the_id_of_the_request(caplog: pytest.LogCaptureFixture) -> None:
    storage = MemoryStorage()
    storage.write("accounts/users/mira", b"{broken")
    client = TestApp(Registry(storage=storage, auth="users:"))
    login = base64.b64encode(b"mira:correct horse").decode("ascii")
    answer = client.get(
        "/v1/users/", headers={"Authorization": f"Basic {login}", "X-Request-Id": "deep"}, status=503
    )
    assert answer.headers["X-Request-Id"] == "deep"
    names = {record.name for record in caplog.records if record.request_id == "deep"}  # type: ignore[attr-defined]
    assert "v1registry.accounts.user_records" in names


def test_a_log_line_outside_of_requests_has_a_dash(caplog: pytest.LogCaptureFixture, client: TestApp) -> None:
    client.get("/v1/_ping")
    get_logger("v1registry.elsewhere").warning("%d lines", 2)
    (record,) = [record for record in caplog.records if record.name != "v1registry.requests"]
    assert (record.getMessage(), record.request_id) == ("2 lines", NO_REQUEST)  # type: ignore[attr-defined]


def test_extra_fields_of_a_log_line_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    with in_request(RequestContext("abc")):
        get_logger("v1registry.elsewhere").warning("100%% of %s", "it", extra={"size_bytes": 4})
    (record,) = [record for record in caplog.records if record.name != "v1registry.requests"]
    assert record.getMessage() == "[abc] 100% of it"
    assert (record.size_bytes, record.request_id) == (4, "abc")  # type: ignore[attr-defined]


def test_log_lines_of_threads_have_the_id_of_their_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    everybody = threading.Barrier(4)

    storage = FaultyStorage()
    # all requests are in the middle at once
    storage.before(lambda: everybody.wait(20), "stat", times=None)
    application = Registry(storage=storage)

    def ask(name: str) -> None:
        TestApp(application).get(
            f"/v1/images/{IMAGE_IDS[name]}/json", headers={"X-Request-Id": name}, status=404
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, IMAGE_IDS))
    records = [record for record in caplog.records if record.name == "v1registry.app"]
    seen = {(record.request_id, record.getMessage()) for record in records}  # type: ignore[attr-defined]
    assert {name for name, _ in seen} == set(IMAGE_IDS)
    for name, message in seen:
        assert message.startswith(f"[{name}] GET '/v1/images/{IMAGE_IDS[name]}/json'")


def test_log_lines_while_a_body_is_sent_have_the_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = get_logger("v1registry.elsewhere")

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            for number in range(2):
                log.warning("piece %d", number)
                yield b"x"

        def close(self) -> None:
            log.warning("closed")

    with in_request(RequestContext("first")):
        body = RequestBody(Body())
    for piece in body:
        log.warning("the server sends %r", piece)
        with in_request(RequestContext("second")):
            log.warning("another request")
    body.close()
    assert [record.getMessage() for record in caplog.records] == [
        "[first] piece 0",
        "the server sends b'x'",
        "[second] another request",
        "[first] piece 1",
        "the server sends b'x'",
        "[second] another request",
        "[first] closed",
    ]


def test_a_broken_layer_leaves_no_id_behind(caplog: pytest.LogCaptureFixture) -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"x"
            raise errors.Unavailable

    with in_request(RequestContext("first")):
        body = RequestBody(Body())
    with pytest.raises(errors.Unavailable):
        list(body)
    body.close()
    get_logger("v1registry.elsewhere").warning("after")
    assert [record.getMessage() for record in caplog.records] == ["after"]


# -- secrets


def test_no_log_line_has_a_password_token_or_hash(caplog: pytest.LogCaptureFixture) -> None:
    """Push, pull, log in with success and without, and log everything."""
    caplog.set_level(logging.DEBUG)
    storage = MemoryStorage()
    users = UserStore(storage, passwords=CheapPasswords())
    passwords = {"mira": "correct horse", "zoe": "battery staple"}
    for name, password in passwords.items():
        users.create(name, password, f"{name}@example.org")
    private = make_chain(random_layer(500, n) for n in range(2))
    listener = Listener(ThreadServer(Registry(storage=storage, auth=users)), tls=False)
    secrets: set[str] = {*passwords.values(), "not it", "new secret", "chosen at last"}
    refused = 0
    try:
        host = f"127.0.0.1:{listener.port}"
        owner = EngineClient(host, login="mira:correct horse")
        owner.push("mira/app", private)
        _, token = owner.announce("mira/app", [])
        assert owner.pull("mira/app") == private
        with pytest.raises(UnexpectedAnswer):
            EngineClient(host, login="zoe:battery staple").push("mira/app", private)
        with pytest.raises(UnexpectedAnswer):
            EngineClient(host, login="mira:not it").pull("mira/app")
        forged = token.replace("mira/app", "zoe/app")
        signature = re.findall(r"signature=([^,]+)", token)[0]
        secrets |= {signature, signature.rpartition(".")[2], signature.partition(".")[0]}
        bodies = {
            (
                "POST",
                "/v1/users/",
            ): b'{"username": "dave", "password": "chosen at last", "email": "d@example.org"}',
            ("POST", "/v1/users"): b'{"username": "mira", "password": "not it", "email": "m@example.org"}',
            ("PUT", "/v1/users/mira/"): b'{"password": "new secret"}',
            ("PUT", "/v1/users/zoe/"): b'{"password": "new secret"}',
            ("GET", "/v1/users/"): None,
            ("PUT", "/v1/repositories/mira/app/auth"): b"",
            ("GET", "/v1/repositories/mira/app/tags"): None,
            ("DELETE", "/v1/repositories/zoe/app/"): None,
        }
        basics = [
            base64.b64encode(login.encode()).decode("ascii")
            for login in (
                "mira:correct horse",
                "mira:not it",
                "zoe:battery staple",
                "nobody:not it",
                "mira:new secret",
            )
        ]
        secrets |= set(basics)
        sent = [f"Basic {value}" for value in basics] + [
            f"Token {token}",
            f"Token {forged}",
            "Bearer not it",
            "",
        ]
        for authorization in sent:
            for (method, path), body in bodies.items():
                answer = owner.request(method, path, body, {"Authorization": authorization})
                refused += answer.status >= 400
    finally:
        listener.stop()
    hashes = [
        found.decode("ascii")
        for stat in storage.list("accounts/users/")
        for found in re.findall(rb"\$argon2[^\"]+", storage.read(stat.key)[0])
    ]
    assert len(hashes) == 3
    secrets |= {*hashes, *(value.rpartition("$")[2] for value in hashes)}
    lines = [
        f"{record.getMessage()} {record.exc_text} {record.args!r} {vars(record)!r}"
        for record in caplog.records
        if record.name.startswith("v1registry")
    ]
    assert len(lines) >= refused > 20, "there has to be something to look at"
    found = [line for line in lines if any(secret in line for secret in secrets)]
    assert found == []
