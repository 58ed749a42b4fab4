"""Invalid input to every page of a server with accounts gives a page or a redirect, never a 500."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.kept_mail import PUBLIC_URL, KeptMail
from support.page_person import FORM_TYPE, PagesWorld, token_of
from support.wsgi_client import Answer, call

from v1registry.wsgi.routing import Route

IMAGE_ID = "0" * 64
EXAMPLES = {
    "token": "x",
    "repository": "mira_k/app",
    "image_id": IMAGE_ID,
    "digest": f"sha256:{'0' * 64}",
}

BODIES = [
    b"",
    b"&",
    b"=",
    b"%",
    b"%00=%00",
    b"\0",
    b"\xff\xfe",
    b"a=%ff",
    b"a=\xed\xa0\x80",
    b"a=1&a=2",
    b"&".join(b"f%d=x" % number for number in range(101)),
    b"address=" + b"x" * 60_000,
    b"username=%F0%9F%90%B3&password=%F0%9F%90%B3&email=%F0%9F%90%B3@x.org",
    b"username[]=x&username[0]=y&__proto__=z",
    b"address=%0D%0ASet-Cookie:%20x=y&email=%0D%0Ax&next=%0D%0Ax&grant=..%2F..%2Fx&full_name=%00",
    b'{"a": [[[[1]]]]}',
]
QUERIES = [
    "",
    "next=%0d%0aX:%20y",
    "done=%ff",
    "next=" + "/" * 9000,
    "\xff",
    "%",
    "&&==",
    "q=%00&page=-1&path=..%2F..",
]
HEADERS: list[dict[str, str]] = [
    {},
    {"HTTP_COOKIE": "\xff;=;;__Host-v1registry_session=%00"},
    {"HTTP_SEC_FETCH_SITE": "\xff"},
    {"HTTP_ORIGIN": "https://[::1", "HTTP_X_FORWARDED_HOST": ",,\xff"},
    {"HTTP_AUTHORIZATION": "Basic !"},
    {"HTTP_AUTHORIZATION": "Bearer x"},
    {"HTTP_AUTHORIZATION": "Token signature=x,repository=a/b,access=write"},
    {"HTTP_ACCEPT": "\xff;q=x,,text/html;q=9"},
    {"CONTENT_TYPE": "application/x-www-form-urlencoded; charset=\xff"},
]

_WORLD = PagesWorld(mail=KeptMail(), public_url=PUBLIC_URL)
_PERSON = _WORLD.mira()
_COOKIE = f"__Host-v1registry_session={_PERSON.cookie}"
_TOKEN = token_of(_PERSON.get("/account"))
ROWS = [route for route in _WORLD.app.table if route.is_page]


def ask(route: Route, body: bytes, query: str, headers: dict[str, str], *, is_in: bool) -> Answer:
    path = re.sub(r"\{(\w+)\}", lambda hole: EXAMPLES[hole[1]], route.path.replace("[/]", ""))
    environ: dict[str, Any] = {
        "HTTP_HOST": "registry.example.org",
        "CONTENT_TYPE": FORM_TYPE,
        "QUERY_STRING": query,
        "HTTP_ACCEPT": "text/html",
    }
    if is_in:
        environ["HTTP_COOKIE"] = _COOKIE
    return call(_WORLD.app, route.method, path, body, **{**environ, **headers})


def assert_sound(answer: Answer) -> None:
    assert answer.status in (200, 302, 303, 400, 401, 403, 404, 413, 429), answer
    for name, value in answer.headers:
        assert re.fullmatch(r"[\t\x20-\x7e]*", value), (name, value)
    if answer.status in (302, 303):
        assert str(answer.header("Location")).startswith("/"), answer
        assert answer.body == b""
    else:
        assert answer.header("Content-Type") == "text/html; charset=utf-8"
        assert answer.header("X-Frame-Options") == "DENY"
        assert "frame-ancestors 'none'" in str(answer.header("Content-Security-Policy"))
        assert answer.body.count(b"<script") == 1


def test_there_are_rows_to_attack() -> None:
    paths = {route.path for route in ROWS}
    assert {"/login[/]", "/account[/]", "/api/v1.1/o/authorize[/]", "/accounts/activate/{token}"} <= paths


@pytest.mark.parametrize("route", ROWS, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize("is_in", [True, False])
def test_no_body_query_or_header_gives_a_500(route: Route, is_in: bool) -> None:
    for body in BODIES:
        with_token = body + b"&form_token=" + _TOKEN.encode() if is_in else body
        if route.path != "/logout[/]":
            assert_sound(ask(route, with_token, "", {}, is_in=is_in))
        assert_sound(ask(route, body, "", {}, is_in=is_in))
    for query in QUERIES:
        assert_sound(ask(route, b"a=b", query, {}, is_in=is_in))
    for headers in HEADERS:
        assert_sound(ask(route, b"a=b", "", headers, is_in=is_in))


@pytest.mark.parametrize("route", ROWS, ids=lambda route: f"{route.method} {route.path}")
def test_a_405_page_lists_the_methods(route: Route) -> None:
    path = re.sub(r"\{(\w+)\}", lambda hole: EXAMPLES[hole[1]], route.path.replace("[/]", ""))
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "get"):
        answer = call(_WORLD.app, method, path, HTTP_HOST="registry.example.org")
        assert answer.status == 405
        assert route.method in str(answer.header("Allow"))
