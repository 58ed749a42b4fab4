"""Lists of rows are written and read row by row."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tar_blocks import Dribble

from v1registry.layers.row_lists import MalformedRows, dump_rows, read_rows


def row(name: str, size: int = 1) -> list[Any]:
    return [name, "f", False, size, 1400000000, 0o644, 0, 0]


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 1000])
def test_list_is_the_same_json_as_in_one_piece(count: int) -> None:
    rows = [row(f"f{number}", 10**number) for number in range(count)]
    data = b"".join(dump_rows(iter(rows)))
    assert data == json.dumps(rows).encode("ascii")
    assert list(read_rows(io.BytesIO(data))) == rows


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=5), st.sampled_from([None, 1, 4]), st.booleans())
def test_rows_of_any_spelling_are_read(names: list[str], indent: int | None, is_ascii: bool) -> None:
    rows = [row(name) for name in names]
    data = json.dumps(rows, indent=indent, ensure_ascii=is_ascii).encode("utf-8", "replace")
    assert list(read_rows(Dribble(data))) == json.loads(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[",
        b"{}",
        b"null",
        b"[1]",
        b"[[]]",
        b'[["a", "f", false, 0, 0, 0, 0]]',
        b'[[1, "f", false, 0, 0, 0, 0, 0]]',
        b'[["a", "f", false, 0, 0, 0, 0, 0]',
        b'[["a", "f", false, 0, 0, 0, 0, 0]] x',
        b'[["a", "f", false, 0, 0, 0, 0, 0],]',
        b'[["a", "f", false, 0, 0, 0, 0, 0] ["a", "f", false, 0, 0, 0, 0, 0]]',
        b'[["\xff", "f", false, 0, 0, 0, 0, 0]]',
        b"[" * 100_000,
    ],
)
def test_other_values_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedRows):
        list(read_rows(io.BytesIO(data)))


def test_long_list_takes_little_memory() -> None:
    data = b"".join(dump_rows(row(f"usr/share/folder/file-{number}") for number in range(50_000)))
    stream = io.BytesIO(data)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_rows(stream)) == 50_000
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(data) > 3_000_000
    assert peak_bytes < 1_500_000
