"""A client that fills a fake by pushing as an engine does, so its contents are always possible.

Source of the sequence: moby v1.9.1 graph/push_v1.go; registry.md 12.1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from io import BytesIO
from itertools import count
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from v1registry import __version__
from v1registry.layers.checksums import PayloadChecksum
from v1registry.layers.compression import UnreadableLayer
from v1registry.layers.tarsum import tarsum

from ..images import FakeImage, FakeImages
from ..in_process import Answer, RequestBody, environ_of
from ..layers import layer_of
from ..recording.recorder import RECORD_KEY, recorded_request
from .layer_builder import Files

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: The key of the WSGI environ that makes a request one of an administrator, on a server with accounts.
ADMINISTRATOR_KEY = "v1registry_fakes.administrator"

#: The same in every run, so that tests do not depend on the date.
CREATED = "2014-06-09T00:00:00Z"

#: Of how many images the TarSum is remembered, because tests push the same ones, and how large they may be.
_REMEMBERED: Final = 64
_REMEMBERED_BYTES: Final = 16_384

USER_AGENT = f"v1registry_fakes/{__version__}"


class PushRefused(ValueError):
    """The registry rejected a push; the text has its reason. Earlier steps of the push are not undone."""

    def __init__(self, method: str, path: str, status: int, reason: str):
        super().__init__(f"the registry rejected {method} {path}: {status} {reason}")
        self.status = status  #: of the answer


class Pusher:
    """Pushes to one application in process. The requests of the test do not show it.

    :param images: the images in the application's storage.
    :param has_accounts: whether an image must be announced to a repository before it is pushed.
    """

    def __init__(self, application: WSGIApplication, images: FakeImages, *, has_accounts: bool = False):
        self._application = application
        self._images = images
        self._has_accounts = has_accounts
        self._made = count(1)

    # -- images

    def push_chain(
        self,
        files: Files | None,
        layer: bytes | None,
        layers: int,
        parent: str | None,
        fields: Mapping[str, object],
        image_id: str | None,
        is_complete: bool,
        repository: str | None,
    ) -> FakeImage:
        """Push a chain of images and return the last one.

        The parameters are those of FakeRegistry.add_image.

        :raises ValueError: the registry has accounts, and there is no repository.
        :raises PushRefused: the registry rejected a step.
        """
        self._require_repository(repository)
        for number in range(1, layers):
            parent = self._push_image(numbered_layer(number), parent, {}, None, True, repository).id
        if layer is None:
            layer = numbered_layer(layers) if files is None else layer_of(files)
        return self._push_image(layer, parent, fields, image_id, is_complete, repository)

    def _push_image(
        self,
        layer: bytes,
        parent: str | None,
        fields: Mapping[str, object],
        image_id: str | None,
        is_complete: bool,
        repository: str | None,
    ) -> FakeImage:
        facts = {
            "architecture": "amd64",
            "config": {},
            "created": CREATED,
            "os": "linux",
            **({"parent": parent} if parent is not None else {}),
            **fields,
        }
        if image_id is None:
            # different in one fake, the same in every run; equal ids in two fakes have equal contents
            made_of = json.dumps([next(self._made), facts], sort_keys=True).encode()
            image_id = hashlib.sha256(made_of + layer).hexdigest()
        document = json.dumps({"id": image_id, **facts}).encode()
        return self._push_bytes(image_id, document, layer, is_complete, repository)

    def push_document(
        self, image_id: str, document: bytes, layer: bytes, repository: str | None
    ) -> FakeImage:
        """Push an image by the bytes of its JSON, unless it is complete, and return it.

        :raises ValueError: the registry has accounts, and there is no repository.
        :raises PushRefused: the registry rejected a step.
        """
        self._require_repository(repository)
        if image_id in self._images and self._images[image_id].is_complete:
            return self._images[image_id]
        return self._push_bytes(image_id, document, layer, True, repository)

    def _require_repository(self, repository: str | None) -> None:
        if self._has_accounts and repository is None:
            raise ValueError(
                "with accounts an image is pushed to a repository: give a name such as alice/app:1.0"
            )

    def _push_bytes(
        self, image_id: str, document: bytes, layer: bytes, is_complete: bool, repository: str | None
    ) -> FakeImage:
        if self._has_accounts and repository is not None:
            self.announce(repository, [image_id])
        path = f"/v1/images/{quote(image_id)}"
        self._put(f"{path}/json", document)
        self._put(f"{path}/layer", layer)
        if is_complete:
            payload = PayloadChecksum(document)
            payload.update(layer)
            self._put(f"{path}/checksum", headers={"X-Docker-Checksum-Payload": payload.text()})
        return self._images[image_id]

    # -- repositories

    def announce(self, repository: str, image_ids: Iterable[str] = ()) -> None:
        """Start the push of a repository. From then on it exists, with these images in its list.

        :raises PushRefused: the registry rejected it.
        """
        entries = [{"id": image_id} for image_id in image_ids]
        self._put(f"/v1/repositories/{quote(repository)}/", json.dumps(entries).encode())

    def publish(self, repository: str, tag: str, image: FakeImage) -> None:
        """Tag an image, and put its ancestry into the image list, root first.

        :raises PushRefused: the registry rejected a step.
        """
        chain = [self._images[image_id] for image_id in reversed(image.ancestry)]
        self.announce(repository, (each.id for each in chain))
        self._put(
            f"/v1/repositories/{quote(repository)}/tags/{quote(tag, safe='')}", json.dumps(image.id).encode()
        )
        entries = [{"id": each.id, "checksum": _listed_sum(each)} for each in chain if each.is_complete]
        self._put(f"/v1/repositories/{quote(repository)}/images", json.dumps(entries).encode())

    def make_private(self, repository: str) -> None:
        """Make a repository private.

        :raises PushRefused: the registry rejected it.
        """
        self._put(f"/v1/repositories/{quote(repository)}/properties", b'{"access": "private"}')

    # -- requests

    def _put(self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        sent = {"User-Agent": USER_AGENT, "Content-Length": str(len(body)), **(headers or {})}
        environ = environ_of("PUT", f"http://localhost{path}", sent.items(), RequestBody([body]))
        environ[ADMINISTRATOR_KEY] = "administrator"
        record = environ[RECORD_KEY] = recorded_request(environ)
        answer = Answer(self._application, environ)
        try:
            text = b"".join(answer)
        finally:
            answer.close()
        if answer.status >= 400:
            raise PushRefused("PUT", path, answer.status, json.loads(text)["error"]) from record.error


def numbered_layer(number: int) -> bytes:
    """Return a small layer that differs from the others of its chain."""
    return layer_of({f"layer-{number}": f"layer {number}\n"})


def _listed_sum(image: FakeImage) -> str:
    """Return the checksum that engines write into the image list: the TarSum, if the layer has one."""
    layer, document = image.layer, image.document
    is_small = len(layer) + len(document) <= _REMEMBERED_BYTES
    return (_remembered_tarsum if is_small else _tarsum)(layer, document) or image.checksum


def _tarsum(layer: bytes, document: bytes) -> str | None:
    try:
        return tarsum(BytesIO(layer), prefix=document)
    except UnreadableLayer:
        return None


_remembered_tarsum = lru_cache(_REMEMBERED)(_tarsum)
