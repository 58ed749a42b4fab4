"""What the answers of an object store mean: missing objects, missing buckets, failures."""

from __future__ import annotations

from collections.abc import Callable

import obstore
import pytest
from obstore.exceptions import GenericError
from obstore.store import MemoryStore

from v1registry.storage import KeyNotFound, StorageFull, StorageUnavailable
from v1registry.storage.objects import ObjectStorage
from v1registry.storage.objects.store import Conflict, ObjectAccess, Version

CALLS: dict[str, Callable[[ObjectStorage], object]] = {
    "read": lambda storage: storage.read("a/b"),
    "write": lambda storage: storage.write("a/b", b"value"),
    "large": lambda storage: storage.write("a/b", b"x" * 50_000),
    "stream": lambda storage: storage.write("a/b", [b"x" * 50_000] * 2),
    "delete": lambda storage: storage.delete("a/b"),
    "list": lambda storage: list(storage.list("")),
    "list_folders": lambda storage: list(storage.list_folders("")),
    "sweep": lambda storage: storage.sweep(older_than_s=0),
}

#: The functions of obstore that a storage calls.
FUNCTIONS = ("get", "put", "head", "delete", "list", "list_with_delimiter", "open_writer")


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let each call of obstore raise an error."""

    def fail(*_args: object, **_options: object) -> object:
        raise error

    for name in FUNCTIONS:
        monkeypatch.setattr(obstore, name, fail)


@pytest.fixture
def storage() -> ObjectStorage:
    storage = ObjectStorage(MemoryStore())
    storage.write("a/other", b"value")
    return storage


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    "error",
    [
        GenericError("HTTP status 503, secret=hidden"),
        FileNotFoundError("<Code>NoSuchBucket</Code>"),
        FileNotFoundError("404 ContainerNotFound"),
        ValueError("hidden"),
        OSError("hidden"),
    ],
    ids=["failure", "no bucket", "no container", "ValueError", "OSError"],
)
def test_failed_call_makes_the_storage_unavailable_and_tells_no_secret(storage, monkeypatch, error, call):
    failing(monkeypatch, error)
    with pytest.raises(StorageUnavailable) as caught:
        call(storage)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("call", ["write", "large", "stream", "list", "list_folders"])
def test_missing_place_to_write_or_list_is_a_failure(storage, monkeypatch, call):
    failing(monkeypatch, FileNotFoundError("not found"))
    with pytest.raises(StorageUnavailable):
        CALLS[call](storage)


def test_missing_document_has_no_keys(storage, monkeypatch):
    failing(monkeypatch, FileNotFoundError("not found"))
    with pytest.raises(KeyNotFound):
        storage.read("a/other")


def test_full_store_is_told_apart(storage, monkeypatch):
    failing(monkeypatch, GenericError("status 403 <Code>QuotaExceeded</Code>"))
    with pytest.raises(StorageFull):
        storage.write("a/b", b"x" * 50_000)


def test_404_of_a_conditional_write_is_a_conflict(monkeypatch):
    access = ObjectAccess(MemoryStore())
    access.conditions()
    failing(monkeypatch, FileNotFoundError("not found"))
    with pytest.raises(Conflict):
        access.put("folders/a!-f", b"value", Version('"1"', None))
    with pytest.raises(StorageUnavailable):
        access.put("folders/a!-f", b"value", None)
