"""The contents of an image and its ancestors, as one repository holds them.

A chain may have hundreds of images, and old data has longer ones. So what a repository holds is looked up
once, and remembered for a short time. It does not change while the repository has the same incarnation,
except if damaged images are repaired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable
from contextlib import suppress
from dataclasses import replace
from threading import Lock
from typing import Final

from cachetools import TTLCache

from .. import errors
from ..clock import SYSTEM_CLOCK, Clock
from ..names import RepositoryName
from ..rights import Content, ImageState, Rights
from .contents import Contents

#: How many contents are remembered for all chains together, each some 300 bytes; and how long, in seconds.
_CAPACITY: Final = 30_000
_KEPT_S: Final = 60


class Chains:
    """The chains of one storage. Safe for threads."""

    def __init__(self, contents: Contents, *, clock: Clock = SYSTEM_CLOCK):
        self._contents = contents
        self._known: TTLCache[Hashable, tuple[Content, ...]] = TTLCache(
            _CAPACITY, _KEPT_S, timer=clock.monotonic_s, getsizeof=len
        )
        self._lock = Lock()  # cachetools is not safe for threads

    def contents(self, rights: Rights, state: ImageState) -> tuple[Content, ...]:
        """Return the contents of a readable image and its ancestors, the image first.

        :raises ImageNotFound: the image is not readable, or an ancestor is not held.
        """
        content, repository = state.content, state.repository
        if content is None:
            raise errors.ImageNotFound
        ancestry = self._contents.ancestry(content)
        incarnation = rights.incarnation_of(repository)
        # without a repository, the rights of the caller decide what an id names
        if not (incarnation or rights.is_open):
            return self._look_up(rights, repository, ancestry)
        ids = hashlib.sha256("".join(ancestry).encode("ascii")).digest()
        key = (repository, incarnation, replace(content, parts=None), ids)
        with self._lock:
            known = self._known.get(key)
        if known is not None:
            return known
        chain = self._look_up(rights, repository, ancestry)
        # a chain beyond the capacity is not remembered
        with self._lock, suppress(ValueError):
            self._known[key] = chain
        return chain

    @staticmethod
    def _look_up(
        rights: Rights, repository: RepositoryName | None, ancestry: Iterable[str]
    ) -> tuple[Content, ...]:
        chain = []
        for image_id in ancestry:
            found = rights.content_in(repository, image_id)
            if found is None:
                raise errors.ImageNotFound(image_id=image_id)
            # without its JSON: a chain of large documents would fill the memory
            chain.append(replace(found, parts=None))
        return tuple(chain)
