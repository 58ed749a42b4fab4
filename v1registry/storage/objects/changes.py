"""What operations make of the names of a document."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import repeat
from typing import Final, NamedTuple

from ..base import ABSENT, ANY, InvalidKey, KeyConflict, KeyNotFound
from .documents import Entry, Names
from .groups import Group

#: For at most so many new names, each name of a document is looked at.
_FEW_NAMES: Final = 4


def check_places(names: Names, group: Group, new: Iterable[str]) -> None:
    """Check that no new name is the folder of others or lies below one.

    :param names: of the document; the new ones may be among them.
    :raises InvalidKey: one does.
    """
    new = list(new)
    # looking at all names for each new one would grow with the square
    folders = {above for name in names for above in _above(name)} if len(new) > _FEW_NAMES else None
    for name in new:
        if name in folders if folders is not None else _has_below(names, name):
            raise InvalidKey(group.start + name, "it is the folder of other keys")
        for above in _above(name):
            if above in names:
                raise InvalidKey(group.start + name, f"{group.start}{above} is a key, not a folder")


def written(names: Names, group: Group, key: str, entry: Entry, expect: str) -> Names:
    """Return the names of a group with a value under a key.

    :param expect: of the storage's protocol.
    :raises InvalidKey: the key is the folder of others or lies below one.
    :raises KeyConflict: the stored value is not the expected one.
    """
    name = key[len(group.start) :]
    known = names.get(name)
    if known is None:
        check_places(names, group, [name])
    if expect not in (ANY, ABSENT if known is None else known.etag):
        raise KeyConflict(key, "the stored value is not the expected one")
    return {**names, name: entry}


def deleted(names: Names, group: Group, key: str, expect: str) -> Names:
    """Return the names of a group without one key.

    :param expect: of the storage's protocol.
    :raises KeyNotFound: nothing is stored under the key.
    :raises KeyConflict: the stored value is not the expected one.
    """
    name = key[len(group.start) :]
    known = names.get(name)
    if known is None:
        raise KeyNotFound(key)
    if expect not in (ANY, known.etag):
        raise KeyConflict(key, "the stored value is not the expected one")
    return {other: entry for other, entry in names.items() if other != name}


def without_all(names: Names, group: Group, keys: Collection[str]) -> Names | None:
    """Return the names of a group without some keys; None if all of them are missing."""
    removed = {key[len(group.start) :] for key in keys}
    kept = {name: entry for name, entry in names.items() if name not in removed}
    return None if len(kept) == len(names) else kept


def without(names: Names, group: Group, base: str) -> Names | None:
    """Return the names of a group without the keys that begin with ``base``; None if there are none."""
    kept = {name: entry for name, entry in names.items() if not (group.start + name).startswith(base)}
    return None if len(kept) == len(names) else kept


class Move(NamedTuple):
    """A publication: the keys below ``staged`` are to be keys below ``folder``."""

    staged: str
    source: Group  #: of the keys below ``staged``
    folder: str
    target: Group  #: of the keys below ``folder``

    def within(self, names: Names) -> Names:
        """Return the names of a group that has both folders.

        :raises StorageError: see :meth:`added`.
        """
        moving = self.moving(names)
        added = self.added(moving, names)
        return {name: entry for name, entry in added.items() if name not in moving}

    def moving(self, names: Names) -> Names:
        """Return the names below ``staged``.

        :raises KeyNotFound: there are none.
        """
        base = f"{self.staged}/"
        found = {name: entry for name, entry in names.items() if (self.source.start + name).startswith(base)}
        if not found:
            raise KeyNotFound(self.staged, "no key is below this folder")
        return found

    def added(self, moving: Names, names: Names) -> Names:
        """Return the names of the target, with those of ``moving`` below ``folder``.

        :raises KeyConflict: a key is below ``folder``.
        :raises InvalidKey: ``folder`` is a key or lies below one.
        """
        base = f"{self.folder}/"
        if any((self.target.start + name).startswith(base) for name in names):
            raise KeyConflict(self.folder, "a key is below this folder already")
        # cut by lengths: the name of the group may be longer or shorter than the folder
        cut, start = len(self.staged) - len(self.source.start), len(self.target.start)
        place = self.folder[start:]
        if place in names or any(above in names for above in _above(place)):
            raise InvalidKey(self.folder, "it is a key, or lies below one")
        moved = {place + name[cut:]: entry for name, entry in moving.items()}
        return {**names, **moved}

    def removed(self, copied: Names, names: Names) -> Names | None:
        """Return the names of the source without those that were copied and not changed since; None if
        nothing changes.
        """
        kept = {name: entry for name, entry in names.items() if copied.get(name) != entry}
        return None if len(kept) == len(names) else kept


def _has_below(names: Names, name: str) -> bool:
    """Tell whether a name is the folder of others. A document may have many thousands."""
    return any(map(str.startswith, names, repeat(f"{name}/")))


def _above(name: str) -> Iterable[str]:
    """Return the names of the folders in which a name is."""
    return [name[:at] for at, letter in enumerate(name) if letter == "/"]
