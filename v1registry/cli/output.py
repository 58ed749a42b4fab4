"""What commands print: rows for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable


def print_rows(rows: Iterable[dict[str, object]], as_json: bool) -> None:
    """Print rows to standard output.

    :param as_json: True prints one array of objects. False prints one line a row: the first value, then
        ``key=value`` for each other value that is not empty, separated by tabs.
    """
    if as_json:
        print_json(list(rows))
        return
    for row in rows:
        name, *others = row.items()
        shown = ((key, _shown(value)) for key, value in others)
        print(name[1], *(f"{key}={text}" for key, text in shown if text), sep="\t")


def print_json(document: object) -> None:
    """Print one JSON document to standard output."""
    json.dump(document, sys.stdout, indent=2)
    print()


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ",".join(f"{key}:{item}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value)
