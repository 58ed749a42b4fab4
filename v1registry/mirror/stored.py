"""What is kept of the repositories that a mirror made, besides their contents.

In the folder of a repository, below ``_v2/mirror``:

    origin        the mirror made the repository
    tags/<tag>    what the mirror made of a tag, and when the origin was asked last

A repository without the first key is local: the mirror never changes it. A tag that does not point to what
the mirror made of it is local too.
"""

from __future__ import annotations

import enum
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .. import errors
from ..clock import Clock
from ..distribution import layout
from ..distribution.places import Place
from ..log import audit
from ..names import RepositoryName
from ..registry.holding import Holding
from ..registry.layout import parse_stored, store_part
from ..registry.repositories import Repositories
from ..rights import Rights
from ..storage.base import InvalidKey, KeyNotFound, Storage
from .origin import NotAtOrigin


class Standing(enum.Enum):
    """What a repository is to the mirror."""

    LOCAL = "local"  #: it was pushed
    MIRRORED = "mirrored"  #: the mirror made it
    MISSING = "missing"


@dataclass(frozen=True)
class TagRecord:
    """What the mirror made of a tag. A digest in hex, or the id of an image of v1, stands for its target."""

    target: str
    former: str = ""  #: the target before; the tag still has it if the mirror was interrupted
    checked_s: float = 0.0  #: when the origin was asked last, since the epoch

    def is_of(self, target: str | None) -> bool:
        """Tell whether a tag points to what the mirror made of it."""
        return target in (self.target, self.former)


class MirroredRepositories:
    """The repositories that a mirror made. Safe for threads and processes.

    :param rights: those of the mirror: everything.
    :param origin: the URL of the origin, for the log.
    :param is_private: whether new repositories are private.
    """

    def __init__(
        self,
        storage: Storage,
        repositories: Repositories,
        holding: Holding,
        rights: Rights,
        *,
        origin: str,
        is_private: bool,
        clock: Clock,
    ):
        self._storage = storage
        self._repositories = repositories
        self._holding = holding
        self._rights = rights
        self._origin = origin
        self._is_private = is_private
        self._clock = clock

    def place(self, repository: RepositoryName) -> Place:
        """Return the place of a repository."""
        return Place.of(self._rights, repository)

    def standing(self, repository: RepositoryName) -> Standing:
        """Return what a repository is to the mirror."""
        if not self._repositories.exists(repository):
            return Standing.MISSING
        return Standing.MIRRORED if self._is_marked(self.place(repository)) else Standing.LOCAL

    def begin(self, repository: RepositoryName) -> Place:
        """Return the place of a repository that the mirror writes. It is made if it is missing.

        :raises NotAtOrigin: it is local.
        :raises InvalidRepositoryName: no repository may have this name.
        """
        place = Place.begin(self._rights, self._holding, repository.checked())
        # in this order: another thread that makes it now marks it before it exists
        exists = self._repositories.exists(repository)
        is_marked = self._is_marked(place)
        if is_marked and exists:
            return place
        if exists:
            raise NotAtOrigin("the repository is local")
        # the list comes last: without it, an interrupted beginning is repeated
        if not is_marked:
            value = {"incarnation": place.incarnation, "origin": self._origin}
            self._storage.write(_key(repository, layout.MIRROR_ORIGIN), json.dumps(value).encode("ascii"))
        if self._is_private:
            self._repositories.set_private(repository, True)
        self._repositories.announce(repository, b"[]", [])
        audit("mirrored repository %r of %s", str(repository), self._origin)
        return place

    def exists(self, place: Place) -> bool:
        """Tell whether a repository was not deleted since the mirror began it."""
        return self._holding.check(place.repository, place.incarnation) and self._is_marked(place)

    # -- tags

    def tag(self, place: Place, tag: str) -> TagRecord | None:
        """Return what the mirror made of a tag; None if nothing."""
        fields = self._read(_tag_key(place.repository, tag))
        if not place.counts(fields.get("incarnation")):
            return None
        target, former, checked_s = fields.get("target"), fields.get("former"), fields.get("checked_s")
        if isinstance(target, str) and isinstance(former, str) and isinstance(checked_s, (int, float)):
            return TagRecord(target, former, checked_s)
        return None

    def note_tag(self, place: Place, tag: str, target: str, former: str = "", *, is_done: bool) -> None:
        """Note what the mirror makes of a tag.

        :param is_done: whether it has made it, and the origin was asked just now.
        """
        value = {
            "incarnation": place.incarnation,
            "target": target,
            "former": former,
            "checked_s": self._clock.time_s() if is_done else 0.0,
        }
        self._storage.write(_tag_key(place.repository, tag), json.dumps(value).encode("ascii"))

    def is_fresh(self, record: TagRecord | None, age_s: float) -> bool:
        """Tell whether the origin was asked for a tag lately."""
        return record is not None and 0 <= self._clock.time_s() - record.checked_s < age_s

    # -- inside

    def _is_marked(self, place: Place) -> bool:
        fields = self._read(_key(place.repository, layout.MIRROR_ORIGIN))
        return "origin" in fields and place.counts(fields.get("incarnation"))

    def _read(self, key: str) -> dict[str, Any]:
        with suppress(KeyNotFound, InvalidKey):
            fields: Any = parse_stored(self._storage.read(key)[0])
            if isinstance(fields, dict):
                return fields
        return {}


def _key(repository: RepositoryName, name: str) -> str:
    return layout.repository_key(repository, layout.MIRROR, name)


def _tag_key(repository: RepositoryName, tag: str) -> str:
    return _key(repository, f"tags/{store_part(tag)}")


def require_not_mirrored(standing: Standing, repository: RepositoryName) -> None:
    """Check that a repository may be pushed to.

    :raises RepositoryMirrored: the mirror made it.
    """
    if standing is Standing.MIRRORED:
        raise errors.RepositoryMirrored(repository=str(repository))
