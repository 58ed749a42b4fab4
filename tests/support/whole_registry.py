"""Checks that all that was accepted is whole in a registry, and that nothing is half there."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from support.engine_client import EngineClient
from support.engine_transport import transport_of
from support.tag_clients import TAGS, Crowd
from support.v2_client import V2Client, digest_of
from support.wsgi_client import call

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


#: How often a request is repeated if the storage is busy, and the pause before that, in seconds.
_TRIES, _PAUSE_S = 30, 1.0


class Patient:
    """A WSGI application that repeats requests without a body while another one answers with 503."""

    def __init__(self, app: Any):
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        pause = threading.Event()
        for _ in range(_TRIES):
            answer = call(self._app, environ["REQUEST_METHOD"], environ["PATH_INFO"], **_headers(environ))
            if answer.status != 503:
                break
            pause.wait(_PAUSE_S)
        start_response(f"{answer.status} Answer", answer.headers)
        return [answer.body]


def _headers(environ: WSGIEnvironment) -> dict[str, Any]:
    return {name: value for name, value in environ.items() if name.startswith("HTTP_")}


def check_all_is_whole(app: Any, crowd: Crowd) -> int:
    """Check all that the clients of a crowd pushed; return how many tags were pulled.

    :param app: a WSGI application. It may be busy now and then.
    """
    app = Patient(app)
    _check_images(app, crowd)
    return sum(_is_pulled(app, repository, tag) for repository in crowd.repositories for tag in TAGS)


def _check_images(app: Any, crowd: Crowd) -> None:
    engine = EngineClient(transport=transport_of(app))
    accepted = {image.image_id for image in crowd.contents.images}
    for image in crowd.contents.begun:
        status = engine.get(f"/v1/images/{image.image_id}/json").status
        if status == 200:
            assert engine.pull_image(image.image_id) == image
            continue
        # it is missing, or its push never ended
        assert status in (404, 400), status
        assert image.image_id not in accepted
        assert engine.get(f"/v1/images/{image.image_id}/layer").status == status


def _is_pulled(app: Any, repository: str, tag: str) -> bool:
    """Pull a tag through both APIs if it is there; tell whether it is."""
    client, engine = V2Client(app), EngineClient(transport=transport_of(app))
    found = client.get_manifest(repository, tag)
    in_v1 = engine.get(f"/v1/repositories/{repository}/tags/{tag}")
    assert {found.status, in_v1.status} <= {200, 404}
    if in_v1.status == 200:
        # checks each image against its sum
        assert engine.pull(repository, tag)[-1].image_id == in_v1.json()
        assert found.status == 200
    if found.status == 404:
        return False
    document = json.loads(found.body)
    assert found.header("Docker-Content-Digest") == digest_of(found.body)
    assert client.get_manifest(repository, digest_of(found.body)).body == found.body
    for blob in (document["config"], *document["layers"]):
        answer = client.get(f"/v2/{repository}/blobs/{blob['digest']}")
        assert answer.status == 200, blob
        assert f"sha256:{hashlib.sha256(answer.body).hexdigest()}" == blob["digest"]
    # each image in v1 is that of the manifest, and artifacts are not shown there
    assert ("artifactType" in document) == (in_v1.status == 404)
    return True
