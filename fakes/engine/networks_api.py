"""Endpoints of networks and volumes, and of the space that all need (remote.md 9, 10)."""

from __future__ import annotations

from typing import Any, Final

from v1registry.wsgi.framework import Response

from . import bodies
from .container_documents import summary
from .containers import moment_of
from .errors import InvalidParameter, NoSuchObject
from .filters import Filters
from .image_documents import summaries
from .networks import Network
from .requests import EngineRequest, answer, empty
from .routing import row
from .state import EngineState
from .times import NEVER, moment_s, nanoseconds
from .versions import ApiVersion


def _time(seconds: float) -> str:
    moment = moment_of(seconds)
    return NEVER if moment is None else nanoseconds(moment)


def _document(network: Network, *, has_containers: bool) -> dict[str, Any]:
    settings = network.settings
    ipam = settings.get("IPAM") or {}
    document: dict[str, Any] = {
        "Name": network.name,
        "Id": network.id,
        "Created": _time(network.created_s),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv6": bool(settings.get("EnableIPv6")),
        "IPAM": {
            "Driver": ipam.get("Driver") or "default",
            "Options": ipam.get("Options"),
            "Config": [dict(pool.settings) for pool in network.pools],
        },
        "Internal": bool(settings.get("Internal")),
        "Attachable": bool(settings.get("Attachable")),
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": settings.get("Options") or {},
        "Labels": dict(network.labels),
    }
    if has_containers:
        document["Containers"] = {key: dict(endpoint) for key, endpoint in network.endpoints.items()}
    return document


def get_networks(request: EngineRequest) -> Response:
    """List networks."""
    filters, state = (
        request.filters("dangling", "driver", "id", "label", "name", "scope", "type"),
        request.state,
    )
    with state.lock:
        unused = {network.id for network in state.networks.prune()}
        return answer([
            _document(network, has_containers=False)
            for network in state.networks.all()
            if _matches(network, filters, is_unused=network.id in unused)
        ])  # fmt: skip


def _matches(network: Network, filters: Filters, *, is_unused: bool) -> bool:
    names = filters.get("name")
    ids = filters.get("id")
    return (
        (not names or any(part in network.name for part in names))
        and (not ids or any(network.id.startswith(part) for part in ids))
        and filters.allows("driver", network.driver)
        and filters.allows("scope", "local")
        and filters.allows("type", "builtin" if network.is_built_in else "custom")
        and filters.allows_labels(network.labels)
        and filters.boolean("dangling") in (None, is_unused)
    )


def _network(request: EngineRequest) -> Network:
    return request.state.networks.find(request.fields["name"])


def get_network(request: EngineRequest) -> Response:
    """Inspect a network."""
    with request.state.lock:
        return answer(_document(_network(request), has_containers=True))


def post_create_network(request: EngineRequest) -> Response:
    """Make a network."""
    body, state = request.document(bodies.NETWORK), request.state
    name = body.get("Name")
    if not isinstance(name, str) or not name.strip():
        raise InvalidParameter("network name is required")
    with state.lock:
        # engines since 25 never have two networks of one name
        is_unique = bool(body.get("CheckDuplicate")) or state.release.api >= (1, 44)
        network, warning = state.networks.create(name, body, is_unique=is_unique)
    return answer({"Id": network.id, "Warning": warning}, 201)


def post_connect(request: EngineRequest) -> Response:
    """Connect a container."""
    body, state = request.document(bodies.CONNECT), request.state
    settings = body.get("EndpointConfig") or {}
    with state.lock:
        container = state.containers.find(str(body.get("Container") or ""))
        network = _network(request)
        state.networks.connect(container, network, settings)
    return empty(200)


def post_disconnect(request: EngineRequest) -> Response:
    """Disconnect a container."""
    body, state = request.document(bodies.DISCONNECT), request.state
    with state.lock:
        network = _network(request)
        state.networks.disconnect(state.containers.find(str(body.get("Container") or "")), network)
    return empty(200)


def delete_network(request: EngineRequest) -> Response:
    """Remove a network."""
    with request.state.lock:
        request.state.networks.remove(_network(request))
    return empty()


def post_prune_networks(request: EngineRequest) -> Response:
    """Remove networks without containers."""
    filters, state = request.filters("label", "label!", "until"), request.state
    until = [moment_s(text) for text in filters.get("until")]
    removed = []
    with state.lock:
        for network in state.networks.prune():
            is_young = any(limit is not None and network.created_s >= limit for limit in until)
            if (
                is_young
                or filters.forbids_labels(network.labels)
                or not filters.allows_labels(network.labels)
            ):
                continue
            state.networks.remove(network)
            removed.append(network.name)
    return answer({"NetworksDeleted": removed or None})


# -- volumes


def get_volumes(request: EngineRequest) -> Response:
    """List volumes."""
    filters, state = request.filters("dangling", "driver", "label", "name"), request.state
    is_dangling = filters.boolean("dangling")
    with state.lock:
        found = [
            state.volumes.document(volume, _time(volume.created_s))
            for volume in state.volumes.all()
            if is_dangling in (None, not volume.users)
            and filters.allows("driver", "local")
            and filters.allows_labels(volume.labels)
            and (not filters.get("name") or any(part in volume.name for part in filters.get("name")))
        ]
    return answer({"Volumes": found, "Warnings": None})


def get_volume(request: EngineRequest) -> Response:
    """Inspect a volume."""
    state = request.state
    with state.lock:
        volume = state.volumes.find(request.fields["name"])
        return answer(state.volumes.document(volume, _time(volume.created_s)))


def post_create_volume(request: EngineRequest) -> Response:
    """Make a volume, or return the existing one."""
    body, state = request.document(bodies.VOLUME), request.state
    with state.lock:
        volume = state.volumes.create(
            str(body.get("Name") or "") or None,
            driver=str(body.get("Driver") or "local"),
            labels=body.get("Labels"),
            options=body.get("DriverOpts"),
        )
        return answer(state.volumes.document(volume, _time(volume.created_s)), 201)


def delete_volume(request: EngineRequest) -> Response:
    """Remove a volume. A missing one is no error if ``force`` is given."""
    state = request.state
    with state.lock:
        try:
            volume = state.volumes.find(request.fields["name"])
        except NoSuchObject:
            if request.flag("force"):
                return empty()
            raise
        state.volumes.remove(volume)
    return empty()


def post_prune_volumes(request: EngineRequest) -> Response:
    """Remove volumes without users; from 1.42 on only those with made-up names, unless ``all`` is set."""
    filters, state = request.filters("all", "label", "label!"), request.state
    is_all = request.version < (1, 42) or filters.boolean("all") is True
    removed = []
    with state.lock:
        for volume in state.volumes.all():
            if volume.users or not (is_all or volume.is_anonymous):
                continue
            if filters.allows_labels(volume.labels) and not filters.forbids_labels(volume.labels):
                state.volumes.remove(volume)
                removed.append(volume.name)
    return answer({"VolumesDeleted": removed, "SpaceReclaimed": 0})


def get_disk_usage(request: EngineRequest) -> Response:
    """Return images, containers and volumes with their sizes."""
    state = request.state
    with state.lock:
        return answer(_disk_usage(state, request.version))


def _disk_usage(state: EngineState, version: ApiVersion) -> dict[str, Any]:
    images = summaries(state.images, Filters(), version, is_all=True)
    for image in images:
        image["Containers"] = len(state.users_of(image["Id"]))
    volumes = []
    for volume in state.volumes.all():
        usage = {"UsageData": {"RefCount": len(volume.users), "Size": 0}}
        volumes.append(state.volumes.document(volume, _time(volume.created_s)) | usage)
    return {
        "LayersSize": state.images.size_bytes,
        "Images": images,
        "Containers": [
            summary(state, container, version, has_size=True) for container in state.containers.all()
        ],
        "Volumes": volumes,
        "BuildCache": None,
        "BuilderSize": 0,
    }


ROUTES: Final = (
    row("GET", "/networks[/]", get_networks),
    row("POST", "/networks/create", post_create_network),
    row("POST", "/networks/prune", post_prune_networks),
    row("GET", "/networks/{network}", get_network),
    row("POST", "/networks/{network}/connect", post_connect),
    row("POST", "/networks/{network}/disconnect", post_disconnect),
    row("DELETE", "/networks/{network}", delete_network),
    row("GET", "/volumes", get_volumes),
    row("POST", "/volumes/create", post_create_volume),
    row("POST", "/volumes/prune", post_prune_volumes),
    row("GET", "/volumes/{volume}", get_volume),
    row("DELETE", "/volumes/{volume}", delete_volume),
    row("GET", "/system/df", get_disk_usage),
)
