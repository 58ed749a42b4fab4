"""From the body of a request to a container: settings of the image, mounts, networks (remote.md 5.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .changes import EMPTY_SETTINGS
from .container_checks import check_settings
from .containers import Container
from .errors import InvalidParameter
from .image_store import EngineImage
from .networks import check_endpoint
from .state import EngineState

#: The keys of the body that are no part of ``Config``.
_OTHER: Final = frozenset({"HostConfig", "NetworkingConfig", "Image"})

_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_MOST_PORT: Final = 65535

#: What a container has of ``HostConfig`` if the request does not say it.
_HOST_DEFAULTS: Final[Mapping[str, Any]] = {
    "AutoRemove": False,
    "Binds": None,
    "LogConfig": {"Type": "json-file", "Config": {}},
    "NetworkMode": "default",
    "PortBindings": None,
    "Privileged": False,
    "PublishAllPorts": False,
    "RestartPolicy": {"Name": "", "MaximumRetryCount": 0},
    "ShmSize": 64 << 20,
    "IpcMode": "private",
}


def create(state: EngineState, name: str | None, body: Mapping[str, Any]) -> Container:
    """Make a container. The caller holds the lock of the engine.

    :param name: None for one that is made up.
    :param body: as the client sent it.
    :raises NoSuchObject: the image or a network does not exist.
    :raises InvalidParameter: there is no command, or a value is invalid.
    :raises ObjectConflict: the name is taken.
    """
    image_name = body.get("Image")
    if not isinstance(image_name, str) or not image_name:
        raise InvalidParameter("Config cannot be empty in order to create a container" if not body else
                               "No command specified")  # fmt: skip
    image = state.images.find(image_name)
    config = _config(image, body)
    host_config = {**_HOST_DEFAULTS} | {
        key: value for key, value in _mapping(body, "HostConfig").items() if value is not None
    }
    if not config.get("Entrypoint") and not config.get("Cmd"):
        raise InvalidParameter("No command specified")
    check_settings(config, host_config)
    networks = _networks(state, host_config, _mapping(body, "NetworkingConfig"))
    _check_ports(host_config.get("PortBindings") or {})
    for settings in networks.values():
        check_endpoint(settings)
    container = state.containers.create(name, image, image_name, config, host_config)
    container.mounts = _mounts(state, container)
    for network, settings in networks.items():
        state.networks.connect(container, state.networks.find(network), settings)
    container.note("create")
    return container


def _check_ports(bindings: Mapping[str, Any]) -> None:
    """Return if all published ports are numbers or ranges of them.

    :raises InvalidParameter: one is not; the message is docker's.
    """
    for port, places in bindings.items():
        inside = port.partition("/")[0]
        for text in (inside, *((place or {}).get("HostPort") or "0" for place in places or [])):
            numbers = _PORTS.fullmatch(text)
            if not numbers or not all(int(number) <= _MOST_PORT for number in numbers.groups("0")):
                raise InvalidParameter(f'invalid port specification: "{text[:80]}"')


def _mapping(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return an object of the body, an empty one if it is missing.

    :raises InvalidParameter: it is something else.
    """
    found = body.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidParameter(f"{key} must be an object, not {type(found).__name__}")
    return dict(found)


def _config(image: EngineImage, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a request on top of those of its image."""
    given = {key: value for key, value in body.items() if key not in _OTHER}
    below = dict(image.settings)
    config = {**below, **{key: value for key, value in given.items() if value not in (None, "", [], {})}}
    for key in ("Labels", "ExposedPorts", "Volumes"):
        merged = {**_mapping(below, key), **_mapping(given, key)}
        config[key] = merged if merged or key == "Labels" else None
    config["Env"] = _environment(below.get("Env"), given.get("Env"))
    if given.get("Entrypoint") is not None:
        # a request with an entrypoint has its own command
        config["Entrypoint"] = given["Entrypoint"] or None
        config["Cmd"] = given.get("Cmd") or None
    for key in ("Cmd", "Entrypoint"):
        _check_words(config.get(key), key)
    found = {**EMPTY_SETTINGS, **config}
    if not found.get("ExposedPorts"):
        found.pop("ExposedPorts", None)
    return found


def _check_words(value: object, key: str) -> None:
    is_list = isinstance(value, list) and all(isinstance(word, str) for word in value)
    if value is not None and not isinstance(value, str) and not is_list:
        raise InvalidParameter(f"{key} must be a list of strings")


def _environment(below: object, given: object) -> list[str]:
    """Return the variables of an image and a request. Those of the request have precedence."""
    found: dict[str, str] = {}
    for pairs in (given, below):
        for pair in pairs if isinstance(pairs, list) else []:
            found.setdefault(str(pair).partition("=")[0], str(pair))
    return list(found.values())


def _networks(
    state: EngineState, host_config: Mapping[str, Any], networking: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return name of a network -> settings of the endpoint.

    :raises NoSuchObject: a network does not exist.
    """
    mode = str(host_config.get("NetworkMode") or "default")
    endpoints = _mapping(networking, "EndpointsConfig")
    if mode.startswith("container:"):
        return {}
    names = [state.networks.find(mode).name, *(state.networks.find(name).name for name in endpoints)]
    settings = {state.networks.find(name).name: value for name, value in endpoints.items()}
    return {name: dict(settings.get(name) or {}) for name in dict.fromkeys(names)}


def _mounts(state: EngineState, container: Container) -> list[dict[str, Any]]:
    """Return the mounts of a container. Volumes that are missing are made."""
    found: dict[str, dict[str, Any]] = {}
    for bind in container.host_config.get("Binds") or []:
        source, _, rest = str(bind).partition(":")
        target, _, mode = rest.partition(":")
        found[target] = _mount(state, container, source, target, mode)
    for mount in container.host_config.get("Mounts") or []:
        if isinstance(mount, dict) and mount.get("Target"):
            kind, target = mount.get("Type") or "volume", str(mount["Target"])
            mode = "ro" if mount.get("ReadOnly") else ""
            source = str(mount.get("Source") or "")
            if kind == "tmpfs":
                found[target] = {"Type": "tmpfs", "Name": "", "Source": "", "Destination": target, "Mode": "",
                                 "RW": True, "Propagation": ""}  # fmt: skip
            else:
                found[target] = _mount(state, container, source, target, mode)
    for target in container.config.get("Volumes") or {}:
        if target not in found:
            found[target] = _mount(state, container, "", str(target), "")
    return list(found.values())


def _mount(state: EngineState, container: Container, source: str, target: str, mode: str) -> dict[str, Any]:
    is_writable = "ro" not in mode.split(",")
    if source.startswith("/"):
        return {"Type": "bind", "Name": "", "Source": source, "Destination": target, "Mode": mode,
                "RW": is_writable, "Propagation": "rprivate"}  # fmt: skip
    volume = state.volumes.use(source or None, container.id)
    return {
        "Type": "volume",
        "Name": volume.name,
        "Source": volume.mountpoint,
        "Destination": target,
        "Driver": "local",
        "Mode": mode,
        "RW": is_writable,
        "Propagation": "",
    }
