"""Whole contents of images that were read lately, each valid while its folder does not change.

A complete content never changes. What may happen to its folder is that a damaged content is restored, that an
old server begins a push again, or that the image is removed. All of these write, add or delete a key in the
folder: docker-registry 0.9.1 rewrites an image only after it has added ``_inprogress``. So one look at the
version of the folder tells that nothing did. What another program does to a file in place is seen after some
seconds, when everything is read again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..clock import Clock
from ..layers.remembered import Remembered
from ..rights import Content, Facts, Parts
from ..storage.base import Storage
from . import layout

#: How long a content is used before it is read again, in seconds.
READ_EVERY_S: Final = 2.0

#: What the contents of one process may take, in bytes, and what one takes without JSON and ancestry, about.
KEPT_BYTES: Final = 16 << 20
_CONTENT_BYTES: Final = 2000

#: What an id in an ancestry takes, in bytes.
_ID_BYTES: Final = 128


@dataclass(frozen=True)
class Look:
    """A look at a content, which begins with the version of its folder."""

    folder: str
    version: str | None
    began_s: float
    parts: Parts | None  #: None if the content is not remembered

    @property
    def is_empty(self) -> bool:
        """Whether nothing is stored in the folder."""
        return self.version == ""


class KnownContents:
    """The contents of one storage that were read lately. Safe for threads and processes."""

    def __init__(self, storage: Storage, *, clock: Clock):
        self._storage = storage
        self._clock = clock
        self._looks = Remembered[Look](KEPT_BYTES, _size_of)

    def look(self, content: Content) -> Look:
        """Return what is remembered of a content, after a look at its folder."""
        folder = layout.content_folder(content)
        version, now_s = self._storage.folder_version(folder), self._clock.monotonic_s()
        known = self._looks.find(folder)
        if known is not None and known.version == version and now_s - known.began_s < READ_EVERY_S:
            return known
        return Look(folder, version, now_s, None)

    def keep(self, look: Look, parts: Parts) -> Parts:
        """Return parts that were read after a look. They are remembered if their folder is quiet."""
        if not look.version:
            return parts
        kept = Parts(parts.document, parts.etag, parts.layer, Facts())
        self._looks.keep(look.folder, Look(look.folder, look.version, look.began_s, kept))
        return kept

    def keep_ancestry(self, content: Content, ancestry: list[str]) -> None:
        """Remember the ancestry of a content that is remembered."""
        parts = content.parts
        if parts is None or parts.facts is None:
            return
        parts.facts.ancestry = tuple(ancestry)
        known = self._looks.find(layout.content_folder(content))
        if known is not None and known.parts is parts:
            # it takes more memory now
            self._looks.keep(known.folder, known)

    def forget(self, content: Content) -> None:
        """Read a content again when it is asked for next."""
        folder = layout.content_folder(content)
        self._looks.keep(folder, Look(folder, None, 0.0, None))


def _size_of(look: Look) -> int:
    if look.parts is None:
        return _CONTENT_BYTES
    facts = look.parts.facts
    ancestry = facts.ancestry if facts is not None else None
    return _CONTENT_BYTES + len(look.parts.document) + _ID_BYTES * len(ancestry or ())
