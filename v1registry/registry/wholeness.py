"""Whether a stored content is whole. A damaged one counts as incomplete (decisions.md 22).

A crash or a full disk under an old server, or a damaged disk, leaves keys that are missing, empty or cut.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from .. import errors
from ..layers.checksums import parse_checksums
from ..names import is_image_id
from ..rights import Content, Parts
from ..storage.base import KeyNotFound, Stat, Storage
from . import layout

#: A payload sum or a TarSum (storage-layout.md 2). A cut value has fewer digits.
_SUM: Final = re.compile(r"(sha256|tarsum[.+\w]*):[0-9a-f]{64,}")


def parts_of(storage: Storage, content: Content) -> Parts:
    """Return the JSON of a content and the Stat of its layer.

    :raises ImageNotFound: there is neither JSON nor a stored sum.
    :raises ImageDamaged: the content is not whole.
    """
    try:
        document, stat = storage.read(layout.content_key(content, layout.JSON))
    except KeyNotFound:
        document, stat = b"", None
    layer = _stat(storage, content, layout.LAYER)
    if stat is None:
        if layer is None and _stat(storage, content, layout.CHECKSUM) is None:
            raise errors.ImageNotFound(image_id=content.image_id)
        raise errors.ImageDamaged(content.image_id, "its JSON is missing")
    parsed = layout.parse_stored(document)
    if not isinstance(parsed, dict):
        raise errors.ImageDamaged(content.image_id, "its JSON is empty or cut")
    if parsed.get("id") != content.image_id:
        raise errors.ImageDamaged(content.image_id, "its JSON has a different id")
    if layer is None and _stat(storage, content, layout.CHECKSUM) is not None:
        raise errors.ImageDamaged(content.image_id, "its layer is missing, although a sum is stored")
    if layer is not None and layer.size == 0 and not _is_of_empty_layer(storage, content, document):
        raise errors.ImageDamaged(content.image_id, "its layer is empty, and no stored sum fits that")
    return Parts(document, stat.etag, layer)


def stored_ancestry(storage: Storage, content: Content) -> list[str] | None:
    """Return the ancestry that is stored; None if it is missing, empty, cut or of a different id."""
    data = _read(storage, content, layout.ANCESTRY)
    stored = None if data is None else layout.parse_stored(data)
    if not isinstance(stored, list) or stored[:1] != [content.image_id] or not all(map(is_image_id, stored)):
        return None
    return stored


def restore(
    storage: Storage, content: Content, staged_folder: str, payload: str, ancestry: list[str]
) -> bool:
    """Restore a damaged content from a staged image with the same bytes; tell whether it was done.

    The stored sum, or the name of the content, tells that the bytes are the same. So all requests that
    restore a content write equal values, and its holders get back what they held.

    :param payload: the hex digits of the payload sum of the staged image.
    """
    if not _vouches(storage, content, payload):
        return False
    if (stored_ancestry(storage, content) or ancestry) != ancestry:
        return False
    # the JSON last: until then the content counts as damaged
    names = (layout.ANCESTRY, layout.CHECKSUM, layout.LAYER, layout.JSON)
    return all(_copy(storage, content, staged_folder, name) for name in names)


def restore_sums(storage: Storage, content: Content, staged_folder: str) -> None:
    """Store the sums of a content again from a staged image with the same bytes.

    Only if none is stored, or none can be parsed: docker-registry may have stored a TarSum alone.
    """
    stored = _read(storage, content, layout.CHECKSUM)
    if stored is None or not any(map(_is_sum, parse_checksums(stored))):
        _copy(storage, content, staged_folder, layout.CHECKSUM)


def _copy(storage: Storage, content: Content, staged_folder: str, name: str) -> bool:
    try:
        with storage.open(f"{staged_folder}/{name}") as blob:
            storage.write(layout.content_key(content, name), iter(blob))
    except KeyNotFound:
        return False  # another request completed the push
    return True


def _is_sum(text: str) -> bool:
    return _SUM.fullmatch(text) is not None


def _vouches(storage: Storage, content: Content, payload: str) -> bool:
    if content.variant:
        return content.variant.partition("-")[0] == payload
    sums = _read(storage, content, layout.CHECKSUM)
    return sums is not None and f"sha256:{payload}" in parse_checksums(sums)


def _is_of_empty_layer(storage: Storage, content: Content, document: bytes) -> bool:
    sums = _read(storage, content, layout.CHECKSUM)
    expected = hashlib.sha256(document + b"\n").hexdigest()
    return sums is not None and f"sha256:{expected}" in parse_checksums(sums)


def _read(storage: Storage, content: Content, name: str) -> bytes | None:
    try:
        return storage.read(layout.content_key(content, name))[0]
    except KeyNotFound:
        return None


def _stat(storage: Storage, content: Content, name: str) -> Stat | None:
    try:
        return storage.stat(layout.content_key(content, name))
    except KeyNotFound:
        return None
