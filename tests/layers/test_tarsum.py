from __future__ import annotations

import base64
import bz2
import doctest
import gzip
import hashlib
import importlib
import io
import json
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.recorded_pushes import Push, recorded_pushes
from support.tar_blocks import END, Dribble, header, member, padded, pax

from v1registry.layers.compression import LayerTooLarge, UnreadableLayer
from v1registry.layers.tarsum import (
    ENTRIES_LIMIT,
    INSERTION_SORT_LIMIT,
    LegacyTarSum,
    Version,
    legacy_tarsum,
    tarsum,
    verify_tarsum,
)

DATA = Path(__file__).parents[1] / "data"
VECTORS: dict[str, dict[str, Any]] = {
    vector["name"]: vector for vector in json.loads((DATA / "tarsum.json").read_text())["vectors"]
}
PUSHES = recorded_pushes()
VERSIONS: tuple[Version, ...] = ("tarsum", "tarsum.v1", "tarsum.dev")
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Opener:
    """Opens the same layer again and again, and knows how often, and whether all of it was closed."""

    def __init__(self, layer: bytes):
        self._layer = layer
        self.opened: list[io.BytesIO] = []

    def __call__(self) -> io.BytesIO:
        self.opened.append(io.BytesIO(self._layer))
        return self.opened[-1]

    @property
    def all_closed(self) -> bool:
        return all(stream.closed for stream in self.opened)


def layer_of(vector: dict[str, Any]) -> tuple[bytes, bytes]:
    return base64.b64decode(vector["layer_b64"]), base64.b64decode(vector["extra_b64"] or "")


# -- the vectors


@pytest.mark.parametrize("name", VECTORS)
def test_REG_021_the_vectors_are_reproduced(name: str) -> None:
    vector = VECTORS[name]
    layer, prefix = layer_of(vector)
    for version in VERSIONS:
        for stream in (io.BytesIO(layer), Dribble(layer)):
            if vector["expected"] is None:
                with pytest.raises(UnreadableLayer):
                    tarsum(stream, prefix=prefix, version=version)
            else:
                assert tarsum(stream, prefix=prefix, version=version) == vector["expected"][version]


@pytest.mark.parametrize("name", VECTORS)
def test_REG_021_the_vectors_are_verified(name: str) -> None:
    vector = VECTORS[name]
    layer, prefix = layer_of(vector)
    opener = Opener(layer)
    if vector["expected"] is None:
        with pytest.raises(UnreadableLayer):
            verify_tarsum(f"tarsum+sha256:{NOTHING}", opener, prefix)
    else:
        for version in VERSIONS:
            assert verify_tarsum(vector["expected"][version], opener, prefix)
        assert not verify_tarsum(vector["expected"]["tarsum"], opener, prefix + b" ")
        assert not verify_tarsum(vector["expected"]["tarsum.v1"], opener, prefix + b" ")
    assert opener.all_closed


@pytest.mark.parametrize("name", VECTORS)
def test_the_old_python_server_s_sums_are_reproduced(name: str) -> None:
    vector = VECTORS[name]
    layer, prefix = layer_of(vector)
    sums = vector.get("legacy_python_registry") or vector["expected"]
    assert legacy_tarsum(io.BytesIO(layer), prefix=prefix).text == sums["tarsum"]


def test_pushes_of_old_and_new_engines_were_recorded() -> None:
    assert {push.engine for push in PUSHES} >= {
        "docker-0.9.1",
        "docker-1.0.1",
        "docker-1.3.3",
        "docker-1.12.6",
    }


@pytest.mark.parametrize("push", PUSHES, ids=lambda push: push.engine)
def test_REG_020_the_sums_that_engines_sent_are_verified(push: Push) -> None:
    assert verify_tarsum(push.tarsum, lambda: io.BytesIO(push.layer), push.image_json)
    assert not verify_tarsum(push.tarsum, lambda: io.BytesIO(push.layer), push.image_json + b"\n")


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_REG_020_a_tarsum_is_that_of_the_expanded_layer(compress: Callable[[bytes], bytes]) -> None:
    layer, prefix = layer_of(VECTORS["layer_plain"])
    announced = VECTORS["layer_plain"]["expected"]["tarsum"]
    assert verify_tarsum(announced, lambda: io.BytesIO(compress(layer)), prefix)
    assert not verify_tarsum(announced.replace("e", "f"), lambda: io.BytesIO(compress(layer)), prefix)


# -- versions, algorithms, labels


def test_sha512_sums_use_it_for_the_entries_and_for_the_whole() -> None:
    layer, _ = layer_of(VECTORS["one_file"])
    body = b"namehello.txtmode420uid0gid0size12mtime1400000000typeflag0linknameunamegnamedevmajor0devminor0"
    entry = hashlib.sha512(body + layer[512:524]).hexdigest()
    expected = "tarsum+sha512:" + hashlib.sha512(b"{}" + entry.encode()).hexdigest()
    assert tarsum(io.BytesIO(layer), prefix=b"{}", algorithm="sha512") == expected
    assert verify_tarsum(expected, lambda: io.BytesIO(layer), b"{}")


def test_versions_and_algorithms_that_do_not_exist_cannot_be_computed() -> None:
    with pytest.raises(ValueError, match=r"tarsum\.v2"):
        tarsum(io.BytesIO(b""), version="tarsum.v2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="md5"):
        tarsum(io.BytesIO(b""), algorithm="md5")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "announced",
    [
        "",
        "tarsum",
        NOTHING,
        f"sha256:{NOTHING}",
        f"tarsum+md5:{NOTHING}",
        f"tarsum.v2+sha256:{NOTHING}",
        f"tarsum+sha256:{NOTHING.upper()}",
        f"tarsum+sha256:{NOTHING}\n",
        f" tarsum+sha256:{NOTHING}",
        f"Tarsum+sha256:{NOTHING}",
        f"tarsum+sha256:{NOTHING}\u0660",
        "tarsum+sha256:",
        "tarsum+sha256:\udcff",
    ],
)
def test_what_is_no_tarsum_is_refused_without_opening_the_layer(announced: str) -> None:
    opener = Opener(b"")
    assert not verify_tarsum(announced, opener, b"")
    assert opener.opened == []


def test_a_tarsum_of_another_length_is_wrong() -> None:
    opener = Opener(b"")
    assert verify_tarsum(f"tarsum+sha256:{NOTHING}", opener, b"")
    assert not verify_tarsum(f"tarsum+sha256:{NOTHING}0", opener, b"")
    assert not verify_tarsum(f"tarsum+sha256:{NOTHING[:-1]}", opener, b"")


def test_a_right_sum_opens_the_layer_once() -> None:
    layer, prefix = layer_of(VECTORS["one_file"])
    opener = Opener(layer)
    assert verify_tarsum(VECTORS["one_file"]["expected"]["tarsum"], opener, prefix)
    assert len(opener.opened) == 1


# -- duplicates


def sum_of(digests: list[str]) -> str:
    return "tarsum+sha256:" + hashlib.sha256("".join(digests).encode()).hexdigest()


def test_each_rule_for_duplicate_paths_gives_its_own_sum_and_all_are_accepted() -> None:
    layer, _ = layer_of(VECTORS["dup_three_mixed"])
    first, other, last = (entry["sha256"] for entry in VECTORS["dup_three_mixed"]["entries_v0"])
    sums = {
        "position": tarsum(io.BytesIO(layer)),
        "all": tarsum(io.BytesIO(layer), duplicates="all"),
        "last": tarsum(io.BytesIO(layer), duplicates="last"),
    }
    assert sums["all"] == sum_of(sorted([first, other, last]))
    assert sums["last"] == sum_of(sorted([other, last]))
    assert len(set(sums.values())) == 3
    for announced in sums.values():
        assert verify_tarsum(announced, lambda: io.BytesIO(layer), b"")
    assert not verify_tarsum(sum_of([last, other, first]), lambda: io.BytesIO(layer), b"")


def test_without_duplicate_paths_all_rules_agree() -> None:
    layer, prefix = layer_of(VECTORS["twenty_files"])
    expected = VECTORS["twenty_files"]["expected"]["tarsum"]
    for rule in ("position", "all", "last"):
        assert tarsum(io.BytesIO(layer), prefix=prefix, duplicates=rule) == expected


def duplicates_with(count: int) -> bytes:
    """Two entries of one path whose digests descend, and so many others."""
    pair = sorted(
        (member(b"f", content) for content in (b"one", b"two")), key=lambda block: tarsum_digest(block)
    )
    return b"".join([pair[1], pair[0], *(member(b"%d" % at) for at in range(count - 2))]) + END


def tarsum_digest(block: bytes) -> str:
    text = b"namefmode420uid0gid0size3mtime1400000000typeflag0linknameunamegnamedevmajor0devminor0"
    return hashlib.sha256(text + block[512:515]).hexdigest()


def test_a_long_archive_with_duplicates_is_sorted_as_if_it_had_none() -> None:
    # At the bound the two keep their order, one entry later they do not.
    at_the_bound, beyond = duplicates_with(INSERTION_SORT_LIMIT), duplicates_with(INSERTION_SORT_LIMIT + 1)
    assert tarsum(io.BytesIO(at_the_bound)) != tarsum(io.BytesIO(at_the_bound), duplicates="all")
    assert tarsum(io.BytesIO(beyond)) == tarsum(io.BytesIO(beyond), duplicates="all")


# -- the old Python server


@pytest.mark.parametrize(
    "name", ["dir_noslash", "v7_dir", "file_with_dev_numbers", "pax_mtime_fraction", "dup_two"]
)
def test_sums_of_the_old_python_server_are_accepted_last(name: str) -> None:
    layer, prefix = layer_of(VECTORS[name])
    opener = Opener(layer)
    assert verify_tarsum(VECTORS[name]["legacy_python_registry"]["tarsum"], opener, prefix)
    assert opener.all_closed


@pytest.mark.parametrize("name", ["hardlink_with_size", "layer_xz"])
def test_a_sum_of_the_old_python_server_that_covers_a_part_of_the_layer_is_not_accepted(name: str) -> None:
    layer, prefix = layer_of(VECTORS[name])
    legacy = legacy_tarsum(io.BytesIO(layer), prefix=prefix)
    assert legacy.text == VECTORS[name]["legacy_python_registry"]["tarsum"]
    assert not legacy.is_complete
    assert legacy.text is not None
    assert not verify_tarsum(legacy.text, lambda: io.BytesIO(layer), prefix)


def test_the_old_python_server_had_no_sum_for_pax_records_that_are_not_utf_8() -> None:
    layer = pax((b"SCHILY.xattr.user.a", b"\xff")) + member() + END
    assert legacy_tarsum(io.BytesIO(layer)) == LegacyTarSum(None, False)
    assert not verify_tarsum(f"tarsum+sha256:{NOTHING}", lambda: io.BytesIO(layer), b"")


@pytest.mark.parametrize(
    ("layer", "header_text"),
    [
        (member(b"d//", typeflag=b"5"), b"named/mode420uid0gid0size0mtime1400000000typeflag5"),
        (pax((b"path", b"a/")) + member(), b"nameamode420uid0gid0size0mtime1400000000typeflag0"),
        (pax((b"mtime", b"12")) + member(), b"namefmode420uid0gid0size0mtime12.0typeflag0"),
        (pax((b"mtime", b"1e15")) + member(), b"namefmode420uid0gid0size0mtime1e+15typeflag0"),
        (pax((b"mtime", b"soon")) + member(), b"namefmode420uid0gid0size0mtime0typeflag0"),
        (member(b"fifo", b"skipped", typeflag=b"6"), b"namefifomode420uid0gid0size7mtime1400000000typeflag6"),
    ],
)
def test_the_old_python_server_s_reading_of_headers(layer: bytes, header_text: bytes) -> None:
    digest = hashlib.sha256(header_text + b"linknameunamegnamedevmajor0devminor0").hexdigest()
    assert legacy_tarsum(io.BytesIO(layer + END)) == LegacyTarSum(sum_of([digest]), True)


def test_the_examples_in_the_module_are_right() -> None:
    # The module and its function have one name; a package attribute could be either.
    result = doctest.testmod(importlib.import_module("v1registry.layers.tarsum"))
    assert result.attempted
    assert not result.failed


# -- limits and broken layers


def test_a_layer_may_expand_to_the_limit_and_no_further() -> None:
    layer = gzip.compress(member(content=bytes(5000)) + END)
    expanded_bytes = len(gzip.decompress(layer))
    right = tarsum(io.BytesIO(layer), limit_bytes=expanded_bytes)
    assert verify_tarsum(right, lambda: io.BytesIO(layer), b"", limit_bytes=expanded_bytes)
    for compute in (tarsum, legacy_tarsum):
        with pytest.raises(LayerTooLarge):
            compute(io.BytesIO(layer), limit_bytes=expanded_bytes - 2000)
    with pytest.raises(LayerTooLarge):
        verify_tarsum(right, lambda: io.BytesIO(layer), b"", limit_bytes=expanded_bytes - 1)


def test_holes_count_towards_the_limit() -> None:
    records = [(b"GNU.sparse.size", b"%d" % (1 << 62)), (b"GNU.sparse.numblocks", b"0")]
    layer = gzip.compress(pax(*records) + member() + END)
    with pytest.raises(LayerTooLarge):
        verify_tarsum(f"tarsum+sha256:{NOTHING}", lambda: io.BytesIO(layer), b"", limit_bytes=3_000_000)


def test_entries_are_summed_up_to_their_limit_and_no_further() -> None:
    layer = b"".join(member(b"%d" % at) for at in range(10)) + END
    assert tarsum(io.BytesIO(layer), limit_entries=10) == tarsum(io.BytesIO(layer))
    for compute in (tarsum, legacy_tarsum):
        with pytest.raises(LayerTooLarge, match="9 entries"):
            compute(io.BytesIO(layer), limit_entries=9)
    with pytest.raises(LayerTooLarge, match="9 entries"):
        verify_tarsum(f"tarsum+sha256:{NOTHING}", lambda: io.BytesIO(layer), b"", limit_entries=9)
    assert ENTRIES_LIMIT == 1_000_000


def test_a_layer_whose_compression_was_cut_off_behind_the_archive_has_no_sum() -> None:
    layer = gzip.compress(member(content=b"content") + END)
    right = tarsum(io.BytesIO(layer))
    for length in (len(layer) - 1, len(layer) - 8):
        with pytest.raises(UnreadableLayer, match="in the middle"):
            verify_tarsum(right, lambda length=length: io.BytesIO(layer[:length]), b"")  # type: ignore[misc]


def test_what_the_layer_s_stream_raises_passes_through_and_closes_it() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise TimeoutError("no answer")

    stream = Failing()
    with pytest.raises(TimeoutError):
        verify_tarsum(f"tarsum+sha256:{NOTHING}", lambda: stream, b"")
    assert stream.closed


# -- a second opinion: section 7 of the specification on top of the standard library's reader, slow and simple


def second_opinion(data: bytes, version: str, prefix: bytes) -> str:
    def raw(text: str) -> bytes:
        return text.encode("utf-8", "surrogateescape")

    entries: list[tuple[str, str]] = []
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for info in tar.getmembers():
            # The standard library cuts the slash off that it itself writes behind the names of directories.
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


# Without slashes at the end: the standard library's reader drops them from directories and PAX paths.
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
def test_archives_of_the_standard_library_have_the_sum_of_the_second_opinion(
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
def test_the_second_opinion_is_right_where_the_standard_library_reads_as_the_reference_did(name: str) -> None:
    data, prefix = layer_of(VECTORS[name])
    for version in VERSIONS:
        assert second_opinion(data, version, prefix) == VECTORS[name]["expected"][version]


@settings(max_examples=150, deadline=None)
@given(archives(), st.data())
def test_changed_archives_have_a_sum_or_are_unreadable_and_nothing_else(
    data: bytes, draws: st.DataObject
) -> None:
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


def test_a_padded_header_is_no_archive_on_its_own() -> None:
    with pytest.raises(UnreadableLayer):
        tarsum(io.BytesIO(padded(b"#!/bin/sh")))
    with pytest.raises(UnreadableLayer):
        tarsum(io.BytesIO(header(size=1)))
