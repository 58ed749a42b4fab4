"""The ports of running containers on the host. Nothing listens on them (remote.md 9)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

from .errors import EngineError, InvalidParameter

_ANY: Final = "0.0.0.0"  # noqa: S104  it is shown only
_FIRST_PORT: Final = 49153
_MOST_PORT: Final = 65535

_PORT: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")

#: Port in the container -> addresses on the host, None for a port that is not published.
Ports = dict[str, list[dict[str, str]] | None]


class Connected(Protocol):
    """A container, as networks see it."""

    @property
    def id(self) -> str:
        """The id."""

    @property
    def name(self) -> str:
        """The name, without the slash in front."""

    @property
    def is_running(self) -> bool:
        """Whether it has addresses."""

    @property
    def config(self) -> Mapping[str, Any]:
        """``Config``, with the exposed ports."""

    @property
    def host_config(self) -> Mapping[str, Any]:
        """``HostConfig``, with the published ports."""


def port_range(text: str) -> tuple[int, int]:
    """Return the first and the last port of ``8000`` or ``8000-8002``.

    :raises InvalidParameter: the text is no port and no range; the message is docker's.
    """
    found = _PORT.fullmatch(text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if first > last or last > _MOST_PORT:
        raise InvalidParameter(f'invalid port specification: "{text[:80]}"')
    return first, last


def check_ports(bindings: Mapping[str, Any]) -> None:
    """Return if all published ports are numbers, and those of the host numbers or ranges.

    :raises InvalidParameter: one is not; the message is docker's.
    """
    for port, places in bindings.items():
        inside = port.partition("/")[0]
        if "-" in inside:
            raise InvalidParameter(f'invalid port specification: "{inside[:80]}"')
        for text in (inside, *((place or {}).get("HostPort") or "0" for place in places or [])):
            port_range(text)


class PublishedPorts:
    """The ports of all containers. Its callers hold the lock of the engine."""

    def __init__(self) -> None:
        self._ports: dict[str, Ports] = {}
        self._next_port = _FIRST_PORT

    def of(self, container: Connected) -> Ports:
        """Return the ports of a container, none if it does not run."""
        return self._ports.get(container.id, {})

    def publish(self, container: Connected) -> None:
        """Give a container its ports.

        :raises EngineError: one is taken; the message is docker's.
        """
        self._ports[container.id] = {}
        if container.host_config.get("NetworkMode") in ("none", "host"):
            return
        found: Ports = {_exposed(str(port)): None for port in container.config.get("ExposedPorts") or {}}
        for port, places in (container.host_config.get("PortBindings") or {}).items():
            found[port] = [{} for _ in places or [{}]]
        self._ports[container.id] = found
        for port, places in (container.host_config.get("PortBindings") or {}).items():
            found[port] = [self._place(container, port, place or {}) for place in places or [{}]]
        if container.host_config.get("PublishAllPorts"):
            for port, placed in found.items():
                if placed is None:
                    found[port] = [self._place(container, port, {})]

    def withdraw(self, container: Connected) -> None:
        """Take the ports from a container that stopped."""
        self._ports.pop(container.id, None)

    def _place(self, container: Connected, port: str, wanted: Mapping[str, Any]) -> dict[str, str]:
        """Return an address on the host. Of a range it is the first free port.

        :raises EngineError: no port is free; the message is docker's.
        """
        address = str(wanted.get("HostIp") or _ANY)
        first, last = port_range(str(wanted.get("HostPort") or "0"))
        if first == 0:
            self._next_port += 1
            return {"HostIp": address, "HostPort": str(self._next_port - 1)}
        taken = self._taken(port.partition("/")[2] or "tcp", address)
        for number in range(first, last + 1):
            if str(number) not in taken:
                return {"HostIp": address, "HostPort": str(number)}
        reason = "all ports are allocated"
        if first == last:
            reason = f"Bind for {address}:{first} failed: port is already allocated"
        raise EngineError(
            f"driver failed programming external connectivity on endpoint {container.name} "
            f"({container.id}): {reason}"
        )

    def _taken(self, protocol: str, address: str) -> set[str]:
        """Return the ports of a protocol that containers have at an address."""
        return {
            place["HostPort"]
            for ports in self._ports.values()
            for port, places in ports.items()
            for place in places or []
            if place
            and (port.partition("/")[2] or "tcp") == protocol
            and (address == place["HostIp"] or _ANY in (address, place["HostIp"]))
        }


def _exposed(port: str) -> str:
    """Return an exposed port as it is shown: a range has the number 0, as in docker.

    >>> _exposed("80/tcp"), _exposed("80-82/tcp")
    ('80/tcp', '0/tcp')
    """
    number, slash, protocol = port.partition("/")
    return f"0{slash}{protocol}" if "-" in number else port
