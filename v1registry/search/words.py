"""The words of a query, and the text of a repository in which they are looked for (hub.md 7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ..names import RepositoryName

#: How many characters of a description are searched. Owners write descriptions of any length.
SEARCHED_LENGTH: Final = 25_000

#: How many different words of a query count.
MOST_WORDS: Final = 32

_WILDCARD: Final = re.compile(r"[*?]")


def folded(text: str) -> str:
    """Return a text in the form in which texts are compared. Databases cannot keep a NUL.

    >>> folded("Straße\\0")
    'strasse\ufffd'
    """
    return text.casefold().replace("\0", "\N{REPLACEMENT CHARACTER}")


def searched_text(name: RepositoryName, description: str) -> str:
    """Return the text of a repository in which words are looked for. No word goes over the line break.

    >>> searched_text(RepositoryName("acme", "App"), "A Service")
    'acme/app\\na service'
    """
    return folded(f"{name}\n{description[:SEARCHED_LENGTH]}")


@dataclass(frozen=True)
class Word:
    """One word of a query, in lower case. ``*`` stands for any characters but blanks, ``?`` for one.

    >>> Word("b*s?box").is_in("acme/busybox\\n"), Word("b*box").is_in("a base\\nin a box")
    (True, False)
    >>> Word("sybo").is_in("acme/busybox\\n")
    True
    """

    text: str

    @cached_property
    def has_wildcard(self) -> bool:
        """Whether the word has one."""
        return _WILDCARD.search(self.text) is not None

    @cached_property
    def literals(self) -> list[str]:
        """The parts of the word between its wildcards. A text with the word has all of them."""
        return [part for part in _WILDCARD.split(self.text) if part]

    @cached_property
    def _pieces(self) -> list[re.Pattern[str]]:
        pieces = [piece for piece in self.text.split("*") if piece]
        return [re.compile(re.escape(piece).replace(r"\?", r"\S")) for piece in pieces]

    def is_in(self, text: str) -> bool:
        """Tell whether a text in lower case has the word.

        The time grows with the length of the text times that of the word, never faster.
        """
        if not self.has_wildcard:
            return self.text in text
        if not all(literal in text for literal in self.literals):
            return False
        return any(map(self._is_in_part, text.split()))

    def _is_in_part(self, part: str) -> bool:
        at = 0
        for piece in self._pieces:
            found = piece.search(part, at)
            if found is None:
                return False
            at = found.end()
        return True


class Query:
    """What a caller searches for.

    :param text: as it was sent; empty for everything.
    """

    def __init__(self, text: str):
        self._exact = folded(text.strip())
        distinct = dict.fromkeys(folded(text).split())
        #: all of them have to be in the name or the description of a repository
        self.words = [Word(word) for word in list(distinct)[:MOST_WORDS]]

    def names(self, name: RepositoryName) -> bool:
        """Tell whether the query is the exact name of a repository, which is found first."""
        return bool(self._exact) and self._exact in (folded(name.short), folded(str(name)))

    @property
    def is_encodable(self) -> bool:
        """Whether the query is text that a name can have. A query may have halves of pairs of UTF-16."""
        try:
            self._exact.encode("utf-8")
        except UnicodeEncodeError:
            return False
        return True

    @property
    def exact(self) -> str:
        """The query in lower case, without blanks around it."""
        return self._exact
