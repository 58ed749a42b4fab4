"""The control API below /_fakes/: requests, faults and the clock."""

from __future__ import annotations

import json
import threading

import pytest
from support.control_requests import post, refused
from v1registry_fakes.control.application import ControlledFake
from webtest import TestApp


def test_requests_of_clients_alone_are_listed_and_forgotten(control):
    post(control, "images", {"name": "alice/app:1.0"})
    control.get("/v1/repositories/alice/app/tags?a=b", headers={"User-Agent": "docker/1.9.1"})
    control.get("/v1/_ping")

    (found,) = control.get("/_fakes/requests?path=*/tags&method=GET&status=200").json

    assert (found["method"], found["path"], found["query"]) == (
        "GET",
        "/v1/repositories/alice/app/tags",
        "a=b",
    )
    assert found["headers"]["User-Agent"] == "docker/1.9.1"
    assert (found["status"], found["error"]) == (200, None)
    assert ["Content-Type", "application/json"] in found["response_headers"]
    assert len(control.get("/_fakes/requests").json) == 2
    assert control.delete("/_fakes/requests").status_int == 204
    assert control.get("/_fakes/requests").json == []


def test_clock_is_set_moved_and_frozen(control, registry):
    moved = control.put_json(
        "/_fakes/clock", {"now": "2014-05-01T12:00:00Z", "advance_s": 90, "is_frozen": True}
    ).json
    shown = control.get("/_fakes/clock").json
    running = control.put_json("/_fakes/clock", {"is_frozen": False}).json

    assert moved["now"].startswith("2014-05-01T12:01:30")
    assert shown == moved
    assert (moved["is_frozen"], running["is_frozen"]) == (True, False)
    assert registry.clock.now().year == 2014


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"now": "yesterday"}, "Invalid RFC3339 encoded datetime - at `$.now`"),
        ({"now": "2014-05-01T12:00:00"}, "Expected `datetime` with a timezone component - at `$.now`"),
        ({"advance_s": -1}, "Expected `float` >= 0.0 - at `$.advance_s`"),
        ({"advance_s": 1e300}, "must end before the year 10000"),
        ({"now": "9999-12-31T23:59:59Z", "advance_s": 10}, "the year 10000"),
    ],
)
def test_invalid_move_of_the_clock_is_rejected(control, body, text):
    assert text in control.put_json("/_fakes/clock", body, status=400).json["error"]
    assert control.get("/_fakes/clock").status_int == 200


def test_requests_are_selected_by_route_and_user(with_users):
    control = TestApp(ControlledFake(with_users))
    post(control, "users", {"username": "alice", "password": "pw"})
    control.get("/v1/_ping")
    control.authorization = ("Basic", ("alice", "pw"))
    control.get("/v1/users/")

    (found,) = control.get("/_fakes/requests?user=alice&api=hub").json
    (same,) = control.get(f"/_fakes/requests?route={found['route']}").json

    assert (found["path"], found["user"], found["api"]) == ("/v1/users/", "alice", "hub")
    assert same == found
    assert control.get("/_fakes/requests?api=x", status=400).json["error"]


def test_faults_are_set_listed_and_undone(control):
    one = post(control, "faults", {"method": "GET", "path": "*/_ping", "status": 503, "times": 2})
    two = post(control, "faults", {"path": "/v2/", "body": {"a": 1}, "headers": {"X-A": "b"}})

    statuses = [control.get("/v1/_ping", expect_errors=True).status_int for _ in range(3)]
    answer = control.get("/v2/")
    listed = control.get("/_fakes/faults").json
    undone = control.delete(f"/_fakes/faults/{one['id']}").json
    left = control.get("/_fakes/faults").json

    assert statuses == [503, 503, 200]
    assert (answer.json, answer.headers["X-A"]) == ({"a": 1}, "b")
    assert one["fault"] == "GET */_ping: status=503, times=2"
    assert [(each["id"], each["count"]) for each in listed] == [(one["id"], 2), (two["id"], 1)]
    assert undone == {**one, "count": 2}
    assert [each["id"] for each in left] == [two["id"]]
    assert control.delete("/_fakes/faults").status_int == 204
    assert control.get("/_fakes/faults").json == []
    assert (
        control.delete(f"/_fakes/faults/{two['id']}", status=404)
        .json["error"]
        .startswith("There is no fault")
    )


def test_reset_undoes_faults(control):
    post(control, "faults", {"status": 500})
    control.post("/_fakes/reset", status=204)

    assert control.get("/v1/_ping").status_int == 200
    assert control.get("/_fakes/faults").json == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "fail() needs an effect"),
        ({"status": 99}, "status"),
        ({"status": 500, "route": "no_such_row"}, "no_such_row"),
        ({"status": 500, "times": 0}, "times must be 1 or more, not 0"),
        ({"storage": "broken"}, "Invalid enum value 'broken' - at `$.storage`"),
        ({"headers": {"X": "\ud800"}}, "half of a surrogate pair"),
        ({"headers": {"X": "a\r\nb"}}, "a header must be one line of Latin-1"),
        ({"body": "a\udfff"}, "half of a surrogate pair"),
        ({"redirect": "a\nb"}, "a header must be one line of Latin-1"),
        ({"api": "v3", "status": 500}, "Invalid enum value 'v3' - at `$.api`"),
    ],
)
def test_invalid_fault_is_rejected_with_its_reason(control, body, text):
    assert text in refused(control, "faults", body)
    assert control.get("/_fakes/faults").json == []


def test_faults_are_bounded(control, monkeypatch):
    monkeypatch.setattr("v1registry_fakes.control.faults.MOST_FAULTS", 1)
    post(control, "faults", {"status": 500})

    assert "At most 1 faults" in refused(control, "faults", {"status": 500})


def test_bodies_of_requests_are_shown(control):
    control.put(f"/v1/images/{'ab' * 32}/json", json.dumps({"id": "ab" * 32}))
    control.put(f"/v1/images/{'ab' * 32}/layer", b"\xff\0")
    control.put(f"/v1/images/{'ab' * 32}/layer", b"x" * 70_000, expect_errors=True)

    one, two, three = control.get("/_fakes/requests?bodies=1").json
    plain = control.get("/_fakes/requests?bodies=0").json

    assert json.loads(one["body"]) == {"id": "ab" * 32}
    assert (one["received_bytes"], one["is_body_complete"], one["is_finished"]) == (74, True, True)
    assert one["sent_bytes"] == len(one["response_body"])
    assert two["body"] == {"base64": "/wA="}
    assert three["body"] is None
    assert "body" not in plain[0]


def test_requests_are_waited_for(control, registry):
    threading.Timer(0.05, lambda: [TestApp(registry.app).get("/v1/_ping") for _ in range(2)]).start()

    found = control.get("/_fakes/requests?path=*/_ping&wait_s=30&count=2").json
    missing = control.get("/_fakes/requests?path=*/tags&wait_s=0", status=404).json["error"]

    assert [each["path"] for each in found] == ["/v1/_ping", "/v1/_ping"]
    assert "waited 0 s for" in missing


def test_token_of_a_client_expires_by_the_clock(with_users):
    control = TestApp(ControlledFake(with_users))
    post(control, "users", {"username": "alice", "password": "pw"})
    post(control, "images", {"name": "alice/app", "api": "v2"})
    control.authorization = ("Basic", ("alice", "pw"))
    token = control.get("/v2/token?scope=repository:alice/app:pull&service=x").json["token"]
    control.authorization = ("Bearer", token)
    path = "/v2/alice/app/manifests/latest"
    assert control.get(path).status_int == 200

    control.put_json("/_fakes/clock", {"advance_s": 86400})

    assert control.get(path, expect_errors=True).status_int == 401
