"""What an engine knows: images, containers, networks and volumes. The endpoints work on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING

from .events import EventLog
from .image_removal import User
from .image_store import ImageStore
from .registries import Registries

if TYPE_CHECKING:
    from ..clock import FakeClock
    from .versions import Release


@dataclass
class EngineState:
    """Everything that changes while an engine runs. ``lock`` guards it, but for the events.

    :param engine_id: made up, and the same in every run.
    """

    release: Release
    clock: FakeClock
    registries: Registries
    name: str = "v1registry-fake"
    engine_id: str = "FAKE:V1RE:GIST:RYFA:KEEN:GINE:AAAA:BBBB:CCCC:DDDD:EEEE:FFFF"
    lock: RLock = field(default_factory=RLock)
    events: EventLog = field(init=False)
    images: ImageStore = field(default_factory=ImageStore)

    def __post_init__(self) -> None:
        self.events = EventLog(self.clock)

    def users_of(self, image_id: str) -> list[User]:
        """Return the containers of an image."""
        return []

    def close(self) -> None:
        """End everything that waits, and forget the images."""
        self.events.close()
        with self.lock:
            self.images.close()
