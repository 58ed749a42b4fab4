"""The requests of a push, without credentials. The clients of the tests send these and judge the answers.

Source: moby v1.9.1 graph/push_v1.go; registry.md 12.1. The small engine has its own requests, because the
headers of each release are compared with the recordings.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from support.engine_client import Image

PAYLOAD_HEADER = "X-Docker-Checksum-Payload"
TARSUM_HEADER = "X-Docker-Checksum"

_JSON = {"Content-Type": "application/json"}


class PushRequest(NamedTuple):
    """One request of a push."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    method: str = "PUT"


def announcement(repository: str, image_ids: Iterable[str]) -> PushRequest:
    """Begin a push: list the images."""
    listed = json.dumps([{"id": image_id} for image_id in image_ids]).encode()
    return PushRequest(f"/v1/repositories/{repository}/", listed, _JSON)


def json_of(image: Image) -> PushRequest:
    """Send the JSON of an image."""
    return PushRequest(f"/v1/images/{image.image_id}/json", image.json, _JSON)


def layer_of(image: Image) -> PushRequest:
    """Send the layer of an image."""
    headers = {"Content-Type": "application/octet-stream"}
    return PushRequest(f"/v1/images/{image.image_id}/layer", image.layer, headers)


def checksum_of(image: Image) -> PushRequest:
    """Send the payload checksum of an image, which completes it."""
    return PushRequest(f"/v1/images/{image.image_id}/checksum", b"", {PAYLOAD_HEADER: image.payload_checksum})


def image_requests(image: Image) -> tuple[PushRequest, PushRequest, PushRequest]:
    """Return the three requests that push an image, in their order."""
    return json_of(image), layer_of(image), checksum_of(image)


def tag_of(repository: str, tag: str, image_id: str) -> PushRequest:
    """Set a tag."""
    return PushRequest(f"/v1/repositories/{repository}/tags/{tag}", json.dumps(image_id).encode(), _JSON)


def end_of(repository: str, *images: Image) -> PushRequest:
    """End a push: list the images with their checksums. Engines from 1.3 on send an empty list."""
    entries = [{"id": image.image_id, "checksum": image.payload_checksum} for image in images]
    return PushRequest(f"/v1/repositories/{repository}/images", json.dumps(entries).encode(), _JSON)
