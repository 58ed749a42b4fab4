from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tar_blocks import END, GNU, STAR_TAIL, Dribble, header, member, octal, padded, pax, record

from v1registry.layers import archive
from v1registry.layers.archive import EXTENSION_LIMIT_BYTES, ArchiveReader, Entry, open_archive
from v1registry.layers.compression import CHUNK_BYTES, LayerTooLarge, UnreadableLayer

FIELDS = ("name", "mode", "uid", "gid", "size", "mtime", "typeflag", "linkname", "uname", "gname")


def content_of(entry: Entry) -> bytes:
    pieces = []
    while piece := entry.read(CHUNK_BYTES):
        pieces.append(piece)
    return b"".join(pieces)


def read(data: bytes, **options: Any) -> list[tuple[Entry, bytes]]:
    return [(entry, content_of(entry)) for entry in ArchiveReader(io.BytesIO(data), **options)]


def only(data: bytes, **options: Any) -> tuple[Entry, bytes]:
    ((entry, content),) = read(data, **options)
    return entry, content


def names(data: bytes) -> list[bytes]:
    return [entry.name for entry, _ in read(data)]


# -- headers


def test_an_entry_has_the_fields_of_its_header() -> None:
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
    assert entry.header == header(
        b"./bin/sh", size=2, mode=0o104755, uid=1000, gid=50, linkname=b"to", uname=b"me", gname=b"us"
    )


def test_device_numbers_count_for_devices_only() -> None:
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


def test_a_binary_time_before_the_epoch_wraps_to_a_negative_one() -> None:
    assert only(member(mtime=b"\xff" * 11 + b"\xfe") + END)[0].mtime == -2


@pytest.mark.parametrize(
    "field", [b"+644\0", b"-644\0", b"0o644\0", b"6_4\0", b"648\0", b"6 4\0", b"x", b"\xb2644"[1:] + b"\xb2"]
)
def test_a_bad_number_makes_the_archive_unreadable(field: bytes) -> None:
    with pytest.raises(UnreadableLayer, match="bad number"):
        read(member(uid=field) + END)


def test_a_checksum_of_signed_bytes_is_accepted_and_any_other_is_not() -> None:
    good = header(b"caf\xe9", uname=b"\xff\xff")
    unsigned = int(good[148:154], 8)
    assert names(good + END) == [b"caf\xe9"]
    assert names(
        header(b"caf\xe9", uname=b"\xff\xff", checksum=octal(unsigned - 3 * 256, 7) + b" ") + END
    ) == [b"caf\xe9"]
    for wrong in (unsigned + 1, unsigned - 256, 0):
        with pytest.raises(UnreadableLayer, match="checksum"):
            read(header(b"caf\xe9", uname=b"\xff\xff", checksum=octal(wrong, 7) + b" ") + END)


def test_a_header_of_high_bytes_only_has_a_checksum_too() -> None:
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


def test_the_prefix_belongs_to_the_name_as_the_magic_says() -> None:
    star = (b"p" * 131).ljust(131, b"\0") + octal(1, 12) + octal(2, 12) + bytes(8) + STAR_TAIL
    assert names(member(rest=b"a/b") + END) == [b"a/b/f"]
    assert names(member(rest=b"a/b", magic=GNU) + END) == [b"a/b/f"]
    assert names(member(rest=b"a/b", magic=b"") + END) == [b"f"]
    assert names(member(rest=b"p" * 155) + END) == [b"p" * 155 + b"/f"]
    assert names(member(rest=star) + END) == [b"p" * 131 + b"/f"]
    with pytest.raises(UnreadableLayer, match="bad number"):
        read(member(rest=b"p".ljust(131, b"\0") + b"no number".ljust(32, b"\0") + STAR_TAIL) + END)


def test_an_archive_without_magic_has_no_owner_names() -> None:
    entry, _ = only(member(magic=b"", uname=b"me", gname=b"us", typeflag=b"3", devmajor=8) + END)
    assert (entry.uname, entry.gname, entry.devmajor) == (b"", b"", 0)


def test_every_type_may_have_content() -> None:
    data = b"".join(member(b"f%d" % at, b"content", typeflag=b"%d" % at) for at in range(8)) + END
    assert [content for _, content in read(data)] == [b"content"] * 8


# -- extensions


def test_long_names_and_links_apply_to_the_next_real_entry() -> None:
    long_link, long_name = (
        member(b"././@LongLink", b"L" * 300, typeflag=b"K"),
        member(b"x", b"N" * 200 + b"\0junk", typeflag=b"L"),
    )
    data = long_link + long_name + member(b"short", b"1") + member(b"next", b"2") + END
    assert [(entry.name, entry.linkname, content) for entry, content in read(data)] == [
        (b"N" * 200, b"L" * 300, b"1"),
        (b"next", b"", b"2"),
    ]


def test_the_first_of_several_long_names_counts_and_stands_above_a_pax_path() -> None:
    first, second = member(content=b"first", typeflag=b"L"), member(content=b"second", typeflag=b"L")
    assert names(first + second + pax((b"path", b"pax")) + member() + END) == [b"first"]
    links = member(content=b"one", typeflag=b"K") + member(content=b"two", typeflag=b"K")
    assert only(links + member() + END)[0].linkname == b"one"


def test_a_pax_header_overrides_the_next_header_and_only_that() -> None:
    records = {
        b"path": b"p\xc3\xa4th",
        b"linkpath": b"link",
        b"uname": b"me",
        b"gname": b"us",
        b"uid": b"4000000000",
        b"gid": b"-7",
        b"mtime": b"1400000001.987654321",
        b"atime": b"1.5",
        b"comment": b"a = b\n",
    }
    data = pax(*records.items()) + member(b"short", b"content") + member(b"next") + END
    (entry, content), (after, _) = read(data)
    assert (entry.name, entry.linkname, entry.uname, entry.gname) == (b"p\xc3\xa4th", b"link", b"me", b"us")
    assert (entry.uid, entry.gid, entry.mtime) == (4000000000, -7, 1400000001)
    assert (entry.pax, content) == (records, b"content")
    assert (after.name, after.pax) == (b"next", None)


@pytest.mark.parametrize(
    ("text", "mtime"),
    [
        (b"-1.5", -1),
        (b"-0.5", 0),
        (b"12", 12),
        (b"12.", 12),
        (b"+12.0", 12),
        (b"12.x", 1400000000),
        (b"12.-5", 1400000000),
        (b"", 1400000000),
        (b".5", 1400000000),
        (b"1e5", 1400000000),
        (b"1_0", 1400000000),
        (b" 12", 1400000000),
        (b"9" * 30, 1400000000),
        (b"9223372036854775808", 1400000000),
        (b"9223372036854775807", 9223372036854775807),
    ],
)
def test_a_pax_time_is_whole_seconds_and_none_at_all_leaves_the_header_s(text: bytes, mtime: int) -> None:
    assert only(pax((b"mtime", text)) + member() + END)[0].mtime == mtime


def test_a_pax_size_is_how_much_content_there_is() -> None:
    data = pax((b"size", b"5")) + header(size=0) + padded(b"hello") + member(b"next") + END
    assert [(entry.name, entry.size, content) for entry, content in read(data)] == [
        (b"f", 5, b"hello"),
        (b"next", 0, b""),
    ]


def test_a_pax_size_that_is_no_number_leaves_the_header_s() -> None:
    assert only(pax((b"size", b"many")) + member(content=b"hello") + END)[1] == b"hello"


def test_extended_attributes_are_sorted_and_keep_their_bytes() -> None:
    prefix = b"SCHILY.xattr."
    records = [
        (prefix + b"user.b", b"=\n\xff"),
        (prefix + b"user.B", b""),
        (b"LIBARCHIVE.xattr.user.c", b"eA=="),
    ]
    assert only(pax(*records) + member() + END)[0].xattrs() == [(b"user.B", b""), (b"user.b", b"=\n\xff")]


def test_a_pax_header_applies_to_whatever_header_follows() -> None:
    data = pax((b"path", b"one")) + member(content=b"not a name", typeflag=b"L") + member(b"two") + END
    assert [(entry.name, entry.typeflag) for entry, _ in read(data)] == [(b"one", b"L"), (b"two", b"0")]


def test_a_pax_global_header_is_an_entry_with_its_records_as_content() -> None:
    body = record(b"comment", b"hello")
    data = member(b"pax_global_header", body, typeflag=b"g") + member() + END
    assert [(entry.name, entry.typeflag, content) for entry, content in read(data)] == [
        (b"pax_global_header", b"g", body),
        (b"f", b"0", b""),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"no length\n",
        b"12",
        b"9 path=a",  # the length is beyond the body
        b"8 path=a\n8 pa",
        b"7 path\n",
        b"2 path=a\n",
        b"-9 path=a\n",
        b"0 path=a\n",
        b" path=a\n",
        b"9 path=a\n\0\0",
        b"9" * 30 + b" path=a\n",
    ],
)
def test_a_bad_pax_header_makes_the_archive_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableLayer, match="bad PAX header"):
        read(member(content=body, typeflag=b"x") + member() + END)


@pytest.mark.parametrize(
    "extension",
    [pax((b"path", b"a")), member(content=b"a", typeflag=b"L"), member(content=b"a", typeflag=b"K")],
)
@pytest.mark.parametrize("end", [b"", END])
def test_an_archive_that_ends_behind_an_extension_is_unreadable(extension: bytes, end: bytes) -> None:
    with pytest.raises(UnreadableLayer, match="belongs to the next one"):
        read(member() + extension + end)


@pytest.mark.parametrize("typeflag", [b"L", b"K", b"x"])
def test_extensions_are_read_up_to_their_limit_and_no_further(typeflag: bytes) -> None:
    start = b"%d comment=" % EXTENSION_LIMIT_BYTES
    body = start + b"x" * (EXTENSION_LIMIT_BYTES - len(start) - 1) + b"\n"
    assert len(read(member(content=body, typeflag=typeflag) + member() + END)) == 1
    with pytest.raises(LayerTooLarge, match=f"{EXTENSION_LIMIT_BYTES} bytes"):
        read(member(content=body + b"x", typeflag=typeflag) + member() + END)


def test_an_extension_that_claims_to_be_huge_is_not_waited_for() -> None:
    with pytest.raises(LayerTooLarge):
        read(header(typeflag=b"x", size=1 << 32) + bytes(512))


def test_headers_and_records_are_read_up_to_their_number_and_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gnu_sparse = (
        header(typeflag=b"S", magic=GNU, rest=bytes(41 + 96) + b"\x01")
        + bytes(504)
        + b"\x01"
        + bytes(7 + 512)
    )
    pieces = [(b"GNU.sparse.size", b"12"), (b"GNU.sparse.numblocks", b"2"), (b"GNU.sparse.map", b"1,0,2,0")]
    for data, count in (
        (member() * 5 + END, 5),
        (member(content=b"name", typeflag=b"L") * 4 + member() + END, 5),
        (pax(*[(b"comment", b"x")] * 9) + member() + END, 11),
        (pax(*pieces) + member() + END, 7),
        (gnu_sparse + END, 3),
    ):
        monkeypatch.setattr(archive, "RECORDS_LIMIT", count)
        assert read(data)
        monkeypatch.setattr(archive, "RECORDS_LIMIT", count - 1)
        with pytest.raises(LayerTooLarge, match=f"more than {count - 1} tar headers"):
            read(data)


# -- sparse members


def test_the_pieces_of_a_gnu_sparse_member_stand_in_zeros() -> None:
    table = b"".join(octal(number, 12) for number in (2, 3, 8, 2))
    rest = bytes(41) + table.ljust(96, b"\0") + b"\0" + octal(12, 12)
    entry, content = only(member(content=b"abcde", typeflag=b"S", magic=GNU, rest=rest) + END)
    assert (entry.typeflag, entry.size, content) == (b"S", 12, b"\0\0abc\0\0\0de\0\0")


def test_a_gnu_sparse_map_goes_on_in_blocks_of_its_own() -> None:
    pairs = [octal(10 * at, 12) + octal(1, 12) for at in range(1, 49)]
    rest = bytes(41) + b"".join(pairs[:4]) + b"\x01" + octal(1000, 12)
    blocks = (
        b"".join(pairs[4:25]).ljust(504, b"\0")
        + b"\x01"
        + bytes(7)
        + b"".join(pairs[25:46])
        + b"\x01"
        + bytes(7)
    )
    blocks += b"".join(pairs[46:]).ljust(512, b"\0")
    data = (
        header(typeflag=b"S", magic=GNU, size=48, rest=rest)
        + blocks
        + padded(b"x" * 48)
        + member(b"next")
        + END
    )
    (_, content), (after, _) = read(data)
    assert content == bytes(10) + (b"x" + bytes(9)) * 48 + bytes(1000 - 490)
    assert after.name == b"next"
    with pytest.raises(UnreadableLayer, match="map is cut off"):
        read(header(typeflag=b"S", magic=GNU, size=48, rest=rest))


SPARSE_0_0 = [
    (b"GNU.sparse.size", b"12"),
    (b"GNU.sparse.numblocks", b"2"),
    (b"GNU.sparse.offset", b"2"),
    (b"GNU.sparse.numbytes", b"3"),
    (b"GNU.sparse.offset", b"8"),
    (b"GNU.sparse.numbytes", b"2"),
]
SPARSE_0_1 = [
    (b"GNU.sparse.name", b"real"),
    (b"GNU.sparse.size", b"12"),
    (b"GNU.sparse.numblocks", b"2"),
    (b"GNU.sparse.map", b"2,3,8,2"),
]
SPARSE_1_0 = [
    (b"GNU.sparse.major", b"1"),
    (b"GNU.sparse.minor", b"0"),
    (b"GNU.sparse.name", b"real"),
    (b"GNU.sparse.realsize", b"12"),
]
SPARSE_MAP_1_0 = padded(b"2\n2\n3\n8\n2\n")


@pytest.mark.parametrize(
    ("records", "stored", "name"),
    [
        (SPARSE_0_0, b"abcde", b"GNUSparseFile.1/f"),
        (SPARSE_0_1, b"abcde", b"real"),
        (SPARSE_1_0, SPARSE_MAP_1_0 + b"abcde", b"real"),
    ],
    ids=["0.0", "0.1", "1.0"],
)
def test_pax_sparse_members_of_all_versions_are_expanded(
    records: list[tuple[bytes, bytes]], stored: bytes, name: bytes
) -> None:
    data = pax(*records) + member(b"GNUSparseFile.1/f", stored) + member(b"next") + END
    (entry, content), (after, _) = read(data)
    assert (entry.name, entry.size, entry.typeflag, content) == (name, 12, b"0", b"\0\0abc\0\0\0de\0\0")
    assert after.name == b"next"
    (entry, content), _ = read(data, expand_pax_sparse=False)
    assert (entry.name, entry.size, content) == (b"GNUSparseFile.1/f", len(stored), stored)


def test_an_unknown_sparse_version_is_a_plain_file() -> None:
    records = [(b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"real")]
    entry, content = only(pax(*records) + member(content=b"abc") + END)
    assert (entry.name, content) == (b"f", b"abc")


def test_a_sparse_member_of_nothing_but_a_hole_is_zeros() -> None:
    records = [(b"GNU.sparse.size", b"600"), (b"GNU.sparse.numblocks", b"0")]
    assert only(pax(*records) + member() + END)[1] == bytes(600)


def test_a_sparse_map_of_version_1_0_may_take_several_blocks() -> None:
    pieces = b"300\n" + b"".join(b"%d\n1\n" % (at * 1000) for at in range(300))
    records = [*SPARSE_1_0[:2], (b"GNU.sparse.realsize", b"300000")]
    _, content = only(pax(*records) + member(content=padded(pieces) + b"x" * 300) + END)
    assert content == (b"x" + bytes(999)) * 300


def test_a_sparse_member_without_a_real_size_has_the_size_that_is_stored() -> None:
    _, content = only(pax(*SPARSE_1_0[:3]) + member(content=padded(b"1\n2\n3\n") + b"abc") + END)
    assert content == b"\0\0abc".ljust(515, b"\0")


def sparse_1_0(sparse_map: bytes, stored: bytes = b"abcde") -> bytes:
    return pax(*SPARSE_1_0) + member(content=padded(sparse_map) + stored) + END


@pytest.mark.parametrize(
    "data",
    [
        sparse_1_0(b"x\n2\n3\n8\n2\n"),
        sparse_1_0(b"-1\n"),
        sparse_1_0(b""),
        sparse_1_0(b"12345"),
        sparse_1_0(b"1\n" + b"1" * 600 + b"\n2\n"),
        sparse_1_0(b"2\n2\n3\n4\n2\n"),  # overlap
        sparse_1_0(b"2\n8\n2\n2\n3\n"),  # backwards
        sparse_1_0(b"1\n2\n-3\n"),
        sparse_1_0(b"1\n2\n11\n", b"x" * 11),  # beyond the end
        sparse_1_0(b"1\n2\n6\n"),  # less content than that
        pax(*SPARSE_1_0) + member(content=b"1\n2\n3\n") + END,  # no whole block
        pax(*SPARSE_1_0) + member(content=padded(b"9\n1\n1\n")) + END,
        pax(*SPARSE_0_1[:2], (b"GNU.sparse.map", b"1,1")) + member(content=b"a") + END,
        pax(*SPARSE_0_1[:3], (b"GNU.sparse.map", b"1,1,2")) + member(content=b"ab") + END,
        pax(*SPARSE_0_1[:3], (b"GNU.sparse.map", b"1,1,x,1")) + member(content=b"ab") + END,
        pax((b"GNU.sparse.size", b"big"), *SPARSE_0_0[1:]) + member(content=b"abcde") + END,
        pax((b"GNU.sparse.size", b"-1"), (b"GNU.sparse.numblocks", b"0")) + member() + END,
        member(typeflag=b"S", magic=GNU, rest=bytes(138) + b"\xff" * 12) + END,  # a negative size
        member(typeflag=b"S", magic=GNU, rest=bytes(41) + b"no number") + END,
    ],
)
def test_a_sparse_member_that_contradicts_itself_makes_the_archive_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableLayer):
        read(data)


@pytest.mark.parametrize("version", ["0.1", "1.0", "gnu"])
def test_sparse_maps_are_read_up_to_their_limit_and_no_further(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "SPARSE_PIECES_LIMIT", 25)

    def data(count: int) -> bytes:
        pairs = [(at * 2, 1) for at in range(1, count + 1)]
        stored = b"x" * count
        if version == "gnu":
            table = b"".join(octal(offset, 12) + octal(length, 12) for offset, length in pairs)
            rest = bytes(41) + table[:96] + b"\x01" + octal(100, 12)
            blocks = [table[at : at + 504] for at in range(96, len(table), 504)]
            more = b"".join(block.ljust(504, b"\0") + b"\x01" + bytes(7) for block in blocks[:-1])
            more += blocks[-1].ljust(512, b"\0")
            return header(typeflag=b"S", magic=GNU, size=count, rest=rest) + more + padded(stored) + END
        if version == "0.1":
            numbers = b",".join(b"%d,%d" % pair for pair in pairs)
            records = [(b"GNU.sparse.name", b"f"), (b"GNU.sparse.size", b"100"), (b"GNU.sparse.map", numbers)]
            return pax(*records, (b"GNU.sparse.numblocks", b"%d" % count)) + member(content=stored) + END
        numbers = b"%d\n" % count + b"".join(b"%d\n%d\n" % pair for pair in pairs)
        return (
            pax(*SPARSE_1_0[:2], (b"GNU.sparse.size", b"100"))
            + member(content=padded(numbers) + stored)
            + END
        )

    assert only(data(25))[1].count(b"x") == 25
    with pytest.raises(LayerTooLarge, match="25 pieces"):
        read(data(26))


def test_a_sparse_member_of_absurd_size_costs_no_more_than_the_limit_allows() -> None:
    records = [(b"GNU.sparse.size", b"%d" % (1 << 60)), (b"GNU.sparse.numblocks", b"0")]
    data = pax(*records) + member() + END
    reader = ArchiveReader(io.BytesIO(data), limit_bytes=10_000_000)
    entry = next(iter(reader))
    count = 0
    with pytest.raises(LayerTooLarge, match="10000000 bytes"):
        while piece := entry.read(1 << 40):
            assert len(piece) <= CHUNK_BYTES
            count += len(piece)
    assert 9_000_000 < count <= 10_000_000
    # Not read, it costs nothing.
    assert [entry.size for entry in ArchiveReader(io.BytesIO(data), limit_bytes=10_000)] == [1 << 60]


def test_what_is_read_and_the_holes_that_are_made_count_together() -> None:
    records = [(b"GNU.sparse.size", b"1000"), (b"GNU.sparse.numblocks", b"0")]
    data = pax(*records) + member() + END
    assert only(data, limit_bytes=len(data) + 1000)[1] == bytes(1000)
    with pytest.raises(LayerTooLarge):
        read(data, limit_bytes=len(data) + 999)
    assert [
        content_of(entry)
        for entry in open_archive(io.BytesIO(gzip.compress(data)), limit_bytes=len(data) + 1000)
    ] == [bytes(1000)]
    with pytest.raises(LayerTooLarge):
        [
            content_of(entry)
            for entry in open_archive(io.BytesIO(gzip.compress(data)), limit_bytes=len(data) + 999)
        ]


# -- ends


@pytest.mark.parametrize(
    "end",
    [b"", bytes(512), bytes(1024), bytes(10240), END + b"anything", END + member(b"never")],
    ids=["none", "one block", "two blocks", "a record", "junk", "another"],
)
def test_an_archive_may_end_in_several_ways(end: bytes) -> None:
    assert names(member(b"a", b"content") + member(b"b") + end) == [b"a", b"b"]
    assert names(end if not end.strip(b"\0") else b"") == []


def test_an_archive_may_end_without_its_last_padding() -> None:
    data = member(b"a") + header(b"b", size=600) + b"x" * 600
    for missing in range(0, 424, 53):
        assert [len(content) for _, content in read(data + bytes(missing))] == [0, 600]
        assert [entry.name for entry in ArchiveReader(io.BytesIO(data + bytes(missing)))] == [b"a", b"b"]


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("size", [600, 1 << 32, (1 << 63) - 1])
def test_an_archive_that_ends_in_a_content_is_unreadable(size: int, skip: bool) -> None:
    data = header(size=b"\x80" + size.to_bytes(11, "big")) + b"x" * 599
    with pytest.raises(UnreadableLayer, match="in the middle of a file"):
        if skip:
            list(ArchiveReader(io.BytesIO(data)))
        else:
            read(data)


@pytest.mark.parametrize(
    "data", [b"x", b"x" * 511, bytes(511), bytes(512) + b"x", bytes(512) + b"x" * 512, bytes(1023)]
)
def test_what_ends_within_a_header_or_goes_on_behind_one_block_of_zeros_is_unreadable(data: bytes) -> None:
    for start in (b"", member(content=b"content")):
        with pytest.raises(UnreadableLayer):
            read(start + data)


def test_a_negative_size_makes_the_archive_unreadable() -> None:
    with pytest.raises(UnreadableLayer, match="negative size"):
        read(member(size=b"\xff" * 12))
    with pytest.raises(UnreadableLayer, match="negative size"):
        read(pax((b"size", b"-1")) + member() + END)


def test_a_layer_may_expand_to_the_limit_and_no_further() -> None:
    data = member(content=b"x" * 5000) + END
    assert len(only(data, limit_bytes=len(data))[1]) == 5000
    with pytest.raises(LayerTooLarge):
        read(data, limit_bytes=len(data) - 1)


def test_draining_reads_on_and_notices_a_compression_that_was_cut_off() -> None:
    layer = gzip.compress(member(content=b"content") + END)
    whole = open_archive(io.BytesIO(layer))
    assert len(list(whole)) == 1
    whole.drain()
    cut = open_archive(io.BytesIO(layer[:-1]))
    assert len(list(cut)) == 1
    with pytest.raises(UnreadableLayer):
        cut.drain()


# -- streams


def test_content_that_is_not_read_is_skipped() -> None:
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


def test_content_is_given_in_pieces_of_at_most_the_size_asked_for() -> None:
    content = bytes(range(256)) * 1000
    entry = next(iter(ArchiveReader(io.BytesIO(member(content=content)))))
    pieces = []
    while piece := entry.read(1001):
        assert len(piece) <= 1001
        pieces.append(piece)
    assert b"".join(pieces) == content
    assert entry.read(1001) == b""


def test_the_content_of_an_entry_that_is_past_cannot_be_read() -> None:
    entries = iter(ArchiveReader(io.BytesIO(member(b"a", b"1") + member(b"b", b"2") + END)))
    first = next(entries)
    second = next(entries)
    with pytest.raises(ValueError, match="went on"):
        first.read(1)
    assert second.read(1) == b"2"
    assert list(entries) == []
    with pytest.raises(ValueError, match="went on"):
        second.read(1)


def test_large_files_and_many_extensions_are_read_in_constant_memory() -> None:
    blocks = [header(size=30 << 20), *[bytes(1 << 20)] * 30]
    blocks += [member(content=b"n" * 100_000, typeflag=b"L") for _ in range(100)] + [member(), END]

    class Chained:
        """The blocks one after the other, none of them kept."""

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


# -- chance

STANDARD_FORMATS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


@settings(max_examples=60, deadline=None)
@given(
    STANDARD_FORMATS,
    st.lists(st.tuples(st.text("ab/é.", min_size=1, max_size=90), st.binary(max_size=1500)), max_size=5),
    st.lists(st.integers(1, 2000), min_size=1, max_size=5),
)
def test_how_the_stream_is_cut_into_pieces_makes_no_difference(
    format_: int, members: list[tuple[str, bytes]], sizes: list[int]
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    data = buffer.getvalue()

    def facts(stream: Any) -> list[tuple[Any, ...]]:
        return [
            (*(getattr(entry, field) for field in FIELDS), content_of(entry))
            for entry in ArchiveReader(stream)
        ]

    assert facts(Dribble(data, tuple(sizes))) == facts(io.BytesIO(data))
    assert [fact[-1] for fact in facts(io.BytesIO(data))] == [content for _, content in members]


NUMBER_FIELDS = st.one_of(
    st.integers(0, 3000).map(lambda number: octal(number, 8)),
    st.binary(min_size=8, max_size=8),
    st.sampled_from([b"", b"\x80\0\0\0\0\0\x02\0", b"\xff" * 8]),
)
PAX_KEYS = st.sampled_from(
    [b"path", b"size", b"uid", b"mtime", b"SCHILY.xattr.user.a", b"comment"]
    + [
        b"GNU.sparse." + key
        for key in (b"major", b"minor", b"name", b"size", b"realsize", b"map", b"numblocks", b"offset")
    ]
    + [b"GNU.sparse.numbytes"]
)
PAX_VALUES = st.one_of(
    st.integers(-2, 5000).map(lambda number: b"%d" % number), st.binary(max_size=20), st.just(b"0,1,2,3")
)
BODIES = st.one_of(
    st.binary(max_size=1200),
    st.lists(st.tuples(PAX_KEYS, PAX_VALUES), max_size=6).map(
        lambda records: b"".join(record(*each) for each in records)
    ),
    st.lists(st.integers(-1, 900), max_size=9).map(
        lambda numbers: padded(b"".join(b"%d\n" % number for number in numbers))
    ),
)


@st.composite
def odd_members(draw: st.DrawFn) -> bytes:
    body = draw(BODIES)
    size = draw(
        st.one_of(
            st.just(len(body)), st.just(len(body)), st.integers(0, 5000), st.binary(min_size=12, max_size=12)
        )
    )
    block = header(
        draw(st.binary(max_size=12)),
        uid=draw(NUMBER_FIELDS),
        size=size,
        typeflag=draw(st.sampled_from([b"0", b"\0", b"1", b"3", b"5", b"S", b"L", b"K", b"x", b"x", b"g"])),
        magic=draw(st.sampled_from([b"", GNU, b"ustar\x0000"])),
        devmajor=draw(NUMBER_FIELDS),
        rest=draw(
            st.one_of(st.just(b""), st.binary(max_size=167), st.just(bytes(41) + octal(5, 12) + octal(3, 12)))
        ),
    )
    return block + padded(body)


@settings(max_examples=200, deadline=None)
@given(st.lists(odd_members(), max_size=5), st.sampled_from([b"", END]), st.integers(0, 3))
def test_odd_archives_are_read_or_unreadable_and_nothing_else(
    members: list[bytes], end: bytes, cut: int
) -> None:
    data = b"".join(members) + end
    data = data[: len(data) - cut * 100]
    for options in ({}, {"expand_pax_sparse": False}):
        count = 0
        try:
            for entry in ArchiveReader(io.BytesIO(data), limit_bytes=100_000, **options):
                content = content_of(entry)
                assert len(content) == entry.size
                count += len(content)
        except UnreadableLayer:
            pass
        assert count <= 100_000


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000))
def test_chance_bytes_are_read_or_unreadable_and_nothing_else(data: bytes) -> None:
    with contextlib.suppress(UnreadableLayer):
        read(data, limit_bytes=100_000)
