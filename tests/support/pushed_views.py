"""Images that are put into an application below the level of HTTP, and their v1 views."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from typing import Any, Final

from v1registry import Registry
from v1registry.distribution.places import Place
from v1registry.distribution.to_v1 import View
from v1registry.names import RepositoryName
from v1registry.rights import User
from v1registry.storage.base import Storage

NAME: Final = RepositoryName("team", "app")
OCI: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def tar_of(name: str, content: bytes = b"content") -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


class Pushed:
    """A repository into which images are put below the level of HTTP.

    :param storage: of an application without accounts, unless ``app`` is given.
    :param user: who pushes, on a server with accounts.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        app: Any = None,
        user: str = "",
        repository: RepositoryName = NAME,
        **settings: Any,
    ):
        self.storage = storage
        services: Any = (app or Registry(storage=storage, v2="on", **settings))._services
        self.services, self.distribution = services, services.distribution
        self.contents = services.images.contents
        self.rights = services.access.rights_of(User(user)) if user else services.access.rights(None, {})
        self.place = Place.begin(self.rights, services.holding, repository)

    def blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        digest = self.distribution.blobs.put(data)
        self.distribution.blobs.mark(self.place, digest.hex)
        return {"mediaType": media_type, "digest": str(digest), "size": len(data)}

    def manifest(self, layers: list[bytes], diff_ids: list[str], **fields: object) -> bytes:
        config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        return json.dumps(
            {
                "schemaVersion": 2,
                "config": self.blob(json.dumps({**config, **fields}).encode(), CONFIG),
                "layers": [self.blob(layer, f"{LAYER}+gzip") for layer in layers],
            }
        ).encode()

    def view(self, manifest: bytes, media_type: str = OCI) -> View | None:
        found = self.distribution.to_v1.view_of(self.rights, self.place, manifest, media_type)
        assert found is None or isinstance(found, View)
        return found

    def config(self, manifest: bytes) -> bytes:
        digest = json.loads(manifest)["config"]["digest"]
        data = self.distribution.blobs.read(digest.removeprefix("sha256:"))
        assert isinstance(data, bytes)
        return data

    def image(self, *names: str, **fields: object) -> bytes:
        """Return a manifest whose layers are tars with these files, lowest first, as gzip."""
        tars = [tar_of(name) for name in names]
        layers = [gzip.compress(tar, mtime=0) for tar in tars]
        return self.manifest(layers, [sha256(tar) for tar in tars], **fields)

    def is_viewed(self, view: View) -> bool:
        """Tell whether the repository holds each image of a view, with its layer."""
        held = [self.rights.content_in(self.place.repository, image_id) for image_id in view.ancestry]
        return all(content is not None and self.contents.layer(content) is not None for content in held)
