"""TarSums of random archives, compared with a second, slow implementation of registry.md 7 over tarfile."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tar_blocks import Dribble

from v1registry.layers.compression import UnreadableLayer
from v1registry.layers.tarsum import Version, legacy_tarsum, tarsum, verify_tarsum

DATA = Path(__file__).parents[1] / "data"
VECTORS: dict[str, dict[str, Any]] = {
    vector["name"]: vector for vector in json.loads((DATA / "tarsum.json").read_text())["vectors"]
}
VERSIONS: tuple[Version, ...] = ("tarsum", "tarsum.v1", "tarsum.dev")


def _layer_of(vector: dict[str, Any]) -> tuple[bytes, bytes]:
    return base64.b64decode(vector["layer_b64"]), base64.b64decode(vector["extra_b64"] or "")


def second_opinion(data: bytes, version: str, prefix: bytes) -> str:
    def raw(text: str) -> bytes:
        return text.encode("utf-8", "surrogateescape")

    entries: list[tuple[str, str]] = []
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for info in tar.getmembers():
            # tarfile removes the slash that it writes behind the names of directories.
            name = raw(info.name) + (b"/" if info.isdir() else b"")
            is_device = info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE)
            pairs = [
                (b"name", name),
                (b"mode", b"%d" % info.mode),
                (b"uid", b"%d" % info.uid),
                (b"gid", b"%d" % info.gid),
                (b"size", b"%d" % info.size),
                (b"mtime", b"%d" % int(info.mtime)),
                (b"typeflag", info.type),
                (b"linkname", raw(info.linkname)),
                (b"uname", raw(info.uname)),
                (b"gname", raw(info.gname)),
                (b"devmajor", b"%d" % (info.devmajor if is_device else 0)),
                (b"devminor", b"%d" % (info.devminor if is_device else 0)),
            ]
            if version != "tarsum":
                del pairs[5]
                attributes = {
                    raw(key)[len("SCHILY.xattr.") :]: raw(value)
                    for key, value in info.pax_headers.items()
                    if key.startswith("SCHILY.xattr.")
                }
                pairs += sorted(attributes.items())
            content = tar.extractfile(info).read() if info.isreg() else b""  # type: ignore[union-attr]
            digest = hashlib.sha256(b"".join(key + value for key, value in pairs) + content).hexdigest()
            path = name.removeprefix(b"./").removesuffix(b"/")
            entries.append((path.decode("latin-1"), digest))

    def is_less(one: int, other: int) -> bool:
        if entries[one][0] == entries[other][0]:
            return one < other
        return entries[one][1] < entries[other][1]

    order: list[int] = []
    for index in range(len(entries)):
        at = len(order)
        while at > 0 and is_less(index, order[at - 1]):
            at -= 1
        order.insert(at, index)
    text = "".join(entries[index][1] for index in order)
    return f"{version}+sha256:" + hashlib.sha256(prefix + text.encode()).hexdigest()


# Without trailing slashes, because tarfile removes them from directories and PAX paths.
NAMES = st.one_of(
    st.text("abé/日.-_ ", min_size=1, max_size=12),
    st.text("xyz/é", min_size=90, max_size=300),
    st.sampled_from([".", "a", "./a", "b"]),
).map(lambda name: name.rstrip("/") or "a")
TYPES = [
    tarfile.REGTYPE,
    tarfile.CONTTYPE,
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
]
TYPES += [tarfile.DIRTYPE, tarfile.FIFOTYPE]
ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        ["SCHILY.xattr.user.a", "SCHILY.xattr.user.Ä", "SCHILY.xattr.security.capability", "comment"]
    ),
    st.text("=\nxü", max_size=10),
    max_size=3,
)


@st.composite
def members(draw: st.DrawFn, format_: int) -> tuple[tarfile.TarInfo, bytes]:
    largest_id = 0o7777777 if format_ == tarfile.USTAR_FORMAT else 1 << 40
    info = tarfile.TarInfo(draw(NAMES))
    info.type = draw(st.sampled_from(TYPES))
    info.mode = draw(st.integers(0, 0o7777))
    info.uid, info.gid = draw(st.integers(0, largest_id)), draw(st.integers(0, largest_id))
    info.uname, info.gname = draw(st.text("mé", max_size=8)), draw(st.text("us", max_size=8))
    content = b""
    if info.isreg():
        content = draw(st.binary(max_size=1300))
        info.size = len(content)
    if info.type in (tarfile.LNKTYPE, tarfile.SYMTYPE):
        info.linkname = draw(NAMES)
    info.devmajor, info.devminor = draw(st.integers(0, 255)), draw(st.integers(0, 255))
    if format_ == tarfile.USTAR_FORMAT:
        info.mtime = draw(st.integers(0, 1 << 32))
    elif format_ == tarfile.GNU_FORMAT:
        info.mtime = draw(st.integers(-(1 << 35), 1 << 35))
    else:
        info.mtime = draw(
            st.one_of(st.integers(0, 1 << 32), st.integers(-1000, 1 << 20).map(lambda n: n / 4))
        )
        info.pax_headers = draw(ATTRIBUTES)
    return info, content


class Archive(bytes):
    def __repr__(self) -> str:
        return f"gunzip of {base64.b64encode(gzip.compress(self)).decode()}"


@st.composite
def archives(draw: st.DrawFn) -> Archive:
    format_ = draw(st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_, encoding="utf-8") as tar:
        for info, content in draw(st.lists(members(format_), max_size=6)):
            try:
                tar.addfile(info, io.BytesIO(content))
            except ValueError:  # a name that ustar has no room for
                assert format_ == tarfile.USTAR_FORMAT
    return Archive(buffer.getvalue())


class OpenDribble(Dribble):
    def __enter__(self) -> OpenDribble:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._data = b""


@settings(max_examples=150, deadline=None)
@given(archives(), st.binary(max_size=10), st.sampled_from(VERSIONS))
def test_archives_of_tarfile_have_the_sum_of_the_second_opinion(
    data: bytes, prefix: bytes, version: Version
) -> None:
    expected = second_opinion(data, version, prefix)
    assert tarsum(io.BytesIO(data), prefix=prefix, version=version) == expected
    assert verify_tarsum(expected, lambda: OpenDribble(gzip.compress(data, 1)), prefix)


READ_ALIKE = [
    "one_file",
    "one_file_extra",
    "order_ab",
    "dir_slash",
    "symlink",
    "hardlink",
    "chardev",
    "blockdev",
    "fifo",
]
READ_ALIKE += ["gnu_longname", "gnu_longlink", "pax_path", "pax_ids_names", "pax_mtime_fraction", "xattr_one"]
READ_ALIKE += ["setuid_modes", "base256_uid", "latin1_name", "dup_two", "dup_three_mixed", "dup_five_mixed"]


@pytest.mark.parametrize("name", READ_ALIKE)
def test_second_opinion_agrees_with_the_vectors(name: str) -> None:
    data, prefix = _layer_of(VECTORS[name])
    for version in VERSIONS:
        assert second_opinion(data, version, prefix) == VECTORS[name]["expected"][version]


@settings(max_examples=150, deadline=None)
@given(archives(), st.data())
def test_changed_archives_have_a_sum_or_are_unreadable(data: bytes, draws: st.DataObject) -> None:
    changed = bytearray(data)
    at = draws.draw(st.integers(0, len(changed) // 512 - 1)) * 512
    field = draws.draw(
        st.sampled_from([(0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (257, 8), (329, 8), (345, 155)])
    )
    length = draws.draw(st.integers(1, field[1]))
    changed[at + field[0] : at + field[0] + length] = draws.draw(st.binary(min_size=length, max_size=length))
    checksum = sum(changed[at : at + 148]) + 8 * 32 + sum(changed[at + 156 : at + 512])
    changed[at + 148 : at + 156] = b"%06o\0 " % checksum
    cut = bytes(changed[: len(changed) - draws.draw(st.sampled_from([0, 0, 1, 511, 1024, 2000]))])
    for compute in (tarsum, legacy_tarsum):
        try:
            whole = compute(io.BytesIO(cut), limit_bytes=1_000_000)
        except UnreadableLayer:
            with pytest.raises(UnreadableLayer):
                compute(Dribble(cut, (1000, 1, 700)), limit_bytes=1_000_000)
        else:
            assert compute(Dribble(cut, (1000, 1, 700)), limit_bytes=1_000_000) == whole
