"""Waiting for requests, asserting them, and what the messages show."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import requests
from v1registry_fakes import FakeRegistry, RequestPattern
from v1registry_fakes.recording.nearest import described_nearest, listed
from v1registry_fakes.recording.recorded_request import RecordedRequest
from webtest import TestApp


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry(auth="users:") as registry:
        registry.add_user("alice", "correct horse")
        yield registry


@pytest.fixture
def client(fake: FakeRegistry) -> TestApp:
    return TestApp(fake.app)


def get(client: TestApp, *paths: str) -> None:
    for path in paths:
        client.get(path, status="*")


def message_of(failing: Callable[[], Any]) -> str:
    with pytest.raises(AssertionError) as caught:
        failing()
    return str(caught.value)


# -- assert_requested


def test_assert_requested_returns_the_requests_that_match(fake: FakeRegistry, client: TestApp) -> None:
    get(client, "/v1/_ping", "/v1/search", "/v1/search")
    assert fake.assert_requested("GET", "/v1/search") == fake.requests[1:]
    assert fake.assert_requested(route="ping", times=1) == fake.requests[:1]
    assert fake.assert_requested(path="*", user="", status=200) == fake.requests
    assert fake.assert_requested(api="v2", times=0) == []


def test_a_missing_request_shows_what_came_nearest(fake: FakeRegistry, client: TestApp) -> None:
    client.authorization = ("Basic", ("alice", "correct horse"))
    get(client, "/v1/_ping", "/v1/repositories/alice/app/tags", "/v1/repositories/alice/app/images", "/v2/")
    message = message_of(lambda: fake.assert_requested("PUT", "*/app/tags/1.0", user="alice", status=200))
    assert message == (
        "not requested: PUT */app/tags/1.0 of 'alice' with status 200\n"
        "nearest of 4:\n"
        "  GET /v2/ 200 (user alice)\n"
        "    method is GET, not PUT\n"
        "    path is /v2/, not */app/tags/1.0\n"
        "  GET /v1/repositories/alice/app/tags 404 (user alice)\n"
        "    method is GET, not PUT\n"
        "    path is /v1/repositories/alice/app/tags, not */app/tags/1.0\n"
        "    status is 404, not 200\n"
        "  GET /v1/repositories/alice/app/images 404 (user alice)\n"
        "    method is GET, not PUT\n"
        "    path is /v1/repositories/alice/app/images, not */app/tags/1.0\n"
        "    status is 404, not 200"
    )


def test_a_request_too_few_shows_those_that_came(fake: FakeRegistry, client: TestApp) -> None:
    get(client, "/v1/search")
    assert message_of(lambda: fake.assert_requested(route="get_search", times=2)) == (
        "requested 1 time, not 2 times: any request to route get_search\n"
        "  GET /v1/search 200\n"
        "no other request came"
    )


def test_no_request_at_all_is_said(fake: FakeRegistry) -> None:
    assert message_of(lambda: fake.assert_requested("GET")) == "not requested: GET\nno request came"


def test_a_single_other_request_is_shown(fake: FakeRegistry, client: TestApp) -> None:
    get(client, "/v1/_ping")
    assert message_of(lambda: fake.assert_requested("HEAD")) == (
        "not requested: HEAD\nthe only one that came:\n  GET /v1/_ping 200\n    method is GET, not HEAD"
    )


def test_assert_not_requested_shows_what_came(fake: FakeRegistry, client: TestApp) -> None:
    fake.assert_not_requested("GET")
    get(client, "/v1/_ping", "/v1/search?q=app")
    fake.assert_not_requested("PUT")
    assert message_of(lambda: fake.assert_not_requested(path="/v1/s*")) == (
        "must not be requested: any method /v1/s*\n  GET /v1/search?q=app 200"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "get"}, "method must be in capital letters"),
        ({"route": "get_serch"}, "such as get_search"),
        ({"path": "v1"}, "path must begin with"),
    ],
)
def test_what_can_match_nothing_is_rejected_by_each_assertion(
    fake: FakeRegistry, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fake.assert_requested(**arguments)
    with pytest.raises(ValueError, match=message):
        fake.assert_not_requested(**arguments)
    with pytest.raises(ValueError, match=message):
        fake.wait_for_request(**arguments)
    with pytest.raises(ValueError, match=message):
        fake.assert_requested_in_order(("GET", "*"), RequestPattern(**arguments))
    with pytest.raises(ValueError, match=message), fake.expect_requests(RequestPattern(**arguments)):
        pytest.fail("the block must not begin")
    with pytest.raises(ValueError, match=message):
        fake.requests.matching(**arguments)


def test_counts_below_their_bound_are_rejected(fake: FakeRegistry) -> None:
    with pytest.raises(ValueError, match="times must be 0 or more, not -1"):
        fake.assert_requested("GET", times=-1)
    with pytest.raises(ValueError, match="count must be at least 1, not 0"):
        fake.wait_for_request("GET", count=0)


def test_expectations_without_a_pattern_are_rejected(fake: FakeRegistry) -> None:
    with pytest.raises(ValueError, match="needs a pattern"):
        fake.assert_requested_in_order()
    with pytest.raises(ValueError, match="needs a pattern"), fake.expect_requests():
        pytest.fail("the block must not begin")


# -- order


def test_requests_in_order_may_have_others_between(fake: FakeRegistry, client: TestApp) -> None:
    get(client, "/v1/_ping", "/v1/search", "/v2/", "/v1/search", "/v1/_ping")
    found = fake.assert_requested_in_order(("GET", "/v1/search"), RequestPattern(route="ping", api="v1"))
    assert [request.number for request in found] == [2, 5]


def test_a_request_that_came_too_early_is_shown(fake: FakeRegistry, client: TestApp) -> None:
    get(client, "/v1/_ping", "/v1/search")
    failing = lambda: fake.assert_requested_in_order(("GET", "/v1/search"), ("GET", "/v1/_ping"))  # noqa: E731
    assert message_of(failing) == (
        "not requested after GET /v1/search 200: GET /v1/_ping, which is request 2 of 2\n"
        "it came too early:\n"
        "  GET /v1/_ping 200\n"
        "all that came:\n"
        "  GET /v1/_ping 200\n"
        "  GET /v1/search 200"
    )


def test_a_request_missing_in_an_order_shows_the_nearest(fake: FakeRegistry, client: TestApp) -> None:
    get(client, "/v1/_ping", "/v1/search")
    assert message_of(
        lambda: fake.assert_requested_in_order(("GET", "/v1/_ping"), ("PUT", "/v1/search"))
    ) == (
        "not requested after GET /v1/_ping 200: PUT /v1/search, which is request 2 of 2\n"
        "nearest of 2:\n"
        "  GET /v1/search 200\n"
        "    method is GET, not PUT\n"
        "  GET /v1/_ping 200\n"
        "    method is GET, not PUT\n"
        "    path is /v1/_ping, not /v1/search"
    )


def test_one_request_serves_one_pattern_of_an_order(fake: FakeRegistry, client: TestApp) -> None:
    get(client, "/v1/_ping")
    message = message_of(lambda: fake.assert_requested_in_order(("GET", "*"), ("GET", "*")))
    assert message.startswith("not requested after GET /v1/_ping 200: GET *, which is request 2 of 2")


def test_only_these_requests_may_come_in_order(fake: FakeRegistry, client: TestApp) -> None:
    get(client, "/v1/_ping", "/v1/search")
    fake.assert_requested_in_order(("GET", "/v1/_ping"), ("GET", "/v1/search"), only=True)
    assert message_of(lambda: fake.assert_requested_in_order(("GET", "/v1/search"), only=True)) == (
        "request 1 must be GET /v1/search\n"
        "it is GET /v1/_ping 200\n"
        "    path is /v1/_ping, not /v1/search\n"
        "all that came:\n"
        "  GET /v1/_ping 200\n"
        "  GET /v1/search 200"
    )
    assert message_of(lambda: fake.assert_requested_in_order(("GET", "/v1/_ping"), only=True)) == (
        "only one request must come; these came besides:\n  GET /v1/search 200"
    )


# -- expect_requests


def test_requests_of_a_block_are_returned_at_its_end(fake: FakeRegistry, client: TestApp) -> None:
    get(client, "/v1/search")
    with fake.expect_requests(("GET", "/v1/_ping"), ("GET", "/v1/search")) as found:
        get(client, "/v1/_ping", "/v2/", "/v1/search")
        assert found == []
    assert [request.number for request in found] == [2, 4]


def test_requests_before_a_block_do_not_count(fake: FakeRegistry, client: TestApp) -> None:
    get(client, "/v1/_ping")

    def block() -> None:
        with fake.expect_requests(("GET", "/v1/_ping")):
            get(client, "/v1/search")

    assert "nearest" not in message_of(block)
    assert message_of(block).splitlines()[:3] == [
        "not requested: GET /v1/_ping, which is request 1 of 1",
        "the only one that came:",
        "  GET /v1/search 200",
    ]


def test_a_log_cleared_within_a_block_has_only_newer_requests(fake: FakeRegistry, client: TestApp) -> None:
    get(client, "/v1/_ping", "/v1/_ping")
    with fake.expect_requests(("GET", "/v1/search"), only=True):
        fake.requests.clear()
        get(client, "/v1/search")


def test_an_error_of_a_block_is_not_replaced(fake: FakeRegistry) -> None:
    with pytest.raises(LookupError, match="the block's own"), fake.expect_requests(("GET", "/v1/_ping")):
        raise LookupError("the block's own")


def test_requests_in_any_order_need_one_for_each_pattern(fake: FakeRegistry, client: TestApp) -> None:
    with fake.expect_requests(("GET", "*"), ("GET", "/v1/*"), ("GET", "/v1/_ping"), in_order=False) as found:
        get(client, "/v1/_ping", "/v1/search", "/v2/")
    assert [request.path for request in found] == ["/v2/", "/v1/search", "/v1/_ping"]


def test_a_request_missing_in_any_order_is_shown(fake: FakeRegistry, client: TestApp) -> None:
    def missing() -> None:
        with fake.expect_requests(("GET", "/v1/search"), ("GET", "/v1/_ping"), in_order=False):
            get(client, "/v1/_ping")

    def too_few() -> None:
        with fake.expect_requests(("GET", "*"), ("GET", "/v1/_ping"), in_order=False):
            get(client, "/v1/_ping")

    assert message_of(missing) == (
        "not requested: GET /v1/search\n"
        "the only one that came:\n"
        "  GET /v1/_ping 200\n"
        "    path is /v1/_ping, not /v1/search"
    )
    assert message_of(too_few) == (
        "too few requests match GET /v1/_ping, because other patterns need them too:\n  GET /v1/_ping 200"
    )


def test_only_these_requests_may_come_in_any_order(fake: FakeRegistry, client: TestApp) -> None:
    def block(*paths: str) -> None:
        with fake.expect_requests(("GET", "/v1/_ping"), ("GET", "/v2/"), in_order=False, only=True):
            get(client, *paths)

    block("/v2/", "/v1/_ping")
    assert message_of(lambda: block("/v2/", "/v1/search", "/v1/_ping")) == (
        "only 2 requests must come; these came besides:\n  GET /v1/search 200"
    )


# -- waiting


def test_waiting_returns_a_request_that_came_before(fake: FakeRegistry, client: TestApp) -> None:
    get(client, "/v1/_ping", "/v1/search", "/v1/_ping")
    assert fake.wait_for_request("GET", "/v1/_ping", count=2, timeout_s=0) is fake.requests[2]


def test_waiting_ends_when_the_request_of_another_thread_is_finished(fake: FakeRegistry) -> None:
    url = f"{fake.url}/v1/_ping"
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(fake.wait_for_request, route="ping", count=2, timeout_s=60) for _ in range(3)]
        for _ in range(2):
            requests.get(url, timeout=30)
        assert [each.result() for each in waiting] == [fake.requests[1]] * 3


def test_the_request_of_an_asynchronous_client_is_waited_for(fake: FakeRegistry) -> None:
    async def ask() -> RecordedRequest:
        transport = fake.async_httpx_transport()
        async with httpx.AsyncClient(transport=transport, base_url="http://v1registry.test") as client:
            await client.get("/v1/_ping")
            return await asyncio.to_thread(fake.wait_for_request, route="ping")

    assert asyncio.run(ask()).response_body == b"{}"


def test_a_running_request_is_waited_for_until_its_end(fake: FakeRegistry) -> None:
    image = fake.add_image("alice/app", layer=b"x" * 3_000_000)
    may_read = threading.Event()

    def pull() -> None:
        with requests.get(
            f"{fake.url}/v1/images/{image.id}/layer", auth=("alice", "correct horse"), stream=True, timeout=30
        ) as answer:
            may_read.wait(30)
            assert len(answer.content) == 3_000_000

    with ThreadPoolExecutor(1) as pool:
        pulling = pool.submit(pull)
        message = message_of(lambda: fake.wait_for_request(route="get_layer", timeout_s=0.01))
        may_read.set()
        pulling.result()
    assert message.startswith("waited 0.01 s for any request to route get_layer; 0 are finished\n")
    assert fake.wait_for_request(route="get_layer").sent_bytes == 3_000_000


def test_a_request_that_does_not_end_in_time_shows_the_nearest(fake: FakeRegistry, client: TestApp) -> None:
    get(client, "/v1/_ping", "/v1/search")
    failing = lambda: fake.wait_for_request("GET", "/v1/_ping", count=2, timeout_s=0.01)  # noqa: E731
    assert message_of(failing) == (
        "waited 0.01 s for 2 of GET /v1/_ping; 1 is finished\n"
        "  GET /v1/_ping 200\n"
        "nearest of the others:\n"
        "  GET /v1/search 200\n"
        "    path is /v1/search, not /v1/_ping"
    )


# -- long logs


def a_log(count: int) -> list[RecordedRequest]:
    return [
        RecordedRequest("GET", f"/v1/{number}", "", {}, status=200, number=number, is_finished=True)
        for number in range(count)
    ]


def test_a_long_log_is_shown_in_part() -> None:
    assert listed(a_log(30)).splitlines() == [
        "  ...", *[f"  GET /v1/{number} 200" for number in range(10, 30)]
    ]  # fmt: skip
    assert described_nearest(RequestPattern("PUT"), a_log(5000)).splitlines()[:3] == [
        "nearest of 5000:",
        "  GET /v1/4999 200",
        "    method is GET, not PUT",
    ]
    assert len(described_nearest(RequestPattern("PUT"), a_log(5000)).splitlines()) == 7


def test_the_nearest_path_is_the_most_similar_one() -> None:
    log = a_log(3)
    log[1].path = "/v2/alice/app/tags/list"
    lines = described_nearest(RequestPattern("GET", "/v2/alice/app/tags/lists"), log).splitlines()
    assert lines[1] == "  GET /v2/alice/app/tags/list 200"


def test_texts_of_clients_are_shown_on_one_line_and_in_part() -> None:
    request = RecordedRequest("GET", "/v1/a\nb\x1b[2J\udc80", "", {}, status=404)
    assert str(request) == "GET /v1/a\\nb\\x1b[2J\\udc80 404"
    assert RequestPattern(path="/x").differences(request) == ["path is /v1/a\\nb\\x1b[2J\\udc80, not /x"]
    request.path = "/" + "x" * 100_000
    assert len(str(request)) < 1100
