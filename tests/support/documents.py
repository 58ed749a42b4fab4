"""The fenced code blocks of the documents.

A comment before each block names it, or says why no test runs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .programs import PROJECT

DOCUMENTS = [
    *sorted(PROJECT.glob("*.md")),
    *sorted(PROJECT.glob("docs/*.md")),
    *sorted(PROJECT.glob("docs/testing/*.md")),
]

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- (.*) -->\n *\Z")
_NOT_RUN = re.compile(r"not run: (.{10,})")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    :param name: what the comment before the block says; empty without a comment.
    :param language: the word after the fence.
    """

    path: Path
    name: str
    language: str
    text: str

    @property
    def reason(self) -> str:
        """Why no test runs the block; empty if one does."""
        found = _NOT_RUN.fullmatch(self.name)
        return found[1] if found else ""


def blocks() -> Iterator[Block]:
    """Return the fenced blocks of all documents outside docs/protocol/."""
    for path in DOCUMENTS:
        text = path.read_text("utf-8")
        for found in _FENCE.finditer(text):
            comment = _COMMENT.search(text, 0, found.start())
            yield Block(path, comment[1] if comment else "", found[2], found[3])


def block(name: str) -> str:
    """Return the text of the block after the comment ``<!-- name -->``."""
    (found,) = [block for block in blocks() if block.name == name]
    return found.text


def section(path: str, heading: str) -> str:
    """Return the text below a heading of the second level, up to the next one."""
    text = (PROJECT / path).read_text("utf-8")
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def ini_file(name: str, folder: Path) -> Path:
    """Write the ini file of a block into a folder, which also takes the place of ``/srv``."""
    path = folder / f"{name}.ini"
    path.write_text(block(name).replace("file:///srv", f"file://{folder}/srv"), "utf-8")
    return path
