"""Folders of data that are written at once, in the layout of docker-registry 0.9 (storage-layout.md 1)."""

from __future__ import annotations

import json
from pathlib import Path

from .v1 import Image


def write_image(store: Path, image: Image, ancestors: tuple[str, ...] = ()) -> None:
    """Write a complete image.

    :param ancestors: the parent first.
    """
    folder = store / "images" / image.image_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "json").write_bytes(image.document)
    (folder / "layer").write_bytes(b"".join(image.layer.blocks()))
    (folder / "ancestry").write_text(json.dumps([image.image_id, *ancestors]))
    (folder / "_checksum").write_text(json.dumps([image.checksum]))


def write_repository(store: Path, name: str, tags: dict[str, str]) -> None:
    """Write a repository.

    :param tags: name of the tag -> image id.
    """
    folder = store / "repositories" / name
    folder.mkdir(parents=True, exist_ok=True)
    listed = [{"id": image_id} for image_id in sorted(set(tags.values()))]
    (folder / "_index_images").write_text(json.dumps(listed))
    for tag, image_id in tags.items():
        (folder / f"tag_{tag}").write_text(image_id)


def name_of(number: int) -> str:
    """Return the name of the repository with a number, in one of 100 namespaces."""
    return f"ns{number % 100}/repo{number:07d}"


def write_repositories(store: Path, image: Image, number: int) -> None:
    """Write repositories of one tag each, all of one image."""
    write_image(store, image)
    for index in range(number):
        write_repository(store, name_of(index), {"latest": image.image_id})
