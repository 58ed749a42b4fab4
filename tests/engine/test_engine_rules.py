"""Rules of a test: invalid ones are rejected at the call, and programs that misbehave are reported."""

from __future__ import annotations

import math
from threading import Event
from typing import Any

import pytest
from v1registry_fakes.engine import FakeEngine, programs
from v1registry_fakes.engine.behaviours import Run
from webtest import TestApp


@pytest.mark.parametrize(
    ("values", "kind", "text"),
    [
        ({"logs": "abc"}, TypeError, "logs must be a list of lines, not 'abc'"),
        ({"logs": [("bogus", "x")]}, TypeError, "must be text, bytes or a pair"),
        ({"logs": [("stdout", 5)]}, TypeError, "must be text, bytes or a pair"),
        ({"logs": [5]}, TypeError, "must be text, bytes or a pair"),
        ({"program": 5}, TypeError, "program must be a function"),
        ({"exit_code": "x"}, TypeError, "an exit code must be a whole number, not 'x'"),
        ({"exit_code": 256}, ValueError, "an exit code must be from 0 to 255, not 256"),
        ({"exit_code": -1}, ValueError, "an exit code must be from 0 to 255, not -1"),
        ({"after_s": math.nan}, ValueError, "after_s must be 0 or more, not nan"),
        ({"after_s": math.inf}, ValueError, "after_s must be 0 or more, not inf"),
        ({"image": ""}, ValueError, "image must be a pattern of a name"),
    ],
)
@pytest.mark.parametrize("method", ["on_run", "on_exec"])
def test_RMT_075_an_invalid_rule_is_rejected_at_the_call(
    engine: FakeEngine, method: str, values: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        getattr(engine, method)(**{"image": "a/b"} | values)


def _run(engine: FakeEngine, program: Any) -> TestApp:
    """Start the container ``app``, which acts as a program says."""
    engine.add_image("a/b")
    engine.on_run("a/b", program)
    api = TestApp(engine.app)
    api.post_json("/containers/create?name=app", {"Image": "a/b"}, status=201)
    api.post("/containers/app/start", status=204)
    return api


@pytest.mark.parametrize("result", ["x", 300])
def test_RMT_075_check_reports_a_program_with_an_invalid_result(engine: FakeEngine, result: object) -> None:
    api = _run(engine, lambda run: result)
    assert api.post("/containers/app/wait").json["StatusCode"] == 1
    with pytest.raises(AssertionError, match="an exit code must be"):
        engine.check()


def test_RMT_075_check_names_a_program_that_ignores_its_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_PATIENCE_S", 0.05)
    goes_on = Event()

    def ignore(run: Run) -> None:
        goes_on.wait(10)

    engine = FakeEngine()
    _run(engine, ignore)
    engine.close()
    with pytest.raises(AssertionError, match=r"in app>\n.*must end when its run is stopped"):
        engine.check()
    goes_on.set()
