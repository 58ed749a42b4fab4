"""Links between containers of the network ``bridge`` (remote.md 5.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .errors import EngineError
from .networks import NetworkStore
from .published_ports import Connected


class Linked(Connected, Protocol):
    """A container to which another one is linked."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables."""


def variables(owner: str, links: Mapping[str, Linked], networks: NetworkStore) -> dict[str, str]:
    """Return the variables by which a container finds those that it is linked to.

    :param owner: the name of the container.
    :param links: alias -> other container.
    :raises EngineError: one of them does not run, or is not in ``bridge``; the message is docker's.
    """
    found: dict[str, str] = {}
    for alias, other in links.items():
        path = f"/{owner}/{alias}"
        if not other.is_running:
            raise EngineError(f"Cannot link to a non running container: /{other.name} AS {path}")
        endpoint = networks.connections(other).get("bridge")
        if endpoint is None:
            raise EngineError(f"container {other.id} not attached to default bridge network")
        word, address = alias.upper().replace("-", "_"), endpoint["IPAddress"]
        for number, (port, protocol) in enumerate(_ports(other)):
            url, prefix = f"{protocol}://{address}:{port}", f"{word}_PORT_{port}_{protocol.upper()}"
            if number == 0:
                found[f"{word}_PORT"] = url
            found |= {
                prefix: url,
                f"{prefix}_ADDR": address,
                f"{prefix}_PORT": str(port),
                f"{prefix}_PROTO": protocol,
            }
        found[f"{word}_NAME"] = path
        own = {name: value for name, value in other.environment.items() if name not in ("HOME", "PATH")}
        found |= {f"{word}_ENV_{name}": value for name, value in own.items()}
    return found


def _ports(container: Linked) -> list[tuple[int, str]]:
    """Return the exposed ports, the lowest first; tcp comes before udp."""
    found = []
    for text in container.config.get("ExposedPorts") or {}:
        number, _, protocol = text.partition("/")
        if number.isdecimal():
            found.append((int(number), protocol or "tcp"))
    return sorted(found)
