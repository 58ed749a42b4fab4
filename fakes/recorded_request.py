"""A recorded request with its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: The APIs of a request: the Registry API, the Hub API with its users, OAuth with the accounts API, and the
#: distribution API. Pages for people belong to none.
ApiName = Literal["v1", "hub", "oauth", "v2"]


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
    """One request and its answer."""

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

    def __str__(self) -> str:
        """Return the request in one line, such as ``GET /v1/search?q=app 200``."""
        query = f"?{self.query}" if self.query else ""
        return f"{self.method} {self.path}{query} {self.status or 'unanswered'}"

    def __repr__(self) -> str:
        return f"<RecordedRequest {self}>"
