"""A test suite for storages: the protocol :class:`v1registry.storage.base.Storage` as tests.

Derive from :class:`StorageContract` in a test file of your own, and override the fixture ``storage``::

    import pytest
    from v1registry_fakes.contracts import StorageContract
    from my_package import CloudStorage

    class TestCloudStorage(StorageContract):
        @pytest.fixture
        def storage(self):
            return CloudStorage("test-bucket", prefix=some_random_name())

Each test gets a storage of its own, which must be empty at the start. The suite takes some seconds on a local
storage. Each test writes at most 2 MiB in some dozens of operations, so a remote storage can be tested too.

For readable failures, let pytest rewrite the assertions in ``conftest.py``, before it imports these modules::

    pytest.register_assert_rewrite(
        *(f"v1registry_fakes.contracts.storage{name}"
          for name in ("", "_listing", "_sharing", "_steps", "_versions"))
    )
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from v1registry.storage.base import CHUNK_BYTES, InvalidKey, KeyNotFound, Storage

from .storage_listing import ListingRules
from .storage_moments import MomentRules
from .storage_sharing import SharingRules, assert_not_found, listed
from .storage_steps import ConditionalDeletionRules, LinkRules, PublicationRules
from .storage_versions import VersionRules

__all__ = ["StorageContract"]

#: A key of 1024 characters, and one of 1025.
_LONGEST_KEY = "/".join(["a" * 255, "b" * 255, "c" * 255, "d" * 254, "e"])
_TOO_LONG_KEY = _LONGEST_KEY + "e"

#: Bytes that differ from place to place, so a shifted range is found.
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


class StorageContract(
    ListingRules,
    ConditionalDeletionRules,
    PublicationRules,
    LinkRules,
    SharingRules,
    VersionRules,
    MomentRules,
):
    """All contract tests of a storage. Derive from it and override the fixture ``storage``."""

    @pytest.fixture
    def storage(self) -> Storage:
        """Return the storage under test, empty."""
        raise NotImplementedError("override the fixture `storage`: it must return your storage, empty")

    # -- values

    @pytest.mark.parametrize("value", [b"", b"x", b"\x00\xff\r\n", b"y" * CHUNK_BYTES], ids=len)
    def test_value_is_read_as_written(self, storage: Storage, value: bytes) -> None:
        storage.write("a/b", value)
        assert storage.read("a/b")[0] == value

    def test_mebibyte_is_read_as_written(self, storage: Storage) -> None:
        storage.write("a/b", _MIBIBYTE)
        assert storage.read("a/b")[0] == _MIBIBYTE

    def test_later_value_replaces_earlier_one(self, storage: Storage) -> None:
        storage.write("a/b", b"a long first value")
        storage.write("a/b", b"second")
        assert storage.read("a/b")[0] == b"second"

    def test_unwritten_key_is_not_found(self, storage: Storage) -> None:
        storage.write("a/b", b"value")
        for key in ("b", "a/c", "c/b", "a/bb"):
            assert_not_found(storage, key)

    def test_folder_of_keys_is_not_found_as_a_key(self, storage: Storage) -> None:
        storage.write("a/b/c", b"value")
        for key in ("a", "a/b"):
            assert_not_found(storage, key)

    def test_key_below_a_key_is_not_found(self, storage: Storage) -> None:
        storage.write("a", b"value")
        for key in ("a/b", "a/b/c"):
            assert_not_found(storage, key)

    def test_error_names_the_key(self, storage: Storage) -> None:
        with pytest.raises(KeyNotFound) as caught:
            storage.read("a/b")[0]
        assert caught.value.key == "a/b"
        assert "a/b" in str(caught.value)

    # -- stat

    def test_stat_equals_the_result_of_write(self, storage: Storage) -> None:
        written = storage.write("a/b", b"value")
        assert storage.stat("a/b") == written
        assert (written.key, written.size) == ("a/b", 5)

    def test_stat_has_the_time_of_writing_in_utc(self, storage: Storage) -> None:
        modified = storage.write("a/b", b"value").modified
        assert modified.utcoffset() == timedelta(0)
        # the storage may have a clock of its own
        assert abs(datetime.now(timezone.utc) - modified) < timedelta(minutes=15)

    def test_read_returns_value_and_stat(self, storage: Storage) -> None:
        written = storage.write("a/b", b"value")
        assert storage.read("a/b") == (b"value", written)

    def test_different_value_of_equal_size_has_different_etag(self, storage: Storage) -> None:
        etags = {storage.write("a/b", f"{number:03}".encode()).etag for number in range(20)}
        assert len(etags) == 20

    def test_etag_is_neither_any_nor_absent(self, storage: Storage) -> None:
        assert storage.write("a/b", b"").etag not in ("", "*")

    # -- keys

    @pytest.mark.parametrize("key", _BAD_KEYS.values(), ids=_BAD_KEYS)
    @pytest.mark.parametrize("operation", ["stat", "read", "open", "delete", "delete_tree"])
    def test_STO_011_invalid_key_is_rejected(  # noqa: N802
        self, storage: Storage, operation: str, key: str
    ) -> None:
        with pytest.raises(InvalidKey):
            getattr(storage, operation)(key)

    @pytest.mark.parametrize("key", _BAD_KEYS.values(), ids=_BAD_KEYS)
    def test_STO_011_invalid_key_is_not_written(  # noqa: N802
        self, storage: Storage, key: str
    ) -> None:
        with pytest.raises(InvalidKey):
            storage.write(key, b"value")
        assert list(storage.list("")) == []

    @pytest.mark.parametrize("key", _BAD_KEYS.values(), ids=_BAD_KEYS)
    def test_STO_011_invalid_folder_is_not_listed(  # noqa: N802
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
    def test_unusual_key_is_accepted(self, storage: Storage, key: str) -> None:
        storage.write(key, b"value")
        assert storage.read(key)[0] == b"value"
        assert listed(storage) == [key]
        storage.delete(key)
        assert listed(storage) == []

    @pytest.mark.parametrize("key", ["a", "a/b"])
    def test_folder_of_keys_cannot_be_written(self, storage: Storage, key: str) -> None:
        storage.write("a/b/c", b"value")
        with pytest.raises(InvalidKey):
            storage.write(key, b"other")
        assert listed(storage) == ["a/b/c"]

    @pytest.mark.parametrize("key", ["a/b", "a/b/c"])
    def test_key_below_a_key_cannot_be_written(self, storage: Storage, key: str) -> None:
        storage.write("a", b"value")
        with pytest.raises(InvalidKey):
            storage.write(key, b"other")
        assert storage.read("a")[0] == b"value"

    def test_folder_without_keys_may_become_a_key(self, storage: Storage) -> None:
        storage.write("a/b/c", b"value")
        storage.delete("a/b/c")
        storage.write("a", b"value")
        assert listed(storage) == ["a"]

    # -- streams in

    @pytest.mark.parametrize(
        "piece_bytes", [1000, 4096, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 999_999]
    )
    def test_pieces_of_any_size_are_joined(self, storage: Storage, piece_bytes: int) -> None:
        pieces = [_MIBIBYTE[at : at + piece_bytes] for at in range(0, len(_MIBIBYTE), piece_bytes)]
        stat = storage.write("a/b", iter(pieces))
        assert stat.size == len(_MIBIBYTE)
        assert storage.read("a/b")[0] == _MIBIBYTE

    @pytest.mark.parametrize("pieces", [[], [b""], [b"", b"x", b"", b"y", b""]], ids=repr)
    def test_empty_pieces_are_accepted(self, storage: Storage, pieces: list[bytes]) -> None:
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
    def test_stream_that_raises_stores_nothing(
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

    def test_stream_that_raises_leaves_the_old_value(self, storage: Storage) -> None:
        def broken() -> Iterator[bytes]:
            yield b"half of a new val"
            raise RuntimeError

        written = storage.write("a/b", b"old")
        with pytest.raises(RuntimeError):
            storage.write("a/b", broken())
        assert storage.read("a/b") == (b"old", written)

    def test_value_is_invisible_before_the_end_of_its_stream(self, storage: Storage) -> None:
        def watching() -> Iterator[bytes]:
            for _ in range(3):
                yield b"x" * CHUNK_BYTES
                assert_not_found(storage, "a/b")
                assert listed(storage) == []
                assert list(storage.list_folders("")) == []

        storage.write("a/b", watching())
        assert storage.stat("a/b").size == 3 * CHUNK_BYTES

    def test_stream_is_consumed_once_and_to_its_end(self, storage: Storage) -> None:
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
    def test_range_has_its_bounds(self, storage: Storage, start: int, stop: int | None) -> None:
        written = storage.write("a/b", b"0123456789")
        with storage.open("a/b", start, stop) as blob:
            assert 0 <= blob.start <= blob.stop <= 10
            assert blob.stop - blob.start == len(b"0123456789"[start:stop])
            assert blob.stat == written
            assert b"".join(blob) == b"0123456789"[start:stop]
            assert blob.read() == b""

    @pytest.mark.parametrize(("start", "stop"), [(-1, None), (0, -1)])
    def test_range_with_negative_bounds_is_rejected(
        self, storage: Storage, start: int, stop: int | None
    ) -> None:
        storage.write("a/b", b"0123456789")
        with pytest.raises(ValueError, match="range"):
            storage.open("a/b", start, stop)

    def test_blob_is_read_piece_by_piece(self, storage: Storage) -> None:
        storage.write("a/b", b"0123456789")
        with storage.open("a/b", 2, 9) as blob:
            assert [blob.read(3), blob.read(0), blob.read(3), blob.read(3), blob.read(3)] == [
                b"234",
                b"",
                b"567",
                b"8",
                b"",
            ]

    def test_read_without_a_size_returns_the_rest(self, storage: Storage) -> None:
        storage.write("a/b", b"0123456789")
        with storage.open("a/b") as blob:
            assert (blob.read(4), blob.read(), blob.read(-1)) == (b"0123", b"456789", b"")

    def test_large_blob_comes_in_bounded_pieces(self, storage: Storage) -> None:
        storage.write("a/b", _MIBIBYTE)
        with storage.open("a/b", 1, len(_MIBIBYTE) - 1) as blob:
            pieces = list(blob)
        assert b"".join(pieces) == _MIBIBYTE[1:-1]
        assert max(map(len, pieces)) <= 8 * CHUNK_BYTES

    def test_file_of_a_blob_is_positioned_at_the_start(self, storage: Storage) -> None:
        storage.write("a/b", b"0123456789")
        with storage.open("a/b", 3) as blob:
            assert blob.read(2) == b"34"
            if blob.file is not None:
                assert blob.file.tell() == 3
                assert blob.file.read(4) == b"3456"
            assert blob.read(2) == b"56"

    def test_open_blob_survives_replacement(self, storage: Storage) -> None:
        storage.write("a/b", _MIBIBYTE)
        with storage.open("a/b") as blob:
            begin = blob.read(10)
            storage.write("a/b", b"something else")
            assert begin + b"".join(blob) == _MIBIBYTE
        assert storage.read("a/b")[0] == b"something else"

    @pytest.mark.parametrize("operation", ["delete", "delete_tree"])
    def test_open_blob_survives_deletion(self, storage: Storage, operation: str) -> None:
        storage.write("a/b", _MIBIBYTE)
        with storage.open("a/b") as blob:
            begin = blob.read(10)
            getattr(storage, operation)("a/b" if operation == "delete" else "a")
            assert begin + b"".join(blob) == _MIBIBYTE

    def test_closed_blob_cannot_be_read(self, storage: Storage) -> None:
        storage.write("a/b", b"value")
        blob = storage.open("a/b")
        blob.close()
        blob.close()
        with pytest.raises(ValueError, match="closed"):
            blob.read()
