"""JSON: a strict parser for bodies, and the form that answers have.

A parsed document takes up to thirty times its size in memory. So the values of a document are counted before
any of them is made, and large documents are parsed one at a time in a process (decisions.md 19).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

from .. import errors

#: How deep lists and objects of a body may be nested. Stored documents are read again, perhaps with less of
#: Python's stack left. No document of an engine is nested 10 deep.
JSON_DEPTH: Final = 100

#: How many values a body may have, those in lists and objects included.
JSON_VALUES: Final = 100_000

#: Documents of more bytes are parsed one at a time; and how long one waits for its turn, in seconds.
LARGE_BYTES: Final = 256 << 10
TURN_WAIT_S: Final = 5.0

#: In how many bytes at once values are counted.
_COUNTED_BYTES: Final = 64 << 10

_turn = Lock()

#: Made once: ``json.dumps`` makes one each time if keys are sorted.
_ENCODER: Final = json.JSONEncoder(sort_keys=True)


@contextmanager
def turn_for(size: int) -> Iterator[None]:
    """Exclude other large documents of the process while one of ``size`` bytes is parsed.

    :raises DocumentBusy: the turn did not come in time.
    """
    if size <= LARGE_BYTES:
        yield
        return
    if not _turn.acquire(timeout=TURN_WAIT_S):
        raise errors.DocumentBusy
    try:
        yield
    finally:
        _turn.release()


def parse_json(data: bytes, *, has_unique_keys: bool = False, most_values: int = JSON_VALUES) -> Any:
    """Return the value of a body of JSON.

    Stricter than Python: NaN, Infinity and numbers of too many digits are rejected.

    :param has_unique_keys: reject objects that have a key twice; otherwise the last value counts.
    :param most_values: how many values the body may have.
    :raises ValueError: the body is not JSON in UTF-8, or is nested deeper than JSON_DEPTH.
    :raises TooManyValues: the body has too many values.
    :raises DocumentBusy: the body is large, and other large ones are being parsed.
    """
    hook = _unique if has_unique_keys else None
    with turn_for(len(data)):
        if _has_more_values(data, most_values):
            raise errors.TooManyValues(most_values)
        try:
            parsed = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=hook)
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None
        _check_depth(parsed)
        return parsed


def _has_more_values(data: bytes, most: int) -> bool:
    """Tell whether JSON has more values than ``most``, without making them.

    A value begins the document, or follows a bracket, a brace or a comma; an empty list counts twice. Strings
    are left out, because they may contain these marks.

    :raises ValueError: the JSON is nested deeper than JSON_DEPTH, so it is invalid in any case.

    >>> [_has_more_values(b'[{"a,[{": 1}, "b"]', most) for most in (3, 4)]
    [True, False]
    """
    if len(data) < most or _count(data, "[{,") < most:
        return False
    plain = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    found, depth, is_text = 1, 0, False
    for start in range(0, len(plain), _COUNTED_BYTES):
        parts = plain[start : start + _COUNTED_BYTES].split(b'"')
        outside = b"".join(parts[is_text::2])
        depth += _count(outside, "[{") - _count(outside, "]}")
        if depth > JSON_DEPTH:
            raise ValueError("the JSON is nested too deeply")
        found += _count(outside, "[{,")
        if found > most:
            return True
        is_text ^= len(parts) % 2 == 0
    return False


def _count(data: bytes, marks: str) -> int:
    """Return how often the characters of ``marks`` are in ``data``."""
    return sum(data.count(ord(mark)) for mark in marks)


def _check_depth(value: object) -> None:
    """Return if lists and objects are nested at most JSON_DEPTH deep.

    :raises ValueError: they are nested deeper.
    """
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(JSON_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise ValueError("the JSON is nested too deeply")


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


def dump_json(value: object) -> bytes:
    """Return ``value`` as JSON in the form of docker-registry: ASCII, sorted keys, ``", "`` and ``": "``."""
    return _ENCODER.encode(value).encode("ascii")
