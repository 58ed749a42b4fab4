"""Rows, tables and APIs: which row matches a method and a path."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest

from v1registry import MemoryStorage, Registry
from v1registry.errors import MethodNotAllowed
from v1registry.wsgi.request import Request
from v1registry.wsgi.responses import Response, error_object
from v1registry.wsgi.routing import HOLES, LONGEST_PATH, Api, Route, Table, api_of, combine


def one(request: Request[Any]) -> Response:
    return Response()


def other(request: Request[Any]) -> Response:
    return Response()


def found(table: Table, method: str, path: str) -> tuple[str, dict[str, str]] | None:
    match = table.match(method, path)
    return None if match is None else (match[0].path, match[1])


def test_a_path_gives_the_fields_of_its_holes() -> None:
    table = Table(Route("GET", "/v1/images/{image_id}/json", one, None))
    assert found(table, "GET", "/v1/images/abc/json") == ("/v1/images/{image_id}/json", {"image_id": "abc"})


@pytest.mark.parametrize(
    "path", ["/v1/images/abc/json/", "/v1/images//json", "/v1/images/a/b/json", "/v1/imagesabcjson", "x"]
)
def test_the_whole_path_has_to_match(path: str) -> None:
    assert Table(Route("GET", "/v1/images/{image_id}/json", one, None)).match("GET", path) is None


def test_literal_parts_of_a_path_are_not_patterns() -> None:
    table = Table(Route("GET", "/v1/a.b", one, None))
    assert table.match("GET", "/v1/axb") is None
    assert table.match("GET", "/v1/a.b") is not None


@pytest.mark.parametrize("path", ["/_ping", "/_ping/"])
def test_an_optional_slash_may_be_missing(path: str) -> None:
    assert found(Table(Route("GET", "/_ping[/]", one, None)), "GET", path) == ("/_ping[/]", {})


@pytest.mark.parametrize("path", ["/_ping//", "//_ping", "/_ping/x", "_ping"])
def test_an_optional_slash_is_one_slash(path: str) -> None:
    assert Table(Route("GET", "/_ping[/]", one, None)).match("GET", path) is None


def test_a_final_newline_is_part_of_the_path() -> None:
    table = Table(Route("GET", "/v1/images/{image_id}/json", one, None), Route("GET", "/_ping[/]", one, None))
    assert table.match("GET", "/v1/images/abc/json\n") is None
    assert table.match("GET", "/_ping\n") is None


def test_the_first_matching_row_is_used() -> None:
    table = Table(
        Route("GET", "/v1/repositories/{repository}/tags/{tag}", one, None),
        Route("GET", "/v1/repositories/{repository}/tags[/]", other, None),
    )
    match = table.match("GET", "/v1/repositories/a/tags/tags")
    assert match is not None
    assert (match[0].handler, match[1]) == (one, {"repository": "a", "tag": "tags"})


def test_a_row_of_a_different_method_is_skipped() -> None:
    table = Table(
        Route("GET", "/v1/x/{repository}", one, None),
        Route("PUT", "/v1/x/{repository}/", other, None),
        Route("PUT", "/v1/x/{tag}", one, None),
    )
    match = table.match("PUT", "/v1/x/a/")
    assert match is not None
    assert match[0].handler is other


def test_get_rows_answer_head() -> None:
    assert Table(Route("GET", "/v1/x", one, None)).match("HEAD", "/v1/x") is not None


def test_a_wrong_method_is_answered_with_the_allowed_ones() -> None:
    table = Table(
        Route("PUT", "/v1/x/{tag}", one, None),
        Route("GET", "/v1/x/{tag}", one, None),
        Route("DELETE", "/v1/x/{repository}", one, None),
    )
    with pytest.raises(MethodNotAllowed) as raised:
        table.match("POST", "/v1/x/a")
    assert raised.value.headers == {"Allow": "DELETE, GET, HEAD, PUT"}


@pytest.mark.parametrize("method", ["get", "", "GET ", "HEADS", "PROPFIND"])
def test_methods_are_compared_to_the_letter(method: str) -> None:
    with pytest.raises(MethodNotAllowed):
        Table(Route("GET", "/v1/x", one, None)).match(method, "/v1/x")


def test_a_path_above_the_longest_length_matches_nothing() -> None:
    table = Table(Route("GET", "/v1/x/{tag}", one, None))
    longest = "/v1/x/".ljust(LONGEST_PATH, "a")
    assert table.match("GET", longest) is not None
    assert table.match("GET", longest + "a") is None


def test_a_lower_rank_is_tried_first_whatever_the_order() -> None:
    rows = [
        Route("GET", "/v1/x/{repository}", other, None, rank=1),
        Route("GET", "/v1/x/{tag}", one, None),
    ]
    for table in (Table(*rows), Table(*reversed(rows))):
        match = table.match("GET", "/v1/x/a")
        assert match is not None
        assert match[0].handler is one


def api(name: str, *routes: Route, paths: tuple[str, ...] = ()) -> Api:
    return Api(name, paths, Table(*routes), error_object)


def test_combine_keeps_the_order_of_rows_of_one_rank() -> None:
    first, second = api("a", Route("GET", "/v1/x", one, None)), api("b", Route("GET", "/v1/x", other, None))
    assert [route.handler for route in combine([second, first])] == [other, one]


def test_without_apis_no_path_matches() -> None:
    assert combine([]).match("GET", "/") is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1", "registry"), ("/v1/", "registry"), ("/v1/x", "registry"), ("/v1x", None), ("/v1/users",
         "users"),
        ("/v1/users/", "users"), ("/v1/users/mira", "users"), ("/v1/usersx", "registry"), ("/_ping",
         "registry"),
        ("/_ping/", "registry"), ("/_ping//", None), ("/_ping/x", None), ("/", None), ("", None),
    ],
)  # fmt: skip
def test_a_path_belongs_to_the_api_with_the_longest_match(path: str, name: str | None) -> None:
    apis = [
        api("registry", paths=("/v1", "/v1/*", "/_ping[/]")),
        api("users", paths=("/v1/users[/]", "/v1/users/*")),
    ]
    for ordered in (apis, apis[::-1]):
        found_api = api_of(ordered, path)
        assert (None if found_api is None else found_api.name) == name


_CONFIGURATIONS: list[dict[str, str]] = [
    {},
    {"auth": "users:"},
    {"auth": "users:", "pages": "/registry", "link_path": "/registry/links", "mail": "smtp://mail.example.org?from=registry@example.org",
     "public_url": "https://registry.example.org"},
    {"auth": "users:", "pages": "off"},
    {"images": "elsewhere"},
    {"index": "https://index.example.org"},
    {"v2": "pass"},
]  # fmt: skip


def configured(options: dict[str, str]) -> Registry:
    return Registry.from_settings({"storage": "memory:", **options})


#: Names that make paths of different rows look alike.
_NAMES = [
    "a",
    "tags",
    "images",
    "json",
    "auth",
    "layer",
    "access",
    "a/b",
    "a/tags",
    "tags/a",
    "a/layer",
    "a/images/b",
]


def tricky_paths(table: Table) -> set[str]:
    """Return a path for each row and each way to fill its first two holes with _NAMES that the row allows."""
    paths = set()
    for route in table:
        for optional in ("", "/"):
            form = route.path.replace("[/]", optional)
            holes = re.findall(r"\{\w+\}", form)
            for names in product(_NAMES, repeat=min(2, len(holes))):
                path = form
                for hole, name in zip(holes, names, strict=False):
                    path = path.replace(hole, name, 1)
                paths.add(path)
    return paths


@pytest.mark.parametrize(
    "options", _CONFIGURATIONS, ids=lambda options: ",".join(options.values()) or "default"
)
def test_the_order_of_the_apis_does_not_matter(options: dict[str, str]) -> None:
    apis = configured(options).apis
    table, reverse = combine(apis), combine(apis[::-1])
    for path in tricky_paths(table):
        for method in ("GET", "PUT", "POST", "DELETE", "PATCH"):
            assert answer_of(table, method, path) == answer_of(reverse, method, path), (method, path)


def answer_of(table: Table, method: str, path: str) -> object:
    try:
        match = table.match(method, path)
    except MethodNotAllowed as error:
        return error.allowed
    return None if match is None else (match[0].path, match[0].handler)


@pytest.mark.parametrize(
    "options", _CONFIGURATIONS, ids=lambda options: ",".join(options.values()) or "default"
)
def test_every_row_but_the_root_belongs_to_an_api(options: dict[str, str]) -> None:
    registry = configured(options)
    for route in registry.table:
        path = re.sub(r"\{\w+\}", "a", route.path.replace("[/]", ""))
        # in front of another application, "/" belongs to that
        assert path == "/" or api_of(registry.apis, path) is not None, path


def test_every_row_is_found_by_an_example_path() -> None:
    table = Registry(storage=MemoryStorage()).table
    for route in table:
        path = re.sub(r"\{(\w+)\}", lambda hole: _EXAMPLES[hole[1]], route.path.replace("[/]", ""))
        match = table.match(route.method, path)
        assert match is not None, path
        assert match[0] is route, (path, match[0])


#: A value for every hole that its row alone fits.
_EXAMPLES = {
    "image_id": "0123456789abcdef",
    "username": "mira",
    "token": "WyJ4Il0.abc_-",
    "repository": "a/b/c",
    "tag": "latest",
    "file": "pages.css",
    "grant_id": "0123456789abcdef0123456789abcdef",
    "two_part_repository": "a/b",
    "repository_named_tags": "a/tags",
    "unreserved_repository": "a/b",
    "slashed_tag": "a/b",
    "digest": "sha256:" + "0" * 64,
    "upload_id": "0123456789abcdef0123456789abcdef",
    "reference": "latest",
}


def test_every_hole_has_an_example() -> None:
    assert set(_EXAMPLES) == set(HOLES)


def test_a_table_can_have_holes_of_its_own() -> None:
    table = Table(Route("GET", "/things/{thing}/json", one, None), holes={"thing": ("name", r"[^/]+")})

    found = table.match("GET", "/things/one/json")

    assert found is not None
    assert found[1] == {"name": "one"}
    assert table.match("GET", "/things/one/two/json") is None
