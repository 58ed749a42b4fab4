"""What both kinds of origins work on."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from .. import errors
from ..distribution.parts import Distribution
from ..names import Digest
from ..registry.contents import Contents
from ..registry.expiry import push_folder
from ..registry.holding import Holding
from ..registry.repositories import Repositories
from ..rights import Rights
from ..settings import Settings
from ..storage.base import KeyNotFound, Storage
from ..storage.patience import cleanup
from .fetches import Fetches
from .stored import MirroredRepositories

#: Stands for the mirror in the folders of what is on its way. Keys of pushes are hashes, so none is equal.
_OWNER = 32 * "0"


@dataclass(frozen=True)
class Models:
    """The models of the application that a mirror writes, with the rights of the mirror: everything."""

    storage: Storage
    settings: Settings
    repositories: Repositories
    contents: Contents
    holding: Holding
    distribution: Distribution
    rights: Rights
    mirrored: MirroredRepositories
    fetches: Fetches


def staging_folder(image_id: str = "") -> str:
    """Return a new folder for what is on its way. What is left there expires as pushes do.

    :param image_id: of the image; empty for a blob.
    """
    return push_folder(image_id or secrets.token_hex(16), _OWNER, secrets.token_hex(16))


class Sums:
    """The digests of bytes that pass: SHA-256, and another algorithm if it is needed.

    :param expected: what the bytes must have.
    """

    def __init__(self, expected: Digest):
        self._expected = expected
        self._hashes = {name: hashlib.new(name) for name in {"sha256", expected.algorithm}}

    def checked(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks.

        :raises OriginInvalid: they had a different digest.
        """
        for chunk in chunks:
            for each in self._hashes.values():
                each.update(chunk)
            yield chunk
        found = self._hashes[self._expected.algorithm].hexdigest()
        if found != self._expected.hex:
            raise errors.OriginInvalid(reason=f"{self._expected} came with the digest {found}")

    @property
    def sha256(self) -> str:
        """The hex digits of the SHA-256 digest."""
        return self._hashes["sha256"].hexdigest()


def remove(storage: Storage, folder: str) -> None:
    """Remove what is left of a staged value."""
    with cleanup(), suppress(KeyNotFound):
        storage.delete_tree(folder)
