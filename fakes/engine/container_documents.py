"""Containers in the forms that clients get: the list, and one container (remote.md 5.3, 5.4)."""

from __future__ import annotations

import re
from typing import Any, Final

from .containers import Container, moment_of
from .errors import InvalidFilter, InvalidParameter, NoSuchObject
from .filters import Filters
from .mounts import shown
from .state import EngineState
from .times import NEVER, nanoseconds
from .versions import ApiVersion

FILTERS: Final = (
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name",
    "network", "publish", "since", "status", "volume",
)  # fmt: skip

_HEALTH: Final = frozenset({"healthy", "none", "starting", "unhealthy"})
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
_STATES: Final = frozenset({"created", "running", "paused", "restarting", "removing", "exited", "dead"})


def listed(
    state: EngineState,
    filters: Filters,
    version: ApiVersion,
    *,
    is_all: bool,
    limit: int | None,
    has_size: bool,
) -> list[dict[str, Any]]:
    """Return the list of containers, the newest first.

    :param is_all: list stopped containers too.
    :raises NoSuchObject: a container of ``before`` or ``since`` does not exist.
    :raises InvalidParameter: a filter is invalid.
    """
    for value in filters.get("status"):
        if value not in _STATES:
            raise InvalidFilter(f"invalid filter 'status={value}'")
    for value in filters.get("health"):
        if value not in _HEALTH:
            raise InvalidParameter(f"Unrecognised filter value for health: {value}")
    for value in filters.get("exited"):
        if not _NUMBER.fullmatch(value):
            raise InvalidParameter(f'strconv.Atoi: parsing "{value[:40]}": invalid syntax')
    filters.boolean("is-task")
    before = [state.containers.find(text).number for text in filters.get("before")]
    since = [state.containers.find(text).number for text in filters.get("since")]
    is_all = is_all or bool(limit and limit > 0) or bool(filters.get("status") or filters.get("exited"))
    found = []
    for container in state.containers.all():
        if not is_all and not container.is_running:
            continue
        if any(container.number >= number for number in before) or any(
            container.number <= number for number in since
        ):
            continue
        if _matches(state, container, filters):
            found.append(summary(state, container, version, has_size=has_size))
    return found[:limit] if limit and limit > 0 else found


def _matches(state: EngineState, container: Container, filters: Filters) -> bool:
    ports = state.networks.ports(container)
    public = [
        f"{place['HostPort']}/{port.partition('/')[2]}"
        for port, places in ports.items()
        for place in places or []
    ]
    networks = state.networks.connections(container)
    mounts = [
        text for mount in container.mounts for text in (mount["Name"], mount["Source"], mount["Destination"])
    ]
    return (
        _is_named(container, filters.get("name"))
        and _begins(filters.get("id"), container.id)
        and filters.allows_labels(container.labels)
        and filters.allows("status", container.status)
        and filters.allows("health", container.health.status if container.health else "none")
        and (not filters.get("exited") or container.status == "exited")
        and filters.allows("exited", str(container.exit_code))
        and (not filters.get("ancestor") or _descends(state, container, filters.get("ancestor")))
        and filters.allows("network", *networks, *(network["NetworkID"] for network in networks.values()))
        and filters.allows("volume", *mounts)
        and filters.allows("expose", *ports, *(port.partition("/")[0] for port in ports))
        and filters.allows("publish", *public, *(place.partition("/")[0] for place in public))
        and filters.boolean("is-task") is not True
    )  # fmt: skip


def _is_named(container: Container, wanted: tuple[str, ...]) -> bool:
    """Tell whether a name has one of the given parts. ``^`` and ``$`` stand for its beginning and end."""
    for text in wanted:
        part = text.removeprefix("^").removeprefix("/").removesuffix("$")
        begins = not text.startswith("^") or container.name.startswith(part)
        ends = not text.endswith("$") or container.name.endswith(part)
        if part in container.name and begins and ends:
            return True
    return not wanted


def _begins(wanted: tuple[str, ...], container_id: str) -> bool:
    return not wanted or any(container_id.startswith(text) for text in wanted)


def _descends(state: EngineState, container: Container, ancestors: tuple[str, ...]) -> bool:
    for text in ancestors:
        try:
            ancestor = state.images.find(text).id
        except NoSuchObject:
            continue
        image: Any = container.image
        while image is not None:
            if image.id == ancestor:
                return True
            image = state.images.get(image.parent_id)
    return False


def summary(
    state: EngineState, container: Container, version: ApiVersion, *, has_size: bool
) -> dict[str, Any]:
    """Return a container as it is listed."""
    document: dict[str, Any] = {
        "Id": container.id,
        "Names": state.containers.names(container),
        "Image": _image_name(state, container),
        "ImageID": container.image.id,
        "Command": _command_line(container),
        "Created": int(container.created_s),
        "Ports": _listed_ports(state, container),
        "Labels": dict(container.labels),
        "State": container.status,
        "Status": _status_text(state, container),
        "HostConfig": {"NetworkMode": container.host_config.get("NetworkMode") or "default"},
        "NetworkSettings": {"Networks": _networks(state, container, version)},
        "Mounts": shown(container.mounts),
    }
    if has_size:
        document["SizeRootFs"] = container.image.size_bytes
        if changed := changed_bytes(container):
            document["SizeRw"] = changed
    return document


def _image_name(state: EngineState, container: Container) -> str:
    """Return the name of the image, or its id if the name is that of another image now."""
    try:
        is_same = state.images.find(container.image_name).id == container.image.id
    except NoSuchObject:
        is_same = False
    return container.image_name if is_same else container.image.id


def _command_line(container: Container) -> str:
    words = container.command
    return " ".join(f"'{word}'" if " " in word else word for word in words)


def _listed_ports(state: EngineState, container: Container) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for text, places in state.networks.ports(container).items():
        port, _, kind = text.partition("/")
        private = {"PrivatePort": int(port), "Type": kind or "tcp"}
        if not places:
            found.append(private)
        for place in places or []:
            found.append({"IP": place["HostIp"], **private, "PublicPort": int(place["HostPort"])})
    return found


def _status_text(state: EngineState, container: Container) -> str:
    now_s = state.clock.time_s()
    if container.status == "created":
        return "Created"
    if container.status == "exited":
        return f"Exited ({container.exit_code}) {_duration(now_s - (container.finished_s or now_s))} ago"
    if container.status == "restarting":
        return f"Restarting ({container.exit_code}) {_duration(now_s - (container.finished_s or now_s))} ago"
    up = f"Up {_duration(now_s - (container.started_s or now_s))}"
    if container.status == "paused":
        return f"{up} (Paused)"
    return f"{up} ({container.health.status})" if container.health else up


def _duration(seconds: float) -> str:
    """Return a duration as docker writes it for people.

    >>> [_duration(seconds) for seconds in (0.4, 5, 90, 4000, 90000, 2000000)]
    ['Less than a second', '5 seconds', 'About a minute', 'About an hour', '25 hours', '3 weeks']
    """
    whole = int(seconds)
    minutes, hours = whole // 60, round(seconds / 3600)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return f"{whole} second{'s' if whole > 1 else ''}"
    if minutes < 46:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours <= 1 else f"{hours} hours"
    days = hours // 24
    if days < 14:
        return f"{days} days"
    return f"{days // 7} weeks" if days < 60 else f"{days // 30} months"


def changed_bytes(container: Container) -> int:
    """Return the size of the files that were added to a container."""
    return sum(
        entry.info.size for path, entry in container.files.all().items() if path not in container.files.below
    )


def inspected(
    state: EngineState, container: Container, version: ApiVersion, *, has_size: bool
) -> dict[str, Any]:
    """Return everything about a container."""
    words = container.command
    document: dict[str, Any] = {
        "Id": container.id,
        "Created": _time(container.created_s),
        "Path": words[0] if words else "",
        "Args": words[1:],
        "State": _state(container),
        "Image": container.image.id,
        "ResolvConfPath": "",
        "HostnamePath": "",
        "HostsPath": "",
        "LogPath": "",
        "Name": f"/{container.name}",
        "RestartCount": container.restart_count,
        "Driver": "vfs",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": container.exec_ids or None,
        "HostConfig": {**container.host_config, "Links": _links(container)},
        "GraphDriver": {"Data": None, "Name": "vfs"},
        "Mounts": shown(container.mounts),
        "Config": {**container.config, "Image": container.image_name},
        "NetworkSettings": _network_settings(state, container, version),
    }
    if has_size:
        document |= {"SizeRw": changed_bytes(container), "SizeRootFs": container.image.size_bytes}
    return document


def _links(container: Container) -> list[str] | None:
    links = [f"/{other.name}:/{container.name}/{alias}" for alias, other in container.links.items()]
    return links or None


def _state(container: Container) -> dict[str, Any]:
    document: dict[str, Any] = {
        "Status": container.status,
        "Running": container.is_running,
        "Paused": container.status == "paused",
        "Restarting": container.status == "restarting",
        "OOMKilled": False,
        "Dead": container.status == "dead",
        "Pid": 4000 + container.number if container.status in ("running", "paused") else 0,
        "ExitCode": container.exit_code,
        "Error": container.error,
        "StartedAt": _time(container.started_s),
        "FinishedAt": _time(container.finished_s),
    }
    if container.health is not None:
        document["Health"] = {"Status": container.health.status, "FailingStreak": 0, "Log": []}
    return document


def _networks(state: EngineState, container: Container, version: ApiVersion) -> dict[str, dict[str, Any]]:
    """Return the networks of a container.

    ``DNSNames`` exists from 1.44 on; from 1.45 on it alone has the id.
    """
    networks = state.networks.connections(container)
    short_id = container.id[:12]
    for name, endpoint in networks.items():
        aliases = [alias for alias in endpoint["Aliases"] or [] if alias != short_id]
        if version >= (1, 44):
            is_named = name not in ("bridge", "host", "none")
            endpoint["DNSNames"] = (
                list(dict.fromkeys([container.name, *aliases, short_id])) if is_named else None
            )
        if version >= (1, 45):
            endpoint["Aliases"] = aliases or None
    return networks


def _network_settings(state: EngineState, container: Container, version: ApiVersion) -> dict[str, Any]:
    networks = _networks(state, container, version)
    own = networks.get("bridge", {})
    return {
        "Bridge": "",
        "SandboxID": container.id if container.is_running else "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": state.networks.ports(container),
        "SandboxKey": "",
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": own.get("EndpointID", ""),
        "Gateway": own.get("Gateway", ""),
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": own.get("IPAddress", ""),
        "IPPrefixLen": own.get("IPPrefixLen", 0),
        "IPv6Gateway": "",
        "MacAddress": own.get("MacAddress", ""),
        "Networks": networks,
    }


def _time(seconds: float | None) -> str:
    moment = moment_of(seconds)
    return NEVER if moment is None else nanoseconds(moment)
