"""How much of an object store a list of folders looks at."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest
from obstore.store import MemoryStore
from support.counted_objects import CountedObjects, count_calls

from v1registry.registry.expiry import Expiry
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.objects import Groups, ObjectStorage, listing
from v1registry.storage.objects import store as store_module
from v1registry.storage.objects.store import Found, ObjectAccess

NAMESPACES = [f"ns{number:03}" for number in range(200)]

#: The document of keys directly in the folder, and the others.
CALLS = ["get folders/repositories!-f", "list folders/repositories"]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> CountedObjects:
    return count_calls(monkeypatch)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of all objects that are listed; a page has three."""
    names: list[str] = []
    real = ObjectAccess.list

    def looking(access: ObjectAccess, folder: str, *, after: str = "") -> Iterator[Found]:
        for found in real(access, folder, after=after):
            names.append(found.name)
            yield found

    monkeypatch.setattr(ObjectAccess, "list", looking)
    for module in (listing, store_module):
        monkeypatch.setattr(module, "PAGE_NAMES", 3)
    return names


def with_repositories(*names: str) -> ObjectStorage:
    storage = ObjectStorage(MemoryStore(), groups=Groups(KEY_GROUPS))
    for name in names:
        storage.write(f"repositories/{name}/tag_latest", b"x")
    return storage


@pytest.mark.parametrize("after", ["", "ns198"])
def test_list_of_folders_lists_the_store_once(counted: CountedObjects, after: str) -> None:
    storage = with_repositories(*(f"{namespace}/app" for namespace in NAMESPACES))
    with counted.counting() as calls:
        assert list(storage.list_folders("repositories", after=after)) == [
            namespace for namespace in NAMESPACES if namespace > after
        ]
    assert calls == CALLS


def test_list_of_folders_looks_at_what_is_taken(looked: list[str]) -> None:
    storage = with_repositories(*(f"{namespace}/app" for namespace in NAMESPACES))
    assert list(islice(storage.list_folders("repositories"), 2)) == ["ns000", "ns001"]
    assert len(looked) == 2


def test_list_of_folders_begins_after_the_last_one(looked: list[str]) -> None:
    storage = with_repositories(*(f"{namespace}/app" for namespace in NAMESPACES))
    assert next(storage.list_folders("repositories", after="ns150")) == "ns151"
    assert len(looked) == 2


@pytest.mark.parametrize("after", ["", "b"])
def test_rest_of_a_large_folder_is_skipped(looked: list[str], after: str) -> None:
    storage = with_repositories("a/app", "b-c/app", *(f"b/{number:03}" for number in range(100)), "c/app")
    expected = [name for name in ("a", "b", "b-c", "c") if name > after]
    assert list(storage.list_folders("repositories", after=after)) == expected
    assert len(looked) < 8


def test_large_repositories_of_a_namespace_are_not_looked_through(
    looked: list[str], counted: CountedObjects
) -> None:
    storage = with_repositories(*(f"a/{number}" for number in range(9)))
    for number in range(9):
        storage.write(f"repositories/a/{number}/_v2/blobs/{number:064}", b"x")
    storage.delete("repositories/a/3/tag_latest")
    storage.delete_tree("repositories/a/5")
    looked.clear()
    with counted.counting() as calls:
        assert list(storage.list_folders("repositories/a", after="1")) == [*"234678"]
    # a repository without own keys is looked at
    assert calls[-3:] == [
        "level folders/repositories/a",
        "list folders/repositories/a/3",
        "list folders/repositories/a/5",
    ]


def test_store_that_always_lists_from_the_beginning_is_listed_once(
    looked: list[str], counted: CountedObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObjectAccess, "begins_anywhere", False)
    storage = with_repositories(*(f"{space}/{number}" for space in "ab" for number in range(9)))
    with counted.counting() as calls:
        assert list(storage.list_folders("repositories")) == ["a", "b"]
    assert calls == CALLS
    assert len(looked) == 18


def test_folder_whose_keys_are_deleted_is_left_out(looked: list[str]) -> None:
    storage = with_repositories(*(f"a/{number}" for number in range(9)), "b/app")
    storage.delete_tree("repositories/a")
    looked.clear()
    assert list(storage.list_folders("repositories")) == ["b"]
    storage.write("repositories/a/8/tag_latest", b"x")
    assert list(storage.list_folders("repositories")) == ["a", "b"]


@pytest.mark.parametrize("is_live", [True, False])
def test_walk_through_expired_uploads_lists_each_folder_once(counted: CountedObjects, is_live: bool) -> None:
    storage = ObjectStorage(MemoryStore(), groups=Groups(KEY_GROUPS))
    keys = [f"uploads/{number:032x}/{number:032x}-{number:032x}/info" for number in range(50)]
    for key in keys:
        storage.write(key, b"x")
        if not is_live:
            storage.delete(key)
    with counted.counting() as calls:
        Expiry(storage).tidy_at_start()
    # two for each of the folders that are looked through from anywhere
    assert len([call for call in calls if call.startswith("list ")]) <= 10 + len(keys) * is_live
