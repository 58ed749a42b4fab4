"""Reads the table of rights, tests/data/rights-table.txt, whose form stands in its head."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PATH = Path(__file__).parent.parent / "data" / "rights-table.txt"

KINDS = ("public", "private", "library", "absent", "deleted")
#: Access tokens of applications.
BEARERS = ("repo_read", "repo_write", "accounts", "unissued")
CREDENTIALS = ("basic", "read", "write", "delete", "other", "expired", "forged", "gone", *BEARERS)
CALLERS = ("any", "bad", "off", "str", "col", "wri", "own", "mem", "adm")


@dataclass(frozen=True)
class Row:
    """One request of one caller, and what has to come back."""

    line: int  #: where it stands in the file
    method: str
    path: str
    kind: str
    credentials: str
    caller: str
    expected: str

    def __str__(self) -> str:
        return (
            f"line {self.line}: {self.method} {self.path} of {self.kind}, {self.credentials} of {self.caller}"
        )


def read_rows() -> Iterator[Row]:
    """Yield every row of the table, one for each request, repository, credentials and caller."""
    for number, line in enumerate(PATH.read_text(encoding="ascii").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        method, path, kinds, credentials, *cells = line.split()
        assert len(cells) == len(CALLERS), f"line {number}: {len(cells)} cells"
        choices = (
            method.split(","),
            expand(path),
            KINDS if kinds == "*" else kinds.split(","),
            credentials.split(","),
            zip(CALLERS, cells, strict=True),
        )
        for one_method, one_path, kind, credential, (caller, expected) in itertools.product(*choices):
            assert kind in KINDS, f"line {number}: {kind}"
            assert credential in CREDENTIALS, f"line {number}: {credential}"
            if expected != "-":
                yield Row(number, one_method, one_path, kind, credential, caller, expected)


def expand(path: str) -> list[str]:
    """Return the paths that braces stand for."""
    found = re.fullmatch(r"(.*)\{(.*)\}(.*)", path)
    return [path] if found is None else [f"{found[1]}{choice}{found[3]}" for choice in found[2].split(",")]
