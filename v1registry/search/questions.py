"""What is asked of the SQLite index, within a transaction of the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from cachetools import LRUCache

from ..names import DEFAULT_NAMESPACE, RepositoryName
from ..rights import EVERYTHING, Listing
from .schema import has_trigrams
from .words import Query, Word

if TYPE_CHECKING:
    import sqlite3

#: Up to this number of matches, all are read and sorted. If there are more, the first ones are looked for in
#: the order of the result, where they are soon found.
_MOST_SORTED: Final = 10_000

#: Up to this number of matches, their rows are found by their numbers.
_MOST_NAMED: Final = 500

#: How many totals of words that many repositories have are remembered in a process.
_TOTALS: Final = 256

#: The shortest text of which the index of words knows where it is.
_TRIGRAM: Final = 3

#: How much of a text is looked for in the index of words, in characters.
_LONGEST_PHRASE: Final = 64

#: Longer words are looked for in rows by Python, in linear time. ``instr`` compares each of their characters
#: with each place of the text.
_LONGEST_INSTR: Final = 32

_SHOWN: Final = "is_official, stars, name, namespace, has_description"
_ORDER: Final = "is_official DESC, stars DESC, name"


@dataclass(frozen=True)
class Match:
    """A repository that matches a query."""

    name: RepositoryName
    stars: int
    has_description: bool


@dataclass(frozen=True)
class _Where:
    """A condition with its values."""

    text: str
    values: tuple[Any, ...] = ()

    def __and__(self, other: _Where) -> _Where:
        return _Where(f"{self.text} AND {other.text}", (*self.values, *other.values))


class Questions:
    """Asks a database. Safe for threads."""

    def __init__(self) -> None:
        self._totals: LRUCache[tuple[object, ...], int] = LRUCache(_TOTALS)
        self._lock = Lock()

    def find(
        self,
        connection: sqlite3.Connection,
        query: Query,
        listing: Listing,
        start: int,
        most: int,
        *,
        needs_total: bool,
    ) -> tuple[list[Match], int | None]:
        """Return a part of the repositories that match, the best first, and how many there are in all.

        :param most: how many are returned. ``rule`` of the listing is asked of each that comes before.
        :param needs_total: whether the number must be given; else it is None if it is not known at once.
        """
        if listing.rule is not None:
            return self._find_by_rule(connection, query, listing.rule, start, most, needs_total)
        rare = self._rare(connection, query, listing)
        if rare is not None:
            return list(map(_match_of, rare[start : start + most])), len(rare)
        matches = list(map(_match_of, self._walk(connection, query, listing, start, most)))
        is_known = needs_total or not query.words
        return matches, self._total(connection, query, listing) if is_known else None

    def _find_by_rule(
        self,
        connection: sqlite3.Connection,
        query: Query,
        rule: Callable[[RepositoryName], bool],
        start: int,
        most: int,
        needs_total: bool,
    ) -> tuple[list[Match], int | None]:
        rows = self._walk(connection, query, EVERYTHING, 0, -1)
        matches = map(_match_of, rows)
        allowed = (match for match in matches if rule(match.name))
        left_out = sum(1 for _ in islice(allowed, start))
        part = list(islice(allowed, most))
        if not needs_total:
            return part, None
        return part, left_out + len(part) + sum(1 for _ in allowed)

    def names_after(
        self, connection: sqlite3.Connection, after: str, listing: Listing
    ) -> Iterator[RepositoryName]:
        """Yield the names that sort after one, sorted. ``rule`` of the listing is not asked."""
        if listing.rule is not None:
            listing = EVERYTHING
        streams = [_Where("1")] if listing.is_everything else _streams(listing)
        streams = [_Where("name > ?", (after,)) & where for where in streams]
        for name, namespace in _merged(connection, "name, namespace", streams, "name"):
            yield _name_of(name, namespace)

    # -- inside

    def _rare(
        self, connection: sqlite3.Connection, query: Query, listing: Listing
    ) -> list[tuple[Any, ...]] | None:
        """Return all that matches, sorted; None if that is too much, or everything is asked for."""
        if not query.words:
            return None
        with self._lock:
            if self._key(connection, query, listing) in self._totals:
                return None  # it was too much before
        source, where = self._matching(query)
        phrases, rest = _phrases(query)
        if phrases:
            found = connection.execute(
                f"SELECT rowid FROM words WHERE words MATCH ? LIMIT {_MOST_SORTED + 1}", (phrases,)
            ).fetchall()
            # to see that there are too many is much faster than to read them
            if len(found) > _MOST_SORTED:
                return None
            if len(found) <= _MOST_NAMED:
                source = "repositories"
                where = _Where(f"id IN ({', '.join(str(row) for (row,) in found)})")
                for word in rest:
                    where &= _has(word)
        where &= _visible(listing)
        rows = connection.execute(
            f"SELECT {_SHOWN} FROM {source} WHERE {where.text} LIMIT {_MOST_SORTED + 1}", where.values
        ).fetchall()
        if len(rows) > _MOST_SORTED:
            return None
        exact = (query.exact, f"{DEFAULT_NAMESPACE}/{query.exact}")
        return sorted(rows, key=lambda row: (row[2].casefold() not in exact, -row[0], -row[1], row[2]))

    def _walk(
        self, connection: sqlite3.Connection, query: Query, listing: Listing, start: int, most: int
    ) -> Iterator[tuple[Any, ...]]:
        """Yield rows that match in the order of the result.

        :param start: how many are left out.
        :param most: how many are yielded; negative for all.
        """
        filtered = _Where("1")
        for word in query.words:
            filtered &= _has(word)
        exact = self._exact(connection, query, listing, filtered)
        first = exact[start:] if most < 0 else exact[start : start + most]
        yield from first
        names = [row[2] for row in exact]
        if names:
            filtered &= _Where(f"name NOT IN ({_marks(names)})", tuple(names))
        left, left_out = most if most < 0 else most - len(first), max(0, start - len(exact))
        streams = [where & filtered for where in _streams(listing)]
        yield from _merged(connection, _SHOWN, streams, f"{_ORDER} LIMIT {left} OFFSET {left_out}")

    def _exact(
        self, connection: sqlite3.Connection, query: Query, listing: Listing, filtered: _Where
    ) -> list[tuple[Any, ...]]:
        if not query.words:
            return []
        texts = (query.exact, f"{DEFAULT_NAMESPACE}/{query.exact}")
        where = _Where("(name IN (?, ?) OR folded IN (?, ?))", texts + texts) & _visible(listing) & filtered
        rows = connection.execute(
            f"SELECT {_SHOWN} FROM repositories WHERE {where.text} ORDER BY {_ORDER}", where.values
        )
        return [row for row in rows if query.names(_name_of(row[2], row[3]))]

    def _total(self, connection: sqlite3.Connection, query: Query, listing: Listing) -> int:
        numbers = dict(connection.execute("SELECT key, value FROM state"))
        if not query.words and listing.is_everything:
            return int(numbers["repositories"])
        if not query.words and listing.has_public:
            where = _Where("is_private = 1") & _chosen(listing)
            return int(numbers["public"]) + _count(connection, "repositories", where)
        key = self._key(connection, query, listing)
        with self._lock:
            found = self._totals.get(key)
        if found is None:
            found = self._counted(connection, query, listing)
            with self._lock:
                self._totals[key] = found
        return found

    def _key(self, connection: sqlite3.Connection, query: Query, listing: Listing) -> tuple[object, ...]:
        """Return what a total depends on."""
        changes = connection.execute("SELECT value FROM state WHERE key = 'changes'").fetchone()[0]
        return changes, tuple(word.text for word in query.words), _key_of(listing)

    def _counted(self, connection: sqlite3.Connection, query: Query, listing: Listing) -> int:
        source, where = self._matching(query)
        phrases, rest = _phrases(query)
        if not phrases or rest or not (listing.is_everything or listing.has_public):
            return _count(connection, source, where & _visible(listing))
        # the index of words alone is faster; what the caller may not see is subtracted
        total = _count(connection, "words", where)
        if not listing.is_everything:
            chosen = _chosen(listing)
            hidden = _Where(f"is_private = 1 AND NOT {chosen.text}", chosen.values)
            for word in query.words:
                hidden &= _has(word)
            total -= _count(connection, "repositories", hidden)
        return total

    def _matching(self, query: Query) -> tuple[str, _Where]:
        """Return from which tables the rows of a query come, and their condition.

        The condition is that of the table of words alone if that suffices.
        """
        phrases, rest = _phrases(query)
        where = _Where("words MATCH ?", (phrases,)) if phrases else _Where("1")
        for word in rest:
            where &= _has(word)
        if not phrases:
            return "repositories", where
        return "words CROSS JOIN repositories ON repositories.id = words.rowid", where


def _phrases(query: Query) -> tuple[str, list[Word]]:
    """Return what the table of words is asked, and the words for which the rows must be looked at besides.

    The first is empty if the table cannot be asked. A trigram costs as much time as it has places in a text.
    So each is asked for once: otherwise a text and a query such as ``aaaa…`` would cost the product of their
    lengths.
    """
    if not has_trigrams():
        return "", query.words
    asked = set[str]()
    phrases, rest = list[str](), list[Word]()
    for word in query.words:
        parts = [(part, _start_of(part, asked)) for part in word.literals]
        phrases += [start for _, start in parts if start]
        if word.has_wildcard or any(part != start for part, start in parts):
            rest.append(word)
    return " ".join('"' + phrase.replace('"', '""') + '"' for phrase in phrases), rest


def _start_of(part: str, asked: set[str]) -> str:
    """Return the start of a text whose trigrams are all new, and add them; empty if there is none."""
    if "\0" in part:
        return ""
    for end in range(_TRIGRAM, min(len(part), _LONGEST_PHRASE) + 1):
        trigram = part[end - _TRIGRAM : end]
        if trigram in asked:
            return part[: end - 1] if end > _TRIGRAM else ""
        asked.add(trigram)
    return part[:_LONGEST_PHRASE] if len(part) >= _TRIGRAM else ""


def _has(word: Word) -> _Where:
    if word.has_wildcard or len(word.text) > _LONGEST_INSTR:
        return _Where("has_word(repositories.text, ?)", (word.text,))
    return _Where("instr(repositories.text, ?) > 0", (word.text,))


def add_functions(connection: sqlite3.Connection) -> None:
    """Add the function for words with wildcards, and for long ones, to a connection."""
    connection.create_function("has_word", 2, lambda text, word: Word(word).is_in(text), deterministic=True)


def _merged(
    connection: sqlite3.Connection, columns: str, streams: list[_Where], order: str
) -> Iterator[tuple[Any, ...]]:
    """Return the rows of several conditions in one order. Rows are read only as they are asked for."""
    selects = [f"SELECT {columns} FROM repositories WHERE {where.text}" for where in streams]
    values = [value for where in streams for value in where.values]
    return connection.execute(f"{' UNION ALL '.join(selects)} ORDER BY {order}", values)


def _streams(listing: Listing) -> list[_Where]:
    """Return conditions that together are what the caller may see. No row fulfils two."""
    if listing.is_everything:
        return [_Where("is_private = 0"), _Where("is_private = 1")]
    if not listing.has_public:
        return [_chosen(listing)]
    hidden = _Where("is_private = 1") & _chosen(listing)
    return [_Where("is_private = 0"), hidden]


def _visible(listing: Listing) -> _Where:
    if listing.is_everything:
        return _Where("1")
    if not listing.has_public:
        return _chosen(listing)
    chosen = _chosen(listing)
    # each + keeps SQLite from an index for one half, which is much slower than to look at each row
    return _Where(f"(+is_private = 0 OR +{chosen.text})", chosen.values)


def _chosen(listing: Listing) -> _Where:
    """Return the condition for what the listing names, by namespace, user or name."""
    ids: list[_Where] = []
    if listing.namespaces:
        namespaces = tuple(sorted(listing.namespaces))
        ids.append(
            _Where(f"SELECT id FROM repositories WHERE namespace IN ({_marks(namespaces)})", namespaces)
        )
    if listing.repositories:
        names = tuple(sorted(map(str, listing.repositories)))
        ids.append(_Where(f"SELECT id FROM repositories WHERE name IN ({_marks(names)})", names))
    if listing.collaborator is not None:
        user = listing.collaborator
        ids.append(
            _Where(
                "SELECT repository FROM collaborators WHERE username = ? AND account IN ('', ?)",
                (user.name, user.id),
            )
        )
    if not ids:
        return _Where("0")
    text = " UNION ".join(one.text for one in ids)
    return _Where(f"repositories.id IN ({text})", tuple(value for one in ids for value in one.values))


def _key_of(listing: Listing) -> tuple[object, ...]:
    user = listing.collaborator
    who = None if user is None else (user.name, user.id)
    return listing.is_everything, listing.has_public, listing.namespaces, listing.repositories, who


def _marks(values: tuple[str, ...] | list[str]) -> str:
    return ", ".join("?" * len(values))


def _count(connection: sqlite3.Connection, source: str, where: _Where) -> int:
    found = connection.execute(f"SELECT count(*) FROM {source} WHERE {where.text}", where.values)
    return int(found.fetchone()[0])


def _name_of(text: str, namespace: str) -> RepositoryName:
    return RepositoryName(namespace, text[len(namespace) + 1 :])


def _match_of(row: tuple[Any, ...]) -> Match:
    return Match(_name_of(row[2], row[3]), row[1], bool(row[4]))
