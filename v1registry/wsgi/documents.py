"""JSON: a strict parser for bodies, and the form that answers have."""

from __future__ import annotations

import json
from typing import Any, Final

#: How deep lists and objects of a body may be nested. Stored documents are read again, perhaps with less of
#: Python's stack left. No document of an engine is nested 10 deep.
JSON_DEPTH: Final = 100


def parse_json(data: bytes, *, has_unique_keys: bool = False) -> Any:
    """Return the value of a body of JSON.

    Stricter than Python: NaN, Infinity and numbers of too many digits are rejected.

    :param has_unique_keys: reject objects that have a key twice; otherwise the last value counts.
    :raises ValueError: the body is not JSON in UTF-8, or is nested deeper than JSON_DEPTH.
    """
    hook = _unique if has_unique_keys else None
    try:
        parsed = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=hook)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    _check_depth(parsed)
    return parsed


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
    return json.dumps(value, sort_keys=True).encode("ascii")
