"""What the ``User-Agent`` of a push tells of it."""

from __future__ import annotations

import re

#: A match begins where a word does: else a long word would be tried from each of its characters.
_USER_AGENT_PAIR = re.compile(r"(?<![^\s/])([^\s/]+)/([^\s/]+)")
_INFO_OF_PRODUCT = {
    "docker": "docker_version",
    "go": "docker_go_version",
    "arch": "arch",
    "kernel": "kernel",
    "os": "os",
}


def info_of_user_agent(user_agent: str, now_s: float) -> dict[str, object]:
    """Return what a pusher's ``User-Agent`` tells, and the time in whole seconds since the epoch.

    Of a product that is named twice the first counts: ``UpstreamClient(Docker-Client/1.12.6 …)`` comes last.

    >>> info_of_user_agent("docker/1.9.1 go/go1.4.3 os/Linux", 1430000000.5)
    {'docker_version': '1.9.1', 'docker_go_version': 'go1.4.3', 'os': 'linux', 'last_update': 1430000000}
    """
    info: dict[str, object] = {}
    for product, version in _USER_AGENT_PAIR.findall(user_agent):
        name = _INFO_OF_PRODUCT.get(product.lower())
        if name is not None and name not in info:
            info[name] = version.lower() if name in ("arch", "kernel", "os") else version
    info["last_update"] = int(now_s)
    return info
