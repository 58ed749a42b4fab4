"""The nginx configuration in docs/ is the tested one."""

from __future__ import annotations

from support.documents import blocks
from support.programs import EXAMPLES


def test_nginx_block_is_the_file_in_examples() -> None:
    (block,) = [found for found in blocks() if found.language == "nginx"]
    assert block.text.strip() == (EXAMPLES / "servers" / "nginx.conf").read_text("utf-8").strip()
