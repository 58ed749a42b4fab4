"""Helpers for tests of the pages of images."""

from __future__ import annotations

from typing import Any

from v1registry_fakes import FakeImage, FakeRegistry

from support.reader import words


def steps_in(page: Any) -> list[str]:
    """Return the texts of the layers in the history of an image."""
    return [words(item) for item in page.select(".history > li")]


def push_history(
    registry: FakeRegistry, *documents: dict[str, object], name: str | None = None
) -> list[FakeImage]:
    """Push images that build on each other, the root first."""
    built: list[FakeImage] = []
    for number, document in enumerate(documents):
        parent = built[-1] if built else None
        built.append(registry.add_image(name, layer=b"x" * 1024 * (number + 1), parent=parent, json=document))
    return built
