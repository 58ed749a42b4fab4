"""The pictures that docs/pages.md shows."""

from __future__ import annotations

import re
import struct

from support.programs import PROJECT

FOLDER = PROJECT / "docs" / "pictures"


def test_pictures_of_the_pages_exist_small_and_described() -> None:
    page = (PROJECT / "docs" / "pages.md").read_text("utf-8")
    shown = dict(re.findall(r"!\[([^\]]+)\]\((pictures/[^)]+)\)", page))

    assert sorted(shown.values()) == sorted(f"pictures/{path.name}" for path in FOLDER.iterdir())
    for text, path in shown.items():
        picture = (PROJECT / "docs" / path).read_bytes()
        assert picture.startswith(b"\x89PNG\r\n\x1a\n"), path
        # the first chunk begins with width and height (PNG specification, 11.2.2)
        (width,) = struct.unpack(">I", picture[16:20])
        assert width <= 1100, path
        assert len(picture) < 150 * 1024, path
        assert len(text) > 20, f"{path} is described in a word: {text!r}"
