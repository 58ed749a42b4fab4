"""The one pointer of a tag that two APIs write (distribution.md 2.1).

A tag has two sides. The *file* is that of docker-registry, with an image id. The *side* of this API lies
below ``_v2/tags`` and names a manifest, with the image id that the tag had in v1 when it was written, or null
if v1 cannot express the manifest. Which of them decides:

    side missing                        the file
    side with null, file missing        the side
    side with null, file there          the file: v1 wrote later
    side with the id of the file        the side, if its manifest is still there, else the file
    side with a different id            the file: v1 wrote later
    side with an id, file missing       nothing: v1 deleted the tag

Where the file decides, the newest manifest that became its image counts, else the image is converted.

All writes are conditional on what was read first, and begin again if that changed. Each write of a tag has
one step that decides, so the tag is as before or as written if the writer dies.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from .. import errors
from ..log import audit
from ..names import Digest
from ..registry.layout import parse_stored
from ..registry.repositories import Repositories
from ..registry.tags import StoredTag
from ..storage.base import ABSENT, KeyConflict, KeyNotFound, Stat, Storage, StorageUnavailable
from ..storage.recent_values import ParsedValues
from . import layout
from .manifest_records import ManifestRecords, Record
from .places import Place

#: How often a tag is written again because other requests changed it.
_ATTEMPTS: Final = 100

#: How many sides are kept in memory.
_KEPT_SIDES: Final = 10_000

#: How many manifests that became one image are remembered.
_MOST_SOURCES: Final = 50


@dataclass(frozen=True)
class Target:
    """What a tag points to: a manifest, or an image of v1 of which no manifest was pushed."""

    record: Record | None = None  #: of the manifest
    image_id: str | None = None  #: in v1; None if v1 cannot express the manifest

    @property
    def sha256(self) -> str | None:
        """The hex digits of the manifest."""
        return None if self.record is None else self.record.sha256


@dataclass(frozen=True)
class _StoredSide:
    """What the side of this API says, whether or not it counts."""

    incarnation: object
    sha256: str
    image_id: str | None


@dataclass(frozen=True)
class _Side:
    """The side of this API as it was read."""

    sha256: str = ""  #: empty if nothing is stored, or nothing that counts
    image_id: str | None = None
    stat: Stat | None = None  #: None if nothing is stored

    @property
    def counts(self) -> bool:
        return bool(self.sha256)

    @property
    def expected(self) -> str:
        return ABSENT if self.stat is None else self.stat.etag


@dataclass(frozen=True)
class _State:
    """Both sides of a tag, read one after the other, and what they mean."""

    side: _Side
    stored: StoredTag
    target: Target | None


@dataclass(frozen=True)
class Written:
    """What a write of a tag stored, so that it can be taken back."""

    stats: tuple[Stat, ...] = field(default=())


class TagPointers:
    """The tags of the repositories of one storage, as both APIs see them. Safe for threads and processes."""

    def __init__(self, storage: Storage, repositories: Repositories, records: ManifestRecords):
        self._storage = storage
        self._repositories = repositories
        self._records = records
        self._sides = ParsedValues(storage, _parsed_side, _KEPT_SIDES)

    # -- reading

    def target(self, place: Place, tag: str) -> Target | None:
        """Return what a tag points to, None if it is not set."""
        return self._state(place, tag).target

    def only_here(self, place: Place, tag: str) -> Target | None:
        """Return what a tag without a file points to, None if it is not set."""
        side = self._side(place, tag)
        return self._decided(place, side, StoredTag()) if side.counts and side.image_id is None else None

    def names(self, place: Place, *, after: str = "") -> Iterator[str]:
        """Yield, sorted, the tags that have a side of this API, whether or not it decides.

        :param after: only tags that sort after this one.
        """
        folder = layout.repository_folder(place.repository, layout.TAGS)
        for stat in self._storage.list(f"{folder}/", after=f"{folder}/{after}" if after else ""):
            yield stat.key.rpartition("/")[2]

    def _state(self, place: Place, tag: str) -> _State:
        for _ in range(_ATTEMPTS):
            side = self._side(place, tag)
            stored = self._repositories.stored_tag(place.repository, tag)
            if stored.image_id is None and self._side(place, tag).expected != side.expected:
                # the side was replaced before the file was deleted
                continue
            return _State(side, stored, self._decided(place, side, stored))
        raise StorageUnavailable(tag, "it is changed again and again")

    def _decided(self, place: Place, side: _Side, stored: StoredTag) -> Target | None:
        """Return what the two sides mean."""
        if side.counts and side.image_id == stored.image_id:
            record = self._records.find(place, side.sha256)
            if record is not None:
                return Target(record, side.image_id)
        if stored.image_id is None:
            return None
        sources = _hex_list(self._read(self._sources_key(place, stored.image_id))[0])
        records = (self._records.find(place, sha256) for sha256 in reversed(sources))
        return Target(next((record for record in records if record is not None), None), stored.image_id)

    def _side(self, place: Place, tag: str) -> _Side:
        try:
            stored, stat = self._sides.read(self._key(place, tag))
        except KeyNotFound:
            return _Side()
        if stored is None or not place.counts(stored.incarnation):
            return _Side(stat=stat)
        return _Side(stored.sha256, stored.image_id, stat)

    # -- writing

    def set(
        self, place: Place, tag: str, sha256: str, image_id: str | None, *, user_agent: str = ""
    ) -> Written:
        """Point a tag to a manifest that the repository contains.

        :param image_id: the image of v1 that the manifest became, which the repository holds; None if v1
            cannot express the manifest.
        :param user_agent: the header of the push, for what v1 tells of the tag.
        :raises NameUnknown: the manifest is gone: the repository was deleted meanwhile.
        :raises TagNotMovable: the tag is set, and may not be moved.
        :raises TagInvalid: the file of a different tag has the name.
        """
        for _ in range(_ATTEMPTS):
            state = self._state(place, tag)
            # after the state was read, so that a tag that was set after the deletion is not touched
            if self._records.find(place, sha256) is None:
                raise errors.NameUnknown(repository=str(place.repository))
            self._check_rule(place, tag, state.target, sha256, image_id)
            with suppress(KeyConflict):
                if image_id is None:
                    return self._set_here_only(place, tag, sha256, state)
                return self._set_both(place, tag, sha256, image_id, state, user_agent)
        raise StorageUnavailable(tag, "it is changed again and again")

    def _check_rule(
        self, place: Place, tag: str, now: Target | None, sha256: str, image_id: str | None
    ) -> None:
        if now is None or self._repositories.may_move_tag(place.repository, tag):
            return
        is_same = now.image_id == image_id if now.sha256 is None else now.sha256 == sha256
        if not is_same:
            raise errors.TagNotMovable(detail={"tag": tag})

    def _set_both(
        self, place: Place, tag: str, sha256: str, image_id: str, state: _State, user_agent: str
    ) -> Written:
        self._add_source(place, image_id, sha256)
        try:
            # this decides, unless the file has the id already
            stat = self._repositories.set_tag(place.repository, tag, image_id, user_agent, seen=state.stored)
        except errors.TagNameConflict:
            raise errors.TagInvalid(
                "Tag name conflicts with the information of a different tag in the API v1",
                detail={"tag": tag},
            ) from None
        except errors.TagImmutable:
            raise errors.TagNotMovable(detail={"tag": tag}) from None
        try:
            return Written((stat, self._write(place, tag, sha256, image_id, state.side)))
        except KeyConflict:
            # a later write has changed the side. The file is not written again, because it was seen already
            return Written((stat,))

    def _set_here_only(self, place: Place, tag: str, sha256: str, state: _State) -> Written:
        written = self._write(place, tag, sha256, None, state.side)
        if state.stored.image_id is not None and state.stored.stat is not None:
            with self._repositories.changing(place.repository), suppress(KeyNotFound):
                # this decides
                self._storage.delete(state.stored.stat.key, expect=state.stored.stat.etag)
            self._repositories.forget_info(place.repository, tag)
            if self._side(place, tag).stat is None:
                # a deletion removed the side while the file still decided, so it deleted what was there
                # before
                raise KeyConflict(self._key(place, tag), "the tag was deleted meanwhile")
        return Written((written,))

    def undo(self, written: Written) -> None:
        """Take back what a write stored, unless it was written again meanwhile."""
        for stat in written.stats:
            self._repositories.undo_tag(stat)

    def delete(self, place: Place, tag: str, *, only: str | None = None) -> bool:
        """Remove a tag from both APIs; tell whether it was set.

        :param only: remove it only while it points to this manifest.
        """
        is_removed = False
        for _ in range(_ATTEMPTS):
            state = self._state(place, tag)
            target = state.target
            if target is None or (only is not None and not self._is_of(place, target, only)):
                return is_removed
            is_removed = True
            with suppress(KeyConflict):
                self._delete(place, tag, state)
                audit("deleted tag %r of repository %r", tag, str(place.repository))
                return True
        raise StorageUnavailable(tag, "it is changed again and again")

    def delete_as_listed(self, place: Place, tag: str, file: Stat | None, side: Stat | None) -> bool:
        """Remove a tag if it was not written since it was listed; tell whether it was removed.

        :param file: the Stat of its file, None if there was none.
        :param side: the Stat of its side, None if there was none.
        """
        state = self._state(place, tag)
        if (state.stored.stat, state.side.stat) != (file, side):
            return False
        with suppress(KeyConflict):
            self._delete(place, tag, state)
            audit("removed tag %r of repository %r by retention", tag, str(place.repository))
            return True
        return False

    def _delete(self, place: Place, tag: str, state: _State) -> None:
        """Remove both sides as they were read.

        :raises KeyConflict: one was changed meanwhile.
        """
        side, file = state.side.stat, state.stored.stat if state.stored.image_id is not None else None
        # without the file a side with null would decide, so it goes first
        first, then = (side, file) if state.side.image_id is None else (file, side)
        for stat in (first, then):
            if stat is None:
                continue
            with self._repositories.changing(place.repository), suppress(KeyNotFound):
                self._storage.delete(stat.key, expect=stat.etag)
        if file is not None:
            self._repositories.forget_info(place.repository, tag)

    def remove_view(self, place: Place, tag: str, image_id: str, sha256: str) -> None:
        """Remove a tag from v1 alone, if it is that of an image and points to a manifest."""
        for _ in range(_ATTEMPTS):
            state = self._state(place, tag)
            target = state.target
            if target is None or (target.sha256, target.image_id) != (sha256, image_id):
                return
            with suppress(KeyConflict):
                self._set_here_only(place, tag, sha256, state)
                return
        raise StorageUnavailable(tag, "it is changed again and again")

    def add_view(self, place: Place, tag: str, image_id: str, sha256: str) -> Written | None:
        """Show a tag in v1 too, if it points to a manifest that v1 does not show yet.

        :return: None if the tag does not point to it any more, or v1 shows it already.
        :raises TagInvalid: the file of a different tag has the name.
        """
        for _ in range(_ATTEMPTS):
            state = self._state(place, tag)
            target = state.target
            if target is None or (target.sha256, target.image_id) != (sha256, None):
                return None
            with suppress(KeyConflict):
                return self._set_both(place, tag, sha256, image_id, state, "")
        raise StorageUnavailable(tag, "it is changed again and again")

    def _is_of(self, place: Place, target: Target, sha256: str) -> bool:
        """Tell whether a tag points to a manifest, or to the image from which the manifest was made."""
        if target.sha256 is not None:
            return target.sha256 == sha256
        record = self._records.find(place, sha256)
        return record is not None and record.image_id == target.image_id

    # -- keys and values

    def _write(self, place: Place, tag: str, sha256: str, image_id: str | None, side: _Side) -> Stat:
        value = {
            "digest": sha256,
            "image_id": image_id,
            "incarnation": place.incarnation,
            # so that no two writes have one etag
            "nonce": secrets.token_hex(8),
        }
        return self._storage.write(
            self._key(place, tag), json.dumps(value).encode("ascii"), expect=side.expected
        )

    def _add_source(self, place: Place, image_id: str, sha256: str) -> None:
        key = self._sources_key(place, image_id)
        for _ in range(_ATTEMPTS):
            value, stat = self._read(key)
            found = _hex_list(value)
            if found and found[-1] == sha256:
                return
            kept = [*(other for other in found if other != sha256), sha256][-_MOST_SOURCES:]
            with suppress(KeyConflict):
                expect = ABSENT if stat is None else stat.etag
                self._storage.write(key, json.dumps(kept).encode("ascii"), expect=expect)
                return
        raise StorageUnavailable(key, "it is changed again and again")

    def _read(self, key: str) -> tuple[bytes, Stat | None]:
        try:
            return self._storage.read(key)
        except KeyNotFound:
            return b"", None

    @staticmethod
    def _key(place: Place, tag: str) -> str:
        return layout.repository_key(place.repository, layout.TAGS, tag)

    @staticmethod
    def _sources_key(place: Place, image_id: str) -> str:
        return layout.repository_key(place.repository, layout.IMAGES, image_id)


def _parsed_side(_: str, value: bytes) -> _StoredSide | None:
    """Return what a stored side says; None if it is damaged."""
    fields: Any = parse_stored(value)
    if not isinstance(fields, dict):
        return None
    sha256, image_id = fields.get("digest"), fields.get("image_id")
    if not isinstance(sha256, str) or not (image_id is None or isinstance(image_id, str)):
        return None
    return _StoredSide(fields.get("incarnation"), sha256, image_id)


def _hex_list(value: bytes) -> list[str]:
    """Return the SHA-256 digests in a stored list."""
    parsed: Any = parse_stored(value)
    return [item for item in parsed if _is_sha256(item)] if isinstance(parsed, list) else []


def _is_sha256(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return Digest.parse(f"sha256:{value}").hex == value
    except errors.DigestInvalid:
        return False
