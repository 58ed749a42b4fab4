"""A table remembers the rows of paths, so that most requests need no pattern."""

from __future__ import annotations

from typing import Any

import pytest

from v1registry.errors import MethodNotAllowed
from v1registry.wsgi.request import Request
from v1registry.wsgi.responses import Response, respond
from v1registry.wsgi.routing import LONGEST_PATH, Route, Table


def get_json(request: Request[Any]) -> Response:
    return respond(200, b"", None)


def new_table() -> Table:
    return Table(Route("GET", "/v1/images/{image_id}/json", get_json, None))


def test_fields_of_one_request_are_not_those_of_the_next() -> None:
    table = new_table()
    for _ in range(2):
        found = table.match("GET", "/v1/images/1/json")
        assert found is not None
        assert found[1] == {"image_id": "1"}
        found[1]["image_id"] = "2"


def test_known_path_is_matched_once() -> None:
    table = new_table()
    for _ in range(3):
        table.match("GET", "/v1/images/1/json")
    assert table._remembered.cache_info()[:2] == (2, 1)


def test_wrong_method_is_refused_each_time() -> None:
    table = new_table()
    for _ in range(2):
        with pytest.raises(MethodNotAllowed):
            table.match("PUT", "/v1/images/1/json")
    assert table.match("HEAD", "/v1/images/1/json") is not None


def test_number_of_remembered_paths_is_bounded() -> None:
    table = new_table()
    for number in range(3000):
        table.match("GET", f"/v1/images/{number}/json")
    assert table._remembered.cache_info().currsize <= 1024


@pytest.mark.parametrize("length", [300, LONGEST_PATH - 20])
def test_long_path_is_matched_without_being_remembered(length: int) -> None:
    table = new_table()
    assert table.match("GET", f"/v1/images/{'1' * length}/json") is not None
    assert table._remembered.cache_info().currsize == 0
