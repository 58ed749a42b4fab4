"""ObjectStorage: the contract, over the store in memory that comes with obstore."""

from __future__ import annotations

import pytest
from obstore.store import MemoryStore
from v1registry_fakes.contracts import StorageContract

from v1registry.storage.objects import ObjectStorage


class TestContract(StorageContract):
    @pytest.fixture
    def storage(self) -> ObjectStorage:
        return ObjectStorage(MemoryStore())
