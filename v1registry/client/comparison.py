"""Comparison of an image that a push would skip with the archive's (decisions.md 18).

An image id does not prove content: any client can push other bytes under an id that it knows. Some ids are
known in advance, because chain ids of public base images follow from their layers. A push that skips such an
id would tag the other client's layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..archives import rawjson
from ..archives.history import is_bare, is_same_image
from ..archives.images import ChainImage
from ..layers.compression import Readable, UnreadableLayer
from .answers import Answer, checksums_in
from .errors import BadArchive, DifferentContent, RegistryUnreachable
from .layer_body import LayerBody
from .layer_facts import LayerFacts, facts_of
from .parallel import Workers
from .progress import Meter, Silence
from .repository import RepositoryClient
from .transfer import Transfer

if TYPE_CHECKING:
    import requests

_REMEDY = (
    "The tag was not set. Delete the repository that has the wrong image, or ask the registry's "
    "administrator to do so, then push again"
)


class Comparison:
    """Compares images of the registry with those of an archive. Safe for threads.

    The JSON is always compared, at no cost, except for descriptions that engines leave out (see
    :func:`v1registry.archives.history.is_same_image`). The layer is compared only if the id was made from the
    content, because every client with the content knows such an id in advance. These are the images of a
    ``manifest.json``, and images whose JSON has only ``id``, ``parent`` and descriptions. Comparing a layer
    has a cost:

    * First the archive's layer is compressed as for an upload, which takes processor time, but no network. If
      the registry announces the same payload checksum, the layers are equal. This is so for images that this
      client pushed.
    * Otherwise the registry's layer is downloaded and expanded. The layers are equal if they have the same
      diff id, or the same members. Images that engines pushed need this, because engines compress
      differently, and those from 1.10 on rewrite archives.

    :param gzip_level: see :class:`LayerBody`.
    :param workers: the threads of the push.
    """

    def __init__(self, transfer: Transfer, repository: RepositoryClient, gzip_level: int, workers: Workers):
        self._transfer = transfer
        self._repository = repository
        self._gzip_level = gzip_level
        self._workers = workers

    def require_equal(self, endpoint: str, image: ChainImage, answer: Answer) -> None:
        """Check that the registry's image is the archive's.

        :param answer: the answer with the image's JSON.
        :raises DifferentContent: the JSON or the layer is different.
        :raises BadArchive: the archive's layer cannot be read.
        :raises ClientError: the registry's layer cannot be downloaded.
        """
        try:
            is_same = is_same_image(answer.body, image.json)
        except rawjson.InvalidDocument as exc:
            raise self._different(image, f"the JSON is invalid: {exc}") from exc
        if not is_same:
            raise self._different(image, "the JSON is different")
        if not _has_predictable_id(image):
            return
        body = LayerBody(
            image,
            document=answer.body,
            gzip_level=self._gzip_level,
            limit_bytes=self._transfer.layer_limit_bytes,
            meter=Meter(Silence(), "", None),
            workers=self._workers,
        )
        for _ in body.chunks():
            pass
        if body.checksum in checksums_in(answer.headers):
            return
        stored = self._stored_facts(endpoint, image)
        if stored.diff_id == image.diff_id:
            return
        archived = self._archived_facts(image)
        has_same_members = stored.members is not None and stored.members == archived.members
        if stored.diff_id != archived.diff_id and not has_same_members:
            problem = f"the layer has the diff id {stored.diff_id}, not {archived.diff_id}, and other members"
            raise self._different(image, problem)

    def _different(self, image: ChainImage, problem: str) -> DifferentContent:
        return DifferentContent(
            f"{self._transfer.connection.host} has other content under the id of image {image.image_id} than "
            f"the archive: {problem}. {_REMEDY}"
        )

    def _archived_facts(self, image: ChainImage) -> LayerFacts:
        try:
            with image.open_layer() as stream:
                return self._facts(stream)
        except (UnreadableLayer, OSError) as exc:
            raise BadArchive(f"the layer of image {image.image_id} cannot be read: {exc}") from exc

    def _facts(self, stream: Readable) -> LayerFacts:
        return facts_of(stream, limit_bytes=self._transfer.layer_limit_bytes)

    def _stored_facts(self, endpoint: str, image: ChainImage) -> LayerFacts:
        """Download the layer and return its facts. Failed downloads are repeated from the start."""
        failures = 0
        while True:
            try:
                with (
                    Meter(self._transfer.progress, f"compare {image.image_id[:12]}", None) as meter,
                    self._open_stored(endpoint, image, meter) as stream,
                ):
                    return self._facts(stream)
            except UnreadableLayer as exc:
                raise self._different(image, f"the layer cannot be read: {exc}") from exc
            except RegistryUnreachable:
                failures += 1
                if failures == self._transfer.connection.attempts:
                    raise
            self._transfer.connection.pause(failures)
            self._workers.check()

    @contextmanager
    def _open_stored(self, endpoint: str, image: ChainImage, meter: Meter) -> Iterator[Readable]:
        url = f"{endpoint}images/{image.image_id}/layer"
        connection, repository = self._transfer.connection, self._repository
        authorization = repository.image_authorization(url)
        with connection.stream("GET", url, authorization, {}) as response:
            if response.status_code == 200:
                yield _Download(response, meter, self._workers)
                return
            rejected = Answer(url, response.status_code, response.headers, response.raw.read(4096))
        failure = rejected.failure(f"compare the layer of image {image.image_id}")
        if rejected.status == 401 and repository.renew(authorization):
            raise RegistryUnreachable(str(failure))  # repeated with the new token
        raise failure


class _Download:
    """The body of an answer as a stream."""

    def __init__(self, response: requests.Response, meter: Meter, workers: Workers):
        self._raw = response.raw
        length = response.headers.get("Content-Length", "")
        self._missing_bytes = int(length) if length.isdecimal() else 0
        self._meter = meter
        self._workers = workers

    def read(self, size: int, /) -> bytes:
        self._workers.check()
        chunk: bytes = self._raw.read(size)
        self._missing_bytes -= len(chunk)
        if not chunk and self._missing_bytes > 0:
            raise RegistryUnreachable(f"the connection ended {self._missing_bytes} bytes too early")
        self._meter.advance(len(chunk))
        return chunk


def _has_predictable_id(image: ChainImage) -> bool:
    """Tell whether the id was made from the content of the image."""
    return image.has_content_id or is_bare(image.json)
