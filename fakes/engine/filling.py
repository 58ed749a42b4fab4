"""What FakeEngine has to fill it and to look at it: images without a registry, assertions."""

from __future__ import annotations

import gzip
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..layers import layer_of
from ..pushing.layer_builder import Files
from ..pushing.pusher import CREATED
from .behaviours import Behaviour
from .errors import EngineError
from .image_store import read_layer
from .references import ImageReference
from .views import FakeContainer, FakeContainers, FakeEngineImage, FakeEngineImages

if TYPE_CHECKING:
    from .state import EngineState


class EngineContents:
    """The part of FakeEngine that fills it and looks at it."""

    @property
    def _state(self) -> EngineState:
        raise NotImplementedError

    def add_image(
        self,
        name: str,
        *,
        files: Files | None = None,
        config: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        parent: FakeEngineImage | str | None = None,
    ) -> FakeEngineImage:
        """Give the engine an image, as if it had been built there, and return it.

        :param name: ``NAME:TAG``; ``:latest`` may be left out.
        :param files: the contents of the layer: name -> bytes or text, None for a file to delete. Without
            files the layer has a small one.
        :param config: what containers begin with: ``{"Cmd": ["sh"], "Env": ["A=b"]}``. A command is ``sh``
            unless it is given.
        :param json: more keys of the config of the image.
        :param parent: an image whose layers are below, or its name.
        :raises ValueError: the name is invalid.
        :raises NotThere: the parent does not exist.
        """
        try:
            reference = ImageReference.parse(name).tagged
        except EngineError as error:
            raise ValueError(f"{name!r}: {error.message}") from None
        below = self.images[parent].id if isinstance(parent, str) else parent.id if parent else ""
        layer = read_layer(iter([gzip.decompress(layer_of({"etc/name": name} if files is None else files))]))
        state = self._state
        with state.lock:
            base = state.images.get(below)
            layers = [*(state.images.layers(base) if base else []), layer]
            history = list((base.config.get("history") if base else None) or [])
            document = {
                "architecture": "amd64",
                "created": CREATED,
                "os": "linux",
                **(json or {}),
                "config": {"Cmd": ["sh"], **(base.settings if base else {}), **(config or {})},
                "rootfs": {"type": "layers", "diff_ids": [part.diff_id for part in layers]},
                "history": [*history, {"created": CREATED, "created_by": "v1registry_fakes"}],
            }
            image = state.images.add(_dumped(document), layers)
            state.images.name(reference, image)
        return FakeEngineImage(state, image)

    @property
    def images(self) -> FakeEngineImages:
        """The images by name: ``engine.images["alice/app:1.0"].files``."""
        return FakeEngineImages(self._state)

    @property
    def containers(self) -> FakeContainers:
        """The containers by name: ``engine.containers["web"].status``."""
        return FakeContainers(self._state)

    def assert_pulled(self, name: str) -> FakeEngineImage:
        """Return an image that a client pulled.

        :param name: ``NAME:TAG`` or ``NAME@DIGEST``.
        :raises AssertionError: it was not pulled; lists what was.
        """
        __tracebackhide__ = True
        wanted = str(ImageReference.parse(name).tagged)
        pulled = list(self._state.pulled)
        if wanted not in pulled:
            raise AssertionError(f"{wanted} was not pulled; pulled: {', '.join(pulled) or 'nothing'}")
        return self.images[name]

    def assert_pushed(self, name: str) -> FakeEngineImage:
        """Return an image that a client pushed.

        :param name: ``NAME:TAG``.
        :raises AssertionError: it was not pushed; lists what was.
        """
        __tracebackhide__ = True
        wanted = str(ImageReference.parse(name).tagged)
        pushed = list(self._state.pushed)
        if wanted not in pushed:
            raise AssertionError(f"{wanted} was not pushed; pushed: {', '.join(pushed) or 'nothing'}")
        return self.images[name]

    def assert_ran(self, image: str, *, command: str | Sequence[str] | None = None) -> FakeContainer:
        """Return the newest container of an image that was started and still exists.

        :param image: a pattern of the name of the image, as in :meth:`on_run`.
        :param command: a pattern of the command line, or the list of program and arguments.
        :raises AssertionError: there is none; lists the containers.
        """
        __tracebackhide__ = True
        chosen = command if command is None or isinstance(command, str) else tuple(command)
        wanted = Behaviour(image, chosen)
        state = self._state
        with state.lock:
            for container in state.containers.all():
                if container.starts and wanted.matches(container.image_names, container.command):
                    return FakeContainer(state, container)
        asked = f" with {command if isinstance(command, str) else shlex.join(command)!r}" if command else ""
        raise AssertionError(f"no container of {image}{asked} was started\n{self.containers!r}")


def _dumped(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode("utf-8")
