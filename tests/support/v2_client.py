"""A client of the distribution API in this process."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from typing import Any, Final

from support.credentials import basic
from support.wsgi_client import Answer, call
from v1registry.distribution.manifests import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

CONFIG_TYPES: Final = {
    OCI_MANIFEST: "application/vnd.oci.image.config.v1+json",
    DOCKER_MANIFEST: "application/vnd.docker.container.image.v1+json",
}
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def dumped(document: object) -> bytes:
    return json.dumps(document, indent=1).encode()


def descriptor_of(data: bytes, media_type: str, **fields: object) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **fields}


def tar_of(name: str, content: bytes = b"content") -> bytes:
    """Return a tar with one file."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


class V2Client:
    """Makes requests below ``/v2/``. No status raises an exception.

    :param user: logs in with Basic; None for an anonymous caller.
    :param password: the default is that of :func:`support.credentials.basic`.
    """

    def __init__(self, app: Any, user: str | None = None, password: str | None = None):
        self.app = app
        self._login = {} if user is None else {"HTTP_AUTHORIZATION": basic(user, password)["Authorization"]}

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Make a request. Headers are named as in ``If_None_Match``."""
        environ = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        if "HTTP_CONTENT_TYPE" in environ:
            environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE")
        path, _, query = path.partition("?")
        return call(self.app, method, path, body, QUERY_STRING=query, **self._login, **environ)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def put_blob(self, name: str, data: bytes, algorithm: str = "sha256") -> str:
        """Upload a blob; return its digest."""
        digest = digest_of(data, algorithm)
        answer = self.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", data)
        assert answer.status == 201, answer
        return digest

    def put_manifest(
        self, name: str, reference: str, data: bytes, media_type: str = OCI_MANIFEST, **headers: str
    ) -> Answer:
        return self.ask("PUT", f"/v2/{name}/manifests/{reference}", data, Content_Type=media_type, **headers)

    def get_manifest(self, name: str, reference: str, **headers: str) -> Answer:
        return self.get(f"/v2/{name}/manifests/{reference}", **headers)

    def delete_manifest(self, name: str, reference: str) -> Answer:
        return self.ask("DELETE", f"/v2/{name}/manifests/{reference}")

    def shown(self, name: str, reference: str) -> str | None:
        """Return the digest of the manifest under a reference, None if there is none."""
        answer = self.get_manifest(name, reference)
        assert answer.status in (200, 404), answer
        return digest_of(answer.body) if answer.status == 200 else None

    def tags(self, name: str) -> list[str]:
        """Return the tags of a repository."""
        answer = self.get(f"/v2/{name}/tags/list")
        assert answer.status == 200, answer
        return list(json.loads(answer.body)["tags"])

    # -- content

    def image(self, name: str, content: str, media_type: str = OCI_MANIFEST, **fields: object) -> bytes:
        """Upload the blobs of an image with one layer; return its manifest, which is not put.

        :param content: decides the config and the layer.
        :param fields: of the manifest.
        """
        plain = tar_of(content)
        layer = gzip.compress(plain, mtime=0)
        config = dumped(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Env": [f"CONTENT={content}"]},
                "rootfs": {"type": "layers", "diff_ids": [digest_of(plain)]},
            }
        )
        for blob in (config, layer):
            self.put_blob(name, blob)
        return dumped(
            {
                "schemaVersion": 2,
                "mediaType": media_type,
                "config": descriptor_of(config, CONFIG_TYPES[media_type]),
                "layers": [descriptor_of(layer, LAYER_TYPE)],
                **fields,
            }
        )

    def artifact(self, name: str, content: str, **fields: object) -> bytes:
        """Upload the blobs of an artifact, which v1 cannot express; return its manifest, which is not put."""
        blob = content.encode()
        for data in (b"{}", blob):
            self.put_blob(name, data)
        return dumped(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "artifactType": "application/vnd.example.report",
                "config": descriptor_of(b"{}", "application/vnd.oci.empty.v1+json"),
                "layers": [descriptor_of(blob, "text/plain")],
                **fields,
            }
        )


def index_of(
    *manifests: bytes, architectures: tuple[str, ...] = ("amd64", "arm64"), **fields: object
) -> bytes:
    """Return an index of image manifests for amd64 and arm64."""
    entries = [
        descriptor_of(manifest, OCI_MANIFEST, platform={"os": "linux", "architecture": architecture})
        for manifest, architecture in zip(manifests, ("amd64", "arm64"), strict=False)
    ]
    return dumped({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **fields})
