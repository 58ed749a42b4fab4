"""All differences between the answers of this server and the recorded ones, with the reasons."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from support.transcripts import SAMPLE, Exchange

#: The value of a missing header.
ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    """One difference between an answer and the recorded one. Values are text: a status, a header, JSON."""

    exchange: Exchange
    what: str  #: ``status``, ``body``, or the name of a header
    recorded: str
    ours: str

    def __str__(self) -> str:
        return f"{self.exchange}: {self.what} was {self.recorded[:300]!r} and is {self.ours[:300]!r}"


@dataclass(frozen=True)
class Deviation:
    """A row of the table. Except ``what`` and ``reason``, fields are regular expressions for full matches."""

    what: str
    client: str
    request: str
    change: str  #: the recorded value, `` => ``, the value of this server
    reason: str
    answered_by: str = ".*"  #: index or registry, if the recording had both

    def covers(self, difference: Difference) -> bool:
        """Say whether this row explains the difference."""
        return self.what == difference.what and all(
            re.fullmatch(pattern, text, re.DOTALL) is not None
            for pattern, text in (
                (self.client, difference.exchange.client),
                (self.request, difference.exchange.request),
                (self.change, f"{difference.recorded} => {difference.ours}"),
                (self.answered_by, difference.exchange.answered_by),
            )
        )


_ANY = ".*"
#: Engines that may fall back to v1, and clients that know only v2.
_WITH_V1 = r"docker-[01]\..*"
_WITHOUT_V1 = r"(?!docker-[01]\.).*"
_ABSENT = re.escape(ABSENT)
_SUM = "sha256:[0-9a-f]{64}"
_LAYER = "GET /v1/images/[0-9a-f]{64}/layer"
_JSON = "(GET|HEAD) /v1/images/[0-9a-f]{64}/json"
_REFUSED = r'\{"error": "Requires authorization"\}'
_HTML = "<!DOCTYPE HTML.*404 Not Found.*"

# fmt: off
DEVIATIONS = (
    Deviation("x-docker-registry-version", _ANY, _ANY, rf"{_ABSENT} => \d+\.\d+.*",
              "registry.md 1.2: always sent, because docker 0.6 to 0.10 reject a ping without it"),
    Deviation("x-docker-token", _ANY, "(PUT|GET) /v1/repositories/.*", r"Token (signature=.*) => \1",
              "hub.md 4.2: clients write the word Token themselves, so the old server's came back twice"),
    Deviation("x-docker-payload-checksum", _ANY, _JSON, rf"{_ABSENT} => {_SUM}",
              "decisions.md 4: the sum is sent under both names that the header has had"),
    Deviation("x-docker-checksum-payload", "docker-0.9.1", _JSON, rf"({_SUM}), tarsum\+{_SUM} => \1",
              "registry.md 4.1: docker-registry 0.9.0 sent all stored sums; ours has the payload sum"),
    Deviation("x-docker-checksum", "docker-0.9.1", _JSON, rf"{_ABSENT} => tarsum\+{_SUM}",
              "registry.md 4.1: a TarSum that was accepted is shown in the header in which it came"),
    Deviation("content-type", _ANY, "PUT /v1/repositories/.*/images", rf"application/json => {_ABSENT}",
              "RFC 9110, 15.3.5: a 204 has no content, so neither a type nor a length"),
    Deviation("content-range", _ANY, _LAYER, r"(\d+-\d+/\d+) => bytes \1",
              "registry.md 4.2: the old server left the unit out"),
    Deviation("content-range", _ANY, _LAYER, r"(\d+)-(\d+)/\2 => bytes \1-\d+/\2",
              "registry.md 4.2: an end beyond the layer is clamped; the old server sent a byte too many"),
    Deviation("content-range", _ANY, _LAYER, rf"{_ABSENT} => bytes \*/\d+",
              "RFC 9110, 15.5.17: a 416 tells the size"),
    Deviation("status", SAMPLE, "GET /v1/images/[0-9a-f]{64}/diff", "400 => 200",
              "registry.md 4.9: the difference is computed on request; the old server needs a queue"),
    Deviation("body", SAMPLE, "GET /v1/images/[0-9a-f]{64}/diff",
              r'\{"error": "Diff queue.*\} => \{"changed": .*\}',
              "registry.md 4.9: as above"),
    Deviation("fields of hits", _ANY, "GET /v1/search.*",
              "description name => description is_automated is_official is_trusted name star_count",
              "hub.md 7: the answer has the Hub's full form"),
    Deviation("fields of a search", _ANY, "GET /v1/search.*",
              "num_results query results => num_pages num_results page page_size query results",
              "hub.md 7: the answer has the Hub's full form"),
    Deviation("names of hits", _ANY, r"GET /v1/search\?.*q=app.*", "alice/app library/app => alice/app app",
              "decisions.md 16: library/ is left out, as on the Hub"),
    Deviation("names of hits", _ANY, r"GET /v1/search\?(n=1&q=app|q=app&n=1)", "alice/app library/app => app",
              "hub.md 7: n limits the hits, the exact name comes first; docker-registry ignores n"),

    # with an index, whose answers were written for the recording from what clients expect of the Hub
    Deviation("body", _ANY, "POST /v1/users/", '"User created successfully" => "User Created"',
              "hub.md 2.1: the document's text", "index"),
    Deviation("body", _ANY, "POST /v1/users/", r'\{"password": \[".*"\]\} => "Invalid password: .*"',
              "hub.md 2.1: a reason is a JSON string", "index"),
    Deviation("body", _ANY, "GET /v1/users/", '"Account is not active" => "Account is not Active"',
              "hub.md 2.2: the document's text", "index"),
    Deviation("body", _ANY, "GET /v1/users/", r'\{"detail": ".*"\} => "Requires authorization"',
              "hub.md 2.2: any text will do, below /v1/users/ as a JSON string", "index"),
    Deviation("body", _ANY, "PUT /v1/repositories/alice/app/",
              rf'\{{"error": "Authentication is required"\}} => {_REFUSED}',
              "registry.md 1.4: every 401 has the registry's text", "index"),
    Deviation("body", _ANY, "PUT /v1/repositories/robert/app/",
              r'\{"error": "Access denied"\} => \{"error": "Access denied: .+"\}',
              "docker shows the text: it says what the account lacks", "index"),
    Deviation("body", _ANY, "GET /v1/repositories/robert/secret/images",
              r'\{"error": "Repository not found"\} => \{"error": "images not found"\}',
              "hub.md 4.1: the text of a repository that does not exist", "index"),
    Deviation("body", _ANY, "GET /v1/repositories/alice/app/images", r'(.*)"Tag": "latest", (.*) => \1\2',
              "hub.md 4.1: after the push the list has no tags, as docker-registry 0.9.1 keeps it", "index"),
    Deviation("status", _ANY, "GET /v1/images/[0-9a-f]{64}/json", "401 => (200|404)",
              "registry.md 10: a write token may read, so that engines skip existing images", "registry"),
    Deviation("www-authenticate", _ANY, "GET /v1/images/[0-9a-f]{64}/json", rf"Token => {_ABSENT}",
              "registry.md 10: as above", "registry"),
    Deviation("body", _ANY, "GET /v1/images/[0-9a-f]{64}/json",
              rf'{_REFUSED} => \{{"(id|architecture|error": "Image not found)".*',
              "registry.md 10: as above", "registry"),
    Deviation("x-docker-checksum-payload", _ANY, "GET /v1/images/[0-9a-f]{64}/json", rf"{_ABSENT} => {_SUM}",
              "registry.md 10: as above", "registry"),
    Deviation("x-docker-size", _ANY, "GET /v1/images/[0-9a-f]{64}/json", rf"{_ABSENT} => \d+",
              "registry.md 10: as above", "registry"),
    Deviation("status", _ANY, "HEAD /v1/images/[0-9a-f]{64}/layer", "401 => 200",
              "registry.md 10: a read token allows HEAD too; the old server rejected it", "registry"),
    Deviation("www-authenticate", _ANY, "HEAD /v1/images/[0-9a-f]{64}/layer", rf"Token => {_ABSENT}",
              "registry.md 10: as above", "registry"),
    Deviation("content-type", _ANY, "HEAD /v1/images/[0-9a-f]{64}/layer",
              "application/json => application/octet-stream",
              "registry.md 10: as above", "registry"),
    Deviation("accept-ranges", _ANY, "HEAD /v1/images/[0-9a-f]{64}/layer", rf"{_ABSENT} => bytes",
              "registry.md 10: as above", "registry"),

    # below /v2/, where a client learns that there is no v2
    Deviation("status", _ANY, "GET /v2/", "404 => 200",
              "decisions.md 8a: podman searches only if /v2/ answers 200 or 401; all engines fall back"),
    Deviation("content-type", _ANY, "GET /v2/", "text/html => application/json", "decisions.md 8a: as above"),
    Deviation("body", _ANY, "GET /v2/", _HTML + r" => \{\}", "decisions.md 8a: as above"),
    Deviation("status", _ANY, "GET /v2/", "404 => 401",
              "decisions.md 8a: with accounts today's clients check their password there"),
    Deviation("www-authenticate", _ANY, "GET /v2/", f"{_ABSENT} => Basic",
              "decisions.md 8a: as above"),
    Deviation("content-type", _ANY, "GET /v2/", "text/html => text/plain; charset=utf-8",
              "decisions.md 8a: as above"),
    Deviation("body", _ANY, "GET /v2/", _HTML + " => Requires authorization\n", "decisions.md 8a: as above"),
    Deviation("www-authenticate", _WITH_V1, "GET /v2/", f"{_ABSENT} => Bearer",
              "distribution.md 3: with the distribution API on, clients get a token there"),
    Deviation("body", _WITH_V1, "GET /v2/", _HTML + r' => \{"errors": .*UNAUTHORIZED.*',
              "distribution.md 3: as above"),
    Deviation("content-type", _WITH_V1, "[A-Z]+ /v2/.+", "text/html => text/plain; charset=utf-8",
              "clients.md 8: plain text, because docker 1.10 panics at a JSON object there"),
    Deviation("body", _WITH_V1, "[A-Z]+ /v2/.+", _HTML + r" => [^{\[]*", "clients.md 8: as above"),
    Deviation("content-type", _WITHOUT_V1, "[A-Z]+ /v2/.+", "text/html => application/json",
              "decisions.md 8a: clients without v1 show the message of a v2 error"),
    Deviation("body", _WITHOUT_V1, "[A-Z]+ /v2/.+", _HTML + r' => \{"errors": .*UNSUPPORTED.*',
              "decisions.md 8a: as above"),
)
# fmt: on


def unexplained(differences: Iterable[Difference]) -> list[Difference]:
    """Return the differences that no row of the table covers."""
    return [difference for difference in differences if not any(row.covers(difference) for row in DEVIATIONS)]
