"""Small values: marks, records of repositories, accounts, image lists."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from ...distribution import layout as v2_layout
from ...registry import layout
from ...registry.tags import is_info_value
from ...storage.base import Stat
from .gauge import Gauge
from .parts import may_be_info
from .values import Changed, Ready, Values

#: What a repository says of a blob.
_OF_BLOB: Final = re.compile(
    rf"{layout.REPOSITORIES}/[^/]+/[^/]+/{layout.V2}/(?:{v2_layout.MARKS}|{v2_layout.MANIFESTS})/([0-9a-f]{{64}})"
)


def copy_record(
    values: Values, gauge: Gauge, found: Stat, there: Stat | None, *, is_shared: bool
) -> Ready | None:
    """Copy a key that is neither of an image, nor of a blob, nor that of a tag.

    It is returned if it may be stored together with others.

    :param is_shared: the destination has other data too, which stays.
    :raises Damaged: it cannot be read.
    :raises Changed: it was removed, or it names a blob that was stored after the blobs were copied.
    """
    of_blob = _OF_BLOB.fullmatch(found.key)
    if of_blob is not None and not values.is_copied(found, there):
        blob = v2_layout.blob_key(of_blob[1])
        if not values.is_there(blob) and values.is_in_source(blob):
            if blob in gauge.current.damaged:
                return None
            raise Changed(blob)
    name = found.key.rpartition("/")[2]
    if not found.key.startswith(f"{layout.REPOSITORIES}/"):
        return values.copy_or_read(found, there)
    if name == layout.ADOPTED:
        return _read_adopted(values, found, there)
    if name == layout.INCARNATION and there is not None and not is_shared:
        value, stat = values.read(found.key)
        if values.is_different(value, there):
            # the tags are those of a repository that was deleted
            _remove_tags(values, found.key.removesuffix(f"/{layout.INCARNATION}"))
        return Ready(value, stat, there)
    return values.copy_or_read(found, there)


def copy_info(values: Values, found: Stat, there: Stat | None) -> None:
    """Copy the information of a tag, whose key may also be that of a tag with a different name."""
    if may_be_info(found.key) and not values.is_copied(found, there):
        value, stat = values.read(found.key)
        if is_info_value(value):
            values.put(value, stat, there)


def _read_adopted(values: Values, found: Stat, there: Stat | None) -> Ready | None:
    """Return the record of tags that were walked, without the digest of their etags in the source.

    None if the destination has it.
    """
    if values.has_time(found, there):
        return None
    value, stat = values.read(found.key)
    fields: Any = layout.parse_stored(value)
    if isinstance(fields, dict) and isinstance(fields.get("tags"), dict) and "listing" in fields:
        value = json.dumps({**fields, "listing": ""}, sort_keys=True).encode("ascii")
    return Ready(value, stat, there)


def _remove_tags(values: Values, folder: str) -> None:
    for prefix in (f"{folder}/{layout.V2}/{v2_layout.TAGS}/", f"{folder}/{layout.TAG_PREFIX}"):
        for there in list(values.destination.list(prefix)):
            values.delete(there)
