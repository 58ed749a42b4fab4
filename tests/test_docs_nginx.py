"""The nginx configuration in docs/ is the tested one."""

from __future__ import annotations

import re

from support.documents import blocks
from support.programs import EXAMPLES

from v1registry.settings import Settings


def test_nginx_block_is_the_file_in_examples() -> None:
    (block,) = [found for found in blocks() if found.language == "nginx"]
    assert block.text.strip() == (EXAMPLES / "servers" / "nginx.conf").read_text("utf-8").strip()


def test_times_for_instances_fit_those_of_the_registry() -> None:
    text = (EXAMPLES / "servers" / "nginx-instances.conf").read_text("utf-8")
    times_s = {name: int(value) for name, value in re.findall(r"^ +(\w+) (\d+)s;$", text, re.MULTILINE)}
    settings = Settings()
    assert times_s["proxy_read_timeout"] > settings.v1_view_time_s
    assert times_s["client_body_timeout"] == settings.upload_silence_s
    # a part of a layer may take six times the time of a call
    assert times_s["proxy_send_timeout"] > 6 * 10
