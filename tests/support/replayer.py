"""Replay recorded exchanges against this server and list the answers that differ.

The rules are those of ``tests/data/transcripts/README.md``. Tokens and hosts are replaced by those of this
server. Bodies of which only the digest was kept are replaced by others of the same size. Only headers that
clients need count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from support.deviations import ABSENT, Difference
from support.rebuilt_layer import RebuiltLayer, pieces
from support.transcripts import SEARCHERS, SEED_ENGINE, SEED_SCENARIOS, Body, Exchange, exchanges, scenarios
from support.wire import Answer, Transport, WireRequest
from v1registry import Registry, Storage

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: Headers that clients read, besides all X-Docker-….
COMPARED_HEADERS = ("WWW-Authenticate", "Content-Type", "Accept-Ranges", "Content-Range", "Location")

#: Engines that send several requests for images at once.
PARALLEL_CLIENTS = ("docker-1.9.1", "docker-1.12.6")
PARALLEL_REQUESTS = 5

#: Makes :func:`application_over` answer as a registry that redirects downloads of layers.
OFFLOAD_HEADER = "X-Replay-Offload"


def application_over(storage: Storage, host: Callable[[], str], v2: str = "on") -> WSGIApplication:
    """Return a registry over ``storage``; requests with OFFLOAD_HEADER go to one that redirects to itself.

    :param v2: the setting of that name.
    """
    plain = Registry(storage, v2=v2)
    offloading: list[Registry] = []

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.pop("HTTP_" + OFFLOAD_HEADER.upper().replace("-", "_"), None) is None:
            return plain(environ, start_response)
        if not offloading:
            offloading.append(Registry(storage, v2=v2, layer_redirect=f"http://{host()}/v1"))
        return offloading[0](environ, start_response)

    return application


# -- playing


@dataclass(frozen=True)
class Outcome:
    """The result of one replayed exchange. ``answer`` is None if the client was cut off."""

    exchange: Exchange
    answer: Answer | None
    differences: tuple[Difference, ...]


class Replayer:
    """Replays the exchanges of one client, in their order, against one server."""

    def __init__(self, transport: Transport):
        self.transport = transport
        self._tokens: dict[str, str] = {}  #: recorded value -> ours
        self._documents: dict[str, bytes] = {}  #: image id -> JSON as it was sent last
        self._layers: dict[str, bytes] = {}  #: image id -> layer as it was sent last
        self._rebuilt: dict[str, RebuiltLayer] = {}  #: image id -> layer in place of one that was not kept

    def play(self, recorded: Iterable[Exchange]) -> list[Outcome]:
        """Replay exchanges. Those that the client may have sent in any order are sent at once."""
        outcomes: list[Outcome] = []
        for is_parallel, group in groupby(recorded, self._is_independent):
            if not is_parallel:
                outcomes += map(self.play_one, group)
                continue
            with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
                outcomes += pool.map(self.play_one, group)
        return outcomes

    @staticmethod
    def _is_independent(exchange: Exchange) -> bool:
        return (
            exchange.client in PARALLEL_CLIENTS
            and exchange.method in ("GET", "HEAD")
            and exchange.image_id is not None
        )

    def play_one(self, exchange: Exchange) -> Outcome:
        """Replay one exchange and compare the answer."""
        request = self.request(exchange)
        answer = self.transport.send(request)
        if answer is None or request.break_off:
            return Outcome(exchange, answer, ())
        check_form(exchange, answer, is_cut=request.read_limit is not None)
        self._remember_token(exchange, answer)
        return Outcome(exchange, answer, tuple(self._differences(exchange, answer)))

    # -- requests

    def request(self, exchange: Exchange) -> WireRequest:
        """Return the request as it must be sent to this server."""
        body = self._body(exchange)
        recorded = exchange.request_body
        headers = [
            (name, self._sent_header(exchange, name, value)) for name, value in exchange.request_headers
        ]
        if exchange.is_answered_by_recorder and exchange.status == 302:
            headers.append((OFFLOAD_HEADER, "yes"))
        if recorded.transfer == "content-length" and exchange.header("Content-Length") is None:
            headers.append(("Content-Length", str(len(body))))
        is_cut_answer = not exchange.response_body.is_complete and exchange.response_body.is_cut_by_recorder
        return WireRequest(
            method=exchange.method,
            path=exchange.path,
            headers=tuple(headers),
            chunks=pieces(body, recorded.chunk_sizes),
            is_chunked=recorded.transfer == "chunked",
            break_off="error" if not recorded.is_complete else "",
            read_limit=exchange.response_body.length if is_cut_answer else None,
        )

    def _body(self, exchange: Exchange) -> bytes:
        recorded, image_id = exchange.request_body, exchange.image_id
        body = recorded.data
        if body is None:
            assert image_id is not None
            # the full length of a layer that was cut off is unknown
            whole = recorded.length if recorded.is_complete else 2 * recorded.length
            rebuilt = RebuiltLayer.of_size(whole, recorded.sha256 or "")
            body = rebuilt.body[: recorded.length]
            self._rebuilt[image_id] = rebuilt
        if exchange.method == "PUT" and image_id is not None:
            if exchange.path.endswith("/json"):
                self._documents[image_id] = body
            elif exchange.path.endswith("/layer"):
                self._layers[image_id] = body
                if recorded.data is not None:
                    self._rebuilt.pop(image_id, None)
        return body

    def _sent_header(self, exchange: Exchange, name: str, value: str) -> str:
        name = name.lower()
        if name in ("host", "x-docker-endpoints"):
            return value.replace(exchange.recorded_host, self.transport.host)
        if name == "authorization":
            for recorded, ours in self._tokens.items():
                value = value.replace(recorded, ours)
        layer = self._rebuilt.get(exchange.image_id or "")
        if layer is not None and exchange.path.endswith("/checksum"):
            document = self._documents[exchange.image_id or ""]
            if name == "x-docker-checksum":
                return layer.tarsum(document)
            if name == "x-docker-checksum-payload":
                return layer.sum_of_archive() if exchange.client == "docker-0.9.1" else layer.sum(document)
        return value

    # -- answers

    def _remember_token(self, exchange: Exchange, answer: Answer) -> None:
        ours = answer.header("X-Docker-Token")
        for name, value in exchange.response_headers:
            if name.lower() == "x-docker-token" and ours is not None:
                self._tokens[value] = ours

    def _differences(self, exchange: Exchange, answer: Answer) -> Iterator[Difference]:
        if exchange.is_answered_by_recorder:
            if exchange.status == 302:
                yield from self._compare(exchange, "status", str(exchange.status), str(answer.status))
                yield from self._header_differences(exchange, answer, ["location"])
            return
        if "status" not in exchange.changes:
            yield from self._compare(exchange, "status", str(exchange.status), str(answer.status))
        changed = {name.lower() for name, _ in exchange.changes.get("add", ())}
        changed.update(name.lower() for name in exchange.changes.get("strip", ()))
        names = [name.lower() for name, _ in (*exchange.response_headers, *answer.headers)]
        compared = dict.fromkeys(name for name in names if _is_compared(name) and name not in changed)
        yield from self._header_differences(exchange, answer, compared)
        if "body" not in exchange.changes and exchange.method != "HEAD":
            yield from self._body_differences(exchange, answer)

    @staticmethod
    def _compare(exchange: Exchange, what: str, recorded: str, ours: str) -> Iterator[Difference]:
        if recorded != ours:
            yield Difference(exchange, what, recorded, ours)

    def _header_differences(
        self, exchange: Exchange, answer: Answer, names: Iterable[str]
    ) -> Iterator[Difference]:
        recorded = Answer(exchange.status or 0, exchange.response_headers, b"")
        for name in names:
            yield from self._compare(
                exchange,
                name,
                self._comparable(name, self._expected_header(exchange, name, recorded.header(name))),
                self._comparable(name, answer.header(name)),
            )

    def _expected_header(self, exchange: Exchange, name: str, value: str | None) -> str | None:
        """Return the recorded value with the host of this server and the sums of rebuilt layers."""
        if value is None:
            return None
        if name in ("x-docker-endpoints", "location"):
            return value.replace(exchange.recorded_host, self.transport.host)
        layer = self._rebuilt.get(exchange.image_id or "")
        if layer is not None and name.startswith("x-docker-checksum"):
            document = self._documents[exchange.image_id or ""]
            value = re.sub(r"\btarsum\+sha256:\w+", layer.tarsum(document), value)
            value = re.sub(r"(?<!\+)\bsha256:\w+", layer.sum(document), value)
        return value

    @staticmethod
    def _comparable(name: str, value: str | None) -> str:
        """Return the part of a header that is compared."""
        if value is None:
            return ABSENT
        if name == "www-authenticate":
            return value.partition(" ")[0]
        if name == "x-docker-token":
            return re.sub(r"signature=[A-Za-z0-9._~-]+", "signature=…", value)
        if name == "location":
            # the recorder marked its own redirects in the query
            return urlsplit(value)._replace(query="").geturl()
        return value

    def _body_differences(self, exchange: Exchange, answer: Answer) -> Iterator[Difference]:
        expected, ours = self._expected_body(exchange), answer.body
        if exchange.response_body.is_cut_by_recorder:
            received = exchange.response_body.length
            expected, ours = expected[:received], ours[:received]
        is_image_data = re.search(r"/v1/images/\w+/(json|layer)$", exchange.path) and answer.status in (
            200,
            206,
        )
        if expected == ours:
            return
        if is_image_data:
            # these bytes come from a client; everything else may be formatted differently
            yield Difference(exchange, "body", expected.decode("latin-1"), ours.decode("latin-1"))
        elif exchange.path.startswith("/v1/search") and answer.status == 200:
            yield from _search_differences(exchange, json.loads(expected), json.loads(ours))
        else:
            yield from self._compare(
                exchange, "body", _comparable_text(exchange, expected), _comparable_text(exchange, ours)
            )

    def _expected_body(self, exchange: Exchange) -> bytes:
        recorded: Body = exchange.response_body
        if recorded.data is not None:
            return recorded.data
        assert exchange.image_id is not None
        layer = self._layers[exchange.image_id]
        asked = re.fullmatch(r"bytes=(\d+)-\d+", exchange.header("Range") or "bytes=0-0")
        assert asked is not None
        return layer[int(asked[1]) :]


def _is_compared(name: str) -> bool:
    return name.lower().startswith("x-docker-") or name.title() in map(str.title, COMPARED_HEADERS)


def _comparable_text(exchange: Exchange, body: bytes) -> str:
    """Return a body in a normal form: JSON and image lists are sorted, times are replaced."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return body.decode("latin-1")
    if isinstance(parsed, list) and exchange.path.endswith("/images"):
        parsed.sort(key=lambda element: (element["id"], json.dumps(element, sort_keys=True)))
    if isinstance(parsed, dict) and isinstance(parsed.get("last_update"), int):
        parsed["last_update"] = 0
    return json.dumps(parsed, sort_keys=True)


def _search_differences(
    exchange: Exchange, recorded: dict[str, Any], ours: dict[str, Any]
) -> Iterator[Difference]:
    """Compare search results. Hits have no fixed order."""

    def aspects(answer: dict[str, Any]) -> dict[str, str]:
        hits = sorted(answer["results"], key=lambda hit: str(hit["name"]).removeprefix("library/"))
        hits.sort(key=lambda hit: "/" not in str(hit["name"]).removeprefix("library/"))
        return {
            "fields of a search": " ".join(sorted(answer)),
            "fields of hits": " ".join(sorted({name for hit in hits for name in hit})),
            "names of hits": " ".join(hit["name"] for hit in hits),
            "descriptions": str({hit["description"] for hit in hits}),
            "query": answer["query"],
            "num_results": str(answer["num_results"]),
        }

    for (what, before), now in zip(aspects(recorded).items(), aspects(ours).values(), strict=True):
        if before != now:
            yield Difference(exchange, what, before, now)


def check_form(exchange: Exchange, answer: Answer, *, is_cut: bool = False) -> None:
    """Assert what holds for every answer, independent of the recording."""
    assert answer.status < 500, f"{exchange}: {answer}"
    assert answer.header("X-Docker-Registry-Version"), f"{exchange}: the version is missing"
    names = [name.lower() for name, _ in answer.headers]
    assert len(names) == len(set(names)), f"{exchange}: a header comes twice: {answer.headers}"
    length = answer.header("Content-Length")
    if answer.status in (204, 304):
        assert length is None, f"{exchange}: no body may follow, but there is a Content-Length"
        assert answer.body == b""
    elif exchange.method == "HEAD":
        assert answer.body == b"", f"{exchange}: a body follows the answer to HEAD"
    elif length is not None and not is_cut:
        assert int(length) == len(answer.body), f"{exchange}: Content-Length is {length}"
    assert answer.header("Set-Cookie") is None, f"{exchange}: no client needs a cookie"


class Recording:
    """Scenarios of one client. Each is played once, after those that were recorded before it.

    :param names: the scenarios in their order; None for all without an index.
    """

    def __init__(self, client: str, transport: Transport, names: Sequence[str] | None = None):
        self.client = client
        self.replayer = Replayer(transport)
        self._outcomes: dict[str, list[Outcome]] = {}
        self._left = list(scenarios(client) if names is None else names)
        self._is_seeded = False

    def outcomes(self, scenario: str) -> list[Outcome]:
        """Return the outcome of each exchange of a scenario under ``/v1/``."""
        while scenario not in self._outcomes:
            self._seed()
            name = self._left.pop(0)
            self._outcomes[name] = self.replayer.play(of_v1(self.client, name))
        return self._outcomes[scenario]

    def fallback(self, scenario: str) -> list[Outcome]:
        """Return the outcome of each exchange of a scenario under ``/v2/``. They change nothing."""
        return self.replayer.play(of_v2(self.client, scenario))

    def _seed(self) -> None:
        """Push the images that the recorded client found in its registry."""
        if self._is_seeded or self.client not in SEARCHERS:
            return
        self._is_seeded = True
        for name in SEED_SCENARIOS:
            self.replayer.play(of_v1(SEED_ENGINE, name))


def of_v1(client: str, scenario: str) -> list[Exchange]:
    """Return the exchanges of a scenario under ``/v1/``."""
    return [exchange for exchange in exchanges(client, scenario) if not exchange.is_of_v2]


def of_v2(client: str, scenario: str) -> list[Exchange]:
    """Return the exchanges of a scenario under ``/v2/``."""
    return [exchange for exchange in exchanges(client, scenario) if exchange.is_of_v2]
