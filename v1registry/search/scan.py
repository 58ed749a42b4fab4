"""A search index without an index: it looks at every repository of the storage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice, takewhile
from typing import Final

from ..clock import SYSTEM_CLOCK
from ..names import RepositoryName
from ..registry.repositories import Repositories
from .base import MOST_LEFT_OUT, Caller, Found, Hit
from .rare_warnings import RareWarnings
from .words import SEARCHED_LENGTH, Query, folded

#: How many repositories are looked at for one part of a list of names.
MOST_EXAMINED: Final = 10_000


class ScanSearch:
    """Looks at every repository at each search. There is nothing to set up, and it is never out of date.

    :param most_s: how long a search may take, in seconds, because the storage may be far away. What was not
        looked at then is left out. None for no limit.
    """

    def __init__(self, repositories: Repositories, *, most_s: float | None = None):
        self._repositories = repositories
        self._most_s = most_s
        self._warnings = RareWarnings(SYSTEM_CLOCK)

    def find(self, query: str, caller: Caller, start: int, most: int, *, needs_total: bool = True) -> Found:
        """Return a part of what a query finds, the best first: see ``SearchIndex.find``."""
        limit = self._limit()
        names = self._found(Query(query), caller, limit)
        start = min(start, MOST_LEFT_OUT)
        if needs_total:
            everything = list(names)
            shown, total = everything[start : start + most], len(everything)
            has_more = total > start + len(shown)
            return Found(list(map(self._hit, shown)), has_more or limit.was_reached, total)
        part = list(islice(names, start, start + most + 1))
        return Found(list(map(self._hit, part[:most])), len(part) > most or limit.was_reached, None)

    def names_after(
        self, after: str, caller: Caller, most: int, accepts: Callable[[str], bool]
    ) -> tuple[list[str], str | None]:
        """Return names and where the next part begins: see ``SearchIndex.names_after``."""
        limit = self._limit()
        found: list[str] = []
        for examined, name in enumerate(self._repositories.candidates_after(after)):
            if len(found) == most or examined == MOST_EXAMINED or (examined and not limit.allows(name)):
                return found, after
            after = str(name)
            if accepts(after) and caller.may_list(name) and self._repositories.exists(name):
                found.append(after)
        return found, None

    def _found(self, query: Query, caller: Caller, limit: _Limit) -> Iterator[RepositoryName]:
        # several sorts by simple keys are faster than one by all of them
        names = sorted(set(takewhile(limit.allows, self._repositories.candidates())), key=str)
        starred = self._repositories.starred()
        if starred:
            names.sort(key=lambda name: -starred.get(name, 0))
        names.sort(key=lambda name: not name.is_official)
        if query.words:
            names.sort(key=lambda name: not query.names(name))
        for name in takewhile(limit.allows, names):
            if self._has_words(name, query) and caller.may_list(name) and self._repositories.exists(name):
                yield name
        if limit.was_reached:
            self._warnings.warn("a search took %s s, and left out the repositories after that", self._most_s)

    def _limit(self) -> _Limit:
        return _Limit(float("inf") if self._most_s is None else time.monotonic() + self._most_s)

    def _hit(self, name: RepositoryName) -> Hit:
        return Hit(name, self._repositories.description(name), self._repositories.stars(name))

    def _has_words(self, name: RepositoryName, query: Query) -> bool:
        text = folded(str(name))
        missing = [word for word in query.words if not word.is_in(text)]
        if not missing:
            return True
        text = folded(self._repositories.description(name)[:SEARCHED_LENGTH])
        return all(word.is_in(text) for word in missing)


class _Limit:
    """A time after which no more repositories are looked at."""

    def __init__(self, until_s: float):
        self._until_s = until_s
        self.was_reached = False

    def allows(self, name: RepositoryName) -> bool:
        """Tell whether there is time to look at a repository."""
        if time.monotonic() < self._until_s:
            return True
        self.was_reached = True
        return False
