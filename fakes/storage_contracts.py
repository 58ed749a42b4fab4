"""What a storage has to do, as tests that you run on yours.

A storage written for v1registry keeps the protocol :class:`v1registry.storage.base.Storage`. To prove it, derive from
:class:`StorageContract` in a test file of your own and give the fixture ``storage``::

    import pytest
    from v1registry_fakes.contracts import StorageContract
    from my_package import CloudStorage

    class TestCloudStorage(StorageContract):
        @pytest.fixture
        def storage(self):
            return CloudStorage("test-bucket", prefix=some_random_name())

Every test gets a storage of its own, which is empty when the test begins. The whole class takes a second or so on a local
storage; each test writes 2 MiB at the most, in some dozens of operations, so that it can be run against a remote one too.

For readable failures let pytest rewrite this module's assertions, in ``conftest.py``, before it is imported::

    pytest.register_assert_rewrite(
        "v1registry_fakes.storage_contracts", "v1registry_fakes.storage_sharing", "v1registry_fakes.storage_steps"
    )
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from v1registry.storage.base import CHUNK_BYTES, InvalidKey, KeyNotFound, Storage

from .storage_sharing import SharingRules, assert_not_found, listed
from .storage_steps import ConditionalDeletionRules, PublicationRules

__all__ = ["StorageContract"]

#: A key of 1024 characters, and one of 1025.
_LONGEST_KEY = "/".join(["a" * 255, "b" * 255, "c" * 255, "d" * 254, "e"])
_TOO_LONG_KEY = _LONGEST_KEY + "e"

#: Bytes that differ from one place to the next, so that a shifted range is found out.
_MIBIBYTE = b"".join(number.to_bytes(4, "big") for number in range(256 * 1024))

_BAD_KEYS = {
    "nothing": "",
    "absolute": "/etc/passwd",
    "trailing slash": "a/",
    "empty segment": "a//b",
    "dot": "a/./b",
    "parent": "a/../b",
    "parent at the begin": "../a",
    "parent at the end": "a/..",
    "only parent": "..",
    "NUL": "a\0b",
    "newline": "a\n",
    "delete character": "a\x7f",
    "backslash": "a\\b",
    "not ASCII": "ä",
    "lone surrogate": "a\udcff",
    "long segment": "a" * 256,
    "long": _TOO_LONG_KEY,
    "reserved": "a/.json.0123456789abcdef.tmp",
    "reserved folder": ".trash.tmp/a",
}


class StorageContract(ConditionalDeletionRules, PublicationRules, SharingRules):
    """The rules of the storage protocol, a test each. Derive from it and override the fixture ``storage``."""

    @pytest.fixture
    def storage(self) -> Storage:
        """Return the storage to be tested, empty."""
        raise NotImplementedError("override the fixture `storage` so that it returns your storage, empty")

    # -- values

    @pytest.mark.parametrize("value", [b"", b"x", b"\x00\xff\r\n", b"y" * CHUNK_BYTES], ids=len)
    def test_a_value_is_read_as_it_was_written(self, storage: Storage, value: bytes) -> None:
        storage.write("a/b", value)
        assert storage.read("a/b")[0] == value

    def test_a_mebibyte_survives(self, storage: Storage) -> None:
        storage.write("a/b", _MIBIBYTE)
        assert storage.read("a/b")[0] == _MIBIBYTE

    def test_a_later_value_replaces_an_earlier_one(self, storage: Storage) -> None:
        storage.write("a/b", b"a long first value")
        storage.write("a/b", b"second")
        assert storage.read("a/b")[0] == b"second"

    def test_what_nobody_wrote_is_not_found(self, storage: Storage) -> None:
        storage.write("a/b", b"value")
        for key in ("b", "a/c", "c/b", "a/bb"):
            assert_not_found(storage, key)

    def test_a_folder_of_keys_is_not_a_key(self, storage: Storage) -> None:
        storage.write("a/b/c", b"value")
        for key in ("a", "a/b"):
            assert_not_found(storage, key)

    def test_below_a_key_nothing_is_found(self, storage: Storage) -> None:
        storage.write("a", b"value")
        for key in ("a/b", "a/b/c"):
            assert_not_found(storage, key)

    def test_errors_name_the_key(self, storage: Storage) -> None:
        with pytest.raises(KeyNotFound) as caught:
            storage.read("a/b")[0]
        assert caught.value.key == "a/b"
        assert "a/b" in str(caught.value)

    # -- stat

    def test_stat_tells_what_write_told(self, storage: Storage) -> None:
        written = storage.write("a/b", b"value")
        assert storage.stat("a/b") == written
        assert (written.key, written.size) == ("a/b", 5)

    def test_stat_tells_the_time_of_writing_in_utc(self, storage: Storage) -> None:
        modified = storage.write("a/b", b"value").modified
        assert modified.utcoffset() == timedelta(0)
        # two clocks may be compared here
        assert abs(datetime.now(timezone.utc) - modified) < timedelta(minutes=15)

    def test_read_gives_value_and_stat(self, storage: Storage) -> None:
        written = storage.write("a/b", b"value")
        assert storage.read("a/b") == (b"value", written)

    def test_another_value_of_the_same_size_has_another_etag(self, storage: Storage) -> None:
        etags = {storage.write("a/b", f"{number:03}".encode()).etag for number in range(20)}
        assert len(etags) == 20

    def test_an_etag_is_neither_of_the_two_words_for_expectations(self, storage: Storage) -> None:
        assert storage.write("a/b", b"").etag not in ("", "*")

    # -- keys

    @pytest.mark.parametrize("key", _BAD_KEYS.values(), ids=_BAD_KEYS)
    @pytest.mark.parametrize("operation", ["stat", "read", "open", "delete", "delete_tree"])
    def test_STO_011_a_bad_key_is_refused(  # noqa: N802
        self, storage: Storage, operation: str, key: str
    ) -> None:
        with pytest.raises(InvalidKey):
            getattr(storage, operation)(key)

    @pytest.mark.parametrize("key", _BAD_KEYS.values(), ids=_BAD_KEYS)
    def test_STO_011_a_bad_key_is_not_written_or_locked(  # noqa: N802
        self, storage: Storage, key: str
    ) -> None:
        with pytest.raises(InvalidKey):
            storage.write(key, b"value")
        with pytest.raises(InvalidKey), storage.lock(key):
            pytest.fail("a lock was given")
        assert list(storage.list("")) == []

    @pytest.mark.parametrize("key", _BAD_KEYS.values(), ids=_BAD_KEYS)
    def test_STO_011_a_bad_folder_is_notlisted(  # noqa: N802
        self, storage: Storage, key: str
    ) -> None:
        storage.write("a/b", b"value")
        assert list(storage.list(key + "/")) == []
        if key:
            with pytest.raises(InvalidKey):
                list(storage.list_folders(key))

    @pytest.mark.parametrize(
        "key",
        [
            _LONGEST_KEY,
            "a" * 255,
            "...",
            ".hidden",
            "..x",
            "a b",
            "%2E%2E",
            "a/_b-c.d~e",
            ".x.tmp.y",
            "x.tmp",
        ],
        ids=lambda key: key[:20],
    )
    def test_an_unusual_key_is_as_good_as_others(self, storage: Storage, key: str) -> None:
        storage.write(key, b"value")
        assert storage.read(key)[0] == b"value"
        assert listed(storage) == [key]
        storage.delete(key)
        assert listed(storage) == []

    @pytest.mark.parametrize("key", ["a", "a/b"])
    def test_a_folder_of_keys_is_not_written(self, storage: Storage, key: str) -> None:
        storage.write("a/b/c", b"value")
        with pytest.raises(InvalidKey):
            storage.write(key, b"other")
        assert listed(storage) == ["a/b/c"]

    @pytest.mark.parametrize("key", ["a/b", "a/b/c"])
    def test_below_a_key_nothing_is_written(self, storage: Storage, key: str) -> None:
        storage.write("a", b"value")
        with pytest.raises(InvalidKey):
            storage.write(key, b"other")
        assert storage.read("a")[0] == b"value"

    def test_a_folder_whose_keys_are_deleted_may_become_a_key(self, storage: Storage) -> None:
        storage.write("a/b/c", b"value")
        storage.delete("a/b/c")
        storage.write("a", b"value")
        assert listed(storage) == ["a"]

    # -- streams in

    @pytest.mark.parametrize(
        "piece_bytes", [1000, 4096, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 999_999]
    )
    def test_a_value_comes_in_pieces_of_any_size(self, storage: Storage, piece_bytes: int) -> None:
        pieces = [_MIBIBYTE[at : at + piece_bytes] for at in range(0, len(_MIBIBYTE), piece_bytes)]
        stat = storage.write("a/b", iter(pieces))
        assert stat.size == len(_MIBIBYTE)
        assert storage.read("a/b")[0] == _MIBIBYTE

    @pytest.mark.parametrize("pieces", [[], [b""], [b"", b"x", b"", b"y", b""]], ids=repr)
    def test_empty_pieces_are_nothing_special(self, storage: Storage, pieces: list[bytes]) -> None:
        assert storage.write("a/b", iter(pieces)).size == len(b"".join(pieces))
        assert storage.read("a/b")[0] == b"".join(pieces)

    def test_pieces_may_be_one_buffer_that_is_filled_again(self, storage: Storage) -> None:
        def pieces() -> Iterator[bytes]:
            buffer = bytearray(3)
            for letter in b"abc":
                buffer[:] = bytes([letter]) * 3
                yield buffer  # type: ignore[misc]

        storage.write("a/b", pieces())
        assert storage.read("a/b")[0] == b"aaabbbccc"

    @pytest.mark.parametrize(
        "error", [RuntimeError("broken"), OSError(28, "not of the storage"), KeyNotFound("x")]
    )
    @pytest.mark.parametrize("sent_bytes", [0, 10, 3 * CHUNK_BYTES])
    def test_a_stream_that_raises_stores_nothing(
        self, storage: Storage, error: Exception, sent_bytes: int
    ) -> None:
        def broken() -> Iterator[bytes]:
            yield b"x" * sent_bytes
            raise error

        with pytest.raises(type(error)) as caught:
            storage.write("a/b", broken())
        assert caught.value is error
        assert caught.value.__cause__ is None
        assert listed(storage) == []
        assert list(storage.list_folders("")) == []

    def test_a_stream_that_raises_leaves_the_value_that_was_there(self, storage: Storage) -> None:
        def broken() -> Iterator[bytes]:
            yield b"half of a new val"
            raise RuntimeError

        written = storage.write("a/b", b"old")
        with pytest.raises(RuntimeError):
            storage.write("a/b", broken())
        assert storage.read("a/b") == (b"old", written)

    def test_nothing_is_visible_before_the_stream_has_ended(self, storage: Storage) -> None:
        def watching() -> Iterator[bytes]:
            for _ in range(3):
                yield b"x" * CHUNK_BYTES
                assert_not_found(storage, "a/b")
                assert listed(storage) == []
                assert list(storage.list_folders("")) == []

        storage.write("a/b", watching())
        assert storage.stat("a/b").size == 3 * CHUNK_BYTES

    def test_a_stream_is_consumed_once_and_to_its_end(self, storage: Storage) -> None:
        pieces = iter([b"a", b"b"])
        storage.write("a/b", pieces)
        assert next(pieces, None) is None

    # -- streams out

    @pytest.mark.parametrize(
        ("start", "stop"),
        [
            (0, None),
            (0, 0),
            (0, 1),
            (0, 10),
            (0, 11),
            (1, 9),
            (9, 10),
            (9, None),
            (10, None),
            (11, None),
            (10, 10),
            (7, 3),
            (99, 100),
        ],
    )
    def test_a_range_has_its_bounds(self, storage: Storage, start: int, stop: int | None) -> None:
        written = storage.write("a/b", b"0123456789")
        with storage.open("a/b", start, stop) as blob:
            assert 0 <= blob.start <= blob.stop <= 10
            assert blob.stop - blob.start == len(b"0123456789"[start:stop])
            assert blob.stat == written
            assert b"".join(blob) == b"0123456789"[start:stop]
            assert blob.read() == b""

    @pytest.mark.parametrize(("start", "stop"), [(-1, None), (0, -1)])
    def test_a_range_has_no_negative_bounds(self, storage: Storage, start: int, stop: int | None) -> None:
        storage.write("a/b", b"0123456789")
        with pytest.raises(ValueError, match="range"):
            storage.open("a/b", start, stop)

    def test_a_blob_is_read_piece_by_piece(self, storage: Storage) -> None:
        storage.write("a/b", b"0123456789")
        with storage.open("a/b", 2, 9) as blob:
            assert [blob.read(3), blob.read(0), blob.read(3), blob.read(3), blob.read(3)] == [
                b"234",
                b"",
                b"567",
                b"8",
                b"",
            ]

    def test_reading_without_a_size_gives_the_rest(self, storage: Storage) -> None:
        storage.write("a/b", b"0123456789")
        with storage.open("a/b") as blob:
            assert (blob.read(4), blob.read(), blob.read(-1)) == (b"0123", b"456789", b"")

    def test_a_large_blob_comes_in_bounded_pieces(self, storage: Storage) -> None:
        storage.write("a/b", _MIBIBYTE)
        with storage.open("a/b", 1, len(_MIBIBYTE) - 1) as blob:
            pieces = list(blob)
        assert b"".join(pieces) == _MIBIBYTE[1:-1]
        assert max(map(len, pieces)) <= 8 * CHUNK_BYTES

    def test_the_file_of_a_blob_stands_at_the_start(self, storage: Storage) -> None:
        storage.write("a/b", b"0123456789")
        with storage.open("a/b", 3) as blob:
            assert blob.read(2) == b"34"
            if blob.file is not None:
                assert blob.file.tell() == 3
                assert blob.file.read(4) == b"3456"
            assert blob.read(2) == b"56"

    def test_an_open_blob_survives_replacement(self, storage: Storage) -> None:
        storage.write("a/b", _MIBIBYTE)
        with storage.open("a/b") as blob:
            begin = blob.read(10)
            storage.write("a/b", b"something else")
            assert begin + b"".join(blob) == _MIBIBYTE
        assert storage.read("a/b")[0] == b"something else"

    @pytest.mark.parametrize("operation", ["delete", "delete_tree"])
    def test_an_open_blob_survives_deletion(self, storage: Storage, operation: str) -> None:
        storage.write("a/b", _MIBIBYTE)
        with storage.open("a/b") as blob:
            begin = blob.read(10)
            getattr(storage, operation)("a/b" if operation == "delete" else "a")
            assert begin + b"".join(blob) == _MIBIBYTE

    def test_a_closed_blob_is_not_read(self, storage: Storage) -> None:
        storage.write("a/b", b"value")
        blob = storage.open("a/b")
        blob.close()
        blob.close()
        with pytest.raises(ValueError, match="closed"):
            blob.read()

    # -- listing

    def test_an_empty_storage_lists_nothing(self, storage: Storage) -> None:
        assert list(storage.list("")) == []
        assert list(storage.list("a/b")) == []
        assert list(storage.list_folders("")) == []
        assert list(storage.list_folders("a/b")) == []

    def test_a_listing_is_in_the_order_of_the_keys(self, storage: Storage) -> None:
        keys = ["a-b", "a.b/x", "a/b", "a/b-c/d", "a0", "A", "a/b.c", "b", "a/_b", "a/c/d/e", "a~"]
        for key in keys:
            storage.write(key, b"value")
        assert listed(storage) == sorted(keys)

    def test_a_listing_tells_what_stat_tells(self, storage: Storage) -> None:
        for number in range(3):
            storage.write(f"a/{number}", b"x" * number)
        assert list(storage.list("")) == [storage.stat(f"a/{number}") for number in range(3)]

    @pytest.mark.parametrize(
        "prefix",
        [
            "",
            "a",
            "a/",
            "a/b",
            "a/b/",
            "a/b/c",
            "a-",
            "a/b-",
            "a/bb",
            "b",
            "c",
            "/",
            "//",
            "a//",
            "a/c/",
            "é",
            ".",
        ],
    )
    def test_a_prefix_may_end_anywhere(self, storage: Storage, prefix: str) -> None:
        keys = ["a-b/c", "a/b-b", "a/b/c", "a/b/cc", "a/b/d", "a/bb", "ab", "b/a/b", ".a"]
        for key in keys:
            storage.write(key, b"value")
        assert listed(storage, prefix) == sorted(key for key in keys if key.startswith(prefix))

    @pytest.mark.parametrize("prefix", ["", "a/", "a/b", "b"])
    @pytest.mark.parametrize(
        "after",
        ["a", "a-b/c", "a-c", "a/", "a/b", "a/b-b", "a/b/", "a/b/c", "a/b/c~", "a/b0", "aa", "b", "b/z", "~"],
    )
    def test_a_listing_begins_after_a_key(self, storage: Storage, prefix: str, after: str) -> None:
        keys = ["a-b/c", "a/b-b", "a/b/c", "a/b/cc", "a/b/d", "a/bb", "ab", "b/a/b"]
        for key in keys:
            storage.write(key, b"value")
        expected = sorted(key for key in keys if key.startswith(prefix) and key > after)
        assert [stat.key for stat in storage.list(prefix, after=after)] == expected

    def test_a_listing_goes_on_page_by_page(self, storage: Storage) -> None:
        keys = [f"a/{number % 3}/{number}" for number in range(20)]
        for key in keys:
            storage.write(key, b"value")
        found: list[str] = []
        while page := list(itertools.islice(storage.list("a/", after=found[-1] if found else ""), 7)):
            found += [stat.key for stat in page]
        assert found == sorted(keys)

    def test_folders_are_the_first_segments_that_have_keys_below(self, storage: Storage) -> None:
        for key in ("a/x", "a-b/x", "b/c/d", "b/c/e", "b/f", "c", "b/c-d/e/f"):
            storage.write(key, b"value")
        assert list(storage.list_folders("")) == ["a", "a-b", "b"]
        assert list(storage.list_folders("b")) == ["c", "c-d"]
        assert list(storage.list_folders("b/c-d")) == ["e"]
        assert list(storage.list_folders("a")) == []
        assert list(storage.list_folders("c")) == []
        assert list(storage.list_folders("d")) == []

    @pytest.mark.parametrize(
        ("after", "expected"),
        [("", ["a", "a-b", "b"]), ("a", ["a-b", "b"]), ("a/", ["b"]), ("aa", ["b"]), ("b", []), ("~", [])],
    )
    def test_folders_begin_after_a_name(self, storage: Storage, after: str, expected: list[str]) -> None:
        for key in ("f/a/x", "f/a-b/x", "f/b/x", "f/c"):
            storage.write(key, b"value")
        # "a/" is more than "a-b", as it is in keys
        assert list(storage.list_folders("f", after=after)) == expected

    def test_folder_without_keys_is_not_listed(self, storage: Storage) -> None:
        storage.write("f/a/x", b"value")
        storage.write("f/b/x", b"value")
        storage.delete("f/b/x")
        # a storage of folders may make one for its lock
        with storage.lock("f/c"):
            assert list(storage.list_folders("f")) == ["a"]

    # -- deleting

    def test_a_deleted_key_is_gone(self, storage: Storage) -> None:
        storage.write("a/b", b"value")
        storage.write("a/c", b"value")
        storage.delete("a/b")
        assert_not_found(storage, "a/b")
        assert listed(storage) == ["a/c"]

    def test_a_folder_goes_with_its_last_key(self, storage: Storage) -> None:
        storage.write("a/b/c", b"value")
        storage.write("d/e", b"value")
        storage.delete("a/b/c")
        assert list(storage.list_folders("")) == ["d"]

    @pytest.mark.parametrize("key", ["a", "b", "a/b/c/d"])
    def test_what_is_no_key_cannot_be_deleted(self, storage: Storage, key: str) -> None:
        storage.write("a/b/c", b"value")
        with pytest.raises(KeyNotFound):
            storage.delete(key)
        assert listed(storage) == ["a/b/c"]

    def test_a_tree_is_deleted_with_all_that_is_below_and_nothing_else(self, storage: Storage) -> None:
        for key in ("a/b/c", "a/b/d/e", "a/b-c", "a/bc/d", "b/c"):
            storage.write(key, b"value")
        storage.delete_tree("a/b")
        assert listed(storage) == ["a/b-c", "a/bc/d", "b/c"]
        storage.delete_tree("a")
        assert listed(storage) == ["b/c"]
        assert list(storage.list_folders("")) == ["b"]

    @pytest.mark.parametrize("folder", ["a", "a/b", "a/b/c", "x", "a/b/c/d", "a/x"])
    def test_deleting_a_tree_without_keys_is_no_error(self, storage: Storage, folder: str) -> None:
        storage.write("a/b/c", b"value")
        if folder in ("a", "a/b"):
            storage.delete_tree(folder)
        storage.delete_tree(folder)
        assert listed(storage) == ([] if folder in ("a", "a/b") else ["a/b/c"])

    def test_a_deleted_tree_can_be_written_again(self, storage: Storage) -> None:
        storage.write("a/b/c", b"value")
        storage.delete_tree("a")
        storage.write("a/b", b"other")
        assert listed(storage) == ["a/b"]
