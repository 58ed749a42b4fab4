"""What the pages show of a manifest: its kind, platforms, layers, history and annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ...distribution.manifests import Descriptor, Manifest
from ...registry.layout import parse_stored
from .image_json import Command, command_of, time_of
from .texts import shown

#: How many layers, platforms, steps of a history and annotations are shown.
MOST_SHOWN: Final = 200

#: The largest config that is read, in bytes.
LARGEST_CONFIG_BYTES: Final = 1 << 20

_SHELL: Final = "/bin/sh -c "
_TITLE: Final = "org.opencontainers.image.title"
_CONFIGS: Final = frozenset(
    {"application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"}
)


@dataclass(frozen=True)
class Part:
    """A layer, a blob of an artifact, or an entry of an index."""

    digest: str
    media_type: str
    size_bytes: int
    label: str = ""  #: the platform of an entry, or the title of a blob


@dataclass(frozen=True)
class Step:
    """A step of the history of an image."""

    command: Command | None
    created: datetime | None
    comment: str
    is_empty: bool  #: it made no layer


@dataclass(frozen=True)
class ManifestFacts:
    """What a page shows of a manifest."""

    digest: str
    media_type: str
    kind: str  #: ``image``, ``index`` or ``artifact``
    artifact_type: str
    platform: str  #: of an image
    parts: Sequence[Part]
    part_count: int
    size_bytes: int  #: of what the manifest names itself
    history: Sequence[Step]  #: the newest first
    annotations: Sequence[tuple[str, str]]
    subject: str  #: the digest of its subject; empty if it has none

    @property
    def platforms(self) -> list[str]:
        """The platforms of an index."""
        return [part.label for part in self.parts if part.label] if self.kind == "index" else []

    @property
    def summary(self) -> str:
        """The kind with what tells manifests of it apart, in a few words."""
        if self.kind == "index":
            names = ", ".join(self.platforms[:4]) or "no platforms"
            return f"Index: {names}{' and more' if len(self.platforms) > 4 else ''}"
        if self.kind == "artifact":
            return f"Artifact: {self.artifact_type}" if self.artifact_type else "Artifact"
        return f"Image: {self.platform}" if self.platform else "Image"


def facts_of(manifest: Manifest, read: Callable[[Descriptor], bytes | None]) -> ManifestFacts:
    """Return what a page shows of a manifest.

    :param read: returns the bytes of the config, None if the repository does not have it.
    """
    config = _config_of(manifest, read)
    is_image = manifest.is_image and config is not None
    kind = "index" if manifest.is_index else "image" if is_image else "artifact"
    named = manifest.entries if manifest.is_index else manifest.layers
    own = () if manifest.config is None else (manifest.config,)
    return ManifestFacts(
        digest=str(manifest.digest),
        media_type=shown(manifest.media_type, 255),
        kind=kind,
        artifact_type=shown(manifest.artifact_type, 255),
        platform=_platform_of(config or {}),
        parts=tuple(_parts(manifest, named[:MOST_SHOWN])),
        part_count=len(named),
        size_bytes=sum(descriptor.size for descriptor in (*own, *named)),
        history=tuple(_steps(config or {})),
        annotations=tuple(_texts(manifest.annotations or {})),
        subject="" if manifest.subject is None else str(manifest.subject.digest),
    )


def _config_of(manifest: Manifest, read: Callable[[Descriptor], bytes | None]) -> Mapping[str, Any] | None:
    """Return the parsed config of an image, empty if it is too large; None if it is no image."""
    config = manifest.config
    if config is None or config.media_type not in _CONFIGS:
        return None
    data = read(config) if config.size <= LARGEST_CONFIG_BYTES else None
    parsed = None if data is None else parse_stored(data)
    return parsed if isinstance(parsed, dict) else {}


def _platform_of(fields: Mapping[str, object]) -> str:
    """Return ``OS/ARCHITECTURE[/VARIANT]``; empty if it is unknown."""
    names = [fields.get(key) for key in ("os", "architecture", "variant")]
    known = [shown(name, 60) for name in names if isinstance(name, str) and name]
    return "/".join(known)


def _parts(manifest: Manifest, descriptors: Sequence[Descriptor]) -> Iterator[Part]:
    titles = _titles_of(manifest)
    for number, descriptor in enumerate(descriptors):
        if manifest.is_index:
            label = _platform_of(descriptor.platform or {})
        else:
            label = titles[number] if number < len(titles) else ""
        yield Part(str(descriptor.digest), shown(descriptor.media_type, 255), descriptor.size, label)


def _titles_of(manifest: Manifest) -> list[str]:
    """Return the titles of the layers of an artifact, in their order."""
    document: Any = parse_stored(manifest.data)
    fields = document if isinstance(document, dict) else {}
    titles = []
    for item in fields.get("layers") or fields.get("blobs") or []:
        annotations = item.get("annotations") if isinstance(item, dict) else None
        title = annotations.get(_TITLE) if isinstance(annotations, dict) else None
        titles.append(shown(title, 300) if isinstance(title, str) else "")
    return titles


def _steps(config: Mapping[str, Any]) -> Iterator[Step]:
    history = config.get("history")
    for entry in list(reversed(history))[:MOST_SHOWN] if isinstance(history, list) else []:
        if isinstance(entry, dict):
            comment = entry.get("comment")
            yield Step(
                _command(entry.get("created_by")),
                time_of(entry.get("created")),
                shown(comment, 300) if isinstance(comment, str) else "",
                entry.get("empty_layer") is True,
            )


def _command(text: object) -> Command | None:
    """Return the command of a step. Configs have it as one text, with the words of the shell in front."""
    if not isinstance(text, str):
        return None
    if text.startswith(_SHELL):
        return command_of(["/bin/sh", "-c", text.removeprefix(_SHELL)])
    return command_of([text] if " " in text else text)


def _texts(annotations: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key in sorted(annotations)[:MOST_SHOWN]:
        yield shown(key, 300), shown(annotations[key], 1000)
