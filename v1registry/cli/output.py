"""What commands print: rows for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Final

#: The longest value in a row for people, in characters.
_LONGEST_SHOWN: Final = 200


def print_rows(rows: Iterable[dict[str, object]], as_json: bool) -> None:
    """Print rows to standard output.

    :param as_json: True prints one array of objects. False prints one line a row: the first value, then
        ``key=value`` for each other value that is not empty, separated by tabs. Line ends, tabs and other
        control characters in values are shown as one blank, and long values are cut.
    """
    if as_json:
        print_json(list(rows))
        return
    for row in rows:
        name, *others = row.items()
        shown = ((key, _shown(value)) for key, value in others)
        print(_one_line(str(name[1])), *(f"{key}={text}" for key, text in shown if text), sep="\t")


def print_json(document: object) -> None:
    """Print one JSON document to standard output."""
    json.dump(document, sys.stdout, indent=2)
    print()


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return _one_line(",".join(f"{key}:{item}" for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return _one_line(",".join(map(str, value)))
    return _one_line(str(value))


def _one_line(text: str) -> str:
    """Return a text as a part of one line: without line ends and other control characters, and not too long.

    >>> _one_line("# Billing\\n\\nAn\\tAPI")
    '# Billing An API'
    """
    shown = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[: _LONGEST_SHOWN - 1]}…"
