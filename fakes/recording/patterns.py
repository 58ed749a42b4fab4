"""Patterns of requests: which recorded requests match, and what differs in the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, get_args

from .recorded_request import ApiName, RecordedRequest, shown

_APIS: Final[tuple[str, ...]] = get_args(ApiName)


@dataclass(frozen=True)
class RequestPattern:
    """Properties of a request. A request matches if it has all that are given.

    :param method: in capital letters, such as ``GET``. ``GET`` does not match ``HEAD``.
    :param path: the decoded path without the query. ``*`` stands for any text, slashes included.
    :param route: the name of the row that serves the request, as ``v1registry routes`` prints it:
        ``get_layer``. Rows of two APIs may have one name; ``api`` tells them apart.
    :param user: the name of the user whom the registry found in the credentials. An empty name stands for
        an anonymous caller.
    :param api: ``v1``, ``hub``, ``oauth`` or ``v2``.
    :param status: the status of the answer.
    :raises ValueError: a property can match no request, such as a method in small letters. A pattern that
        never matches would make ``assert_not_requested`` pass.

    >>> str(RequestPattern("GET", "/v1/images/*/layer", user="alice", status=200))
    "GET /v1/images/*/layer of 'alice' with status 200"
    """

    method: str | None = None
    path: str | None = None
    route: str | None = None
    user: str | None = None
    api: ApiName | None = None
    status: int | None = None

    def __post_init__(self) -> None:
        for name in ("method", "path", "route", "user"):
            if not isinstance(getattr(self, name), (str, type(None))):
                raise ValueError(f"{name} must be text, not {getattr(self, name)!r}")
        if self.method is not None and self.method != self.method.upper():
            raise ValueError(
                f"method must be in capital letters: {self.method.upper()!r}, not {self.method!r}"
            )
        if self.path is not None and not self.path.startswith(("/", "*")):
            raise ValueError(f"path must begin with / or *, without a host, not {self.path!r}")
        if self.path is not None and "?" in self.path:
            raise ValueError(f"path must be without a query, not {self.path!r}: * stands for any text")
        if self.api is not None and self.api not in _APIS:
            raise ValueError(f"api must be one of {', '.join(_APIS)}, not {self.api!r}")
        if isinstance(self.status, bool) or not isinstance(self.status, (int, type(None))):
            raise ValueError(f"status must be a whole number, not {self.status!r}")
        if self.status is not None and not 100 <= self.status <= 599:
            raise ValueError(f"status must be from 100 to 599, not {self.status!r}")

    def check_route(self, names: Iterable[str]) -> None:
        """Return if the route is one of the names, or none is given.

        :raises ValueError: shows similar names.
        """
        if self.route is None:
            return
        known = sorted(set(names))
        if self.route not in known:
            similar = get_close_matches(self.route, known) or known
            raise ValueError(
                f"route must be the name of a row of this registry, such as {', '.join(similar[:5])}, "
                f"not {self.route!r}"
            )

    def matches(self, request: RecordedRequest) -> bool:
        """Tell whether a request has all given properties. A request without an answer has no status."""
        return (
            (self.method is None or self.method == request.method)
            and (self.route is None or self.route == request.route)
            and (self.status is None or self.status == request.status)
            and (self.api is None or self.api == request.api)
            and (self.user is None or self.user == (request.user or ""))
            and (self.path is None or path_matches(self.path, request.path))
        )

    def differences(self, request: RecordedRequest) -> list[str]:
        """Return what differs, one text for each property, such as ``method is PUT, not GET``.

        It is empty if the request matches.
        """
        return [
            f"{name} is {found}, not {wanted}"
            for name, is_equal, found, wanted in self._compared(request)
            if not is_equal
        ]

    def _compared(self, request: RecordedRequest) -> Iterator[tuple[str, bool, str, str]]:
        """Return name, result, found text and wanted text of each given property."""
        if self.method is not None:
            yield "method", self.method == request.method, request.method, self.method
        if self.path is not None:
            yield "path", path_matches(self.path, request.path), shown(request.path), self.path
        if self.route is not None:
            yield "route", self.route == request.route, request.route or "unknown", self.route
        if self.api is not None:
            yield "api", self.api == request.api, request.api or "none of them", self.api
        if self.user is not None:
            yield "user", self.user == (request.user or ""), _user(request.user), _user(self.user)
        if self.status is not None:
            found = str(request.status or "not there yet")
            yield "status", self.status == request.status, found, str(self.status)

    def __str__(self) -> str:
        """Return the pattern in one line, as it stands in messages."""
        words = [self.method or ("any request" if self.path is None else "any method")]
        if self.path is not None:
            words.append(self.path)
        if self.route is not None:
            words.append(f"to route {self.route}")
        if self.api is not None:
            words.append(f"of the API {self.api}")
        if self.user is not None:
            words.append(f"of {_user(self.user)}")
        if self.status is not None:
            words.append(f"with status {self.status}")
        return " ".join(words)


def pattern_of(given: RequestPattern | tuple[str, str]) -> RequestPattern:
    """Return a pattern, or the pattern of a pair ``("GET", "/v1/search")``.

    :raises ValueError: the pair can match no request.
    :raises TypeError: it is neither.
    """
    if isinstance(given, RequestPattern):
        return given
    if isinstance(given, tuple) and len(given) == 2:
        return RequestPattern(*given)
    raise TypeError(f'must be a RequestPattern or a pair such as ("GET", "/v1/search"), not {given!r}')


def path_matches(pattern: str, path: str) -> bool:
    """Tell whether a path matches a pattern in which ``*`` stands for any text. The time is linear.

    >>> path_matches("/v1/images/*/layer", "/v1/images/0123/layer"), path_matches("*/layer", "/v1/layers")
    (True, False)
    """
    first, *rest = pattern.split("*")
    if not rest:
        return path == pattern
    *middle, last = rest
    position, end = len(first), len(path) - len(last)
    if end < position or not path.startswith(first) or not path.endswith(last):
        return False
    for part in middle:
        found = path.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def _user(name: str | None) -> str:
    return repr(name) if name else "an anonymous caller"
