"""The subnets of a network, and the addresses that containers get in them (remote.md 9)."""

from __future__ import annotations

import ipaddress
from collections.abc import Container as Holder
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .errors import EngineError, InvalidParameter, Refused

_FIRST_SUBNET: Final = 17  #: 172.17.0.0/16 is that of bridge

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass
class Pool:
    """A subnet of a network.

    :param chosen: the part from which addresses are given out.
    :param gateway: the address of the engine.
    :param auxiliary: name -> address that no container gets.
    :param settings: as clients read them.
    """

    subnet: _Network
    chosen: _Network
    gateway: str
    auxiliary: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    _next_host: int = 0

    def free_address(self, taken: Holder[str], count: int) -> str | None:
        """Return the next free address, None if all are taken.

        :param count: how many addresses are taken.
        """
        # without those of the network, and for broadcasts
        first, size = (1, self.chosen.num_addresses - 2) if self.chosen == self.subnet else (
            0, self.chosen.num_addresses)  # fmt: skip
        for _ in range(min(size, count + len(self.auxiliary) + 2)):
            address = str(self.chosen[first + self._next_host % size])
            self._next_host += 1
            if address not in taken and address != self.gateway and address not in self.auxiliary.values():
                return address
        return None


def made_pool(subnet: ipaddress.IPv4Network) -> Pool:
    """Return a pool that the engine chose."""
    gateway = str(subnet[1])
    return Pool(subnet, subnet, gateway, settings={"Subnet": str(subnet), "Gateway": gateway})


def pools_of(settings: Mapping[str, Any]) -> list[Pool]:
    """Return the pools that a client asks for in a new network.

    :raises InvalidParameter: a subnet or an address is invalid; the message is docker's.
    :raises Refused: an auxiliary address is outside of its subnet; the message is docker's.
    """
    configs = (settings.get("IPAM") or {}).get("Config") or []
    return [_pool(config) for config in configs]


def _pool(config: Mapping[str, Any]) -> Pool:
    text = str(config.get("Subnet") or "")
    if "/" not in text:
        raise InvalidParameter(f"Invalid subnet {text[:80]} : invalid CIDR address: {text[:80]}")
    subnet = _network(text, f"Invalid subnet {text[:80]} : invalid CIDR address: {text[:80]}")
    wanted = config.get("IPRange")
    chosen = _network(wanted, f"invalid CIDR address: {wanted[:80]}") if wanted else subnet
    if chosen.version != subnet.version or not (chosen[0] in subnet and chosen[-1] in subnet):
        raise InvalidParameter(f"invalid sub-pool {wanted}: it is not in {text[:80]}")
    gateway = config.get("Gateway")
    if gateway and not _is_address(gateway):
        raise InvalidParameter(f"invalid gateway address {gateway[:80]} in Ipam configuration")
    if gateway and ipaddress.ip_address(gateway) not in subnet:
        raise EngineError(f"failed to allocate gateway ({gateway}): Requested address is out of range")
    auxiliary = config.get("AuxiliaryAddresses") or {}
    for name, address in auxiliary.items():
        if not _is_address(address) or ipaddress.ip_address(address) not in subnet:
            raise Refused(
                f"auxiliary address: ({name[:80]}:{address[:80]}) must belong to the master pool: {subnet}"
            )
    shown = {"Subnet": text, "IPRange": wanted, "Gateway": gateway, "AuxiliaryAddresses": auxiliary}
    first = str(chosen[0] if chosen != subnet else subnet[min(1, subnet.num_addresses - 1)])
    return Pool(
        subnet,
        chosen,
        gateway or first,
        auxiliary,
        {name: value for name, value in shown.items() if value},
    )


def _network(text: str, problem: str) -> _Network:
    """Return a subnet, which may have bits of a host.

    :raises InvalidParameter: it is invalid; the message is ``problem``.
    """
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise InvalidParameter(problem) from None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def check_endpoint(settings: Mapping[str, Any]) -> None:
    """Return if the addresses that a client wants in a network are missing or valid.

    :raises InvalidParameter: one is invalid; the message is docker's.
    """
    ipam = settings.get("IPAMConfig") or {}
    for key, kind in (("IPv4Address", ipaddress.IPv4Address), ("IPv6Address", ipaddress.IPv6Address)):
        if wanted := ipam.get(key):
            try:
                kind(wanted)
            except ValueError:
                raise InvalidParameter(f"invalid {key[:4]} address: {wanted[:80]}") from None


def free_subnet(taken: Sequence[_Network]) -> ipaddress.IPv4Network:
    """Return the first subnet of those that docker gives out that overlaps with none.

    :raises InvalidParameter: there is none; the message is docker's.
    """
    of_version_4 = [subnet for subnet in taken if isinstance(subnet, ipaddress.IPv4Network)]
    for subnet in _subnets():
        if not any(subnet.overlaps(other) for other in of_version_4):
            return subnet
    raise InvalidParameter("could not find an available, non-overlapping IPv4 address pool")


def check_overlaps(pools: Iterable[Pool], taken: Sequence[_Network]) -> None:
    """Return if pools do not overlap with subnets of other networks.

    :raises Refused: one does; the message is docker's.
    """
    for pool in pools:
        if any(pool.subnet.version == other.version and pool.subnet.overlaps(other) for other in taken):
            raise Refused("Pool overlaps with other one on this address space")


def _subnets() -> Iterator[ipaddress.IPv4Network]:
    """Yield the subnets that docker gives out, in its order."""
    for second in range(_FIRST_SUBNET, 32):
        yield ipaddress.IPv4Network(f"172.{second}.0.0/16")
    yield from ipaddress.IPv4Network("192.168.0.0/16").subnets(new_prefix=20)
    yield from ipaddress.IPv4Network("10.0.0.0/8").subnets(new_prefix=24)
