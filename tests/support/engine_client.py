"""Pushes and pulls as an engine does, over ``http.client``: strict about every status that engines insist on.

Source: the recorded exchanges of docker 0.9 to 17.05, and what they were seen to refuse.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import io
import json
import random
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

USER_AGENT = "docker/1.9.1 go/go1.4.3 git-commit/a34a1d5 kernel/3.16.0-4-amd64 os/linux arch/amd64"

#: In what pieces an engine sends a layer, in bytes.
PIECE_BYTES = 32 * 1024


@dataclass(frozen=True)
class Image:
    """An image as it goes over the wire."""

    image_id: str
    json: bytes
    layer: bytes

    @property
    def parent(self) -> str | None:
        parent: str | None = json.loads(self.json).get("parent")
        return parent

    @property
    def payload_checksum(self) -> str:
        return "sha256:" + hashlib.sha256(self.json + b"\n" + self.layer).hexdigest()


def make_image(layer: bytes, parent: str | None = None, *, name: str = "") -> Image:
    """Return an image over ``layer``, whose id follows from all that is given."""
    image_id = hashlib.sha256(b"\0".join([layer, (parent or "").encode(), name.encode()])).hexdigest()
    document = {
        "id": image_id,
        "created": "2015-11-20T10:00:00.000000000Z",
        "container_config": {"Cmd": ["/bin/sh", "-c", f"#(nop) ADD {name}"]},
        "docker_version": "1.9.1",
        "architecture": "amd64",
        "os": "linux",
        "Size": len(layer),
    }
    if parent is not None:
        document["parent"] = parent
    return Image(image_id, json.dumps(document).encode(), layer)


def make_chain(layers: Iterable[bytes], *, name: str = "") -> list[Image]:
    """Return images that build on each other, root first."""
    chain: list[Image] = []
    for layer in layers:
        chain.append(make_image(layer, chain[-1].image_id if chain else None, name=name))
    return chain


def tar_layer(files: Mapping[str, bytes]) -> bytes:
    """Return a gzipped tar of ``files``, the same bytes every time."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode, member.mtime = len(content), 0o755, 1400000000
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(archive.getvalue(), mtime=0)


def random_layer(size_bytes: int, seed: object) -> bytes:
    """Return a layer with one file of ``size_bytes`` that no compression makes smaller."""
    return tar_layer({f"data/{seed}": random.Random(str(seed)).randbytes(size_bytes)})


def busybox_image(binary: Path) -> Image:
    """Return an image with one layer: the machine's own static busybox, and a link."""
    return make_image(
        tar_layer({"bin/busybox": binary.read_bytes(), "etc/motd": b"busybox\n"}), name="busybox"
    )


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> object:
        return json.loads(self.body)

    @property
    def error(self) -> object:
        """The text of ``{"error": TEXT}``, None for anything else."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return None
        return found.get("error") if isinstance(found, dict) else None


class UnexpectedAnswer(Exception):
    """An engine would give up here."""

    def __init__(self, method: str, path: str, answer: Answer):
        super().__init__(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        self.status = answer.status
        self.error = answer.error


class EngineClient:
    """An engine in front of one registry; every request has a connection of its own, as in docker.

    :param host: ``127.0.0.1:PORT``.
    :param chunked: whether layers go out chunked, without a length, as engines send them; scripts send a length.
    :param login: ``name:password`` of who is logged in to the index; without it engines to 1.6 send empty ones.
    """

    def __init__(self, host: str, *, chunked: bool = True, timeout_s: float = 60, login: str | None = None):
        self.host = host
        self.chunked = chunked
        self.timeout_s = timeout_s
        #: the header with the password; empty where nobody is logged in
        self.basic: dict[str, str] = {}
        if login is not None:
            self.basic = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode("ascii")}

    # -- pushing

    def push(self, repository: str, images: Iterable[Image], tag: str = "latest") -> None:
        """Push images, root first; the last one gets the tag. UnexpectedAnswer."""
        chain = list(images)
        endpoint, token = self.announce(repository, [image.image_id for image in chain])
        registry = self._at(endpoint)
        for image in chain:
            registry.push_image(image, token)
        registry.put_tag(repository, tag, chain[-1].image_id, token)
        body = json.dumps([{"id": image.image_id, "checksum": image.payload_checksum} for image in chain])
        self.expect(
            {204},
            "PUT",
            f"/v1/repositories/{repository}/images",
            body.encode(),
            {
                "Content-Type": "application/json",
                "X-Docker-Endpoints": f"http://{endpoint}/v1/",
                **self.basic,
            },
        )

    def announce(self, repository: str, image_ids: Iterable[str]) -> tuple[str, str]:
        """Begin a push; return the endpoint to go on with, and the token."""
        body = json.dumps([{"id": image_id} for image_id in image_ids]).encode()
        headers = {
            "Content-Type": "application/json",
            "Authorization": "Basic Og==",
            "X-Docker-Token": "true",
            **self.basic,
        }
        answer = self.expect({200, 201}, "PUT", f"/v1/repositories/{repository}/", body, headers)
        token, endpoint = answer.headers["X-Docker-Token"], answer.headers["X-Docker-Endpoints"]
        assert token, "engines to 1.6 need a token"
        assert endpoint, "engines need an endpoint"
        assert "/" not in endpoint, f"engines need host[:port], not {endpoint!r}"
        return endpoint, token

    def push_image(self, image: Image, token: str = "") -> bool:
        """Push one image if the registry has not got it; tell whether its layer was sent. UnexpectedAnswer."""
        if self.get(f"/v1/images/{image.image_id}/json", {"Authorization": f"Token {token}"}).status == 200:
            return False
        if not self.put_json(image, token):
            return False
        self.put_layer(image, token)
        self.put_checksum(image, token)
        return True

    def put_json(self, image: Image, token: str = "") -> bool:
        """Send an image's JSON; False where the registry has the image already."""
        path = f"/v1/images/{image.image_id}/json"
        answer = self.request("PUT", path, image.json, self._headers(token, "application/json"))
        if answer.error == "Image already exists":
            return False
        if answer.status != 200:
            raise UnexpectedAnswer("PUT", path, answer)
        return True

    def put_layer(self, image: Image, token: str = "", pieces: Iterable[bytes] | None = None) -> None:
        """Send an image's layer; ``pieces`` is the layer in other pieces than an engine's."""
        headers = self._headers(token, "application/octet-stream")
        if self.chunked:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(len(image.layer))
        body = in_pieces(image.layer) if pieces is None else pieces
        self.expect({200}, "PUT", f"/v1/images/{image.image_id}/layer", body, headers)

    def put_checksum(self, image: Image, token: str = "") -> None:
        """Send an image's sum, which completes it; that another client did so meanwhile is fine."""
        path = f"/v1/images/{image.image_id}/checksum"
        headers = self._headers(token) | {"X-Docker-Checksum-Payload": image.payload_checksum}
        answer = self.request("PUT", path, b"", headers)
        if answer.status != 200 and answer.error != "Image already exists":
            raise UnexpectedAnswer("PUT", path, answer)

    def put_tag(self, repository: str, tag: str, image_id: str, token: str = "") -> None:
        path = f"/v1/repositories/{repository}/tags/{tag}"
        headers = self._headers(token, "application/json")
        self.expect({200, 201}, "PUT", path, json.dumps(image_id).encode(), headers)

    # -- pulling

    def pull(self, repository: str, tag: str = "latest") -> list[Image]:
        """Return the images of a tag, root first, each checked against the sum that the registry tells."""
        answer = self.expect(
            {200},
            "GET",
            f"/v1/repositories/{repository}/images",
            headers={"X-Docker-Token": "true", **self.basic},
        )
        token = answer.headers.get("X-Docker-Token", "")
        registry, headers = self._at(answer.headers["X-Docker-Endpoints"]), self._headers(token)
        top = registry.expect(
            {200}, "GET", f"/v1/repositories/{repository}/tags/{tag}", headers=headers
        ).json()
        ancestry = registry.expect({200}, "GET", f"/v1/images/{top}/ancestry", headers=headers).json()
        assert isinstance(ancestry, list)
        assert ancestry[0] == top
        return [registry.pull_image(image_id, token) for image_id in reversed(ancestry)]

    def pull_image(self, image_id: str, token: str = "") -> Image:
        """Return an image, checked against the sum that the registry tells."""
        headers = self._headers(token)
        document = self.expect({200}, "GET", f"/v1/images/{image_id}/json", headers=headers)
        layer = self.expect({200}, "GET", f"/v1/images/{image_id}/layer", headers=headers)
        image = Image(image_id, document.body, layer.body)
        assert int(document.headers["X-Docker-Size"]) == len(layer.body)
        assert document.headers["X-Docker-Checksum-Payload"] == image.payload_checksum
        return image

    # -- deleting: no engine does it, scripts follow the documents (hub.md 6.4)

    def delete(self, repository: str) -> int:
        """Delete a repository in the index, in the registry, and in the index again. UnexpectedAnswer.

        Returns the last status: 200, or 404 where index and registry store it in one place (decisions.md 14).
        """
        path = f"/v1/repositories/{repository}/"
        answer = self.expect({202}, "DELETE", path, headers={"X-Docker-Token": "true", **self.basic})
        registry = self._at(answer.headers["X-Docker-Endpoints"])
        registry.expect({200}, "DELETE", path, headers=self._headers(answer.headers["X-Docker-Token"]))
        return self.expect(
            {200, 404}, "DELETE", path, headers={"X-Docker-Token": "true", **self.basic}
        ).status

    # -- requests

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("GET", path, headers=headers)

    def expect(
        self,
        statuses: set[int],
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer to a request. UnexpectedAnswer where its status is none of ``statuses``."""
        answer = self.request(method, path, body, headers)
        if answer.status not in statuses:
            raise UnexpectedAnswer(method, path, answer)
        return answer

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and return the answer, its body read to the end."""
        connection = http.client.HTTPConnection(self.host, timeout=self.timeout_s)
        try:
            sent = {"User-Agent": USER_AGENT, "Connection": "close", **(headers or {})}
            connection.request(method, path, body, sent, encode_chunked="Transfer-Encoding" in sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def _at(self, endpoint: str) -> EngineClient:
        """Return the same engine in front of an endpoint, which gets tokens and no password."""
        return EngineClient(endpoint, chunked=self.chunked, timeout_s=self.timeout_s)

    @staticmethod
    def _headers(token: str, content_type: str | None = None) -> dict[str, str]:
        headers = {"Authorization": f"Token {token}"}
        if content_type is not None:
            headers["Content-Type"] = content_type
        return headers


def in_pieces(data: bytes, size_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """Yield ``data`` in pieces of ``size_bytes``."""
    for start in range(0, len(data), size_bytes):
        yield data[start : start + size_bytes]


def as_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield ``pieces`` in the framing of a chunked body, without its end."""
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
