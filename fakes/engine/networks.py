"""Networks: names, addresses and who is connected. Nothing is sent over them (remote.md 9)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .address_pools import Pool, check_endpoint, check_overlaps, free_subnet, made_pool, pools_of
from .errors import EngineError, InvalidParameter, NoSuchObject, ObjectConflict, Refused
from .published_ports import Connected, PublishedPorts

if TYPE_CHECKING:
    from v1registry.clock import Clock

    from .events import EventLog

#: The networks that every engine has: name -> driver.
_BUILT_IN: Final = {"bridge": "bridge", "host": "host", "none": "null"}


#: The answer to what only an engine in a swarm does.
NOT_IN_A_SWARM: Final = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node '
    "to swarm and try again."
)


@dataclass(eq=False)
class Network:
    """One network.

    :param settings: as the client gave them.
    """

    id: str
    name: str
    driver: str
    created_s: float
    pools: Sequence[Pool] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    endpoints: dict[str, dict[str, str]] = field(default_factory=dict)  #: container id -> addresses

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels."""
        found = self.settings.get("Labels")
        return found if isinstance(found, dict) else {}

    @property
    def is_built_in(self) -> bool:
        """Whether it is one of those that every engine has."""
        return self.name in _BUILT_IN

    def pool(self, version: int) -> Pool | None:
        """Return the first pool of a version of IP, None if there is none.

        Networks without ``EnableIPv6`` use no pool of version 6.
        """
        if version == 6 and not self.settings.get("EnableIPv6"):
            return None
        return next((pool for pool in self.pools if pool.subnet.version == version), None)

    def gateway(self, version: int) -> str:
        """Return the address of the engine in the network, empty without addresses."""
        pool = self.pool(version)
        return "" if pool is None else pool.gateway

    def free_address(self, version: int) -> str:
        """Return the next free address with the length of its subnet, empty without addresses.

        :raises EngineError: all are taken; the message is docker's.
        """
        pool = self.pool(version)
        if pool is None:
            return ""
        key = f"IPv{version}Address"
        taken = {endpoint[key].partition("/")[0] for endpoint in self.endpoints.values()}
        address = pool.free_address(taken, len(taken))
        if address is None:
            raise EngineError(
                f"no available IPv{version} addresses on this network's address pools: "
                f"{self.name} ({self.id})"
            )
        return f"{address}/{pool.subnet.prefixlen}"


@dataclass(frozen=True)
class _Connection:
    """A container in a network.

    :param settings: of the endpoint, as the client gave them.
    """

    network: Network
    settings: Mapping[str, Any]


class NetworkStore:
    """All networks, and the connections of containers. Its callers hold the lock of the engine."""

    def __init__(self, clock: Clock, events: EventLog):
        self._clock = clock
        self._events = events
        self._count = 0
        self._networks: dict[str, Network] = {}
        #: container id -> name of the network
        self._connections: dict[str, dict[str, _Connection]] = {}
        self._ports = PublishedPorts()
        for name, driver in _BUILT_IN.items():
            self._add(name, driver, {})

    def _add(self, name: str, driver: str, settings: Mapping[str, Any]) -> Network:
        pools = pools_of(settings)
        taken = [pool.subnet for network in self._networks.values() for pool in network.pools]
        check_overlaps(pools, taken)
        if driver not in ("host", "null") and not any(pool.subnet.version == 4 for pool in pools):
            pools.insert(0, made_pool(free_subnet(taken)))
        self._count += 1
        network_id = hashlib.sha256(f"network {self._count}".encode()).hexdigest()
        network = Network(network_id, name, driver, self._clock.time_s(), pools, settings)
        self._networks[network_id] = network
        return network

    def all(self) -> list[Network]:
        """Return all networks in the order of their creation."""
        return list(self._networks.values())

    def find(self, text: str) -> Network:
        """Return the network of a name, an id or the beginning of one.

        :raises NoSuchObject: there is none; the message is docker's.
        """
        text = "bridge" if text == "default" else text
        if text in self._networks:
            return self._networks[text]
        found = self._named(text)
        if len(found) > 1:
            raise InvalidParameter(f"network {text} is ambiguous ({len(found)} matches found on name)")
        if not found:
            found = [network for network in self.all() if text and network.id.startswith(text)]
        if len(found) != 1:
            raise NoSuchObject(f"network {text} not found")
        return found[0]

    def _named(self, name: str) -> list[Network]:
        return [network for network in self._networks.values() if network.name == name]

    def create(self, name: str, settings: Mapping[str, Any], *, is_unique: bool) -> tuple[Network, str]:
        """Make a network, and return it with a warning, which may be empty.

        :param is_unique: reject a name that another network has.
        :raises ObjectConflict: there is one with this name.
        :raises InvalidParameter: the driver or a subnet is invalid.
        :raises Refused: the name or the driver is one of the engine, or a subnet is in use.
        """
        if name in ("bridge", "host", "none"):
            raise Refused(f"operation is not permitted on predefined {name} network ")
        others = self._named(name)
        if others and is_unique:
            raise ObjectConflict(f"network with name {name} already exists")
        driver = settings.get("Driver") or "bridge"
        if driver in ("host", "null"):
            raise Refused(f'only one instance of "{driver}" network is allowed')
        if driver == "overlay":
            raise EngineError(NOT_IN_A_SWARM)
        if driver not in ("bridge", "macvlan", "ipvlan"):
            raise NoSuchObject(f'plugin "{driver}" not found')
        network = self._add(name, str(driver), settings)
        self._note(network, "create")
        if not others:
            return network, ""
        return network, f"Network with name {name} (id : {others[0].id}) already exists"

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
        used = {
            connection.network.id
            for connections in self._connections.values()
            for connection in connections.values()
        }
        return [network for network in self.all() if not network.is_built_in and network.id not in used]

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
        own[network.name] = _Connection(network, dict(settings))
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
        if network.name not in own or own[network.name].network is not network:
            raise EngineError(f"container {container.id} is not connected to the network {network.name}")
        del own[network.name]
        self._close(container, network)

    def join(self, container: Connected) -> None:
        """Give addresses and ports to a container that starts.

        :raises EngineError: a network has no free address, or a port is taken.
        """
        try:
            for connection in self._connections.get(container.id, {}).values():
                self._open(container, connection.network)
            self._ports.publish(container)
        except EngineError:
            self.leave(container)
            raise

    def leave(self, container: Connected) -> None:
        """Take addresses and ports from a container that stopped."""
        for network in self._networks.values():
            self._close(container, network)
        self._ports.withdraw(container)

    def forget(self, container: Connected) -> None:
        """Remove all connections of a container."""
        self._connections.pop(container.id, None)

    def _open(self, container: Connected, network: Network) -> None:
        if container.id in network.endpoints:
            return
        settings = self._connections[container.id][network.name].settings
        ipam = settings.get("IPAMConfig") or {}
        addresses = {}
        for version in (4, 6):
            pool, wanted = network.pool(version), ipam.get(f"IPv{version}Address")
            if pool is not None and wanted:
                addresses[version] = f"{wanted}/{pool.subnet.prefixlen}"
            else:
                addresses[version] = network.free_address(version)
        digest = hashlib.sha256(f"{network.id} {container.id}".encode()).hexdigest()
        octets = [int(part) for part in addresses[4].partition("/")[0].split(".")] if addresses[4] else []
        made = "02:42:" + ":".join(f"{octet:02x}" for octet in octets) if octets else ""
        network.endpoints[container.id] = {
            "Name": container.name,
            "EndpointID": digest,
            "MacAddress": self._wanted_mac(container, network, settings) or made,
            "IPv4Address": addresses[4],
            "IPv6Address": addresses[6],
        }
        self._note(network, "connect", container=container.id)

    @staticmethod
    def _wanted_mac(container: Connected, network: Network, settings: Mapping[str, Any]) -> str:
        """Return the address of the hardware that the client wants, empty for none."""
        mode = container.host_config.get("NetworkMode") or "default"
        is_first = network.name == ("bridge" if mode == "default" else mode)
        return str(settings.get("MacAddress") or (is_first and container.config.get("MacAddress")) or "")

    def _close(self, container: Connected, network: Network) -> None:
        if network.endpoints.pop(container.id, None) is not None:
            self._note(network, "disconnect", container=container.id)

    def connections(self, container: Connected) -> dict[str, dict[str, Any]]:
        """Return the networks of a container, as clients read them."""
        found = {}
        for name, connection in self._connections.get(container.id, {}).items():
            network, settings = connection.network, connection.settings
            endpoint = network.endpoints.get(container.id, {})
            address, _, length = endpoint.get("IPv4Address", "").partition("/")
            address_6, _, length_6 = endpoint.get("IPv6Address", "").partition("/")
            found[name] = {
                "IPAMConfig": settings.get("IPAMConfig"),
                "Links": settings.get("Links"),
                "Aliases": self._aliases(container, network, settings),
                "NetworkID": network.id,
                "EndpointID": endpoint.get("EndpointID", ""),
                "Gateway": network.gateway(4) if endpoint else "",
                "IPAddress": address,
                "IPPrefixLen": int(length or 0),
                "IPv6Gateway": network.gateway(6) if endpoint else "",
                "GlobalIPv6Address": address_6,
                "GlobalIPv6PrefixLen": int(length_6 or 0),
                "MacAddress": endpoint.get("MacAddress") or settings.get("MacAddress") or "",
                "DriverOpts": settings.get("DriverOpts"),
            }
        return found

    @staticmethod
    def _aliases(container: Connected, network: Network, settings: Mapping[str, Any]) -> list[str] | None:
        given = settings.get("Aliases") or []
        return None if network.is_built_in else [*given, container.id[:12]]

    def ports(self, container: Connected) -> dict[str, list[dict[str, str]] | None]:
        """Return port in the container -> addresses on the host, None for a port that is not published."""
        return self._ports.of(container)

    def _note(self, network: Network, action: str, **attributes: str) -> None:
        own = {"name": network.name, "type": network.driver}
        self._events.add("network", action, network.id, own | attributes)
