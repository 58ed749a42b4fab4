"""Groups of keys in an ObjectStorage: names of objects, patterns, and listings over several groups."""

from __future__ import annotations

import re
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from v1registry.storage import InvalidKey, MemoryStorage, StorageError, StorageFull
from v1registry.storage.objects import Groups, ObjectStorage, committing
from v1registry.storage.objects import listing as listing_module
from v1registry.storage.objects.groups import BEGINNING, FOLDER, SINGLE, Cover, Group, group_of_object
from v1registry.storage.objects.names import decode, encode

PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)

TABLE = Groups(["images/*", "repos/*/*/_v2/marks/??", "repos/*/*/_v2/tags", "repos/*/*", "users/**"])


# -- names of objects


@given(first=PRINTABLE, second=PRINTABLE)
def test_encoded_texts_sort_as_the_texts(first, second):
    assert (encode(first) < encode(second)) == (first < second)


@given(text=PRINTABLE)
def test_encoded_text_is_decoded_and_plain(text):
    assert decode(encode(text)) == text
    assert re.fullmatch(r"[A-Za-z0-9_./!:~`-]*", encode(text))


@pytest.mark.parametrize("name", ["a!", "a!d", "Z5", "~4", ":x"])
def test_text_that_no_encoding_gives_is_rejected(name):
    with pytest.raises(ValueError, match="not the name of an object"):
        decode(name)


@given(first=PRINTABLE, second=PRINTABLE)
def test_objects_sort_as_the_starts_of_their_groups(first, second):
    objects = [Group(start, FOLDER).object_name for start in (first, second)]
    assert (objects[0] < objects[1]) == (first < second)


@pytest.mark.parametrize("kind", [FOLDER, BEGINNING, SINGLE])
@pytest.mark.parametrize("start", ["a", "a/b", "a/..", "a b/c%2F~"])
def test_group_is_known_by_the_name_of_its_object(start, kind):
    assert group_of_object(Group(start, kind).object_name) == Group(start, kind)


@pytest.mark.parametrize(
    "name",
    [
        "folders/a",
        "folders/a!-x",
        "folders/!-f",
        "folders!-f",
        "folders/Zebra!-f",
        "folders/a b!-f",
        "folders/é!-f",
        "data/a!-f",
        "a",
    ],
)
def test_object_that_is_no_document_has_no_group(name):
    assert group_of_object(name) is None


# -- patterns


@pytest.mark.parametrize(
    ("key", "group"),
    [
        ("images/x", Group("images/x", FOLDER)),
        ("images/x/json", Group("images/x", FOLDER)),
        ("images/x/_held_by/a/b", Group("images/x", FOLDER)),
        ("images", Group("images", FOLDER)),
        ("repos/n/r/tag_a", Group("repos/n/r", FOLDER)),
        ("repos/n/r/_v2/tags/a", Group("repos/n/r/_v2/tags", FOLDER)),
        ("repos/n/r/_v2/marks/abc", Group("repos/n/r/_v2/marks/ab", BEGINNING)),
        ("repos/n/r/_v2/marks/ab", Group("repos/n/r/_v2/marks/ab", BEGINNING)),
        ("repos/n/r/_v2/marks/abc/d", Group("repos/n/r/_v2/marks/ab", BEGINNING)),
        ("repos/n/r/_v2/marks/a", Group("repos/n/r", FOLDER)),
        ("users/ann", Group("users/ann", SINGLE)),
        ("users/ann/x", Group("users/ann/x", SINGLE)),
        ("else/where/x", Group("else", FOLDER)),
    ],
)
def test_first_pattern_that_fits_decides(key, group):
    assert TABLE.of(key) == group


@pytest.mark.parametrize(
    ("beginning", "starts", "is_open"),
    [
        ("images/x/", ["images/x"], False),
        ("images/x", [], True),
        ("images/", [], True),
        ("repos/n/r/tag_", ["repos/n/r"], False),
        ("repos/n/r/", ["repos/n/r"], True),
        ("repos/n/r/_v2/tags/", ["repos/n/r/_v2/tags"], False),
        ("repos/n/r/_v2/marks/abc", ["repos/n/r/_v2/marks/ab"], False),
        ("repos/n/r/_v2/marks/a", ["repos/n/r"], True),
        ("users/", [], True),
        ("else/where/x", ["else"], False),
        ("", [], True),
    ],
)
def test_groups_of_keys_that_begin_alike(beginning, starts, is_open):
    cover = TABLE.cover(beginning)
    assert [group.start for group in cover.groups] == starts
    assert cover.is_open == is_open


def test_table_without_patterns_has_a_group_for_each_first_segment():
    assert Groups().of("a/b/c") == Group("a", FOLDER)
    assert Groups().cover("a/b") == Cover((Group("a", FOLDER),), False)


@pytest.mark.parametrize("text", ["", "a//b", "a/??/b", "**/a", "/a"])
def test_invalid_pattern_is_rejected(text):
    with pytest.raises(ValueError, match="pattern"):
        Groups([text])


# -- storages with many groups

SEGMENTS = st.sampled_from(["a", "b", "ab", "abc", "a-b", "a.b", "a~", "..a", "A b", "Z%", "_v"])
KEYS = st.lists(SEGMENTS, min_size=1, max_size=5).map("/".join)
PARTS = st.sampled_from(["*", "a", "ab", "b"])
PATTERNS = st.builds(
    lambda parts, end: "/".join(parts + end),
    st.lists(PARTS, min_size=1, max_size=3),
    st.sampled_from([[], ["??"], ["**"]]),
)
PREFIXES = st.one_of(st.just(""), KEYS, KEYS.map(lambda key: key + "/"), KEYS.map(lambda key: key[:-1]))


@settings(max_examples=300, deadline=None)
@given(
    patterns=st.lists(PATTERNS, max_size=4),
    keys=st.lists(KEYS, max_size=12),
    prefix=PREFIXES,
    after=PREFIXES,
    folder=st.just("") | KEYS,
)
def test_keys_are_listed_the_same_whatever_the_groups_are(patterns, keys, prefix, after, folder):
    memory = MemoryStorage()
    objects = ObjectStorage(MemoryStore(), groups=Groups(patterns))
    for key in keys:
        try:
            memory.write(key, key.encode())
        except InvalidKey:
            continue
        objects.write(key, key.encode())

    def listing(storage):
        return [(stat.key, stat.size) for stat in storage.list(prefix, after=after)]

    assert listing(objects) == listing(memory)
    folders = list(memory.list_folders(folder, after=after))
    assert list(objects.list_folders(folder, after=after)) == folders
    with patch.object(listing_module, "PAGE_NAMES", 1):
        assert list(objects.list_folders(folder, after=after)) == folders
    assert dict(objects.read_many(keys)).keys() == set(keys)
    for key in keys:
        assert outcome(objects.read, key) == outcome(memory.read, key)
    objects.delete_tree(folder or "a")
    memory.delete_tree(folder or "a")
    assert [stat.key for stat in objects.list("")] == [stat.key for stat in memory.list("")]
    assert list(objects.list_folders("")) == list(memory.list_folders(""))


def outcome(read, key):
    try:
        return read(key)[0]
    except StorageError as error:
        return type(error)


def test_folder_whose_keys_are_of_several_groups_has_no_version():
    storage = ObjectStorage(MemoryStore(), groups=TABLE)
    storage.write("users/ann", b"value")
    assert storage.folder_version("users") is None
    assert storage.folder_version("repos/n/r/_v2/marks") is None
    assert storage.folder_version("images/x") == ""


def test_folder_with_other_groups_below_has_a_version():
    storage = ObjectStorage(MemoryStore(), groups=TABLE)
    storage.write_many({"repos/n/r/tag_a": b"value", "repos/n/r/_v2/tags/a": b"value"})
    version = storage.folder_version("repos/n/r")
    assert version
    storage.write("repos/n/r/_v2/tags/b", b"value")
    assert storage.folder_version("repos/n/r") == version
    storage.write("repos/n/r/tag_a", b"other")
    assert storage.folder_version("repos/n/r") not in (version, None)


def test_folder_of_several_groups_is_not_published():
    storage = ObjectStorage(MemoryStore(), groups=TABLE)
    storage.write("users/ann/x", b"value")
    with pytest.raises(InvalidKey, match="several groups"):
        storage.publish("users/ann", "images/x")
    storage.write("staged/x", b"value")
    with pytest.raises(InvalidKey, match="several groups"):
        storage.publish("staged", "users/ann")
    assert [stat.key for stat in storage.list("")] == ["staged/x", "users/ann/x"]


def test_folder_is_published_from_one_group_to_another():
    storage = ObjectStorage(MemoryStore(), groups=TABLE)
    storage.write_many({"staged/x/json": b"value", "staged/x/deep/layer": b"l" * 100_000, "staged/y": b""})
    storage.publish("staged/x", "images/x")
    assert [stat.key for stat in storage.list("")] == ["images/x/deep/layer", "images/x/json", "staged/y"]
    assert storage.read("images/x/deep/layer")[0] == b"l" * 100_000


def test_key_that_makes_too_long_a_name_of_an_object_is_invalid():
    storage = ObjectStorage(MemoryStore(), groups=TABLE)
    with pytest.raises(InvalidKey, match="too long"):
        storage.write("users/" + "/".join(["%" * 200] * 4), b"value")


def test_group_with_too_many_keys_is_full_and_can_be_emptied(monkeypatch):
    storage = ObjectStorage(MemoryStore(), groups=TABLE)
    storage.write_many({f"images/x/{number}": b"v" * 100 for number in range(20)})
    monkeypatch.setattr(committing, "MOST_BYTES", 2000)
    with pytest.raises(StorageFull, match="images/x"):
        storage.write("images/x/more", b"value")
    storage.write("images/y/more", b"value")
    for number in range(20):
        storage.delete(f"images/x/{number}")
    storage.write("images/x/more", b"value")
    assert [stat.key for stat in storage.list("")] == ["images/x/more", "images/y/more"]
