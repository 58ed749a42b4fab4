"""Images in the forms that clients get: the list, one image, its history (remote.md 4.2 to 4.4)."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from .changes import EMPTY_SETTINGS
from .errors import InvalidParameter
from .filters import Filters
from .image_store import EngineImage, ImageStore
from .references import ImageReference
from .times import moment_s
from .versions import ApiVersion

NONE = "<none>"

#: The filters of the list of images.
FILTERS = ("before", "dangling", "label", "reference", "since")


def summaries(
    store: ImageStore, filters: Filters, version: ApiVersion, *, is_all: bool
) -> list[dict[str, Any]]:
    """Return the list of images, the newest first.

    :param is_all: list images too that are only below others.
    :raises NoSuchObject: an image of ``before`` or ``since`` does not exist.
    :raises InvalidParameter: a filter is invalid.
    """
    is_dangling = filters.boolean("dangling")
    before = [created_s(store.find(text)) for text in filters.get("before")]
    since = [created_s(store.find(text)) for text in filters.get("since")]
    found = []
    for image in store.all():
        if any(created_s(image) >= limit for limit in before) or any(
            created_s(image) <= limit for limit in since
        ):
            continue
        if not filters.allows_labels(image.labels):
            continue
        references = [reference for reference in store.references(image.id) if _is_wanted(reference, filters)]
        tags = [str(reference) for reference in references if reference.tag]
        digests = [str(reference) for reference in references if reference.digest]
        if not references:
            is_shown = (is_all or not store.children(image)) and not filters.get("reference")
            if is_dangling is False or not is_shown:
                continue
            tags, digests = [f"{NONE}:{NONE}"], [f"{NONE}@{NONE}"]
        elif is_dangling and tags:
            continue
        found.append(_without_old(_summary(image, tags, digests), version))
    return sorted(found, key=lambda document: -document["Created"])


def _summary(image: EngineImage, tags: list[str], digests: list[str]) -> dict[str, Any]:
    return {
        "Containers": -1,
        "Created": int(created_s(image)),
        "Id": image.id,
        "Labels": dict(image.labels) or None,
        "ParentId": image.parent_id,
        "RepoDigests": digests or None,
        "RepoTags": tags or None,
        "SharedSize": -1,
        "Size": image.size_bytes,
        "VirtualSize": image.size_bytes,
    }


#: Keys of images -> the version from which on they are left out.
_OLD: Final = {"VirtualSize": (1, 44), "Container": (1, 45), "ContainerConfig": (1, 45)}


def _without_old(document: dict[str, Any], version: ApiVersion) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in _OLD or version < _OLD[key]}


def _is_wanted(reference: ImageReference, filters: Filters) -> bool:
    """Tell whether a name matches the filter ``reference``: with its tag, or without."""
    patterns = filters.get("reference")
    return not patterns or any(
        fnmatchcase(text, pattern) and text.count("/") == pattern.count("/")
        for pattern in patterns
        for text in (str(reference), reference.name)
    )


def created_s(image: EngineImage) -> float:
    """Return when an image was made, in seconds since the epoch."""
    try:
        return moment_s(image.created) or 0.0
    except InvalidParameter:
        return 0.0


def inspected(store: ImageStore, image: EngineImage, version: ApiVersion) -> dict[str, Any]:
    """Return everything about an image."""
    config = image.config
    references = store.references(image.id)
    history = config.get("history")
    entries = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    document = {
        "Id": image.id,
        "RepoTags": [str(reference) for reference in references if reference.tag],
        "RepoDigests": [str(reference) for reference in references if reference.digest],
        "Parent": image.parent_id,
        "Comment": config.get("comment") or (entries[-1].get("comment", "") if entries else ""),
        "Created": image.created,
        "Container": config.get("container", ""),
        "ContainerConfig": {**EMPTY_SETTINGS, **_settings(config, "container_config")},
        "DockerVersion": config.get("docker_version", ""),
        "Author": config.get("author", ""),
        "Config": {**EMPTY_SETTINGS, **_settings(config, "config")} if config.get("config") else None,
        "Architecture": config.get("architecture", ""),
        "Os": config.get("os", ""),
        "Size": image.size_bytes,
        "VirtualSize": image.size_bytes,
        "GraphDriver": {"Data": None, "Name": "vfs"},
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
    }
    return _without_old(document, version)


def _settings(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = config.get(key)
    return found if isinstance(found, dict) else {}


def history_of(store: ImageStore, image: EngineImage) -> list[dict[str, Any]]:
    """Return how an image was made, the last step first."""
    history = image.config.get("history")
    entries = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    layers = iter(store.layers(image))
    steps = []
    for entry in entries:
        layer = None if entry.get("empty_layer") else next(layers, None)
        steps.append({
            "Comment": entry.get("comment", ""),
            "Created": int(moment_s(entry.get("created")) or 0),
            "CreatedBy": entry.get("created_by", ""),
            "Id": "<missing>",
            "Size": 0 if layer is None else layer.size_bytes,
            "Tags": None,
        })  # fmt: skip
    steps.reverse()
    above: EngineImage | None = image
    for step in steps:
        if above is None:
            break
        tags = [str(reference) for reference in store.references(above.id) if reference.tag]
        step |= {"Id": above.id, "Tags": tags or None}
        above = store.get(above.parent_id)
    return steps
