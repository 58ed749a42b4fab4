"""Fetching from an origin of the API v1.

Clients of v1 get tags, JSONs and ancestries as the origin has them, and each layer while it is stored. An
image is kept when its layer is whole, as if it had been pushed; a tag when all images of its chain are here.
A client of the distribution API needs the whole chain first, because manifests name digests of layers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from threading import Lock
from typing import Final

from cachetools import LRUCache

from .. import errors
from ..layers.checksums import PayloadChecksum, equal_sums
from ..log import get_logger
from ..names import RepositoryName
from ..registry import layout
from ..registry.contents import Staged
from ..storage.base import KeyNotFound, StorageUnavailable
from .fetches import Fetch, fetch_all
from .origin import NotAtOrigin
from .origin_v1 import RemoteImage, V1Origin
from .parts import Models, remove, staging_folder
from .stored import Standing

log = get_logger(__name__)

#: How many tags are remembered whose images are not all here.
_MOST_PENDING: Final = 1000

#: How many locks all repositories share.
_LOCKS: Final = 64


class FromV1:
    """Makes repositories of those of an origin of the API v1. Safe for threads."""

    def __init__(self, origin: V1Origin, models: Models):
        self._origin = origin
        self._models = models
        #: repository and tag -> the chain, the image of the tag first
        self._pending: LRUCache[tuple[RepositoryName, str], tuple[str, ...]] = LRUCache(_MOST_PENDING)
        self._mutex = Lock()
        #: held while the tags of a repository are set
        self._settling = [Lock() for _ in range(_LOCKS)]

    # -- repositories and tags

    def begin(self, repository: RepositoryName) -> None:
        """Make a repository that the origin has, with its image list.

        :raises NotAtOrigin: the origin does not have it.
        """
        image_ids = self._origin.image_ids(repository)
        self._models.mirrored.begin(repository)
        try:
            self._models.repositories.add_images(repository, [{"id": image_id} for image_id in image_ids])
        except errors.ImageListTooLarge:
            log.info("the image list of %s is too large to be kept", repository)

    def tags(self, repository: RepositoryName) -> list[str]:
        """Return the tags of the origin, sorted."""
        return sorted(self._origin.tags(repository))

    def v1_tags(self, repository: RepositoryName) -> dict[str, str]:
        """Return the tags of the origin with the ids of their images."""
        return self._origin.tags(repository)

    def update_tag(self, repository: RepositoryName, tag: str) -> str:
        """Ask for a tag, and note what it is to become; return the id of its image.

        :raises NotAtOrigin: it is missing there, or it is local.
        """
        models, mirrored = self._models, self._models.mirrored
        place = mirrored.place(repository)
        record, now = mirrored.tag(place, tag), models.distribution.tag_lists.target(place, tag)
        current = "" if now is None else now.image_id or ""
        if now is not None and (record is None or not record.is_of(current)):
            raise NotAtOrigin("the tag is local")
        image_id = self._origin.tag(repository, tag)
        place = mirrored.begin(repository)
        mirrored.note_tag(place, tag, image_id, current, is_done=True)
        if current != image_id:
            image = self._origin.image(repository, image_id)
            with self._mutex:
                self._pending[repository, tag] = image.ancestry
            self._settle(repository)
        return image_id

    def complete_tag(self, repository: RepositoryName, tag: str) -> None:
        """Have all images of a tag here, and the tag set.

        :raises NotAtOrigin: it is missing there, or it is local.
        """
        image_id = self.update_tag(repository, tag)
        for_chain = self._origin.image(repository, image_id).ancestry
        missing = [ancestor for ancestor in reversed(for_chain) if not self.holds(repository, ancestor)]
        fetch_all(lambda ancestor: self.join_layer(repository, ancestor), missing)
        self._settle(repository)

    def _settle(self, repository: RepositoryName) -> None:
        """Set the tags whose images are all here now, or wait until another thread has set them."""
        with self._settling[hash(repository) % _LOCKS]:
            with self._mutex:
                pending = {key: chain for key, chain in self._pending.items() if key[0] == repository}
            for key, chain in pending.items():
                if not all(self.holds(repository, image_id) for image_id in chain):
                    continue
                with self._mutex:
                    if self._pending.get(key) != chain:
                        continue  # the tag was asked for again
                    del self._pending[key]
                self._set_tag(repository, key[1], chain[0])

    def _set_tag(self, repository: RepositoryName, tag: str, image_id: str) -> None:
        models = self._models
        if models.mirrored.standing(repository) is not Standing.MIRRORED:
            return  # it was deleted meanwhile
        incarnation = models.holding.take_over(models.rights, repository, image_id, is_named=True)
        if incarnation is None:
            return
        try:
            stat = models.repositories.set_tag(repository, tag, image_id, "", is_created=bool(incarnation))
        except (errors.TagImmutable, errors.TagNameConflict, errors.InvalidTagName) as error:
            log.info("the tag %r of %s cannot be set: %s", tag, repository, error)
            return
        is_there = models.holding.check(repository, incarnation)
        if not is_there or not models.holding.keep(repository, image_id):
            models.repositories.undo_tag(stat)

    # -- images

    def holds(self, repository: RepositoryName, image_id: str) -> bool:
        """Tell whether a repository has an image."""
        return self._models.holding.holds(repository, image_id)

    def image(self, repository: RepositoryName, image_id: str) -> RemoteImage:
        """Return what the origin says of an image that is not here.

        :raises NotAtOrigin: the origin does not have it.
        """
        return self._origin.image(repository, image_id)

    def join_layer(self, repository: RepositoryName, image_id: str) -> Fetch | None:
        """Return the fetch of a layer, which the caller has to release; None if the image is here.

        :raises ImageBusy: too many others are being fetched.
        """
        return self._models.fetches.join(
            (repository, image_id),
            lambda: self.holds(repository, image_id),
            lambda fetch: self._fetch_layer(repository, image_id, fetch),
        )

    def _fetch_layer(self, repository: RepositoryName, image_id: str, fetch: Fetch) -> None:
        models, image = self._models, self._origin.image(repository, image_id)
        folder, payload = staging_folder(image_id), PayloadChecksum(image.json)
        staged = f"{folder}/image"
        try:
            with self._origin.layer(repository, image) as body:
                place = models.mirrored.begin(repository)
                fetch.begin(body.size)
                chunks = _checked(fetch.received(body.chunks), payload, image)
                models.storage.write(f"{staged}/{layout.LAYER}", chunks)
            models.storage.write_many(
                {
                    f"{staged}/{layout.JSON}": image.json,
                    f"{staged}/{layout.ANCESTRY}": json.dumps(list(image.ancestry)).encode("ascii"),
                    f"{staged}/{layout.CHECKSUM}": json.dumps([payload.text()]).encode("ascii"),
                }
            )
            if not models.mirrored.exists(place):
                raise errors.NameUnknown(repository=str(repository))
            whole = Staged(staged, payload.text().removeprefix("sha256:"), image.ancestry)
            is_held = models.holding.complete(models.rights, [repository], image_id, whole)
        except KeyNotFound:
            raise StorageUnavailable(folder, "the staged image was removed") from None
        finally:
            remove(models.storage, folder)
        if not is_held:
            log.info("%s has a different content of image %s than the origin", repository, image_id)
            return
        models.repositories.add_images(repository, [{"id": image_id}])
        self._settle(repository)


def _checked(chunks: Iterator[bytes], payload: PayloadChecksum, image: RemoteImage) -> Iterator[bytes]:
    """Yield the chunks of a layer.

    :raises OriginInvalid: they do not have a checksum that the origin announced.
    """
    for chunk in chunks:
        payload.update(chunk)
        yield chunk
    found = payload.text()
    if image.checksums and not any(equal_sums(found, announced) for announced in image.checksums):
        raise errors.OriginInvalid(reason=f"the layer of {image.image_id} came with the sum {found}")
