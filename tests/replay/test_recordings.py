"""The recordings have the format that ``tests/data/transcripts/README.md`` describes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from support.transcripts import DATA, ENGINES, SAMPLE, TRANSCRIPTS, Body, read_lines

SCENARIOS = sorted(path for path in TRANSCRIPTS.glob("*/*.jsonl") if path.stem != "commands")

EXCHANGE = {"seq", "connection", "method", "path", "request_headers", "request_body", "status"} | {
    "response_headers",
    "response_body",
}
OPTIONAL = {"version", "reason", "answered_by", "note"}
BODY = {"transfer", "length", "sha256", "encoding"}
OPTIONAL_IN_BODY = {"complete", "data", "chunks", "cut_by_recorder"}


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def check_body(recorded: dict[str, Any]) -> None:
    assert recorded.keys() >= BODY
    assert recorded.keys() <= BODY | OPTIONAL_IN_BODY
    body = Body.read(recorded)
    if body.data is None:
        assert body.length > 4096 or not body.is_complete
    else:
        assert len(body.data) == body.length
        if body.data:
            assert hashlib.sha256(body.data).hexdigest() == body.sha256


@pytest.mark.parametrize("path", SCENARIOS, ids=name_of)
def test_each_line_is_one_exchange(path: Path) -> None:
    rows = list(read_lines(path))

    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    for row in rows:
        assert row.keys() >= EXCHANGE
        assert row.keys() <= EXCHANGE | OPTIONAL
        if row["method"] is not None:
            check_body(row["request_body"])
            check_body(row["response_body"])
        for name, value in (*row["request_headers"], *row["response_headers"]):
            assert (type(name), type(value)) == (str, str)


@pytest.mark.parametrize("client", ENGINES)
def test_commands_name_each_scenario_and_its_exchanges(client: str) -> None:
    announced = {
        row["scenario"]: row["exchanges"] for row in read_lines(TRANSCRIPTS / client / "commands.jsonl")
    }
    recorded = {path.stem: len(list(read_lines(path))) for path in SCENARIOS if path.parent.name == client}

    assert announced == recorded


def test_the_sample_has_a_request_and_a_response_a_line() -> None:
    for row in read_lines(DATA / f"{SAMPLE}.jsonl"):
        assert row.keys() - {"note"} == {"request", "response"}


@pytest.mark.parametrize(("line", "complaint"), [("[1]", "must be a JSON object"), ("{", "Expecting")])
def test_a_malformed_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "recording.jsonl"
    path.write_text(f'{{"seq": 1}}\n{line}\n')

    with pytest.raises(ValueError, match=rf"recording\.jsonl:2: {complaint}"):
        list(read_lines(path))
