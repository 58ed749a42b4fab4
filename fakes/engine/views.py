"""What a test sees of an engine: its images and containers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..lookup import not_there

if TYPE_CHECKING:
    from .containers import Container
    from .image_store import EngineImage
    from .state import EngineState


class FakeEngineImage:
    """An image that the engine has."""

    def __init__(self, state: EngineState, image: EngineImage):
        self._state = state
        self._image = image

    @property
    def id(self) -> str:
        """The id: ``sha256:`` and the digest of the config."""
        return self._image.id

    @property
    def config(self) -> Mapping[str, Any]:
        """The parsed config."""
        return self._image.config

    @property
    def tags(self) -> list[str]:
        """The names with tags, sorted."""
        with self._state.lock:
            return [str(name) for name in self._state.images.references(self.id) if name.tag]

    @property
    def digests(self) -> list[str]:
        """The names with digests of manifests, sorted."""
        with self._state.lock:
            return [str(name) for name in self._state.images.references(self.id) if name.digest]

    @property
    def layers(self) -> list[bytes]:
        """The uncompressed layers, lowest first."""
        with self._state.lock:
            return [b"".join(layer.chunks()) for layer in self._state.images.layers(self._image)]

    @property
    def files(self) -> dict[str, bytes]:
        """The files of all layers together: path with a slash in front -> content."""
        from .files import Files, contents

        with self._state.lock:
            return contents(Files(self._state.images.layers(self._image)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FakeEngineImage) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<FakeEngineImage {', '.join(self.tags) or self.id}>"


class FakeEngineImages(Mapping[str, FakeEngineImage]):
    """The images of an engine by each of their names with a tag. Ids and other names find images too."""

    def __init__(self, state: EngineState):
        self._state = state

    def __getitem__(self, name: str) -> FakeEngineImage:
        from .errors import NoSuchObject

        with self._state.lock:
            try:
                return FakeEngineImage(self._state, self._state.images.find(name))
            except NoSuchObject:
                raise not_there(f"no image {name!r}", list(self)) from None

    def __iter__(self) -> Iterator[str]:
        with self._state.lock:
            return iter(sorted(str(name) for name in self._state.images.names() if name.tag))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"<images of the engine: {', '.join(self) or 'none'}>"


class FakeContainer:
    """A container of the engine."""

    def __init__(self, state: EngineState, container: Container):
        self._state = state
        self._container = container

    @property
    def id(self) -> str:
        """The id, 64 hex digits."""
        return self._container.id

    @property
    def name(self) -> str:
        """The name, without the slash in front."""
        return self._container.name

    @property
    def image(self) -> str:
        """The name of the image, as the client gave it."""
        return self._container.image_name

    @property
    def command(self) -> list[str]:
        """Program and arguments."""
        return self._container.command

    @property
    def environment(self) -> dict[str, str]:
        """The variables."""
        return self._container.environment

    @property
    def labels(self) -> dict[str, str]:
        """The labels."""
        return dict(self._container.labels)

    @property
    def status(self) -> str:
        """``created``, ``running``, ``paused``, ``restarting`` or ``exited``."""
        with self._state.lock:
            self._container.settle()
            return self._container.status

    @property
    def exit_code(self) -> int | None:
        """The exit code, None unless the container has exited."""
        return self._container.exit_code if self.status == "exited" else None

    @property
    def starts(self) -> int:
        """How often it was started, restarts included."""
        return self._container.starts

    @property
    def logs(self) -> str:
        """The output of all runs, as text."""
        with self._state.lock:
            self._container.settle()
            runs = [*self._container.earlier, self._container.process]
            return b"".join(output.data for run in runs for output in run.outputs).decode("utf-8", "replace")

    @property
    def files(self) -> dict[str, bytes]:
        """The files, those of the image included: path with a slash in front -> content."""
        from .files import contents

        with self._state.lock:
            return contents(self._container.files)

    @property
    def settings(self) -> dict[str, Any]:
        """``Config`` and ``HostConfig``, as ``docker inspect`` shows them."""
        return json.loads(  # type: ignore[no-any-return]
            json.dumps({"Config": self._container.config, "HostConfig": self._container.host_config})
        )

    def __repr__(self) -> str:
        return f"<FakeContainer {self.name} of {self.image}, {self.status}: {' '.join(self.command)}>"


class FakeContainers(Mapping[str, FakeContainer]):
    """The containers of an engine by name, in the order of their creation. Ids find containers too."""

    def __init__(self, state: EngineState):
        self._state = state

    def __getitem__(self, name: str) -> FakeContainer:
        from .errors import EngineError

        with self._state.lock:
            try:
                return FakeContainer(self._state, self._state.containers.find(name))
            except EngineError:
                raise not_there(f"no container {name!r}", list(self)) from None

    def __iter__(self) -> Iterator[str]:
        with self._state.lock:
            return iter([container.name for container in reversed(self._state.containers.all())])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return "\n".join([f"<{len(self)} containers>", *(f"  {container!r}" for container in self.values())])
