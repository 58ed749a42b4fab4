"""Conditions of SQL: what a caller may see, and which parts of words an index of words is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..rights import Listing
from .words import Query, Word

#: The shortest text of which an index of words knows where it is.
_TRIGRAM: Final = 3

#: How much of a text is looked for in the index of words, in characters.
_LONGEST_PHRASE: Final = 64

#: Longer words are not looked for by the database, which compares each of their characters with each place of
#: a text, but by Python, in linear time.
LONGEST_PART: Final = 32


@dataclass(frozen=True)
class Where:
    """A condition with its values. It is a conjunction, or stands in parentheses."""

    text: str
    values: tuple[Any, ...] = ()

    def __and__(self, other: Where) -> Where:
        if self is ALWAYS:
            return other
        if other is ALWAYS:
            return self
        return Where(f"{self.text} AND {other.text}", (*self.values, *other.values))


ALWAYS: Final = Where("1 = 1")
NEVER: Final = Where("1 = 0")


def marks(values: Sequence[object]) -> str:
    """Return the marks of values in a statement.

    >>> marks(["a", "b"])
    '?, ?'
    """
    return ", ".join("?" * len(values))


def streams(listing: Listing) -> list[Where]:
    """Return conditions that together are what the caller may see. No row fulfils two."""
    if listing.is_everything:
        return [Where("is_private = 0"), Where("is_private = 1")]
    if not listing.has_public:
        return [chosen(listing)]
    some = chosen(listing)
    public = Where("is_private = 0")
    return [public] if some is NEVER else [public, Where("is_private = 1") & some]


def visible(listing: Listing) -> Where:
    """Return the condition for what the caller may see."""
    if listing.is_everything:
        return ALWAYS
    if not listing.has_public:
        return chosen(listing)
    some = chosen(listing)
    # each + keeps SQLite from an index for one half, which is much slower than to look at each row
    return Where(f"(+is_private = 0 OR +{some.text})", some.values)


def chosen(listing: Listing) -> Where:
    """Return the condition for what the listing names, by namespace, user or name."""
    ids: list[Where] = []
    if listing.namespaces:
        namespaces = tuple(sorted(listing.namespaces))
        ids.append(Where(f"SELECT id FROM repositories WHERE namespace IN ({marks(namespaces)})", namespaces))
    if listing.repositories:
        names = tuple(sorted(map(str, listing.repositories)))
        ids.append(Where(f"SELECT id FROM repositories WHERE name IN ({marks(names)})", names))
    if listing.collaborator is not None:
        user = listing.collaborator
        ids.append(
            Where(
                "SELECT repository FROM collaborators WHERE username = ? AND account IN ('', ?)",
                (user.name, user.id),
            )
        )
    if not ids:
        return NEVER
    text = " UNION ".join(one.text for one in ids)
    return Where(f"repositories.id IN ({text})", tuple(value for one in ids for value in one.values))


def key_of(listing: Listing) -> tuple[object, ...]:
    """Return what distinguishes a listing from others."""
    user = listing.collaborator
    who = None if user is None else (user.name, user.id)
    return listing.is_everything, listing.has_public, listing.namespaces, listing.repositories, who


def phrases_of(query: Query) -> tuple[list[str], list[Word]]:
    """Return what an index of words is asked, and the words for which the rows must be looked at besides.

    A trigram costs as much time as it has places in a text. So each is asked for once: otherwise a text and a
    query such as ``aaaa…`` would cost the product of their lengths.
    """
    asked = set[str]()
    phrases, rest = list[str](), list[Word]()
    for word in query.words:
        parts = [(part, _start_of(part, asked)) for part in word.literals]
        phrases += [start for _, start in parts if start]
        if word.has_wildcard or any(part != start for part, start in parts):
            rest.append(word)
    return phrases, rest


def _start_of(part: str, asked: set[str]) -> str:
    """Return the start of a text whose trigrams are all new, and add them; empty if there is none."""
    for end in range(_TRIGRAM, min(len(part), _LONGEST_PHRASE) + 1):
        trigram = part[end - _TRIGRAM : end]
        if trigram in asked:
            return part[: end - 1] if end > _TRIGRAM else ""
        asked.add(trigram)
    return part[:_LONGEST_PHRASE] if len(part) >= _TRIGRAM else ""
