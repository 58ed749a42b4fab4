"""What is in the layers of complete images, and what they changed: computed once, and kept beside the image.

A layer of a kilobyte may expand to gigabytes, and whoever may read an image may ask for what is in it. So a layer is looked into
by one thread of a process at a time, each look has limits, and that something is beyond them is remembered too: in the process,
because the limits are settings, and what can be read depends on what is installed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from .. import errors
from ..layers.archive import open_archive
from ..layers.compression import ExpansionLimitExceeded, UnreadableLayer
from ..layers.listing import NAMES_LIMIT_BYTES, ROWS_LIMIT, Row, TooManyFiles, diff, is_row_list, rows_of
from ..layers.remembered import Remembered
from ..layers.turns import Busy, Turns
from ..log import get_logger
from ..storage.base import KeyNotFound, Storage, StorageUnavailable
from . import layout

log = get_logger(__name__)

#: The first and the last byte of what is whole; a crash of an old server leaves halves.
_BRACKETS: Final[Mapping[str, bytes]] = {layout.FILES: b"[]", layout.DIFF: b"{}"}

#: What a list counts at least when layers are compared, in bytes: looking for it takes a while however short it is.
_LEAST_LIST_BYTES: Final = 64 * 1024

#: What the remembered refusals may take, in bytes, and one of them, about.
_REFUSALS_BYTES: Final = 8 << 20
_REFUSAL_BYTES: Final = 1024

#: How many threads wait for others who look into the same layers, and how long.
_MOST_WAITING: Final = 4
_WAIT_S: Final = 10.0

_TOO_MANY: Final = "The layer has more files than are listed here"
_TOO_DEEP: Final = "The layers below have more files than are compared here"


@dataclass(frozen=True)
class Limits:
    """How far somebody looks into layers; what is beyond is LayerTooLarge."""

    expanded_bytes: int  #: of one layer
    rows: int = ROWS_LIMIT
    names_bytes: int = NAMES_LIMIT_BYTES
    list_bytes: int | None = None  #: of a list as JSON; of one that is kept no more is read than its size
    compared_bytes: int = 512 << 20  #: of the lists of all layers that are compared for one diff


class Images(Protocol):
    """What is asked about images; :class:`v1registry.registry.images.Images` is one."""

    def check_complete(self, image_id: str) -> None:
        """Return if the image is complete. ImageNotFound, ImageInProgress."""

    def ancestry(self, image_id: str) -> list[str]:
        """Return a complete image's ids from itself to the root. ImageNotFound, ImageInProgress."""


@dataclass
class _Budget:
    """How many bytes layers may still expand to in one request."""

    left_bytes: int


class Listings:
    """What is in the layers of one storage. Safe for threads.

    Where no limits are given, those of this object count. Every method raises ImageNotFound and ImageInProgress, and besides that
    LayerNotSupported, LayerTooLarge, and LayerBusy where others look into the same layer, or there is too much to be looked into
    at once.
    """

    def __init__(self, storage: Storage, images: Images, limits: Limits, *, turns: Turns | None = None):
        self._storage = storage
        self._images = images
        self._limits = limits
        self._turns = turns or Turns(most_waiting=_MOST_WAITING, wait_s=_WAIT_S)
        self._refusals = Remembered[errors.RegistryError](_REFUSALS_BYTES, lambda error: _REFUSAL_BYTES)

    def files(self, image_id: str, limits: Limits | None = None) -> bytes:
        """Return the list of a layer's members as JSON (registry.md 4.8)."""
        return self._files(image_id, limits or self._limits, None)

    def rows(self, image_id: str, limits: Limits | None = None) -> list[Row]:
        """Return what :meth:`files` lists, unless what is kept is no such list."""
        return self._rows(image_id, limits or self._limits, None)[0]

    def diff(self, image_id: str, limits: Limits | None = None) -> bytes:
        """Return what the layer changes against the ancestors as JSON (registry.md 4.9).

        The layers that have to be listed for it may together expand to as much as one of them. What was listed is kept, so where
        that is too little the next request goes on.
        """
        limits = limits or self._limits
        self._images.check_complete(image_id)

        def compute() -> object:
            budget, compared_bytes = _Budget(limits.expanded_bytes), 0

            def lists() -> Iterator[list[Row]]:
                nonlocal compared_bytes
                for member in self._images.ancestry(image_id):
                    rows, size_bytes = self._rows(member, limits, budget)
                    compared_bytes += max(size_bytes, _LEAST_LIST_BYTES)
                    if compared_bytes > limits.compared_bytes:
                        raise errors.LayerTooLarge(_TOO_DEEP, image_id=image_id)
                    yield rows

            found = lists()
            return diff(next(found), found)

        return self._kept(image_id, layout.DIFF, limits, compute)

    def version(self, image_id: str, name: str) -> str:
        """Return what changes with what is kept of an image under ``name``; with the layer where nothing is.

        ImageNotFound, ImageInProgress.
        """
        self._images.check_complete(image_id)
        return self._etag(image_id, name) or self._etag(image_id, layout.LAYER)

    # -- inside

    def _files(self, image_id: str, limits: Limits, budget: _Budget | None) -> bytes:
        self._images.check_complete(image_id)
        return self._kept(image_id, layout.FILES, limits, lambda: self._list(image_id, limits, budget))

    def _rows(self, image_id: str, limits: Limits, budget: _Budget | None) -> tuple[list[Row], int]:
        """Return rows, and how many bytes of JSON they are."""
        data = self._files(image_id, limits, budget)
        kept = layout.parse_stored(data)
        return kept if is_row_list(kept) else self._list(image_id, limits, budget), len(data)

    def _kept(self, image_id: str, name: str, limits: Limits, compute: Callable[[], object]) -> bytes:
        """Return what is kept, if it is whole, or else compute it and keep it."""
        found = self._find(image_id, name, limits)
        if found is not None:
            return found
        try:
            with self._turns.turn((image_id, name)):
                # somebody may have had the turn before
                found = self._find(image_id, name, limits)
                if found is None:
                    found = self._compute(image_id, name, limits, compute)
        except Busy:
            raise errors.LayerBusy(image_id=image_id) from None
        return found

    def _compute(self, image_id: str, name: str, limits: Limits, compute: Callable[[], object]) -> bytes:
        place = image_id, name, limits, self._etag(image_id, layout.LAYER)
        try:
            data = json.dumps(compute()).encode("ascii")
        except (errors.LayerNotSupported, errors.LayerTooLarge) as error:
            self._refusals.keep(place, type(error)(error.public, **error.context))
            raise
        keep(self._storage, layout.image_key(image_id, name), data)
        _check_size(len(data), limits, image_id)
        return data

    def _find(self, image_id: str, name: str, limits: Limits) -> bytes | None:
        """Return what is kept, None where it has to be computed. LayerNotSupported and LayerTooLarge of a look before."""
        with suppress(KeyNotFound), self._storage.open(layout.image_key(image_id, name)) as blob:
            _check_size(blob.stat.size, limits, image_id)
            kept = blob.read()
            if kept[:1] + kept[-1:] == _BRACKETS[name]:
                return kept
        refusal = self._refusals.find((image_id, name, limits, self._etag(image_id, layout.LAYER)))
        if refusal is not None:
            # another object each time: one that is raised remembers where
            raise type(refusal)(refusal.public, **refusal.context)
        return None

    def _list(self, image_id: str, limits: Limits, budget: _Budget | None) -> list[Row]:
        limit_bytes = limits.expanded_bytes
        if budget is not None:
            limit_bytes = min(limit_bytes, max(0, budget.left_bytes))
        try:
            with self._storage.open(layout.image_key(image_id, layout.LAYER)) as blob:
                archive = open_archive(blob, limit_bytes=limit_bytes)
                try:
                    return rows_of(archive, limit_rows=limits.rows, limit_names_bytes=limits.names_bytes)
                finally:
                    if budget is not None:
                        budget.left_bytes -= archive.expanded_bytes
        except KeyNotFound:
            raise errors.ImageNotFound(image_id=image_id) from None
        except TooManyFiles as error:
            raise errors.LayerTooLarge(_TOO_MANY, image_id=image_id) from error
        except ExpansionLimitExceeded as error:
            if limit_bytes < limits.expanded_bytes:
                raise errors.LayerBusy(image_id=image_id) from error
            raise errors.LayerTooLarge(image_id=image_id) from error
        except UnreadableLayer as error:
            raise errors.LayerNotSupported(image_id=image_id) from error

    def _etag(self, image_id: str, name: str) -> str:
        try:
            return self._storage.stat(layout.image_key(image_id, name)).etag
        except KeyNotFound:
            return ""


def keep(storage: Storage, key: str, data: bytes) -> None:
    """Store what can be computed again; a storage that is full or read-only does not spoil the answer."""
    try:
        storage.write(key, data)
    except StorageUnavailable as error:
        log.warning("%s is not kept: %s", key, error.reason)


def _check_size(size_bytes: int, limits: Limits, image_id: str) -> None:
    if limits.list_bytes is not None and size_bytes > limits.list_bytes:
        raise errors.LayerTooLarge(_TOO_MANY, image_id=image_id)
