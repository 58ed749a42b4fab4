"""FakeEngine: a docker engine in this process, which speaks the Docker Remote API.

Images are real: they are pulled from registries and pushed to them. Containers are simulated: no process
runs, and a test says what a container does.
"""

from __future__ import annotations

from .engine import FakeEngine

__all__ = ["FakeEngine"]
