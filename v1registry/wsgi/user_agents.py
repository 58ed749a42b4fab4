"""What the ``User-Agent`` of an engine tells about its version."""

from __future__ import annotations

import re

_DOCKER = re.compile(r"(?:^|\s)docker/(\d{1,4})\.(\d{1,4})")


def docker_version(user_agent: str | None) -> tuple[int, int] | None:
    """Return the first two numbers of the engine's version; None if the client is not a docker engine.

    >>> docker_version("docker/17.05.0-ce go/go1.7.5"), docker_version("Docker-Client/20.10.24 (linux)")
    ((17, 5), None)
    """
    found = _DOCKER.search(user_agent or "")
    return None if found is None else (int(found[1]), int(found[2]))
