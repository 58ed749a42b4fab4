"""``cors_origins``: which sites' scripts may use the APIs, and the answers to their preflights."""

from __future__ import annotations

from typing import Any

import pytest
from webtest import TestApp

from v1registry import MemoryStorage, Registry, SettingsError

UI = "https://ui.example.com"
PREFLIGHT = {"Origin": UI, "Access-Control-Request-Method": "DELETE"}


def client_of(origins: str = UI, **settings: Any) -> TestApp:
    return TestApp(Registry(MemoryStorage(), cors_origins=origins, **settings))


def test_without_the_setting_nothing_is_allowed() -> None:
    client = client_of("")

    assert not [
        name for name in client.get("/v1/_ping", headers={"Origin": UI}).headers if "access-" in name.lower()
    ]
    answer = client.options("/v1/repositories/a/b/tags/1", headers=PREFLIGHT, status=405)
    assert "Access-Control-Allow-Methods" not in answer.headers


@pytest.mark.parametrize("path", ["/v1/_ping", "/v1/search?q=", "/v1/users/", "/v2/", "/_ping"])
def test_an_allowed_origin_may_read_every_api(path: str) -> None:
    answer = client_of().get(path, headers={"Origin": UI})

    assert answer.headers["Access-Control-Allow-Origin"] == UI
    assert "X-Docker-Token" in answer.headers["Access-Control-Expose-Headers"]
    assert "Origin" in answer.headers.getall("Vary")
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_errors_may_be_read_too() -> None:
    client = client_of(auth="users:")

    for path in ("/v1/users/", "/v1/nothing", "/v1/repositories/a/b/tags"):
        answer = client.get(path, headers={"Origin": UI}, status="*")
        assert answer.status_int >= 400
        assert answer.headers["Access-Control-Allow-Origin"] == UI


@pytest.mark.parametrize(
    "origin",
    ["https://other.example.com", "http://ui.example.com", "https://ui.example.com.evil.example", "null", "",
     "https://ui.example.com:8443", "https://ui.example.com/", "*"],
)  # fmt: skip
def test_other_origins_are_not_allowed(origin: str) -> None:
    client = client_of()

    answer = client.get("/v1/_ping", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers
    # a cache must not give this answer to the allowed site
    assert "Origin" in answer.headers.getall("Vary")
    preflight = {**PREFLIGHT, "Origin": origin}
    answer = client.options("/v1/repositories/a/b/tags/1", headers=preflight, status=405)
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_star_allows_every_origin() -> None:
    answer = client_of("*").get("/v1/_ping", headers={"Origin": "https://x.example"})

    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in answer.headers


def test_a_preflight_is_answered_with_the_methods_of_the_path() -> None:
    asked = {**PREFLIGHT, "Access-Control-Request-Headers": "authorization, x-docker-token"}
    answer = client_of(auth="users:").options("/v1/repositories/a/b/tags/1", headers=asked)

    assert answer.status_int == 204
    assert answer.headers["Access-Control-Allow-Origin"] == UI
    assert answer.headers["Access-Control-Allow-Methods"] == "DELETE, GET, HEAD, PUT"
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization, x-docker-token"
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert answer.body == b""


@pytest.mark.parametrize("asked", ["", "a b", "x" * 5000, "a,b,", "é", "*\r\nx"])
def test_invalid_names_of_headers_are_not_repeated(asked: str) -> None:
    client = client_of()
    environ = {"HTTP_ORIGIN": UI, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}
    environ["HTTP_ACCESS_CONTROL_REQUEST_HEADERS"] = asked

    answer = client.options("/v1/repositories/a/b/tags/1", extra_environ=environ)

    assert "Access-Control-Allow-Headers" not in answer.headers


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/nothing", 404), ("/login", 405), ("/repositories/a/b", 405)]
)
def test_there_is_no_preflight_for_unknown_paths_and_pages(path: str, status: int) -> None:
    answer = client_of(auth="users:").options(path, headers=PREFLIGHT, status=status)

    assert "Access-Control-Allow-Methods" not in answer.headers


def test_pages_are_not_allowed() -> None:
    answer = client_of(auth="users:").get("/login", headers={"Origin": UI, "Accept": "text/html"})

    assert "Access-Control-Allow-Origin" not in answer.headers


def test_options_without_a_preflight_stay_405() -> None:
    answer = client_of().options("/v1/repositories/a/b/tags/1", headers={"Origin": UI}, status=405)

    assert "Allow" in answer.headers


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        (
            "https://UI.example.com, http://localhost:8080",
            ("https://ui.example.com", "http://localhost:8080"),
        ),
        ("https://ui.example.com:443 http://a:80", ("https://ui.example.com", "http://a")),
        ("https://[::1]:8443", ("https://[::1]:8443",)),
        ("*", ("*",)),
    ],
)
def test_origins_are_compared_as_browsers_send_them(text: str, origins: tuple[str, ...]) -> None:
    assert Registry(MemoryStorage(), cors_origins=text).settings.cors_origins == origins


@pytest.mark.parametrize("text", ["ui.example.com", "https://ui.example.com/", "null", "https://*.example.com",
                                  "https://a@b.example", "ftp://x"])  # fmt: skip
def test_an_invalid_origin_is_an_error(text: str) -> None:
    with pytest.raises(SettingsError, match=r"cors_origins: must be \*, or origins such as"):
        Registry(MemoryStorage(), cors_origins=text)
