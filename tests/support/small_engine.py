"""A minimal docker engine that pushes and pulls as each release did (clients.md 2 to 5)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256

from support.rebuilt_layer import RebuiltLayer, pieces
from support.wire import Answer, Transport, WireRequest

#: User-Agent of each release (clients.md 10; 0.6 ends with a blank).
USER_AGENTS = {
    "0.6": "docker/0.6.7 go/go1.1.2 git-commit/cb48ecc kernel/3.8.0-19-generic os/linux arch/amd64 ",
    "0.9": "docker/0.9.1 go/go1.2.1 git-commit/3600720 kernel/3.8.0-19-generic os/linux arch/amd64",
    "1.0": "docker/1.0.1 go/go1.2.1 git-commit/990021a kernel/3.13.0-24-generic os/linux arch/amd64",
    "1.3": "docker/1.3.3 go/go1.3.3 git-commit/d344625 kernel/3.16.0-4-amd64 os/linux arch/amd64",
    "1.9": "docker/1.9.1 go/go1.4.3 git-commit/a34a1d5 kernel/3.16.0-4-amd64 os/linux arch/amd64",
    "1.12": "docker/1.12.6 go/go1.6.4 git-commit/78d1802 kernel/3.16.0-4-amd64 os/linux arch/amd64 "
    "UpstreamClient(Docker-Client/1.12.6 \\(linux\\))",
}


@dataclass(frozen=True)
class SmallImage:
    """An image of one layer, whose checksums are computed without code of the server."""

    document: bytes
    layer: RebuiltLayer

    @classmethod
    def named(cls, name: str, parent: SmallImage | None = None, **more: object) -> SmallImage:
        """Return the image of a name: always the same one. ``more`` goes into the JSON."""
        content: dict[str, object] = {"id": sha256(name.encode()).hexdigest(), **more}
        if parent is not None:
            content["parent"] = parent.image_id
        return cls(json.dumps(content).encode(), RebuiltLayer.of_size(6000, name))

    @property
    def image_id(self) -> str:
        """The id in the JSON of the image."""
        return str(json.loads(self.document)["id"])

    @property
    def path(self) -> str:
        """The path of the image under ``/v1/``."""
        return f"/v1/images/{self.image_id}"


@dataclass
class SmallEngine:
    """One release of docker that speaks to one server."""

    transport: Transport
    release: str
    authorization: str | None = None  #: Basic credentials, if the engine is logged in
    token: str | None = None  #: X-Docker-Token of the last answer, as the engine sends it back
    seen: list[tuple[str, int]] = field(default_factory=list)  #: method and path, status

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *headers: tuple[str, str],
        is_chunked: bool = False,
        read_limit: int | None = None,
    ) -> Answer:
        """Send a request with the headers of this release, and return the answer."""
        sent = [("Host", self.transport.host), ("User-Agent", USER_AGENTS[self.release]), *headers]
        if is_chunked:
            sent.append(("Transfer-Encoding", "chunked"))
        elif body is not None:
            sent.append(("Content-Length", str(len(body))))
        if not any(name == "Range" for name, _ in headers) and method != "HEAD":
            sent.append(("Accept-Encoding", "gzip"))
        sent.append(("Connection", "close"))
        chunks = pieces(body or b"", (77, 60, 2048) if is_chunked else ())
        answer = self.transport.send(
            WireRequest(method, path, tuple(sent), chunks, is_chunked, read_limit=read_limit)
        )
        assert answer is not None
        self.seen.append((f"{method} {path}", answer.status))
        return answer

    def ping(self) -> Answer:
        """Ask for the version. Releases up to 1.5 send Go's own User-Agent."""
        ping = WireRequest(
            "GET", "/v1/_ping", (("Host", self.transport.host), ("User-Agent", "Go 1.1 package http"))
        )
        answer = self.transport.send(ping)
        assert answer is not None
        return answer

    def ask_index(
        self, method: str, path: str, body: bytes | None = None, *headers: tuple[str, str]
    ) -> Answer:
        """Call the index with Basic, and keep the token of the answer."""
        sent = [("X-Docker-Token", "true"), *headers]
        if body is not None and self.release != "0.6":
            sent.append(("Content-Type", "application/json"))
        basic = self.authorization
        if basic is None and method == "PUT" and self.release in ("0.6", "0.9", "1.0", "1.3"):
            basic = "Basic Og=="
        if basic is not None:
            sent.append(("Authorization", basic))
        answer = self.send(method, path, body, *sent)
        # 0.6 joins the values for a pull with a comma and a blank
        values = answer.values("X-Docker-Token")
        self.token = "Token " + (", " if self.release == "0.6" and method == "GET" else ",").join(values)
        return answer

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *headers: tuple[str, str],
        is_chunked: bool = False,
        read_limit: int | None = None,
    ) -> Answer:
        """Call the registry with the token."""
        sent = [*headers]
        if self.token is not None:
            sent.append(("Authorization", self.token))
        return self.send(method, path, body, *sent, is_chunked=is_chunked, read_limit=read_limit)

    # -- push

    def announce(self, repository: str, entries: list[dict[str, str]]) -> Answer:
        """Announce the images of a push to the index."""
        return self.ask_index("PUT", f"/v1/repositories/{repository}/", json.dumps(entries).encode())

    def put_json(self, image: SmallImage) -> Answer:
        """Send the JSON of an image."""
        return self.ask("PUT", f"{image.path}/json", image.document, ("Content-Type", "application/json"))

    def put_layer(self, image: SmallImage) -> Answer:
        """Send the layer of an image, chunked."""
        kind = (
            () if self.release in ("0.6", "0.9", "1.0") else (("Content-Type", "application/octet-stream"),)
        )
        return self.ask("PUT", f"{image.path}/layer", image.layer.body, *kind, is_chunked=True)

    def put_checksum(
        self, image: SmallImage, tarsum: str | None = None, payload: str | None = None
    ) -> Answer:
        """Send the checksums of an image; those of its layer by default."""
        sums = [("X-Docker-Checksum", tarsum or image.layer.tarsum(image.document))]
        if payload is None and self.release == "0.9":
            payload = image.layer.sum_of_archive()
        elif payload is None and self.release != "0.6":
            payload = image.layer.sum(image.document)
        if payload is not None:
            sums.append(("X-Docker-Checksum-Payload", payload))
        return self.ask("PUT", f"{image.path}/checksum", b"", *sums)

    def put_tag(self, repository: str, tag: str, image: SmallImage) -> Answer:
        """Set a tag."""
        path = f"/v1/repositories/{repository}/tags/{tag}"
        return self.ask(
            "PUT", path, json.dumps(image.image_id).encode(), ("Content-Type", "application/json")
        )

    def finish(self, repository: str, entries: list[dict[str, str]] | None = None) -> Answer:
        """End a push at the index."""
        endpoint = ("X-Docker-Endpoints", f"http://{self.transport.host}/v1/")
        body = json.dumps(entries or []).encode()
        return self.ask_index("PUT", f"/v1/repositories/{repository}/images", body, endpoint)

    def push(self, repository: str, images: list[SmallImage], tag: str = "latest") -> None:
        """Push images, the root first, and tag the last one. Images that the registry has are left out."""
        entries = [{"id": image.image_id} for image in images]
        entries[-1]["Tag"] = tag
        assert self.announce(repository, entries).status == 200
        for image in images:
            if self.ask("GET", f"{image.path}/json").status != 200:
                assert self.put_json(image).status == 200
                assert self.put_layer(image).status == 200
                assert self.put_checksum(image).status == 200
        assert self.put_tag(repository, tag, images[-1]).status == 200
        assert self.finish(repository).status == 204

    # -- pull

    def pull(self, repository: str, tag: str = "latest") -> dict[str, tuple[bytes, bytes]]:
        """Return id -> (JSON, layer) of a tag's images, the root first (0.6: the top first)."""
        assert self.ask_index("GET", f"/v1/repositories/{repository}/images").status == 200
        tags = self.ask("GET", f"/v1/repositories/{repository}/tags")
        top = json.loads(tags.body)[tag]
        ancestry = json.loads(self.ask("GET", f"/v1/images/{top}/ancestry").body)
        if self.release != "0.6":
            ancestry.reverse()
        pulled = {}
        for image_id in ancestry:
            document = self.ask("GET", f"/v1/images/{image_id}/json")
            layer = self.ask("GET", f"/v1/images/{image_id}/layer")
            assert (document.status, layer.status) == (200, 200)
            pulled[image_id] = (document.body, layer.body)
        return pulled
