"""What one push has sent, as values, and the form in which a JSON is kept with its facts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..names import RepositoryName
from ..rights import PushGrant, PushKey
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


def dump(facts: Facts, document: bytes) -> bytes:
    """Return the value to store for a JSON: a line of facts, then the JSON as it was sent."""
    head = {"ancestry": list(facts.ancestry), "repositories": [str(name) for name in facts.repositories]}
    return json.dumps(head).encode("ascii") + b"\n" + document


def parse(value: bytes) -> tuple[Facts, bytes]:
    """Return the facts and the JSON of a stored value."""
    head, _, document = value.partition(b"\n")
    parsed = json.loads(head)
    names = tuple(RepositoryName.parse(name) for name in parsed["repositories"])
    return Facts(tuple(parsed["ancestry"]), names), document
