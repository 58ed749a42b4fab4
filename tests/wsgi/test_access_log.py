"""The access log: one line for each request, complete, and without secrets."""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from support.cheap_passwords import CheapPasswords
from support.engine_client import make_image
from support.kept_mail import KeptMail
from support.wsgi_client import call
from webtest import TestApp

from v1registry import MemoryStorage, Registry
from v1registry.accounts.users import UserStore
from v1registry.log import ACCESS_LOGGER
from v1registry.wsgi.access_log import UNSENT_KEY

COMBINED = re.compile(
    r"(?P<address>\S+) - (?P<user>\S+) \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "
    r'"(?P<request>[^"]*)" (?P<status>\d{3}) (?P<bytes>\d+) '
    r'"(?P<referer>[^"]*)" "(?P<agent>(?:[^"\\]|\\.)*)" '
    r"(?P<duration>\d+\.\d{3}) (?P<id>\S+)"
)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return the lines so far."""
    caplog.set_level(logging.INFO, logger=ACCESS_LOGGER)
    return lambda: [record.getMessage() for record in caplog.records if record.name == ACCESS_LOGGER]


def registry_of(**settings: Any) -> Registry:
    return Registry(MemoryStorage(), **settings)


def with_accounts(**settings: Any) -> Registry:
    storage = MemoryStorage()
    users = UserStore(storage, passwords=CheapPasswords())
    users.create("mira", "correct horse", "mira@example.org")
    return Registry(storage, auth=users, **settings)


def basic(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
    return lambda data: None


def environ_of(path: str, **more: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.7",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        **more,
    }


# -- the forms


def test_a_combined_line_has_all_fields(lines: Callable[[], list[str]]) -> None:
    TestApp(with_accounts(access_log="combined")).get(
        "/v1/users/",
        headers={**basic("mira:correct horse"), "X-Request-Id": "abc", "User-Agent": "docker/1.9.1"},
        extra_environ={"REMOTE_ADDR": "192.0.2.7"},
    )

    (line,) = lines()
    found = COMBINED.fullmatch(line)
    assert found is not None, line
    fields = found.groupdict()
    assert float(fields.pop("duration")) < 60
    assert fields == {
        "address": "192.0.2.7",
        "user": "mira",
        "request": "GET /v1/users/ HTTP/1.0",
        "status": "200",
        "bytes": "4",
        "referer": "-",
        "agent": "docker/1.9.1",
        "id": "abc",
    }


def test_a_json_line_has_all_fields(lines: Callable[[], list[str]]) -> None:
    TestApp(with_accounts(access_log="json")).post(
        "/v1/users/", b"{}", headers={"X-Request-Id": "abc", "Referer": "http://mira:pw@ui.example/x?y"},
        status=400, extra_environ={"REMOTE_ADDR": "192.0.2.7"},
    )  # fmt: skip

    fields = json.loads(lines()[0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields.pop("time"))
    assert 0 <= fields.pop("duration_s") < 60
    assert fields.pop("bytes") > 10
    assert fields == {
        "address": "192.0.2.7",
        "user": None,
        "method": "POST",
        "path": "/v1/users/",
        "route": "post_users",
        "status": 400,
        "received_bytes": 2,
        "is_complete": True,
        "request_id": "abc",
        "referer": "http://ui.example",
        "user_agent": None,
    }


def test_a_json_line_of_an_unknown_path_has_no_route(lines: Callable[[], list[str]]) -> None:
    TestApp(registry_of(access_log="json")).get("/v1/nowhere", status=404)

    assert json.loads(lines()[0])["route"] is None


def test_off_writes_no_line(lines: Callable[[], list[str]]) -> None:
    TestApp(registry_of(access_log="off")).get("/v1/_ping")

    assert lines() == []


def test_auto_writes_combined_lines(lines: Callable[[], list[str]]) -> None:
    TestApp(registry_of()).get("/v1/_ping")

    (line,) = lines()
    assert COMBINED.fullmatch(line)


def test_the_address_behind_a_trusted_proxy_is_that_of_the_client(lines: Callable[[], list[str]]) -> None:
    headers = {"X-Forwarded-For": "198.51.100.9, 192.0.2.7"}
    for proxies in ("10.0.0.1", ""):
        TestApp(registry_of(trusted_proxies=proxies)).get(
            "/v1/_ping", headers=headers, extra_environ={"REMOTE_ADDR": "10.0.0.1"}
        )

    assert [line.split(" ")[0] for line in lines()] == ["192.0.2.7", "10.0.0.1"]


def test_the_user_of_a_token_and_of_a_session_is_written(lines: Callable[[], list[str]]) -> None:
    client = TestApp(with_accounts(public_url="http://localhost"))
    headers = {**basic("mira:correct horse"), "X-Docker-Token": "true"}
    token = client.put("/v1/repositories/mira/app/", b"[]", headers=headers).headers["X-Docker-Token"]
    client.get("/v1/repositories/mira/app/tags", headers={"Authorization": f"Token {token}"})
    form = client.get("/login").form
    form["username"], form["password"] = "mira", "correct horse"
    form.submit().follow()

    users = [line.split(" ")[2] for line in lines()]
    assert users == ["mira", "mira", "-", "-", "mira"]
    assert token not in "\n".join(lines())


def test_an_answer_of_the_application_behind_has_no_line(lines: Callable[[], list[str]]) -> None:
    def behind(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"behind"]

    TestApp(registry_of().in_front_of(behind)).get("/")

    assert lines() == []


# -- secrets


def test_query_password_and_referer_are_not_written(lines: Callable[[], list[str]]) -> None:
    client = TestApp(with_accounts())
    secret = "hunter2-secret"
    client.get(f"/v1/search?q=app&token={secret}")
    client.get("/v1/users/", headers=basic(f"mira:{secret}"), status=401)
    client.get("/v1/users/", headers={"Authorization": f"Bearer {secret}"}, status=400)
    client.get("/v1/_ping", headers={"Referer": f"https://{secret}@x.example/{secret}?{secret}"})
    client.get("/v1/_ping", headers={"Cookie": f"v1registry_session={secret}", "X-Docker-Token": secret})
    client.post("/v1/users/", json.dumps({"username": "zoe1", "password": secret, "email": "a@b.example"}))

    assert len(lines()) == 6
    assert secret not in "\n".join(lines())


@pytest.mark.parametrize("before", ["", "/registry", "/"])
def test_the_token_of_a_mailed_link_is_not_written(
    before: str, lines: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    application = with_accounts(mail=KeptMail(), public_url="https://registry.example")

    call(application, "GET", f"{before}/accounts/activate/s3cret-token")

    assert len(lines()) == 1
    assert "/accounts/activate/..." in lines()[0]
    assert "s3cret-token" not in caplog.text


# -- hostile input


def test_a_line_cannot_be_broken_or_forged(lines: Callable[[], list[str]]) -> None:
    list(
        registry_of(trusted_proxies="10.0.0.1")(
            environ_of(
                '/v1/a\r\n1.2.3.4 - root [x] "GET',
                REQUEST_METHOD='G"ET\n',
                REMOTE_ADDR="10.0.0.1",
                HTTP_X_FORWARDED_FOR='1.2.3.4 - root [x] "\n',
                HTTP_USER_AGENT='x" 200 5\x1b[31m\\"\r\n',
            ),
            start,
        )
    )

    (line,) = lines()
    assert re.fullmatch(r"[ -~]+", line)
    found = COMBINED.fullmatch(line.replace('G\\"ET', "GET"))
    assert found is not None, line
    assert found["agent"] == 'x\\" 200 5\\x1b[31m\\\\\\"\\x0d\\x0a'
    assert found["user"] == "-"


@pytest.mark.parametrize("form", ["combined", "json"])
def test_a_long_request_has_a_bounded_line(form: str, lines: Callable[[], list[str]]) -> None:
    registry = registry_of(access_log=form)
    list(registry(environ_of("/" + "é" * 90_000, HTTP_USER_AGENT="\x00" * 90_000), start))

    assert len(lines()[0]) < 16_000


# -- the end of an answer


def pushed(storage: MemoryStorage, size: int) -> str:
    image = make_image(b"x" * size)
    client = TestApp(Registry(storage))
    for part, body in (("json", image.json), ("layer", image.layer), ("checksum", b"")):
        headers = {"X-Docker-Checksum-Payload": image.payload_checksum}
        client.put(f"/v1/images/{image.image_id}/{part}", body, headers=headers)
    return image.image_id


def test_a_layer_is_logged_when_it_is_sent(lines: Callable[[], list[str]]) -> None:
    storage = MemoryStorage()
    image_id = pushed(storage, 3_000_000)
    before = len(lines())
    body: Any = Registry(storage, access_log="json")(environ_of(f"/v1/images/{image_id}/layer"), start)
    assert len(lines()) == before

    assert sum(map(len, body)) == 3_000_000
    body.close()
    body.close()

    (line,) = lines()[before:]
    assert (json.loads(line)["bytes"], json.loads(line)["is_complete"]) == (3_000_000, True)


def test_an_answer_that_the_client_broke_off_is_logged(lines: Callable[[], list[str]]) -> None:
    storage = MemoryStorage()
    image_id = pushed(storage, 3_000_000)
    body: Any = Registry(storage, access_log="json")(environ_of(f"/v1/images/{image_id}/layer"), start)
    first = next(iter(body))

    body.close()

    fields = json.loads(lines()[-1])
    assert (fields["status"], fields["bytes"], fields["is_complete"]) == (200, len(first), False)


def test_what_the_server_has_not_sent_does_not_count(lines: Callable[[], list[str]]) -> None:
    storage = MemoryStorage()
    image_id = pushed(storage, 3_000_000)
    environ = environ_of(f"/v1/images/{image_id}/layer", **{UNSENT_KEY: lambda: 1_000_000})
    body: Any = Registry(storage, access_log="json")(environ, start)
    assert sum(map(len, body)) == 3_000_000

    body.close()

    fields = json.loads(lines()[-1])
    assert (fields["bytes"], fields["is_complete"]) == (2_000_000, False)


def test_an_answer_in_one_piece_is_logged_when_it_is_sent(lines: Callable[[], list[str]]) -> None:
    unsent = 0
    environ = environ_of("/v1/_ping", **{UNSENT_KEY: lambda: unsent})
    body: Any = registry_of(access_log="json")(environ, start)
    assert lines() == []
    unsent = sum(map(len, body)) - 1

    body.close()

    fields = json.loads(lines()[-1])
    assert (fields["bytes"], fields["is_complete"]) == (1, False)


def test_an_upload_that_the_client_broke_off_is_logged(lines: Callable[[], list[str]]) -> None:
    image = make_image(b"x" * 100)
    registry = registry_of(access_log="json")
    TestApp(registry).put(f"/v1/images/{image.image_id}/json", image.json)
    environ = environ_of(f"/v1/images/{image.image_id}/layer", REQUEST_METHOD="PUT", CONTENT_LENGTH="100")
    list(registry({**environ, "wsgi.input": BytesIO(b"x" * 40)}, start))

    fields = json.loads(lines()[-1])
    assert (fields["method"], fields["status"], fields["received_bytes"]) == ("PUT", 400, 40)


def test_a_file_that_the_server_sends_is_logged_when_it_is_closed(
    tmp_path: Path, lines: Callable[[], list[str]]
) -> None:
    class FileWrapper:
        def __init__(self, file: Any, size: int):
            self.file = file

        def __iter__(self) -> Iterable[bytes]:
            raise AssertionError("a server that knows its wrapper sends the file itself")

    url = f"file://{tmp_path}/data"
    image = make_image(b"x" * 1000)
    client = TestApp(Registry(url))
    for part, body in (("json", image.json), ("layer", image.layer), ("checksum", b"")):
        headers = {"X-Docker-Checksum-Payload": image.payload_checksum}
        client.put(f"/v1/images/{image.image_id}/{part}", body, headers=headers)
    before = len(lines())

    wrapped: Any = Registry(url, access_log="json")(
        environ_of(f"/v1/images/{image.image_id}/layer", **{"wsgi.file_wrapper": FileWrapper}), start
    )
    assert isinstance(wrapped, FileWrapper)
    assert wrapped.file.fileno() > 0
    assert wrapped.file.read() == image.layer
    assert len(lines()) == before
    wrapped.file.close()

    assert json.loads(lines()[-1])["bytes"] == 1000
    assert len(lines()) == before + 1


def test_a_request_that_ends_the_thread_is_logged(
    lines: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_of(access_log="json")

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(registry.table), "match", interrupted)
    with pytest.raises(KeyboardInterrupt):
        registry(environ_of("/v1/_ping"), start)

    fields = json.loads(lines()[-1])
    assert (fields["status"], fields["is_complete"]) == (500, False)
