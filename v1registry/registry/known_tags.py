"""The tags of the repositories' folders, as they were read lately.

A list that was read before is valid as long as the version of its folder is the same: then no tag was set or
deleted through this protocol, by any thread or process. docker-registry moves a tag by writing its file in
place, which changes the file alone. So after some seconds the etags of all tags are compared again.

``docs/internals.md`` says which changes are seen how soon.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from threading import Lock, RLock
from typing import Final, NamedTuple

from ..clock import Clock
from ..layers.remembered import Remembered
from ..names import is_image_id
from ..storage.base import InvalidKey, Stat, Storage
from ..wsgi.documents import dump_json
from . import layout

#: How long a list is used before the etags of its tags are compared again, in seconds.
COMPARED_EVERY_S: Final = 2.0

#: What the lists of one process may take, in bytes, and what a tag takes, about: its key, its etag, its name,
#: its image id, its part of the JSON, and their places in dictionaries.
KEPT_BYTES: Final = 32 << 20
_TAG_BYTES: Final = 900

#: Values of more bytes are not those of tags.
_LONGEST_VALUE: Final = 100

#: A value that was written so shortly before it was read is read again. The file system may give a later
#: value that is written in place the same time, and so the same etag.
_SETTLED_NS: Final = 1_000_000_000

#: How many values are asked for at once.
_BATCH: Final = 1000

#: How many lists are read at the same time, and how long a request waits for the reading of another one, in
#: seconds, before it reads for itself.
_TURNS: Final = 64
_TURN_WAIT_S: Final = 5.0

_serials = itertools.count(1)


class _Value(NamedTuple):
    """The value of one key."""

    image_id: str | None  #: None if the key is not that of a tag (storage-layout.md 3.3)
    etag: str
    modified_ns: int
    is_settled: bool  #: whether an equal etag means an equal value


class TagList:
    """The tags of a folder, as they were read together. The caller must not change it.

    :param values: by key, in key order.
    """

    def __init__(self, values: dict[str, _Value]):
        self.image_ids: dict[str, str] = {}  #: tag -> image id
        self.times_ns: dict[str, int] = {}  #: tag -> when it was set, in nanoseconds since 1970
        #: tells lists apart for those that keep what they made of one; 0 if the list is not kept itself
        self.serial = 0
        self.values = values
        #: the version of the folder before the values were compared, and when that was
        self.compared: tuple[str | None, float] = None, 0.0
        self.turn = Lock()  #: of the thread that compares the values
        self._json: bytes | None = None
        for key, value in values.items():
            if value.image_id is not None:
                tag = layout.unstore_part(key.rpartition("/")[2][len(layout.TAG_PREFIX) :])
                self.image_ids[tag] = value.image_id
                self.times_ns[tag] = value.modified_ns

    @property
    def json(self) -> bytes:
        """The object tag -> image id as JSON."""
        if self._json is None:
            self._json = dump_json(self.image_ids)
        return self._json

    def first(self, most: int | None) -> Iterator[str]:
        """Yield tags in key order.

        :param most: how many at most; None for all.
        """
        return itertools.islice(self.image_ids, most)


def stored_names(storage: Storage, folders: Iterable[str]) -> list[str]:
    """Return the tags of which a key is stored in some folders, sorted. Their values are not read."""
    prefixes = [f"{folder}/{layout.TAG_PREFIX}" for folder in folders]
    return sorted(
        {layout.unstore_part(stat.key[len(prefix) :]) for prefix in prefixes for stat in storage.list(prefix)}
    )


class KnownTags:
    """The tags of the folders of one storage. Safe for threads and processes."""

    def __init__(self, storage: Storage, *, clock: Clock):
        self._storage = storage
        self._clock = clock
        # reentrant: a storage may ask for tags while it is asked
        self._turns = tuple(RLock() for _ in range(_TURNS))
        self._lists = Remembered[TagList](KEPT_BYTES, lambda tags: 1000 + len(tags.values) * _TAG_BYTES)

    def of(self, folder: str, *, most: int | None = None) -> TagList:
        """Return the tags of a folder; it has none if the folder is missing, or cannot be a folder.

        :param most: about how many tags are read if they are not known, and 0 to find whether there is one;
            None for all.
        """
        now_s = self._clock.monotonic_s()
        try:
            version = self._storage.folder_version(folder)
        except InvalidKey:
            version = ""
        if version == "":
            return TagList({})
        known = self._lists.find(folder)
        if known is None or version is None or known.compared[0] != version:
            if most is not None:
                return self._read(folder, version, known, most)
            return self._read_in_turn(folder, version, now_s)
        if now_s - known.compared[1] < COMPARED_EVERY_S:
            return known
        if not known.turn.acquire(blocking=False):
            # another thread compares the values just now
            return known
        try:
            return self._read(folder, version, known, most)
        finally:
            known.turn.release()

    def _read_in_turn(self, folder: str, version: str | None, arrived_s: float) -> TagList:
        """Return the tags of a folder that is not known. Requests that come meanwhile share one reading."""
        turn = self._turns[hash(folder) % len(self._turns)]
        has_turn = turn.acquire(timeout=_TURN_WAIT_S)
        try:
            known = self._lists.find(folder)
            if known is not None:
                is_same = version is not None and known.compared[0] == version
                # one that began after this request came shows all that this one must show
                if is_same or known.compared[1] > arrived_s:
                    return known
            return self._read(folder, version, known, None)
        finally:
            if has_turn:
                turn.release()

    def read(self, stats: Iterable[Stat], most: int | None = None) -> TagList:
        """Return the tags that were listed, without keeping them.

        :param most: about how many tags are read; None for all.
        """
        return self._updated(stats, None, most)[0]

    def _read(self, folder: str, version: str | None, known: TagList | None, most: int | None) -> TagList:
        began_s = self._clock.monotonic_s()
        stats = self._storage.list(f"{folder}/{layout.TAG_PREFIX}")
        tags, is_whole = self._updated(stats, known, most)
        if not is_whole:
            return tags
        tags.compared = version, began_s
        if tags is not known:
            self._lists.keep(folder, tags)
        is_kept = version is not None and self._lists.find(folder) is tags
        if is_kept and not tags.serial:
            tags.serial = next(_serials)
        return tags

    def _updated(
        self, stats: Iterable[Stat], known: TagList | None, most: int | None
    ) -> tuple[TagList, bool]:
        """Return the tags that were listed, and whether these are all. It is ``known`` if nothing changed.

        Values that are known under their etags are not read.
        """
        old = {} if known is None else known.values
        values: dict[str, _Value] = {}
        count, listed, size = 0, iter(stats), _BATCH if most is None else min(_BATCH, most + 1)
        while batch := list(itertools.islice(listed, size)):
            found = {stat.key: _known_value(stat, old) for stat in batch}
            for key, read in self._storage.read_many([key for key in found if found[key] is None]):
                found[key] = None if read is None else _value_of(*read)
            for key, value in found.items():
                if value is not None:  # else it was deleted since the folder was listed
                    values[key] = value
                    count += value.image_id is not None
            if most is not None and count > most:
                return TagList(values), False
        return (TagList(values) if known is None or values != old else known), True


def _known_value(stat: Stat, old: dict[str, _Value]) -> _Value | None:
    """Return the value of a key without reading it; None if it has to be read."""
    known = old.get(stat.key)
    if known is not None and known.etag == stat.etag and known.is_settled:
        return known
    if stat.size > _LONGEST_VALUE:
        return _Value(None, stat.etag, stat.modified_ns, True)
    return None


def _value_of(data: bytes, stat: Stat) -> _Value:
    text = data.strip().decode("latin-1")
    is_settled = time.time_ns() - stat.modified_ns >= _SETTLED_NS
    return _Value(text if is_image_id(text) else None, stat.etag, stat.modified_ns, is_settled)
