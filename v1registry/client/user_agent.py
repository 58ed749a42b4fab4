"""How the client names itself to registries."""

from __future__ import annotations

import platform

from ..version import __version__

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def default_user_agent() -> str:
    """Return the default ``User-Agent``, in the form that registries parse: ``name/version`` pairs.

    docker-registry up to 0.9.0 answers 500 to a checksum from an agent without ``docker/x.y``.
    """
    machine = _MACHINES.get(platform.machine(), platform.machine().lower())
    python, system = platform.python_version(), platform.system().lower()
    return f"v1registry/{__version__} python/{python} os/{system} arch/{machine}"
