"""One server whose tags are written through both APIs, and by an old server on the same storage."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from support.engine_client import Image, make_image, tar_layer
from support.faulty_storage import FaultyStorage
from support.v2_client import V2Client
from support.wsgi_client import Client, call
from v1registry import Clock, Registry
from v1registry.distribution.places import Place
from v1registry.names import RepositoryName
from v1registry.storage.base import KeyNotFound, Storage

NAME = "team/app"
TAG = "1.0"
FILE = f"repositories/{NAME}/tag_{TAG}"
SIDE = f"repositories/{NAME}/_v2/tags/{TAG}"

#: An image that engines of v1 push.
OLD = make_image(tar_layer({"old": b"old"}), name="old")


class TwoViews:
    """An open server, with manifests that v1 can express, ``images``, and one that it cannot, ``artifact``.

    :param storage: with what a test added to its calls; a new FaultyStorage if it is left out.
    :param clock: of the server; the system's time if it is left out.
    """

    def __init__(self, storage: Storage | None = None, clock: Clock | None = None) -> None:
        self.storage: Any = FaultyStorage() if storage is None else storage
        self.app = Registry(storage=self.storage, v2="on", clock=clock)
        self.v2 = V2Client(self.app)
        self.v1 = Client(self.app)

    @cached_property
    def images(self) -> tuple[bytes, bytes]:
        """Two manifests of images, whose blobs are there."""
        return self.v2.image(NAME, "one"), self.v2.image(NAME, "two")

    @cached_property
    def artifact(self) -> bytes:
        """A manifest that v1 cannot express, whose blobs are there."""
        return self.v2.artifact(NAME, "report")

    @cached_property
    def old(self) -> Image:
        """An image that was pushed through v1."""
        self.v1.push(OLD)
        return OLD

    # -- writing

    def put(self, manifest: bytes, tag: str = TAG) -> None:
        """Set a tag through v2."""
        answer = self.v2.put_manifest(NAME, tag, manifest)
        assert answer.status == 201, answer

    def delete(self, tag: str = TAG) -> int:
        """Delete a tag through v2; return the status."""
        return self.v2.delete_manifest(NAME, tag).status

    def put_in_v1(self, image_id: str, tag: str = TAG) -> int:
        """Set a tag through v1; return the status."""
        return call(
            self.app, "PUT", f"/v1/repositories/{NAME}/tags/{tag}", json.dumps(image_id).encode()
        ).status

    def delete_in_v1(self, tag: str = TAG) -> int:
        """Delete a tag through v1; return the status."""
        return call(self.app, "DELETE", f"/v1/repositories/{NAME}/tags/{tag}").status

    def write_file(self, image_id: str | None) -> None:
        """Set or delete the tag as docker-registry 0.9 does on the same folder."""
        if image_id is None:
            self.storage.delete(FILE)
        else:
            self.storage.write(FILE, image_id.encode())

    # -- reading

    def shown(self, tag: str = TAG) -> str | None:
        """Return the digest that v2 shows, None if there is no such tag."""
        return self.v2.shown(NAME, tag)

    def in_v1(self, tag: str = TAG) -> str | None:
        """Return the image id that v1 shows, None if there is no such tag."""
        answer = call(self.app, "GET", f"/v1/repositories/{NAME}/tags/{tag}")
        assert answer.status in (200, 404), answer
        return str(json.loads(answer.body)) if answer.status == 200 else None

    def side(self) -> dict[str, Any] | None:
        """Return what v2 stored for the tag, None if nothing is stored."""
        try:
            return dict(json.loads(self.storage.read(SIDE)[0]))
        except KeyNotFound:
            return None

    def converted(self) -> str:
        """Return the digest of the manifest of the image that was pushed through v1."""
        services: Any = self.app._services
        rights = services.access.rights(None, {})
        place = Place.of(rights, RepositoryName.parse(NAME))
        record = services.distribution.from_v1.manifest_of(rights, place, self.old.image_id, is_oci=False)
        return str(record.digest)


def view_of(manifest: bytes) -> str:
    """Return the image id in v1 of an image with one layer: the digest of its config."""
    return str(json.loads(manifest)["config"]["digest"]).removeprefix("sha256:")
