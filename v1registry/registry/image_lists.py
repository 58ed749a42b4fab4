"""The image lists of repositories: what an index keeps of a push (hub.md 3.1, 4.3)."""

from __future__ import annotations

import json

from .. import errors
from ..names import is_image_id
from . import layout


def checked_entries(parsed: object) -> list[dict[str, str]]:
    """Return the image list of a request, reduced to ``id`` and ``checksum``. InvalidData.

    Engines send an element per image and tag, so ids repeat; other keys, ``Tag`` among them, are ignored
    (hub.md 3.1).
    """
    if not isinstance(parsed, list):
        raise errors.InvalidData
    entries = []
    for element in parsed:
        if not isinstance(element, dict) or not is_image_id(element.get("id")):
            raise errors.InvalidData
        entry = {"id": element["id"]}
        if "checksum" in element:
            if not isinstance(element["checksum"], str):
                raise errors.InvalidData
            entry["checksum"] = element["checksum"]
        entries.append(entry)
    return entries


def merged(stored: bytes, entries: list[dict[str, str]]) -> bytes:
    """Return the stored list with ``entries`` merged in: its order kept, new ids after it, sums adopted
    (hub.md 4.3).
    """
    merged: dict[str, dict[str, str]] = {}
    for entry in [*stored_entries(stored), *entries]:
        known = merged.setdefault(entry["id"], {"id": entry["id"]})
        if entry.get("checksum"):
            known["checksum"] = entry["checksum"]
    return json.dumps([dict(sorted(entry.items())) for entry in merged.values()]).encode("ascii")


def stored_entries(stored: bytes) -> list[dict[str, str]]:
    """Return what can be used of a stored list; old servers stored whatever came."""
    parsed, entries = layout.parse_stored(stored), []
    for element in parsed if isinstance(parsed, list) else ():
        if isinstance(element, dict) and isinstance(element.get("id"), str):
            checksum = element.get("checksum")
            entry = {"id": element["id"]}
            entries.append(entry | {"checksum": checksum} if isinstance(checksum, str) else entry)
    return entries


def listed_ids(image_list: bytes) -> list[str]:
    """Return the ids in a stored image list. Anything odd in old data is left out."""
    parsed = layout.parse_stored(image_list)
    elements = parsed if isinstance(parsed, list) else []
    ids = [element.get("id") for element in elements if isinstance(element, dict)]
    return [image_id for image_id in ids if isinstance(image_id, str) and is_image_id(image_id)]
