"""The control API of a process that serves tests for a long time."""

from __future__ import annotations

import pytest
import requests
from v1registry_fakes import FakeRegistry, LiveServer
from v1registry_fakes.control.application import ControlledFake


@pytest.fixture
def live_control():
    """The URL of the control API of a fake on a live port."""
    with FakeRegistry() as fake, LiveServer(ControlledFake(fake)) as server:
        yield f"{server.url}/_fakes"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("repositories", b'{"name": "alice/app"}', 201),
        ("images", b'{"name": 5}', 400),
        ("images", b"{", 400),
        ("missing", b"{}", 404),
    ],
)
def test_200_bodies_in_a_row_are_accepted(live_control, path, body, status):
    with requests.Session() as session:
        answers = [session.post(f"{live_control}/{path}", body).status_code for _ in range(200)]

    assert set(answers) == {status}


@pytest.mark.parametrize("effect", [{"status": 500}, {"html": True}, {"redirect": "/x"}, {"body": "x"}])
def test_200_bodies_that_meet_a_fault_are_read(effect):
    with FakeRegistry() as fake, requests.Session() as session:
        url = f"{fake.url}/v1/repositories/alice/app/"
        with fake.fail("PUT", user="", **effect):
            answers = {
                session.put(url, b"[]", allow_redirects=False, timeout=10).status_code for _ in range(200)
            }

        assert len(answers) == 1
        assert fake.requests[-1].body == b"[]"
        assert session.put(url, b"[]").status_code == 200
