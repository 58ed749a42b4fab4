"""Patterns of requests, and the route, user and API of a recorded request."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from v1registry_fakes import FakeRegistry, RecordedRequest, RequestPattern, WSGISession
from v1registry_fakes.recording.patterns import path_matches, pattern_of
from webtest import TestApp


def a_request(**changes: Any) -> RecordedRequest:
    values: dict[str, Any] = {
        "method": "GET", "path": "/v1/images/ab/layer", "query": "", "headers": {},
        "route": "get_layer", "api": "v1", "user": "alice", "status": 200,
    }  # fmt: skip
    return RecordedRequest(**{**values, **changes})


# -- patterns


@pytest.mark.parametrize(
    ("wanted", "difference"),
    [
        ({"method": "PUT"}, "method is GET, not PUT"),
        ({"path": "/v1/images/*/json"}, "path is /v1/images/ab/layer, not /v1/images/*/json"),
        ({"route": "get_json"}, "route is get_layer, not get_json"),
        ({"user": "bob"}, "user is 'alice', not 'bob'"),
        ({"user": ""}, "user is 'alice', not an anonymous caller"),
        ({"api": "hub"}, "api is v1, not hub"),
        ({"status": 404}, "status is 200, not 404"),
    ],
)
def test_each_property_is_compared(wanted: dict[str, Any], difference: str) -> None:
    pattern = RequestPattern(**wanted)
    assert not pattern.matches(a_request())
    assert pattern.differences(a_request()) == [difference]


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"method": "GET"},
        {"path": "*/layer"},
        {"route": "get_layer", "api": "v1"},
        {"user": "alice"},
        {"status": 200},
        {
            "method": "GET",
            "path": "/v1/images/ab/layer",
            "route": "get_layer",
            "user": "alice",
            "status": 200,
        },
    ],
)
def test_a_request_with_all_properties_matches(wanted: dict[str, Any]) -> None:
    pattern = RequestPattern(**wanted)
    assert pattern.matches(a_request())
    assert pattern.differences(a_request()) == []


def test_all_differences_are_named_in_one_order() -> None:
    request = a_request(route=None, api=None, user=None, status=None)
    pattern = RequestPattern("PUT", "/v1/*", "put_layer", "alice", "v1", 200)
    assert pattern.differences(request) == [
        "method is GET, not PUT",
        "route is unknown, not put_layer",
        "api is none of them, not v1",
        "user is an anonymous caller, not 'alice'",
        "status is not there yet, not 200",
    ]


def test_an_empty_user_is_an_anonymous_caller() -> None:
    assert RequestPattern(user="").matches(a_request(user=None))


@pytest.mark.parametrize(
    ("pattern", "path", "is_match"),
    [
        ("/v1/_ping", "/v1/_ping", True),
        ("/v1/_ping", "/v1/_ping/", False),
        ("*", "/anything", True),
        ("/v1/*", "/v1/", True),
        ("*/layer", "/v1/images/ab/layer", True),
        ("/v1/*/a*b", "/v1/x/y/ab", True),
        ("/v1/*/a*b", "/v1/a*b", False),
        ("/ab*ba", "/aba", False),
        ("*a*a*", "/ba", False),
        ("/v1/[x]", "/v1/[x]", True),
        ("/v1/[x]", "/v1/x", False),
        ("/v1/*", "/v1/two\nlines", True),
    ],
)
def test_only_the_star_is_special_in_a_path(pattern: str, path: str, is_match: bool) -> None:
    assert path_matches(pattern, path) is is_match


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"method": "get"}, "method must be in capital letters: 'GET', not 'get'"),
        ({"path": "v1/_ping"}, "path must begin with / or \\*, without a host, not 'v1/_ping'"),
        ({"path": "http://x/v1"}, "path must begin with / or"),
        ({"path": "/v1/search?q=app"}, "path must be without a query"),
        ({"api": "v3"}, "api must be one of v1, hub, oauth, v2, not 'v3'"),
        ({"status": 2000}, "status must be from 100 to 599, not 2000"),
    ],
)
def test_a_pattern_that_can_match_nothing_is_rejected(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RequestPattern(**wanted)


def test_an_unknown_route_is_rejected_with_similar_names() -> None:
    with pytest.raises(ValueError, match="such as get_layer, put_layer, not 'get_layr'"):
        RequestPattern(route="get_layr").check_route(["get_layer", "put_layer", "root"])
    with pytest.raises(ValueError, match="such as ping, root, not 'zzz'"):
        RequestPattern(route="zzz").check_route(["root", "ping"])
    RequestPattern(route="root").check_route(["root", "ping"])
    RequestPattern().check_route([])


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (RequestPattern(), "any request"),
        (RequestPattern("GET"), "GET"),
        (RequestPattern(path="*/layer"), "any method */layer"),
        (RequestPattern(route="get_tags", api="v2"), "any request to route get_tags of the API v2"),
        (RequestPattern("GET", "/x", user="", status=401), "GET /x of an anonymous caller with status 401"),
    ],
)
def test_a_pattern_is_shown_in_one_line(pattern: RequestPattern, text: str) -> None:
    assert str(pattern) == text


def test_a_pair_is_a_pattern() -> None:
    assert pattern_of(("GET", "/v1/search")) == RequestPattern("GET", "/v1/search")
    assert pattern_of(RequestPattern("GET")) == RequestPattern("GET")


@pytest.mark.parametrize("other", ["GET /v1/search", ("GET",), ("GET", "/", 200), None])
def test_neither_a_pair_nor_a_pattern_is_rejected(other: Any) -> None:
    with pytest.raises(TypeError, match="must be a RequestPattern or a pair such as"):
        pattern_of(other)


# -- what is recorded


@pytest.mark.parametrize(
    ("method", "path", "route", "api"),
    [
        ("GET", "/v1/_ping", "ping", "v1"),
        ("HEAD", "/v1/_ping", "ping", "v1"),
        ("GET", "/v1/repositories/alice/app/tags", "get_tags", "v1"),
        ("GET", "/v1/repositories/alice/app/images", "get_images", "hub"),
        ("GET", "/v1/users/", "get_users", "hub"),
        ("POST", "/api/v1.1/o/token/", "post_token", "oauth"),
        ("GET", "/api/v1.1/o/authorize/", "get_authorize", "oauth"),
        ("GET", "/api/v1.1/users/alice/", "get_user", "oauth"),
        ("GET", "/v2/", "ping", "v2"),
        ("GET", "/v2/alice/app/tags/list", "get_tags", "v2"),
        ("GET", "/login", "get_login", None),
        ("GET", "/v1/nowhere", None, "v1"),
        ("PATCH", "/v1/users/", None, "hub"),
        ("GET", "/v2/nowhere", None, "v2"),
        ("GET", "/nowhere", None, None),
        ("GET", "/v1/images/%ff/json", None, None),
    ],
)
def test_a_request_has_route_and_api(method: str, path: str, route: str | None, api: str | None) -> None:
    with FakeRegistry(auth="users:") as registry, WSGISession(registry.app) as session:
        session.request(method, path)
        assert (registry.requests[0].route, registry.requests[0].api) == (route, api)


@pytest.mark.parametrize("access_log", ["off", "json"])
@pytest.mark.parametrize(
    ("auth", "user"), [(None, None), (("alice", "correct horse"), "alice"), (("alice", "wrong"), None)]
)
def test_a_request_has_the_user_of_valid_credentials(
    auth: tuple[str, str] | None, user: str | None, access_log: str
) -> None:
    with FakeRegistry(auth="users:", access_log=access_log) as registry:
        registry.add_user("alice", "correct horse")
        for request in (requests.get, WSGISession(registry.app).get):
            request(f"{registry.url}/v1/repositories/alice/app/images", auth=auth, timeout=30)
        assert [request.user for request in registry.requests] == [user, user]


def test_requests_are_selected_by_route_user_and_api() -> None:
    with FakeRegistry(auth="users:") as registry:
        registry.add_user("alice", "secret")
        client = TestApp(registry.app)
        client.get("/v1/repositories/alice/app/tags", status="*")
        client.authorization = ("Basic", ("alice", "secret"))
        client.get("/v1/repositories/alice/app/tags", status="*")
        client.get("/v2/alice/app/tags/list", status="*")
        log = registry.requests
        assert log.matching(route="get_tags") == log
        assert log.matching(route="get_tags", api="v1") == log[:2]
        assert log.matching(user="") == log[:1]
        assert log.matching("GET", "*/tags", user="alice") == log[1:2]
        with pytest.raises(ValueError, match="capital letters"):
            log.matching("get")
