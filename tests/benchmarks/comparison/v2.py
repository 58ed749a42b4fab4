"""Pushes of the distribution API under /v2/."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from .http import Connection, Layer, dumped

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_OCTETS = "application/octet-stream"


class Client:
    """A client of a server that is open to every client, or with a fixed header of authorization."""

    def __init__(self, port: int, authorization: str = ""):
        self.connection = Connection(port, authorization)

    def begin_upload(self, repository: str) -> str:
        """Return the path and the query to which the blob goes."""
        answer = self.connection.request("POST", f"/v2/{repository}/blobs/uploads/")
        location = urlsplit(answer.headers["location"])
        return f"{location.path}?{location.query}" if location.query else location.path

    def put_blob(self, upload: str, layer: Layer, digest: str) -> None:
        """Send a blob in one chunked request, as docker does, and complete it."""
        headers = {"Content-Type": _OCTETS, "Transfer-Encoding": "chunked"}
        answer = self.connection.request("PATCH", upload, headers=headers, stream=layer.chunked())
        location = urlsplit(answer.headers["location"])
        query = f"{location.query}&" if location.query else ""
        self.connection.request("PUT", f"{location.path}?{query}digest={digest}")

    def has_blob(self, repository: str, digest: str) -> bool:
        """Tell whether a repository has a blob."""
        path = f"/v2/{repository}/blobs/{digest}"
        return self.connection.request("HEAD", path, expected=(200, 404)).status == 200

    def put_image(self, repository: str, tag: str, layers: list[Layer]) -> str:
        """Push an image of layers; return the digest of the manifest."""
        blobs = [(layer.digest(), layer.size) for layer in layers]
        for layer, (digest, _) in zip(layers, blobs, strict=True):
            self.put_blob(self.begin_upload(repository), layer, digest)
        return self.put_manifest(repository, tag, blobs)

    def put_manifest(self, repository: str, tag: str, layers: Sequence[tuple[str, int]]) -> str:
        """Push the config and the manifest of an image whose layers are there; return the digest.

        :param layers: digest and size of each.
        """
        config = dumped(
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
        )
        config_digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
        upload = self.begin_upload(repository)
        separator = "&" if "?" in upload else "?"
        self.connection.request(
            "PUT", f"{upload}{separator}digest={config_digest}", config, headers={"Content-Type": _OCTETS}
        )
        manifest = dumped(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": {
                    "mediaType": "application/vnd.docker.container.image.v1+json",
                    "size": len(config),
                    "digest": config_digest,
                },
                "layers": [
                    {
                        "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                        "size": size,
                        "digest": digest,
                    }
                    for digest, size in layers
                ],
            }
        )
        headers = {"Content-Type": MANIFEST_TYPE}
        self.connection.request("PUT", f"/v2/{repository}/manifests/{tag}", manifest, headers=headers)
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    def get_manifest(self, repository: str, tag: str) -> list[str]:
        """Get the manifest of a tag, and its config; return the digests of the layers."""
        answer = self.connection.request(
            "GET", f"/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST_TYPE}
        )
        manifest = json.loads(answer.body)
        self.get_blob(repository, manifest["config"]["digest"])
        return [layer["digest"] for layer in manifest["layers"]]

    def get_blob(self, repository: str, digest: str) -> int:
        """Get a blob, and throw it away; return its size."""
        return self.connection.request("GET", f"/v2/{repository}/blobs/{digest}", keeps=False).size

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
