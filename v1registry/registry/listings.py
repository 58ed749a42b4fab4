"""What is in the layers of complete images, and what they changed: computed once, and kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, TypeVar

from .. import errors
from ..layers.archive import ArchiveReader, open_archive
from ..layers.changes import Comparison
from ..layers.compression import ExpansionLimitExceeded, LookTooLong, UnreadableLayer
from ..layers.listing import NAMES_LIMIT_BYTES, ROWS_LIMIT, TooManyFiles, rows_of
from ..layers.row_lists import MalformedRows, dump_rows, read_rows
from ..rights import Content
from ..storage.base import KeyNotFound, Storage
from . import layout
from .kept_lists import TOO_MANY, Document, KeptLists, Spool, check_size, new_spool
from .looks import TOO_LONG, Looks

T = TypeVar("T")

#: A row of a list that is kept (registry.md 4.8).
Row: TypeAlias = list[Any]

#: Gives the rows of a list from the first on.
Rows: TypeAlias = Callable[[], Iterator[Row]]

#: What a list counts at least when layers are compared, in bytes: looking for it takes a while however short
#: it is.
_LEAST_LIST_BYTES: Final = 64 * 1024

#: Stands for the rows of a kept list that is malformed, so that the layer is listed again for each use.
_ROWS: Final = "rows"

_TOO_DEEP: Final = "The layers below have more files than are compared here"


@dataclass(frozen=True)
class Limits:
    """How far a layer is looked into for one purpose, besides the bounds of all looks.

    Beyond these limits LayerTooLarge is raised.
    """

    expanded_bytes: int | None = None  #: of one layer; None if the bounds alone count
    rows: int = ROWS_LIMIT
    names_bytes: int = NAMES_LIMIT_BYTES
    list_bytes: int | None = None  #: of a list as JSON; a longer one that is kept is not read
    compared_bytes: int = 512 << 20  #: of the lists of all layers that are compared for one diff


#: What counts if the caller gives no limits.
BOUNDS_ALONE: Final = Limits()


@dataclass
class _Look:
    """The look for one request, which has the turn."""

    limits: Limits
    check: Callable[[], None]  #: ends the look if its time is over
    left_bytes: int | None = None  #: to how many bytes several layers may still expand; None for one layer
    has_listed: bool = False  #: whether something was kept, so that the next request can continue


class Listings:
    """What is in the layers of one storage. Safe for threads.

    Every method raises LayerNotSupported, LayerTooLarge, and LayerBusy if other requests look into layers, or
    if one request would have to look into too much.
    """

    def __init__(self, storage: Storage, looks: Looks):
        self._storage = storage
        self._looks = looks
        self._kept = KeptLists(storage)

    def files(self, content: Content, limits: Limits = BOUNDS_ALONE) -> Document:
        """Return the list of a layer's members as JSON (registry.md 4.8)."""
        found = self._find(content, layout.FILES, limits)
        if found is None:
            with self._look(content, limits) as look:
                found = self._files(content, look)
        return found

    def inspect(
        self, content: Content, use: Callable[[Iterator[Row]], T], limits: Limits = BOUNDS_ALONE
    ) -> T:
        """Return what ``use`` makes of the rows of :meth:`files`. No other look runs meanwhile.

        :param use: called again with other rows if what is kept turns out not to be a list of rows.
        """
        with self._look(content, limits) as look:
            document = self._files(content, look)
            self._looks.failures.check(self._place(content, _ROWS, limits))
            with self._remembering(content, _ROWS, look):
                return self._with_rows(content, document, look, lambda rows: use(rows()))

    def diff(self, chain: Sequence[Content], limits: Limits = BOUNDS_ALONE) -> Document:
        """Return what the layer changes against the ancestors as JSON (registry.md 4.9).

        The layers that have to be listed for it may together expand to as much as one of them. Their lists
        are kept, so that the next request can continue.

        :param chain: the contents of the image and of its ancestors, the image first.
        """
        content, name = chain[0], layout.diff_name(chain)
        found = self._find(content, name, limits)
        if found is not None:
            return found
        with self._look(content, limits) as look:
            # another thread may have had the turn before
            found = self._find(content, name, limits)
            if found is None:
                shared = replace(look, left_bytes=self._most_bytes(limits))
                with self._remembering(content, name, shared), new_spool() as spool:
                    self._compare(chain, shared, spool)
                    found = self._kept.keep(content, name, spool)
                check_size(found.size, limits.list_bytes, content)
        return found

    def version(self, content: Content, name: str) -> str:
        """Return a text that changes with what is kept under ``name``; with the layer if nothing is kept."""
        return self._kept.etag(content, name) or self._kept.etag(content, layout.LAYER)

    # -- lists

    def _find(self, content: Content, name: str, limits: Limits) -> Document | None:
        """Return what is kept, None if it has to be computed.

        :raises LayerNotSupported: a look before found that.
        :raises LayerTooLarge: a look before found that, or the document is too long.
        """
        found = self._kept.find(content, name, limits.list_bytes)
        if found is None:
            self._looks.failures.check(self._place(content, name, limits))
        return found

    def _files(self, content: Content, look: _Look) -> Document:
        """Return the list of a layer's members. The caller has the turn."""
        found = self._find(content, layout.FILES, look.limits)
        if found is None:
            with (
                self._remembering(content, layout.FILES, look),
                self._listed(content, look) as (spool, opaque),
            ):
                self._keep_opaque(content, opaque)
                found = self._kept.keep(content, layout.FILES, spool)
            look.has_listed = True
            check_size(found.size, look.limits.list_bytes, content)
        return found

    @contextmanager
    def _listed(self, content: Content, look: _Look) -> Iterator[tuple[Spool, set[str]]]:
        """List the members of a layer; give the list as JSON, and the names of opaque folders."""
        opaque: set[str] = set()
        limits = look.limits
        with new_spool() as spool:
            with self._archive(content, look) as archive:
                rows = rows_of(
                    archive, limit_rows=limits.rows, limit_names_bytes=limits.names_bytes, opaque=opaque
                )
                for piece in dump_rows(rows):
                    spool.write(piece)
            yield spool, opaque

    def _with_rows(self, content: Content, document: Document, look: _Look, use: Callable[[Rows], T]) -> T:
        """Return what ``use`` makes of the rows of a list.

        :param document: the list as it is kept. If it is malformed, the layer is listed again for ``use``.
        """
        with ExitStack() as streams:

            def kept() -> Iterator[Row]:
                return read_rows(streams.enter_context(closing(document.open())))

            with suppress(MalformedRows):
                return use(kept)
        with self._listed(content, look) as (spool, _):

            def listed() -> Iterator[Row]:
                spool.seek(0)
                return read_rows(spool)

            return use(listed)

    def _opaque(self, content: Content, look: _Look) -> list[str]:
        """Return the names of the opaque folders of a layer, whose list of members is kept already."""
        found = self._kept.find(content, layout.OPAQUE)
        if found is None:
            # an old server made the list
            opaque: set[str] = set()
            with self._remembering(content, layout.OPAQUE, look):
                with self._archive(content, look) as archive:
                    for _ in rows_of(archive, opaque=opaque):
                        pass
                found = self._keep_opaque(content, opaque)
            look.has_listed = True
        with closing(found.open()) as stream:
            names = layout.parse_stored(stream.read(found.size))
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []

    def _keep_opaque(self, content: Content, opaque: set[str]) -> Document:
        with new_spool() as spool:
            spool.write(json.dumps(sorted(opaque)).encode("ascii"))
            return self._kept.keep(content, layout.OPAQUE, spool)

    # -- comparing

    def _compare(self, chain: Sequence[Content], look: _Look, target: Spool) -> None:
        """Write the diff of a chain."""
        content = chain[0]
        own, opaque = self._files(content, look), self._opaque(content, look)
        comparison = self._with_rows(content, own, look, lambda rows: Comparison(rows(), opaque, look.check))
        compared_bytes = max(own.size, _LEAST_LIST_BYTES)
        for ancestor in chain[1:]:
            if comparison.is_decided:
                break
            document = self._files(ancestor, look)
            compared_bytes += max(document.size, _LEAST_LIST_BYTES)
            if compared_bytes > look.limits.compared_bytes:
                raise errors.LayerTooLarge(_TOO_DEEP, image_id=content.image_id)
            self._compare_one(comparison, ancestor, document, look)

        def dump(rows: Rows) -> None:
            target.seek(0)
            target.truncate()
            for piece in comparison.dump(rows):
                target.write(piece)

        self._with_rows(content, own, look, dump)

    def _compare_one(
        self, comparison: Comparison, ancestor: Content, document: Document, look: _Look
    ) -> None:
        opaque = self._opaque(ancestor, look)
        try:
            self._with_rows(ancestor, document, look, lambda rows: comparison.compare(rows(), opaque))
        except LookTooLong:
            raise
        except ExpansionLimitExceeded as error:
            raise errors.LayerTooLarge(_TOO_DEEP, image_id=ancestor.image_id) from error

    # -- looking

    @contextmanager
    def _look(self, content: Content, limits: Limits) -> Iterator[_Look]:
        with self._looks.look(content.image_id) as check:
            yield _Look(limits, check)

    @contextmanager
    def _archive(self, content: Content, look: _Look) -> Iterator[ArchiveReader]:
        """Open the layer of a content.

        :raises ImageNotFound: a mirror has not fetched the layer.
        :raises LayerTooLarge: the layer is beyond a limit.
        :raises LayerBusy: the layers of one request are together beyond a limit.
        :raises LayerNotSupported: the layer is not an archive.
        """
        image_id, bounds, left_bytes = content.image_id, self._looks.bounds, look.left_bytes
        most_bytes = limit_bytes = 0
        try:
            with self._storage.open(layout.content_key(content, layout.LAYER)) as blob:
                most_bytes = min(bounds.expansion(blob.stat.size), self._most_bytes(look.limits))
                limit_bytes = most_bytes if left_bytes is None else min(most_bytes, max(0, left_bytes))
                archive = open_archive(
                    blob, limit_bytes=limit_bytes, limit_records=bounds.records, check=look.check
                )
                try:
                    yield archive
                finally:
                    if left_bytes is not None:
                        look.left_bytes = left_bytes - archive.expanded_bytes
        except KeyNotFound:
            raise errors.ImageNotFound(image_id=image_id) from None
        except TooManyFiles as error:
            raise errors.LayerTooLarge(TOO_MANY, image_id=image_id) from error
        except LookTooLong:
            raise
        except ExpansionLimitExceeded as error:
            if limit_bytes < most_bytes:
                raise errors.LayerBusy(image_id=image_id) from error
            raise errors.LayerTooLarge(image_id=image_id) from error
        except UnreadableLayer as error:
            raise errors.LayerNotSupported(image_id=image_id) from error

    def _most_bytes(self, limits: Limits) -> int:
        most_bytes = self._looks.bounds.expanded_bytes
        return most_bytes if limits.expanded_bytes is None else min(most_bytes, limits.expanded_bytes)

    @contextmanager
    def _remembering(self, content: Content, name: str, look: _Look) -> Iterator[None]:
        """Remember that what is done here fails.

        :raises LayerTooLarge: it failed, or its time is over.
        :raises LayerBusy: its time is over, and the next request can continue.
        """
        place = self._place(content, name, look.limits)
        try:
            try:
                yield
            except LookTooLong as error:
                if look.has_listed:
                    raise errors.LayerBusy(image_id=content.image_id) from error
                raise errors.LayerTooLarge(TOO_LONG, image_id=content.image_id) from error
        except (errors.LayerNotSupported, errors.LayerTooLarge) as error:
            self._looks.failures.keep(place, error)
            raise

    def _place(self, content: Content, name: str, limits: Limits) -> tuple[object, ...]:
        # not the content itself, which may have a JSON with it
        return layout.content_folder(content), name, limits, self._kept.etag(content, layout.LAYER)
