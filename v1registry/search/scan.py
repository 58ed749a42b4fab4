"""A search index without an index: it looks at every repository of the storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..names import RepositoryName
from ..registry.repositories import Repositories


class ScanSearch:
    """Looks at every repository at each search. There is nothing to set up, and it is never out of date."""

    def __init__(self, repositories: Repositories):
        self._repositories = repositories

    def find(self, query: str, may_list: Callable[[RepositoryName], bool]) -> Iterator[RepositoryName]:
        """Yield the names that a query finds, the best first: see ``SearchIndex.find``."""
        # several sorts by simple keys are faster than one by all of them
        names = sorted(self._repositories.candidates(), key=str)
        starred = self._repositories.starred()
        if starred:
            names.sort(key=lambda name: -starred.get(name, 0))
        names.sort(key=lambda name: not name.is_official)
        if query:
            names.sort(key=lambda name: not _is_exact(query, name))
        words = query.casefold().split()
        for name in names:
            if self._has_words(name, words) and may_list(name) and self._repositories.exists(name):
                yield name

    def description(self, name: RepositoryName) -> str:
        """Return the description of a repository, empty if it has none."""
        return self._repositories.description(name)

    def stars(self, name: RepositoryName) -> int:
        """Return the number of stars of a repository, 0 if it has none."""
        return self._repositories.stars(name)

    def _has_words(self, name: RepositoryName, words: list[str]) -> bool:
        text = str(name).casefold()
        missing = [word for word in words if word not in text]
        if not missing:
            return True
        text = self._repositories.description(name).casefold()
        return all(word in text for word in missing)


def _is_exact(query: str, name: RepositoryName) -> bool:
    return query.strip().casefold() in (name.short.casefold(), str(name).casefold())
