"""Pull one tag into a save archive: the calls of registry.md 12.2, with layers in parallel."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..archives.convert import Unconvertible
from ..archives.images import ChainImage, UnreadableImage, read_image_json
from ..archives.save import WrittenArchive, write_save_archive
from ..layers.compression import UnreadableLayer
from ..names import is_image_id
from .answers import Answer, checksums_in, read_tags
from .download import Download, Wanted
from .errors import NotFoundInRegistry, ProtocolError, RegistryUnreachable
from .metered import metered_opener
from .output import Output
from .parallel import Workers
from .progress import Meter, Silence
from .reference import Reference
from .spool import LayerSpool, Spool
from .transfer import Transfer

#: The most images in a chain. Engines refuse more than 125 layers; v1 has no limit.
_LONGEST_CHAIN = 1024


@dataclass(frozen=True)
class PullResult:
    """The result of a pull."""

    reference: Reference
    image_id: str  #: the v1 id of the tag; empty for a layout
    image_ids: tuple[str, ...]  #: all images in the archive, root first; none for a layout
    engine_image_id: str  #: the image's id in today's engines, ``sha256:…``; empty for an index or artifact
    output_path: Path | None  #: None if the output is a stream
    archive_size_bytes: int
    fetched_bytes: int  #: of layers, as transferred
    kept_bytes: int  #: of layers, kept from an earlier pull
    digest: str | None = None  #: of the manifest or index; None for v1


@dataclass(frozen=True)
class _RemoteImage:
    """The registry's facts of an image."""

    image_id: str
    json: bytes
    size_bytes: int | None  #: of the layer as stored; a hint, because engines ignore wrong sizes
    checksums: frozenset[str]  #: payload checksums, of which one must be right; may be empty


class ImagePull:
    """One pull."""

    def __init__(self, transfer: Transfer):
        self._transfer = transfer
        self._reference = transfer.reference
        self._repository = transfer.repository(self._ask_index)
        self._tags_path = f"{self._repository.path}/tags"
        self._endpoint = ""
        self._lock = threading.Lock()
        self.fetched_bytes = 0  #: of layers, over the network
        self.kept_bytes = 0  #: of layers, from an earlier pull

    def run(self, output: Output) -> PullResult:
        """Pull to ``output``.

        :raises ClientError: the pull failed; fetched layers stay in the spool of a file.
        :raises OSError: the output cannot be written.
        """
        ids = self._find_images()
        with output.spool() as spool:
            images = self._fetch_all(ids, spool)
            written = self._write(spool, output, images)
            output.deliver(spool)
        return PullResult(
            self._reference,
            ids[-1],
            tuple(ids),
            written.config_digests[ids[-1]],
            output.path,
            written.size_bytes,
            self.fetched_bytes,
            self.kept_bytes,
        )

    def fetch(self, spool: LayerSpool) -> tuple[ChainImage, ...]:
        """Pull the images of the tag, root first, with their layers in the spool.

        :raises ClientError: the pull failed; fetched layers stay.
        """
        images = self._fetch_all(self._find_images(), spool)
        silence = Meter(Silence(), "", None)
        return tuple(
            ChainImage(image.image_id, image.json, metered_opener(spool, image.image_id, silence))
            for image in images
        )

    def _find_images(self) -> list[str]:
        """Return the ids of the tag's images, root first."""
        self._repository.open()
        return self._ancestry(self._find_tag())

    def _fetch_all(self, ids: list[str], spool: LayerSpool) -> list[_RemoteImage]:
        images: dict[str, _RemoteImage] = {}

        def describe(pair: tuple[str, str | None]) -> None:
            images[pair[0]] = self._describe(*pair)

        with Workers(self._transfer.parallel) as workers:
            workers.map(describe, list(zip(ids, [None, *ids], strict=False)))
            workers.map(lambda image_id: self._fetch(images[image_id], spool, workers), ids)
        return [images[image_id] for image_id in ids]

    # -- what the registry says

    def _ask_index(self, authorization: str | None, headers: Mapping[str, str]) -> Answer:
        """Get the repository's image list, because its headers have the token and the endpoints."""
        answer = self._transfer.connection.call(
            "GET",
            f"{self._repository.index_url}{self._repository.path}/images",
            authorization=authorization,
            headers=headers,
        )
        if answer.status == 404:
            raise NotFoundInRegistry(
                f"{self._reference.host} has no repository {self._reference.name}, "
                "or hides it from these credentials"
            )
        if answer.status != 200:
            raise answer.failure(f"pull {self._reference}")
        self._image_list = answer
        return answer

    def _find_tag(self) -> str:
        """Choose the first endpoint that answers, and return the tag's image id there.

        :raises ClientError: no endpoint answers, or the one that does has no such tag.
        """
        unreachable: RegistryUnreachable | None = None
        for endpoint in self._repository.endpoints():
            try:
                answer = self._repository.call("GET", f"{endpoint}{self._tags_path}/{self._reference.tag}")
            except RegistryUnreachable as exc:
                unreachable = unreachable or exc
                continue
            self._endpoint = endpoint
            return self._read_tag(answer)
        assert unreachable is not None  # there is at least one endpoint
        raise unreachable

    def _read_tag(self, answer: Answer) -> str:
        if answer.status == 404:
            return self._find_in_list()
        if answer.status != 200:
            raise answer.failure(f"read the tag {self._reference}")
        image_id = answer.json()
        if not is_image_id(image_id):
            raise ProtocolError(f"{answer.shown} must answer an image id")
        return str(image_id)

    def _find_in_list(self) -> str:
        """Return the tag's image id from the list of all tags, which registries without single tags have.

        :raises NotFoundInRegistry: the list does not have the tag.
        """
        problem = f"{self._reference.host}/{self._reference.path} has no tag {self._reference.tag}"
        answer = self._repository.call("GET", f"{self._endpoint}{self._tags_path}")
        if answer.status != 200:
            raise NotFoundInRegistry(problem)
        tags = read_tags(answer)
        if self._reference.tag in tags:
            return self._whole_id(tags[self._reference.tag], answer.shown)
        names = sorted(tags)
        shown = ", ".join(names[:20]) or "no tags"
        raise NotFoundInRegistry(f"{problem}; it has {shown}{' …' if len(names) > 20 else ''}")

    def _whole_id(self, start: str, url: str) -> str:
        """Return the image id that begins with ``start``, from the index's image list."""
        if is_image_id(start):
            return start
        entries = self._image_list.json()
        ids = {
            entry["id"]
            for entry in (entries if isinstance(entries, list) else [])
            if isinstance(entry, dict) and is_image_id(entry.get("id")) and entry["id"].startswith(start)
        }
        if len(ids) != 1 or not start:
            raise ProtocolError(
                f"{url} names the image {start!r}, with which {len(ids)} ids in the image list begin, not one"
            )
        return str(ids.pop())

    def _ancestry(self, image_id: str) -> list[str]:
        """Return the ids of the chain, root first."""
        answer = self._repository.call("GET", f"{self._endpoint}images/{image_id}/ancestry")
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
            raise ProtocolError(
                f"{answer.shown} must answer a list of different image ids that begins with {image_id}"
            )
        return ids[::-1]

    def _describe(self, image_id: str, parent_id: str | None) -> _RemoteImage:
        answer = self._repository.call("GET", f"{self._endpoint}images/{image_id}/json")
        if answer.status != 200:
            raise answer.failure(f"pull image {image_id}")
        try:
            found_parent_id = read_image_json(answer.body, image_id)
        except UnreadableImage as exc:
            raise ProtocolError(f"{answer.shown}: {exc}") from exc
        if found_parent_id != parent_id:
            raise ProtocolError(f"{answer.shown} names a different parent than the ancestry")
        size = answer.headers.get("X-Docker-Size", "")
        return _RemoteImage(
            image_id,
            answer.body,
            int(size) if re.fullmatch(r"[0-9]{1,18}", size) else None,
            checksums_in(answer.headers),
        )

    # -- layers and the archive

    def _fetch(self, image: _RemoteImage, spool: LayerSpool, workers: Workers) -> None:
        with Meter(self._transfer.progress, f"pull {image.image_id[:12]}", image.size_bytes) as meter:
            download = Download(
                Wanted(
                    image.image_id,
                    f"the layer of image {image.image_id}",
                    image.size_bytes,
                    image.checksums,
                    image.json + b"\n",
                ),
                f"{self._endpoint}images/{image.image_id}/layer",
                transfer=self._transfer,
                repository=self._repository,
                spool=spool,
                meter=meter,
                workers=workers,
            )
            download.run()
        with self._lock:
            self.fetched_bytes += download.fetched_bytes
            self.kept_bytes += download.kept_bytes

    def _write(self, spool: Spool, output: Output, images: list[_RemoteImage]) -> WrittenArchive:
        sizes = {image.image_id: spool.layer(image.image_id).stat().st_size for image in images}
        current = ""

        def sources(meter: Meter) -> Iterator[ChainImage]:
            nonlocal current
            for image in images:
                current = image.image_id
                yield ChainImage(current, image.json, metered_opener(spool, current, meter))

        names = {str(self._reference): images[-1].image_id}
        label = f"write {output.name}"
        total_bytes = sum(sizes.values())
        with open(spool.archive, "wb") as file, Meter(self._transfer.progress, label, total_bytes) as meter:
            try:
                written = write_save_archive(
                    file, sources(meter), names, layer_limit_bytes=self._transfer.layer_limit_bytes
                )
            except UnreadableLayer as exc:
                raise ProtocolError(f"image {current} is damaged in the registry: {exc}") from exc
            except (UnreadableImage, Unconvertible) as exc:
                raise ProtocolError(f"image {images[-1].image_id} is damaged in the registry: {exc}") from exc
            output.sync(file)
        return written
