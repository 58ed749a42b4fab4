"""What an engine knows: images, containers, networks and volumes. The endpoints work on it."""

from __future__ import annotations

from threading import Condition, RLock
from typing import TYPE_CHECKING

from .behaviours import Behaviours
from .container_store import ContainerStore
from .containers import Surroundings
from .events import EventLog
from .execs import ExecStore
from .image_store import ImageStore
from .networks import NetworkStore
from .programs import Programs
from .volumes import VolumeStore

if TYPE_CHECKING:
    from ..clock import FakeClock
    from .image_removal import User
    from .registries import Registries
    from .versions import Release


class EngineState:
    """Everything that changes while an engine runs.

    ``lock`` guards it. It is never held while an answer is sent, or something is waited for. ``changed`` is
    notified of changes.

    :param behaviours: the rules of the test.
    """

    name = "v1registry-fake"
    engine_id = "FAKE:V1RE:GIST:RYFA:KEEN:GINE:AAAA:BBBB:CCCC:DDDD:EEEE:FFFF"

    def __init__(self, release: Release, clock: FakeClock, registries: Registries, behaviours: Behaviours):
        self.release = release
        self.clock = clock
        self.registries = registries
        self.behaviours = behaviours
        self.lock = RLock()
        self.changed = Condition(self.lock)
        self.is_closed = False
        self.programs = Programs()
        self.events = EventLog(clock, self._settle)
        self.images = ImageStore()
        #: the names that were pulled and pushed, in their order
        self.pulled: dict[str, None] = {}
        self.pushed: dict[str, None] = {}
        self.networks = NetworkStore(clock, self.events)
        self.volumes = VolumeStore(clock, self.events)
        around = Surroundings(
            clock, self.changed, self.events, behaviours, self.programs, self.images, self.networks
        )
        self.execs = ExecStore(around)
        self.containers = ContainerStore(around, self.volumes, self.execs)

    def _settle(self) -> None:
        """Do what is due, so that those who wait for events see it."""
        with self.lock:
            self.containers.settle()

    def users_of(self, image_id: str) -> list[User]:
        """Return the containers of an image."""
        return self.containers.using(image_id)

    def close(self) -> None:
        """End everything that runs and waits, and forget the images."""
        with self.changed:
            self.is_closed = True
            self.containers.close()
            self.execs.close()
            self.changed.notify_all()
        self.programs.close()
        self.events.close()
        with self.lock:
            self.images.close()
