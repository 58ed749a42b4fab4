"""What is stored of one image id, who holds it, and its removal (decisions.md 18)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from .. import errors
from ..access.holders import Holders
from ..names import RepositoryName
from ..registry import layout
from ..registry.contents import Contents
from ..registry.repositories import Repositories
from ..registry.wholeness import parts_of
from ..rights import Content
from ..storage.base import KeyConflict, KeyNotFound, Storage


@dataclass(frozen=True)
class StoredContent:
    """One content of an image id."""

    name: str  #: ``first`` for the keys of docker-registry, else the name of its folder
    state: str  #: ``complete``, ``unfinished`` for a push of an old server, or ``damaged``
    damage: str  #: what is damaged; empty if nothing is
    layer_bytes: int | None  #: None if the layer is not stored
    checksums: tuple[str, ...]
    ancestry: tuple[str, ...]  #: the image first; the image alone if more is not known
    holders: tuple[str, ...]  #: repositories whose marks count; none in data without accounts


class StoredImages:
    """The images of one storage, for an administrator. Safe beside running servers."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self._contents = Contents(storage)
        self._repositories = Repositories(storage)
        self._holders = Holders(storage, self._contents, self._repositories)

    def contents(self, image_id: str) -> list[StoredContent]:
        """Return what is stored of an image id, the first content first; empty if nothing is."""
        held: dict[str, list[str]] = {}
        for repository, content in self._holders.every(image_id):
            held.setdefault(content.variant, []).append(str(repository))
        names = ["", *self._contents.variants(image_id)]
        found = [self._stored(Content(image_id, name), held.get(name, ())) for name in names]
        return [content for content in found if content is not None]

    def tags(self, image_id: str) -> Iterator[str]:
        """Yield the tags that name an image, as ``NAMESPACE/NAME:TAG``. All repositories are looked at."""
        for repository in self._repositories.candidates():
            for tag, target in sorted(self._repositories.tags_or_none(repository).items()):
                if target == image_id:
                    yield f"{repository}:{tag}"

    def users(self, image_id: str) -> list[str]:
        """Return the repositories that hold an image, or whose tags reach it. All are looked at."""
        found = {str(repository) for repository, _ in self._holders.every(image_id)}
        for repository in self._repositories.candidates():
            if str(repository) not in found and self._reaches(repository, image_id):
                found.add(str(repository))
        return sorted(found)

    def remove(self, image_id: str) -> int:
        """Remove all that is stored of an image id; return its bytes.

        Each key is removed as it was listed, the JSON first. What a push stores meanwhile stays.
        """
        folder, removed_bytes = f"{layout.image_folder(image_id)}/", 0
        stats = list(self._storage.list(folder))
        for stat in sorted(stats, key=lambda stat: (not stat.key.endswith(f"/{layout.JSON}"), stat.key)):
            with suppress(KeyNotFound, KeyConflict):
                self._storage.delete(stat.key, expect=stat.etag)
                removed_bytes += stat.size
        return removed_bytes

    def _stored(self, content: Content, holders: list[str] | tuple[str, ...]) -> StoredContent | None:
        damage = ""
        try:
            content = Content(content.image_id, content.variant, parts_of(self._storage, content))
        except errors.ImageDamaged as error:
            damage = error.damage
        except errors.ImageNotFound:
            if not holders:
                return None
            damage = "nothing of it is stored"
        is_unfinished = not content.variant and self._contents.has_mark(content.image_id)
        stat = self._contents.layer(content)
        return StoredContent(
            name=content.variant or "first",
            state="unfinished" if is_unfinished else "damaged" if damage else "complete",
            damage=damage,
            layer_bytes=None if stat is None else stat.size,
            checksums=self._contents.checksums(content),
            ancestry=tuple(self._contents.known_ancestry(content)),
            holders=tuple(sorted(holders)),
        )

    def _reaches(self, repository: RepositoryName, image_id: str) -> bool:
        targets = set(self._repositories.tags_or_none(repository).values())
        return any(image_id in self._contents.known_ancestry(Content(target)) for target in targets)
