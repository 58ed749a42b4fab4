"""Tags: which image each points to, and what is known of its last push."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from .. import errors
from ..clock import SYSTEM_CLOCK, Clock
from ..log import audit
from ..names import RepositoryName, check_tag, is_image_id
from ..storage.base import ABSENT, ANY, KeyConflict, KeyNotFound, Stat, Storage
from . import layout
from .folders import RepositoryFolders, with_times
from .known_tags import TagList
from .observers import changes_repository
from .push_info import info_of_user_agent

#: The answer for a tag or repository of which nothing is known (docker-registry 0.9.1, tags.py).
UNKNOWN_INFO: dict[str, object] = {
    "arch": "amd64",
    "docker_go_version": None,
    "docker_version": None,
    "kernel": None,
    "last_update": None,
    "os": "linux",
}


class TagRule(enum.Enum):
    """Whether the tags of a repository may be moved once they are set.

    All may be deleted by those who may delete.
    """

    FREE = "free"
    IMMUTABLE = "immutable"
    IMMUTABLE_BUT_LATEST = "immutable-but-latest"


@dataclass(frozen=True)
class StoredTag:
    """What is stored for a tag when it was looked at."""

    image_id: str | None = None  #: None if the tag is not set
    stat: Stat | None = None  #: None if nothing is stored

    def expected_at(self, key: str) -> str:
        """Return what a conditional write of ``key`` expects."""
        return ABSENT if self.stat is None or self.stat.key != key else self.stat.etag


class Tags(RepositoryFolders):
    """The tags of the repositories of one storage.

    :param clock: gives ``last_update``.
    """

    def __init__(self, storage: Storage, *, clock: Clock = SYSTEM_CLOCK):
        super().__init__(storage, clock=clock)
        self._clock = clock

    def tags_or_none(
        self, name: RepositoryName, *, even_deleted: bool = False, most: int | None = None
    ) -> dict[str, str]:
        """Return tag -> image id; empty if the repository does not exist.

        :param most: how many tags are returned; None for all.
        """
        try:
            return self.tags(name, even_deleted=even_deleted, most=most)
        except errors.RepositoryNotFound:
            return {}

    def tags(
        self, name: RepositoryName, *, even_deleted: bool = False, most: int | None = None
    ) -> dict[str, str]:
        """Return tag -> image id.

        :param even_deleted: also of a repository that is marked as deleted.
        :param most: how many tags are returned; None for all.
        :raises RepositoryNotFound: it does not exist.
        """
        tags = self.tag_list(name, even_deleted=even_deleted, most=most)
        return {tag: tags.image_ids[tag] for tag in tags.first(most)}

    def tags_with_times(
        self, name: RepositoryName, even_deleted: bool = False, *, most: int | None = None
    ) -> dict[str, tuple[str, datetime]]:
        """Return tag -> image id, and when the tag was set.

        :param most: how many tags are returned; None for all.
        :raises RepositoryNotFound: it does not exist.
        """
        return with_times(self.tag_list(name, even_deleted=even_deleted, most=most), most)

    def tag_list(
        self, name: RepositoryName, *, even_deleted: bool = False, most: int | None = None
    ) -> TagList:
        """Return the tags as they are remembered, see ``docs/internals.md``.

        :param most: about how many tags are read if they are not remembered; None for all.
        :raises RepositoryNotFound: it does not exist.
        """
        folder = self._existing_folder(name, even_deleted=even_deleted)
        if folder is None:
            raise errors.RepositoryNotFound(repository=str(name))
        return self._known_tags.of(folder, most=most)

    def tag_list_or_none(self, name: RepositoryName) -> TagList:
        """Return the tags as they are remembered; none if the repository does not exist."""
        try:
            return self.tag_list(name)
        except errors.RepositoryNotFound:
            return TagList({})

    def tag(self, name: RepositoryName, tag: str) -> str:
        """Return the image id of a tag.

        :raises TagNotFound: the tag is not set.
        """
        image_id = self.stored_tag(name, tag).image_id
        if image_id is None:
            raise errors.TagNotFound(repository=str(name), tag=tag[:200])
        return image_id

    def stored_tag(self, name: RepositoryName, tag: str) -> StoredTag:
        """Return what is stored for a tag. A damaged value is no tag, but has a Stat."""
        damaged = StoredTag()
        for key, _ in self._tag_places(name, tag):
            found = self._read_with_stat(key)
            if found is None:
                continue
            image_id = found[0].strip().decode("latin-1")
            if is_image_id(image_id):
                return StoredTag(image_id, found[1])
            damaged = StoredTag(None, found[1])
        return damaged

    def tags_with_times_or_none(self, name: RepositoryName) -> dict[str, tuple[str, datetime]]:
        """Return tag -> image id, and when the tag was set; empty if the repository does not exist."""
        try:
            return self.tags_with_times(name)
        except errors.RepositoryNotFound:
            return {}

    @changes_repository(only_appears=True)
    def set_tag(
        self,
        name: RepositoryName,
        tag: str,
        image_id: str,
        user_agent: str,
        *,
        is_created: bool = False,
        seen: StoredTag | None = None,
    ) -> Stat:
        """Point a tag to an image, and keep what the ``User-Agent`` of the push tells. Return the Stat of the
        tag.

        The caller has made sure that the image exists.

        :param is_created: the repository is known to exist.
        :param seen: what the distribution API saw, which keeps a side of its own. None for the API v1: that
            side is removed if it does not decide any more.
        :raises InvalidRepositoryName: the name may not be written.
        :raises InvalidTagName: the tag does not follow the grammar.
        :raises TagNameConflict: another tag has the key of the tag or of its information.
        :raises TagImmutable: the tag is set, and may not be moved.
        :raises KeyConflict: the tag is not as it was seen.
        """
        folders = layout.repository_folders(name)
        folder = folders[0] if is_created and len(folders) == 1 else self.folder_to_write(name)
        check_tag(tag)
        key, info_key = layout.tag_key(folder, tag), layout.tag_info_key(folder, tag)
        info = json.dumps(info_of_user_agent(user_agent, self._clock.time_s())).encode("ascii")
        if tag.startswith("_"):
            # its information lies where a tag may be: written first, so that a conflict sets no tag
            self._write_unless(info_key, info, is_tag_value, name, tag)
        if tag.endswith("_json"):
            self._require_no_info(key, name, tag)
        # read before the tag is written: a later one is that of a later write
        side = None if seen is not None else self._read_with_stat(layout.v2_tag_key(name, tag))
        if side is not None and image_id_of_side(side[0]) is None:
            self._require_movable(name, tag)
        expect = ANY if seen is None else seen.expected_at(key)
        stat = self._set_new(key, image_id) if expect in (ANY, ABSENT) else None
        if stat is None and self.may_move_tag(name, tag):
            stat = self._set(key, image_id, name, tag, expect)
        elif stat is None:
            stat = self._set_once(key, image_id)
        if side is not None and image_id_of_side(side[0]) != image_id:
            self._delete_as_read(side[1])
        infos = {} if tag.startswith("_") else {info_key: info}
        if tag == "latest":
            infos[f"{folder}/{layout.INFO}"] = info
        self._storage.write_many(infos)
        return stat

    def undo_tag(self, stat: Stat) -> None:
        """Take a tag back that was just set, unless it was set again meanwhile."""
        with self.changing(layout.repository_of_key(stat.key)):
            self._delete_as_read(stat)

    @changes_repository()
    def delete_tag(self, name: RepositoryName, tag: str) -> None:
        """Remove a tag and its information; with ``latest`` that of the repository too.

        :raises TagNotFound: the tag is not set.
        """
        side = self._read_with_stat(layout.v2_tag_key(name, tag))
        if side is not None and image_id_of_side(side[0]) is None and self.stored_tag(name, tag).image_id:
            # it does not decide while the tag is set, and would decide afterwards
            self._delete_as_read(side[1])
            side = None
        if not self._unset_tag(name, tag):
            raise errors.TagNotFound(f"Tag not found: {tag[:200]}", repository=str(name))
        if side is not None:
            self._delete_as_read(side[1])
        audit("deleted tag %r of repository %r", tag, str(name))

    def _unset_tag(self, name: RepositoryName, tag: str) -> bool:
        is_found = False
        for folder in self._folders(name):
            for key, info_key in layout.tag_places(folder, tag):
                if not self._delete_if(key, is_tag_value):
                    continue
                is_found = True
                self._forget_info(folder, info_key, tag)
        return is_found

    def forget_info(self, name: RepositoryName, tag: str) -> None:
        """Remove the information of a tag that was removed; with ``latest`` that of the repository too."""
        for folder in self._folders(name):
            for _, info_key in layout.tag_places(folder, tag):
                self._forget_info(folder, info_key, tag)

    def _forget_info(self, folder: str, info_key: str, tag: str) -> None:
        self._delete_if(info_key, lambda value: not is_tag_value(value))
        if tag == "latest":
            self._delete(f"{folder}/{layout.INFO}")

    # -- what is known of the last push

    def info(self, name: RepositoryName) -> dict[str, object]:
        """Return what is known of the last push of ``latest``; of an unknown repository nulls."""
        return self._read_info(f"{folder}/{layout.INFO}" for folder in self._folders(name))

    def tag_info(self, name: RepositoryName, tag: str) -> dict[str, object]:
        """Return what is known of the last push of a tag; of an unknown one nulls."""
        return self._read_info(info_key for _, info_key in self._tag_places(name, tag))

    # -- the rule of the tags

    def tag_rule(self, name: RepositoryName) -> TagRule:
        """Return whether the repository's tags may be moved."""
        for folder in layout.repository_folders(name):
            data = self._read_optional(f"{folder}/{layout.TAG_RULE}")
            if data is not None and data.decode("latin-1") in {rule.value for rule in TagRule}:
                return TagRule(data.decode("latin-1"))
        return TagRule.FREE

    def may_move_tag(self, name: RepositoryName, tag: str) -> bool:
        """Tell whether the tag may be set to another image once it is there."""
        rule = self.tag_rule(name)
        return rule is TagRule.FREE or (rule is TagRule.IMMUTABLE_BUT_LATEST and tag == "latest")

    def set_tag_rule(self, name: RepositoryName, rule: TagRule) -> None:
        """Set whether the repository's tags may be moved.

        :raises RepositoryNotFound: it does not exist.
        """
        self._storage.write(f"{self._require_folder(name)}/{layout.TAG_RULE}", rule.value.encode("ascii"))
        audit("set the tag rule of repository %r to %s", str(name), rule.value)

    # -- inside of tags

    def _tag_places(self, name: RepositoryName, tag: str) -> Iterator[tuple[str, str]]:
        for folder in self._folders(name):
            yield from layout.tag_places(folder, tag)

    def _require_movable(self, name: RepositoryName, tag: str) -> None:
        """Check that a tag that only the distribution API shows may be set here.

        :raises TagImmutable: it may not be moved.
        """
        if self.stored_tag(name, tag).image_id is None and not self.may_move_tag(name, tag):
            raise errors.TagImmutable(repository=str(name), tag=tag)

    def _set_new(self, key: str, image_id: str) -> Stat | None:
        """Write a tag that is not set; None if there is a value. The rule of the tags need not be read."""
        try:
            return self._storage.write(key, image_id.encode("ascii"), expect=ABSENT)
        except KeyConflict:
            return None

    def _set_once(self, key: str, image_id: str) -> Stat:
        """Write a tag that may not be moved; the same image again is accepted.

        :raises TagImmutable: the tag points to a different image.
        """
        value = image_id.encode("ascii")
        while True:
            found = self._read_with_stat(key)
            if found is not None and found[0].strip() == value:
                return found[1]
            if found is not None and is_tag_value(found[0]):
                raise errors.TagImmutable(key=key)
            try:
                # a damaged value is no tag (decisions.md 22)
                return self._storage.write(key, value, expect=ABSENT if found is None else found[1].etag)
            except KeyConflict:
                continue

    def _read_info(self, keys: Iterable[str]) -> dict[str, object]:
        for key in keys:
            info = layout.parse_stored(self._read_optional(key) or b"")
            if isinstance(info, dict):
                return info
        return dict(UNKNOWN_INFO)

    def _set(self, key: str, image_id: str, name: RepositoryName, tag: str, expect: str) -> Stat:
        value = image_id.encode("ascii")
        if tag.endswith("_json"):
            self._require_no_info(key, name, tag)
            if expect == ANY:
                return self._write_unless(key, value, is_info_value, name, tag)
        return self._storage.write(key, value, expect=expect)

    def _delete_as_read(self, stat: Stat) -> None:
        with suppress(KeyNotFound, KeyConflict):
            self._storage.delete(stat.key, expect=stat.etag)

    def _require_no_info(self, key: str, name: RepositoryName, tag: str) -> None:
        stored = self._read_optional(key)
        if stored is not None and is_info_value(stored):
            raise errors.TagNameConflict(repository=str(name), tag=tag)

    def _write_unless(
        self, key: str, value: bytes, is_taken: Callable[[bytes], bool], name: RepositoryName, tag: str
    ) -> Stat:
        """Write a key that two tags may want, unless the stored value belongs to the other one.

        :raises TagNameConflict: it does.
        """
        while True:
            found = self._read_with_stat(key)
            if found is not None and is_taken(found[0]):
                raise errors.TagNameConflict(repository=str(name), tag=tag)
            try:
                return self._storage.write(key, value, expect=ABSENT if found is None else found[1].etag)
            except KeyConflict:
                continue

    def _delete_if(self, key: str, is_wanted: Callable[[bytes], bool]) -> bool:
        """Remove a key if its value is one of a kind; tell whether it was."""
        while True:
            found = self._read_with_stat(key)
            if found is None or not is_wanted(found[0]):
                return False
            try:
                self._storage.delete(key, expect=found[1].etag)
            except KeyNotFound:
                return False
            except KeyConflict:
                continue
            return True


def is_tag_value(value: bytes) -> bool:
    """Tell whether a stored value is that of a tag (storage-layout.md 3.3)."""
    return is_image_id(value.strip().decode("latin-1"))


def is_info_value(value: bytes) -> bool:
    """Tell whether a stored value is the information of a tag. A damaged one is not."""
    return isinstance(layout.parse_stored(value), dict)


def image_id_of_side(value: bytes) -> str | None:
    """Return the image id that the side of the distribution API has; None if it has none, or is damaged."""
    fields = layout.parse_stored(value)
    image_id = fields.get("image_id") if isinstance(fields, dict) else None
    return image_id if isinstance(image_id, str) else None
