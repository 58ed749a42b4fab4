"""``/v2/`` while the distribution API is off: log-ins, and how to pull here (decisions.md 8a, CLI-017)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.backends import People
from support.credentials import basic
from support.wsgi_client import Answer, call

from v1registry import MemoryStorage, Registry
from v1registry.rights import User

ENGINE = "docker/17.05.0-ce go/go1.7.5 os/linux UpstreamClient(Docker-Client/17.05.0-ce \\(linux\\))"
TODAY = "docker/20.10.24 go/go1.19 os/linux UpstreamClient(Docker-Client/20.10.24 \\(linux\\))"


@pytest.fixture
def app() -> Registry:
    return Registry(
        storage=MemoryStorage(), v2="ping", auth=People.of(User("alice"), User("idle", is_active=False))
    )


def ask(app: Registry, path: str, method: str = "GET", user_agent: str = TODAY, **headers: str) -> Answer:
    environ: dict[str, Any] = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    return call(app, method, path, HTTP_USER_AGENT=user_agent, REMOTE_ADDR="192.0.2.1", **environ)


def error_of(answer: Answer) -> dict[str, Any]:
    """Return the one error of an answer in the v2 form."""
    assert answer.header("Content-Type") == "application/json"
    (error,) = json.loads(answer.body)["errors"]
    assert set(error) == {"code", "message", "detail"}
    return dict(error)


@pytest.mark.parametrize("path", ["/v2/", "/v2"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (basic("alice"), 200),
        (basic("alice", "wrong"), 401),
        (basic("unknown"), 401),
        (basic("idle"), 403),
        ({"Authorization": "Basic Og=="}, 401),
        ({"Authorization": "Token"}, 401),
        ({"Authorization": 'Token signature=x,repository="a/b",access=read'}, 401),
        ({"Authorization": "Digest x"}, 401),
    ],
)
def test_CLI_017_v2_with_accounts_checks_the_login(
    app: Registry, path: str, headers: dict[str, str], status: int
) -> None:
    for method in ("GET", "HEAD"):
        answer = ask(app, path, method, **headers)
        assert answer.status == status
        assert answer.header("WWW-Authenticate") == ('Basic realm="auth required"' if status == 401 else None)
        assert answer.header("Docker-Distribution-API-Version") is None


def test_token_of_the_index_is_no_login_at_v2(app: Registry) -> None:
    login = {"HTTP_AUTHORIZATION": basic("alice")["Authorization"], "HTTP_X_DOCKER_TOKEN": "true"}
    token = call(app, "PUT", "/v1/repositories/alice/app/", b"[]", **login).header("X-Docker-Token")
    assert token is not None
    assert ask(app, "/v2/", Authorization=f"Token {token}").status == 401


def test_user_of_the_surrounding_application_is_logged_in_at_v2() -> None:
    app = Registry(storage=MemoryStorage(), v2="ping", auth="environ:REMOTE_USER")
    assert call(app, "GET", "/v2/").status == 401
    assert call(app, "GET", "/v2/", REMOTE_USER="mira").status == 200


def test_wrong_passwords_at_v2_count_as_failed_logins(app: Registry) -> None:
    statuses = [ask(app, "/v2/", **basic("alice", f"guess {number}")).status for number in range(12)]
    assert statuses == [401] * 11 + [429]
    blocked = ask(app, "/v2/", **basic("alice"))
    assert (blocked.status, error_of(blocked)["code"]) == (429, "TOOMANYREQUESTS")
    assert blocked.header("Retry-After") is not None
    assert ask(app, "/v1/users/", **basic("alice")).status == 429


def test_refused_login_has_the_form_that_the_client_reads(app: Registry) -> None:
    old, new = ask(app, "/v2/", user_agent=ENGINE), ask(app, "/v2/")
    assert (old.header("Content-Type"), old.body) == (
        "text/plain; charset=utf-8",
        b"Requires authorization\n",
    )
    assert error_of(new) == {"code": "UNAUTHORIZED", "message": "Requires authorization", "detail": None}


@pytest.mark.parametrize(
    "user_agent",
    [
        ENGINE,
        "docker/1.8.3 go/go1.4.2",
        "docker/0.9.1 go/go1.2",
        "docker/17.11.0-ce go/go1.8",
        "x/1 docker/1.12.6",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"])
def test_CLI_017_engine_with_v1_gets_plain_text_below_v2(user_agent: str, method: str) -> None:
    answer = ask(
        Registry(storage=MemoryStorage(), v2="ping"), "/v2/alice/app/blobs/uploads/", method, user_agent
    )
    assert (answer.status, answer.header("Content-Type")) == (404, "text/plain; charset=utf-8")
    assert not answer.body.startswith((b"{", b"["))


@pytest.mark.parametrize(
    "user_agent",
    [
        TODAY,
        "docker/17.12.0-ce go/go1.9",
        "docker/18.03",
        "containers/5.23 (github.com/containers/image)",
        "Docker-Client/1.12.6 (linux)",
        "mydocker/1.12",
        "",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"])
def test_CLI_017_other_clients_get_a_v2_error_below_v2(user_agent: str, method: str) -> None:
    answer = ask(
        Registry(storage=MemoryStorage(), v2="ping"), "/v2/alice/app/blobs/uploads/", method, user_agent
    )
    assert answer.status == 404
    error = error_of(answer)
    assert error["code"] == "UNSUPPORTED"
    assert "v1registry pull localhost/NAME:TAG -o image.tar" in error["message"]
    assert "docker load -i image.tar" in error["message"]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v2/alice/app/manifests/1.0", "localhost/alice/app:1.0 "),
        ("/v2/library/app/manifests/latest", "localhost/app:latest "),
        ("/v2/alice/app/manifests/sha256:00", "localhost/NAME:TAG "),
        ("/v2/alice/$(reboot)/manifests/1.0", "localhost/NAME:TAG "),
        ("/v2/alice/app/manifests/1;reboot", "localhost/NAME:TAG "),
        ("/v2/_catalog", "localhost/NAME:TAG "),
    ],
)
def test_sentence_names_the_image_if_its_name_is_valid(app: Registry, path: str, shown: str) -> None:
    assert f"v1registry pull {shown}" in error_of(ask(app, path))["message"]


def test_sentence_has_a_placeholder_for_an_invalid_host(app: Registry) -> None:
    message = error_of(ask(app, "/v2/alice/app/manifests/1", Host="$(reboot)"))["message"]
    assert "v1registry pull HOST/NAME:TAG " in message


def test_answer_below_v2_is_the_same_for_all_callers(app: Registry) -> None:
    bodies = {
        ask(app, "/v2/alice/app/manifests/1", **headers).body
        for headers in ({}, basic("alice"), basic("alice", "wrong"))
    }
    assert len(bodies) == 1


def test_sentence_has_the_address_that_clients_use() -> None:
    app = Registry(storage=MemoryStorage(), v2="ping", public_url="https://hub.example.org")
    message = error_of(ask(app, "/v2/alice/app/manifests/1", Host="inside:5000"))["message"]
    assert "v1registry pull hub.example.org/alice/app:1 " in message


def test_registry_below_a_prefix_says_that_it_needs_a_host() -> None:
    app = Registry(storage=MemoryStorage(), v2="ping")
    answer = call(app, "GET", "/v2/alice/app/manifests/1", SCRIPT_NAME="/registry", HTTP_USER_AGENT=TODAY)
    assert answer.status == 404
    message = error_of(answer)["message"]
    assert "below localhost/registry/v1/" in message
    assert "v1registry pull" not in message
    engine = call(app, "GET", "/v2/x/manifests/1", SCRIPT_NAME="/registry", HTTP_USER_AGENT=ENGINE)
    assert engine.header("Content-Type") == "text/plain; charset=utf-8"


@pytest.mark.parametrize("path", ["/v2/", "/v2/x/manifests/1"])
def test_CLI_017_absent_v2_is_plain_text_for_all_clients(path: str) -> None:
    answer = ask(Registry(storage=MemoryStorage(), v2="absent"), path)
    assert (answer.status, answer.header("Content-Type")) == (404, "text/plain; charset=utf-8")
