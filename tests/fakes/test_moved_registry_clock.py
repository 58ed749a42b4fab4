"""What expires in a FakeRegistry if a test moves its clock, in process and on the live port."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from v1registry_fakes import FakeRegistry, WSGISession

ALICE = ("alice", "secret")


@pytest.fixture
def v1registry_options() -> dict[str, Any]:
    return {"auth": "users:"}


@pytest.fixture(params=["in process", "live port"])
def session(request: pytest.FixtureRequest, v1registry: FakeRegistry) -> Iterator[requests.Session]:
    """Yield a session; relative URLs are those of the registry."""
    v1registry.add_user("alice")
    if request.param == "live port":
        with _LiveSession(v1registry.url) as live:
            yield live
    else:
        with WSGISession(v1registry.app) as in_process:
            yield in_process


class _LiveSession(requests.Session):
    def __init__(self, url: str):
        super().__init__()
        self._url = url

    def request(self, method: str, url: str, *arguments: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        return super().request(method, self._url + url, *arguments, timeout=20, **options)


def test_v1_token_expires_after_its_lifetime(v1registry: FakeRegistry, session: requests.Session) -> None:
    v1registry.add_image("alice/app:1")
    headers = {"X-Docker-Token": "true"}
    answer = session.get("/v1/repositories/alice/app/images", headers=headers, auth=ALICE)
    token = {"Authorization": f"Token {answer.headers['X-Docker-Token']}"}
    v1registry.clock.advance(minutes=59)
    assert session.get("/v1/repositories/alice/app/tags", headers=token).status_code == 200
    v1registry.clock.advance(minutes=2)
    assert session.get("/v1/repositories/alice/app/tags", headers=token).status_code == 401


def test_reset_puts_the_clock_back(v1registry: FakeRegistry) -> None:
    v1registry.clock.advance(days=400)
    v1registry.clock.freeze()
    v1registry.reset()
    assert not v1registry.clock.is_frozen
    assert abs(v1registry.clock.time_s() - time.time()) < 60


def test_two_registries_have_clocks_of_their_own(v1registry: FakeRegistry) -> None:
    with FakeRegistry() as other:
        other.clock.advance(days=1)
        assert abs(v1registry.clock.time_s() - time.time()) < 60
