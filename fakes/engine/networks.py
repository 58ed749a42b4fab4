"""Networks: names, addresses and who is connected. Nothing is sent over them (remote.md 9)."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from .errors import EngineError, InvalidParameter, NoSuchObject, ObjectConflict, Refused

if TYPE_CHECKING:
    from v1registry.clock import Clock

    from .events import EventLog

#: The networks that every engine has: name -> driver.
_BUILT_IN: Final = {"bridge": "bridge", "host": "host", "none": "null"}

_ANY: Final = "0.0.0.0"  # noqa: S104  it is shown only
_FIRST_SUBNET: Final = 17  #: 172.17.0.0/16 is that of bridge
_FIRST_PORT: Final = 49153


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


@dataclass(eq=False)
class Network:
    """One network.

    :param settings: as the client gave them.
    """

    id: str
    name: str
    driver: str
    created_s: float
    subnet: ipaddress.IPv4Network | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    endpoints: dict[str, dict[str, str]] = field(default_factory=dict)  #: container id -> addresses
    _next_host: int = 0

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels."""
        found = self.settings.get("Labels")
        return found if isinstance(found, dict) else {}

    @property
    def is_built_in(self) -> bool:
        """Whether it is one of those that every engine has."""
        return self.name in _BUILT_IN

    @property
    def gateway(self) -> str:
        """The address of the engine in the network, empty without addresses."""
        return "" if self.subnet is None else str(self.subnet[min(1, self.subnet.num_addresses - 1)])

    def free_address(self) -> str:
        """Return the next free address, empty without addresses.

        :raises EngineError: all are taken; the message is docker's.
        """
        if self.subnet is None:
            return ""
        taken = {endpoint["IPv4Address"].partition("/")[0] for endpoint in self.endpoints.values()}
        # without those of the network, of the gateway and for broadcasts
        count = max(self.subnet.num_addresses - 3, 0)
        for _ in range(min(count, len(taken) + 1)):
            address = str(self.subnet[2 + self._next_host % count])
            self._next_host += 1
            if address not in taken:
                return address
        raise EngineError(
            f"no available IPv4 addresses on this network's address pools: {self.name} ({self.id})"
        )


class NetworkStore:
    """All networks, and the connections of containers. Its callers hold the lock of the engine."""

    def __init__(self, clock: Clock, events: EventLog):
        self._clock = clock
        self._events = events
        self._count = 0
        self._networks: dict[str, Network] = {}
        #: container id -> name of the network -> settings of the endpoint
        self._connections: dict[str, dict[str, dict[str, Any]]] = {}
        self._ports: dict[str, dict[str, list[dict[str, str]] | None]] = {}
        self._next_port = _FIRST_PORT
        for name, driver in _BUILT_IN.items():
            self._add(name, driver, {}, None)

    def _add(
        self, name: str, driver: str, settings: Mapping[str, Any], subnet: ipaddress.IPv4Network | None
    ) -> Network:
        self._count += 1
        network_id = hashlib.sha256(f"network {self._count}".encode()).hexdigest()
        if subnet is None and driver not in ("host", "null"):
            subnet = self._free_subnet()
        network = Network(network_id, name, driver, self._clock.time_s(), subnet, settings)
        self._networks[network_id] = network
        return network

    def _free_subnet(self) -> ipaddress.IPv4Network:
        taken = [network.subnet for network in self._networks.values() if network.subnet is not None]
        for subnet in _subnets():
            if not any(subnet.overlaps(other) for other in taken):
                return subnet
        raise InvalidParameter("could not find an available, non-overlapping IPv4 address pool")

    def all(self) -> list[Network]:
        """Return all networks in the order of their creation."""
        return list(self._networks.values())

    def find(self, text: str) -> Network:
        """Return the network of a name, an id or the beginning of one.

        :raises NoSuchObject: there is none; the message is docker's.
        """
        text = "bridge" if text == "default" else text
        for network in self._networks.values():
            if text in (network.id, network.name):
                return network
        found = [network for network in self._networks.values() if text and network.id.startswith(text)]
        if len(found) != 1:
            raise NoSuchObject(f"network {text} not found")
        return found[0]

    def create(self, name: str, settings: Mapping[str, Any]) -> Network:
        """Make a network.

        :raises ObjectConflict: there is one with this name.
        :raises InvalidParameter: the driver or the subnet is invalid.
        """
        if name in ("bridge", "host", "none"):
            raise Refused(f"operation is not permitted on predefined {name} network ")
        if any(network.name == name for network in self._networks.values()):
            raise ObjectConflict(f"network with name {name} already exists")
        driver = settings.get("Driver") or "bridge"
        if driver not in ("bridge", "macvlan", "ipvlan"):
            raise NoSuchObject(f'plugin "{driver}" not found')
        network = self._add(name, str(driver), settings, _subnet_of(settings))
        self._note(network, "create")
        return network

    def remove(self, network: Network) -> None:
        """Remove a network.

        :raises Refused: it is built in, or containers are connected.
        """
        if network.is_built_in:
            raise Refused(f"{network.name} is a pre-defined network and cannot be removed")
        if network.endpoints:
            raise Refused(
                f"error while removing network: network {network.name} id {network.id} has active endpoints"
            )
        del self._networks[network.id]
        self._note(network, "destroy")

    def prune(self) -> list[Network]:
        """Return the networks to which no container is connected, without those that are built in."""
        used = {name for connections in self._connections.values() for name in connections}
        return [network for network in self.all() if not network.is_built_in and network.name not in used]

    # -- connections

    def connect(self, container: Connected, network: Network, settings: Mapping[str, Any]) -> None:
        """Connect a container.

        :raises Refused: it is connected already.
        :raises InvalidParameter: it runs, and the network is that of the host; or the address is invalid.
        """
        if network.name == "host" and container.is_running:
            raise InvalidParameter(
                "container cannot be disconnected from host network or connected to host network"
            )
        check_endpoint(settings)
        own = self._connections.setdefault(container.id, {})
        if network.name in own:
            raise Refused(f"endpoint with name {container.name} already exists in network {network.name}")
        own[network.name] = dict(settings)
        if container.is_running:
            try:
                self._open(container, network)
            except EngineError:
                del own[network.name]
                raise

    def disconnect(self, container: Connected, network: Network) -> None:
        """Disconnect a container.

        :raises EngineError: it is not connected.
        """
        own = self._connections.get(container.id, {})
        if network.name not in own:
            raise EngineError(f"container {container.id} is not connected to the network {network.name}")
        del own[network.name]
        self._close(container, network)

    def join(self, container: Connected) -> None:
        """Give addresses and ports to a container that starts.

        :raises EngineError: a network has no free address, or a port is taken.
        """
        try:
            for name in self._connections.get(container.id, {}):
                self._open(container, self.find(name))
            ports = self._bound_ports(container)
            self._check_ports(container, ports)
            self._ports[container.id] = ports
        except EngineError:
            self.leave(container)
            raise

    def leave(self, container: Connected) -> None:
        """Take addresses and ports from a container that stopped."""
        for network in self._networks.values():
            self._close(container, network)
        self._ports.pop(container.id, None)

    def forget(self, container: Connected) -> None:
        """Remove all connections of a container."""
        self._connections.pop(container.id, None)

    def _open(self, container: Connected, network: Network) -> None:
        if container.id in network.endpoints:
            return
        settings = self._connections[container.id][network.name]
        ipam = settings.get("IPAMConfig")
        wanted = ipam.get("IPv4Address") if isinstance(ipam, dict) else None
        address = str(wanted) if wanted else network.free_address()
        digest = hashlib.sha256(f"{network.id} {container.id}".encode()).hexdigest()
        octets = [int(part) for part in address.split(".")] if address else []
        network.endpoints[container.id] = {
            "Name": container.name,
            "EndpointID": digest,
            "MacAddress": "02:42:" + ":".join(f"{octet:02x}" for octet in octets) if octets else "",
            "IPv4Address": f"{address}/{network.subnet.prefixlen}" if network.subnet and address else "",
            "IPv6Address": "",
        }
        self._note(network, "connect", container=container.id)

    def _close(self, container: Connected, network: Network) -> None:
        if network.endpoints.pop(container.id, None) is not None:
            self._note(network, "disconnect", container=container.id)

    def connections(self, container: Connected) -> dict[str, dict[str, Any]]:
        """Return the networks of a container, as clients read them."""
        found = {}
        for name, settings in self._connections.get(container.id, {}).items():
            network = self.find(name)
            endpoint = network.endpoints.get(container.id, {})
            address, _, length = endpoint.get("IPv4Address", "").partition("/")
            found[name] = {
                "IPAMConfig": settings.get("IPAMConfig"),
                "Links": settings.get("Links"),
                "Aliases": self._aliases(container, network, settings),
                "NetworkID": network.id,
                "EndpointID": endpoint.get("EndpointID", ""),
                "Gateway": network.gateway if endpoint else "",
                "IPAddress": address,
                "IPPrefixLen": int(length or 0),
                "IPv6Gateway": "",
                "GlobalIPv6Address": "",
                "GlobalIPv6PrefixLen": 0,
                "MacAddress": endpoint.get("MacAddress", ""),
                "DriverOpts": settings.get("DriverOpts"),
            }
        return found

    @staticmethod
    def _aliases(container: Connected, network: Network, settings: Mapping[str, Any]) -> list[str] | None:
        given = settings.get("Aliases") or []
        return None if network.is_built_in else [*given, container.id[:12]]

    # -- ports

    def ports(self, container: Connected) -> dict[str, list[dict[str, str]] | None]:
        """Return port in the container -> addresses on the host, None for a port that is not published."""
        return self._ports.get(container.id, {})

    def _bound_ports(self, container: Connected) -> dict[str, list[dict[str, str]] | None]:
        if container.host_config.get("NetworkMode") in ("none", "host"):
            return {}
        exposed = container.config.get("ExposedPorts")
        found: dict[str, list[dict[str, str]] | None] = {
            str(port): None for port in (exposed if isinstance(exposed, dict) else {})
        }
        bindings = container.host_config.get("PortBindings")
        for port, places in (bindings if isinstance(bindings, dict) else {}).items():
            found[port] = [self._place(place) for place in places or [{}] if isinstance(place, dict)]
        if container.host_config.get("PublishAllPorts"):
            for port, places in found.items():
                if places is None:
                    found[port] = [self._place({})]
        return found

    def _check_ports(self, container: Connected, ports: Mapping[str, list[dict[str, str]] | None]) -> None:
        """Return if no other container publishes one of the ports.

        :raises EngineError: one does; the message is docker's.
        """
        taken = {
            (place["HostPort"], port.partition("/")[2] or "tcp"): place["HostIp"]
            for owner, others in self._ports.items()
            if owner != container.id
            for port, places in others.items()
            for place in places or []
        }
        for port, places in ports.items():
            for place in places or []:
                other = taken.get((place["HostPort"], port.partition("/")[2] or "tcp"))
                if other is not None and (other == place["HostIp"] or _ANY in (other, place["HostIp"])):
                    raise EngineError(
                        f"driver failed programming external connectivity on endpoint {container.name} "
                        f"({container.id}): Bind for {place['HostIp']}:{place['HostPort']} failed: "
                        "port is already allocated"
                    )

    def _place(self, wanted: Mapping[str, Any]) -> dict[str, str]:
        port = str(wanted.get("HostPort") or "")
        if not port or port == "0":
            port = str(self._next_port)
            self._next_port += 1
        return {"HostIp": str(wanted.get("HostIp") or _ANY), "HostPort": port}

    def _note(self, network: Network, action: str, **attributes: str) -> None:
        own = {"name": network.name, "type": network.driver}
        self._events.add("network", action, network.id, own | attributes)


def check_endpoint(settings: Mapping[str, Any]) -> None:
    """Return if the address that a client wants in a network is missing or valid.

    :raises InvalidParameter: it is invalid; the message is docker's.
    """
    wanted = (settings.get("IPAMConfig") or {}).get("IPv4Address")
    if wanted:
        try:
            ipaddress.IPv4Address(wanted)
        except ValueError:
            raise InvalidParameter(f"invalid IPv4 address: {wanted[:80]}") from None


def _subnets() -> Iterator[ipaddress.IPv4Network]:
    """Yield the subnets that docker gives out, in its order."""
    for second in range(_FIRST_SUBNET, 32):
        yield ipaddress.IPv4Network(f"172.{second}.0.0/16")
    yield from ipaddress.IPv4Network("192.168.0.0/16").subnets(new_prefix=20)
    yield from ipaddress.IPv4Network("10.0.0.0/8").subnets(new_prefix=24)


def _subnet_of(settings: Mapping[str, Any]) -> ipaddress.IPv4Network | None:
    """Return the subnet that a client asks for, None if it asks for none.

    :raises InvalidParameter: it is invalid.
    """
    ipam = settings.get("IPAM")
    configs = ipam.get("Config") if isinstance(ipam, dict) else None
    for config in configs if isinstance(configs, list) else []:
        text = config.get("Subnet") if isinstance(config, dict) else None
        if text:
            try:
                return ipaddress.IPv4Network(str(text))
            except ValueError as error:
                raise InvalidParameter(f"invalid subnet {text}: {error}") from None
    return None
