"""Payload checksums, the SHA-256 of an image's JSON and its layer as sent; compared and parsed.

Source: docker-registry 0.9.1 ``docker_registry/lib/checksums.py`` and ``images.py``; docker 0.10 and later
send the same sum as ``X-Docker-Checksum-Payload`` (moby v0.10.0 ``registry/registry.go``). TarSums are in
tarsum.py.
"""

from __future__ import annotations

import hashlib
import hmac
import json

from .compression import CHUNK_BYTES, Readable


class PayloadChecksum:
    """The payload checksum of a layer that comes in pieces.

    >>> payload = PayloadChecksum(b"{}")
    >>> payload.update(b"a")
    >>> payload.update(b"bc")
    >>> payload.text()
    'sha256:c48dff81609af1ca3fe7ccdae4939392c3460a5571dbc9fd798f37008c0f06c0'
    """

    def __init__(self, image_json: bytes):
        """:param image_json: the image document byte for byte as received, never re-serialised."""
        self._digest = hashlib.sha256(image_json + b"\n")

    def update(self, chunk: bytes) -> None:
        """Add the next bytes of the layer, as sent: still compressed, no longer chunked."""
        self._digest.update(chunk)

    def text(self) -> str:
        """Return the checksum of JSON, one newline and the bytes so far: ``sha256:`` and 64 hex digits."""
        return "sha256:" + self._digest.hexdigest()


def payload_checksum(image_json: bytes, layer: Readable) -> str:
    """Return the payload checksum of an image: ``sha256:`` and 64 hex digits.

    :param image_json: the image document byte for byte as received, never re-serialised.
    :param layer: the layer as sent, read from its current position to its end; not closed.
    :raises OSError: whatever ``layer.read`` raises; there is no partial result.
    """
    payload = PayloadChecksum(image_json)
    while chunk := layer.read(CHUNK_BYTES):
        payload.update(chunk)
    return payload.text()


def equal_sums(one: str, other: str) -> bool:
    """Tell whether two checksums are equal, in a time that does not depend on the first difference."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def parse_checksums(content: bytes) -> list[str]:
    """Return the checksums in a stored ``_checksum``; an empty list if there are none.

    docker-registry 0.7 and later wrote a JSON array, 0.6 the bare checksum; a JSON string counts as one
    checksum (storage-layout.md 2). White space around a checksum is removed; text that is not printable ASCII
    is ignored.

    >>> parse_checksums(b'["sha256:00"]'), parse_checksums(b'tarsum+sha256:00\\n')
    (['sha256:00'], ['tarsum+sha256:00'])
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = content.decode("utf-8", "replace")
    sums = value if isinstance(value, list) else [value]
    texts = [sum_.strip() for sum_ in sums if isinstance(sum_, str)]
    return [text for text in texts if text and text.isascii() and text.isprintable()]
