"""Endpoints of real engines that the fake does not simulate."""

from __future__ import annotations

import pytest
from v1registry_fakes.engine import FakeEngine
from webtest import TestApp


@pytest.mark.parametrize(
    ("method", "path", "what"),
    [
        ("GET", "/distribution/a/b/json", "asking a registry for an image"),
        ("GET", "/v1.41/containers/app/attach/ws", "attaching by a web socket"),
        ("GET", "/containers/app/checkpoints", "checkpoints"),
        ("POST", "/containers/app/checkpoints", "checkpoints"),
        ("DELETE", "/containers/app/checkpoints/one", "checkpoints"),
    ],
)
def test_RMT_005_an_endpoint_that_is_not_simulated_is_501(
    engine: FakeEngine, method: str, path: str, what: str
) -> None:
    answer = TestApp(engine.app).request(path, method=method, status=501)
    assert answer.json["message"] == f"{what} is not simulated by FakeEngine of v1registry_fakes"


def test_RMT_005_a_prune_of_builds_removes_nothing(engine: FakeEngine) -> None:
    answer = TestApp(engine.app).post("/v1.41/build/prune", status=200)
    assert answer.json == {"CachesDeleted": None, "SpaceReclaimed": 0}
