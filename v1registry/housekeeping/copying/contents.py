"""The contents of images. The JSON is the last key of each, because it makes the content complete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from ... import errors
from ...distribution import layout as v2_layout
from ...layers.checksums import PayloadChecksum, parse_checksums
from ...layers.compression import ExpansionLimitExceeded, UnreadableLayer
from ...layers.tarsum import Label, verify_tarsum
from ...registry import layout
from ...registry.wholeness import parts_of
from ...rights import Content
from ...storage.base import Stat, Storage
from ..findings import MOVE, PUSH
from .gauge import Gauge
from .parts import Part, keys_of
from .shared import SharedBytes
from .values import Changed, Damaged, Ready, Values

#: Keys that are not simply copied.
_SPECIAL: Final = frozenset({layout.JSON, layout.LAYER, layout.IN_PROGRESS, v2_layout.LAYER_BLOB})

_UNFIT: Final = "the layer or the JSON does not fit the stored sum"


class Keys:
    """The keys in the folder of one content, by their names in it."""

    def __init__(self, content: Content):
        self.content = content
        self.found: dict[str, Stat] = {}  #: those of the source
        self.there: dict[str, Stat] = {}  #: those of the destination

    def add(self, name: str, found: Stat | None, there: Stat | None) -> None:
        """Add a key."""
        if found is not None:
            self.found[name] = found
        if there is not None:
            self.there[name] = there

    @property
    def size(self) -> int:
        """The bytes of the source."""
        return sum(stat.size for stat in self.found.values())


def contents_of(source: Storage, destination: Storage) -> Iterator[Keys]:
    """Yield the keys of each content that one of the storages has. Few are in memory at a time."""
    first, variant = Keys(Content("")), Keys(Content(""))
    for key, (found, there) in keys_of(Part.CONTENTS, source, destination):
        _, image_id, name = key.split("/", 2) if key.count("/") > 1 else (*key.split("/"), "")
        content = Content(image_id)
        if name.startswith(f"{layout.CONTENTS}/") and name.count("/") > 1:
            _, variant_name, name = name.split("/", 2)
            content = Content(image_id, variant_name)
        if variant.content not in (content, Content("")):
            yield variant
            variant = Keys(Content(""))
        if first.content.image_id not in (image_id, ""):
            yield first
            first = Keys(Content(""))
        if content.variant:
            if variant.content != content:
                variant = Keys(content)
            variant.add(name, found, there)
        else:
            if first.content != content:
                first = Keys(content)
            first.add(name, found, there)
    for left in (variant, first):
        if left.content.image_id:
            yield left


class ContentCopies:
    """Copies the contents of images. Safe for threads."""

    def __init__(self, source: Storage, values: Values, shared: SharedBytes, gauge: Gauge):
        self._source = source
        self._values = values
        self._shared = shared
        self._gauge = gauge

    def copy(self, keys: Keys) -> None:
        """Copy the keys of a content that the source has.

        :raises Damaged: the content is not whole, or its layer does not fit the stored sum.
        :raises Changed: it was replaced or removed meanwhile.
        """
        if not keys.found:
            return
        # what the source has of an image, an object store tells by one call
        with self._source.moment():
            self._copy(keys)

    def _copy(self, keys: Keys) -> None:
        if all(self._is_copied(keys, name) for name in keys.found) and not self._has_ended(keys):
            self._gauge.passed(keys.size)
            return
        is_unfinished = layout.IN_PROGRESS in keys.found
        if is_unfinished:
            self._values.copy(keys.found[layout.IN_PROGRESS], keys.there.get(layout.IN_PROGRESS))
        else:
            self._check(keys.content)
        document = self._read(keys, layout.JSON)
        there = keys.there.get(layout.JSON)
        if document is not None and there is not None and self._values.is_different(document[0], there):
            self._end(keys)
        sums = parse_checksums((self._read(keys, layout.CHECKSUM) or (b"", None))[0])
        layer = None
        if layout.LAYER in keys.found:
            layer = self._copy_layer(keys, b"" if document is None else document[0], sums, is_unfinished)
        read = [self._copy_or_read(keys, name) for name in sorted(keys.found.keys() - _SPECIAL)]
        if v2_layout.LAYER_BLOB in keys.found and layout.LAYER in keys.found:
            read.append(self._read_facts(keys, "" if layer is None else layer.etag))
        self._values.put_many([one for one in read if one is not None])
        if document is not None:
            self._values.put(*document, keys.there.get(layout.JSON))
        if self._has_ended(keys):
            self._values.delete(keys.there[layout.IN_PROGRESS])

    def _is_copied(self, keys: Keys, name: str) -> bool:
        found, there = keys.found[name], keys.there.get(name)
        if name == v2_layout.LAYER_BLOB:
            # an etag in it may have a different length
            return self._values.has_time(found, there)
        return self._values.is_copied(found, there) or (
            name == layout.LAYER and there is not None and self._shares(found, there)
        )

    def _shares(self, found: Stat, there: Stat) -> bool:
        """Tell whether a layer shares the bytes of the same blob in both storages."""
        if found.size != there.size:
            return False
        blob = self._shared.blob_of(found)
        return blob is not None and blob.etag == there.etag

    @staticmethod
    def _has_ended(keys: Keys) -> bool:
        """Tell whether an old server has completed an image that was being pushed when it was copied."""
        return layout.IN_PROGRESS in keys.there and layout.IN_PROGRESS not in keys.found

    def _end(self, keys: Keys) -> None:
        """Let the destination have no content until the new one is there."""
        there = keys.there.pop(layout.JSON, None)
        if there is not None and not self._values.is_dry_run:
            self._values.delete_if_there(there.key)

    def _check(self, content: Content) -> None:
        try:
            parts_of(self._source, content)
        except errors.ImageDamaged as error:
            raise Damaged(layout.content_folder(content), f"{error.damage}: {PUSH}") from None
        except errors.ImageNotFound:
            return

    def _read(self, keys: Keys, name: str) -> tuple[bytes, Stat] | None:
        return self._values.read(keys.found[name].key) if name in keys.found else None

    def _copy_or_read(self, keys: Keys, name: str) -> Ready | None:
        return self._values.copy_or_read(keys.found[name], keys.there.get(name))

    # -- layers

    def _copy_layer(self, keys: Keys, document: bytes, sums: list[str], is_unfinished: bool) -> Stat | None:
        """Copy a layer unless the destination has it; return its Stat there, None in a dry run."""
        found, there = keys.found[layout.LAYER], keys.there.get(layout.LAYER)
        expected = [] if is_unfinished else [sum_ for sum_ in sums if sum_.startswith("sha256:")]
        if there is not None and self._is_same_layer(found, there, is_checked=bool(expected)):
            self._gauge.passed(found.size)
            return there
        self._end(keys)
        blob = self._shared.blob_of(found)
        if blob is not None and not self._values.is_dry_run:
            if there is not None:
                self._values.delete_if_there(there.key)
            linked = self._shared.link(blob, found.key)
            if linked is not None:
                self._gauge.shared()
                self._gauge.passed(found.size)
                self._values.note(linked.key, linked.modified_ns)
                return linked
        payload = PayloadChecksum(document)

        def check() -> None:
            if payload.text() not in expected:
                self._raise_unfit(keys)

        stat = self._values.copy_large(found, payload, check=check if expected else None)
        if stat is not None and sums and not expected and not is_unfinished:
            self._check_tarsum(keys, document, sums)
        return stat

    def _is_same_layer(self, found: Stat, there: Stat, *, is_checked: bool) -> bool:
        return (
            self._values.is_copied(found, there, is_checked=is_checked)
            or self._shares(found, there)
            or self._values.has_equal_bytes(found, there)
        )

    def _check_tarsum(self, keys: Keys, document: bytes, sums: list[str]) -> None:
        """Compare the layer of the destination with the sums of old clients, which need its members."""
        key = keys.found[layout.LAYER].key
        for announced in sums:
            if Label.of(announced) is None:
                return  # of an unknown kind
            try:
                if verify_tarsum(announced, lambda: self._values.destination.open(key), document):
                    return
            except ExpansionLimitExceeded:
                return  # no server looks that far
            except UnreadableLayer:
                continue
        self._values.delete_if_there(key)
        self._raise_unfit(keys)

    def _raise_unfit(self, keys: Keys) -> NoReturn:
        """Raise what it means that the parts of a content do not fit each other.

        :raises Changed: some were written since they were listed.
        :raises Damaged: none was.
        """
        for name in (layout.JSON, layout.LAYER, layout.CHECKSUM):
            stat = keys.found.get(name)
            if stat is not None and self._values.is_replaced(stat):
                raise Changed(stat.key)
        raise Damaged(layout.content_folder(keys.content), f"{_UNFIT}: {MOVE}")

    def _read_facts(self, keys: Keys, etag: str) -> Ready | None:
        """Return what a pass over the layer found, which names the etag of the layer in its storage.

        None if it is of an older layer.

        :param etag: of the layer in the destination.
        """
        value, stat = self._values.read(keys.found[v2_layout.LAYER_BLOB].key)
        fields: Any = layout.parse_stored(value)
        if isinstance(fields, dict) and fields.get("etag") == keys.found[layout.LAYER].etag:
            fields["etag"] = etag
            there = keys.there.get(v2_layout.LAYER_BLOB)
            return Ready(json.dumps(fields).encode("ascii"), stat, there)
        return None
