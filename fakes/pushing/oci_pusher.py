"""A client that fills a fake through ``/v2/`` as today's engines do (distribution.md 1)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

from v1registry.layers.compression import compression_of
from v1registry.names import Digest
from v1registry.wsgi.framework import Request

from ..manifests import FakeManifest, diff_id_of
from ..recording.recorder import RECORD_KEY, recorded_request
from .pusher import ADMINISTRATOR_KEY, CREATED, USER_AGENT, PushRefused

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from v1registry.storage.base import Storage
    from v1registry.wsgi.framework import Response

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
EMPTY: Final = "application/vnd.oci.empty.v1+json"
TITLE: Final = "org.opencontainers.image.title"

_EMPTY_CONFIG: Final = b"{}"
_SUFFIXES: Final = {"gzip": "+gzip", "zstd": "+zstd"}


class OciPusher:
    """Pushes to one application in process by ``/v2/``. The requests of the test do not show it."""

    def __init__(self, application: WSGIApplication, storage: Storage):
        self._application = application
        self._storage = storage

    def push_image(
        self,
        repository: str,
        reference: str | None,
        layers: Sequence[bytes],
        fields: Mapping[str, object],
        parent: FakeManifest | None,
    ) -> FakeManifest:
        """Push an image and return its manifest.

        :param reference: the tag; None to push it by its digest alone.
        :param layers: the layers above those of the parent.
        :param fields: more keys of the config.
        :param parent: an image whose layers are below.
        :raises PushRefused: the registry rejected a step.
        """
        below = [] if parent is None else parent.layers
        history = [] if parent is None else list(parent.config.get("history", []))
        entry = {"created": CREATED, "created_by": "v1registry_fakes"}
        everything = [*below, *layers]
        config = {
            "architecture": "amd64",
            "config": {},
            "created": CREATED,
            "os": "linux",
            **fields,
            "rootfs": {"type": "layers", "diff_ids": [diff_id_of(layer) for layer in everything]},
            "history": history + [entry] * len(layers),
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._pushed(repository, _dumped(config), CONFIG),
            "layers": [
                self._pushed(repository, layer, LAYER + _SUFFIXES.get(compression_of(layer), ""))
                for layer in everything
            ],
        }
        return self.push_manifest(repository, reference, manifest)

    def push_artifact(
        self,
        repository: str,
        reference: str | None,
        blobs: Mapping[str, bytes],
        artifact_type: str,
        subject: FakeManifest | None,
        annotations: Mapping[str, str],
    ) -> FakeManifest:
        """Push an artifact and return its manifest.

        :param blobs: title -> content.
        :raises PushRefused: the registry rejected a step.
        """
        manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": artifact_type,
            "config": self._pushed(repository, _EMPTY_CONFIG, EMPTY),
            "layers": [
                self._pushed(repository, content, "application/octet-stream")
                | {"annotations": {TITLE: title}}
                for title, content in blobs.items()
            ]
            or [self._pushed(repository, _EMPTY_CONFIG, EMPTY)],
        }
        if subject is not None:
            manifest["subject"] = descriptor_of(subject)
        if annotations:
            manifest["annotations"] = dict(annotations)
        return self.push_manifest(repository, reference, manifest)

    def push_index(
        self, repository: str, reference: str | None, platforms: Mapping[str, FakeManifest]
    ) -> FakeManifest:
        """Push an index and return it.

        :param platforms: ``OS/ARCHITECTURE[/VARIANT]`` -> the manifest, which the repository contains.
        :raises PushRefused: the registry rejected it.
        """
        entries = [
            descriptor_of(manifest) | {"platform": _platform(name)} for name, manifest in platforms.items()
        ]
        return self.push_manifest(
            repository, reference, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        )

    def push_manifest(
        self, repository: str, reference: str | None, manifest: Mapping[str, object]
    ) -> FakeManifest:
        """Push a manifest whose blobs are in the repository.

        :raises PushRefused: the registry rejected it.
        """
        return self.push_document(repository, reference, _dumped(manifest), str(manifest["mediaType"]))

    def push_document(
        self, repository: str, reference: str | None, document: bytes, media_type: str
    ) -> FakeManifest:
        """Push the bytes of a manifest whose blobs are in the repository.

        :param reference: the tag, or the digest; None for the SHA-256.
        :raises PushRefused: the registry rejected it.
        """
        digest = str(Digest.of(document))
        path = f"/v2/{quote(repository)}/manifests/{quote(reference or digest)}"
        self._ask("PUT", path, document, media_type)
        return FakeManifest(self._storage, digest)

    def find_manifest(self, repository: str, reference: str) -> FakeManifest | None:
        """Return the manifest that a client gets; None if there is none."""
        path = f"/v2/{quote(repository)}/manifests/{quote(reference)}"
        response = self._send("HEAD", path)
        if response.status_code != 200:
            return None
        return FakeManifest(self._storage, response.headers["Docker-Content-Digest"])

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository that ``/v2/`` shows, sorted; none if it is off."""
        response = self._send("GET", f"/v2/{quote(repository)}/tags/list")
        return list(response.json["tags"]) if response.status_code == 200 else []

    def push_blob(self, repository: str, content: bytes, digest: str) -> None:
        """Push a blob unless the repository contains it.

        :raises PushRefused: the registry rejected it.
        """
        base = f"/v2/{quote(repository)}/blobs"
        if self._send("HEAD", f"{base}/{digest}").status_code != 200:
            begun = self._ask("POST", f"{base}/uploads/")
            location = urlsplit(begun.headers["Location"])
            query = "&".join(part for part in (location.query, urlencode({"digest": digest})) if part)
            self._ask("PUT", f"{location.path}?{query}", content)

    def _pushed(self, repository: str, content: bytes, media_type: str) -> dict[str, Any]:
        """Push a blob and return its descriptor."""
        digest = str(Digest.of(content))
        self.push_blob(repository, content, digest)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def _ask(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> Response:
        """Send a request and return the answer.

        :raises PushRefused: the registry rejected it.
        """
        response = self._send(method, path, body, content_type or "application/octet-stream")
        if response.status_code >= 400:
            errors = response.json["errors"]
            reason = "; ".join(f"{error['code']}: {error['message']}" for error in errors)
            raise PushRefused(method, path, response.status_code, reason) from self._error
        return response

    def _send(self, method: str, path: str, body: bytes = b"", content_type: str | None = None) -> Response:
        request = Request.blank(path, method=method, body=body)
        request.user_agent = USER_AGENT
        if content_type is not None:
            request.headers["Content-Type"] = content_type
        request.environ[ADMINISTRATOR_KEY] = "administrator"
        record = request.environ[RECORD_KEY] = recorded_request(request.environ)
        response = request.get_response(self._application)
        self._error = record.error
        return response


def descriptor_of(manifest: FakeManifest) -> dict[str, Any]:
    """Return the descriptor by which an index or a referrer names a manifest."""
    return {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.document),
    }


def _platform(name: str) -> dict[str, str]:
    """Return the platform of an entry of an index.

    :raises ValueError: the name is not ``OS/ARCHITECTURE`` or ``OS/ARCHITECTURE/VARIANT``.
    """
    parts = name.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise ValueError(f"a platform must be OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, not {name!r}")
    return dict(zip(("os", "architecture", "variant"), parts, strict=False))


def _dumped(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("utf-8")
