"""What is asked of an index in a database, within a transaction of the caller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import Any, Final

from cachetools import LRUCache

from ..names import DEFAULT_NAMESPACE, RepositoryName
from ..rights import EVERYTHING, Listing
from .conditions import ALWAYS, Where, chosen, key_of, marks, streams, visible
from .database import Connection, Dialect
from .words import Query, Word, folded

#: How many totals of words that many repositories have are remembered in a process.
_TOTALS: Final = 256

_SHOWN: Final = "is_official, stars, name, namespace, has_description"
_SHOWN_AND_TEXT: Final = f"{_SHOWN}, text"
_ORDER: Final = "is_official DESC, stars DESC, name"


@dataclass(frozen=True)
class Match:
    """A repository that matches a query."""

    name: RepositoryName
    stars: int
    has_description: bool


class Questions:
    """Asks a database. Safe for threads."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._totals: LRUCache[tuple[object, ...], int] = LRUCache(_TOTALS)
        self._lock = Lock()

    def find(
        self,
        connection: Connection,
        state: Mapping[str, float],
        query: Query,
        listing: Listing,
        start: int,
        most: int,
        *,
        needs_total: bool,
    ) -> tuple[list[Match], int | None]:
        """Return a part of the repositories that match, the best first, and how many there are in all.

        :param state: the numbers of the table ``state``, from the same transaction.
        :param most: how many are returned. ``rule`` of the listing is asked of each that comes before.
        :param needs_total: whether the number must be given; else it is None if it is not known at once.
        """
        rest = self._dialect.rest(query)
        if rest or listing.rule is not None:
            return self._find_by_looking(connection, state, query, rest, listing, start, most, needs_total)
        few = self._few(connection, state, query, listing)
        if few is not None:
            return list(map(_match_of, few[start : start + most])), len(few)
        matches = list(map(_match_of, self._walk(connection, query, listing, start, most)))
        is_known = needs_total or not query.words
        return matches, self._total(connection, state, query, listing) if is_known else None

    def _find_by_looking(
        self,
        connection: Connection,
        state: Mapping[str, float],
        query: Query,
        rest: list[Word],
        listing: Listing,
        start: int,
        most: int,
        needs_total: bool,
    ) -> tuple[list[Match], int | None]:
        """Look at each row for what the database cannot decide: a rule of the listing, and some words."""
        rule = listing.rule
        rows = self._walk(
            connection,
            query,
            listing if rule is None else EVERYTHING,
            0,
            None,
            columns=_SHOWN_AND_TEXT if rest else _SHOWN,
        )
        matching = map(_match_of, (row for row in rows if all(word.is_in(row[5]) for word in rest)))
        allowed = (match for match in matching if rule is None or rule(match.name))
        left_out = sum(1 for _ in islice(allowed, start))
        part = list(islice(allowed, most))
        key = None if rule is not None else _key(state, query, listing)
        if key is not None:
            with self._lock:
                total = self._totals.get(key)
            if total is not None:
                return part, total
        if not needs_total:
            return part, None
        total = left_out + len(part) + sum(1 for _ in allowed)
        if key is not None:
            with self._lock:
                self._totals[key] = total
        return part, total

    def names_after(self, connection: Connection, after: str, listing: Listing) -> Iterator[RepositoryName]:
        """Yield the names that sort after one, sorted. ``rule`` of the listing is not asked."""
        if listing.rule is not None:
            listing = EVERYTHING
        # no name has a NUL, so a text sorts among names as what is before its first one does
        following = Where("name > ?", (after.partition("\0")[0],))
        parts = [ALWAYS] if listing.is_everything else streams(listing)
        rows = self._merged(
            connection, "name, namespace", [following & where for where in parts], "name", None
        )
        for name, namespace in rows:
            yield _name_of(name, namespace)

    # -- inside

    def _few(
        self, connection: Connection, state: Mapping[str, float], query: Query, listing: Listing
    ) -> list[tuple[Any, ...]] | None:
        """Return all that matches, sorted; None if that is too much, or everything is asked for."""
        if not query.words:
            return None
        key = _key(state, query, listing)
        with self._lock:
            if key in self._totals:
                return None  # it was too much before
        rows = self._dialect.few(connection, _SHOWN, query, listing)
        if rows is None:
            return None
        exact = (query.exact, f"{DEFAULT_NAMESPACE}/{query.exact}")
        return sorted(rows, key=lambda row: (folded(row[2]) not in exact, -row[0], -row[1], row[2]))

    def _walk(
        self,
        connection: Connection,
        query: Query,
        listing: Listing,
        start: int,
        most: int | None,
        columns: str = _SHOWN,
    ) -> Iterator[tuple[Any, ...]]:
        """Yield rows that match in the order of the result.

        :param start: how many are left out; 0 if all are yielded.
        :param most: how many are yielded; None for all.
        :param columns: with the text if the caller has to look at each row.
        """
        filtered = self._dialect.has_words(query)
        exact = self._exact(connection, query, listing, filtered, columns)
        first = exact[start:] if most is None else exact[start : start + most]
        yield from first
        names = [row[2] for row in exact]
        if names:
            filtered &= Where(f"name NOT IN ({marks(names)})", tuple(names))
        part = None if most is None else (most - len(first), max(0, start - len(exact)))
        parts = [where & filtered for where in streams(listing)]
        has_text = columns == _SHOWN_AND_TEXT
        yield from self._merged(connection, columns, parts, _ORDER, part, is_whole=has_text)

    def _exact(
        self, connection: Connection, query: Query, listing: Listing, filtered: Where, columns: str
    ) -> list[tuple[Any, ...]]:
        if not query.words:
            return []
        texts = (query.exact, f"{DEFAULT_NAMESPACE}/{query.exact}")
        where = Where("(name IN (?, ?) OR folded IN (?, ?))", texts + texts) & visible(listing) & filtered
        rows = connection.execute(
            f"SELECT {columns} FROM repositories WHERE {where.text} ORDER BY {_ORDER}", where.values
        )
        return [row for row in rows if query.names(_name_of(row[2], row[3]))]

    def _merged(
        self,
        connection: Connection,
        columns: str,
        parts: list[Where],
        order: str,
        limits: tuple[int, int] | None,
        *,
        is_whole: bool = False,
    ) -> Iterator[tuple[Any, ...]]:
        """Return the rows of several conditions in one order.

        :param limits: how many rows are returned, and how many are left out before. If it is None, all are
            yielded, and they are read only as they are asked for.
        """
        selects = [f"SELECT {columns} FROM repositories WHERE {where.text}" for where in parts]
        values = tuple(value for where in parts for value in where.values)
        statement = self._dialect.merged(selects, order, limits)
        if limits is None:
            return self._dialect.stream(connection, statement, values, is_whole=is_whole)
        return iter(connection.execute(statement, values))

    def _total(
        self, connection: Connection, state: Mapping[str, float], query: Query, listing: Listing
    ) -> int:
        if not query.words and listing.is_everything:
            return int(state["repositories"])
        if not query.words and listing.has_public:
            where = Where("is_private = 1") & chosen(listing)
            return int(state["public"]) + count_of(connection, "repositories", where)
        key = _key(state, query, listing)
        with self._lock:
            found = self._totals.get(key)
        if found is None:
            found = self._dialect.count(connection, query, listing)
            with self._lock:
                self._totals[key] = found
        return found


def count_of(connection: Connection, source: str, where: Where) -> int:
    """Return how many rows of a table fulfil a condition."""
    found = connection.execute(f"SELECT count(*) FROM {source} WHERE {where.text}", where.values)
    return int(found.fetchone()[0])


def _key(state: Mapping[str, float], query: Query, listing: Listing) -> tuple[object, ...]:
    """Return what a total depends on."""
    return state["changes"], tuple(word.text for word in query.words), key_of(listing)


def _name_of(text: str, namespace: str) -> RepositoryName:
    return RepositoryName(namespace, text[len(namespace) + 1 :])


def _match_of(row: tuple[Any, ...]) -> Match:
    return Match(_name_of(row[2], row[3]), row[1], bool(row[4]))
