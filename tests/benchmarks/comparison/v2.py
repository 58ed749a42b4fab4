"""Pushes of the distribution API under /v2/."""

from __future__ import annotations

import hashlib
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

    def put_image(self, repository: str, tag: str, layers: list[Layer]) -> str:
        """Push an image of layers; return the digest of the manifest."""
        digests = [layer.digest() for layer in layers]
        for layer, digest in zip(layers, digests, strict=True):
            self.put_blob(self.begin_upload(repository), layer, digest)
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
                        "size": layer.size,
                        "digest": digest,
                    }
                    for layer, digest in zip(layers, digests, strict=True)
                ],
            }
        )
        headers = {"Content-Type": MANIFEST_TYPE}
        self.connection.request("PUT", f"/v2/{repository}/manifests/{tag}", manifest, headers=headers)
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
