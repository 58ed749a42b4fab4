"""Cached file trees and changes of layers. The pages show less than the API returns.

Sorting 200,000 files into folders takes a second and a hundred megabytes, so it takes the turn of a look.
Complete images never change, so the results are cached in the process.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import closing
from typing import Final, TypeVar

from ... import errors
from ...layers.remembered import Remembered
from ...registry import layout
from ...registry.images import Images
from ...registry.listings import Limits, Row
from ...registry.looks import Looks
from ...rights import Content
from ...storage.base import CHUNK_BYTES
from .contents import MOST_MEMBERS, Changes, LayerTree, TooManyMembers

Shown = TypeVar("Shown", LayerTree, Changes)

#: Limits of reading a layer for a page, besides the setting ``max_shown_bytes``.
_NAMES_BYTES: Final = 24 << 20
_LIST_BYTES: Final = 32 << 20
_COMPARED_BYTES: Final = 64 << 20

#: The size of each cache, in bytes. A layer that needs more than half of it is not shown.
MEMORY_BYTES: Final = 64 << 20

_REFUSAL_BYTES: Final = 300

_TOO_MANY: Final = "The layer has too many files and folders to display"


class ShownLayers:
    """The file trees and the changes of layers, for pages. Safe for threads.

    :param looks: the turn for looks into layers.
    :param expanded_limit_bytes: maximum size of an expanded layer that is read for a page. A list of files
        that the API has stored is shown whatever the size of the layer.
    """

    def __init__(self, images: Images, looks: Looks, *, expanded_limit_bytes: int):
        self._images = images
        self._looks = looks
        self._limits = Limits(
            expanded_limit_bytes,
            MOST_MEMBERS,
            _NAMES_BYTES,
            list_bytes=_LIST_BYTES,
            compared_bytes=_COMPARED_BYTES,
        )
        # a str in place of a value says why the layer is not shown
        self._trees = Remembered[LayerTree | str](MEMORY_BYTES, _size_of)
        self._changes = Remembered[Changes | str](MEMORY_BYTES, _size_of)

    def tree(self, content: Content) -> LayerTree:
        """Return the files of a complete image's layer.

        :raises ImageNotFound: the image does not exist.
        :raises ImageInProgress: the push of the image has not ended.
        :raises LayerNotSupported: the layer is not an archive that can be read.
        :raises LayerTooLarge: the layer is over a limit.
        :raises LayerBusy: too many layers are being read.
        """

        def place() -> Hashable:
            name = layout.FILES
            return layout.content_key(content, name), self._images.listing_version(content, name)

        def make(rows: Iterator[Row]) -> LayerTree | str:
            return self._made(place(), self._trees, lambda: LayerTree(rows))

        shown = self._trees.find(place())
        if shown is None:
            shown = self._images.inspect(content, make, self._limits)
        return _unless_refused(shown, content)

    def changes(self, chain: Sequence[Content]) -> Changes:
        """Return the changes of a complete image's layer. Raises the same errors as :meth:`tree`.

        :param chain: the contents of the image and of its ancestors, the image first.
        """
        content, name = chain[0], layout.diff_name(chain)

        def place() -> Hashable:
            return layout.content_key(content, name), self._images.listing_version(content, name)

        shown = self._changes.find(place())
        if shown is None:
            document = self._images.diff(chain, self._limits)

            def make() -> Changes:
                with closing(document.open()) as stream:
                    return Changes(b"".join(iter(lambda: stream.read(CHUNK_BYTES), b"")))

            with self._looks.look(content.image_id):
                shown = self._made(place(), self._changes, make)
        return _unless_refused(shown, content)

    def _made(
        self, place: Hashable, memory: Remembered[Shown | str], make: Callable[[], Shown]
    ) -> Shown | str:
        """Return what is cached, or make and cache it. The caller has the turn."""
        # another thread may have cached it before
        shown = memory.find(place)
        if shown is None:
            try:
                shown = make()
            except (TooManyMembers, RecursionError):  # lists of old servers may be nested deeply
                shown = _TOO_MANY
            if not isinstance(shown, str) and shown.size_bytes > MEMORY_BYTES // 2:
                shown = _TOO_MANY
            memory.keep(place, shown)
        return shown


def _unless_refused(shown: Shown | str, content: Content) -> Shown:
    """Return what is shown.

    :raises LayerTooLarge: it is the reason why nothing is shown.
    """
    if isinstance(shown, str):
        raise errors.LayerTooLarge(shown, image_id=content.image_id)
    return shown


def _size_of(shown: LayerTree | Changes | str) -> int:
    return _REFUSAL_BYTES if isinstance(shown, str) else shown.size_bytes
