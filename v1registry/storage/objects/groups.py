"""Groups of keys: which keys change together, in one step.

A pattern is a key with ``*`` for any segment, and one of three ends:

=========================  =============================================================
``images/*``               the key ``images/X`` and all below it are one group, for each X
``blobs/sha256/??``        keys whose third segment begins with the same two characters
``accounts/**``            each key below ``accounts`` is a group of its own
=========================  =============================================================

The first pattern that fits a key decides. The last one is always ``*``: all keys with the same first segment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from ..base import InvalidKey, check_key
from .names import decoded, encode

#: Kinds of groups, as they stand in the names of their objects.
FOLDER: Final = "f"  #: a key, and all keys below it
BEGINNING: Final = "p"  #: all keys that begin alike, in the middle of a segment
SINGLE: Final = "k"  #: one key

#: Ends the encoded start of a group in the name of its object. No encoded text continues with it, and it
#: sorts before all that one can continue with.
_END: Final = "!-"

#: The folder of the documents in a store.
DOCUMENTS: Final = "folders"

#: The longest name of an object, of the 1,024 bytes that stores allow, without the prefix of a bucket.
_LONGEST_NAME: Final = 900

#: How many groups of keys and of folders, and names of their objects, are remembered.
_REMEMBERED: Final = 4096


class Group(NamedTuple):
    """Keys that change together. Each begins with ``start``, and ``start`` itself may be one of them."""

    start: str
    kind: str  #: FOLDER, BEGINNING or SINGLE

    @property
    def object_name(self) -> str:
        """The name of the object that holds the document of the group.

        >>> Group("images/0123", FOLDER).object_name
        'folders/images/0123!-f'
        """
        return _object_name(self.start, self.kind)


@lru_cache(maxsize=_REMEMBERED)
def _object_name(start: str, kind: str) -> str:
    return f"{DOCUMENTS}/{encode(start)}{_END}{kind}"


def group_of_object(name: str) -> Group | None:
    """Return the group whose document an object holds; None if no document has this name.

    :param name: without the prefix of the storage. A different program may have chosen it.

    >>> group_of_object("folders/images/0123!-f")
    Group(start='images/0123', kind='f')
    >>> group_of_object("folders/images/readme.txt")
    """
    folder, slash, rest = name.partition("/")
    encoded, end, kind = rest.rpartition(_END)
    if folder != DOCUMENTS or not (slash and end) or kind not in (FOLDER, BEGINNING, SINGLE):
        return None
    start = decoded(encoded)
    return None if start is None else Group(start, kind)


class Cover(NamedTuple):
    """The groups that may have keys with one beginning."""

    groups: tuple[Group, ...]  #: those that have other keys too, sorted
    is_open: bool  #: whether there may be groups whose start has the beginning


class Pattern:
    """One pattern of a table.

    :raises ValueError: the text is not a pattern.
    """

    def __init__(self, text: str):
        parts = text.split("/")
        self.kind = {"??": BEGINNING, "**": SINGLE}.get(parts[-1], FOLDER)
        self.parts = ["*" if part in ("??", "**") else part for part in parts]
        if "" in parts or {"??", "**"} & set(parts[:-1]):
            raise ValueError(f"a pattern of keys must end after ?? or **, and have no empty part: {text!r}")

    def group_of(self, segments: list[str]) -> Group | None:
        """Return the group of a key, None if the pattern does not fit it."""
        count = len(self.parts)
        if len(segments) < count or not self.fits(segments):
            return None
        if self.kind == SINGLE:
            return Group("/".join(segments), SINGLE)
        if self.kind == BEGINNING:
            if len(segments[count - 1]) < 2:
                return None
            return Group("/".join([*segments[: count - 1], segments[count - 1][:2]]), BEGINNING)
        return Group("/".join(segments[:count]), FOLDER)

    def cover(self, segments: list[str]) -> tuple[Group | None, bool, bool]:
        """Tell which of its groups have keys that begin alike.

        :param segments: of the beginning; the last one may be incomplete.
        :return: the one group that is certain; whether there may be others; whether all such keys are in
            them.
        """
        count = len(self.parts)
        whole = len(segments) - 1
        if not self.fits(segments[:whole]) or not self._may_fit(segments, whole):
            return None, False, False
        if self.kind == BEGINNING and whole >= count - 1 and len(segments[count - 1]) >= 2:
            return self.group_of([*segments[:count]]), False, True
        if self.kind == BEGINNING and whole >= count:
            # the segment is too short to begin with two characters
            return None, False, False
        if self.kind == FOLDER and whole >= count:
            return self.group_of(segments[:whole]), False, True
        is_whole = self.kind != BEGINNING and whole >= count - 1 and self.parts[count - 1] == "*"
        return None, True, is_whole

    def fits(self, segments: list[str]) -> bool:
        """Tell whether the pattern and some segments agree as far as both go."""
        return all(part in ("*", segment) for part, segment in zip(self.parts, segments, strict=False))

    def _may_fit(self, segments: list[str], whole: int) -> bool:
        """Tell whether the incomplete segment may become what the pattern has there."""
        if whole >= len(self.parts):
            return True
        part = self.parts[whole]
        return part == "*" or part.startswith(segments[whole])


class Groups:
    """A table of patterns.

    :param patterns: the first one that fits a key decides; see the head of this module.
    :raises ValueError: a text is not a pattern.
    """

    def __init__(self, patterns: Iterable[str] = ()):
        texts = (*patterns, "*")
        self._patterns = [Pattern(text) for text in texts]
        #: a text that tables with other patterns do not have
        self.fingerprint = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
        self.of = lru_cache(maxsize=_REMEMBERED)(self._of)
        self._only_of = lru_cache(maxsize=_REMEMBERED)(self._find_only)

    def of_object(self, name: str) -> Group | None:
        """Return the group whose document an object holds; None if no document has this name.

        :param name: without the prefix of the storage. A different program may have chosen it.
        """
        group = group_of_object(name)
        return group if group is not None and self.of(group.start) == group else None

    def of_any(self, key: str) -> Group:
        """Return the group of a text that may not be a key.

        :raises InvalidKey: it is not one, or too long for this storage.
        """
        group = self.of(check_key(key))
        if len(group.object_name) > _LONGEST_NAME:
            raise InvalidKey(key, "it is too long for the name of an object")
        return group

    def _of(self, key: str) -> Group:
        segments = key.split("/")
        groups = (pattern.group_of(segments) for pattern in self._patterns)
        return next(group for group in groups if group is not None)

    def cover(self, beginning: str, *, most_segments: int | None = None) -> Cover:
        """Return the groups that may have keys with a beginning.

        :param most_segments: leaves out keys with more segments; None for all keys.

        >>> Groups(["images/*"]).cover("images/0123/j")
        Cover(groups=(Group(start='images/0123', kind='f'),), is_open=False)
        >>> Groups(["images/*"]).cover("images/")
        Cover(groups=(), is_open=True)
        """
        segments = beginning.split("/")
        found = set()
        is_open = False
        for pattern in self._patterns:
            if most_segments is not None and len(pattern.parts) > most_segments:
                continue
            group, may_be_others, has_all = pattern.cover(segments)
            if group is not None:
                found.add(group)
            is_open |= may_be_others
            if has_all:
                break
        return Cover(tuple(sorted(found)), is_open)

    def only(self, folder: str, *, is_deep: bool) -> Group | None:
        """Return the group of all keys in a folder, None if they may be in several.

        :param is_deep: whether the keys of the folders in it count too.
        """
        return self._only_of(folder, is_deep)

    def _find_only(self, folder: str, is_deep: bool) -> Group | None:
        most_segments = None if is_deep else folder.count("/") + 2
        cover = self.cover(f"{folder}/", most_segments=most_segments)
        return None if cover.is_open or len(cover.groups) != 1 else cover.groups[0]

    def are_nested(self, base: str) -> bool:
        """Tell whether folders in a folder may have one document of their own, and others below it.

        :param base: the folder and a slash; ``""`` is the root.
        """
        segments = base.split("/")
        fitting = [pattern for pattern in self._patterns if pattern.fits(segments[:-1])]
        return any(
            pattern.kind == FOLDER and len(pattern.parts) == len(segments) for pattern in fitting
        ) and any(len(pattern.parts) > len(segments) for pattern in fitting)

    def starts_within(self, beginning: str, text: str) -> Iterator[Group]:
        """Yield the groups whose start begins so, that ``text`` begins with and is longer than, and that may
        have keys which sort after it.
        """
        for end in range(max(len(beginning), 1), len(text)):
            group = self._of(text[:end])
            if group.start != text[:end] or group.start[-1] == "/" or group.kind == SINGLE:
                continue
            # in a folder, what sorts after the text has a slash there, or the text has one too
            if group.kind == BEGINNING or text[end] <= "/":
                yield group
