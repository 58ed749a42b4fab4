"""Pull one tag into a save archive: the calls of registry.md 12.2, layers in parallel, broken ones by ranges."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..archives.convert import Unconvertible
from ..archives.images import ChainImage, UnreadableImage, read_image_json
from ..archives.save import WrittenArchive, write_save_archive
from ..layers.compression import UnreadableLayer
from ..names import is_image_id
from .access import Access, AskIndex
from .download import LayerDownload, RemoteImage
from .errors import NotFoundInRegistry, ProtocolError, RegistryUnreachable
from .parallel import Workers
from .progress import Meter, Progress
from .reference import Reference
from .session import Answer, Session
from .spool import Spool

_CHECKSUM_HEADERS = ("X-Docker-Checksum-Payload", "X-Docker-Payload-Checksum", "X-Docker-Checksum")
_PAYLOAD_CHECKSUM = re.compile(r"sha256:[a-f0-9]{64}")

#: Engines refuse more than 125 layers; v1 itself had no limit.
_LONGEST_CHAIN = 1024


@dataclass(frozen=True)
class PullResult:
    """What a pull did."""

    reference: Reference
    image_id: str  #: the v1 id that the tag points to
    image_ids: tuple[str, ...]  #: all that is in the archive, root first
    engine_image_id: str  #: the id that today's engines give to the image, ``sha256:…``
    output_path: Path
    archive_size_bytes: int
    fetched_bytes: int  #: of layers, as they came over the wire
    kept_bytes: int  #: of layers, found from an earlier pull


class Pull:
    """One pull."""

    def __init__(
        self,
        session: Session,
        open_access: Callable[[AskIndex], Access],
        reference: Reference,
        *,
        progress: Progress,
        parallel: int,
        layer_limit_bytes: int,
    ):
        self._session = session
        self._reference = reference
        self._progress = progress
        self._parallel = parallel
        self._layer_limit_bytes = layer_limit_bytes
        self._access = open_access(self._ask_index)
        self._endpoint = ""
        self._lock = threading.Lock()
        self._fetched_bytes = 0
        self._kept_bytes = 0

    def run(self, output: Path) -> PullResult:
        """Pull to ``output``. ClientError; OSError when nothing can be written there."""
        self._access.open()
        image_id = self._find_tag()
        ids = self._ancestry(image_id)
        with Spool(output) as spool:
            with Workers(self._parallel) as workers:
                images: dict[str, RemoteImage] = {}

                def describe(pair: tuple[str, str | None]) -> None:
                    images[pair[0]] = self._describe(*pair)

                workers.map(describe, list(zip(ids, [None, *ids], strict=False)))
                workers.map(lambda image_id: self._fetch(images[image_id], spool, workers), ids)
            written = self._write(spool, [images[image_id] for image_id in ids])
            spool.deliver()
        return PullResult(
            self._reference,
            image_id,
            tuple(ids),
            written.config_digests[image_id],
            output,
            written.size_bytes,
            self._fetched_bytes,
            self._kept_bytes,
        )

    # -- what the registry says

    def _ask_index(self, authorization: str | None, headers: Mapping[str, str]) -> Answer:
        """Ask for the repository's image list: not for the list, but for the token and the endpoints."""
        answer = self._session.call(
            "GET",
            f"{self._access.index_url}{self._access.repository_path}/images",
            authorization=authorization,
            headers=headers,
        )
        if answer.status == 404:
            raise NotFoundInRegistry(
                f"{self._reference.host} has no repository {self._reference.name}, "
                "or does not show it without (other) credentials"
            )
        if answer.status != 200:
            raise answer.failure(f"pull {self._reference}")
        return answer

    def _find_tag(self) -> str:
        """Choose the first endpoint that answers, and return the id of the tag there."""
        path = f"{self._access.repository_path}/tags"
        for last, endpoint in enumerate(self._access.endpoints, start=1 - len(self._access.endpoints)):
            try:
                answer = self._access.call("GET", f"{endpoint}{path}/{self._reference.tag}")
            except RegistryUnreachable:
                if last == 0:
                    raise
                continue
            break
        self._endpoint = endpoint
        if answer.status == 404:
            raise self._tag_missing(endpoint + path)
        if answer.status != 200:
            raise answer.failure(f"read the tag {self._reference}")
        image_id = answer.json()
        if not is_image_id(image_id):
            raise ProtocolError(f"{answer.url} answered no image id")
        return str(image_id)

    def _tag_missing(self, tags_url: str) -> NotFoundInRegistry:
        problem = f"{self._reference.host}/{self._reference.path} has no tag {self._reference.tag}"
        answer = self._access.call("GET", tags_url)
        if answer.status == 200:
            tags = answer.json()
            names = sorted(tags) if isinstance(tags, dict) else []
            problem += f"; it has {', '.join(names[:20]) or 'none at all'}{' …' if len(names) > 20 else ''}"
        return NotFoundInRegistry(problem)

    def _ancestry(self, image_id: str) -> list[str]:
        """Return the ids of the chain, root first."""
        answer = self._access.call("GET", f"{self._endpoint}images/{image_id}/ancestry")
        if answer.status != 200:
            raise answer.failure(f"pull image {image_id}")
        ids = answer.json()
        if (
            not isinstance(ids, list)
            or not 0 < len(ids) <= _LONGEST_CHAIN
            or not all(is_image_id(ancestor) for ancestor in ids)
            or len(set(ids)) != len(ids)
            or ids[0] != image_id
        ):
            raise ProtocolError(f"{answer.url} answered no list of ids that begins with the image's own")
        return ids[::-1]

    def _describe(self, image_id: str, parent_id: str | None) -> RemoteImage:
        answer = self._access.call("GET", f"{self._endpoint}images/{image_id}/json")
        if answer.status != 200:
            raise answer.failure(f"pull image {image_id}")
        try:
            found_parent_id = read_image_json(answer.body, image_id)
        except UnreadableImage as exc:
            raise ProtocolError(f"{answer.url}: {exc}") from exc
        if found_parent_id != parent_id:
            raise ProtocolError(f"{answer.url} names another parent than the ancestry does")
        size = answer.headers.get("X-Docker-Size", "")
        sums = ",".join(answer.headers.get(header, "") for header in _CHECKSUM_HEADERS).split(",")
        return RemoteImage(
            image_id,
            answer.body,
            int(size) if re.fullmatch(r"[0-9]{1,18}", size) else None,
            frozenset(text.strip() for text in sums if _PAYLOAD_CHECKSUM.fullmatch(text.strip())),
        )

    # -- layers and the archive

    def _fetch(self, image: RemoteImage, spool: Spool, workers: Workers) -> None:
        with Meter(self._progress, f"pull {image.image_id[:12]}", image.size_bytes) as meter:
            download = LayerDownload(
                image,
                f"{self._endpoint}images/{image.image_id}/layer",
                session=self._session,
                access=self._access,
                spool=spool,
                meter=meter,
                workers=workers,
                limit_bytes=self._layer_limit_bytes,
            )
            download.run()
        with self._lock:
            self._fetched_bytes += download.fetched_bytes
            self._kept_bytes += download.kept_bytes

    def _write(self, spool: Spool, images: list[RemoteImage]) -> WrittenArchive:
        sizes = {image.image_id: spool.layer(image.image_id).stat().st_size for image in images}
        current = ""

        def sources(meter: Meter) -> Iterator[ChainImage]:
            nonlocal current
            for image in images:
                current = image.image_id
                layer = spool.layer(current)
                yield ChainImage(current, image.json, lambda layer=layer: _Metered(layer, meter))  # type: ignore[misc]

        names = {self._reference.archive_name: images[-1].image_id}
        label = f"write {spool.output.name}"
        with open(spool.archive, "wb") as file, Meter(self._progress, label, sum(sizes.values())) as meter:
            try:
                written = write_save_archive(
                    file, sources(meter), names, layer_limit_bytes=self._layer_limit_bytes
                )
            except UnreadableLayer as exc:
                raise ProtocolError(f"image {current} is damaged in the registry: {exc}") from exc
            except (UnreadableImage, Unconvertible) as exc:
                raise ProtocolError(f"image {images[-1].image_id} is damaged in the registry: {exc}") from exc
            file.flush()
            os.fsync(file.fileno())
        return written


class _Metered:
    """A file that tells a meter what is read from it."""

    def __init__(self, path: Path, meter: Meter):
        self._path = path
        self._meter = meter

    def __enter__(self) -> _Metered:
        self._file = open(self._path, "rb")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def read(self, size: int, /) -> bytes:
        chunk = self._file.read(size)
        self._meter.advance(len(chunk))
        return chunk
