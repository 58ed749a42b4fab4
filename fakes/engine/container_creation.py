"""From the body of a request to a container: settings of the image, mounts, networks (remote.md 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .address_pools import check_endpoint
from .changes import EMPTY_SETTINGS
from .container_checks import check_settings
from .containers import Container
from .errors import EngineError, InvalidParameter, NoSuchObject
from .host_defaults import host_config as hosted
from .image_store import EngineImage
from .mounts import mounts, volumes_from
from .published_ports import check_ports
from .state import EngineState

#: The keys of the body that are no part of ``Config``.
_OTHER: Final = frozenset({"HostConfig", "NetworkingConfig", "Image"})


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
    host_config = hosted(_mapping(body, "HostConfig"), state.release.api)
    if not config.get("Entrypoint") and not config.get("Cmd"):
        raise InvalidParameter("No command specified")
    check_settings(config, host_config)
    networks = _networks(state, host_config, _mapping(body, "NetworkingConfig"))
    check_ports(host_config.get("PortBindings") or {})
    for settings in networks.values():
        check_endpoint(settings)
    links = _linked(state, host_config)
    others = volumes_from(state, host_config)
    container = state.containers.create(name, image, image_name, config, host_config)
    container.links = links
    try:
        container.mounts = mounts(state, container, others)
        for network, settings in networks.items():
            state.networks.connect(container, state.networks.find(network), settings)
    except EngineError:
        state.containers.remove(container)
        raise
    container.note("create")
    return container


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


def _linked(state: EngineState, host_config: Mapping[str, Any]) -> dict[str, Container]:
    """Return the containers that a new one is linked to, by their aliases.

    :raises EngineError: a link is malformed; the message is docker's.
    :raises InvalidParameter: a container is missing; the message is docker's.
    """
    found: dict[str, Container] = {}
    if host_config["NetworkMode"] not in ("default", "bridge"):
        return found
    for text in host_config["Links"] or []:
        name, colon, alias = text.partition(":")
        if not name or ":" in alias or (colon and not alias):
            raise EngineError(f"bad format for links: {text[:200]}")
        try:
            other = state.containers.find(name)
        except (NoSuchObject, InvalidParameter) as error:
            raise InvalidParameter(f"could not get container for {name[:200]}: {error.message}") from None
        # a link that was read from another container has its whole name
        found[alias.rpartition("/")[2] or other.name] = other
    return found
