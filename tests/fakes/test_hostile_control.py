"""No request to the control API, the replayer or the transcripts gives a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import fields
from v1registry_fakes import FakeRegistry, ReplayedRegistry
from v1registry_fakes.control import bodies
from v1registry_fakes.control.application import ControlledFake
from v1registry_fakes.transcripts.masking import Masker
from webtest import TestApp

KINDS = {
    "images": bodies.NewImage,
    "tags": bodies.NewTag,
    "repositories": bodies.NewRepository,
    "artifacts": bodies.NewArtifact,
    "indexes": bodies.NewIndex,
    "users": bodies.NewUser,
    "applications": bodies.NewApplication,
    "consent": bodies.Consent,
    "faults": bodies.NewFault,
    "clock": bodies.ClockMove,
}

TEXTS = st.sampled_from(
    ["", "a", "alice/app:1.0", "alice/app", "linux/amd64", "v1", "v2", "sha256:" + "0" * 64, "ab" * 32, "*",
     "\0", "\n", "../x", "ä", "\ud800", "/", ":", "@", "https://a.example/", "2014-05-01T12:00:00Z",
     "GET", "full"]
) | st.text(max_size=20)  # fmt: skip
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, width=32)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)


@st.composite
def requests_of(draw: st.DrawFn) -> tuple[str, Any]:
    """A path and a body whose keys are known, and whose values are anything."""
    path = draw(st.sampled_from(sorted(KINDS)))
    keys = [known.name for known in fields(KINDS[path])]
    return path, draw(st.dictionaries(st.sampled_from(keys), VALUES, max_size=4))


@pytest.fixture(scope="module", params=["open:", "users:"])
def app(request: pytest.FixtureRequest) -> Any:
    with FakeRegistry(auth=request.param) as fake:
        yield TestApp(ControlledFake(fake))


@given(asked=requests_of())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_of_the_control_api_gives_a_500(app: TestApp, asked: tuple[str, Any]) -> None:
    path, body = asked
    method = "PUT" if path == "clock" else "POST"

    answer = app.request(f"/_fakes/{path}", method=method, body=json.dumps(body).encode(), expect_errors=True)

    assert answer.status_int in (200, 201, 400, 404, 409), (path, body, answer.text)
    if answer.status_int >= 400:
        assert answer.json["error"]
    for listed in ("contents", "requests?bodies=1", "faults", "clock"):
        assert app.get(f"/_fakes/{listed}").status_int == 200
    app.delete("/_fakes/faults")


@given(data=st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=100, deadline=None)
def test_masker_takes_every_body_and_header(data: bytes) -> None:
    text = data.decode("latin-1")
    for kind in ("application/json", "application/x-www-form-urlencoded", ""):
        assert isinstance(Masker().body(data, kind, "/x"), bytes)
    for name in ("Authorization", "Cookie", "Set-Cookie", "Location", "X-Docker-Token", "WWW-Authenticate"):
        ((_, value),) = Masker().headers([(name, text)])
        assert isinstance(value, str)


@given(
    method=st.sampled_from(["GET", "PUT", "HEAD", "OPTIONS"]),
    path=st.text(max_size=30),
    data=st.binary(max_size=30),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_replayer_answers_every_request(
    tmp_path_factory: pytest.TempPathFactory, method: str, path: str, data: bytes
) -> None:
    transcript = tmp_path_factory.getbasetemp() / "empty.jsonl"
    transcript.write_text("")
    with ReplayedRegistry(transcript) as replayed:
        environ = {
            "PATH_INFO": f"/{path}".encode("utf-8", "surrogatepass").decode("latin-1"),
            "QUERY_STRING": path[:5],
        }
        answer = TestApp(replayed.app).request(
            "/", method=method, body=data, environ=environ, expect_errors=True
        )

    assert answer.status_int == 404
