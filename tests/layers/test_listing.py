"""The rows of ``…/files``."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tar_blocks import END, Dribble, header, member, pax, record

from v1registry.layers.compression import ExpansionLimitExceeded, UnreadableLayer
from v1registry.layers.listing import NAMES_LIMIT_BYTES, ROWS_LIMIT, files

DATA = Path(__file__).parents[1] / "data"
SAMPLE = DATA / "docker-registry-0.9.1-data" / "images"
ROOT = "cae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2"
CHILD = "28720365c5e7476a011e4f43ac003ee5f16247a263b9d623aa85ed311d73bf39"


def sample_files(image_id: str) -> list[Any]:
    with (SAMPLE / image_id / "layer").open("rb") as layer:
        return files(layer)


def rows(*members: bytes) -> list[Any]:
    return files(io.BytesIO(b"".join(members) + END))


def names(*members: bytes) -> list[tuple[Any, Any]]:
    return [(row[0], row[2]) for row in rows(*members)]


# -- files


@pytest.mark.parametrize("image_id", [ROOT, CHILD])
def test_REG_030_rows_equal_those_of_docker_registry(image_id: str) -> None:
    assert sample_files(image_id) == json.loads((SAMPLE / image_id / "_files").read_bytes())


def test_REG_030_row_has_eight_elements_and_is_json() -> None:
    block = member(b"./etc/hosts", b"x" * 20, mode=0o644, uid=7, gid=8, mtime=1430000000)
    (row,) = rows(block)
    assert json.dumps(row) == '["/etc/hosts", "f", false, 20, 1430000000, 420, 7, 8]'


def test_REG_030_every_type_has_its_letter() -> None:
    letters = {
        b"0": "f",
        b"\0": "f",
        b"1": "l",
        b"2": "s",
        b"3": "c",
        b"4": "b",
        b"5": "d",
        b"6": "i",
        b"7": "t",
    }
    letters |= {b"S": "S", b"V": "u", b"X": "u", b"\xff": "u"}
    assert [row[1] for row in rows(*(member(typeflag=flag) for flag in letters))] == list(letters.values())
    # Long names belong to the next member, except behind a PAX header, where they are members.
    assert [
        row[1] for row in rows(pax((b"path", b"a")), member(typeflag=b"L"), pax(), member(typeflag=b"K"))
    ] == ["L", "K"]
    assert [row[:2] for row in rows(member(content=b"long", typeflag=b"L"), member())] == [["long", "f"]]


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        (b".", "/"),
        (b"./", "/"),
        (b"/", "/"),
        (b"./etc/", "/etc"),
        (b"etc/", "etc"),
        (b"etc//", "etc"),
        (b"/etc", "/etc"),
        (b".hidden", ".hidden"),
        (b"..", ".."),
        (b"./f\xc3\xa4", "/f\u00e4"),
        (b"./f\xe4", "/f\u00e4"),
        (b"", ""),
    ],
)
def test_REG_030_leading_dot_and_trailing_slash_are_removed(stored: bytes, name: str) -> None:
    assert names(member(stored)) == [(name, False)]


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (b"./.wh.bin", [("/bin", True)]),
        (b".wh.bin", [("bin", True)]),
        (b"./usr/lib/.wh.x", [("/usr/lib/x", True)]),
        (b"usr/.wh.lib/", [("usr/lib", True)]),
        (b"./.wh..wh.plnk", []),
        (b"./.wh..wh.plnk/12.34", []),
        (b"./usr/.wh..wh..opq", []),
        (b".wh..wh.aufs", []),
        (b"./a.wh.b", [("/a.wh.b", False)]),
        (b"./.wh.dir/file", [("/.wh.dir/file", False)]),
        (b"./.wh.", [("/.wh.", False)]),
        (b"./.wh..hidden", [("/.hidden", True)]),
    ],
)
def test_REG_030_whiteouts_count_in_every_directory(stored: bytes, expected: list[tuple[str, bool]]) -> None:
    assert names(member(stored)) == expected


def test_REG_030_trailing_slash_marks_a_directory_of_v7() -> None:
    assert [row[:2] for row in rows(member(b"old/", typeflag=b"\0", magic=b""))] == [["old", "d"]]


def test_pax_headers_count_and_global_ones_make_no_rows() -> None:
    global_header = member(b"pax_global_header", record(b"mtime", b"1"), typeflag=b"g")
    block = pax((b"path", b"./l\xc3\xa4nger"), (b"mtime", b"1400000000.75"), (b"uid", b"3000000")) + member()
    assert rows(global_header, block) == [["/l\u00e4nger", "f", False, 0, 1400000000, 420, 3000000, 0]]


def test_sparse_file_has_its_real_size_and_is_not_expanded() -> None:
    records = [
        (b"GNU.sparse.name", b"real"),
        (b"GNU.sparse.size", b"%d" % (1 << 50)),
        (b"GNU.sparse.map", b"0,3"),
    ]
    layer = pax(*records, (b"GNU.sparse.numblocks", b"1")) + member(content=b"abc") + END
    assert [row[:4] for row in files(io.BytesIO(layer), limit_bytes=len(layer))] == [
        ["real", "f", False, 1 << 50]
    ]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_REG_030_layers_of_every_compression_are_listed(compress: Callable[[bytes], bytes]) -> None:
    layer = compress(member(b"./a", b"content") + END)
    expected = [["/a", "f", False, 7, 1400000000, 420, 0, 0]]
    assert files(io.BytesIO(layer)) == expected
    assert files(Dribble(layer)) == expected


@pytest.mark.parametrize("layer", [b"", bytes(1024), gzip.compress(b""), gzip.compress(bytes(1024))])
def test_layer_without_changes_has_no_rows(layer: bytes) -> None:
    assert files(io.BytesIO(layer)) == []


@pytest.mark.parametrize(
    "layer",
    [
        b"#!/bin/sh\necho hello\n",
        b"PK\x03\x04" + bytes(600),
        gzip.compress(b"no tar"),
        gzip.compress(member())[:-12],
        header(size=5000) + bytes(1000),
        b"{}" * 500,
    ],
)
def test_REG_030_layer_that_is_not_an_archive_is_unreadable(layer: bytes) -> None:
    with pytest.raises(UnreadableLayer):
        files(io.BytesIO(layer))


def test_layer_expands_to_the_limit_and_no_further() -> None:
    expanded = member(content=bytes(3000)) + END
    layer = gzip.compress(expanded)
    assert len(files(io.BytesIO(layer), limit_bytes=len(expanded))) == 1
    with pytest.raises(ExpansionLimitExceeded):
        files(io.BytesIO(layer), limit_bytes=2000)


def test_number_of_files_is_limited() -> None:
    layer = b"".join(member(b"%d" % at) for at in range(10)) + member(b"g", typeflag=b"g") + END
    assert len(files(io.BytesIO(layer), limit_rows=10)) == 10
    with pytest.raises(ExpansionLimitExceeded, match="9 files"):
        files(io.BytesIO(layer), limit_rows=9)
    assert ROWS_LIMIT == 500_000


def test_bytes_of_names_are_limited() -> None:
    layer = b"".join(member(content=b"n" * 1000, typeflag=b"L") + member() for _ in range(3)) + END
    assert len(files(io.BytesIO(layer), limit_names_bytes=3000)) == 3
    with pytest.raises(ExpansionLimitExceeded, match="2999 bytes"):
        files(io.BytesIO(layer), limit_names_bytes=2999)
    assert NAMES_LIMIT_BYTES == 64 << 20


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=1500), st.binary(max_size=100))
def test_random_layers_have_rows_or_are_unreadable(junk: bytes, name: bytes) -> None:
    # With "./" in front no name looks compressed.
    assert len(files(io.BytesIO(member(b"./" + name) + END + junk))) <= 1
    try:
        listed = files(io.BytesIO(junk), limit_bytes=100_000)
    except UnreadableLayer:
        return
    assert json.loads(json.dumps(listed)) == listed


def test_rows_of_the_tarsum_vectors_have_their_names() -> None:
    vectors = json.loads((DATA / "tarsum.json").read_text())["vectors"]
    compared = 0
    for vector in vectors:
        layer = io.BytesIO(base64.b64decode(vector["layer_b64"]))
        paths = [
            entry["path"] for entry in vector.get("entries_v0", ()) if entry["path"] != "pax_global_header"
        ]
        if vector["expected"] is None:
            with pytest.raises(UnreadableLayer):
                files(layer)
        elif not any(".wh." in path or "\ufffd" in path for path in paths):
            assert [str(row[0]).lstrip("/") for row in files(layer)] == paths
            compared += 1
    assert compared > 60
