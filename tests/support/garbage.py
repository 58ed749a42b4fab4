"""Garbage collections of tests, and what is stored before and after them."""

from __future__ import annotations

import json

from support.accounts_world import image_of
from support.engine_client import Image
from support.v2_client import V2Client, dumped
from support.wsgi_client import call
from v1registry import Registry, Storage
from v1registry.housekeeping.garbage_report import GarbageReport
from v1registry.housekeeping.retention import Retention
from v1registry.housekeeping.service import Housekeeping

BASE = image_of("base")
TOP = image_of("top", BASE)
OTHER_TOP = image_of("other-top", BASE)
OTHER_ROOT = image_of("another-root")


def collect(
    storage: Storage,
    *,
    grace_s: float = 0,
    is_dry_run: bool = False,
    takes_untagged: bool = False,
    retention: Retention | None = None,
) -> GarbageReport:
    """Collect the garbage of a storage, without grace."""
    return Housekeeping(storage).collect_garbage(
        grace_s=grace_s, is_dry_run=is_dry_run, takes_untagged=takes_untagged, retention=retention
    )


def keys(storage: Storage, *prefixes: str) -> list[str]:
    """Return the keys below prefixes."""
    return [stat.key for prefix in prefixes for stat in storage.list(prefix)]


def everything(storage: Storage) -> dict[str, bytes]:
    """Return key -> value."""
    return {stat.key: storage.read(stat.key)[0] for stat in storage.list("")}


def images_in(storage: Storage) -> set[str]:
    """Return the ids of all images of which anything is stored."""
    return {key.split("/")[1] for key in keys(storage, "images/")}


def push_openly(app: Registry, repository: str, *images: Image, tag: str = "latest") -> None:
    """Push images to an open server, parents first. Images that are there are left out."""
    listed = json.dumps([{"id": image.image_id} for image in images])
    call(app, "PUT", f"/v1/repositories/{repository}/", listed.encode())
    for image in images:
        path = f"/v1/images/{image.image_id}"
        if call(app, "PUT", f"{path}/json", image.json).status == 200:
            call(app, "PUT", f"{path}/layer", image.layer)
            header = {"HTTP_X_DOCKER_CHECKSUM_PAYLOAD": image.payload_checksum}
            assert call(app, "PUT", f"{path}/checksum", b"", **header).status == 200
    answer = call(app, "PUT", f"/v1/repositories/{repository}/tags/{tag}", dumped(images[-1].image_id))
    assert answer.status == 200


def tagged(client: V2Client, name: str, tag: str, content: str) -> bytes:
    """Push an image below ``/v2/``; return its manifest."""
    data = client.image(name, content)
    assert client.put_manifest(name, tag, data).status == 201
    return data
