"""Upload of images to one endpoint: JSON, layer and checksum."""

from __future__ import annotations

import tempfile
import threading
from typing import IO

from ..archives.images import ChainImage
from .answers import TRANSIENT_STATUSES, Answer
from .comparison import Comparison
from .errors import RegistryUnreachable, TransferFailed
from .layer_body import LayerBody
from .parallel import Workers
from .progress import Meter
from .repository import RepositoryClient
from .transfer import Transfer

JSON_HEADERS = {"Content-Type": "application/json"}
_LAYER_HEADERS = {"Content-Type": "application/octet-stream"}

#: The only error text that engines compare. It means that the image needs no upload (clients.md 3.3).
_EXISTS = "Image already exists"
_NO_PARENT = "Image depends on a non existing parent"


class _Interrupted(Exception):
    """This attempt to upload an image failed; another may succeed."""


class ImageUpload:
    """Uploads of images to one endpoint. Safe for threads.

    An image that the registry has already is compared with the archive's, then skipped (see
    :class:`Comparison`).

    :param gzip_level: see :class:`LayerBody`.
    :param workers: the threads of this push.
    """

    def __init__(
        self,
        transfer: Transfer,
        repository: RepositoryClient,
        endpoint: str,
        gzip_level: int,
        workers: Workers,
    ):
        self.sent_bytes = 0  #: of all layers, failed attempts included
        self._transfer = transfer
        self._repository = repository
        self._endpoint = endpoint
        self._gzip_level = gzip_level
        self._workers = workers
        self._comparison = Comparison(transfer, repository, gzip_level, workers)
        self._needs_length = False  # the server does not decode chunked bodies
        self._lock = threading.Lock()  # of sent_bytes

    def is_present(self, image: ChainImage) -> bool:
        """Tell whether the registry has the image. Any status but 200 means that it has not (clients.md 3.3).

        :raises DifferentContent: the registry has other content under the image's id.
        :raises ClientError: the comparison failed.
        """
        answer = self._get_json(image)
        if answer.status != 200:
            return False
        self._comparison.require_equal(self._endpoint, image, answer)
        return True

    def announce(self, image: ChainImage) -> bool:
        """Send the JSON. Return whether the layer must follow.

        :raises DifferentContent: the registry has other content under the image's id.
        :raises ClientError: the registry refused the image.
        """
        answer = self._put_json(image)
        if answer.error_text == _NO_PARENT:
            # Some registries hide a parent until the caller has sent its layer, which is under way.
            self._workers.join()
            answer = self._put_json(image)
        return self._is_wanted(answer, image)

    def send(self, image: ChainImage) -> None:
        """Send layer and checksum. After a failure, begin again with the JSON, as registry.md 5 requires.

        :raises TransferFailed: all attempts failed.
        :raises ClientError: the registry refused the image.
        """
        label = f"push {image.image_id[:12]}"
        with Meter(self._transfer.progress, label, image.layer_size_bytes) as meter:
            body = LayerBody(
                image,
                document=image.json,
                gzip_level=self._gzip_level,
                limit_bytes=self._transfer.layer_limit_bytes,
                meter=meter,
                workers=self._workers,
            )
            try:
                self._send_body(image, body)
            finally:
                with self._lock:
                    self.sent_bytes += body.sent_bytes

    def _send_body(self, image: ChainImage, body: LayerBody) -> None:
        connection = self._transfer.connection
        failures = 0
        while True:
            try:
                # Some servers close the connection, or store nothing, instead of answering 411.
                self._put_layer(image, body, with_length=self._needs_length or failures > 0)
                self._put_checksum(image, body.checksum)
                return
            except _Interrupted as exc:
                failures += 1
                if failures == connection.attempts:
                    raise TransferFailed(
                        f"the layer of image {image.image_id} was not sent in {failures} attempts: {exc}; "
                        "push again, complete images are skipped"
                    ) from exc
            connection.pause(failures)
            self._workers.check()
            if self.is_present(image) or not self._is_wanted(self._put_json(image), image):
                return

    def _is_wanted(self, answer: Answer, image: ChainImage) -> bool:
        """Tell from the answer to the JSON whether the layer must follow."""
        if answer.status == 200:
            return True
        if answer.error_text != _EXISTS:
            raise answer.failure(f"push image {image.image_id}")
        self._require_present(image)
        return False

    def _require_present(self, image: ChainImage) -> None:
        """Compare an image that exists according to the registry."""
        answer = self._get_json(image)
        if answer.status != 200:
            raise answer.failure(f"compare image {image.image_id}, which exists according to the registry")
        self._comparison.require_equal(self._endpoint, image, answer)

    # -- single calls

    def _get_json(self, image: ChainImage) -> Answer:
        return self._repository.call("GET", f"{self._endpoint}images/{image.image_id}/json")

    def _put_json(self, image: ChainImage) -> Answer:
        return self._repository.call(
            "PUT", f"{self._endpoint}images/{image.image_id}/json", headers=JSON_HEADERS, body=image.json
        )

    def _put_layer(self, image: ChainImage, body: LayerBody, *, with_length: bool) -> None:
        url = f"{self._endpoint}images/{image.image_id}/layer"
        try:
            if not with_length:
                answer = self._repository.call("PUT", url, headers=_LAYER_HEADERS, chunks=body.chunks)
                if answer.status == 411:
                    with_length = self._needs_length = True
            if with_length:
                answer = self._put_with_length(url, body)
        except RegistryUnreachable as exc:
            raise _Interrupted(str(exc)) from exc
        if answer.status == 200:
            return
        failure = answer.failure(f"push the layer of image {image.image_id}")
        if answer.status in TRANSIENT_STATUSES or answer.status in (404, 409):
            # 404 and 409: another client announced or completed the image. The next lookup decides.
            raise _Interrupted(str(failure)) from failure
        raise failure

    def _put_with_length(self, url: str, body: LayerBody) -> Answer:
        """Send the layer from a temporary file, because its length must be known before it is sent."""
        with tempfile.TemporaryFile() as spool:
            for chunk in body.chunks():
                spool.write(chunk)

            def rewound() -> IO[bytes]:
                spool.seek(0)
                return spool

            return self._repository.call("PUT", url, headers=_LAYER_HEADERS, chunks=rewound)

    def _put_checksum(self, image: ChainImage, checksum: str) -> None:
        # docker-registry 0.6 reads only the second header, also for payload checksums (registry.md 6.3).
        answer = self._repository.call(
            "PUT",
            f"{self._endpoint}images/{image.image_id}/checksum",
            headers={"X-Docker-Checksum-Payload": checksum, "X-Docker-Checksum": checksum},
            body=b"",
        )
        if answer.status == 200:
            return
        if answer.error_text == _EXISTS:
            self._require_present(image)
            return
        failure = answer.failure(f"complete image {image.image_id}")
        if answer.status in (400, 404):
            # 400: the layer was damaged, or replaced by another client's. 404: another image of this push
            # renewed the token, and the announcement belongs to the old one (decisions.md 5).
            raise _Interrupted(str(failure)) from failure
        raise failure
