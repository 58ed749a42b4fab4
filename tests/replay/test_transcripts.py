"""Exchanges of real engines with docker-registry 0.9 and with an index, replayed against this server."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.deviations import DEVIATIONS, unexplained
from support.replayer import Recording, of_v1, of_v2
from support.transcripts import (
    ENGINES,
    SAMPLE,
    SEARCHERS,
    all_index_scenarios,
    all_scenarios,
    scenarios,
    v2_mode_of,
)
from support.wire import Answer

from v1registry.wsgi.documents import dump_json

TARGETS = ("memory", "files", "socket")

CLIENTS = (*ENGINES, *SEARCHERS)

#: Engines that may fall back to v1.
_WITH_V1 = ("docker-0.", "docker-1.")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("client", "scenario"), [pair for pair in all_scenarios(*CLIENTS) if of_v1(*pair)])
def test_requests_are_answered_as_recorded(
    recordings: Callable[[str, str], Recording], target: str, client: str, scenario: str
) -> None:
    outcomes = recordings(target, client).outcomes(scenario)

    assert [outcome.exchange for outcome in outcomes] == of_v1(client, scenario)
    differences = [difference for outcome in outcomes for difference in outcome.differences]
    assert [str(difference) for difference in unexplained(differences)] == []


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("client", "scenario"), [pair for pair in all_scenarios(*CLIENTS) if of_v2(*pair)])
def test_DST_032_client_that_tries_v2_falls_back(
    recordings: Callable[[str, str], Recording], target: str, client: str, scenario: str
) -> None:
    _check_fallback(recordings(target, client), scenario, (200, b"{}"))


@pytest.mark.parametrize(("client", "scenario"), [pair for pair in all_index_scenarios() if of_v2(*pair)])
def test_DST_032_client_that_tries_v2_falls_back_with_accounts(
    index_recordings: Callable[[str, str], Recording], client: str, scenario: str
) -> None:
    error = {"code": "UNAUTHORIZED", "message": "Requires authorization", "detail": None}
    body = b"Requires authorization\n" if v2_mode_of(client) == "ping" else dump_json({"errors": [error]})
    _check_fallback(index_recordings("memory", client), scenario, (401, body))


def _check_fallback(recording: Recording, scenario: str, ping: tuple[int, bytes]) -> None:
    """Check the answers to requests under ``/v2/`` (decisions.md 8a, clients.md 8).

    :param ping: the answer to ``/v2/`` without credentials.
    """
    outcomes = recording.fallback(scenario)

    assert [outcome.exchange for outcome in outcomes] == of_v2(recording.client, scenario)
    differences = [difference for outcome in outcomes for difference in outcome.differences]
    assert [str(difference) for difference in unexplained(differences)] == []
    for outcome in outcomes:
        answer = outcome.answer
        assert isinstance(answer, Answer)
        assert answer.header("Docker-Distribution-Api-Version") is None
        if outcome.exchange.path == "/v2/":
            assert (answer.status, answer.body) == ping
        elif recording.client.startswith(_WITH_V1):
            assert (answer.status, answer.header("Content-Type")) == (404, "text/plain; charset=utf-8")
            assert not answer.body.startswith((b"{", b"["))
        else:
            assert (answer.status, answer.header("Content-Type")) == (404, "application/json")
            is_head = outcome.exchange.method == "HEAD"
            assert is_head or json.loads(answer.body)["errors"][0]["code"] == "UNSUPPORTED"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("client", "scenario"), [pair for pair in all_index_scenarios() if of_v1(*pair)])
def test_requests_to_an_index_are_answered_as_recorded(
    index_recordings: Callable[[str, str], Recording], target: str, client: str, scenario: str
) -> None:
    outcomes = index_recordings(target, client).outcomes(scenario)

    assert [outcome.exchange for outcome in outcomes] == of_v1(client, scenario)
    differences = [difference for outcome in outcomes for difference in outcome.differences]
    assert [str(difference) for difference in unexplained(differences)] == []


@pytest.mark.parametrize("target", TARGETS)
def test_REG_047_the_sample_is_answered_as_recorded(
    recordings: Callable[[str, str], Recording], target: str
) -> None:
    outcomes = recordings(target, SAMPLE).outcomes("sample")

    assert len(outcomes) == 67
    differences = [difference for outcome in outcomes for difference in outcome.differences]
    assert [str(difference) for difference in unexplained(differences)] == []


def test_every_row_of_the_deviations_is_needed(
    recordings: Callable[[str, str], Recording], index_recordings: Callable[[str, str], Recording]
) -> None:
    played = [
        (recordings("memory", client), scenario)
        for client in (*CLIENTS, SAMPLE)
        for scenario in scenarios(client)
    ]
    played += [(index_recordings("memory", client), scenario) for client, scenario in all_index_scenarios()]
    differences = [
        difference
        for recording, scenario in played
        for play in (recording.outcomes, recording.fallback)
        for outcome in play(scenario)
        for difference in outcome.differences
    ]

    idle = [row for row in DEVIATIONS if not any(map(row.covers, differences))]
    assert idle == []


def test_index_recordings_cover_login_push_and_pull() -> None:
    seen = {
        (exchange.answered_by, exchange.scenario, exchange.status)
        for pair in all_index_scenarios()
        for exchange in of_v1(*pair)
    }

    assert {
        ("index", "index-login-wrong-password", 401),
        ("index", "index-login-inactive-account", 403),
        ("index", "index-login-register-rejected", 400),
        ("index", "index-login-register", 201),
        ("index", "index-login-valid", 200),
        ("index", "index-push-unauthenticated", 401),
        ("index", "index-push-new", 204),
        ("index", "index-push-other-namespace", 403),
        ("index", "index-pull-private-denied", 404),
        ("registry", "index-pull-authenticated", 200),
        ("registry", "index-pull-anonymous", 200),
    } <= seen
