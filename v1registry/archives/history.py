"""The history of an image in the JSON of its v1 images.

Engines from 1.10 on push the lower images of a chain without any description: ``{"id":…,"parent":…}``. Their
ids are made from the layers, not from the JSON, so a description changes no id. Engines that pull the chain
make their history from it: ``created``, ``author``, ``comment``, and ``Cmd`` of ``container_config``
(engine-formats.md 4 and 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from . import rawjson
from .convert import V1Document, parse_time

#: The members that describe how a layer was made. No engine uses them to run a container.
DESCRIPTION_KEYS = frozenset(("author", "comment", "container_config", "created"))

_BARE_KEYS = frozenset(("id", "parent"))
_SHELL = "/bin/sh -c "


def with_history(documents: Sequence[V1Document], config: bytes) -> tuple[V1Document, ...]:
    """Return the images of a config with the descriptions of its history.

    Members that an image has already stay. Only the command in ``container_config`` is replaced, because the
    config has the command of its last entry there, which often has no layer. Such entries (``ENV``, ``CMD``
    …) have no image, and are left out. If the entries with a layer are not as many as the images, nothing is
    added.

    :param documents: as :func:`v1registry.archives.convert.chain_from_config` returns them, root first.
    """
    history = rawjson.value_of(rawjson.split_object(config).get("history"))
    entries = history if isinstance(history, list) else []
    layers = [entry for entry in entries if isinstance(entry, dict) and entry.get("empty_layer") is not True]
    if len(layers) != len(documents):
        return tuple(documents)
    return tuple(
        replace(document, json=_described(document.json, entry))
        for document, entry in zip(documents, layers, strict=True)
    )


def _described(document: bytes, entry: dict[str, object]) -> bytes:
    members = _description(entry) | rawjson.split_object(document)
    words = _words_of(entry.get("created_by"))
    if words:
        settings = members.get("container_config", "")
        others = rawjson.split_object(settings) if settings.startswith("{") else {}
        command = rawjson.join_array(map(rawjson.string, words))
        members["container_config"] = rawjson.join_object((others | {"Cmd": command}).items())
    return rawjson.join_sorted(members)


def _description(entry: dict[str, object]) -> dict[str, str]:
    members: dict[str, str] = {}
    created = entry.get("created")
    if isinstance(created, str) and parse_time(created) is not None:
        members["created"] = rawjson.string(created)
    for key in ("author", "comment"):
        text = entry.get(key)
        if isinstance(text, str) and text:
            members[key] = rawjson.string(text)
    return members


def _words_of(command: object) -> list[str]:
    """Return the words of a command; engines join them with blanks, which makes the same text again."""
    if not isinstance(command, str) or not command:
        return []
    return ["/bin/sh", "-c", command[len(_SHELL) :]] if command.startswith(_SHELL) else [command]


def is_bare(document: bytes) -> bool:
    """Tell whether the JSON of an image says nothing but the ids, and perhaps how the layer was made."""
    return rawjson.split_object(document).keys() <= _BARE_KEYS | DESCRIPTION_KEYS


def is_same_image(document: bytes, other: bytes) -> bool:
    """Tell whether two JSONs are those of one image, whose history may have been lost on one side.

    A description may be missing in one of them, and the build container may differ. All descriptions of bare
    images may differ, because two builds can make equal layers.

    :raises rawjson.InvalidDocument: one is not a JSON object.
    """
    if document == other:
        return True
    left, right = _compact(document), _compact(other)
    different = {key for key in left.keys() | right.keys() if left.get(key) != right.get(key)}
    if is_bare(document) and is_bare(other):
        return different <= DESCRIPTION_KEYS
    return different <= (DESCRIPTION_KEYS - (left.keys() & right.keys())) | {"container_config"}


def _compact(document: bytes) -> dict[str, str]:
    return {key: rawjson.compact(raw) for key, raw in rawjson.split_object(document).items()}
