"""The images that tests push with the client, and their state in the registry."""

from __future__ import annotations

import gzip

from support.archives import make_chain
from support.scripted import Script

IDS = [image.image_id for image, _ in make_chain(3)]


def is_complete(script: Script, image_id: str) -> bool:
    """Tell whether the registry has the image with the layer of the archive."""
    keys = {stat.key.rpartition("/")[2] for stat in script.storage.list(f"images/{image_id}/")}
    if "layer" not in keys or "_inprogress" in keys:
        return False
    layers = {image.image_id: layer for image, layer in make_chain(3)}
    return gzip.decompress(script.storage.read(f"images/{image_id}/layer")[0]) == layers[image_id]


def assert_is_pushed(script: Script) -> None:
    assert all(is_complete(script, image_id) for image_id in IDS)
    assert script.storage.read("repositories/foo/bar/tag_v1")[0].decode() == IDS[2]
