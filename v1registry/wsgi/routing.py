"""Routes and tables: from method and path to a handler. The tables in ``*/api.py`` are the map of the project."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..errors import MethodNotAllowed
from ..rights import Action

if TYPE_CHECKING:
    from .request import Request
    from .responses import Response

#: In front of what does not end in the name of a resource below a repository.
_NOT_RESERVED = r"(?!.*/(?:tags|json|properties|images|auth)\Z)"

#: What a ``{hole}`` of a path matches, and the field in which the handler finds it. Loose on purpose: names are
#: judged by ``names.py``, which knows the status and the text that a bad one deserves.
HOLES = {
    "image_id": ("image_id", r"[^/]+"),
    "username": ("username", r"[^/]+"),
    "token": ("token", r"[^/]+"),
    "grant_id": ("grant_id", r"[^/]+"),
    "file": ("file", r"[^/]+"),
    "repository": ("repository", r".+"),
    "tag": ("tag", r"[^/]+"),
    # exactly NAMESPACE/REPOSITORY: what engines send where they list tags
    "two_part_repository": ("repository", r"[^/]+/[^/]+"),
    # a repository of that name
    "repository_named_tags": ("repository", r".+/tags"),
    # not one of the resources below a repository, and no final slash
    "unreserved_repository": ("repository", rf"{_NOT_RESERVED}.*[^/]"),
    # a tag with a slash in it: a percent-encoded slash arrives as one
    "slashed_tag": ("tag", rf"{_NOT_RESERVED}[^/]+/.*[^/]"),
}

#: Longer paths, in characters, name nothing: a namespace, a repository and a tag have 255 at most. Matching takes a time
#: that can grow with the square of the length.
LONGEST_PATH = 4096


@dataclass(frozen=True)
class Route:
    """One row of an API.

    ``path`` has ``{holes}`` (see HOLES) and may end in ``[/]``, a slash that may be there or not. ``needs`` is the
    right that a caller must have, None for everybody. A ``GET`` row answers ``HEAD`` too. ``is_page`` says that people look at
    the answer, also at one that tells of a failure.
    """

    method: str
    path: str
    handler: Callable[[Request[Any]], Response]
    needs: Action | None
    is_page: bool = False

    @property
    def methods(self) -> tuple[str, ...]:
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


@lru_cache(maxsize=256)
def _compile(path: str) -> re.Pattern[str]:
    """Return the pattern of a row's path; the whole path has to match. Kept, because every application has the same."""
    path, optional_slash = (path[:-3], "/?") if path.endswith("[/]") else (path, "")
    text = ""
    for number, part in enumerate(re.split(r"\{(\w+)\}", path)):
        if number % 2:
            field, matched = HOLES[part]
            text += f"(?P<{field}>{matched})"
        else:
            text += re.escape(part)
    return re.compile(text + optional_slash, re.DOTALL)


class Table:
    """Rows in the order in which they are tried; the first that fits method and path is taken.

    Rows whose first two segments are literal come before those where only the first one is.
    """

    def __init__(self, *routes: Route):
        self.routes = routes
        self._by_prefix: dict[str, list[tuple[Route, re.Pattern[str]]]] = {}
        for route in routes:
            literal = route.path.removesuffix("[/]").partition("/{")[0]
            self._by_prefix.setdefault(_prefix(literal), []).append((route, _compile(route.path)))

    def __iter__(self) -> Iterator[Route]:
        return iter(self.routes)

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Return the row for ``method`` and ``path`` with the fields of the path; None where no row has the path.

        MethodNotAllowed where rows have the path, but none the method.
        """
        if len(path) > LONGEST_PATH:
            return None
        allowed: set[str] = set()
        rows = self._by_prefix.get(_prefix(path), [])
        if path.count("/") > 1:
            rows = rows + self._by_prefix.get(_prefix(path, 1), [])
        for route, pattern in rows:
            found = pattern.fullmatch(path)
            if found is None:
                continue
            if method in route.methods:
                return route, found.groupdict()
            allowed.update(route.methods)
        if allowed:
            raise MethodNotAllowed(method, tuple(sorted(allowed)))
        return None


def combine(tables: Iterable[Table]) -> Table:
    """Return one table with the rows of all, in order."""
    return Table(*(route for table in tables for route in table))


def _prefix(path: str, segments: int = 2) -> str:
    """Return the first segments of ``path``: what rows are sorted by for a quick look-up.

    >>> _prefix("/v1/images/0123/json"), _prefix("/v2/"), _prefix("/"), _prefix("/images/0123", 1)
    ('/v1/images', '/v2', '', '/images')
    """
    return "/".join(path.rstrip("/").split("/", segments + 1)[: segments + 1])
