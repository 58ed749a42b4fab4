"""A recorded request with its answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter
from typing import Any, Final, Literal

from v1registry.clock import SYSTEM_CLOCK

from ..transcripts.masking import Masker
from .recorded_body import RecordedBody

#: The APIs of a request: the Registry API, the Hub API with its users, OAuth with the accounts API, and the
#: distribution API. Pages for people belong to none.
ApiName = Literal["v1", "hub", "oauth", "v2"]

#: A description has the size of an answer and the duration from these on.
_REMARKABLE_BYTES: Final = 1024
_REMARKABLE_S: Final = 1.0

#: How much of a text of a client messages show, in characters.
_LONGEST_SHOWN: Final = 1000

#: Masks secrets in messages, which reach the logs of test runs.
_MASKER: Final = Masker(is_numbered=False)


def shown(text: str) -> str:
    r"""Return a text of a client for a message: one line of bounded length without control characters.

    >>> print(shown("/v1/\x1b[31m/é"))
    /v1/\x1b[31m/é
    """
    if len(text) > _LONGEST_SHOWN:
        text = f"{text[:_LONGEST_SHOWN]}…"
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


class RequestHeaders(Mapping[str, str]):
    """The headers of a request. Names are case-insensitive.

    >>> RequestHeaders({"HTTP_USER_AGENT": "docker/1.9.1", "CONTENT_LENGTH": "2"})["user-agent"]
    'docker/1.9.1'
    """

    def __init__(self, environ: Mapping[str, Any]):
        self._values: dict[str, str] = {}
        for key, value in environ.items():
            if key.startswith("HTTP_"):
                self._values[key[5:].replace("_", "-").lower()] = value
            elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
                self._values[key.replace("_", "-").lower()] = value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return (name.title() for name in self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(dict(self))


@dataclass(eq=False)
class RecordedRequest:
    """One request and its answer. Its properties grow while it runs; :attr:`is_finished` tells the end."""

    method: str
    path: str  #: decoded, as the client sent it
    query: str  #: as the client sent it, without the question mark
    headers: Mapping[str, str]  #: of the request; names are case-insensitive
    route: str | None = None  #: the name of the row that serves it, such as ``get_layer``
    api: ApiName | None = None  #: ``v1``, ``hub``, ``oauth`` or ``v2``; None for pages and unknown paths
    user: str | None = None  #: the user of the credentials; None if it is anonymous or unknown yet
    status: int | None = None  #: None until the answer begins
    response_headers: list[tuple[str, str]] = field(default_factory=list)
    error: Exception | None = None  #: the unexpected error, if the registry had one
    fault: str | None = None  #: what a fault of the test did to it
    number: int = 0  #: 1 for the first request to the registry
    started_at: datetime = field(default_factory=SYSTEM_CLOCK.now)  #: by the clock of the registry
    is_finished: bool = False  #: whether its answer has ended, or broke
    #: how many bytes the client announced; None if the body is chunked or its length is no number
    announced_bytes: int | None = 0
    request_body: RecordedBody = field(default_factory=RecordedBody, repr=False)
    answer_body: RecordedBody = field(default_factory=RecordedBody, repr=False)
    _began_s: float = field(default_factory=perf_counter, repr=False)
    _took_s: float = field(default=0.0, repr=False)

    @property
    def body(self) -> bytes:
        """The body as far as the registry read it, at most 16 MiB. Chunks are put together.

        More than 256 KiB are in a temporary file.

        :raises ValueError: the temporary file is removed, because the log was cleared or the fake closed.
        """
        return self.request_body.read()

    @property
    def is_body_complete(self) -> bool:
        """Whether :attr:`body` is all that the client announced.

        It is False for a broken upload, a body that the registry did not read, and one of more than 16 MiB.
        """
        body = self.request_body
        is_read = body.has_ended if self.announced_bytes is None else body.size == self.announced_bytes
        return is_read and body.is_whole

    @property
    def json(self) -> Any:
        """The value of a body in JSON.

        :raises ValueError: the body is incomplete or not JSON; see also :attr:`body`.
        """
        if not self.is_body_complete:
            raise ValueError(f"the body of {self} is incomplete: {len(self.body)} bytes of it are kept")
        return json.loads(self.body)

    @property
    def response_body(self) -> bytes:
        """The body of the answer as far as the server took it, at most 16 MiB. It is kept as :attr:`body`.

        :raises ValueError: the temporary file is removed, because the log was cleared or the fake closed.
        """
        return self.answer_body.read()

    @property
    def received_bytes(self) -> int:
        """How many bytes of the body the registry read."""
        return self.request_body.size

    @property
    def sent_bytes(self) -> int:
        """How many bytes of the body of the answer the server took."""
        return self.answer_body.size

    @property
    def duration_s(self) -> float:
        """How long the request took, up to now if it is not finished. The time is real, not of the clock."""
        return self._took_s if self.is_finished else perf_counter() - self._began_s

    def finish(self) -> bool:
        """Note the end, and return whether it is new."""
        if self.is_finished:
            return False
        self._took_s = perf_counter() - self._began_s
        self.is_finished = True
        return True

    def __str__(self) -> str:
        """Return the request in one line, such as ``GET /v1/search?q=app 200``.

        Secrets of the query are masked.
        """
        query = _MASKER.target(f"?{self.query}") if self.query else ""
        return f"{shown(f'{self.method} {self.path}{query}')} {self.status or 'unanswered'}"

    def __repr__(self) -> str:
        return f"<RecordedRequest {self}>"

    def describe(self) -> str:
        """Return the request in one line with user, sizes and duration, as far as they are remarkable.

        ``PUT /v1/images/…/layer 200 (user alice, 10240 bytes received, 1.51 s)``
        """
        facts = [] if self.user is None else [f"user {self.user}"]
        is_cut = self.is_finished and self.request_body.is_whole and not self.is_body_complete
        if is_cut:
            announced = "an unknown number of" if self.announced_bytes is None else self.announced_bytes
            facts.append(f"{self.received_bytes} of {announced} bytes received")
        elif self.received_bytes:
            facts.append(f"{self.received_bytes} bytes received")
        if self.sent_bytes >= _REMARKABLE_BYTES:
            facts.append(f"{self.sent_bytes} bytes sent")
        if self.duration_s >= _REMARKABLE_S:
            facts.append(f"{self.duration_s:.2f} s")
        if not self.is_finished:
            facts.append("not finished")
        if self.fault is not None:
            facts.append(f"fault: {self.fault}")
        return f"{self} ({', '.join(facts)})" if facts else str(self)
