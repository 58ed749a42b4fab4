"""Removing images: which names and images go, and what forbids it (remote.md 4.6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .errors import ObjectConflict
from .events import EventLog
from .image_store import EngineImage, ImageStore
from .references import ImageReference


@dataclass(frozen=True)
class User:
    """A container that uses an image."""

    id: str
    is_running: bool


@dataclass
class Removal:
    """One request to remove an image.

    :param users: returns the containers of an image id.
    """

    store: ImageStore
    events: EventLog
    users: Callable[[str], list[User]]
    records: list[dict[str, str]] = field(default_factory=list)

    def run(self, text: str, *, is_forced: bool, prunes: bool) -> list[dict[str, str]]:
        """Remove a name, and the image if it was its last one. Return what was untagged and deleted.

        :raises NoSuchObject: the image does not exist.
        :raises ObjectConflict: containers, other images or other names forbid it.
        """
        image = self.store.find(text)
        references = self.store.references(image.id)
        if self.store.is_id_of(text, image):
            if _is_single(references):
                self._check(image, is_forced=is_forced, allows_names=True)
                for reference in references:
                    self._untag(image, reference)
            self._delete(image, is_forced=is_forced, prunes=prunes)
            return self.records
        users = self.users(image.id)
        if not is_forced and _is_single(references) and users:
            raise ObjectConflict(
                f'conflict: unable to remove repository reference "{text}" (must force) - container '
                f"{users[0].id[:12]} is using its referenced image {_short(image)}"
            )
        removed = ImageReference.parse(text).tagged
        self._untag(image, removed)
        left = self.store.references(image.id)
        if not removed.digest and not any(other.tag and other.name == removed.name for other in left):
            # the digests of a repository go with its last tag
            for other in left:
                if other.digest and other.name == removed.name:
                    self._untag(image, other, is_noted=False)
        if not self.store.references(image.id):
            self._delete(image, is_forced=is_forced, prunes=prunes, is_quiet=True)
        return self.records

    def _untag(self, image: EngineImage, reference: ImageReference, *, is_noted: bool = True) -> None:
        self.store.unname(reference)
        self.records.append({"Untagged": str(reference)})
        if is_noted:
            self.events.add("image", "untag", image.id, {"name": image.id, **image.labels})

    def _delete(self, image: EngineImage, *, is_forced: bool, prunes: bool, is_quiet: bool = False) -> None:
        try:
            self._check(image, is_forced=is_forced)
        except ObjectConflict:
            is_dangling = not self.store.references(image.id) and not self.store.children(image)
            if is_quiet and (not is_dangling or self.users(image.id)):
                return
            raise
        for reference in self.store.references(image.id):
            self._untag(image, reference)
        parent = self.store.get(image.parent_id)
        chains = self.store.remove(image)
        # the engine does not know the labels any more
        self.events.add("image", "delete", image.id, {"name": image.id})
        self.records.append({"Deleted": image.id})
        self.records += [{"Deleted": chain} for chain in chains]
        if prunes and parent is not None:
            self._delete(parent, is_forced=False, prunes=True, is_quiet=True)

    def _check(self, image: EngineImage, *, is_forced: bool, allows_names: bool = False) -> None:
        """Return if nothing forbids the removal of an image.

        :raises ObjectConflict: something does; the text is docker's.
        """
        users = self.users(image.id)
        running = [user for user in users if user.is_running]
        if self.store.children(image):
            raise _conflict(image, "image has dependent child images", is_hard=True)
        if running:
            reason = f"image is being used by running container {running[0].id[:12]}"
            raise _conflict(image, reason, is_hard=True)
        if is_forced:
            return
        if not allows_names and self.store.references(image.id):
            raise _conflict(image, "image is referenced in multiple repositories")
        if users:
            raise _conflict(image, f"image is being used by stopped container {users[0].id[:12]}")


def _conflict(image: EngineImage, reason: str, *, is_hard: bool = False) -> ObjectConflict:
    how = "cannot be forced" if is_hard else "must be forced"
    return ObjectConflict(f"conflict: unable to delete {_short(image)} ({how}) - {reason}")


def _short(image: EngineImage) -> str:
    return image.id.removeprefix("sha256:")[:12]


def _is_single(references: list[ImageReference]) -> bool:
    """Tell whether there are names, of one repository, with at most one tag."""
    names = {reference.name for reference in references}
    return len(names) == 1 and len([reference for reference in references if reference.tag]) <= 1
