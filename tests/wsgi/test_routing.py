"""Rows and tables: which row a method and a path find."""

from __future__ import annotations

import re

import pytest

from v1registry import MemoryStorage, Registry
from v1registry.errors import MethodNotAllowed
from v1registry.wsgi.request import Request
from v1registry.wsgi.responses import Response
from v1registry.wsgi.routing import HOLES, LONGEST_PATH, Route, Table, combine


def one(request: Request) -> Response:
    return Response()


def other(request: Request) -> Response:
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


def test_literal_parts_of_a_path_are_no_patterns() -> None:
    table = Table(Route("GET", "/v1/a.b", one, None))
    assert table.match("GET", "/v1/axb") is None
    assert table.match("GET", "/v1/a.b") is not None


@pytest.mark.parametrize("path", ["/_ping", "/_ping/"])
def test_an_optional_slash_may_be_there_or_not_also_after_the_first_segment(path: str) -> None:
    assert found(Table(Route("GET", "/_ping[/]", one, None)), "GET", path) == ("/_ping[/]", {})


@pytest.mark.parametrize("path", ["/_ping//", "//_ping", "/_ping/x", "_ping"])
def test_an_optional_slash_is_one_slash(path: str) -> None:
    assert Table(Route("GET", "/_ping[/]", one, None)).match("GET", path) is None


def test_a_final_newline_is_part_of_the_path() -> None:
    table = Table(Route("GET", "/v1/images/{image_id}/json", one, None), Route("GET", "/_ping[/]", one, None))
    assert table.match("GET", "/v1/images/abc/json\n") is None
    assert table.match("GET", "/_ping\n") is None


def test_the_first_row_that_fits_is_taken() -> None:
    table = Table(
        Route("GET", "/v1/repositories/{repository}/tags/{tag}", one, None),
        Route("GET", "/v1/repositories/{repository}/tags[/]", other, None),
    )
    match = table.match("GET", "/v1/repositories/a/tags/tags")
    assert match is not None
    assert (match[0].handler, match[1]) == (one, {"repository": "a", "tag": "tags"})


def test_a_row_of_another_method_is_passed_over() -> None:
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


def test_a_known_path_with_another_method_tells_all_methods_that_are_allowed() -> None:
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


def test_a_path_of_the_longest_length_is_looked_up_and_a_longer_one_is_not() -> None:
    table = Table(Route("GET", "/v1/x/{tag}", one, None))
    longest = "/v1/x/".ljust(LONGEST_PATH, "a")
    assert table.match("GET", longest) is not None
    assert table.match("GET", longest + "a") is None


def test_combine_keeps_the_order_of_rows_and_tables() -> None:
    first, second = Table(Route("GET", "/v1/x", one, None)), Table(Route("GET", "/v1/x", other, None))
    assert [route.handler for route in combine([second, first])] == [other, one]


def test_an_empty_table_has_no_path() -> None:
    assert combine([]).match("GET", "/") is None


def test_every_row_of_the_application_is_found_by_a_path_of_its_form() -> None:
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
}


def test_every_hole_has_an_example_here() -> None:
    assert set(_EXAMPLES) == set(HOLES)
