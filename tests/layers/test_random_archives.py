"""Random tar archives are read or unreadable, in pieces of any size."""

from __future__ import annotations

import contextlib
import io
import tarfile
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.archive_members import FIELDS, content_of, read
from support.tar_blocks import END, GNU, Dribble, header, octal, padded, record

from v1registry.layers.archive import ArchiveReader
from v1registry.layers.compression import UnreadableLayer

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
