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

from .. import errors
from ..archives.convert import V1Document
from ..log import get_logger
from ..registry import layout as registry_layout
from ..registry.contents import Contents, Staged
from ..registry.expiry import push_folder
from ..registry.holding import Holding
from ..rights import Content, Rights
from ..storage.base import KeyNotFound, Storage
from ..storage.patience import cleanup
from . import layout
from .places import Place
from .view_choice import ViewChoice
from .view_facts import OWNER, FactsOfLayers, NoView, ViewFacts

log = get_logger(__name__)


@dataclass(frozen=True)
class View:
    """The v1 image of a manifest."""

    image_id: str
    ancestry: tuple[str, ...]  #: the ids from the image itself to its root


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
        for v1_image, facts in zip(chain, checked, strict=True):
            ancestry = (v1_image.image_id, *ancestry)
            self._complete(rights, place, v1_image, ancestry, facts)
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

    def _complete(
        self,
        rights: Rights,
        place: Place,
        v1_image: V1Document,
        ancestry: tuple[str, ...],
        facts: ViewFacts,
    ) -> None:
        """Let the repository hold one image.

        :raises NoView: it holds a different content under the id, or on an open server another one is there.
        """
        payload = facts.payload_with(v1_image.json)
        assert payload is not None
        held = rights.content_in(place.repository, v1_image.image_id)
        if held is not None and self._is_equal(held, v1_image, ancestry, payload):
            return
        folder = push_folder(v1_image.image_id, OWNER, secrets.token_hex(16))
        staged = f"{folder}/view"
        try:
            # the link last: it has the age of the layer, and old folders are removed
            self._storage.write_many(
                {
                    f"{staged}/{registry_layout.JSON}": v1_image.json,
                    f"{staged}/{registry_layout.ANCESTRY}": json.dumps(list(ancestry)).encode("ascii"),
                    f"{staged}/{registry_layout.CHECKSUM}": json.dumps([f"sha256:{payload}"]).encode("ascii"),
                }
            )
            self._storage.link(layout.blob_key(facts.given), f"{staged}/{registry_layout.LAYER}")
            is_held = self._holding.complete(
                rights,
                [place.repository],
                v1_image.image_id,
                Staged(staged, payload, ancestry, is_left=True, is_own=True),
            )
        except KeyNotFound:
            raise NoView(f"the layer sha256:{facts.given} is missing") from None
        finally:
            with cleanup(), suppress(KeyNotFound):
                self._storage.delete_tree(folder)
        if not is_held:
            raise NoView(f"the v1 id {v1_image.image_id} has a different content")

    def _is_equal(self, held: Content, v1_image: V1Document, ancestry: tuple[str, ...], payload: str) -> bool:
        """Tell whether a content that the repository holds is whole, and is that of a v1 image."""
        whole = self._contents.whole(held)
        if whole is None or self._contents.document(whole) != v1_image.json:
            return False
        try:
            sums = self._contents.payload_sums(whole)
        except errors.ImageNotFound:
            return False
        return f"sha256:{payload}" in sums and tuple(self._contents.known_ancestry(whole)) == ancestry
