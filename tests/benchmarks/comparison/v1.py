"""Pushes and pulls of the Docker Registry API v1, as an engine does them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from .http import Connection, Layer, dumped

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Image:
    """An image with its sum, which is computed before anything is measured."""

    image_id: str
    document: bytes
    layer: Layer
    checksum: str

    @classmethod
    def make(cls, layer: Layer, *seed: object, parent: str | None = None) -> Image:
        """Return an image whose id is made from ``seed``."""
        image_id = hashlib.sha256("/".join(map(str, seed)).encode()).hexdigest()
        described = {
            "id": image_id, "created": "2014-04-01T00:00:00Z", "docker_version": "1.9.1",
            "architecture": "amd64", "os": "linux", "Size": layer.size,
            "container_config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/sbin:/usr/bin"]},
        }  # fmt: skip
        if parent:
            described["parent"] = parent
        document = json.dumps(described, sort_keys=True).encode()
        return cls(image_id, document, layer, layer.digest(document + b"\n"))


def chain(sizes: Sequence[int], *seed: object) -> list[Image]:
    """Return images of which each is the parent of the next, the root first."""
    images: list[Image] = []
    for number, size in enumerate(sizes):
        parent = images[-1].image_id if images else None
        images.append(Image.make(Layer(size, (*seed, number)), *seed, number, parent=parent))
    return images


class Client:
    """An engine of v1.

    :param authorization: of the user; empty on a server that is open to every client.
    """

    def __init__(self, port: int, authorization: str = ""):
        self.connection = Connection(port)
        self._user = authorization

    def announce(self, repository: str, images: Sequence[Image]) -> None:
        """Begin a push, and use the token of the answer from now on."""
        self.connection.authorization = self._user
        listed = dumped([{"id": image.image_id} for image in images])
        headers = {**_JSON, "X-Docker-Token": "true"}
        answer = self.connection.request("PUT", f"/v1/repositories/{repository}/", listed, headers=headers)
        self._take_token(answer.headers.get("x-docker-token", ""))

    def token_to_read(self, repository: str) -> str:
        """Return the header with a token to read a repository; that of the user if the server gives none."""
        self.connection.authorization = self._user
        answer = self.connection.request(
            "GET", f"/v1/repositories/{repository}/images", headers={"X-Docker-Token": "true"}
        )
        self._take_token(answer.headers.get("x-docker-token", ""))
        return self.connection.authorization

    def put_json(self, image: Image) -> None:
        """Send the JSON of an image."""
        self.connection.request("PUT", f"/v1/images/{image.image_id}/json", image.document, headers=_JSON)

    def put_layer(self, image: Image) -> None:
        """Send the layer of an image, chunked."""
        self.connection.request(
            "PUT", f"/v1/images/{image.image_id}/layer", headers={"Transfer-Encoding": "chunked"},
            stream=image.layer.chunked(),
        )  # fmt: skip

    def put_checksum(self, image: Image) -> None:
        """Complete an image."""
        sums = {"X-Docker-Checksum-Payload": image.checksum, "X-Docker-Checksum": image.checksum}
        self.connection.request("PUT", f"/v1/images/{image.image_id}/checksum", headers=sums)

    def put_tag(self, repository: str, tag: str, image: Image) -> None:
        """Set a tag."""
        path = f"/v1/repositories/{repository}/tags/{tag}"
        self.connection.request("PUT", path, dumped(image.image_id), headers=_JSON)

    def push(self, repository: str, images: Sequence[Image]) -> None:
        """Push images, the root first, under the tag ``latest``."""
        self.announce(repository, images)
        for image in images:
            known = self.connection.request(
                "GET", f"/v1/images/{image.image_id}/json", expected=(200, 400, 404)
            )
            if known.status != 200:
                self.put_json(image)
                self.put_layer(image)
                self.put_checksum(image)
        self.put_tag(repository, "latest", images[-1])
        listed = dumped([{"id": image.image_id, "checksum": image.checksum} for image in images])
        token, self.connection.authorization = self.connection.authorization, self._user
        self.connection.request("PUT", f"/v1/repositories/{repository}/images", listed, headers=_JSON)
        self.connection.authorization = token

    def pull(self, repository: str) -> int:
        """Pull the tag ``latest``; return the bytes of its layers."""
        self.token_to_read(repository)
        tags = json.loads(self.connection.request("GET", f"/v1/repositories/{repository}/tags").body)
        ancestry = self.connection.request("GET", f"/v1/images/{tags['latest']}/ancestry").body
        received = 0
        for image_id in reversed(json.loads(ancestry)):
            self.connection.request("GET", f"/v1/images/{image_id}/json")
            received += self.connection.request("GET", f"/v1/images/{image_id}/layer", keeps=False).size
        return received

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _take_token(self, token: str) -> None:
        if token:
            self.connection.authorization = token if token.lower().startswith("token") else f"Token {token}"
