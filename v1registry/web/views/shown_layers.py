"""Cached file trees and changes of layers. The pages show less than the API returns.

Sorting 200,000 files into folders takes a second and a hundred megabytes. Complete images never change, so
the results are cached in the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from ... import errors
from ...layers.listing import is_row_list
from ...layers.remembered import Remembered
from ...layers.turns import Busy, Turns
from ...registry import layout
from ...registry.images import Images
from ...registry.listings import Limits
from ...rights import Content
from .contents import MOST_MEMBERS, Changes, LayerTree, TooManyMembers

Shown = TypeVar("Shown", LayerTree, Changes)

#: Limits of reading a layer for a page, besides the setting ``max_shown_bytes``.
_NAMES_BYTES: Final = 24 << 20
_LIST_BYTES: Final = 32 << 20
_COMPARED_BYTES: Final = 64 << 20

#: The size of each cache, in bytes. A layer that needs more than half of it is not shown.
MEMORY_BYTES: Final = 64 << 20

_MOST_WAITING: Final = 16
_WAIT_S: Final = 10.0
_REFUSAL_BYTES: Final = 300

_TOO_MANY: Final = "The layer has too many files and folders to display"


class ShownLayers:
    """The file trees and the changes of layers, for pages. Safe for threads.

    :param expanded_limit_bytes: maximum size of an expanded layer that is read for a page. A list of files
        that the API has stored is shown whatever the size of the layer.
    """

    def __init__(self, images: Images, *, expanded_limit_bytes: int):
        self._images = images
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
        self._turns = Turns(most_waiting=_MOST_WAITING, wait_s=_WAIT_S)

    def tree(self, content: Content) -> LayerTree:
        """Return the files of a complete image's layer.

        :raises ImageNotFound: the image does not exist.
        :raises ImageInProgress: the push of the image has not ended.
        :raises LayerNotSupported: the layer is not an archive that can be read.
        :raises LayerTooLarge: the layer is over a limit.
        :raises LayerBusy: too many layers are being read.
        """

        def make(data: bytes) -> LayerTree:
            rows = layout.parse_stored(data)
            return LayerTree(rows if is_row_list(rows) else self._images.rows(content, self._limits))

        def look() -> bytes:
            return self._images.files(content, self._limits)

        return self._shown((content,), layout.FILES, look, make, self._trees)

    def changes(self, chain: Sequence[Content]) -> Changes:
        """Return the changes of a complete image's layer. Raises the same errors as :meth:`tree`.

        :param chain: the contents of the image and of its ancestors, the image first.
        """

        def look() -> bytes:
            return self._images.diff(chain, self._limits)

        return self._shown(tuple(chain), layout.DIFF, look, Changes, self._changes)

    def _shown(
        self,
        chain: tuple[Content, ...],
        name: str,
        look: Callable[[], bytes],
        make: Callable[[bytes], Shown],
        memory: Remembered[Shown | str],
    ) -> Shown:
        image_id = chain[0].image_id
        shown = memory.find((chain, self._images.listing_version(chain[0], name)))
        if shown is None:
            # reading a layer has its own queue, so that it does not block visitors of other layers
            data = look()
            try:
                with self._turns.turn(name):
                    shown = self._made(chain, name, data, make, memory)
            except Busy:
                raise errors.LayerBusy(image_id=image_id) from None
        if isinstance(shown, str):
            raise errors.LayerTooLarge(shown, image_id=image_id)
        return shown

    def _made(
        self,
        chain: tuple[Content, ...],
        name: str,
        data: bytes,
        make: Callable[[bytes], Shown],
        memory: Remembered[Shown | str],
    ) -> Shown | str:
        # reading has stored the list, which changed its version; another thread may have cached it before
        place = chain, self._images.listing_version(chain[0], name)
        shown = memory.find(place)
        if shown is None:
            try:
                shown = make(data)
            except (TooManyMembers, RecursionError):  # lists of old servers may be nested deeply
                shown = _TOO_MANY
            if not isinstance(shown, str) and shown.size_bytes > MEMORY_BYTES // 2:
                shown = _TOO_MANY
            memory.keep(place, shown)
        return shown


def _size_of(shown: LayerTree | Changes | str) -> int:
    return _REFUSAL_BYTES if isinstance(shown, str) else shown.size_bytes
