"""Reading tar archives: headers, ends and streams."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from collections.abc import Iterator

import pytest
from support.archive_members import FIELDS, content_of, names, only, read
from support.tar_blocks import END, GNU, STAR_TAIL, Dribble, header, member, octal, pax

from v1registry.layers.archive import ArchiveReader, open_archive
from v1registry.layers.compression import CHUNK_BYTES, ExpansionLimitExceeded, UnreadableLayer

# -- headers


def test_member_has_the_fields_of_its_header() -> None:
    entry, content = only(
        member(
            b"./bin/sh",
            b"#!",
            mode=0o104755,
            uid=1000,
            gid=50,
            mtime=1400000000,
            linkname=b"to",
            uname=b"me",
            gname=b"us",
        )
        + END
    )
    assert [getattr(entry, field) for field in FIELDS] == [
        b"./bin/sh",
        0o104755,
        1000,
        50,
        2,
        1400000000,
        b"0",
        b"to",
        b"me",
        b"us",
    ]
    assert content == b"#!"
    assert (entry.devmajor, entry.devminor, entry.pax, entry.xattrs()) == (0, 0, None, [])
    assert entry.block == header(
        b"./bin/sh", size=2, mode=0o104755, uid=1000, gid=50, linkname=b"to", uname=b"me", gname=b"us"
    )


def test_only_devices_have_device_numbers() -> None:
    for typeflag, numbers in ((b"3", (8, 1)), (b"4", (8, 1)), (b"0", (0, 0)), (b"6", (0, 0))):
        entry, _ = only(member(typeflag=typeflag, devmajor=8, devminor=1) + END)
        assert (entry.devmajor, entry.devminor) == numbers
        assert entry.stored_device() == (8, 1)


@pytest.mark.parametrize(
    ("field", "number"),
    [
        (b"0000644\0", 0o644),
        (b"   644 \0", 0o644),
        (b"644\0junk", 0o644),
        (b"\0\0 644\0\0", 0o644),
        (b"", 0),
        (b"        ", 0),
        (b"77777777", 0o77777777),
        (b"\x80\0\0\0\0\0\x01\0", 256),
        (b"\xff" * 8, (1 << 63) - 1),  # no sign in eight bytes
    ],
)
def test_numbers_are_octal_or_binary(field: bytes, number: int) -> None:
    assert only(member(uid=field) + END)[0].uid == number


def test_binary_time_before_the_epoch_is_negative() -> None:
    assert only(member(mtime=b"\xff" * 11 + b"\xfe") + END)[0].mtime == -2


@pytest.mark.parametrize(
    "field", [b"+644\0", b"-644\0", b"0o644\0", b"6_4\0", b"648\0", b"6 4\0", b"x", b"\xb2644"[1:] + b"\xb2"]
)
def test_invalid_number_is_unreadable(field: bytes) -> None:
    with pytest.raises(UnreadableLayer, match="invalid number"):
        read(member(uid=field) + END)


def test_header_checksum_of_signed_bytes_is_accepted() -> None:
    good = header(b"caf\xe9", uname=b"\xff\xff")
    unsigned = int(good[148:154], 8)
    assert names(good + END) == [b"caf\xe9"]
    assert names(
        header(b"caf\xe9", uname=b"\xff\xff", checksum=octal(unsigned - 3 * 256, 7) + b" ") + END
    ) == [b"caf\xe9"]
    for wrong in (unsigned + 1, unsigned - 256, 0):
        with pytest.raises(UnreadableLayer, match="checksum"):
            read(header(b"caf\xe9", uname=b"\xff\xff", checksum=octal(wrong, 7) + b" ") + END)


def test_checksum_of_a_header_of_high_bytes_is_accepted() -> None:
    full = b"\xff"
    block = header(
        full * 100,
        linkname=full * 100,
        magic=full * 8,
        uname=full * 32,
        gname=full * 32,
        rest=full * 167,
        typeflag=full,
    )
    assert names(block + END) == [full * 100]


def test_magic_decides_whether_the_prefix_is_part_of_the_name() -> None:
    star = (b"p" * 131).ljust(131, b"\0") + octal(1, 12) + octal(2, 12) + bytes(8) + STAR_TAIL
    assert names(member(rest=b"a/b") + END) == [b"a/b/f"]
    assert names(member(rest=b"a/b", magic=GNU) + END) == [b"a/b/f"]
    assert names(member(rest=b"a/b", magic=b"") + END) == [b"f"]
    assert names(member(rest=b"p" * 155) + END) == [b"p" * 155 + b"/f"]
    assert names(member(rest=star) + END) == [b"p" * 131 + b"/f"]
    with pytest.raises(UnreadableLayer, match="invalid number"):
        read(member(rest=b"p".ljust(131, b"\0") + b"no number".ljust(32, b"\0") + STAR_TAIL) + END)


def test_member_without_magic_has_no_owner_names() -> None:
    entry, _ = only(member(magic=b"", uname=b"me", gname=b"us", typeflag=b"3", devmajor=8) + END)
    assert (entry.uname, entry.gname, entry.devmajor) == (b"", b"", 0)


def test_every_type_may_have_content() -> None:
    data = b"".join(member(b"f%d" % at, b"content", typeflag=b"%d" % at) for at in range(8)) + END
    assert [content for _, content in read(data)] == [b"content"] * 8


# -- ends


@pytest.mark.parametrize(
    "end",
    [b"", bytes(512), bytes(1024), bytes(10240), END + b"anything", END + member(b"never")],
    ids=["none", "one block", "two blocks", "a record", "junk", "another"],
)
def test_archive_may_end_in_several_ways(end: bytes) -> None:
    assert names(member(b"a", b"content") + member(b"b") + end) == [b"a", b"b"]
    assert names(end if not end.strip(b"\0") else b"") == []


def test_last_padding_may_be_missing() -> None:
    data = member(b"a") + header(b"b", size=600) + b"x" * 600
    for missing in range(0, 424, 53):
        assert [len(content) for _, content in read(data + bytes(missing))] == [0, 600]
        assert [entry.name for entry in ArchiveReader(io.BytesIO(data + bytes(missing)))] == [b"a", b"b"]


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("size", [600, 1 << 32, (1 << 63) - 1])
def test_archive_that_ends_within_content_is_unreadable(size: int, skip: bool) -> None:
    data = header(size=b"\x80" + size.to_bytes(11, "big")) + b"x" * 599
    with pytest.raises(UnreadableLayer, match="in the middle of a file"):
        if skip:
            list(ArchiveReader(io.BytesIO(data)))
        else:
            read(data)


@pytest.mark.parametrize(
    "data", [b"x", b"x" * 511, bytes(511), bytes(512) + b"x", bytes(512) + b"x" * 512, bytes(1023)]
)
def test_incomplete_header_or_single_zero_block_is_unreadable(data: bytes) -> None:
    for start in (b"", member(content=b"content")):
        with pytest.raises(UnreadableLayer):
            read(start + data)


def test_negative_size_is_unreadable() -> None:
    with pytest.raises(UnreadableLayer, match="negative size"):
        read(member(size=b"\xff" * 12))
    with pytest.raises(UnreadableLayer, match="negative size"):
        read(pax((b"size", b"-1")) + member() + END)


def test_layer_expands_to_the_limit_and_no_further() -> None:
    data = member(content=b"x" * 5000) + END
    assert len(only(data, limit_bytes=len(data))[1]) == 5000
    with pytest.raises(ExpansionLimitExceeded):
        read(data, limit_bytes=len(data) - 1)


def test_drain_notices_an_incomplete_compression() -> None:
    layer = gzip.compress(member(content=b"content") + END)
    whole = open_archive(io.BytesIO(layer))
    assert len(list(whole)) == 1
    whole.drain()
    cut = open_archive(io.BytesIO(layer[:-1]))
    assert len(list(cut)) == 1
    with pytest.raises(UnreadableLayer):
        cut.drain()


# -- streams


def test_unread_content_is_skipped() -> None:
    data = b"".join(member(b"f%d" % at, bytes([at]) * 100_000) for at in range(5)) + END
    for portion in (0, 1, 511, 512, 99_999, 100_000):
        for sizes in ((CHUNK_BYTES,), (1000, 3, 200_000)):
            seen = []
            for entry in ArchiveReader(Dribble(data, sizes)):
                left = portion
                while left:
                    left -= len(entry.read(left))
                seen.append(entry.name)
            assert seen == [b"f0", b"f1", b"f2", b"f3", b"f4"]


def test_read_returns_at_most_the_requested_size() -> None:
    content = bytes(range(256)) * 1000
    entry = next(iter(ArchiveReader(io.BytesIO(member(content=content)))))
    pieces = []
    while piece := entry.read(1001):
        assert len(piece) <= 1001
        pieces.append(piece)
    assert b"".join(pieces) == content
    assert entry.read(1001) == b""


def test_content_of_a_passed_member_cannot_be_read() -> None:
    entries = iter(ArchiveReader(io.BytesIO(member(b"a", b"1") + member(b"b", b"2") + END)))
    first = next(entries)
    second = next(entries)
    with pytest.raises(ValueError, match="iteration continued"):
        first.read(1)
    assert second.read(1) == b"2"
    assert list(entries) == []
    with pytest.raises(ValueError, match="iteration continued"):
        second.read(1)


def test_large_files_and_many_extensions_need_constant_memory() -> None:
    blocks = [header(size=30 << 20), *[bytes(1 << 20)] * 30]
    blocks += [member(content=b"n" * 100_000, typeflag=b"L") for _ in range(100)] + [member(), END]

    class Chained:
        """A stream of the blocks that keeps none of them."""

        def __init__(self) -> None:
            self._blocks: Iterator[bytes] = iter(blocks)
            self._rest = b""

        def read(self, size: int, /) -> bytes:
            self._rest = self._rest or next(self._blocks, b"")
            chunk, self._rest = self._rest[:size], self._rest[size:]
            return chunk

    tracemalloc.start()
    try:
        entries = [
            (entry.name[:1], len(content_of(entry)) if entry.size < 1000 else 0)
            for entry in ArchiveReader(Chained())
        ]
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert entries == [(b"f", 0), (b"n", 0)]
    assert peak_bytes < 4 << 20
