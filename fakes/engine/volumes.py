"""Volumes: names and labels, and which containers use them (remote.md 10)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .errors import InvalidParameter, NoSuchObject, ObjectConflict

if TYPE_CHECKING:
    from v1registry.clock import Clock

    from .events import EventLog

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
#: What the driver local takes as options.
_OPTIONS: Final = frozenset({"device", "o", "size", "type"})
_FOLDER: Final = "/var/lib/docker/volumes"


@dataclass(eq=False)
class Volume:
    """One volume."""

    name: str
    created_s: float
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    is_anonymous: bool = False
    users: set[str] = field(default_factory=set)  #: ids of containers

    @property
    def mountpoint(self) -> str:
        """Where it would be on the host."""
        return f"{_FOLDER}/{self.name}/_data"


class VolumeStore:
    """All volumes. Its callers hold the lock of the engine."""

    def __init__(self, clock: Clock, events: EventLog):
        self._clock = clock
        self._events = events
        self._count = 0
        self._volumes: dict[str, Volume] = {}

    def all(self) -> list[Volume]:
        """Return all volumes, sorted by name."""
        return [self._volumes[name] for name in sorted(self._volumes)]

    def find(self, name: str) -> Volume:
        """Return a volume.

        :raises NoSuchObject: there is none; the message is docker's.
        """
        if name not in self._volumes:
            raise NoSuchObject(f"get {name}: no such volume")
        return self._volumes[name]

    def create(
        self,
        name: str | None,
        *,
        driver: str = "local",
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Volume:
        """Make a volume, or return the existing one of the name.

        :param name: None for one that is made up.
        :raises InvalidParameter: the name is invalid.
        :raises NoSuchObject: the driver is unknown.
        """
        if driver != "local":
            raise NoSuchObject(
                f'create {name or ""}: error looking up volume plugin {driver}: plugin "{driver}" not found'
            )
        is_anonymous = not name
        if not name:
            self._count += 1
            name = hashlib.sha256(f"volume {self._count}".encode()).hexdigest()
        elif len(name) == 1:
            raise InvalidParameter(
                f"create {name}: volume name is too short, "
                "names should be at least two alphanumeric characters"
            )
        elif not _NAME.fullmatch(name):
            shown = name[:100]
            raise InvalidParameter(
                f'create {shown}: "{shown}" includes invalid characters for a local volume name, only '
                '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use '
                "absolute path"
            )
        if name in self._volumes:
            return self._volumes[name]
        for option in options or {}:
            if option not in _OPTIONS:
                raise InvalidParameter(f'create {name}: invalid option: "{option[:100]}"')
        volume = Volume(name, self._clock.time_s(), labels or {}, options or {}, is_anonymous)
        self._volumes[name] = volume
        self._note(volume, "create")
        return volume

    def remove(self, volume: Volume) -> None:
        """Remove a volume.

        :raises ObjectConflict: a container uses it.
        """
        if volume.users:
            users = ", ".join(sorted(volume.users))
            raise ObjectConflict(f"remove {volume.name}: volume is in use - [{users}]")
        del self._volumes[volume.name]
        self._note(volume, "destroy")

    def use(self, name: str | None, container_id: str) -> Volume:
        """Let a container use a volume, which is made if it is missing."""
        volume = self._volumes.get(name or "") or self.create(name)
        volume.users.add(container_id)
        return volume

    def release(self, container_id: str) -> None:
        """End all uses of a container."""
        for volume in self._volumes.values():
            volume.users.discard(container_id)

    def remove_anonymous(self, names: list[str]) -> None:
        """Remove the volumes among ``names`` that have a made-up name and no users."""
        for name in names:
            volume = self._volumes.get(name)
            if volume is not None and volume.is_anonymous and not volume.users:
                self.remove(volume)

    def document(self, volume: Volume, created: str) -> dict[str, Any]:
        """Return a volume as clients read it."""
        return {
            "CreatedAt": created,
            "Driver": "local",
            "Labels": dict(volume.labels) or None,
            "Mountpoint": volume.mountpoint,
            "Name": volume.name,
            "Options": dict(volume.options) or None,
            "Scope": "local",
        }

    def _note(self, volume: Volume, action: str) -> None:
        self._events.add("volume", action, volume.name, {"driver": "local"})
