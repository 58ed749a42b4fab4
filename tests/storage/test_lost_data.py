"""Keys of an object store whose data objects are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.lost_data import LosingStorage
from support.wsgi_client import Client

from v1registry import Registry
from v1registry.storage import DataMissing, KeyNotFound

KEY = "images/a/layer"


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> LosingStorage:
    storage = LosingStorage(monkeypatch)
    storage.write(KEY, b"value")
    storage.write("images/a/json", b"other")
    return storage


@pytest.mark.parametrize(
    "read",
    [
        lambda storage: storage.read(KEY),
        lambda storage: storage.open(KEY),
        lambda storage: storage.open(KEY, 2, 4),
        lambda storage: list(storage.read_many(["images/a/json", KEY])),
    ],
)
def test_lost_value_is_told_from_a_failed_store(
    storage: LosingStorage, read: Callable[[LosingStorage], object]
) -> None:
    name = storage.object_of(KEY)
    storage.lose(KEY)
    with pytest.raises(DataMissing, match=f"^{KEY}: its data is missing .* no object {name}$"):
        read(storage)
    assert storage.read("images/a/json")[0] == b"other"


def test_value_that_is_lost_while_it_is_read_is_told(
    storage: LosingStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(*_: object) -> Iterator[bytes]:
        yield b"va"
        raise FileNotFoundError

    monkeypatch.setattr(storage._access, "stream", breaking)
    with storage.open(KEY) as blob, pytest.raises(DataMissing):
        blob.read()


def test_removed_key_is_no_lost_one(storage: LosingStorage) -> None:
    storage.lose(KEY)
    storage.delete(KEY)
    with pytest.raises(KeyNotFound):
        storage.read(KEY)


def test_request_for_a_lost_value_gets_503(storage: LosingStorage) -> None:
    image_id = "a" * 64
    storage.write(f"images/{image_id}/json", b'{"id": "%s"}' % image_id.encode())
    storage.lose(f"images/{image_id}/json")
    assert Client(Registry(storage=storage)).get(f"/v1/images/{image_id}/json").status_int == 503
