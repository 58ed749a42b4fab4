"""An engine that pushes step by step and judges each answer as genuine engines do.

``PUT json`` may be 200, or 409 with the one text that engines compare; ``PUT layer`` and ``PUT checksum`` have to be
200. Every other answer is a failed push (moby v1.3.3 graph/push.go, v1.9.1 graph/push_v1.go,
v1.12.6 distribution/push_v1.go).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from support.engine_client import Image
from support.wsgi_client import Answer, call


class FailedPush(Exception):
    """The answer to a step makes an engine give up."""


class StrictEngine:
    """One push of a chain of images to one repository.

    :param app: the WSGI application.
    :param repository: ``namespace/name``.
    :param images: the chain, root first.
    :param login: ``name:password``; empty if nobody is logged in.
    :param uses_token: whether the requests to the registry carry the token of the index. Engines do so unless the
        registry is standalone and was reached over https.
    """

    def __init__(
        self, app: Any, repository: str, images: list[Image], *, login: str = "", uses_token: bool = True
    ):
        self.app = app
        self.repository = repository
        self.images = images
        self.login = login
        self.uses_token = uses_token
        #: the steps so far: what was sent, and the status of the answer
        self.seen: list[tuple[str, int]] = []
        #: the ids of the images that the registry had already, so that they were not sent
        self.skipped: set[str] = set()
        self._token = ""

    def steps(self) -> Iterator[str]:
        """Run the push one request at a time, and yield the name of each step after its answer.

        :raises FailedPush: if an engine would give up.
        """
        self._announce()
        yield "announce"
        for image in self.images:
            path = f"/v1/images/{image.image_id}"
            known = self._send("GET", f"{path}/json")
            yield "look"
            if known.status == 200:
                self.skipped.add(image.image_id)
                continue
            if known.status not in (400, 404):
                raise FailedPush("GET json", known.status, known.body)
            answer = self._send("PUT", f"{path}/json", image.json)
            yield "json"
            if answer.status == 409 and answer.body == b'{"error": "Image already exists"}':
                self.skipped.add(image.image_id)
                continue
            self._require(answer, "PUT json")
            self._require(self._send("PUT", f"{path}/layer", image.layer), "PUT layer")
            yield "layer"
            sums = {"HTTP_X_DOCKER_CHECKSUM_PAYLOAD": image.payload_checksum}
            self._require(self._send("PUT", f"{path}/checksum", b"", **sums), "PUT checksum")
            yield "checksum"
        tag = f"/v1/repositories/{self.repository}/tags/latest"
        self._require(self._send("PUT", tag, json.dumps(self.images[-1].image_id).encode()), "PUT tag")
        yield "tag"
        ended = call(
            self.app, "PUT", f"/v1/repositories/{self.repository}/images", b"[]", **self._basic_environ()
        )
        if ended.status != 204:
            raise FailedPush("PUT images", ended.status, ended.body)
        yield "images"

    def push(self) -> StrictEngine:
        """Run all steps. :raises FailedPush: if an engine would give up."""
        for _ in self.steps():
            pass
        return self

    def pull(self) -> list[Image]:
        """Return the chain of the tag ``latest``, root first, each image checked against its sum."""
        return pull(self.app, self.repository, login=self.login)

    def _announce(self) -> None:
        body = json.dumps([{"id": image.image_id} for image in self.images]).encode()
        answer = call(
            self.app,
            "PUT",
            f"/v1/repositories/{self.repository}/",
            body,
            HTTP_X_DOCKER_TOKEN="true",
            **self._basic_environ(),
        )
        if answer.status != 200:
            raise FailedPush("PUT repository", answer.status, answer.body)
        self._token = answer.header("X-Docker-Token") or ""

    def _send(self, method: str, path: str, body: bytes = b"", **environ: str) -> Answer:
        credentials = (
            {"HTTP_AUTHORIZATION": f"Token {self._token}"} if self.uses_token else self._basic_environ()
        )
        answer = call(self.app, method, path, body, **credentials, **environ)
        self.seen.append((f"{method} {path.rpartition('/')[2]}", answer.status))
        return answer

    def _basic_environ(self) -> dict[str, str]:
        return basic_environ(self.login)

    @staticmethod
    def _require(answer: Answer, step: str) -> None:
        if answer.status != 200:
            raise FailedPush(step, answer.status, answer.body)


def basic_environ(login: str) -> dict[str, str]:
    """Return the WSGI keys of Basic credentials; none if ``login`` is empty."""
    if not login:
        return {}
    return {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(login.encode()).decode("ascii")}


def pull(app: Any, repository: str, *, login: str = "", tag: str = "latest") -> list[Image]:
    """Return the chain that an engine pulls with a read token, root first.

    Every status has to be 200, and the sum that the registry announces has to be that of the bytes.
    """
    listed = call(
        app,
        "GET",
        f"/v1/repositories/{repository}/images",
        HTTP_X_DOCKER_TOKEN="true",
        **basic_environ(login),
    )
    assert listed.status == 200, listed
    token = {"HTTP_AUTHORIZATION": f"Token {listed.header('X-Docker-Token')}"}

    def get(path: str) -> Answer:
        answer = call(app, "GET", path, **token)
        assert answer.status == 200, (path, answer)
        return answer

    top = json.loads(get(f"/v1/repositories/{repository}/tags/{tag}").body)
    chain = []
    for image_id in reversed(json.loads(get(f"/v1/images/{top}/ancestry").body)):
        document, layer = (get(f"/v1/images/{image_id}/{what}") for what in ("json", "layer"))
        image = Image(image_id, document.body, layer.body)
        assert document.header("X-Docker-Checksum-Payload") == image.payload_checksum
        assert document.header("X-Docker-Size") == str(len(layer.body))
        chain.append(image)
    return chain
