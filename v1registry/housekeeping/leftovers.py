"""What is left in repositories of images and blobs that were removed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from typing import Any, Final

from ..access.marks import Mark
from ..distribution import layout as v2_layout
from ..names import RepositoryName
from ..registry import layout
from ..rights import Content
from ..storage.at_once import at_once, do_at_once
from ..storage.base import KeyNotFound, Stat, Storage
from .candidates import Candidate
from .repository_folders import repository_folders
from .repository_records import is_sha256
from .sweep import Sweep

#: Ids in an image list.
_IDS: Final = re.compile(rb'"([0-9a-f]{64}|[0-9a-f]{16})"')


class Leftovers:
    """Finds out who had what was removed, and removes what says so.

    :param cutoff_s: younger keys stay, in seconds since the epoch.
    :param looking_at: called before each repository and each image is looked at.
    """

    def __init__(self, storage: Storage, cutoff_s: float, looking_at: Callable[[], object]):
        self._storage = storage
        self._cutoff_s = cutoff_s
        self._looking_at = looking_at

    def owners(self, removed: list[Candidate], of_blobs: Mapping[str, str]) -> dict[str, str]:
        """Return folder -> the name of a repository that had what was in it.

        :param of_blobs: SHA-256 digits -> the name of a repository.
        """
        found: dict[str, str] = {}
        unknown: dict[str, list[str]] = {}
        for candidate in removed:
            if candidate.content is None:
                found[candidate.folder] = of_blobs.get(candidate.sha256, "")
            elif candidate.names:
                found[candidate.folder] = str(name_of(candidate.names[0]))
            else:
                unknown.setdefault(candidate.content.image_id, []).append(candidate.folder)
        if unknown:
            wanted = frozenset(unknown)
            lists = at_once(self._storage, lambda folders: self._listed(folders, wanted), self._folders())
            for folders, _, image_ids in lists:
                for image_id in image_ids & unknown.keys():
                    for folder in unknown.pop(image_id):
                        found[folder] = str(layout.repository_from_folders(*folders))
        return found

    def remove(self, sweep: Sweep, removed: list[Candidate], incarnation_of: Callable[[str], str]) -> None:
        """Remove what only says something about removed images and blobs.

        :param incarnation_of: of a repository by its stored name.
        """

        def tidy(content: Content) -> str:
            if not content.variant:
                self._remove_marks(sweep, content.image_id, incarnation_of)
            return content.image_id if self._is_gone(content.image_id) else ""

        def contents() -> Iterator[Content]:
            for candidate in removed:
                self._looking_at()
                if candidate.content is not None:
                    yield candidate.content

        with closing(at_once(self._storage, tidy, contents())) as image_ids:
            gone = frozenset(filter(None, image_ids))

        def shorten(folders: tuple[str, str]) -> None:
            _, stat, image_ids = self._listed(folders, gone)
            if stat is not None:
                self._shorten(sweep, stat, image_ids)

        if gone:
            do_at_once(self._storage, shorten, self._folders())
        pointers = list(self._storage.list(f"{v2_layout.BLOBS}/sha512/"))
        do_at_once(self._storage, partial(self._remove_pointer, sweep), pointers)

    def _remove_marks(self, sweep: Sweep, image_id: str, incarnation_of: Callable[[str], str]) -> None:
        """Remove marks that count for nothing, and of which none has to be known any more."""
        prefix = f"{layout.image_key(image_id, layout.HELD)}/"
        for stat in list(self._storage.list(prefix)):
            with suppress(KeyNotFound):
                value, stat = self._storage.read(stat.key)
                mark = Mark.parse(value)
                if not mark.variant and not mark.counts(incarnation_of(stat.key.removeprefix(prefix))):
                    sweep.delete(stat)

    def _is_gone(self, image_id: str) -> bool:
        """Tell whether nothing is stored of an image, and no push of it has begun."""
        folders = (layout.image_folder(image_id), f"{layout.UPLOADS}/{image_id}")
        return not any(True for folder in folders for _ in self._storage.list(f"{folder}/"))

    # -- image lists

    def _folders(self) -> Iterator[tuple[str, str]]:
        for folders in repository_folders(self._storage):
            self._looking_at()
            yield folders

    def _listed(
        self, folders: tuple[str, str], wanted: frozenset[str]
    ) -> tuple[tuple[str, str], Stat | None, set[str]]:
        """Return the folders of a repository, the Stat of its image list, and which of some ids are in it."""
        key = f"{layout.REPOSITORIES}/{'/'.join(folders)}/{layout.IMAGE_LIST}"
        try:
            value, stat = self._storage.read(key)
        except KeyNotFound:
            return folders, None, set()
        return folders, stat, {digits.decode("ascii") for digits in _IDS.findall(value)} & wanted

    def _shorten(self, sweep: Sweep, stat: Stat, gone: set[str]) -> None:
        """Remove ids from an image list, unless a push has changed it lately."""
        if not gone or stat.modified.timestamp() > self._cutoff_s:
            return
        with suppress(KeyNotFound):
            value, stat = self._storage.read(stat.key)
            parsed: Any = layout.parse_stored(value)
            if isinstance(parsed, list):
                left = [
                    item for item in parsed if not (isinstance(item, dict) and str(item.get("id")) in gone)
                ]
                sweep.replace(stat, json.dumps(left).encode("ascii"))

    # -- digests of other algorithms

    def _remove_pointer(self, sweep: Sweep, listed: Stat) -> None:
        with suppress(KeyNotFound):
            value, stat = self._storage.read(listed.key)
            sha256 = value.decode("ascii", "replace")
            if stat.modified.timestamp() <= self._cutoff_s and not self._has_blob(sha256):
                sweep.delete(stat)

    def _has_blob(self, sha256: str) -> bool:
        if not is_sha256(sha256):
            return False
        try:
            self._storage.stat(v2_layout.blob_key(sha256))
        except KeyNotFound:
            return False
        return True


def name_of(stored_name: str) -> RepositoryName:
    """Return the name of a repository from the form in which marks have it."""
    namespace, _, folder = stored_name.partition("/")
    return layout.repository_from_folders(namespace, folder)
