"""The v1 view of images that were pushed through the distribution API (distribution.md 2.2).

An image becomes the chain of images that engines of 1.10 to 17.05 push for it. Layers are linked, not copied.
All layers are checked before anything becomes visible. Then the images are completed root first, so that the
tag, which is written last, never shows a part of a chain.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from .. import errors
from ..archives.convert import V1Document
from ..log import get_logger
from ..registry import layout as registry_layout
from ..registry.contents import Contents, Staged
from ..registry.expiry import push_folder
from ..registry.holding import Holding
from ..rights import Rights
from ..storage.base import KeyNotFound, Storage
from ..storage.combined import write_and_link
from ..storage.patience import cleanup
from . import layout
from .places import Place
from .view_choice import ViewChoice
from .view_facts import OWNER, FactsOfLayers, NoView, ViewFacts

log = get_logger(__name__)

#: How many images are staged together. An object store writes them as one document, which the marks of each
#: change again.
_STAGED_AT_ONCE: Final = 8


@dataclass(frozen=True)
class View:
    """The v1 image of a manifest."""

    image_id: str
    ancestry: tuple[str, ...]  #: the ids from the image itself to its root


@dataclass(frozen=True)
class _Image:
    """One image of a view, and what it is made of."""

    document: V1Document
    ancestry: tuple[str, ...]  #: the ids from the image itself to its root
    layer: str  #: SHA-256 digits of the blob that v1 gets
    payload: str  #: hex digits of the payload sum


class ToV1:
    """Makes v1 images of manifests. Safe for threads and processes.

    :param is_on: whether :meth:`view_of` makes anything.
    :param seconds: how long the layers of one image may be read.
    :param timer: seconds that never go back, by which the layers are read.
    """

    def __init__(
        self,
        storage: Storage,
        contents: Contents,
        holding: Holding,
        choice: ViewChoice,
        facts: FactsOfLayers,
        *,
        is_on: bool,
        seconds: float,
        timer: Callable[[], float] = time.monotonic,
    ):
        self._storage = storage
        self._contents = contents
        self._holding = holding
        self.choice = choice  #: finds the image that v1 shows
        self._facts = facts
        self._is_on = is_on
        self._seconds = seconds
        self._timer = timer

    def view_of(
        self,
        rights: Rights,
        place: Place,
        document: bytes,
        media_type: str,
        marked: Collection[str] = frozenset(),
    ) -> View | None:
        """Make the v1 images of a manifest, and let the repository hold them.

        :param document: the manifest, which the repository contains.
        :param marked: SHA-256 digits of blobs that the repository contains, as the caller has just found.
        :return: None if v1 does not show it; the log says why.
        :raises LayerBusy: other looks into layers take too long.
        :raises RepositoryNotFound: the repository was deleted meanwhile.
        :raises StorageUnavailable: the storage failed, or is full.
        """
        if not self._is_on:
            return None
        try:
            return self.make(rights, place, document, media_type, marked)
        except NoView as reason:
            log.info("no v1 view of a manifest in %s: %s", place.repository, reason)
            return None

    def make(
        self,
        rights: Rights,
        place: Place,
        document: bytes,
        media_type: str,
        marked: Collection[str] = frozenset(),
    ) -> View:
        """Make the v1 images of a manifest as :meth:`view_of` does, whether or not that is on.

        :raises NoView: v1 cannot show it.
        :raises LayerBusy: other looks into layers take too long.
        :raises RepositoryNotFound: the repository was deleted meanwhile.
        :raises StorageUnavailable: the storage failed, or is full.
        """
        image = self.choice.image_in(document, media_type)
        chain = self.choice.chain_of(place, image, marked)
        layers = self.choice.layers_of(place, image, chain, marked)
        checked = self._checked(chain, layers)
        ancestry: tuple[str, ...] = ()
        missing = list[_Image]()
        for v1_image, facts in zip(chain, checked, strict=True):
            ancestry = (v1_image.image_id, *ancestry)
            payload = facts.payload_with(v1_image.json)
            assert payload is not None
            made = _Image(v1_image, ancestry, facts.given, payload)
            if not self._is_held(rights, place, made):
                missing.append(made)
        for start in range(0, len(missing), _STAGED_AT_ONCE):
            self._complete(rights, place, missing[start : start + _STAGED_AT_ONCE])
        return View(chain[-1].image_id, ancestry)

    def _checked(self, chain: Sequence[V1Document], layers: Sequence[str]) -> list[ViewFacts]:
        """Return the facts of each layer. What was kept is not read again.

        :raises NoView: a layer has a different diff id than the config says, or cannot be read within the
            bounds.
        """
        checked, end = [], self._timer() + self._seconds
        for v1_image, layer in zip(chain, layers, strict=True):
            if self._timer() > end:
                raise NoView(f"its layers take longer than {self._seconds:g} s to read (v1_view_time_s)")
            facts = self._facts.of(layer, v1_image.json)
            if facts.diff_id != v1_image.diff_id:
                raise NoView(
                    f"the layer sha256:{layer} has the diff id {facts.diff_id}, "
                    f"and the config says {v1_image.diff_id}"
                )
            checked.append(facts)
        return checked

    def _complete(self, rights: Rights, place: Place, images: Sequence[_Image]) -> None:
        """Let the repository hold some images, in their order.

        :raises NoView: it holds a different content under an id, or on an open server another one is there.
        """
        folder = push_folder(images[-1].document.image_id, OWNER, secrets.token_hex(16))
        values, links = dict[str, bytes](), dict[str, str]()
        staged = [
            Staged(f"{folder}/view-{number}", image.payload, image.ancestry, is_left=True, is_own=True)
            for number, image in enumerate(images)
        ]
        for image, each in zip(images, staged, strict=True):
            values[f"{each.folder}/{registry_layout.JSON}"] = image.document.json
            values[f"{each.folder}/{registry_layout.ANCESTRY}"] = _dumped(list(image.ancestry))
            values[f"{each.folder}/{registry_layout.CHECKSUM}"] = _dumped([f"sha256:{image.payload}"])
            links[f"{each.folder}/{registry_layout.LAYER}"] = layout.blob_key(image.layer)
        try:
            # the links last: they have the age of the layers, and old folders are removed
            write_and_link(self._storage, values, links)
            for image, each in zip(images, staged, strict=True):
                image_id = image.document.image_id
                if not self._holding.complete(rights, [place.repository], image_id, each):
                    raise NoView(f"the v1 id {image_id} has a different content")
        except KeyNotFound as error:
            raise NoView(f"the layer {error.key} is missing") from None
        finally:
            with cleanup(), suppress(KeyNotFound):
                self._storage.delete_tree(folder)

    def _is_held(self, rights: Rights, place: Place, image: _Image) -> bool:
        """Tell whether the repository holds a whole content that is that of an image."""
        held = rights.content_in(place.repository, image.document.image_id)
        whole = None if held is None else self._contents.whole(held)
        if whole is None or self._contents.document(whole) != image.document.json:
            return False
        try:
            sums = self._contents.payload_sums(whole)
        except errors.ImageNotFound:
            return False
        is_same_layer = f"sha256:{image.payload}" in sums
        return is_same_layer and tuple(self._contents.known_ancestry(whole)) == image.ancestry


def _dumped(texts: list[str]) -> bytes:
    return json.dumps(texts).encode("ascii")
