"""Names of objects, made of keys so that objects sort as their keys do.

Stores sort objects by the bytes of their names, so one listing of a store is a listing of keys in order. Most
characters of keys stay. The others become two characters: the greatest character below them that is never
used alone, and a digit. The names that come out need no quoting in URLs, except for the rare ``:`` and a
backtick.
"""

from __future__ import annotations

from typing import Final

#: What begins the two characters of an encoded one, and the first character that it stands for.
_RANGES: Final = (("!", " ", ","), (":", ":", "@"), ("Z", "Z", "^"), ("~", "{", "~"))

#: Character -> its two characters. The digits are those of base 16.
_ENCODED: Final = {
    code: f"{start}{code - ord(first):x}"
    for start, first, last in _RANGES
    for code in range(ord(first), ord(last) + 1)
}

_DECODED: Final = {encoded: chr(code) for code, encoded in _ENCODED.items()}

_STARTS: Final = frozenset(start for start, _, _ in _RANGES)


def encode(text: str) -> str:
    """Return printable ASCII in the characters of object names. The results sort as the texts do.

    >>> encode("repositories/ns/a%2Fb"), encode("a b~")
    ('repositories/ns/a!52Fb', 'a!0b~3')
    """
    return text.translate(_ENCODED)


def decode(name: str) -> str:
    """Return the text that was encoded.

    :raises ValueError: it is not an encoded text.

    >>> decode("a!0b~3")
    'a b~'
    """
    if _STARTS.isdisjoint(name):
        return name
    decoded = []
    at = 0
    while at < len(name):
        if name[at] in _STARTS:
            try:
                decoded.append(_DECODED[name[at : at + 2]])
            except KeyError:
                raise ValueError(f"{name!r} is not the name of an object of this storage") from None
            at += 2
        else:
            decoded.append(name[at])
            at += 1
    return "".join(decoded)


def decoded(name: str) -> str | None:
    """Return the printable text whose encoded form a name is; None if there is none.

    >>> decoded("a!0b~3"), decoded("a b"), decoded("")
    ('a b~', None, None)
    """
    try:
        text = decode(name)
    except ValueError:
        return None
    return text if text and text.isascii() and text.isprintable() and encode(text) == name else None


def printable_part(text: str) -> str:
    """Return the longest beginning of a text that is printable ASCII.

    >>> printable_part("a/é")
    'a/'
    """
    for at, letter in enumerate(text):
        if not " " <= letter <= "~":
            return text[:at]
    return text
