"""The storage of the tests that fails and is interrupted."""

from __future__ import annotations

import pytest
from support.faulty_storage import FaultyStorage

from v1registry.storage.base import KeyNotFound, StorageUnavailable


def test_calls_are_counted_by_method_and_key() -> None:
    storage = FaultyStorage()
    storage.write("a/one", b"1")
    storage.write("b/one", b"1")
    storage.read("a/one")
    assert (storage.count(), storage.count("write"), storage.count(key="a/*")) == (3, 2, 2)


def test_failure_changes_nothing_and_ends_with_heal() -> None:
    storage = FaultyStorage()
    storage.fail("write", key="a/*", skip=1)
    storage.write("a/one", b"1")
    with pytest.raises(StorageUnavailable):
        storage.write("a/two", b"2")
    storage.write("b/two", b"2")
    assert [stat.key for stat in storage.list("")] == ["a/one", "b/two"]
    storage.heal()
    storage.write("a/two", b"2")


def test_action_before_a_call_runs_once_and_may_use_the_storage() -> None:
    storage = FaultyStorage()
    storage.write("a", b"1")
    storage.before(lambda: storage.write("a", b"2"), "read")
    assert storage.read("a")[0] == b"2"
    storage.write("a", b"3")
    assert storage.read("a")[0] == b"3"


def test_action_after_a_call_runs_if_the_call_fails_too() -> None:
    storage = FaultyStorage()
    storage.after(lambda: storage.write("a", b"1"), "stat", key="a")
    with pytest.raises(KeyNotFound):
        storage.stat("a")
    assert storage.read("a")[0] == b"1"
