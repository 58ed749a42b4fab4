"""The names of rows, and the keys of the environ with the matched row and the user."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import Any

import pytest
from webtest import TestApp

from v1registry import MemoryStorage, Registry
from v1registry.wsgi.request import USER_KEY, Request
from v1registry.wsgi.responses import Response
from v1registry.wsgi.routing import ROUTE_KEY, Route

#: The resources that have several spellings in one API.
SPELLINGS = {
    ("registry", "ping"): {"/_ping[/]", "/v1/_ping[/]"},
    ("registry", "status"): {"/_status[/]", "/v1/_status[/]"},
    ("registry", "get_tags"): {
        "/v1/repositories/{two_part_repository}/tags[/]",
        "/v1/repositories/{repository}/tags[/]",
    },
    ("registry", "put_tag"): {
        "/v1/repositories/{repository}/tags/{tag}",
        "/v1/repositories/{repository}/tags/{slashed_tag}",
    },
    ("registry", "delete_repository"): {
        "/v1/repositories/{repository}/tags",
        "/v1/repositories/{repository}/",
        "/v1/repositories/{unreserved_repository}",
    },
    ("hub", "put_repository"): {
        "/v1/repositories/{repository}/",
        "/v1/repositories/{unreserved_repository}",
    },
    ("hub", "delete_repository"): {
        "/v1/repositories/{repository}/",
        "/v1/repositories/{unreserved_repository}",
    },
    ("oauth", "get_metadata"): {
        "/api/v1.1/o/.well-known/oauth-authorization-server[/]",
        "/.well-known/oauth-authorization-server/api/v1.1/o[/]",
    },
}  # fmt: skip

CONFIGURATIONS: tuple[dict[str, str], ...] = (
    {},
    {"auth": "users:"},
    {"auth": "users:", "pages": "/registry", "mail": "smtp://mail.example.org?from=registry@example.org",
     "public_url": "https://registry.example.org"},
    {"pages": "off", "v2": "ping"},
    {"images": "elsewhere"},
    {"index": "https://index.example.org"},
    {"auth": "users:", "v2": "pull"},
)  # fmt: skip


def handler(request: Request[Any]) -> Response:
    return Response()


@pytest.mark.parametrize("options", CONFIGURATIONS)
def test_rows_of_one_api_share_a_name_only_as_one_resource(options: dict[str, str]) -> None:
    for api in Registry.from_settings({"storage": "memory:", **options}).apis:
        rows = defaultdict(list)
        for route in api.routes:
            rows[route.name].append(route)
        for name, same in rows.items():
            if len(same) > 1:
                assert {route.path for route in same} <= SPELLINGS[api.name, name], name
                assert len({route.method for route in same}) == 1, name


def test_the_version_check_of_v2_has_one_name_in_every_configuration() -> None:
    names = set()
    for options in CONFIGURATIONS:
        found = Registry.from_settings({"storage": "memory:", **options}).table.match("GET", "/v2/")
        names.add(None if found is None else found[0].name)
    assert names == {"ping"}


def test_a_row_has_the_name_of_its_handler_or_a_given_one() -> None:
    assert Route("GET", "/x", handler, None).name == "handler"
    assert Route("GET", "/x", handler, None, name="get_x").name == "get_x"


@pytest.mark.parametrize("nameless", [partial(handler), lambda request: Response()])
def test_a_row_without_a_name_is_rejected(nameless: Any) -> None:
    with pytest.raises(ValueError, match="GET /x needs a name, because its handler has none"):
        Route("GET", "/x", nameless, None)


class Environ(dict[str, Any]):
    """An environ as some servers give it: of a subclass of dict."""


@pytest.mark.parametrize("kind", [dict, Environ])
@pytest.mark.parametrize("access_log", ["off", "combined"])
def test_route_and_user_are_in_the_environ_of_the_server(kind: type[dict[str, Any]], access_log: str) -> None:
    environ = kind(TestApp(None).RequestClass.blank("/v1/search").environ)
    environ["wsgi.file_wrapper"] = lambda file, *size: file
    environ["REMOTE_USER"] = "mira"
    registry = Registry(MemoryStorage(), auth="environ:REMOTE_USER", access_log=access_log)

    list(registry(environ, lambda status, headers, exc_info=None: bytearray().extend))

    assert (environ[ROUTE_KEY], environ[USER_KEY]) == ("get_search", "mira")


@pytest.mark.parametrize(("method", "path"), [("GET", "/nowhere"), ("PATCH", "/v1/search")])
def test_a_request_without_a_row_has_no_route_in_the_environ(method: str, path: str) -> None:
    environ = TestApp(None).RequestClass.blank(path, method=method).environ

    Registry(MemoryStorage())(environ, lambda status, headers, exc_info=None: bytearray().extend)

    assert ROUTE_KEY not in environ


def test_an_anonymous_caller_is_none_in_the_environ() -> None:
    environ = TestApp(None).RequestClass.blank("/v1/search").environ

    Registry(MemoryStorage(), auth="users:")(
        environ, lambda status, headers, exc_info=None: bytearray().extend
    )

    assert environ[USER_KEY] is None
