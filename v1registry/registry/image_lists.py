"""The image lists of repositories: what an index keeps of a push (hub.md 3.1, 4.3)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from .. import errors
from ..names import is_image_id
from ..wsgi.documents import JSON_VALUES, turn_for
from . import layout

#: How many characters the checksum of an image may have in a list that is sent.
_CHECKSUM_LENGTH: Final = 200

#: In bytes. Larger lists are not parsed just to tell whether they are lists.
PARSED_BYTES: Final = 64 << 10


def values_of(most_ids: int) -> int:
    """Return how many JSON values a list of so many ids may have: engines send three for each id and tag."""
    return max(JSON_VALUES, 10 * most_ids)


def checked_entries(parsed: object, most_ids: int) -> list[dict[str, str]]:
    """Return the image list of a request, reduced to ``id`` and ``checksum``.

    Engines send an element per image and tag, so ids repeat; other keys, ``Tag`` among them, are ignored
    (hub.md 3.1).

    :param most_ids: how many different ids the list may have.
    :raises InvalidData: it is not a list of images.
    :raises TooManyImages: it has too many different ids.
    """
    if not isinstance(parsed, list):
        raise errors.InvalidData
    entries = []
    for element in parsed:
        if not isinstance(element, dict) or not is_image_id(element.get("id")):
            raise errors.InvalidData
        entry = {"id": element["id"]}
        if "checksum" in element:
            checksum = element["checksum"]
            if not isinstance(checksum, str) or len(checksum) > _CHECKSUM_LENGTH:
                raise errors.InvalidData
            entry["checksum"] = checksum
        entries.append(entry)
    if len({entry["id"] for entry in entries}) > most_ids:
        raise errors.TooManyImages(most_ids)
    return entries


def merged(stored: bytes, entries: list[dict[str, str]], most_bytes: int) -> bytes:
    """Return the stored list with ``entries`` merged in: its order kept, new ids after it, sums adopted
    (hub.md 4.3).

    :param most_bytes: how large the list may become. A list that is larger already may stay as it is.
    :raises ImageListTooLarge: it would become larger.
    :raises DocumentBusy: it is large, and other large documents are being parsed.
    """
    merged: dict[str, dict[str, str]] = {}
    with turn_for(len(stored)):
        for entry in [*stored_entries(stored), *entries]:
            known = merged.setdefault(entry["id"], {"id": entry["id"]})
            if entry.get("checksum"):
                known["checksum"] = entry["checksum"]
        result = json.dumps([dict(sorted(entry.items())) for entry in merged.values()]).encode("ascii")
    if entries and len(result) > max(most_bytes, len(stored)):
        raise errors.ImageListTooLarge(most_bytes)
    return result


def is_list(stored: bytes) -> bool:
    """Tell whether a stored list is one. A crash under an old server may have left it empty or cut.

    A large one is not parsed: its first and its last character tell.
    """
    if len(stored) > PARSED_BYTES:
        return has_ends_of_list(stored, stored)
    return isinstance(layout.parse_stored(stored), list)


def has_ends_of_list(beginning: bytes, end: bytes) -> bool:
    """Tell whether the first and the last bytes of a stored list are those of one."""
    return beginning.lstrip().startswith(b"[") and end.rstrip().endswith(b"]")


def stored_entries(stored: bytes) -> list[dict[str, str]]:
    """Return what can be used of a stored list; old servers stored whatever came."""
    parsed, entries = layout.parse_stored(stored), []
    for element in parsed if isinstance(parsed, list) else ():
        if isinstance(element, dict) and isinstance(element.get("id"), str):
            checksum = element.get("checksum")
            entry = {"id": element["id"]}
            entries.append(entry | {"checksum": checksum} if isinstance(checksum, str) else entry)
    return entries


def find_id(chunks: Iterable[bytes], image_id: str) -> bool | None:
    """Tell whether a stored image list has an id, None if only a parser can tell.

    Nearly all lists are answered without a parser, in constant memory. An id in a part of an element that is
    ignored counts too.

    :param chunks: the list, in pieces.
    """
    text = json.dumps(image_id)
    forms = [f'"id": {text}'.encode(), f'"id":{text}'.encode()]
    tail, has_escape, has_text, is_listed = b"", False, False, False
    for chunk in chunks:
        window = tail + chunk
        has_escape = has_escape or b"\\" in chunk
        has_text = has_text or text.encode() in window
        is_listed = is_listed or any(form in window for form in forms)
        tail = window[-len(forms[0]) :]
    if has_escape or is_listed != has_text:
        # escapes may write the id differently, or write text that looks like an element
        return None
    return is_listed


def listed_ids(image_list: bytes) -> list[str]:
    """Return the ids in a stored image list. Anything odd in old data is left out.

    :raises DocumentBusy: it is large, and other large documents are being parsed.
    """
    with turn_for(len(image_list)):
        parsed = layout.parse_stored(image_list)
        elements = parsed if isinstance(parsed, list) else []
        ids = [element.get("id") for element in elements if isinstance(element, dict)]
        del parsed, elements
    return [image_id for image_id in ids if isinstance(image_id, str) and is_image_id(image_id)]
