"""The object stores that tests start: the contract of storages, and what each store does with conditions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.object_stores import ObjectStore
from v1registry_fakes.contracts import StorageContract

from v1registry.storage.base import Storage
from v1registry.storage.objects import DEFAULT_GROUPS, ObjectStorage
from v1registry.storage.objects.probes import Answer, Conditions
from v1registry.storage.objects.urls import open_objects

pytestmark = pytest.mark.real


@pytest.fixture
def opened() -> Callable[[ObjectStore], ObjectStorage]:
    """Return a function that opens a storage in a new bucket."""

    def opened_in(store: ObjectStore) -> ObjectStorage:
        return open_objects(store.url(store.new_bucket(), "registry/1"), groups=DEFAULT_GROUPS)

    return opened_in


class TestOverCeph(StorageContract):
    @pytest.fixture
    def storage(self, ceph: ObjectStore, opened: Callable[[ObjectStore], Storage]) -> Storage:
        return opened(ceph)


def test_ceph_compares_etags_without_quotes(
    ceph: ObjectStore, opened: Callable[[ObjectStore], ObjectStorage]
) -> None:
    expected = Conditions(Answer.HONOURED, Answer.HONOURED, has_quotes=False)
    assert opened(ceph).conditions() == expected


@pytest.mark.stores
class TestOverAzurite(StorageContract):
    @pytest.fixture
    def storage(self, azurite: ObjectStore, opened: Callable[[ObjectStore], Storage]) -> Storage:
        return opened(azurite)


@pytest.mark.stores
def test_azurite_compares_etags_with_quotes(
    azurite: ObjectStore, opened: Callable[[ObjectStore], ObjectStorage]
) -> None:
    assert opened(azurite).conditions() == Conditions(Answer.HONOURED, Answer.HONOURED)


@pytest.mark.stores
class TestOverSwift(StorageContract):
    @pytest.fixture
    def storage(self, swift: ObjectStore, opened: Callable[[ObjectStore], Storage]) -> Storage:
        return opened(swift)


@pytest.mark.stores
def test_swift_refuses_conditions(swift: ObjectStore, opened: Callable[[ObjectStore], ObjectStorage]) -> None:
    storage = opened(swift)
    assert storage.is_single_writer
    assert storage.conditions() == Conditions(Answer.REFUSED, Answer.REFUSED)
