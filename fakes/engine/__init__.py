"""FakeEngine: a docker engine in this process, which speaks the Docker Remote API.

Images are real: they are pulled from registries and pushed to them. Containers are simulated: no process
runs, and a test says what a container does.
"""

from __future__ import annotations

from .behaviours import Run
from .engine import FakeEngine
from .views import FakeContainer, FakeContainers, FakeEngineImage, FakeEngineImages

__all__ = ["FakeContainer", "FakeContainers", "FakeEngine", "FakeEngineImage", "FakeEngineImages", "Run"]
