"""The mounts of containers: volumes, folders of the host, and those of other containers (remote.md 5.9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .errors import InvalidParameter, NoSuchObject

if TYPE_CHECKING:
    from .containers import Container
    from .state import EngineState

#: The words that may follow the name of a container in ``VolumesFrom``.
_MODES: Final = frozenset({"ro", "rw", "z", "Z", "nocopy"})


def volumes_from(state: EngineState, host_config: Mapping[str, Any]) -> list[tuple[Container, bool]]:
    """Return the containers whose mounts a new one gets, and whether it may write there.

    :raises InvalidParameter: a container is missing, or a mode is invalid; the message is docker's.
    """
    found = []
    for text in host_config["VolumesFrom"] or []:
        name, colon, mode = text.partition(":")
        if colon and (not mode or not _MODES.issuperset(mode.split(","))):
            raise InvalidParameter(f"invalid mode: {mode[:80]}")
        try:
            found.append((state.containers.find(name), "ro" not in mode.split(",")))
        except NoSuchObject as error:
            raise InvalidParameter(error.message) from None
    return found


def mounts(
    state: EngineState, container: Container, others: Sequence[tuple[Container, bool]]
) -> list[dict[str, Any]]:
    """Return the mounts of a container. Volumes that are missing are made.

    :param others: as :func:`volumes_from` returns them.
    """
    found: dict[str, dict[str, Any]] = {}
    for other, is_writable in others:
        for mount in other.mounts:
            found[mount["Destination"]] = {**mount, "RW": mount["RW"] and is_writable}
            if mount["Type"] == "volume":
                state.volumes.use(mount["Name"], container.id)
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
    for target in found:
        container.files.make_folder(target)
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


def shown(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return mounts as clients read them: only volumes have a name and a driver."""
    return [
        {key: value for key, value in mount.items() if value or key not in _OF_VOLUMES} for mount in found
    ]


_OF_VOLUMES: Final = frozenset({"Name", "Driver"})
