"""A mirror of a fake registry, and requests to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from v1registry_fakes import FakeClock, FakeManifest, FakeRegistry

from support.v2_client import V2Client
from support.wsgi_client import Answer
from v1registry import MemoryStorage, Registry
from v1registry.storage.base import Storage, StorageUnavailable


class MirrorOf:
    """A mirror of a fake registry.

    :param settings: of the mirror.
    """

    def __init__(self, origin: FakeRegistry, storage: Storage | None = None, **settings: Any):
        self.origin = origin
        self.clock = FakeClock()
        self.storage = storage or MemoryStorage(clock=self.clock)
        self.app = Registry(
            self.storage, clock=self.clock, mirror=settings.pop("mirror", origin.url), **settings
        )
        self.client = V2Client(self.app)

    def asked(self, path: str = "*", method: str | None = None) -> int:
        """Return how many requests the origin got."""
        return len(self.origin.requests.matching(method, path))

    def blob(self, repository: str, digest: str, **headers: str) -> Answer:
        return self.client.get(f"/v2/{repository}/blobs/{digest}", **headers)

    def pull(self, repository: str, tag: str) -> dict[str, bytes]:
        """Pull a tag; return the blobs by digest."""
        answer = self.client.get_manifest(repository, tag)
        assert answer.status == 200, answer
        found = {}
        for digest in digests_in(answer.body):
            blob = self.blob(repository, digest)
            assert blob.status == 200, blob
            found[digest] = blob.body
        return found


def digests_in(manifest: bytes) -> list[str]:
    """Return the digests of the config and the layers of a manifest."""
    document = json.loads(manifest)
    return [part["digest"] for part in (document["config"], *document["layers"])]


def blobs_of(origin: FakeRegistry, image: FakeManifest) -> dict[str, bytes]:
    """Return the blobs of an image as the origin has them, by digest."""
    return {digest: origin.blobs[digest] for digest in digests_in(image.document)}


def large(seed: int = 0, size: int = 300_000) -> bytes:
    """Return bytes that do not get smaller by compression."""
    state, pieces = seed * 2 + 1, []
    for _ in range(size // 8):
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        pieces.append(state.to_bytes(8, "little"))
    return b"".join(pieces)


def whole_of(ask: Callable[[], Answer]) -> bytes | None:
    """Return the body of an answer; None if the server cuts the connection, or knew before that it would."""
    try:
        answer = ask()
    except StorageUnavailable:
        return None
    assert answer.status in (200, 502, 503, 507)
    return answer.body if answer.status == 200 else None
