"""Requests to a registry that trusts another index."""

from __future__ import annotations

from support.engine_client import Image, make_chain, make_image, tar_layer
from support.small_index import SmallIndex
from support.wsgi_client import Client

NAME = "foo/bar"
CHAIN = make_chain((tar_layer({f"file-{n}": b"%d" % n}) for n in range(3)), name="halves")
IDS = [image.image_id for image in CHAIN]
OTHER = make_image(tar_layer({"other": b"other"}), name="other")
REQUIRES_AUTHORIZATION = (401, "Requires authorization")


def token(value: str) -> dict[str, str]:
    return {"Authorization": f"Token {value}"}


def push(registry: Client, index: SmallIndex, *images: Image, repository: str = NAME) -> dict[str, str]:
    """Push images in this process, the last one as ``latest``; return the header with the token."""
    listed = index.lists.setdefault(repository, [])
    listed += [{"id": image.image_id} for image in images]
    writing = token(index.token(repository, "write"))
    for image in images:
        path = f"/v1/images/{image.image_id}"
        assert registry.put(f"{path}/json", image.json, writing).status_int == 200
        assert registry.put(f"{path}/layer", image.layer, writing).status_int == 200
        sums = {"X-Docker-Checksum-Payload": image.payload_checksum}
        assert registry.put(f"{path}/checksum", headers=writing | sums).status_int == 200
    tagged = registry.put(f"/v1/repositories/{repository}/tags/latest", f'"{images[-1].image_id}"', writing)
    assert tagged.status_int == 200
    return writing


# -- REG-040 to REG-043: what a token is good for

READS = [
    ("GET", f"/v1/repositories/{NAME}/tags"),
    ("HEAD", f"/v1/repositories/{NAME}/tags"),
    ("GET", f"/v1/repositories/{NAME}/tags/latest"),
    ("GET", f"/v1/repositories/{NAME}/tags/latest/json"),
    ("GET", f"/v1/repositories/{NAME}/json"),
    ("GET", f"/v1/repositories/{NAME}/properties"),
    ("GET", f"/v1/images/{IDS[0]}/json"),
    ("HEAD", f"/v1/images/{IDS[0]}/layer"),
    ("GET", f"/v1/images/{IDS[0]}/layer"),
    ("GET", f"/v1/images/{IDS[0]}/ancestry"),
    ("GET", f"/v1/images/{IDS[0]}/files"),
    ("GET", f"/v1/images/{IDS[0]}/diff"),
]
WRITES = [
    ("PUT", f"/v1/repositories/{NAME}/tags/other"),
    ("PUT", f"/v1/repositories/{NAME}/properties"),
    ("PUT", f"/v1/images/{IDS[0]}/json"),
    ("PUT", f"/v1/images/{IDS[0]}/layer"),
    ("PUT", f"/v1/images/{IDS[0]}/checksum"),
]
DELETES = [("DELETE", f"/v1/repositories/{NAME}/"), ("DELETE", f"/v1/repositories/{NAME}/tags")]
TAG_DELETE = ("DELETE", f"/v1/repositories/{NAME}/tags/latest")

IMAGE_PARTS = ["json", "layer", "ancestry", "files", "diff"]

# -- an index in trouble

UNAVAILABLE = (503, "The index that checks tokens does not answer, retry later")
