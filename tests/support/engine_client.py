"""An engine that pushes and pulls, and fails at each answer at which engines give up.

Source: the recorded exchanges of docker 0.9 to 17.05, and the answers that they rejected.
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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.push_requests import PushRequest, announcement, checksum_of, end_of, json_of, layer_of, tag_of

USER_AGENT = "docker/1.9.1 go/go1.4.3 git-commit/a34a1d5 kernel/3.16.0-4-amd64 os/linux arch/amd64"

#: The size of the pieces in which an engine sends a layer, in bytes.
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
    """Return an image with ``layer``. Its id depends on all arguments."""
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
    """Return a layer with one file of ``size_bytes`` that cannot be compressed."""
    return tar_layer({f"data/{seed}": random.Random(str(seed)).randbytes(size_bytes)})


def busybox_image(binary: Path) -> Image:
    """Return an image with one layer: the machine's own static busybox, and a link."""
    return make_image(
        tar_layer({"bin/busybox": binary.read_bytes(), "etc/motd": b"busybox\n"}), name="busybox"
    )


@dataclass(frozen=True)
class Answer:
    """A status, headers and a body."""

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
    """An engine would give up at this answer."""

    def __init__(self, method: str, path: str, answer: Answer):
        super().__init__(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        self.status = answer.status
        self.error = answer.error


#: Sends a request: method, path, body and headers. Returns the answer with its whole body.
Transport = Callable[[str, str, "bytes | Iterable[bytes] | None", Mapping[str, str]], Answer]


@dataclass(frozen=True)
class HttpTransport:
    """Sends requests over the network; each has a connection of its own, as in docker."""

    host: str  #: ``127.0.0.1:PORT``
    timeout_s: float = 60

    def __call__(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None, headers: Mapping[str, str]
    ) -> Answer:
        connection = http.client.HTTPConnection(self.host, timeout=self.timeout_s)
        try:
            is_chunked = "Transfer-Encoding" in headers
            connection.request(method, path, body, dict(headers), encode_chunked=is_chunked)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


class EngineClient:
    """An engine in front of one registry.

    :param host: ``127.0.0.1:PORT``; it is not used if there is a transport.
    :param chunked: whether layers are sent chunked, without a length, as engines do; scripts send a length.
    :param login: ``name:password`` at the index. Without it, engines up to 1.6 send empty ones.
    :param uses_token: whether calls of the registry have the token of the index. Engines do so unless the
        registry is standalone and is reached over https: then all calls have Basic (clients.md 2.5).
    :param transport: how requests are sent; over the network if it is left out.
    """

    def __init__(
        self,
        host: str = "",
        *,
        chunked: bool = True,
        timeout_s: float = 60,
        login: str | None = None,
        uses_token: bool = True,
        transport: Transport | None = None,
    ):
        self.host = host
        self.chunked = chunked
        self.timeout_s = timeout_s
        self.uses_token = uses_token
        self._given_transport = transport
        self._transport = HttpTransport(host, timeout_s) if transport is None else transport
        #: the header with the password; empty without a login
        self.basic: dict[str, str] = {}
        if login is not None:
            self.basic = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode("ascii")}
        #: the ids of the images that the registry had already, so that they were not sent
        self.skipped: set[str] = set()

    # -- pushing

    def push(self, repository: str, images: Iterable[Image], tag: str = "latest") -> None:
        """Push images, root first; the last one gets the tag.

        :raises UnexpectedAnswer: an engine would give up.
        """
        for _ in self.steps(repository, images, tag):
            pass

    def steps(self, repository: str, images: Iterable[Image], tag: str = "latest") -> Iterator[str]:
        """Push as :meth:`push` does, one request at a time; yield the name of each step after its answer.

        :raises UnexpectedAnswer: an engine would give up.
        """
        chain = list(images)
        endpoint, token = self.announce(repository, [image.image_id for image in chain])
        registry = self._at(endpoint)
        yield "announce"
        for image in chain:
            yield from registry.image_steps(image, token)
        registry.put_tag(repository, tag, chain[-1].image_id, token)
        yield "tag"
        headers = {"X-Docker-Endpoints": f"http://{endpoint}/v1/", **self.basic}
        self._send({204}, end_of(repository, *chain), headers)
        yield "images"

    def announce(self, repository: str, image_ids: Iterable[str]) -> tuple[str, str]:
        """Begin a push; return the endpoint to go on with, and the token."""
        headers = {"Authorization": "Basic Og==", "X-Docker-Token": "true", **self.basic}
        answer = self._send({200, 201}, announcement(repository, image_ids), headers)
        token, endpoint = answer.headers["X-Docker-Token"], answer.headers["X-Docker-Endpoints"]
        assert token, "engines to 1.6 need a token"
        assert endpoint, "engines need an endpoint"
        assert "/" not in endpoint, f"engines need host[:port], not {endpoint!r}"
        return endpoint, token

    def push_image(self, image: Image, token: str = "") -> bool:
        """Push one image if the registry does not have it; tell whether its layer was sent.

        :raises UnexpectedAnswer: an engine would give up.
        """
        return "layer" in list(self.image_steps(image, token))

    def image_steps(self, image: Image, token: str = "") -> Iterator[str]:
        """Push one image, one request at a time; yield the name of each step after its answer."""
        path = f"/v1/images/{image.image_id}/json"
        # docker-registry 0.9.1 refuses tokens for writing here; engines upload after every status but 200
        known = self.expect({200, 400, 401, 404}, "GET", path, headers=self._headers(token))
        yield "look"
        is_new = known.status != 200 and self.put_json(image, token)
        if known.status != 200:
            yield "json"
        if not is_new:
            self.skipped.add(image.image_id)
            return
        self.put_layer(image, token)
        yield "layer"
        self.put_checksum(image, token)
        yield "checksum"

    def put_json(self, image: Image, token: str = "") -> bool:
        """Send the JSON of an image; return False if the registry has the image already."""
        request = json_of(image)
        answer = self._send(None, request, self._headers(token))
        if answer.error == "Image already exists":
            return False
        if answer.status != 200:
            raise UnexpectedAnswer(request.method, request.path, answer)
        return True

    def put_layer(self, image: Image, token: str = "", pieces: Iterable[bytes] | None = None) -> None:
        """Send the layer of an image; ``pieces`` is the layer in other pieces than an engine's."""
        length = {"Transfer-Encoding": "chunked"}
        if not self.chunked:
            length = {"Content-Length": str(len(image.layer))}
        body = in_pieces(image.layer) if pieces is None else pieces
        self._send({200}, layer_of(image), self._headers(token) | length, body)

    def put_checksum(self, image: Image, token: str = "") -> None:
        """Send the checksum of an image, which completes it."""
        self._send({200}, checksum_of(image), self._headers(token))

    def put_tag(self, repository: str, tag: str, image_id: str, token: str = "") -> None:
        self._send({200, 201}, tag_of(repository, tag, image_id), self._headers(token))

    def _send(
        self,
        statuses: set[int] | None,
        request: PushRequest,
        headers: Mapping[str, str],
        body: Iterable[bytes] | None = None,
    ) -> Answer:
        """Send a request of a push with further headers.

        :param statuses: None accepts each.
        :param body: what is sent instead of the body of the request.
        """
        answer = self.request(
            request.method,
            request.path,
            request.body if body is None else body,
            {**request.headers, **headers},
        )
        if statuses is not None and answer.status not in statuses:
            raise UnexpectedAnswer(request.method, request.path, answer)
        return answer

    # -- pulling

    def pull(self, repository: str, tag: str = "latest") -> list[Image]:
        """Return the images of a tag, root first, each checked against the checksum from the registry."""
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
        """Return an image, checked against the checksum from the registry."""
        headers = self._headers(token)
        document = self.expect({200}, "GET", f"/v1/images/{image_id}/json", headers=headers)
        layer = self.expect({200}, "GET", f"/v1/images/{image_id}/layer", headers=headers)
        image = Image(image_id, document.body, layer.body)
        assert int(document.headers["X-Docker-Size"]) == len(layer.body)
        assert document.headers["X-Docker-Checksum-Payload"] == image.payload_checksum
        return image

    # -- deleting: engines do not delete, scripts follow the documents (hub.md 6.4)

    def delete(self, repository: str) -> int:
        """Delete a repository in the index, in the registry, and in the index again. Return the last status.

        That is 200, or 404 if index and registry store it in one place (decisions.md 14).

        :raises UnexpectedAnswer: one of the statuses is different.
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
        """Return the answer to a request.

        :raises UnexpectedAnswer: its status is not in ``statuses``.
        """
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
        """Send one request and return the answer."""
        return self._transport(
            method, path, body, {"User-Agent": USER_AGENT, "Connection": "close", **(headers or {})}
        )

    def _at(self, endpoint: str) -> EngineClient:
        """Return the same engine in front of an endpoint."""
        registry = EngineClient(
            endpoint,
            chunked=self.chunked,
            timeout_s=self.timeout_s,
            uses_token=self.uses_token,
            transport=self._given_transport,
        )
        # the endpoint gets the password only if it gets no token
        registry.basic = {} if self.uses_token else self.basic
        registry.skipped = self.skipped
        return registry

    def _headers(self, token: str) -> dict[str, str]:
        """Return the credentials of a call of the registry."""
        return {"Authorization": f"Token {token}"} if self.uses_token else self.basic


def in_pieces(data: bytes, size_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """Yield ``data`` in pieces of ``size_bytes``."""
    for start in range(0, len(data), size_bytes):
        yield data[start : start + size_bytes]


def as_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield ``pieces`` in the framing of a chunked body, without its end."""
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
