"""Reading tar archives: headers, extensions, ends, streams, and random archives."""

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
from support.archive_members import content_of, only, read
from support.tar_blocks import END, GNU, STAR_TAIL, Dribble, header, member, octal, padded, pax, record

from v1registry.layers import archive
from v1registry.layers.archive import EXTENSION_LIMIT_BYTES, ArchiveReader, open_archive
from v1registry.layers.compression import CHUNK_BYTES, ExpansionLimitExceeded, UnreadableLayer

FIELDS = ("name", "mode", "uid", "gid", "size", "mtime", "typeflag", "linkname", "uname", "gname")


def names(data: bytes) -> list[bytes]:
    return [entry.name for entry, _ in read(data)]


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


# -- extensions


def test_long_name_and_link_apply_to_the_next_real_member() -> None:
    long_link, long_name = (
        member(b"././@LongLink", b"L" * 300, typeflag=b"K"),
        member(b"x", b"N" * 200 + b"\0junk", typeflag=b"L"),
    )
    data = long_link + long_name + member(b"short", b"1") + member(b"next", b"2") + END
    assert [(entry.name, entry.linkname, content) for entry, content in read(data)] == [
        (b"N" * 200, b"L" * 300, b"1"),
        (b"next", b"", b"2"),
    ]


def test_first_long_name_wins_over_others_and_a_pax_path() -> None:
    first, second = member(content=b"first", typeflag=b"L"), member(content=b"second", typeflag=b"L")
    assert names(first + second + pax((b"path", b"pax")) + member() + END) == [b"first"]
    links = member(content=b"one", typeflag=b"K") + member(content=b"two", typeflag=b"K")
    assert only(links + member() + END)[0].linkname == b"one"


def test_pax_header_overrides_only_the_next_header() -> None:
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
def test_pax_time_is_cut_to_seconds_or_ignored_if_invalid(text: bytes, mtime: int) -> None:
    assert only(pax((b"mtime", text)) + member() + END)[0].mtime == mtime


def test_pax_size_is_the_size_of_the_content() -> None:
    data = pax((b"size", b"5")) + header(size=0) + padded(b"hello") + member(b"next") + END
    assert [(entry.name, entry.size, content) for entry, content in read(data)] == [
        (b"f", 5, b"hello"),
        (b"next", 0, b""),
    ]


def test_invalid_pax_size_is_ignored() -> None:
    assert only(pax((b"size", b"many")) + member(content=b"hello") + END)[1] == b"hello"


def test_extended_attributes_are_sorted_and_keep_their_bytes() -> None:
    prefix = b"SCHILY.xattr."
    records = [
        (prefix + b"user.b", b"=\n\xff"),
        (prefix + b"user.B", b""),
        (b"LIBARCHIVE.xattr.user.c", b"eA=="),
    ]
    assert only(pax(*records) + member() + END)[0].xattrs() == [(b"user.B", b""), (b"user.b", b"=\n\xff")]


def test_pax_header_applies_to_any_following_header() -> None:
    data = pax((b"path", b"one")) + member(content=b"not a name", typeflag=b"L") + member(b"two") + END
    assert [(entry.name, entry.typeflag) for entry, _ in read(data)] == [(b"one", b"L"), (b"two", b"0")]


def test_pax_global_header_is_a_member_with_content() -> None:
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
def test_invalid_pax_header_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableLayer, match="invalid PAX header"):
        read(member(content=body, typeflag=b"x") + member() + END)


@pytest.mark.parametrize(
    "extension",
    [pax((b"path", b"a")), member(content=b"a", typeflag=b"L"), member(content=b"a", typeflag=b"K")],
)
@pytest.mark.parametrize("end", [b"", END])
def test_archive_that_ends_after_an_extension_is_unreadable(extension: bytes, end: bytes) -> None:
    with pytest.raises(UnreadableLayer, match="belongs to the next one"):
        read(member() + extension + end)


@pytest.mark.parametrize("typeflag", [b"L", b"K", b"x"])
def test_extension_at_the_limit_is_read_and_one_past_is_not(typeflag: bytes) -> None:
    start = b"%d comment=" % EXTENSION_LIMIT_BYTES
    body = start + b"x" * (EXTENSION_LIMIT_BYTES - len(start) - 1) + b"\n"
    assert len(read(member(content=body, typeflag=typeflag) + member() + END)) == 1
    with pytest.raises(ExpansionLimitExceeded, match=f"{EXTENSION_LIMIT_BYTES} bytes"):
        read(member(content=body + b"x", typeflag=typeflag) + member() + END)


def test_extension_of_a_huge_claimed_size_is_refused_at_once() -> None:
    with pytest.raises(ExpansionLimitExceeded):
        read(header(typeflag=b"x", size=1 << 32) + bytes(512))


def test_number_of_headers_and_records_is_limited(
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
        with pytest.raises(ExpansionLimitExceeded, match=f"more than {count - 1} tar headers"):
            read(data)


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


# -- random archives

STANDARD_FORMATS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


@settings(max_examples=60, deadline=None)
@given(
    STANDARD_FORMATS,
    st.lists(st.tuples(st.text("ab/é.", min_size=1, max_size=90), st.binary(max_size=1500)), max_size=5),
    st.lists(st.integers(1, 2000), min_size=1, max_size=5),
)
def test_piece_sizes_of_the_stream_make_no_difference(
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
def test_odd_archives_are_read_or_unreadable(members: list[bytes], end: bytes, cut: int) -> None:
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
def test_random_bytes_are_read_or_unreadable(data: bytes) -> None:
    with contextlib.suppress(UnreadableLayer):
        read(data, limit_bytes=100_000)
