"""Read the recorded exchanges of real clients with docker-registry 0.9 from ``tests/data``.

The format is described in ``tests/data/transcripts/README.md``.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "data"
TRANSCRIPTS = DATA / "transcripts"

#: Whole engines, which push and pull. Each was recorded against its own registry, which was empty at first.
ENGINES = ("docker-0.9.1", "docker-1.0.1", "docker-1.3.3", "docker-1.9.1", "docker-1.12.6")

#: Clients that only search for images. They were recorded against a registry with images in it.
SEARCHERS = ("docker-20.10.24", "docker-28.2.2-cli", "podman-4.3.1", "skopeo-1.9.3")

#: The engine and the scenarios that push the images which the searching clients find.
SEED_ENGINE = "docker-1.9.1"
SEED_SCENARIOS = (
    "push-new",
    "push-library",
    "push-large-layer",
    "push-after-interruption",
    "push-with-cookies",
)

#: The exchanges of a plain HTTP client with docker-registry 0.9.1. They are read like those of one more
#: client.
SAMPLE = "http-docker-registry-0.9.1"
_SAMPLE_USER_AGENT = "docker/1.9.1 go/go1.4.3 git-commit/a34a1d5 kernel/3.16.0-4-amd64 os/linux arch/amd64"

#: The clients that use ``/v2/`` if it is there. They were recorded while it was not.
_WITH_V2 = ("docker-1.12.6", *SEARCHERS)


def v2_mode_of(client: str) -> str:
    """Return the setting ``v2`` of the server against which a client is replayed (DST-032)."""
    return "ping" if client in _WITH_V2 else "on"


_CHANGED = "changed by the recorder: "


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON Lines file.

    :raises ValueError: a line is not a JSON object. The message names the file and the line, from 1.
    """
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            value = json.loads(line)
        except ValueError as exc:
            raise ValueError(f"{path}:{number}: {exc}") from exc
        if not isinstance(value, dict):
            raise ValueError(f"{path}:{number}: must be a JSON object, not {line[:40]!r}")
        yield value


@dataclass(frozen=True)
class Body:
    """A recorded body. ``data`` is None if only length and digest were kept."""

    length: int
    sha256: str | None
    data: bytes | None
    transfer: str = "none"  #: none, content-length or chunked
    chunk_sizes: tuple[int, ...] = ()
    is_complete: bool = True
    is_cut_by_recorder: bool = False

    @classmethod
    def read(cls, recorded: Mapping[str, Any]) -> Body:
        """Return the body of one side of an exchange.

        :raises KeyError: a field is missing, or the encoding is unknown.
        """
        data = _DECODERS[recorded["encoding"]](recorded)
        return cls(
            length=recorded["length"],
            sha256=recorded["sha256"],
            data=data,
            transfer=recorded["transfer"],
            chunk_sizes=tuple(recorded.get("chunks", ())),
            is_complete=recorded.get("complete", True),
            is_cut_by_recorder=recorded.get("cut_by_recorder", False),
        )


_DECODERS: Mapping[str, Callable[[Mapping[str, Any]], bytes | None]] = {
    "empty": lambda recorded: b"",
    "text": lambda recorded: str(recorded["data"]).encode("utf-8"),
    "base64": lambda recorded: base64.b64decode(recorded["data"], validate=True),
    "digest-only": lambda recorded: None,
}


@dataclass(frozen=True)
class Exchange:
    """One request of a client and its answer. ``status`` is None if the connection broke before."""

    client: str
    scenario: str
    number: int
    method: str
    path: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: Body
    status: int | None
    response_headers: tuple[tuple[str, str], ...]
    response_body: Body
    note: str = ""
    answered_by: str = ""  #: index or registry, if the recording had both
    recorded_host: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)  #: what the recorder changed in the answer

    @property
    def request(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"

    @property
    def is_answered_by_recorder(self) -> bool:
        """Whether the recorder answered, and not the server."""
        return "answered by the recorder itself" in self.note

    @property
    def is_of_v2(self) -> bool:
        """Whether the request is under ``/v2/``."""
        return self.path.startswith("/v2/")

    @property
    def image_id(self) -> str | None:
        """The image id in the path, or None."""
        found = re.match(r"/v1/images/([0-9a-f]+)/", self.path)
        return found[1] if found else None

    def header(self, name: str) -> str | None:
        """Return the value of a request header, or None."""
        return {key.lower(): value for key, value in self.request_headers}.get(name.lower())

    def __str__(self) -> str:
        return f"{self.client} {self.scenario} {self.number}: {self.request}"


@functools.cache
def exchanges(client: str, scenario: str) -> tuple[Exchange, ...]:
    """Return a scenario's exchanges in the order of recording, without the attempts to speak TLS.

    :raises ValueError: a line of the recording is not a JSON object.
    :raises KeyError: a field of an exchange is missing.
    """
    if client == SAMPLE:
        return _sample()
    rows = read_lines(TRANSCRIPTS / client / f"{scenario}.jsonl")
    return tuple(_exchange(client, scenario, row) for row in rows if row["method"] is not None)


def _exchange(client: str, scenario: str, row: Mapping[str, Any]) -> Exchange:
    note = row.get("note", "")
    headers = tuple((name, value) for name, value in row["request_headers"])
    return Exchange(
        client=client,
        scenario=scenario,
        number=row["seq"],
        method=row["method"],
        path=row["path"],
        request_headers=headers,
        request_body=Body.read(row["request_body"]),
        status=row["status"],
        response_headers=tuple((name, value) for name, value in row["response_headers"]),
        response_body=Body.read(row["response_body"]),
        note=note,
        answered_by=row.get("answered_by", ""),
        recorded_host=dict(headers).get("Host", ""),
        changes=json.loads(note.removeprefix(_CHANGED)) if note.startswith(_CHANGED) else {},
    )


def _sample() -> tuple[Exchange, ...]:
    rows = list(read_lines(DATA / f"{SAMPLE}.jsonl"))
    endpoint = next(
        row["response"]["headers"]["X-Docker-Endpoints"]
        for row in rows
        if "X-Docker-Endpoints" in row["response"]["headers"]
    )

    def body(side: Mapping[str, Any]) -> Body:
        data = base64.b64decode(side["body_b64"]) if "body_b64" in side else side.get("body", "").encode()
        headers = side["headers"]
        transfer = "none"
        if headers.get("Transfer-Encoding") == "chunked":
            transfer = "chunked"
        elif data or "Content-Length" in headers:
            transfer = "content-length"
        return Body(len(data), None, data, transfer)

    return tuple(
        Exchange(
            client=SAMPLE,
            scenario="sample",
            number=number,
            method=row["request"]["method"],
            path=row["request"]["path"],
            request_headers=(
                ("Host", endpoint),
                ("User-Agent", _SAMPLE_USER_AGENT),
                *row["request"]["headers"].items(),
            ),
            request_body=body(row["request"]),
            status=row["response"]["status"],
            response_headers=tuple(row["response"]["headers"].items()),
            response_body=body(row["response"]),
            note=row.get("note", ""),
            recorded_host=endpoint,
        )
        for number, row in enumerate(rows)
    )


@functools.cache
def _recorded(client: str) -> tuple[str, ...]:
    """Return the names of a client's scenarios: in the order of recording if that matters, else sorted."""
    commands = TRANSCRIPTS / client / "commands.jsonl"
    if commands.exists():
        return tuple(row["scenario"] for row in read_lines(commands))
    return tuple(sorted(path.stem for path in (TRANSCRIPTS / client).glob("*.jsonl")))


def scenarios(client: str) -> tuple[str, ...]:
    """Return the scenarios that were recorded against a registry without accounts, in their order."""
    if client == SAMPLE:
        return ("sample",)
    return tuple(name for name in _recorded(client) if not name.startswith("index-"))


def index_scenarios(client: str) -> tuple[str, ...]:
    """Return the scenarios that were recorded against an index with accounts, in their order."""
    return tuple(name for name in _recorded(client) if name.startswith("index-"))


def all_index_scenarios() -> list[tuple[str, str]]:
    """Return (client, scenario) for every scenario with an index."""
    return [(client, scenario) for client in ENGINES for scenario in index_scenarios(client)]


def all_scenarios(*clients: str) -> list[tuple[str, str]]:
    """Return (client, scenario) for every scenario of the clients."""
    return [(client, scenario) for client in clients for scenario in scenarios(client)]
