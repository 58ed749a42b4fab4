"""What one push has sent, as values, and the form in which a JSON is kept with its facts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..names import RepositoryName
from ..rights import PushGrant, PushKey
from ..storage.base import KeyNotFound
from . import layout
from .expiry import push_folder


@dataclass(frozen=True)
class SentJson:
    """A JSON that a push has sent."""

    key: str
    digest: str  #: the SHA-256 of the document, in hex digits
    size: int  #: of the stored value, in bytes

    @property
    def name(self) -> str:
        """The name of the JSON in its push."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True)
class Facts:
    """What was found out about a JSON when it was sent."""

    ancestry: tuple[str, ...]  #: at that time
    repositories: tuple[RepositoryName, ...]  #: for which the image will be completed

    @property
    def parent(self) -> str | None:
        """The parent that the JSON names, so that the JSON, which may be large, is not parsed again."""
        return self.ancestry[1] if len(self.ancestry) > 1 else None


@dataclass(frozen=True)
class SentLayer:
    """A layer that arrived whole."""

    key: str  #: of its sums
    name: str
    #: digest of a JSON -> hex digits of the payload sum
    sums: Mapping[str, str] = field(default_factory=dict)
    prepared: str = ""  #: the digest of the JSON that lies beside the layer already; empty if none
    ancestry: tuple[str, ...] = ()  #: that lies beside it
    size: int | None = None  #: of all that was stored with it, in bytes; None if its sums were not read
    #: digest of a JSON -> the TarSums that were computed while the layer arrived
    tarsums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: of the layer and of what lies beside it, in bytes, by the last segments of their keys; empty for one of
    #: an earlier version
    sizes: Mapping[str, int] = field(default_factory=dict)

    def with_record(self, value: bytes) -> SentLayer:
        """Return the layer with what the stored value of its sums says."""
        parsed = layout.parse_stored(value)
        fields: dict[str, Any] = parsed if isinstance(parsed, dict) else {}
        return SentLayer(
            self.key,
            self.name,
            fields.get("sums", {}),
            fields.get("prepared", ""),
            tuple(fields.get("ancestry", ())),
            fields.get("size"),
            {digest: tuple(texts) for digest, texts in fields.get("tarsums", {}).items()},
            fields.get("sizes", {}),
        )

    def is_damaged(self, sizes: Mapping[str, int]) -> bool:
        """Tell whether bytes are missing that were summed: a power cut may leave a part of them.

        :param sizes: of what is stored now.
        """
        return bool(self.sizes) and sizes.get(layout.LAYER) != self.sizes.get(layout.LAYER)


@dataclass(frozen=True)
class Unfinished:
    """What the newest unfinished push of an image has sent, for those who look into a storage."""

    document: bytes
    ancestry: tuple[str, ...]
    layer_folder: str | None  #: None if no layer has arrived


@dataclass(frozen=True)
class StagedPush:
    """What one push of an image has sent, oldest first."""

    image_id: str
    key: PushKey
    jsons: tuple[SentJson, ...] = ()
    layers: tuple[SentLayer, ...] = ()
    newest_s: float = 0.0  #: when the last of that was sent, in seconds since the epoch

    @property
    def folder(self) -> str:
        """The folder of the push."""
        return push_folder(self.image_id, self.key.owner, self.key.name)

    @property
    def digests(self) -> list[str]:
        """The digests of the JSONs, oldest first, each once."""
        return list(dict.fromkeys(sent.digest for sent in self.jsons))


def digest_of(document: bytes) -> str:
    """Return what stands for a JSON in names."""
    return hashlib.sha256(document).hexdigest()


def facts_for(grant: PushGrant, ancestry: Iterable[str]) -> Facts:
    """Return the facts of a JSON that is sent with a grant."""
    return Facts(tuple(ancestry), grant.repositories)


def documents_of(document: bytes, ancestry: Iterable[str], sums: Iterable[str]) -> dict[str, bytes]:
    """Return what lies beside the layer of a whole image, by the last segments of the keys."""
    return {
        layout.JSON: document,
        layout.ANCESTRY: json.dumps(list(ancestry)).encode("ascii"),
        layout.CHECKSUM: json.dumps(list(sums)).encode("ascii"),
    }


def sizes_of(documents: Mapping[str, bytes]) -> dict[str, int]:
    """Return the sizes of documents, in bytes."""
    return {name: len(value) for name, value in documents.items()}


def dump(facts: Facts, document: bytes) -> bytes:
    """Return the value to store for a JSON: a line of facts, then the JSON as it was sent."""
    head = {"ancestry": list(facts.ancestry), "repositories": [str(name) for name in facts.repositories]}
    return json.dumps(head).encode("ascii") + b"\n" + document


def parse(key: str, value: bytes) -> tuple[Facts, bytes]:
    """Return the facts and the JSON of a stored value.

    :param key: of the value; its name ends with the digest of the JSON.
    :raises KeyNotFound: the value is damaged, so it counts as removed (decisions.md 22).
    """
    facts, document = parse_facts(key, value), value.partition(b"\n")[2]
    if digest_of(document) != key.rpartition("-")[2]:
        raise KeyNotFound(key, "the stored JSON is damaged")
    return facts, document


def parse_facts(key: str, head: bytes) -> Facts:
    """Return the facts that the first line of a stored value holds.

    :raises KeyNotFound: the line is damaged, so the value counts as removed (decisions.md 22).
    """
    parsed = layout.parse_stored(head.partition(b"\n")[0])
    fields = parsed if isinstance(parsed, dict) else {}
    ancestry, names = fields.get("ancestry"), fields.get("repositories")
    if not (isinstance(ancestry, list) and isinstance(names, list)):
        raise KeyNotFound(key, "the stored facts are damaged")
    return Facts(tuple(ancestry), tuple(RepositoryName.parse(name) for name in names))
