"""Typed records: what is checked when they are read, and what is kept when they are changed."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest

from v1registry import MemoryStorage
from v1registry.storage.base import KeyConflict, StorageUnavailable
from v1registry.storage.records import BrokenRecord, create, find, find_all, find_stored, parsed, update


@dataclass(frozen=True)
class Hull:
    material: str
    length_m: float


@dataclass(frozen=True)
class Boat:
    name: str
    berth: int
    is_afloat: bool
    hulls: tuple[Hull, ...]
    owner: str | None = None


SWIFT = Boat("swift", 7, True, (Hull("oak", 9.5),), owner="mira")
FIELDS = {
    "name": "swift",
    "berth": 7,
    "is_afloat": True,
    "hulls": [{"material": "oak", "length_m": 9.5}],
    "owner": "mira",
}


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


def stored(storage: MemoryStorage, key: str) -> object:
    return json.loads(storage.open(key).read())


def test_record_is_stored_as_a_json_object_of_its_fields(storage: MemoryStorage) -> None:
    create(storage, "boats/swift", SWIFT)
    assert stored(storage, "boats/swift") == FIELDS
    assert find(storage, "boats/swift", Boat) == SWIFT


def test_stored_record_comes_with_its_key_and_etag(storage: MemoryStorage) -> None:
    stat = create(storage, "boats/swift", SWIFT)
    found = find_stored(storage, "boats/swift", Boat)
    assert found is not None
    assert (found.key, found.etag, found.record) == ("boats/swift", stat.etag, SWIFT)


def test_missing_record_is_none(storage: MemoryStorage) -> None:
    assert find(storage, "boats/swift", Boat) is None
    assert find_stored(storage, "boats/swift", Boat) is None


def test_second_creation_is_a_conflict_and_the_first_is_kept(storage: MemoryStorage) -> None:
    create(storage, "boats/swift", SWIFT)
    with pytest.raises(KeyConflict):
        create(storage, "boats/swift", replace(SWIFT, berth=8))
    assert find(storage, "boats/swift", Boat) == SWIFT


def test_field_with_a_default_may_be_missing() -> None:
    value = json.dumps({name: FIELDS[name] for name in FIELDS if name != "owner"}).encode()
    assert parsed("boats/swift", value, Boat) == replace(SWIFT, owner=None)


def test_unknown_fields_are_ignored() -> None:
    assert parsed("boats/swift", json.dumps({**FIELDS, "colour": "red"}).encode(), Boat) == SWIFT


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"9" * 10_000, "not JSON"),
        (b"[]", "expected a JSON object, got list"),
        (b"{}", "missing required field"),
    ],
)
def test_value_that_is_not_a_json_object_is_broken(value: bytes, problem: str) -> None:
    with pytest.raises(BrokenRecord, match=rf"^boats/swift: .*{problem}"):
        parsed("boats/swift", value, Boat)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": None}, r"\$\.name"),
        ({"berth": "7"}, r"\$\.berth"),
        ({"berth": True}, r"\$\.berth"),
        ({"berth": 7.5}, r"\$\.berth"),
        ({"is_afloat": 1}, r"\$\.is_afloat"),
        ({"is_afloat": "false"}, r"\$\.is_afloat"),
        ({"hulls": "oak"}, r"\$\.hulls"),
        ({"hulls": [{"material": "oak"}]}, r"length_m"),
        ({"hulls": [{"material": "oak", "length_m": "long"}]}, r"length_m"),
        ({"owner": []}, r"\$\.owner"),
    ],
)
def test_field_of_a_wrong_type_is_broken_and_named(change: dict[str, object], place: str) -> None:
    with pytest.raises(BrokenRecord, match=place):
        parsed("boats/swift", json.dumps({**FIELDS, **change}).encode(), Boat)


def test_broken_record_is_a_failure_of_the_storage() -> None:
    assert issubclass(BrokenRecord, StorageUnavailable)


def test_lone_surrogates_are_kept(storage: MemoryStorage) -> None:
    # two halves of one character, which JSON escapes would join
    boat = replace(SWIFT, name="\ud83d|\ude00", owner="\ud83d\ude00")
    create(storage, "boats/half", boat)
    assert find(storage, "boats/half", Boat) == boat


def test_update_returns_both_records_and_keeps_unknown_fields(storage: MemoryStorage) -> None:
    storage.write("boats/swift", json.dumps({**FIELDS, "colour": "red"}).encode())

    def moved(boat: Boat | None) -> Boat | None:
        return None if boat is None else replace(boat, berth=8)

    assert update(storage, "boats/swift", Boat, moved) == (SWIFT, replace(SWIFT, berth=8))
    assert stored(storage, "boats/swift") == {**FIELDS, "berth": 8, "colour": "red"}


def test_update_without_a_change_writes_nothing(storage: MemoryStorage) -> None:
    etag = create(storage, "boats/swift", SWIFT).etag
    assert update(storage, "boats/swift", Boat, lambda boat: None) == (SWIFT, SWIFT)
    assert storage.stat("boats/swift").etag == etag


def test_update_without_a_change_keeps_the_format_of_the_value(storage: MemoryStorage) -> None:
    stat = storage.write("boats/swift", json.dumps(FIELDS, indent=7).encode())
    assert update(storage, "boats/swift", Boat, lambda boat: boat and replace(boat, berth=7)) == (
        SWIFT,
        SWIFT,
    )
    assert storage.stat("boats/swift") == stat


def test_update_creates_a_missing_record(storage: MemoryStorage) -> None:
    assert update(storage, "boats/swift", Boat, lambda boat: SWIFT) == (None, SWIFT)
    assert find(storage, "boats/swift", Boat) == SWIFT


def test_update_is_repeated_after_the_change_of_another_writer(storage: MemoryStorage) -> None:
    create(storage, "boats/swift", SWIFT)
    seen: list[int] = []

    def moved(boat: Boat | None) -> Boat | None:
        assert boat is not None
        if not seen:
            storage.write("boats/swift", json.dumps({**FIELDS, "berth": 20}).encode())
        seen.append(boat.berth)
        return replace(boat, berth=boat.berth + 1)

    assert update(storage, "boats/swift", Boat, moved)[1] == replace(SWIFT, berth=21)
    assert seen == [7, 20]


def test_update_of_a_broken_record_changes_nothing(storage: MemoryStorage) -> None:
    storage.write("boats/swift", b"{")
    with pytest.raises(BrokenRecord):
        update(storage, "boats/swift", Boat, lambda boat: SWIFT)
    assert storage.open("boats/swift").read() == b"{"


def test_broken_record_is_logged_and_hides_no_other(
    storage: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    create(storage, "boats/a", SWIFT)
    storage.write("boats/b", b"{")
    create(storage, "boats/c", replace(SWIFT, name="c"))
    create(storage, "boatsheds/d", SWIFT)
    assert [found.key for found in find_all(storage, "boats/", Boat)] == ["boats/a", "boats/c"]
    assert "boats/b: the stored record is broken" in caplog.text
