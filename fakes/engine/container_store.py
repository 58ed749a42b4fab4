"""The containers of an engine, by id and name (remote.md 5.2)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .containers import Container, Surroundings
from .errors import EngineError, InvalidParameter, NoSuchObject, ObjectConflict
from .files import Files
from .image_removal import User
from .made_names import made_name

if TYPE_CHECKING:
    from .execs import ExecStore
    from .image_store import EngineImage
    from .volumes import VolumeStore

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


class ContainerStore:
    """All containers. Its callers hold the lock of the engine."""

    def __init__(self, around: Surroundings, volumes: VolumeStore, execs: ExecStore):
        self._around = around
        self._volumes = volumes
        self._execs = execs
        around.forget = self.remove
        self._by_id: dict[str, Container] = {}
        self._count = 0

    def all(self) -> list[Container]:
        """Return all containers, the newest first. What is due in them is done."""
        self.settle()
        return sorted(self._by_id.values(), key=lambda container: -container.number)

    def settle(self) -> None:
        """Do what is due in all containers."""
        for container in list(self._by_id.values()):
            container.settle()

    def find(self, text: str) -> Container:
        """Return the container of a name, an id or the beginning of one.

        :raises NoSuchObject: there is none; the message is docker's.
        """
        self.settle()
        if not text:
            raise InvalidParameter('invalid name or ID supplied: ""')
        name = text.removeprefix("/")
        for container in self._by_id.values():
            if text == container.id or name == container.name:
                return container
        linked = self._by_link(name)
        if linked is not None:
            return linked[0].links[linked[1]]
        found = [container for container in self._by_id.values() if name and container.id.startswith(name)]
        if len(found) > 1:
            raise InvalidParameter(f"Multiple IDs found with provided prefix: {text}")
        if not found:
            raise NoSuchObject(f"No such container: {text}")
        return found[0]

    def _by_link(self, name: str) -> tuple[Container, str] | None:
        """Return the container that has a link such as ``web/db``, and the alias; None if there is none."""
        owner, _, alias = name.partition("/")
        for container in self._by_id.values():
            if container.name == owner and alias in container.links:
                return container, alias
        return None

    def remove_link(self, text: str) -> None:
        """Remove a link such as ``web/db``.

        :raises NoSuchObject: there is none; the message is docker's.
        :raises EngineError: the name is that of a container; the message is docker's.
        """
        linked = self._by_link(text.removeprefix("/"))
        if linked is None:
            self.find(text)
            raise EngineError("Conflict, cannot remove the default link name of the container")
        del linked[0].links[linked[1]]

    def names(self, container: Container) -> list[str]:
        """Return all names of a container: its own, and those that other containers have for it."""
        links = [
            f"/{other.name}/{alias}"
            for other in self._by_id.values()
            for alias, target in other.links.items()
            if target is container
        ]
        return [f"/{container.name}", *links]

    def create(
        self,
        name: str | None,
        image: EngineImage,
        image_name: str,
        config: Mapping[str, Any],
        host_config: Mapping[str, Any],
    ) -> Container:
        """Make a container.

        :param name: None for one that is made up.
        :raises InvalidParameter: the name is invalid.
        :raises ObjectConflict: the name is taken.
        """
        self._count += 1
        container_id = hashlib.sha256(f"container {self._count}".encode()).hexdigest()
        if name is None:
            name = self._free_name()
        else:
            name = self.check_name(name, container_id)
        config = {"Hostname": container_id[:12], **config}
        container = Container(
            around=self._around,
            id=container_id,
            number=self._count,
            name=name,
            image=image,
            image_name=image_name,
            config=config,
            host_config=dict(host_config),
            created_s=self._around.clock.time_s(),
            files=Files(self._around.images.layers(image)),
        )
        self._by_id[container_id] = container
        return container

    def _free_name(self) -> str:
        taken = {container.name for container in self._by_id.values()}
        number = self._count
        while made_name(number) in taken:
            number += 1
        return made_name(number)

    def check_name(self, name: str, container_id: str) -> str:
        """Return a name without the slash in front, if a container may have it.

        :raises InvalidParameter: the name is invalid.
        :raises ObjectConflict: another container has it.
        """
        plain = name.removeprefix("/")
        if not _NAME.fullmatch(plain):
            raise InvalidParameter(
                f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            )
        for other in self._by_id.values():
            if other.name == plain and other.id != container_id:
                raise ObjectConflict(
                    f'Conflict. The container name "/{plain}" is already in use by container "{other.id}". '
                    "You have to remove (or rename) that container to be able to reuse that name."
                )
        return plain

    def remove(self, container: Container) -> None:
        """Forget a container, and tell those who wait for that."""
        if self._by_id.pop(container.id, None) is None:
            return
        container.is_removed = True
        for other in self._by_id.values():
            other.links = {alias: target for alias, target in other.links.items() if target is not container}
        self._around.networks.leave(container)
        self._around.networks.forget(container)
        self._volumes.release(container.id)
        self._execs.forget(container.id)
        container.note("destroy")
        self._around.changed.notify_all()

    def using(self, image_id: str) -> list[User]:
        """Return the containers of an image, in the form that its removal needs."""
        return [
            User(container.id, container.is_running)
            for container in self.all()
            if container.image.id == image_id
        ]

    def close(self) -> None:
        """End all processes."""
        for container in self._by_id.values():
            container.process.end(137)
