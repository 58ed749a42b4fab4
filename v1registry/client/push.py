"""Push one image of a save archive: the calls of registry.md 12.1, root first, layers in parallel."""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO

from ..archives.images import ChainImage
from ..archives.load import ArchivedChain, SaveArchive, UnreadableArchive
from ..layers.compression import CHUNK_BYTES, compression_of
from .access import Access, AskIndex
from .errors import BadArchive, ProtocolError, RegistryUnreachable, TransferFailed
from .parallel import Workers
from .progress import Meter, Progress
from .reference import Reference
from .session import TRANSIENT_STATUSES, Answer, Session

#: The only error text that engines compare: it means "nothing to do" (clients.md 3.3).
_EXISTS = "Image already exists"
_NO_PARENT = "Image depends on a non existing parent"

_JSON = {"Content-Type": "application/json"}
_OCTETS = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class PushResult:
    """What a push did. Ids are root first."""

    reference: Reference
    image_id: str  #: what the tag now points to
    pushed: tuple[str, ...]  #: images that were uploaded
    skipped: tuple[str, ...]  #: images that were there already
    sent_bytes: int  #: of layers, as they went over the wire, broken attempts included


@dataclass
class _Tally:
    pushed: set[str] = field(default_factory=set)
    sent_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, sent_bytes: int) -> None:
        with self.lock:
            self.sent_bytes += sent_bytes


class _Interrupted(Exception):
    """This attempt at an image came to nothing; another one may do."""


class Push:
    """One push. ``gzip_level`` is for layers that are plain in the archive; others go as they are."""

    def __init__(
        self,
        session: Session,
        open_access: Callable[[AskIndex], Access],
        reference: Reference,
        *,
        progress: Progress,
        parallel: int,
        gzip_level: int,
    ):
        self._session = session
        self._reference = reference
        self._progress = progress
        self._parallel = parallel
        self._gzip_level = gzip_level
        self._access = open_access(self._announce)
        self._chain: tuple[ChainImage, ...] = ()
        self._tally = _Tally()
        self._needs_length = False  # the server does not decode chunked bodies

    def run(self, chain: ArchivedChain) -> PushResult:
        """Push ``chain`` and set the tag. ClientError."""
        self._chain = chain.images
        self._access.open()
        for endpoint in self._access.endpoints:
            self._push_to(endpoint)
        self._finish()
        ids = [image.image_id for image in self._chain]
        return PushResult(
            self._reference,
            chain.top.image_id,
            tuple(image_id for image_id in ids if image_id in self._tally.pushed),
            tuple(image_id for image_id in ids if image_id not in self._tally.pushed),
            self._tally.sent_bytes,
        )

    # -- the index

    def _announce(self, authorization: str | None, headers: Mapping[str, str]) -> Answer:
        images = [{"id": image.image_id} for image in self._chain]
        images[-1]["Tag"] = self._reference.tag
        answer = self._session.call(
            "PUT",
            f"{self._access.index_url}{self._access.repository_path}/",
            authorization=authorization,
            headers={**_JSON, **headers},
            body=json.dumps(images).encode("ascii"),
            follow_put=True,
        )
        if answer.status == 404:
            raise ProtocolError(
                f"{answer.url} answered 404: is {self._reference.host} a v1 registry that takes pushes?"
            )
        if answer.status not in (200, 201):
            raise answer.failure(f"push {self._reference}")
        return answer

    def _finish(self) -> None:
        # Engines since 0.8 send no sums in this list, so it is always empty (hub.md 4.3).
        answer = self._session.call(
            "PUT",
            f"{self._access.index_url}{self._access.repository_path}/images",
            authorization=self._access.index_authorization,
            headers={
                **_JSON,
                "X-Docker-Token": "true",
                "X-Docker-Endpoints": ",".join(self._access.endpoints),
            },
            body=b"[]",
        )
        if answer.status != 204:
            raise answer.failure(f"end the push of {self._reference}")

    # -- the images

    def _push_to(self, endpoint: str) -> None:
        with Workers(self._parallel) as workers:
            present: dict[str, bool] = {}

            def look_up(image: ChainImage) -> None:
                present[image.image_id] = self._is_there(endpoint, image)

            workers.map(look_up, self._chain)
            for image in self._chain:
                if present[image.image_id] or workers.has_failed:
                    continue
                if self._announce_image(endpoint, image, workers):
                    self._tally.pushed.add(image.image_id)
                    workers.submit(lambda image=image: self._send(endpoint, image, workers))  # type: ignore[misc]
            workers.join()
        self._set_tag(endpoint)

    def _is_there(self, endpoint: str, image: ChainImage) -> bool:
        """Ask whether the image is complete. Whatever is not 200 means that it shall be pushed (clients.md 3.3)."""
        return self._access.call("GET", f"{endpoint}images/{image.image_id}/json").status == 200

    def _announce_image(self, endpoint: str, image: ChainImage, workers: Workers) -> bool:
        """Send the JSON; tell whether the layer shall follow."""
        answer = self._put_json(endpoint, image)
        if answer.error_text == _NO_PARENT:
            # A registry may show an image only to those who have sent its layer, and that is still under way.
            workers.join()
            answer = self._put_json(endpoint, image)
        return self._is_wanted(answer, image)

    def _put_json(self, endpoint: str, image: ChainImage) -> Answer:
        return self._access.call(
            "PUT", f"{endpoint}images/{image.image_id}/json", headers=_JSON, body=image.json
        )

    def _is_wanted(self, answer: Answer, image: ChainImage) -> bool:
        if answer.status == 200:
            return True
        if answer.error_text == _EXISTS:
            return False
        raise answer.failure(f"push image {image.image_id}")

    def _send(self, endpoint: str, image: ChainImage, workers: Workers) -> None:
        """Send layer and checksum. An attempt that failed begins again with the JSON, as registry.md 5 wants it."""
        with Meter(self._progress, f"push {image.image_id[:12]}", image.layer_size_bytes) as meter:
            body = _LayerBody(image, self._gzip_level, meter, workers)
            try:
                self._send_body(endpoint, image, body, workers)
            finally:
                self._tally.add(body.sent_bytes)

    def _send_body(self, endpoint: str, image: ChainImage, body: _LayerBody, workers: Workers) -> None:
        failures = 0
        while True:
            try:
                # Some servers break off, or store nothing, instead of saying that they want a length.
                self._put_layer(endpoint, image, body, with_length=self._needs_length or failures > 0)
                self._put_checksum(endpoint, image, body.checksum)
                return
            except _Interrupted as exc:
                failures += 1
                if failures == self._session.attempts:
                    raise TransferFailed(
                        f"the layer of image {image.image_id} could not be sent in {failures} attempts: {exc}; "
                        "push again, and what is complete is skipped"
                    ) from exc
            self._session.pause(failures)
            workers.check()
            if self._is_there(endpoint, image):
                return
            if not self._is_wanted(self._put_json(endpoint, image), image):
                return

    def _put_layer(self, endpoint: str, image: ChainImage, body: _LayerBody, *, with_length: bool) -> None:
        url = f"{endpoint}images/{image.image_id}/layer"
        try:
            if not with_length:
                answer = self._access.call("PUT", url, headers=_OCTETS, chunks=body.chunks)
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
            # 404, 409: somebody else announced or completed the image meanwhile. The next look tells.
            raise _Interrupted(str(failure)) from failure
        raise failure

    def _put_with_length(self, url: str, body: _LayerBody) -> Answer:
        """Send the layer from a temporary file, as its length must be said before it."""
        with tempfile.TemporaryFile() as spool:
            for chunk in body.chunks():
                spool.write(chunk)

            def rewound() -> IO[bytes]:
                spool.seek(0)
                return spool

            return self._access.call("PUT", url, headers=_OCTETS, chunks=rewound)

    def _put_checksum(self, endpoint: str, image: ChainImage, checksum: str) -> None:
        # docker-registry 0.6 compares the second header, and takes the simple sum there as well (registry.md 6.3).
        answer = self._access.call(
            "PUT",
            f"{endpoint}images/{image.image_id}/checksum",
            headers={"X-Docker-Checksum-Payload": checksum, "X-Docker-Checksum": checksum},
            body=b"",
        )
        if answer.status == 200 or answer.error_text == _EXISTS:
            return
        failure = answer.failure(f"complete image {image.image_id}")
        if answer.status == 400:  # it came damaged, or another client's layer came between
            raise _Interrupted(str(failure)) from failure
        raise failure

    def _set_tag(self, endpoint: str) -> None:
        answer = self._access.call(
            "PUT",
            f"{endpoint}{self._access.repository_path}/tags/{self._reference.tag}",
            headers=_JSON,
            body=json.dumps(self._chain[-1].image_id).encode("ascii"),
        )
        if answer.status not in (200, 201):
            raise answer.failure(f"set the tag {self._reference}")


class _LayerBody:
    """The layer as it is sent, any number of times."""

    def __init__(self, image: ChainImage, gzip_level: int, meter: Meter, workers: Workers):
        self._image = image
        self._gzip_level = gzip_level
        self._meter = meter
        self._workers = workers
        self.checksum = ""  #: of the last time
        self.sent_bytes = 0  #: of all times

    def chunks(self) -> Iterator[bytes]:
        """Yield the layer: gzip made here for a plain one, the archive's own bytes for others. BadArchive."""
        self._workers.check()
        self._meter.set(0)
        digest = hashlib.sha256(self._image.json + b"\n")
        for chunk in self._compressed():
            digest.update(chunk)
            self.sent_bytes += len(chunk)
            yield chunk
        self.checksum = f"sha256:{digest.hexdigest()}"

    def _compressed(self) -> Iterator[bytes]:
        # Without a name and with time 0 in its header the same layer makes the same bytes.
        packer = zlib.compressobj(self._gzip_level, zlib.DEFLATED, 31)
        packs: bool | None = None
        for chunk in self._archived():
            if packs is None:
                packs = compression_of(chunk) == "plain"
            packed = packer.compress(chunk) if packs else chunk
            if packed:
                yield packed
        if packs is not False:
            yield packer.flush()

    def _archived(self) -> Iterator[bytes]:
        try:
            with self._image.open_layer() as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    self._meter.advance(len(chunk))
                    yield chunk
                    # before the next read: the archive may be closed by now
                    self._workers.check()
        except (UnreadableArchive, OSError) as exc:
            raise BadArchive(f"the archive cannot be read: {exc}") from exc


def choose_chain(archive: SaveArchive, reference: Reference, image: str | None) -> ArchivedChain:
    """Return the image of the archive that is meant. BadArchive, whose text lists the choice.

    :param image: its name in the archive, or its v1 id or the start of it; None: the only one there, or the one that
        has the reference's own name.
    """
    if image is None:
        if len(archive.chains) == 1:
            return archive.chains[0]
        wanted = {str(reference), f"{reference.path}:{reference.tag}", f"{reference.name}:{reference.tag}"}
        found = [chain for chain in archive.chains if wanted & set(chain.names)]
        problem = "holds several images"
    else:
        names = {image, f"{image}:latest"}
        found = [chain for chain in archive.chains if names & set(chain.names)]
        found = found or [chain for chain in archive.chains if chain.top.image_id.startswith(image)]
        problem = f"holds no image {image!r}" if not found else f"holds several images {image!r}"
    if len(found) == 1:
        return found[0]
    choice = ", ".join(
        chain.names[0] if chain.names else chain.top.image_id[:12] for chain in archive.chains[:20]
    )
    raise BadArchive(f"the archive {problem}; say which one is meant: {choice}")
