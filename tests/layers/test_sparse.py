"""Sparse members of tar archives."""

from __future__ import annotations

import gzip
import io

import pytest
from support.archive_members import content_of, only, read
from support.tar_blocks import END, GNU, header, member, octal, padded, pax

from v1registry.layers import sparse
from v1registry.layers.archive import ArchiveReader, open_archive
from v1registry.layers.compression import CHUNK_BYTES, ExpansionLimitExceeded, UnreadableLayer


def test_gnu_sparse_member_has_zeros_between_its_pieces() -> None:
    table = b"".join(octal(number, 12) for number in (2, 3, 8, 2))
    rest = bytes(41) + table.ljust(96, b"\0") + b"\0" + octal(12, 12)
    entry, content = only(member(content=b"abcde", typeflag=b"S", magic=GNU, rest=rest) + END)
    assert (entry.typeflag, entry.size, content) == (b"S", 12, b"\0\0abc\0\0\0de\0\0")


def test_gnu_sparse_map_continues_in_further_blocks() -> None:
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
    with pytest.raises(UnreadableLayer, match="incomplete map"):
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


def test_unknown_sparse_version_is_a_plain_file() -> None:
    records = [(b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"real")]
    entry, content = only(pax(*records) + member(content=b"abc") + END)
    assert (entry.name, content) == (b"f", b"abc")


def test_sparse_member_of_one_hole_is_zeros() -> None:
    records = [(b"GNU.sparse.size", b"600"), (b"GNU.sparse.numblocks", b"0")]
    assert only(pax(*records) + member() + END)[1] == bytes(600)


def test_sparse_map_of_version_1_0_may_have_several_blocks() -> None:
    pieces = b"300\n" + b"".join(b"%d\n1\n" % (at * 1000) for at in range(300))
    records = [*SPARSE_1_0[:2], (b"GNU.sparse.realsize", b"300000")]
    _, content = only(pax(*records) + member(content=padded(pieces) + b"x" * 300) + END)
    assert content == (b"x" + bytes(999)) * 300


def test_sparse_member_without_real_size_has_the_stored_size() -> None:
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
        pax(*SPARSE_1_0) + member(content=b"1\n2\n3\n") + END,  # an incomplete block
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
def test_contradictory_sparse_member_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableLayer):
        read(data)


@pytest.mark.parametrize("version", ["0.1", "1.0", "gnu"])
def test_sparse_map_at_the_limit_is_read_and_one_past_is_not(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparse, "SPARSE_PIECES_LIMIT", 25)

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
    with pytest.raises(ExpansionLimitExceeded, match="25 pieces"):
        read(data(26))


def test_huge_sparse_member_is_read_up_to_the_limit() -> None:
    records = [(b"GNU.sparse.size", b"%d" % (1 << 60)), (b"GNU.sparse.numblocks", b"0")]
    data = pax(*records) + member() + END
    reader = ArchiveReader(io.BytesIO(data), limit_bytes=10_000_000)
    entry = next(iter(reader))
    count = 0
    with pytest.raises(ExpansionLimitExceeded, match="10000000 bytes"):
        while piece := entry.read(1 << 40):
            assert len(piece) <= CHUNK_BYTES
            count += len(piece)
    assert 9_000_000 < count <= 10_000_000
    # Content that is not read is not expanded.
    assert [entry.size for entry in ArchiveReader(io.BytesIO(data), limit_bytes=10_000)] == [1 << 60]


def test_bytes_read_and_holes_count_together() -> None:
    records = [(b"GNU.sparse.size", b"1000"), (b"GNU.sparse.numblocks", b"0")]
    data = pax(*records) + member() + END
    assert only(data, limit_bytes=len(data) + 1000)[1] == bytes(1000)
    with pytest.raises(ExpansionLimitExceeded):
        read(data, limit_bytes=len(data) + 999)
    assert [
        content_of(entry)
        for entry in open_archive(io.BytesIO(gzip.compress(data)), limit_bytes=len(data) + 1000)
    ] == [bytes(1000)]
    with pytest.raises(ExpansionLimitExceeded):
        [
            content_of(entry)
            for entry in open_archive(io.BytesIO(gzip.compress(data)), limit_bytes=len(data) + 999)
        ]
