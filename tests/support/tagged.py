"""A tag in a registry, its archive, and the output of a pull."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from support.archives import layer_sums
from support.scripted import Script

LAYER = "/v1/images/.*/layer"


@dataclass
class Tagged:
    """The tag foo/bar:v1 with three images whose layers have 300 kB, and the output of a pull."""

    script: Script
    ids: list[str]  #: root first
    reference: str
    pushed: Path  #: the archive that was pushed
    output: Path

    @property
    def parts(self) -> Path:
        return self.output.with_name(self.output.name + ".v1registry-parts")

    def size_of(self, image_id: str) -> int:
        """Return the size of a stored layer in bytes."""
        return self.script.storage.stat(f"images/{image_id}/layer").size

    def assert_is_whole(self) -> None:
        assert layer_sums(self.output) == layer_sums(self.pushed)
        assert not self.parts.exists()
