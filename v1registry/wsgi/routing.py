"""Routes, tables and APIs: from method and path to a handler.

The tables in ``*/api.py`` are the map of the project.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import MethodNotAllowed, RegistryError
from ..names import RESERVED_RESOURCES
from ..paths import V1
from ..rights import Action

if TYPE_CHECKING:
    from .request import Request
    from .responses import Response

#: Does not match text that ends in the name of a resource below a repository.
_NOT_RESERVED: Final = rf"(?!.*/(?:{'|'.join(RESERVED_RESOURCES)})\Z)"

#: What a ``{hole}`` of a path matches, and the field in which the handler finds it. The patterns are loose:
#: names are checked by ``names.py``, which knows the status and text of the answer to an invalid one.
HOLES: Final = {
    "image_id": ("image_id", r"[^/]+"),
    "username": ("username", r"[^/]+"),
    "token": ("token", r"[^/]+"),
    "grant_id": ("grant_id", r"[^/]+"),
    "file": ("file", r"[^/]+"),
    "repository": ("repository", r".+"),
    "tag": ("tag", r"[^/]+"),
    "digest": ("digest", r"[^/]+"),
    "reference": ("reference", r"[^/]+"),
    "upload_id": ("upload_id", r"[^/]+"),
    # exactly NAMESPACE/REPOSITORY: engines send that when they list tags
    "two_part_repository": ("repository", r"[^/]+/[^/]+"),
    # a repository whose last part is "tags"
    "repository_named_tags": ("repository", r".+/tags"),
    # not one of the resources below a repository, and no final slash
    "unreserved_repository": ("repository", rf"{_NOT_RESERVED}.*[^/]"),
    # a tag with a slash in it: a percent-encoded slash arrives as one
    "slashed_tag": ("tag", rf"{_NOT_RESERVED}[^/]+/.*[^/]"),
}

#: The key of the WSGI environ with the name of the matched row. It is missing if no row matched.
ROUTE_KEY: Final = "v1registry.route"

#: The longest path that can match, in characters: stored names have at most 255 characters a part.
#: The time of matching can grow with the square of the length.
LONGEST_PATH: Final = 4096


#: How many paths a table remembers with their rows, and how long these are at most, in characters: half a
#: megabyte.
_REMEMBERED_PATHS: Final = 1024
_REMEMBERED_PATH: Final = 200


@dataclass(frozen=True)
class Route:
    """One row of an API.

    :param path: has ``{holes}`` (see HOLES) and may end in ``[/]``, an optional slash.
    :param needs: the right that a caller must have; None if the handler checks that itself, or anyone may
        ask.
    :param is_page: whether the answer is a page, for errors too.
    :param changes: whether the row changes something, which ``read_only`` forbids. None: if its method is
        not GET.
    :param rank: rows of a lower rank are tried first. Within a table, rows of one rank are tried in order.
        Two APIs never have rows of one rank that match the same method and path; a test checks that.
    :param name: for logs and tests. If empty, it is the name of the handler. Rows of one API share a name
        only if they are one resource in different spellings. Rows of two APIs may share one.
    :raises ValueError: there is neither a name nor a handler with one.

    A ``GET`` row answers ``HEAD`` too.
    """

    method: str
    path: str
    handler: Callable[[Request[Any]], Response]
    needs: Action | None
    is_page: bool = False
    rank: int = 0
    changes: bool | None = None
    name: str = ""

    def __post_init__(self) -> None:
        name = self.name or getattr(self.handler, "__name__", "")
        if not name.isidentifier():
            raise ValueError(f"{self.method} {self.path} needs a name, because its handler has none")
        object.__setattr__(self, "name", name)

    @property
    def is_change(self) -> bool:
        """Whether the row changes something that ``read_only`` protects."""
        return self.method != "GET" if self.changes is None else self.changes

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that the row answers."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


class _Row(NamedTuple):
    """The path of a row, as it is compared with the path of a request."""

    prefix: str  #: the first segments, as far as they are literal
    word: str  #: the longest literal text behind the first hole: a path without it does not match
    pattern: re.Pattern[str]  #: has to match whole


@lru_cache(maxsize=256)
def _compile_own(path: str) -> _Row:
    """Return the same as ``_compile`` for HOLES. It is kept, because all applications share it."""
    return _compile(path, HOLES)


def _compile(path: str, holes: Mapping[str, tuple[str, str]]) -> _Row:
    """Return the compiled path of a row."""
    prefix = _prefix(path.removesuffix("[/]").partition("/{")[0])
    path, optional_slash = (path[:-3], "/?") if path.endswith("[/]") else (path, "")
    parts = re.split(r"\{(\w+)\}", path)
    text = ""
    for number, part in enumerate(parts):
        if number % 2:
            field, matched = holes[part]
            text += f"(?P<{field}>{matched})"
        else:
            text += re.escape(part)
    word = max(parts[2::2], key=len, default="")
    return _Row(prefix, word, re.compile(text + optional_slash, re.DOTALL))


class Table:
    """Rows, tried by rank and then in order. The first row that matches method and path is used.

    Rows whose first two segments are literal come before rows with only one literal segment.

    :param holes: what the holes of the paths match, as in HOLES.
    """

    def __init__(self, *routes: Route, holes: Mapping[str, tuple[str, str]] = HOLES):
        self.routes = tuple(sorted(routes, key=lambda route: route.rank))
        self._by_prefix: dict[str, list[tuple[Route, str, re.Pattern[str]]]] = {}
        for route in self.routes:
            row = _compile_own(route.path) if holes is HOLES else _compile(route.path, holes)
            self._by_prefix.setdefault(row.prefix, []).append((route, row.word, row.pattern))
        self._remembered = lru_cache(_REMEMBERED_PATHS)(self._find)

    def __iter__(self) -> Iterator[Route]:
        return iter(self.routes)

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Return the row for a method and a path, and the fields of the path; None if no row has the path.

        :raises MethodNotAllowed: rows have the path, but none has the method.
        """
        if len(path) > LONGEST_PATH:
            return None
        if len(path) > _REMEMBERED_PATH:
            return self._find(method, path)
        found = self._remembered(method, path)
        return None if found is None else (found[0], dict(found[1]))

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        allowed: set[str] = set()
        # at most the first three parts of a rooted path are looked at
        parts = path.rstrip("/").split("/", 3)
        for prefix in dict.fromkeys(("/".join(parts[:3]), "/".join(parts[:2]))):
            for route, word, pattern in self._by_prefix.get(prefix, ()):
                # most rows need no pattern
                found = pattern.fullmatch(path) if word in path else None
                if found is None:
                    continue
                if method in route.methods:
                    return route, found.groupdict()
                allowed.update(route.methods)
        if allowed:
            raise MethodNotAllowed(method, tuple(sorted(allowed)))
        return None


def stripped_prefix_hint(table: Table, method: str, path: str) -> str:
    """Return a sentence if ``/v1`` was probably stripped from a path that no row serves; else empty text."""
    try:
        is_known = table.match(method, f"{V1}{path}") is not None
    except MethodNotAllowed:
        is_known = False
    if not is_known:
        return ""
    return (
        f"There is a path {V1}{path[:80]}, so {V1} seems to be stripped from the path on its way: "
        f"mount the registry at the root, and let proxies pass {V1} on"
    )


def _prefix(path: str, segments: int = 2) -> str:
    """Return the first segments of ``path``, by which rows are grouped for a quick look-up.

    >>> _prefix("/v1/images/0123/json"), _prefix("/v2/"), _prefix("/"), _prefix("/images/0123", 1)
    ('/v1/images', '/v2', '', '/images')
    """
    return "/".join(path.rstrip("/").split("/", segments + 1)[: segments + 1])


@dataclass(frozen=True)
class Api:
    """One API as a configuration serves it.

    :param name: for ``v1registry routes``.
    :param paths: the paths that belong to the API, whether a row matches or not. ``/v1/*`` is everything
        below ``/v1/``; ``[/]`` at the end is an optional slash.
    :param error_response: makes the answer to a failure in the form that the API's clients read.
    :param error_response_to: the same for a request, if the form depends on the client. None if it does not.
    :param is_for_people: whether browsers get failures as pages.
    :param is_passed_on: whether requests go to the application behind the registry, if there is one.
    """

    name: str
    paths: tuple[str, ...]
    routes: Table
    error_response: Callable[[RegistryError], Response]
    error_response_to: Callable[[Request[Any], RegistryError], Response] | None = None
    is_for_people: bool = False
    is_passed_on: bool = False

    def without_rows(self) -> Api:
        """Return the API of a configuration that does not serve it. Its errors keep their form."""
        return replace(self, routes=Table())

    def match_length(self, path: str) -> int:
        """Return how many characters of a path say that it belongs to the API; 0 if it does not.

        >>> from v1registry.wsgi.responses import error_object
        >>> api = Api("Hub", ("/v1/users[/]", "/v1/users/*"), Table(), error_object)
        >>> api.match_length("/v1/users"), api.match_length("/v1/users/mira"), api.match_length("/v1/images")
        (9, 10, 0)
        """
        lengths = [0]
        for pattern in self.paths:
            below = pattern.removesuffix("*")
            exact = pattern.removesuffix("[/]")
            if below != pattern and path.startswith(below):
                lengths.append(len(below))
            elif path == exact or (exact != pattern and path == f"{exact}/"):
                lengths.append(len(exact))
        return max(lengths)


def api_of(apis: Iterable[Api], path: str) -> Api | None:
    """Return the API to which a path belongs: the one with the longest match. None if there is none."""
    length, api = max(((api.match_length(path), api) for api in apis), key=lambda pair: pair[0])
    return api if length else None


def combine(apis: Iterable[Api]) -> Table:
    """Return one table with the rows of all APIs."""
    return Table(*(route for api in apis for route in api.routes))
