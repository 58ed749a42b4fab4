"""Detecting compressions and expanding layers within bounds."""

from __future__ import annotations

import bz2
import contextlib
import doctest
import gzip
import hashlib
import io
import json
import lzma
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tar_blocks import Dribble, member

from v1registry.layers import compression
from v1registry.layers.compression import (
    ExpansionLimitExceeded,
    Readable,
    UnreadableLayer,
    UnsupportedCompression,
    compression_of,
    open_decompressed,
)

DATA = Path(__file__).parents[1] / "data"
SAMPLE = DATA / "docker-registry-0.9.1-data" / "images"
CONTENT = b"".join(b"%d bottles of beer\n" % number for number in range(3000))


def zstd_frame(content: bytes) -> bytes:
    """Return a zstd frame of one uncompressed block (RFC 8878)."""
    block = ((len(content) << 3) | 1).to_bytes(3, "little") + content
    return b"\x28\xb5\x2f\xfd" + b"\xa0" + len(content).to_bytes(4, "little") + block


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd_frame,
}


@pytest.fixture(params=list(COMPRESSORS))
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "zstd" and sys.version_info < (3, 14):
        pytest.importorskip("zstandard", reason="the extra [zstd] is not installed")
    return str(request.param)


def read_all(stream: Readable, size: int = 10_000, *, limit_bytes: int | None = None) -> bytes:
    expanded = open_decompressed(stream, limit_bytes=limit_bytes)
    pieces = []
    while piece := expanded.read(size):
        assert len(piece) <= size
        pieces.append(piece)
    return b"".join(pieces)


def test_ENG_001_compression_is_detected_by_magic() -> None:
    for name, compress in COMPRESSORS.items():
        assert compression_of(compress(CONTENT)) == name
        assert compression_of(compress(b"")) == name
    assert compression_of(member(b"etc/hosts", b"127.0.0.1")) == "plain"
    assert compression_of(b"") == "plain"


def test_archive_whose_first_name_looks_like_bzip2_is_plain() -> None:
    assert compression_of(member(b"BZh9.txt", b"hello")) == "plain"


def test_ENG_001_compressed_layer_expands_to_its_content(kind: str) -> None:
    layer = COMPRESSORS[kind](CONTENT)
    assert read_all(io.BytesIO(layer)) == CONTENT
    assert read_all(Dribble(layer), size=3) == CONTENT
    assert open_decompressed(io.BytesIO(layer)).compression == kind


@pytest.mark.parametrize("layer", [b"", b"x", b"\x1f\x8b", b"BZh9", CONTENT])
def test_plain_layer_is_returned_unchanged(layer: bytes) -> None:
    assert read_all(io.BytesIO(layer)) == layer
    assert read_all(Dribble(layer)) == layer
    assert open_decompressed(io.BytesIO(layer)).compression == "plain"


def test_ENG_002_sample_layers_expand_to_their_diff_ids() -> None:
    images = json.loads((DATA / "v1-to-v2.json").read_text())["images"]
    compared = set()
    for image in images:
        folder = SAMPLE / image["id"]
        chain = json.loads((folder / "ancestry").read_bytes())[::-1]
        for image_id, diff_id, digest in zip(chain, image["diff_ids"], image["layer_digests"], strict=True):
            layer = (SAMPLE / image_id / "layer").read_bytes()
            assert "sha256:" + hashlib.sha256(layer).hexdigest() == digest
            assert "sha256:" + hashlib.sha256(read_all(io.BytesIO(layer))).hexdigest() == diff_id
            compared.add(image_id)
    assert len(compared) == 3


def test_several_compressed_streams_count_as_one(kind: str) -> None:
    compress = COMPRESSORS[kind]
    layer = compress(CONTENT[:100]) + compress(b"") + compress(CONTENT[100:])
    assert read_all(io.BytesIO(layer)) == CONTENT
    assert read_all(Dribble(layer)) == CONTENT


def test_number_of_compressed_streams_is_limited(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "STREAMS_LIMIT", 3)
    one = COMPRESSORS[kind](b"")
    assert read_all(io.BytesIO(one * 3)) == b""
    expanded = open_decompressed(io.BytesIO(one * 4))
    for _ in range(2):
        with pytest.raises(ExpansionLimitExceeded, match="3 compressed streams"):
            expanded.read(1000)


def test_zero_bytes_around_compressed_streams_are_skipped(kind: str) -> None:
    compress = COMPRESSORS[kind]
    layer = compress(CONTENT[:100]) + bytes(8) + compress(CONTENT[100:]) + bytes(500_000)
    assert read_all(io.BytesIO(layer)) == CONTENT


def test_other_bytes_behind_a_compressed_stream_are_unreadable(kind: str) -> None:
    with pytest.raises(UnreadableLayer):
        read_all(io.BytesIO(COMPRESSORS[kind](CONTENT) + b"something else"))


def test_incomplete_compressed_layer_is_unreadable(kind: str) -> None:
    layer = COMPRESSORS[kind](b"a small layer")
    for length in range(10, len(layer)):
        with pytest.raises(UnreadableLayer, match=f"in the middle of its {kind} data"):
            read_all(io.BytesIO(layer[:length]))


def test_large_incomplete_layer_is_read_up_to_its_end(
    kind: str,
) -> None:
    layer = COMPRESSORS[kind](CONTENT)
    expanded = open_decompressed(io.BytesIO(layer[: len(layer) - 1]))
    given = bytearray()
    with pytest.raises(UnreadableLayer):
        while True:
            given += expanded.read(1000)
    assert CONTENT.startswith(bytes(given))


def test_gzip_layer_with_a_wrong_checksum_is_unreadable() -> None:
    layer = bytearray(gzip.compress(CONTENT))
    layer[-6] ^= 1
    with pytest.raises(UnreadableLayer, match="invalid gzip"):
        read_all(io.BytesIO(bytes(layer)))


@pytest.mark.parametrize("dribble", [False, True])
def test_layer_expands_to_the_limit_and_no_further(kind: str, dribble: bool) -> None:
    for layer in (COMPRESSORS[kind](CONTENT), CONTENT):
        stream = (lambda layer=layer: Dribble(layer)) if dribble else (lambda layer=layer: io.BytesIO(layer))
        assert read_all(stream(), limit_bytes=len(CONTENT)) == CONTENT
        with pytest.raises(ExpansionLimitExceeded, match=f"{len(CONTENT) - 1} bytes"):
            read_all(stream(), limit_bytes=len(CONTENT) - 1)


def test_read_after_the_limit_raises_again() -> None:
    expanded = open_decompressed(io.BytesIO(b"abc"), limit_bytes=0)
    for _ in range(2):
        with pytest.raises(ExpansionLimitExceeded):
            expanded.read(10)


def test_all_errors_are_unreadable_layers() -> None:
    assert issubclass(ExpansionLimitExceeded, UnreadableLayer)
    assert issubclass(UnsupportedCompression, UnreadableLayer)
    assert issubclass(UnreadableLayer, ValueError)


def zero_bomb(kind: str, megabytes: int) -> bytes:
    if kind == "zstd":
        # Blocks of one repeated byte, 128 KiB each; a window of 1 MiB.
        block = ((128 * 1024 << 3) | 2).to_bytes(3, "little") + b"\0"
        last = ((128 * 1024 << 3) | 3).to_bytes(3, "little") + b"\0"
        return b"\x28\xb5\x2f\xfd" + b"\x00" + b"\x50" + block * (8 * megabytes - 1) + last
    if kind == "xz":
        return lzma.compress(bytes(megabytes << 20), preset=1)  # with a dictionary of 1 MiB
    return COMPRESSORS[kind](bytes(megabytes << 20))


def test_memory_is_bounded_whatever_a_layer_expands_to(kind: str) -> None:
    megabytes = 48
    layer = zero_bomb(kind, megabytes)
    count = 0
    tracemalloc.start()
    try:
        expanded = open_decompressed(io.BytesIO(layer))
        while chunk := expanded.read(100_000):
            count += len(chunk)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == megabytes << 20
    # zstd expands up to 16 MiB at once, the others only the requested size.
    assert peak_bytes < (40 if kind == "zstd" else 3) << 20


def test_xz_layer_that_needs_gigabytes_of_memory_is_unreadable() -> None:
    layer = bytearray(lzma.compress(CONTENT, check=lzma.CHECK_CRC32))
    # Behind the 12 bytes of the stream header: size, flags, filter, and its one property, the dictionary.
    assert layer[14:16] == b"\x21\x01"
    layer[16] = 40  # 4 GiB
    size = (layer[12] + 1) * 4
    layer[12 + size - 4 : 12 + size] = zlib.crc32(layer[12 : 12 + size - 4]).to_bytes(4, "little")
    with pytest.raises(UnreadableLayer, match="invalid xz"):
        read_all(io.BytesIO(bytes(layer)))


def test_xz_of_the_highest_level_is_read() -> None:
    assert read_all(io.BytesIO(lzma.compress(CONTENT, preset=9))) == CONTENT


def test_zstd_layer_that_needs_gigabytes_is_unreadable() -> None:
    if sys.version_info < (3, 14):
        pytest.importorskip("zstandard", reason="the extra [zstd] is not installed")
    block = ((3 << 3) | 1).to_bytes(3, "little") + b"abc"
    small, large = (b"\x28\xb5\x2f\xfd\x00" + bytes([exponent << 3]) + block for exponent in (17, 18))
    assert read_all(io.BytesIO(small)) == b"abc"  # a window of 128 MiB
    with pytest.raises(UnreadableLayer, match="invalid zstd"):
        read_all(io.BytesIO(large))


def test_missing_zstd_package_is_reported_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(UnsupportedCompression, match=r"pip install 'v1registry\[zstd\]'"):
        open_decompressed(io.BytesIO(zstd_frame(b"abc")))


def test_python_without_xz_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = lzma.compress(b"abc")
    monkeypatch.setitem(sys.modules, "lzma", None)
    with pytest.raises(UnsupportedCompression, match="module lzma"):
        open_decompressed(io.BytesIO(layer))


def test_exception_of_the_stream_passes_through(kind: str) -> None:
    class Failing:
        def __init__(self) -> None:
            self._pieces = [COMPRESSORS[kind](CONTENT)[:100]]

        def read(self, size: int, /) -> bytes:
            if not self._pieces:
                raise ConnectionResetError("gone")
            return self._pieces.pop()

    expanded = open_decompressed(Failing())
    with pytest.raises(ConnectionResetError):
        while True:
            expanded.read(1000)


@pytest.mark.parametrize("size", [0, -1])
def test_size_below_one_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="at least 1 byte"):
        open_decompressed(io.BytesIO(b"abc")).read(size)


def test_doctests_of_the_module_pass() -> None:
    result = doctest.testmod(compression)
    assert result.attempted
    assert not result.failed


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damaged_data_is_read_or_unreadable(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["gzip", "bzip2", "xz"]))
    layer = bytearray(COMPRESSORS[kind](data.draw(st.binary(max_size=300))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(layer) - 1))
        layer[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(UnreadableLayer):
        read_all(io.BytesIO(bytes(layer)), limit_bytes=1 << 20)
