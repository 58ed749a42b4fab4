"""Which requests a fault hits, how faults combine, and how they end."""

from __future__ import annotations

import threading

import pytest
import requests
from v1registry_fakes import FakeRegistry, LiveServer, WSGISession

from v1registry import errors

PING = "/v1/_ping"


@pytest.fixture
def session(registry):
    with WSGISession(registry.app) as session:
        yield session


def statuses(session, count, path=PING):
    return [session.get(path).status_code for _ in range(count)]


# -- which requests


@pytest.mark.parametrize(
    ("pattern", "hit"),
    [
        ({}, True),
        ({"method": "GET"}, True),
        ({"method": "PUT"}, False),
        ({"path": PING}, True),
        ({"path": "*/_ping"}, True),
        ({"path": "/v2/*"}, False),
        ({"route": "ping"}, True),
        ({"route": "get_layer"}, False),
        ({"api": "v1"}, True),
        ({"api": "v2"}, False),
        ({"method": "GET", "path": "/v1/*", "route": "ping", "api": "v1"}, True),
        ({"method": "GET", "api": "hub"}, False),
        ({"user": ""}, True),
        ({"user": "alice"}, False),
    ],
)
def test_a_fault_hits_requests_with_each_given_property(registry, session, pattern, hit):
    fault = registry.fail(**pattern, status=503)
    assert statuses(session, 1) == [503 if hit else 200]
    assert fault.count == hit


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_user_is_that_of_the_credentials(api):
    path = "/v2/" if api == "v2" else "/v1/repositories/alice/app/images"
    with FakeRegistry(auth="users:") as registry, WSGISession(registry.app) as session:
        for name in ("alice", "robert"):
            registry.add_user(name)
        registry.add_image("alice/app:1")
        registry.fail(user="alice", status=503)
        expected = {"alice": 503, "robert": 200}
        assert {name: session.get(path, auth=(name, "secret")).status_code for name in expected} == expected


def test_user_is_found_in_a_token():
    with FakeRegistry(auth="users:") as registry, WSGISession(registry.app) as session:
        registry.add_user("alice")
        registry.add_image("alice/app:1")
        login = {"auth": ("alice", "secret"), "headers": {"X-Docker-Token": "true"}}
        token = session.get("/v1/repositories/alice/app/images", **login).headers["X-Docker-Token"]
        registry.fail(user="alice", status=503)
        headers = {"Authorization": f"Token {token}"}
        assert session.get("/v1/repositories/alice/app/tags", headers=headers).status_code == 503
        assert session.get("/v1/repositories/alice/app/tags").status_code == 200


def test_after_and_times_limit_the_hits(registry, session):
    fault = registry.fail(status=503, after=1, times=2)
    assert statuses(session, 5) == [200, 503, 503, 200, 200]
    assert fault.count == 2


def test_other_requests_do_not_count_for_after_and_times(registry, session):
    registry.fail(path=PING, status=503, after=1, times=1)
    assert statuses(session, 3, "/v1/search") == [200, 200, 200]
    assert statuses(session, 3) == [200, 503, 200]


def test_probability_follows_the_seed(registry, session):
    sequences = []
    for seed in (1, 1, 2):
        with registry.fail(status=503, probability=0.5, seed=seed):
            sequences.append(statuses(session, 40))
    assert sequences[0] == sequences[1] != sequences[2]
    assert 8 < sequences[0].count(503) < 32


@pytest.mark.parametrize(("probability", "status"), [(0, 200), (1, 503)])
def test_probability_0_never_and_1_always_hits(registry, session, probability, status):
    registry.fail(status=503, probability=probability)
    assert statuses(session, 10) == [status] * 10


def test_times_is_exact_for_parallel_requests(registry):
    fault = registry.fail(status=503, times=5)
    found = []

    def ask():
        with WSGISession(registry.app) as session:
            found.extend(statuses(session, 5))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found.count(503), fault.count) == (5, 5)


def test_a_head_request_is_its_own_method(registry, session):
    registry.fail("GET", PING, status=503)
    assert session.head(PING).status_code == 200


# -- what a fault tells


def test_a_fault_keeps_the_requests_that_it_hit(registry, session):
    fault = registry.fail(path=PING, status=503)
    session.get(PING)
    session.get("/v1/search")
    assert [request.path for request in fault.requests] == [PING]
    assert fault.requests == [registry.requests[0]]


def test_a_recorded_request_names_its_faults(registry, session):
    registry.fail("GET", PING, status=503, times=1)
    registry.fail("GET", PING, headers={"X-Kept": "no"})
    statuses(session, 3)
    registry.faults.clear()
    statuses(session, 1)
    headers = "GET /v1/_ping: headers={'X-Kept': 'no'}"
    assert [request.fault for request in registry.requests] == [
        f"GET /v1/_ping: status=503, times=1; {headers}",
        headers,
        headers,
        None,
    ]


def test_a_description_names_the_faults_and_their_hits(registry, session):
    registry.fail("GET", PING, status=503, times=1)
    registry.fail("GET", "*/layer", status=500)
    statuses(session, 2)
    lines = registry.describe().splitlines()
    first = lines.index("faults: 2")
    assert lines[first + 1 : first + 3] == [
        "  GET /v1/_ping: status=503, times=1 (hit 1)",
        "  GET */layer: status=500 (hit 0)",
    ]


def test_an_application_of_oauth_is_not_taken_for_a_user():
    with FakeRegistry(auth="users:") as registry, WSGISession(registry.app) as session:
        fault = registry.fail(user="", status=503)
        answer = session.post("/api/v1.1/o/token/", auth=("alice", "secret"))
        assert (answer.status_code, fault.count) == (503, 1)


def test_faults_are_listed_in_order(registry):
    first, second = registry.fail("GET", "*/layer", status=500), registry.fail(delay_s=3, after=2)
    assert list(registry.faults) == [first, second]
    assert (registry.faults[1], registry.faults[-2:], len(registry.faults)) == (second, (first, second), 2)
    assert repr(registry.faults).splitlines() == [
        "<2 faults>",
        "  GET */layer: status=500",
        "  any request: delay_s=3, after=2",
    ]
    assert repr(first) == "<Fault GET */layer: status=500; it hit 0 requests>"


# -- several faults


def test_effects_of_all_faults_combine(registry, session):
    registry.fail(status=503, retry_after_s=3)
    registry.fail(headers={"X-Proxy": "yes"})
    answer = session.get(PING)
    assert (answer.status_code, answer.headers["Retry-After"], answer.headers["X-Proxy"]) == (503, "3", "yes")


@pytest.mark.parametrize("first", ["status", "success", "html", "redirect"])
def test_the_first_answer_is_used(registry, session, first):
    answers = {
        "status": ({"status": 429}, 429),
        "success": ({"status": 203}, 203),
        "html": ({"html": True}, 502),
        "redirect": ({"redirect": "http://other.test/"}, 302),
    }
    effects, expected = answers.pop(first)
    registry.fail(**effects)
    for effects, _ in answers.values():
        registry.fail(**effects)
    assert session.get(PING, allow_redirects=False).status_code == expected


def test_the_first_body_is_used(registry, session):
    registry.fail(body="first")
    registry.fail(body="second")
    assert session.get(PING).text == "first"


# -- the end of a fault


def test_a_fault_ends_with_its_block(registry, session):
    with registry.fail(status=503) as fault:
        assert statuses(session, 1) == [503]
    assert statuses(session, 1) == [200]
    assert (fault.is_undone, len(registry.faults)) == (True, 0)


def test_undo_removes_one_fault(registry, session):
    first, second = registry.fail(status=503), registry.fail(status=429)
    first.undo()
    first.undo()
    assert statuses(session, 1) == [429]
    assert list(registry.faults) == [second]


@pytest.mark.parametrize("end", ["clear", "reset", "close"])
def test_clear_reset_and_close_undo_all_faults(end):
    with FakeRegistry() as registry, WSGISession(registry.app) as session:
        faults = [registry.fail(status=503), registry.fail("GET", "*/layer", status=500)]
        registry.faults.clear() if end == "clear" else getattr(registry, end)()
        assert statuses(session, 1) == [200]
        assert [fault.is_undone for fault in faults] == [True, True]
        assert len(registry.faults) == 0


def test_helpers_of_the_fake_meet_no_faults():
    with FakeRegistry(auth="users:") as registry:
        registry.fail(storage="unavailable")
        registry.fail(status=500)
        registry.add_user("alice")
        image = registry.add_image("alice/app:1", files={"etc/motd": "hello"})
        registry.add_image("alice/other:1", api="v2")
        assert registry.image("alice/app:1").files == image.files
        assert len(registry.requests) == 0


def test_a_fault_is_no_failure_of_the_registry(registry, session):
    registry.fail(path=PING, status=500, times=1)
    registry.fail(path=PING, cut_after_bytes=1, after=1)
    session.get(PING)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        session.get(PING)
    registry.check()


def test_faults_of_one_registry_leave_others_alone():
    with LiveServer() as server, FakeRegistry(server=server) as one, FakeRegistry() as other:
        one.fail(status=503)
        assert requests.get(f"{one.url}{PING}", timeout=10).status_code == 503
        assert requests.get(f"{other.url}{PING}", timeout=10).status_code == 200


# -- invalid faults


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "fail() needs an effect, such as status=500, delay_s=30 or cut_after_bytes=0"),
        ({"times": 2}, "fail() needs an effect"),
        ({"status": 199}, "status must be from 200 to 599, not 199"),
        ({"status": 600}, "status must be from 200 to 599, not 600"),
        ({"error": "no"}, "error is the text of an answer with a status of 400 or more: give that too"),
        ({"error": "no", "status": 200}, "error is the text of an answer with a status of 400 or more"),
        (
            {"error": errors.OutOfSpace(), "status": 500},
            "error has the status 507, so status must not be 500",
        ),
        ({"html": True, "body": "x"}, "html is a whole page: error and body exclude it"),
        ({"redirect": "/x", "html": True}, "redirect excludes error and html"),
        ({"redirect": "/x", "status": 500}, "the status of a redirect must be from 300 to 399, not 500"),
        (
            {"redirect": "/x\r\nSet-Cookie: a"},
            "a header must be one line of Latin-1, not '/x\\r\\nSet-Cookie: a'",
        ),
        ({"storage": "slow"}, "storage must be 'full' or 'unavailable', not 'slow'"),
        ({"retry_after_s": -1}, "retry_after_s must be 0 or more, not -1"),
        ({"delay_s": -1}, "delay_s must be 0 or more, not -1"),
        ({"bytes_per_second": 0}, "bytes_per_second must be above 0, not 0"),
        ({"cut_after_bytes": -1}, "cut_after_bytes must be 0 or more, not -1"),
        ({"headers": {"X Y": "z"}}, "a header must have a name, not 'X Y'"),
        ({"headers": {"X-Y": "a\nb"}}, "a header must be one line of Latin-1, not 'a\\nb'"),
        ({"headers": {"X-Y": "\N{SNOWMAN}"}}, "a header must be one line of Latin-1, not '\N{SNOWMAN}'"),
        ({"doubled_header": ""}, "a header must have a name, not ''"),
        ({"status": 500, "after": -1}, "after must be 0 or more, not -1"),
        ({"status": 500, "times": 0}, "times must be 1 or more, not 0"),
        ({"status": 500, "probability": 1.5}, "probability must be from 0 to 1, not 1.5"),
        ({"status": 500, "method": "get"}, "method must be in capital letters: 'GET', not 'get'"),
        ({"status": 500, "route": "get_layers"}, "such as get_layer,"),
    ],
)
def test_an_invalid_fault_is_rejected(registry, options, problem):
    with pytest.raises(ValueError) as failure:
        registry.fail(**options)
    assert problem in str(failure.value)
    assert len(registry.faults) == 0


def test_all_problems_of_a_fault_are_told_at_once(registry):
    with pytest.raises(ValueError) as failure:
        registry.fail(status=1, delay_s=-1, headers={"": "x"})
    assert len(str(failure.value).splitlines()) == 3
