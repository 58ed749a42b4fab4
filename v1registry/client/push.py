"""Push one image of a save archive: the calls of registry.md 12.1, root first, layers in parallel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..archives.images import ChainImage
from ..archives.load import ArchivedChain
from .answers import Answer
from .errors import ProtocolError
from .parallel import Workers
from .reference import Reference
from .transfer import Transfer
from .upload import JSON_HEADERS, ImageUpload


@dataclass(frozen=True)
class PushResult:
    """The result of a push. Ids of v1 are root first. In the distribution API, blobs take their place."""

    reference: Reference
    image_id: str  #: the new target of the tag; the hex digits of the digest if there is one
    pushed: tuple[str, ...]  #: images that were uploaded, or digests of blobs
    skipped: tuple[str, ...]  #: images, or digests of blobs, that the registry had already
    sent_bytes: int  #: of layers, compressed, failed attempts included
    digest: str | None = None  #: of the manifest or index; None for v1


class ImagePush:
    """One push.

    :param gzip_level: 1 (fast) to 9 (small), for layers that are plain in the archive; others are sent as
        they are.
    """

    def __init__(self, transfer: Transfer, *, gzip_level: int):
        self._transfer = transfer
        self._reference = transfer.reference
        self._gzip_level = gzip_level
        self._repository = transfer.repository(self._announce)
        self._chain: tuple[ChainImage, ...] = ()
        self._pushed: set[str] = set()
        self._sent_bytes = 0

    def run(self, chain: ArchivedChain) -> PushResult:
        """Push ``chain`` and set the tag.

        :raises ClientError: the push failed; complete images stay.
        """
        self._chain = chain.images
        self._repository.open()
        endpoints = list(self._repository.endpoints())
        for endpoint in endpoints:
            self._push_to(endpoint)
        self._finish(endpoints)
        ids = [image.image_id for image in self._chain]
        return PushResult(
            self._reference,
            chain.top.image_id,
            tuple(image_id for image_id in ids if image_id in self._pushed),
            tuple(image_id for image_id in ids if image_id not in self._pushed),
            self._sent_bytes,
        )

    # -- the index

    def _announce(self, authorization: str | None, headers: Mapping[str, str]) -> Answer:
        images = [{"id": image.image_id} for image in self._chain]
        images[-1]["Tag"] = self._reference.tag
        answer = self._transfer.connection.call(
            "PUT",
            f"{self._repository.index_url}{self._repository.path}/",
            authorization=authorization,
            headers={**JSON_HEADERS, **headers},
            body=json.dumps(images).encode("ascii"),
            follow_put=True,
        )
        if answer.status == 404:
            raise ProtocolError(
                f"{answer.shown} answered 404: is {self._reference.host} a v1 registry that accepts pushes?"
            )
        if answer.status not in (200, 201):
            raise answer.failure(f"push {self._reference}")
        return answer

    def _finish(self, endpoints: list[str]) -> None:
        # The list is empty, because engines since 0.8 send no checksums in it (hub.md 4.3).
        answer = self._transfer.connection.call(
            "PUT",
            f"{self._repository.index_url}{self._repository.path}/images",
            authorization=self._repository.index_authorization,
            headers={
                **JSON_HEADERS,
                "X-Docker-Token": "true",
                "X-Docker-Endpoints": ",".join(endpoints),
            },
            body=b"[]",
        )
        if answer.status != 204:
            raise answer.failure(f"end the push of {self._reference}")

    # -- the images

    def _push_to(self, endpoint: str) -> None:
        with Workers(self._transfer.parallel) as workers:
            upload = ImageUpload(self._transfer, self._repository, endpoint, self._gzip_level, workers)
            present: dict[str, bool] = {}

            def look_up(image: ChainImage) -> None:
                present[image.image_id] = upload.is_present(image)

            workers.map(look_up, self._chain)
            for image in self._chain:
                if present[image.image_id] or workers.has_failed:
                    continue
                if upload.announce(image):
                    self._pushed.add(image.image_id)
                    workers.submit(lambda image=image: upload.send(image))  # type: ignore[misc]
            workers.join()
        self._sent_bytes += upload.sent_bytes
        self._set_tag(endpoint)

    def _set_tag(self, endpoint: str) -> None:
        answer = self._repository.call(
            "PUT",
            f"{endpoint}{self._repository.path}/tags/{self._reference.tag}",
            headers=JSON_HEADERS,
            body=json.dumps(self._chain[-1].image_id).encode("ascii"),
        )
        if answer.status not in (200, 201):
            raise answer.failure(f"set the tag {self._reference}")
