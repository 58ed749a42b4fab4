"""Repositories: tags, image lists, properties, and what is told of the last push.

The stand-in for an index that docker-registry 0.9 has is here too: the image list of a repository.
"""

from __future__ import annotations

import enum
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

from .. import errors
from ..layers.remembered import Remembered
from ..names import RepositoryName, check_tag, is_image_id
from ..rights import Action
from ..storage.base import ABSENT, InvalidKey, KeyConflict, KeyNotFound, Stat, Storage, update
from . import layout

#: What is told of a tag or repository of which nothing is known (docker-registry 0.9.1, tags.py).
UNKNOWN_INFO: dict[str, object] = {
    "arch": "amd64",
    "docker_go_version": None,
    "docker_version": None,
    "kernel": None,
    "last_update": None,
    "os": "linux",
}

#: How many tags are cached, each some hundred bytes.
_KEPT_TAGS = 50_000

#: A match begins where a word does: else a long word would be tried from each of its characters.
_USER_AGENT_PAIR = re.compile(r"(?<![^\s/])([^\s/]+)/([^\s/]+)")
_INFO_OF_PRODUCT = {
    "docker": "docker_version",
    "go": "docker_go_version",
    "arch": "arch",
    "kernel": "kernel",
    "os": "os",
}


def info_of_user_agent(user_agent: str, now_s: float) -> dict[str, object]:
    """Return what a pusher's ``User-Agent`` tells, and the time in whole seconds since the epoch.

    Of a product that is named twice the first counts: ``UpstreamClient(Docker-Client/1.12.6 …)`` comes last.

    >>> info_of_user_agent("docker/1.9.1 go/go1.4.3 os/Linux", 1430000000.5)
    {'docker_version': '1.9.1', 'docker_go_version': 'go1.4.3', 'os': 'linux', 'last_update': 1430000000}
    """
    info: dict[str, object] = {}
    for product, version in _USER_AGENT_PAIR.findall(user_agent):
        name = _INFO_OF_PRODUCT.get(product.lower())
        if name is not None and name not in info:
            info[name] = version.lower() if name in ("arch", "kernel", "os") else version
    info["last_update"] = int(now_s)
    return info


class TagRule(enum.Enum):
    """Whether the tags of a repository may be moved once they are set. All may be deleted by those who may delete."""

    FREE = "free"
    IMMUTABLE = "immutable"
    IMMUTABLE_BUT_LATEST = "immutable-but-latest"


class Repositories:
    """The repositories of one storage.

    :param clock: seconds since the epoch, for ``last_update``.
    """

    def __init__(self, storage: Storage, *, clock: Callable[[], float] = time.time):
        self._storage = storage
        self._clock = clock
        self._tag_cache = Remembered[str](_KEPT_TAGS, lambda image_id: 1)

    # -- which there are

    def exists(self, name: RepositoryName) -> bool:
        """Tell whether the repository was announced, has a tag, or is marked private (storage-layout.md 3.5)."""
        return self._existing_folder(name) is not None

    def are_in(self, namespace: str) -> bool:
        """Tell whether anything is stored below a namespace."""
        folder = f"{layout.REPOSITORIES}/{layout.store_part(namespace)}"
        return next(iter(self._storage.list_folders(folder)), None) is not None

    def all(self) -> Iterator[RepositoryName]:
        """Yield every repository that exists, by namespace and stored name."""
        for candidate in self.candidates():
            if self.exists(candidate):
                yield candidate

    def candidates(self) -> Iterator[RepositoryName]:
        """Yield the name of every repository's folder; some may turn out not to exist. Much cheaper than :meth:`all`."""
        for namespace in self._storage.list_folders(layout.REPOSITORIES):
            for folder in self._storage.list_folders(f"{layout.REPOSITORIES}/{namespace}"):
                yield layout.repository_from_folders(namespace, folder)

    def mark_deleted(self, name: RepositoryName) -> None:
        """Make a repository vanish that a registry still has to remove: the first of two steps (hub.md 3.2).

        RepositoryNotFound.
        """
        self._storage.write(f"{self._require_folder(name)}/{layout.DELETED}", b"")

    def is_marked_deleted(self, name: RepositoryName) -> bool:
        return any(self._has(f"{folder}/{layout.DELETED}") for folder in layout.repository_folders(name))

    def remove(self, name: RepositoryName) -> None:
        """Remove all that is stored of a repository, whether it exists, is marked as deleted, or is not there."""
        for folder in layout.repository_folders(name):
            self._storage.delete_tree(folder)

    # -- tags

    def tags_or_none(self, name: RepositoryName, *, even_deleted: bool = False) -> dict[str, str]:
        """Return tag -> image id; empty where the repository does not exist."""
        try:
            return self.tags(name, even_deleted=even_deleted)
        except errors.RepositoryNotFound:
            return {}

    def tags(self, name: RepositoryName, *, even_deleted: bool = False) -> dict[str, str]:
        """Return tag -> image id. RepositoryNotFound.

        :param even_deleted: also of a repository that is marked as deleted.
        """
        return {tag: image_id for tag, (image_id, _) in self.tags_with_times(name, even_deleted).items()}

    def tags_with_times(
        self, name: RepositoryName, even_deleted: bool = False
    ) -> dict[str, tuple[str, datetime]]:
        """Return tag -> image id, and when the tag was set. RepositoryNotFound."""
        folder = self._existing_folder(name, even_deleted=even_deleted)
        if folder is None:
            raise errors.RepositoryNotFound(repository=str(name))
        found = {}
        for stat in self._storage.list(f"{folder}/{layout.TAG_PREFIX}"):
            image_id = self._read_tag(stat)
            if image_id is not None:
                tag = layout.unstore_part(stat.key.rpartition("/")[2][len(layout.TAG_PREFIX) :])
                found[tag] = image_id, stat.modified
        return found

    def tag(self, name: RepositoryName, tag: str) -> str:
        """Return the image id of a tag. TagNotFound."""
        for key, _ in self._tag_places(name, tag):
            image_id = self._read_optional(key)
            if image_id is not None and is_image_id(image_id.strip().decode("latin-1")):
                return image_id.strip().decode("latin-1")
        raise errors.TagNotFound(repository=str(name), tag=tag[:200])

    def set_tag(self, name: RepositoryName, tag: str, image_id: str, user_agent: str) -> None:
        """Point a tag to an image, and keep what the ``User-Agent`` of the push tells.

        InvalidRepositoryName, InvalidTagName, TagNameConflict. The caller has made sure that the image is there.
        """
        folder = self._folder_to_write(name)
        check_tag(tag)
        key, info_key = layout.tag_key(folder, tag), layout.tag_info_key(folder, tag)
        may_move = self.may_move_tag(name, tag)
        info = json.dumps(info_of_user_agent(user_agent, self._clock())).encode("ascii")
        with self._excluding_clashes(folder, tag):
            if self._holds_info(key) or self._holds_tag(info_key):
                raise errors.TagNameConflict(repository=str(name), tag=tag)
            if may_move:
                self._storage.write(key, image_id.encode("ascii"))
            else:
                self._set_once(key, image_id)
            self._storage.write(info_key, info)
        if tag == "latest":
            self._storage.write(f"{folder}/{layout.INFO}", info)

    def delete_tag(self, name: RepositoryName, tag: str) -> None:
        """Remove a tag and its info, the repository's info too with ``latest``. TagNotFound."""
        is_found = False
        for folder in self._folders(name):
            for key, info_key in layout.tag_places(folder, tag):
                if not self._holds_tag(key):
                    continue
                with self._excluding_clashes(folder, tag):
                    is_found = self._delete(key) or is_found
                    if not self._holds_tag(info_key):
                        self._delete(info_key)
                if tag == "latest":
                    self._delete(f"{folder}/{layout.INFO}")
        if not is_found:
            raise errors.TagNotFound(f"Tag not found: {tag[:200]}", repository=str(name))

    # -- what is told of the last push

    def info(self, name: RepositoryName) -> dict[str, object]:
        """Return what is known of the last push of ``latest``; of an unknown repository nulls."""
        return self._read_info(f"{folder}/{layout.INFO}" for folder in self._folders(name))

    def tag_info(self, name: RepositoryName, tag: str) -> dict[str, object]:
        """Return what is known of the last push of a tag; of an unknown one nulls."""
        return self._read_info(info_key for _, info_key in self._tag_places(name, tag))

    # -- properties

    def is_private(self, name: RepositoryName) -> bool:
        return any(self._has(f"{folder}/{layout.PRIVATE}") for folder in layout.repository_folders(name))

    def set_private(self, name: RepositoryName, is_private: bool) -> None:
        """Set or take away the flag. InvalidRepositoryName."""
        key = f"{self._folder_to_write(name)}/{layout.PRIVATE}"
        if is_private:
            self._storage.write(key, b"")
        else:
            self._delete(key)

    def collaborators(self, name: RepositoryName) -> dict[str, Action]:
        """Return user name -> READ or WRITE: who may use the repository besides those whose namespace it is in."""
        stored = self._read_json(name, layout.COLLABORATORS)
        return {user: Action(word) for user, word in stored.items() if word in ("read", "write")}

    def set_collaborator(self, name: RepositoryName, username: str, action: Action | None) -> None:
        """Let somebody read, or write and read, the repository; None takes that back. RepositoryNotFound."""

        def change(old: bytes | None) -> bytes:
            stored = layout.parse_stored(old or b"")
            granted = stored if isinstance(stored, dict) else {}
            granted.pop(username, None)
            if action is not None:
                granted[username] = action.value
            return json.dumps(granted, sort_keys=True).encode("ascii")

        update(self._storage, f"{self._require_folder(name)}/{layout.COLLABORATORS}", change)

    def description(self, name: RepositoryName) -> str:
        """Return the description, empty where there is none."""
        for folder in layout.repository_folders(name):
            data = self._read_optional(f"{folder}/{layout.DESCRIPTION}")
            if data is not None:
                return data.decode("utf-8", errors="replace")
        return ""

    def describe(self, name: RepositoryName, description: str) -> None:
        """Set the description, which search looks at and shows. RepositoryNotFound."""
        self._storage.write(f"{self._require_folder(name)}/{layout.DESCRIPTION}", description.encode("utf-8"))

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
        """Say whether the repository's tags may be moved. RepositoryNotFound."""
        self._storage.write(f"{self._require_folder(name)}/{layout.TAG_RULE}", rule.value.encode("ascii"))

    # -- the image list

    def announce(self, name: RepositoryName, body: bytes, entries: list[dict[str, str]]) -> None:
        """Start a push: create the repository with the list as sent, or add to the list of an existing one.

        InvalidRepositoryName. Docker-registry keeps the first body byte for byte, and so do we.
        """
        self._change_list(name, lambda old: body if old is None else _merged(old, entries))

    def add_images(self, name: RepositoryName, entries: list[dict[str, str]]) -> None:
        """End a push: images are added and sums adopted, never removed; without entries no list is begun.

        InvalidRepositoryName. From now on the list has no tags, as docker-registry 0.9.1 keeps it: engines
        also fetch what a ``Tag`` in the list names, wherever the tags are by now (moby 0.9.0 to 17.05, pullRepository).
        """
        self._change_list(
            name, lambda old: _merged(old or b"[]", entries) if old is not None or entries else None
        )

    def image_list(self, name: RepositoryName, *, even_deleted: bool = False) -> bytes:
        """Return the image list as JSON, as stored. ImageListNotFound, also where only tags are there.

        :param even_deleted: also of a repository that is marked as deleted.
        """
        for folder in self._folders(name, even_deleted=even_deleted):
            stored = self._read_optional(f"{folder}/{layout.IMAGE_LIST}")
            if stored is not None:
                return stored
        raise errors.ImageListNotFound(repository=str(name))

    # -- inside

    def _folders(self, name: RepositoryName, *, even_deleted: bool = False) -> Iterator[str]:
        """Yield the folders that the repository may have, but for those that are marked as deleted."""
        for folder in layout.repository_folders(name):
            if even_deleted or not self._has(f"{folder}/{layout.DELETED}"):
                yield folder

    def _existing_folder(self, name: RepositoryName, *, even_deleted: bool = False) -> str | None:
        for folder in self._folders(name, even_deleted=even_deleted):
            if (
                self._has(f"{folder}/{layout.IMAGE_LIST}")
                or any(self._read_tag(stat) for stat in self._list(f"{folder}/{layout.TAG_PREFIX}"))
                or self._has(f"{folder}/{layout.PRIVATE}")
            ):
                return folder
        return None

    def _require_folder(self, name: RepositoryName) -> str:
        folder = self._existing_folder(name)
        if folder is None:
            raise errors.RepositoryNotFound(repository=str(name))
        return folder

    def _folder_to_write(self, name: RepositoryName) -> str:
        """Return the folder in which the repository is, or shall be, with a name that may be written."""
        name.checked()
        existing = self._existing_folder(name)
        if existing is not None:
            return existing
        if self.is_marked_deleted(name):
            # what is written now begins an empty repository (decisions.md 14)
            self.remove(name)
        folder = layout.repository_folders(name)[-1]
        if max(map(len, folder.split("/"))) > 255:
            raise errors.InvalidRepositoryName(repository=str(name)[:300])
        return folder

    def _change_list(self, name: RepositoryName, change: Callable[[bytes | None], bytes | None]) -> None:
        update(self._storage, f"{self._folder_to_write(name)}/{layout.IMAGE_LIST}", change)

    def _tag_places(self, name: RepositoryName, tag: str) -> Iterator[tuple[str, str]]:
        for folder in self._folders(name):
            yield from layout.tag_places(folder, tag)

    def _excluding_clashes(self, folder: str, tag: str) -> AbstractContextManager[None]:
        """Keep out, between a look and a write, a tag whose key is that of this one's info, or the reverse."""
        if tag.startswith("_") or tag.endswith("_json"):
            return self._storage.lock(folder)
        return nullcontext()

    def _read_tag(self, stat: Stat) -> str | None:
        """Return the id in a tag's key, None where it is the info of another tag (storage-layout.md 3.3)."""
        if stat.size > 100:
            return None
        cached = self._tag_cache.find((stat.key, stat.etag))
        if cached is None:
            try:
                data, stat = self._storage.read(stat.key)
            except KeyNotFound:
                return None
            cached = data.strip().decode("latin-1")
            self._tag_cache.keep((stat.key, stat.etag), cached)
        return cached if is_image_id(cached) else None

    def _holds_tag(self, key: str) -> bool:
        data = self._read_optional(key)
        return data is not None and is_image_id(data.strip().decode("latin-1"))

    def _holds_info(self, key: str) -> bool:
        data = self._read_optional(key)
        return data is not None and not is_image_id(data.strip().decode("latin-1"))

    def _set_once(self, key: str, image_id: str) -> None:
        """Write a tag that may not be moved; the same image again is fine. TagImmutable."""
        try:
            self._storage.write(key, image_id.encode("ascii"), expect=ABSENT)
        except KeyConflict:
            if (self._read_optional(key) or b"").strip() != image_id.encode("ascii"):
                raise errors.TagImmutable(key=key) from None

    def _read_json(self, name: RepositoryName, key: str) -> dict[str, object]:
        """Return the first object that one of the repository's folders has under a key, else an empty one."""
        for folder in layout.repository_folders(name):
            data = self._read_optional(f"{folder}/{key}")
            if data is not None:
                parsed = layout.parse_stored(data)
                return parsed if isinstance(parsed, dict) else {}
        return {}

    def _read_info(self, keys: Iterable[str]) -> dict[str, object]:
        for key in keys:
            info = layout.parse_stored(self._read_optional(key) or b"")
            if isinstance(info, dict):
                return info
        return dict(UNKNOWN_INFO)

    def _read_optional(self, key: str) -> bytes | None:
        """Return what is stored, None where nothing is or can be: names from requests may make impossible keys."""
        try:
            return self._storage.read(key)[0]
        except (KeyNotFound, InvalidKey):
            return None

    def _has(self, key: str) -> bool:
        try:
            self._storage.stat(key)
        except (KeyNotFound, InvalidKey):
            return False
        return True

    def _list(self, prefix: str) -> Iterator[Stat]:
        try:
            yield from self._storage.list(prefix)
        except InvalidKey:
            return

    def _delete(self, key: str) -> bool:
        """Remove a key; tell whether it was there."""
        try:
            self._storage.delete(key)
        except KeyNotFound:
            return False
        return True


def checked_entries(parsed: object) -> list[dict[str, str]]:
    """Return the image list of a request, reduced to ``id`` and ``checksum``. InvalidData.

    Engines send an element per image and tag, so ids repeat; other keys, ``Tag`` among them, are ignored (hub.md 3.1).
    """
    if not isinstance(parsed, list):
        raise errors.InvalidData
    entries = []
    for element in parsed:
        if not isinstance(element, dict) or not is_image_id(element.get("id")):
            raise errors.InvalidData
        entry = {"id": element["id"]}
        if "checksum" in element:
            if not isinstance(element["checksum"], str):
                raise errors.InvalidData
            entry["checksum"] = element["checksum"]
        entries.append(entry)
    return entries


def _merged(stored: bytes, entries: list[dict[str, str]]) -> bytes:
    """Return the stored list with ``entries`` merged in: its order kept, new ids after it, sums adopted (hub.md 4.3)."""
    merged: dict[str, dict[str, str]] = {}
    for entry in [*_stored_entries(stored), *entries]:
        known = merged.setdefault(entry["id"], {"id": entry["id"]})
        if entry.get("checksum"):
            known["checksum"] = entry["checksum"]
    return json.dumps([dict(sorted(entry.items())) for entry in merged.values()]).encode("ascii")


def _stored_entries(stored: bytes) -> list[dict[str, str]]:
    """Return what can be used of a stored list; old servers stored whatever came."""
    parsed, entries = layout.parse_stored(stored), []
    for element in parsed if isinstance(parsed, list) else ():
        if isinstance(element, dict) and isinstance(element.get("id"), str):
            checksum = element.get("checksum")
            entry = {"id": element["id"]}
            entries.append(entry | {"checksum": checksum} if isinstance(checksum, str) else entry)
    return entries
