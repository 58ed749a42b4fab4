"""A search for damaged data (decisions.md 22). Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .. import errors
from ..access.marks import Mark
from ..layers.checksums import PayloadChecksum, parse_checksums
from ..names import is_image_id
from ..registry import layout
from ..registry.contents import Contents
from ..registry.image_lists import is_list
from ..registry.repositories import Repositories
from ..registry.tags import TagRule, is_info_value, is_tag_value
from ..registry.wholeness import parts_of, stored_ancestry
from ..rights import Content
from ..storage.base import KeyNotFound, Storage
from .verify_blobs import BlobVerification

#: Below these keys each value is a record: a JSON object.
_RECORDS: Final = (
    "accounts/users/",
    "accounts/addresses/",
    "accounts/oauth/applications/",
    "accounts/oauth/grants/",
)


@dataclass(frozen=True)
class Problem:
    """A value that is damaged."""

    key: str  #: or the folder, if several keys do not fit together
    text: str


class Verification:
    """Looks at all values of a storage.

    :param reads_layers: compare all layers with their sums, and all blobs with their digests. All bytes are
        read.
    """

    def __init__(self, storage: Storage, *, reads_layers: bool = False):
        self._storage = storage
        self._contents = Contents(storage)
        self._repositories = Repositories(storage)
        self._reads_layers = reads_layers
        self._blobs = BlobVerification(storage, reads_blobs=reads_layers)
        self.images = 0  #: how many image ids were looked at
        self.repositories = 0  #: how many repositories were looked at

    def problems(self) -> Iterator[Problem]:
        """Yield what is damaged: images, then blobs, then repositories, then records of accounts."""
        for image_id in self._storage.list_folders(layout.IMAGES):
            if is_image_id(image_id):
                self.images += 1
                yield from self._of_image(image_id)
        for key, text in self._blobs.of_blobs():
            yield Problem(key, text)
        for namespace in self._storage.list_folders(layout.REPOSITORIES):
            for name in self._storage.list_folders(f"{layout.REPOSITORIES}/{namespace}"):
                self.repositories += 1
                yield from self._of_repository(namespace, name)
        for prefix in _RECORDS:
            for stat in self._storage.list(prefix):
                if not isinstance(layout.parse_stored(self._value(stat.key)), dict):
                    yield Problem(stat.key, "the record is empty or cut: restore it from a backup")

    @property
    def blobs(self) -> int:
        """How many blobs were looked at."""
        return self._blobs.blobs

    # -- images

    def _of_image(self, image_id: str) -> Iterator[Problem]:
        if not self._contents.has_mark(image_id):
            yield from self._of_content(Content(image_id))
        for name in self._contents.variants(image_id):
            yield from self._of_content(Content(image_id, name))
        for stat in self._storage.list(f"{layout.image_key(image_id, layout.HELD)}/"):
            if Mark.parse(self._value(stat.key)).is_damaged:
                yield Problem(stat.key, "the mark of the holder is cut: push the repository again")

    def _of_content(self, content: Content) -> Iterator[Problem]:
        folder = layout.content_folder(content)
        try:
            parts = parts_of(self._storage, content)
        except errors.ImageDamaged as error:
            yield Problem(folder, f"{error.damage}: push the image again")
            return
        except errors.ImageNotFound:
            return
        if self._has(f"{folder}/{layout.ANCESTRY}") and stored_ancestry(self._storage, content) is None:
            yield Problem(
                f"{folder}/{layout.ANCESTRY}",
                "the list of ancestors is empty or cut: the next pull makes it from the parents",
            )
        sums = parse_checksums(self._value(f"{folder}/{layout.CHECKSUM}"))
        if self._has(f"{folder}/{layout.CHECKSUM}") and not any(map(_is_sum, sums)):
            yield Problem(f"{folder}/{layout.CHECKSUM}", "the sum of the layer is empty or cut")
        expected = [sum_ for sum_ in sums if sum_.startswith("sha256:") and _is_sum(sum_)]
        if self._reads_layers and expected and parts.layer is not None:
            payload = PayloadChecksum(parts.document)
            with self._storage.open(f"{folder}/{layout.LAYER}") as blob:
                for chunk in blob:
                    payload.update(chunk)
            if payload.text() not in expected:
                yield Problem(
                    folder,
                    "the layer or the JSON does not fit the stored sum: "
                    "run v1registry image remove --force, then push the image again",
                )

    # -- repositories

    def _of_repository(self, namespace: str, folder_name: str) -> Iterator[Problem]:
        folder = f"{layout.REPOSITORIES}/{namespace}/{folder_name}/"
        for stat in self._storage.list(folder):
            name, value = stat.key.removeprefix(folder), self._value(stat.key)
            if name.startswith(f"{layout.V2}/"):
                text = self._blobs.problem_of(name, value)
            else:
                text = _problem_of(name, value)
            if text:
                yield Problem(stat.key, text)
            elif name.startswith(layout.TAG_PREFIX) and is_tag_value(value):
                target = value.strip().decode("ascii")
                if self._contents.open_content(target) is None:
                    yield Problem(
                        stat.key, f"the tag names the image {target}, which is not complete: push it again"
                    )

    def _value(self, key: str) -> bytes:
        try:
            return self._storage.read(key)[0]
        except KeyNotFound:  # removed since the listing
            return b""

    def _has(self, key: str) -> bool:
        try:
            self._storage.stat(key)
        except KeyNotFound:
            return False
        return True


def _problem_of(name: str, value: bytes) -> str:
    """Return what is wrong with a value in the folder of a repository; empty if nothing is."""
    if name == layout.IMAGE_LIST and not is_list(value):
        return "the image list is empty or cut: it is answered from the tags, and the next push writes it"
    if name == layout.INCARNATION and not value:
        return "the repository lost what it holds: push it again"
    if name == layout.TAG_RULE and value.decode("latin-1") not in {rule.value for rule in TagRule}:
        return "the rule of the tags is empty or cut: set it again"
    if name.startswith(layout.TAG_PREFIX):
        return "" if is_tag_value(value) or is_info_value(value) else "the tag is empty or cut: push it again"
    is_object = name in (layout.COLLABORATORS, layout.INFO) or name.endswith("_json")
    if is_object and not is_info_value(value):
        return "the value is empty or cut: set it again"
    return ""


def _is_sum(text: str) -> bool:
    name, colon, digits = text.rpartition(":")
    is_known = name == "sha256" or name.startswith("tarsum")
    return bool(colon) and is_known and len(digits) in (32, 40, 64, 96, 128) and digits.isalnum()
