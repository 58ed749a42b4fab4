"""Engines accept the answers of this server.

``tolerance.jsonl`` has altered answers of docker-registry, and whether the engines accepted them.
REQUIREMENTS are derived from it. Both directions are tested: this server's answers meet the requirements, and
each alteration that an engine rejected violates one of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from support.replayer import Outcome, Recording, of_v1
from support.transcripts import ENGINES, TRANSCRIPTS, read_lines
from support.wire import Answer, WireRequest

#: operation -> name of the change -> its entry
TOLERANCE: dict[str, dict[str, dict[str, Any]]] = {}
for _entry in read_lines(TRANSCRIPTS / "tolerance.jsonl"):
    TOLERANCE.setdefault(_entry["operation"], {})[_entry["name"]] = _entry

#: The host of the altered server, and the namespace that was pushed to.
RECORDED_HOST = "127.0.0.1:28301"
RECORDED_NAMESPACE = "probe"

#: The scenarios that show an operation.
SCENARIOS = {
    "push": ("push-new", "push-again"),
    "pull": ("pull-latest", "pull-all-tags"),
    "search": ("search-found",),
    "login": ("login-new-user",),
}


@dataclass(frozen=True)
class Asked:
    """A request and its answer."""

    method: str
    path: str
    host: str  #: as the client wrote it into Host
    answer: Answer

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.answer.body)
        except ValueError:
            return None


def names_one_endpoint(asked: Asked) -> bool:
    """Check that there is one endpoint: a push goes to all. Each is host and port without a scheme."""
    return asked.answer.header("X-Docker-Endpoints") == asked.host


def names_endpoint_first(asked: Asked) -> bool:
    """Check the first endpoint: a pull uses no other."""
    return (asked.answer.header("X-Docker-Endpoints") or "").split(",")[0].strip() == asked.host


def has_token(asked: Asked) -> bool:
    return bool(asked.answer.header("X-Docker-Token"))


def says_image_exists(asked: Asked) -> bool:
    return asked.answer.status != 200 and asked.json == {"error": "Image already exists"}


def is_no_v2(asked: Asked) -> bool:
    return asked.answer.header("Docker-Distribution-Api-Version") is None


def has_status(*statuses: int) -> Callable[[Asked], bool]:
    return lambda asked: asked.answer.status in statuses


#: operation -> method and path -> requirement
REQUIREMENTS: Mapping[str, Mapping[str, Callable[[Asked], bool]]] = {
    "push": {
        r"PUT /v1/repositories/[^/]+/[^/]+/": lambda asked: (
            has_status(200, 201)(asked) and has_token(asked) and names_one_endpoint(asked)
        ),
        r"PUT /v1/images/\w+/json": lambda asked: has_status(200)(asked) or says_image_exists(asked),
        r"PUT /v1/images/\w+/layer": has_status(200),
        r"PUT /v1/images/\w+/checksum": has_status(200),
        r"PUT /v1/repositories/.*/tags/[^/]+": has_status(200, 201),
        r"PUT /v1/repositories/.*/images": has_status(204),
        r"GET /v2/": is_no_v2,
    },
    "pull": {
        r"GET /v1/repositories/.*/images": lambda asked: (
            has_status(200)(asked) and isinstance(asked.json, list) and names_endpoint_first(asked)
        ),
        r"GET /v1/repositories/.*/tags": lambda asked: (
            has_status(200)(asked) and isinstance(asked.json, dict)
        ),
        r"GET /v1/repositories/.*/tags/[^/]+": lambda asked: (
            has_status(200)(asked) and isinstance(asked.json, str)
        ),
        r"GET /v1/images/\w+/ancestry": lambda asked: has_status(200)(asked) and bool(asked.json),
        r"GET /v1/images/\w+/json": lambda asked: (
            has_status(200)(asked)
            and re.fullmatch(r"\d+", asked.answer.header("X-Docker-Size") or "") is not None
        ),
        r"GET /v1/images/\w+/layer": has_status(200),
        r"GET /v2/": is_no_v2,
    },
    "search": {
        r"GET /v1/search\?.*": lambda asked: (
            has_status(200)(asked) and all("name" in hit for hit in asked.json["results"] or ())
        ),
        r"GET /v2/": is_no_v2,
    },
    "login": {
        r"POST /v1/users/": lambda asked: (
            has_status(201, 401)(asked)
            or (asked.answer.status, asked.answer.body) == (400, b'"Username or email already exists"')
        ),
        r"GET /v1/users/": has_status(200),
        r"GET /v2/": is_no_v2,
    },
}


def is_borne(operation: str, asked: Asked) -> bool:
    """Say whether every engine accepts this answer."""
    request = f"{asked.method} {asked.path}"
    return all(
        holds(asked) for pattern, holds in REQUIREMENTS[operation].items() if re.fullmatch(pattern, request)
    )


def altered(asked: Asked, changes: list[dict[str, Any]]) -> Asked:
    """Return the answer with the changes of the recorder."""
    status, headers, body = asked.answer.status, asked.answer.headers, asked.answer.body
    for change in changes:
        if not is_concerned(asked, change):
            continue
        status = change.get("status", status)
        body = change["body"].encode() if "body" in change else body
        stripped = {name.lower() for name in change.get("strip", ())}
        headers = tuple(header for header in headers if header[0].lower() not in stripped)
        headers += tuple(
            (name, value.replace(RECORDED_HOST, asked.host)) for name, value in change.get("add", ())
        )
    return Asked(asked.method, asked.path, asked.host, Answer(status, headers, body))


def is_concerned(asked: Asked, change: dict[str, Any]) -> bool:
    path = change["path_regex"].replace(RECORDED_NAMESPACE, "alice")
    return (
        re.fullmatch(change["method"], asked.method) is not None
        and re.search(path, asked.path.partition("?")[0]) is not None
    )


@pytest.fixture
def asked_by(recordings: Callable[[str, str], Recording]) -> Callable[[str, str], list[Asked]]:
    """Return the requests of an engine in an operation, with this server's answers."""

    def asked(operation: str, engine: str) -> list[Asked]:
        recording = recordings("memory", engine)
        outcomes: list[Outcome] = []
        for scenario in SCENARIOS[operation]:
            outcomes += recording.outcomes(scenario)
        if operation == "login" and engine != "docker-1.12.6":
            # these engines send GET only if POST does not answer 201
            outcomes += recording.replayer.play(of_v1("docker-1.12.6", "login-new-user"))
        host = recording.replayer.transport.host
        found = [
            Asked(outcome.exchange.method, outcome.exchange.path, host, outcome.answer)
            for outcome in outcomes
            if outcome.answer is not None
        ]
        ping = recording.replayer.transport.send(WireRequest("GET", "/v2/", (("Host", host),)))
        assert ping is not None
        return [*found, Asked("GET", "/v2/", host, ping)]

    return asked


#: docker 0.9 and 1.0 search only the Hub.
ASKING = [
    (operation, engine)
    for operation in TOLERANCE
    for engine in ENGINES
    if operation != "search" or engine not in ("docker-0.9.1", "docker-1.0.1")
]


@pytest.mark.parametrize(("operation", "engine"), ASKING)
def test_every_answer_is_accepted_by_all_engines(
    asked_by: Callable[[str, str], list[Asked]], operation: str, engine: str
) -> None:
    answers = asked_by(operation, engine)

    for asked in answers:
        assert is_borne(operation, asked), asked
    met = {
        pattern
        for pattern in REQUIREMENTS[operation]
        for asked in answers
        if re.fullmatch(pattern, f"{asked.method} {asked.path}")
    }
    # a single tag is requested from 1.9 on, and all tags only if all are pulled; 1.12 does not register
    rare = {r"GET /v1/repositories/.*/tags/[^/]+", r"POST /v1/users/"}
    assert set(REQUIREMENTS[operation]) - met <= rare


@pytest.mark.parametrize(
    ("operation", "name"), [(operation, name) for operation in TOLERANCE for name in TOLERANCE[operation]]
)
def test_requirements_match_the_tolerance_of_engines(
    asked_by: Callable[[str, str], list[Asked]], operation: str, name: str
) -> None:
    entry = TOLERANCE[operation][name]
    refused_by = {version for version, verdict in entry["clients"].items() if not verdict["succeeds"]}
    noticed_for = {
        version
        for version in entry["clients"]
        for asked in asked_by(operation, f"docker-{version}")
        if not is_borne(operation, altered(asked, entry["changed_answers"]))
    }

    if refused_by:
        assert refused_by <= noticed_for
    else:
        assert noticed_for == set()
