"""Extensions of tar archives: long names and pax headers."""

from __future__ import annotations

import pytest
from support.archive_members import names, only, read
from support.tar_blocks import END, GNU, header, member, padded, pax, record

from v1registry.layers.archive import EXTENSION_LIMIT_BYTES
from v1registry.layers.compression import ExpansionLimitExceeded, UnreadableLayer

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


def test_number_of_headers_and_records_is_limited() -> None:
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
        assert read(data, limit_records=count)
        with pytest.raises(ExpansionLimitExceeded, match=f"more than {count - 1} tar headers"):
            read(data, limit_records=count - 1)
