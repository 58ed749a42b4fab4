"""A storage in an object store that loses the data of keys."""

from __future__ import annotations

import obstore
import pytest
from obstore.store import MemoryStore

from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.objects import Groups, ObjectStorage, committing


class LosingStorage(ObjectStorage):
    """Each value but an empty one has a data object, as in a bucket of docker-registry 0.9."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(committing, "INLINE_BYTES", 0)
        monkeypatch.setattr(committing, "INLINE_BYTES_OF_LONG", 0)
        self.store = MemoryStore()
        super().__init__(self.store, groups=Groups(KEY_GROUPS))

    def object_of(self, key: str) -> str:
        """Return the name of the data object of a key."""
        return self._find(key).value

    def lose(self, *keys: str) -> None:
        """Delete the data objects of keys behind the back of the storage."""
        obstore.delete(self.store, [self.object_of(key) for key in keys])
