"""A small registry of the distribution API, whose answers a test can spoil, as other registries might."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from support.scripted import Seen
from v1registry.archives.documents import DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST

_REASONS = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content"}


@dataclass
class Reply:
    """An answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def failure(cls, status: int, code: str) -> Reply:
        body = json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode()
        return cls(status, {"Content-Type": "application/json"}, body)


#: Changes an answer, or replaces it.
Spoiler = Callable[[Reply], Reply]


class SmallV2:
    """A WSGI application. Everything that was pushed stays in memory."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}  #: by repository and tag or digest
        self.uploads: dict[str, bytearray] = {}
        self.seen: list[Seen] = []
        self.token = ""  #: without it, every call but the token endpoint is 401
        self.challenge = ""
        self.cut_after: list[int] = []  #: how many bytes of the next uploads arrive
        self._begun = 0
        self._rules: list[tuple[str, str, Spoiler]] = []
        self._lock = threading.Lock()

    def when(self, method: str, path: str, spoil: Spoiler) -> None:
        """Let ``spoil`` change the answer to the next request whose path matches the pattern."""
        self._rules.append((method, path, spoil))

    def requests(self, method: str, path: str = ".*") -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and re.fullmatch(path, seen.path)]

    def add_blob(self, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[digest] = data
        return digest

    def add_manifest(self, name: str, place: str, media_type: str, document: Any) -> str:
        """Store a manifest by its digest and by a tag; return the digest."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.manifests[name, place] = self.manifests[name, digest] = (media_type, data)
        return digest

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        headers = {
            key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key[:5] == "HTTP_"
        }
        headers["content-type"] = environ.get("CONTENT_TYPE", "")
        seen = Seen(environ["REQUEST_METHOD"], environ["PATH_INFO"], headers)
        body = environ["wsgi.input"].read() if seen.method in ("PATCH", "PUT", "POST") else b""
        with self._lock:
            self.seen.append(seen)
            reply = self._answer(seen, environ.get("QUERY_STRING", ""), body)
            for rule in list(self._rules):
                if rule[0] == seen.method and re.fullmatch(rule[1], seen.path):
                    self._rules.remove(rule)
                    reply = rule[2](reply)
                    break
        named = {"Content-Length": str(len(reply.body))} | reply.headers
        start_response(f"{reply.status} {_REASONS.get(reply.status, 'Other')}", list(named.items()))
        return [b"" if seen.method == "HEAD" else reply.body]

    def _answer(self, seen: Seen, query: str, body: bytes) -> Reply:
        if seen.path == "/token":
            return Reply(200, body=json.dumps({"token": self.token}).encode())
        if self.challenge and seen.headers.get("authorization") != f"Bearer {self.token}":
            return Reply(401, {"WWW-Authenticate": self.challenge})
        if seen.path == "/v2/":
            return Reply(200, body=b"{}")
        for pattern, handle in (
            (r"/v2/(.+)/manifests/([^/]+)", self._manifest),
            (r"/v2/(.+)/blobs/uploads/([^/]*)", self._upload),
            (r"/v2/(.+)/blobs/([^/]+)", self._blob),
        ):
            if found := re.fullmatch(pattern, seen.path):
                return handle(seen, found[1], found[2], query, body)
        return Reply.failure(404, "NAME_UNKNOWN")

    def _manifest(self, seen: Seen, name: str, place: str, query: str, body: bytes) -> Reply:
        if seen.method == "PUT":
            digest = self.add_manifest(name, place, seen.headers["content-type"], body)
            return Reply(201, {"Docker-Content-Digest": digest})
        if (name, place) not in self.manifests:
            return Reply.failure(404, "MANIFEST_UNKNOWN")
        media_type, data = self.manifests[name, place]
        return Reply(200, {"Content-Type": media_type}, data)

    def _blob(self, seen: Seen, name: str, digest: str, query: str, body: bytes) -> Reply:
        data = self.blobs.get(digest)
        if data is None:
            return Reply.failure(404, "BLOB_UNKNOWN")
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", seen.headers.get("range", "")):
            part = f"bytes {found[1]}-{len(data) - 1}/{len(data)}"
            return Reply(206, {"Content-Range": part}, data[int(found[1]) :])
        return Reply(200, {"ETag": f'"{digest}"'}, data)

    def _upload(self, seen: Seen, name: str, key: str, query: str, body: bytes) -> Reply:
        if seen.method == "POST":
            if (found := re.match(r"mount=([^&]+)&from=", query)) and found[1] in self.blobs:
                return Reply(201)
            self._begun += 1
            key = f"u{self._begun}"
            self.uploads[key] = bytearray()
        elif key not in self.uploads:
            return Reply.failure(404, "BLOB_UPLOAD_UNKNOWN")
        elif seen.method == "PATCH":
            limit = self.cut_after.pop(0) if self.cut_after else len(body)
            self.uploads[key] += body[:limit]
            if limit < len(body):
                return Reply(502)
        elif seen.method == "PUT":
            digest = self.add_blob(bytes(self.uploads.pop(key)) + body)
            return Reply(201, {"Docker-Content-Digest": digest})
        last = max(len(self.uploads[key]) - 1, 0)
        status = 204 if seen.method == "GET" else 202
        return Reply(status, {"Location": f"/v2/{name}/blobs/uploads/{key}?s=1", "Range": f"0-{last}"})


def image_of(small: SmallV2, name: str, layer: bytes, *, place: str = "v1", **config: Any) -> str:
    """Store an image with one layer; return the digest of its manifest."""
    diff_id = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    document = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    data = json.dumps(document | config).encode()
    packed = gzip.compress(layer, mtime=0)
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {"mediaType": DOCKER_CONFIG, "size": len(data), "digest": small.add_blob(data)},
        "layers": [{"mediaType": DOCKER_LAYER, "size": len(packed), "digest": small.add_blob(packed)}],
    }
    return small.add_manifest(name, place, DOCKER_MANIFEST, manifest)
