"""What looks into the blobs of layers found out for v1. Each is read once, and the result kept beside it.

A payload sum depends on the JSON of the image too. So a layer is read again, without being expanded, if it
becomes a different image. The sums of a few images are kept: lower layers of images that share a base have
the same JSON, so they are not read again.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from .. import errors
from ..layers.checksums import PayloadChecksum
from ..layers.compression import (
    CHUNK_BYTES,
    ExpandedLayer,
    ExpansionLimitExceeded,
    LookTooLong,
    Readable,
    UnreadableLayer,
    open_decompressed,
)
from ..layers.gzip_form import gzip_form
from ..layers.turns import Patience
from ..registry.expiry import push_folder
from ..registry.layout import parse_stored
from ..registry.looks import FREE_EXPANSION_BYTES, Looks
from ..storage.base import KeyNotFound, Stat, Storage
from ..storage.patience import cleanup
from . import layout
from .blobs import Blobs

#: How many payload sums are kept of a blob: one for each image that it became.
_MOST_SUMS: Final = 20

#: How many times its own size the gzip form of a layer may have. The pusher has not sent its bytes.
_MOST_GROWTH: Final = 10

#: How ``PUT manifest`` waits for the layers of other images. The client can repeat it.
_PUSHER: Final = Patience(most_waiting=8, wait_s=60.0)

#: Stands for the user in the folder of a layer that is being encoded, or of an image that is being made.
OWNER: Final = 32 * "0"

_DIGITS: Final = re.compile("[0-9a-f]{64}")
_DIFF_ID: Final = re.compile("sha256:[0-9a-f]{64}")


def unnoticed(sha256: str, size: int) -> None:
    """Do nothing before a layer is read."""


class NoView(Exception):
    """There is no v1 view; the text says why."""


class Inexpressible(NoView):
    """v1 cannot express what the manifest is, such as an artifact."""


@dataclass(frozen=True)
class ViewFacts:
    """What is known of the blob of a layer."""

    diff_id: str
    given: str  #: hex digits: the blob that v1 gets. That of zstd data is its gzip form
    sums: Mapping[str, str]  #: SHA-256 of a JSON -> payload sum of ``given`` with it, both in hex digits

    def payload_with(self, document: bytes) -> str | None:
        """Return the payload sum of the layer with a JSON, in hex digits; None if it is unknown."""
        return self.sums.get(hashlib.sha256(document).hexdigest())

    def with_payload(self, document: bytes, payload: PayloadChecksum) -> ViewFacts:
        """Return the facts with one more payload sum. The oldest ones give way."""
        key, value = hashlib.sha256(document).hexdigest(), payload.text().partition(":")[2]
        sums = {**self.sums, key: value}
        return replace(self, sums=dict(list(sums.items())[-_MOST_SUMS:]))

    @classmethod
    def parse(cls, fields: Any) -> ViewFacts | None:
        """Return what was kept; None if it is damaged."""
        try:
            diff_id, given, sums = fields["diff_id"], fields["given"], dict(fields["sums"])
            is_valid = _DIFF_ID.fullmatch(diff_id) and all(
                _DIGITS.fullmatch(digits) for digits in (given, *sums, *sums.values())
            )
        except (TypeError, KeyError, ValueError):
            return None
        return cls(diff_id, given, sums) if is_valid else None


class FactsOfLayers:
    """The facts of the layers of one storage. Safe for threads and processes.

    :param looks: the turn for looks into layers, with their bounds.
    :param most_layer_bytes: larger layers are not read; None for no limit.
    :param on_read: called with the digest and the size of each layer before it is read.
    """

    def __init__(
        self,
        storage: Storage,
        blobs: Blobs,
        looks: Looks,
        *,
        most_layer_bytes: int | None,
        on_read: Callable[[str, int], None] = unnoticed,
    ):
        self._storage = storage
        self._blobs = blobs
        self._looks = looks
        self._most_layer_bytes = most_layer_bytes
        self._on_read = on_read

    def of(self, sha256: str, document: bytes) -> ViewFacts:
        """Return the facts of a layer with the payload sum for a JSON. It is read unless that was kept.

        :param document: the JSON of the image that the layer becomes.
        :raises NoView: it cannot be read within the bounds.
        :raises LayerBusy: other looks into layers take too long.
        """
        facts = self.known(sha256)
        if facts is not None and facts.payload_with(document) is not None:
            return facts
        stat = self._blobs.stat(sha256)
        if stat is None:
            raise NoView(f"the layer sha256:{sha256} is missing")
        if self._most_layer_bytes is not None and stat.size > self._most_layer_bytes:
            raise NoView(
                f"the layer sha256:{sha256} has {stat.size} bytes; "
                f"at most {self._most_layer_bytes} are read (max_v1_view_bytes)"
            )
        try:
            self._looks.failures.check((stat.key, stat.etag))
            with self._looks.look(sha256, _PUSHER) as check:
                # it may have been read while this thread waited
                facts = self.known(sha256)
                if facts is None or facts.payload_with(document) is None:
                    self._on_read(sha256, stat.size)
                if facts is None:
                    facts = self._read(sha256, stat, document, check)
                elif facts.payload_with(document) is None:
                    facts = facts.with_payload(document, self._payload(facts.given, document, check))
                else:
                    return facts
        except UnreadableLayer as error:
            reason = f"the layer sha256:{sha256}: {error}{_setting_of(error)}"
            failure = errors.LayerNotSupported(reason)
            failure.__cause__ = error
            self._looks.failures.keep((stat.key, stat.etag), failure)
            raise NoView(reason) from None
        except errors.LayerNotSupported as failure:
            raise NoView(f"{failure.public}, as was found before") from None
        except KeyNotFound:
            raise NoView(f"the layer sha256:{sha256} is missing") from None
        self._keep(sha256, facts)
        return facts

    def known(self, sha256: str) -> ViewFacts | None:
        """Return what was kept of a layer, None if it must be read."""
        try:
            value = self._storage.read(_facts_key(sha256))[0]
        except KeyNotFound:
            return None
        facts = ViewFacts.parse(parse_stored(value))
        if facts is None or (facts.given != sha256 and self._blobs.stat(facts.given) is None):
            return None
        return facts

    def _keep(self, sha256: str, facts: ViewFacts) -> None:
        value = {"diff_id": facts.diff_id, "given": facts.given, "sums": dict(facts.sums)}
        self._storage.write(_facts_key(sha256), json.dumps(value).encode("ascii"))

    # -- one pass

    def _read(self, sha256: str, stat: Stat, document: bytes, check: Callable[[], None]) -> ViewFacts:
        """Read a layer to its end.

        :raises UnreadableLayer: it is damaged, or beyond a limit.
        :raises KeyNotFound: it was removed.
        """
        payload, inside = PayloadChecksum(document), hashlib.sha256()
        with self._blobs.open(sha256) as blob:
            watched = _Watched(blob, payload)
            limit_bytes = self._looks.bounds.expansion(stat.size)
            layer = open_decompressed(watched, limit_bytes=limit_bytes, check=check)
            pieces = _pieces(layer, inside, check)
            if layer.compression == "zstd":
                most_bytes = max(FREE_EXPANSION_BYTES, _MOST_GROWTH * stat.size)
                given, payload = self._store_gzip(pieces, document, most_bytes)
            else:
                given = sha256
                for _ in pieces:
                    pass
                while watched.read(CHUNK_BYTES):
                    check()
        facts = ViewFacts(f"sha256:{inside.hexdigest()}", given, {})
        return facts.with_payload(document, payload)

    def _store_gzip(
        self, pieces: Iterable[bytes], document: bytes, most_bytes: int
    ) -> tuple[str, PayloadChecksum]:
        """Store the gzip form of a layer as a blob; return its digest and its payload sum.

        :raises ExpansionLimitExceeded: it has more than ``most_bytes``.
        """
        payload, digest = PayloadChecksum(document), hashlib.sha256()

        def encoded() -> Iterator[bytes]:
            size = 0
            for chunk in gzip_form(pieces):
                size += len(chunk)
                if size > most_bytes:
                    raise ExpansionLimitExceeded(f"its gzip form has more than {most_bytes} bytes")
                digest.update(chunk)
                payload.update(chunk)
                yield chunk

        folder = push_folder(secrets.token_hex(16), OWNER, secrets.token_hex(16))
        try:
            self._storage.write(f"{folder}/{layout.DATA}", encoded())
            self._blobs.publish(folder, digest.hexdigest())
        finally:
            with cleanup(), suppress(KeyNotFound):
                self._storage.delete_tree(folder)
        return digest.hexdigest(), payload

    def _payload(self, sha256: str, document: bytes, check: Callable[[], None]) -> PayloadChecksum:
        """Return the payload sum of a blob that was expanded before."""
        payload = PayloadChecksum(document)
        with self._blobs.open(sha256) as blob:
            for chunk in blob:
                check()
                payload.update(chunk)
        return payload


class _Watched:
    """A stream whose bytes are added to a sum as they are read."""

    def __init__(self, stream: Readable, payload: PayloadChecksum):
        self._stream = stream
        self._payload = payload

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._payload.update(data)
        return data


def _pieces(layer: ExpandedLayer, inside: Any, check: Callable[[], None]) -> Iterator[bytes]:
    """Yield the expanded bytes of a layer, and add them to a digest."""
    while chunk := layer.read(CHUNK_BYTES):
        check()
        inside.update(chunk)
        yield chunk


def _setting_of(error: UnreadableLayer) -> str:
    """Return the settings that limit a pass, for the log; empty if the layer is damaged."""
    if isinstance(error, LookTooLong):
        return " (v1_view_time_s)"
    if isinstance(error, ExpansionLimitExceeded):
        return " (max_expanded_bytes, max_expansion_ratio)"
    return ""


def _facts_key(sha256: str) -> str:
    return f"{layout.blob_folder(sha256)}/{layout.FACTS}"
