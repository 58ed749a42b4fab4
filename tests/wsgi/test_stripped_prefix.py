"""A mount that strips ``/v1`` from paths is named in the answer, because ``/v1/_ping`` works below it."""

from __future__ import annotations

import pytest
from webtest import TestApp

from v1registry import MemoryStorage, Registry

HINT = "so /v1 seems to be stripped from the path on its way: mount the registry at the root"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/repositories/a/b/", 405),
        ("PUT", "/repositories/a/b", 405),
        ("DELETE", "/repositories/a/b/", 405),
        ("POST", "/users/", 404),
        ("PUT", f"/images/{'a' * 64}/json", 404),
    ],
)
def test_a_change_below_a_stripped_prefix_says_so(method: str, path: str, status: int) -> None:
    answer = TestApp(Registry(MemoryStorage(), auth="users:")).request(
        path, method=method, body=b"[]", expect_errors=True, environ={"SCRIPT_NAME": "/v1"}
    )

    assert answer.status_int == status
    assert f"There is a path /v1{path}, {HINT}" in answer.text


def test_a_405_of_the_apis_has_no_hint() -> None:
    answer = TestApp(Registry(MemoryStorage())).post("/v1/repositories/a/b/tags/1", b"", status=405)

    assert answer.json == {"error": "Method POST is not allowed here; allowed: DELETE, GET, HEAD, PUT"}


def test_a_page_that_is_missing_has_no_hint() -> None:
    answer = TestApp(Registry(MemoryStorage())).get("/images/x/json", status=404)

    assert "stripped" not in answer.text
