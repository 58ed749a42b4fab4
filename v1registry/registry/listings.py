"""What is in the layers of complete images, and what they changed: computed once, and kept beside the image.

A layer of a kilobyte may expand to gigabytes, and every reader of an image may ask for what is in it. So one
thread of a process at a time looks into a layer, and each look has limits. A layer beyond them is remembered
too, in the process alone: the limits are settings, and what can be read depends on what is installed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from .. import errors
from ..layers.archive import open_archive
from ..layers.compression import ExpansionLimitExceeded, UnreadableLayer
from ..layers.listing import NAMES_LIMIT_BYTES, ROWS_LIMIT, Row, TooManyFiles, diff, is_row_list, rows_of
from ..layers.remembered import Remembered
from ..layers.turns import Busy, Turns
from ..log import get_logger
from ..rights import Content
from ..storage.base import KeyNotFound, Storage, StorageUnavailable
from . import layout

log = get_logger(__name__)

#: The first and the last byte of a whole value; a crash of an old server leaves a part of one.
_BRACKETS: Final[Mapping[str, bytes]] = {layout.FILES: b"[]", layout.DIFF: b"{}"}

#: What a list counts at least when layers are compared, in bytes: looking for it takes a while however short
#: it is.
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
    """How far a layer is looked into. Beyond these limits LayerTooLarge is raised."""

    expanded_bytes: int  #: of one layer
    rows: int = ROWS_LIMIT
    names_bytes: int = NAMES_LIMIT_BYTES
    list_bytes: int | None = None  #: of a list as JSON; a longer one that is kept is not read
    compared_bytes: int = 512 << 20  #: of the lists of all layers that are compared for one diff


@dataclass
class _Budget:
    """How many bytes layers may still expand to in one request."""

    left_bytes: int


class Listings:
    """What is in the layers of one storage. Safe for threads.

    If no limits are given, those of this object count. Every method raises LayerNotSupported, LayerTooLarge,
    and LayerBusy if other requests look into the same layer, or if one request would have to look into too
    much.
    """

    def __init__(self, storage: Storage, limits: Limits, *, turns: Turns | None = None):
        self._storage = storage
        self._limits = limits
        self._turns = turns or Turns(most_waiting=_MOST_WAITING, wait_s=_WAIT_S)
        self._refusals = Remembered[errors.RegistryError](_REFUSALS_BYTES, lambda error: _REFUSAL_BYTES)

    def files(self, content: Content, limits: Limits | None = None) -> bytes:
        """Return the list of a layer's members as JSON (registry.md 4.8)."""
        return self._files(content, limits or self._limits, None)

    def rows(self, content: Content, limits: Limits | None = None) -> list[Row]:
        """Return what :meth:`files` lists, also if what is kept is not such a list."""
        return self._rows(content, limits or self._limits, None)[0]

    def diff(self, chain: Sequence[Content], limits: Limits | None = None) -> bytes:
        """Return what the layer changes against the ancestors as JSON (registry.md 4.9).

        The layers that have to be listed for it may together expand to as much as one of them. Their lists
        are kept, so that the next request can continue.

        :param chain: the contents of the image and of its ancestors, the image first.
        """
        limits = limits or self._limits
        content = chain[0]

        def compute() -> object:
            budget, compared_bytes = _Budget(limits.expanded_bytes), 0

            def lists() -> Iterator[list[Row]]:
                nonlocal compared_bytes
                for member in chain:
                    rows, size_bytes = self._rows(member, limits, budget)
                    compared_bytes += max(size_bytes, _LEAST_LIST_BYTES)
                    if compared_bytes > limits.compared_bytes:
                        raise errors.LayerTooLarge(_TOO_DEEP, image_id=content.image_id)
                    yield rows

            found = lists()
            return diff(next(found), found)

        if any(member.variant for member in chain):
            # the key of docker-registry is for the first contents alone (storage-layout.md 1)
            return self._computed(content, limits, compute)
        return self._kept(content, layout.DIFF, limits, compute)

    def version(self, content: Content, name: str) -> str:
        """Return a text that changes with what is kept under ``name``, or with the layer if nothing is
        kept.
        """
        return self._etag(content, name) or self._etag(content, layout.LAYER)

    # -- inside

    def _files(self, content: Content, limits: Limits, budget: _Budget | None) -> bytes:
        return self._kept(content, layout.FILES, limits, lambda: self._list(content, limits, budget))

    def _rows(self, content: Content, limits: Limits, budget: _Budget | None) -> tuple[list[Row], int]:
        """Return rows, and how many bytes of JSON they are."""
        data = self._files(content, limits, budget)
        kept = layout.parse_stored(data)
        return kept if is_row_list(kept) else self._list(content, limits, budget), len(data)

    def _kept(self, content: Content, name: str, limits: Limits, compute: Callable[[], object]) -> bytes:
        """Return what is kept, if it is whole; else compute it and keep it."""
        found = self._find(content, name, limits)
        if found is not None:
            return found
        try:
            with self._turns.turn((content, name)):
                # another thread may have had the turn before
                found = self._find(content, name, limits)
                if found is None:
                    found = self._compute(content, name, limits, compute)
        except Busy:
            raise errors.LayerBusy(image_id=content.image_id) from None
        return found

    def _computed(self, content: Content, limits: Limits, compute: Callable[[], object]) -> bytes:
        """Compute what is not kept."""
        try:
            with self._turns.turn((content, layout.DIFF)):
                data = json.dumps(compute()).encode("ascii")
        except Busy:
            raise errors.LayerBusy(image_id=content.image_id) from None
        _check_size(len(data), limits, content)
        return data

    def _compute(self, content: Content, name: str, limits: Limits, compute: Callable[[], object]) -> bytes:
        place = content, name, limits, self._etag(content, layout.LAYER)
        try:
            data = json.dumps(compute()).encode("ascii")
        except (errors.LayerNotSupported, errors.LayerTooLarge) as error:
            self._refusals.keep(place, type(error)(error.public, **error.context))
            raise
        keep(self._storage, layout.content_key(content, name), data)
        _check_size(len(data), limits, content)
        return data

    def _find(self, content: Content, name: str, limits: Limits) -> bytes | None:
        """Return what is kept, None if it has to be computed.

        :raises LayerNotSupported: a look before found that.
        :raises LayerTooLarge: a look before found that.
        """
        with suppress(KeyNotFound), self._storage.open(layout.content_key(content, name)) as blob:
            _check_size(blob.stat.size, limits, content)
            kept = blob.read()
            if kept[:1] + kept[-1:] == _BRACKETS[name]:
                return kept
        refusal = self._refusals.find((content, name, limits, self._etag(content, layout.LAYER)))
        if refusal is not None:
            # a new object each time, because an exception that is raised keeps its traceback
            raise type(refusal)(refusal.public, **refusal.context)
        return None

    def _list(self, content: Content, limits: Limits, budget: _Budget | None) -> list[Row]:
        limit_bytes, image_id = limits.expanded_bytes, content.image_id
        if budget is not None:
            limit_bytes = min(limit_bytes, max(0, budget.left_bytes))
        try:
            with self._storage.open(layout.content_key(content, layout.LAYER)) as blob:
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

    def _etag(self, content: Content, name: str) -> str:
        try:
            return self._storage.stat(layout.content_key(content, name)).etag
        except KeyNotFound:
            return ""


def keep(storage: Storage, key: str, data: bytes) -> None:
    """Store what can be computed again. If the storage is full or read-only, only a warning is logged."""
    try:
        storage.write(key, data)
    except StorageUnavailable as error:
        log.warning("%s is not kept: %s", key, error.reason)


def _check_size(size_bytes: int, limits: Limits, content: Content) -> None:
    if limits.list_bytes is not None and size_bytes > limits.list_bytes:
        raise errors.LayerTooLarge(_TOO_MANY, image_id=content.image_id)
