"""What pages show of the files in layers: less than the API tells, and made ready once.

To sort a list of 200,000 files into folders takes a second and a hundred megabytes. Complete images never change, so what was made
of a list stays good; the recent ones are remembered in the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from ... import errors
from ...layers.listing import is_row_list
from ...layers.remembered import Remembered
from ...layers.turns import Busy, Turns
from ...registry import layout
from ...registry.images import Images
from ...registry.listings import Limits
from .contents import MOST_MEMBERS, Changes, Folders, TooManyMembers

Shown = TypeVar("Shown", Folders, Changes)

#: How far pages look into a layer besides the bytes to which it expands (the setting ``max_shown_bytes``).
_NAMES_BYTES: Final = 24 << 20
_LIST_BYTES: Final = 32 << 20
_COMPARED_BYTES: Final = 64 << 20

#: What is remembered, in bytes; what takes more than a half of it alone is not shown.
MEMORY_BYTES: Final = 64 << 20

_MOST_WAITING: Final = 16
_WAIT_S: Final = 10.0
_REFUSAL_BYTES: Final = 300

_TOO_MANY: Final = "The layer has more files and folders than these pages show"


class ShownLayers:
    """The folders and the changes of layers, for pages. Safe for threads.

    Every method raises ImageNotFound, ImageInProgress, LayerNotSupported, LayerTooLarge and LayerBusy.

    :param expanded_limit_bytes: how many bytes a layer may expand to when it is looked into. What the API listed is shown anyway.
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
        # a text stands for what is not shown, and says why
        self._folders = Remembered[Folders | str](MEMORY_BYTES, _size_of)
        self._changes = Remembered[Changes | str](MEMORY_BYTES, _size_of)
        self._turns = Turns(most_waiting=_MOST_WAITING, wait_s=_WAIT_S)

    def folders(self, image_id: str) -> Folders:
        """Return the folders of a complete image's layer."""

        def make(data: bytes) -> Folders:
            rows = layout.parse_stored(data)
            return Folders(rows if is_row_list(rows) else self._images.rows(image_id, self._limits))

        return self._shown(image_id, layout.FILES, self._images.files, make, self._folders)

    def changes(self, image_id: str) -> Changes:
        """Return what a complete image's layer changed."""
        return self._shown(image_id, layout.DIFF, self._images.diff, Changes, self._changes)

    def _shown(
        self,
        image_id: str,
        name: str,
        look: Callable[[str, Limits], bytes],
        make: Callable[[bytes], Shown],
        memory: Remembered[Shown | str],
    ) -> Shown:
        shown = memory.find((image_id, self._images.listing_version(image_id, name)))
        if shown is None:
            # a long look has its own turns, and does not keep up those who look at other layers
            data = look(image_id, self._limits)
            try:
                with self._turns.turn(name):
                    shown = self._made(image_id, name, data, make, memory)
            except Busy:
                raise errors.LayerBusy(image_id=image_id) from None
        if isinstance(shown, str):
            raise errors.LayerTooLarge(shown, image_id=image_id)
        return shown

    def _made(
        self,
        image_id: str,
        name: str,
        data: bytes,
        make: Callable[[bytes], Shown],
        memory: Remembered[Shown | str],
    ) -> Shown | str:
        # now the list is kept, so it has another version; and somebody may have had the turn before
        place = image_id, self._images.listing_version(image_id, name)
        shown = memory.find(place)
        if shown is None:
            try:
                shown = make(data)
            except (TooManyMembers, RecursionError):  # what old servers kept may be nested in any way
                shown = _TOO_MANY
            if not isinstance(shown, str) and shown.size_bytes > MEMORY_BYTES // 2:
                shown = _TOO_MANY
            memory.keep(place, shown)
        return shown


def _size_of(shown: Folders | Changes | str) -> int:
    return _REFUSAL_BYTES if isinstance(shown, str) else shown.size_bytes
