"""TarSums: the vectors, recorded pushes, rules for duplicates, limits."""

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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.recorded_pushes import Push, recorded_pushes
from support.tar_blocks import END, Dribble, header, member, padded, pax

from v1registry.layers.archive import RECORDS_LIMIT
from v1registry.layers.compression import ExpansionLimitExceeded, UnreadableLayer
from v1registry.layers.tarsum import (
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
    """Opens the same layer any number of times and counts the streams that are open."""

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
def test_REG_021_vectors_are_reproduced(name: str) -> None:
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
def test_REG_021_vectors_are_verified(name: str) -> None:
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
def test_sums_of_docker_registry_are_reproduced(name: str) -> None:
    vector = VECTORS[name]
    layer, prefix = layer_of(vector)
    sums = vector.get("legacy_python_registry") or vector["expected"]
    assert legacy_tarsum(io.BytesIO(layer), prefix=prefix).text == sums["tarsum"]


def test_pushes_of_old_and_new_engines_are_recorded() -> None:
    assert {push.engine for push in PUSHES} >= {
        "docker-0.9.1",
        "docker-1.0.1",
        "docker-1.3.3",
        "docker-1.12.6",
    }


@pytest.mark.parametrize("push", PUSHES, ids=lambda push: push.engine)
def test_REG_020_tarsums_of_engines_are_verified(push: Push) -> None:
    assert verify_tarsum(push.tarsum, lambda: io.BytesIO(push.layer), push.image_json)
    assert not verify_tarsum(push.tarsum, lambda: io.BytesIO(push.layer), push.image_json + b"\n")


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_REG_020_tarsum_ignores_the_compression(compress: Callable[[bytes], bytes]) -> None:
    layer, prefix = layer_of(VECTORS["layer_plain"])
    announced = VECTORS["layer_plain"]["expected"]["tarsum"]
    assert verify_tarsum(announced, lambda: io.BytesIO(compress(layer)), prefix)
    assert not verify_tarsum(announced.replace("e", "f"), lambda: io.BytesIO(compress(layer)), prefix)


# -- versions, algorithms, labels


def test_sha512_is_used_for_members_and_the_whole() -> None:
    layer, _ = layer_of(VECTORS["one_file"])
    body = b"namehello.txtmode420uid0gid0size12mtime1400000000typeflag0linknameunamegnamedevmajor0devminor0"
    entry = hashlib.sha512(body + layer[512:524]).hexdigest()
    expected = "tarsum+sha512:" + hashlib.sha512(b"{}" + entry.encode()).hexdigest()
    assert tarsum(io.BytesIO(layer), prefix=b"{}", algorithm="sha512") == expected
    assert verify_tarsum(expected, lambda: io.BytesIO(layer), b"{}")


def test_unknown_version_or_algorithm_is_a_value_error() -> None:
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
def test_text_that_is_not_a_tarsum_does_not_open_the_layer(announced: str) -> None:
    opener = Opener(b"")
    assert not verify_tarsum(announced, opener, b"")
    assert opener.opened == []


def test_tarsum_of_a_different_length_is_wrong() -> None:
    opener = Opener(b"")
    assert verify_tarsum(f"tarsum+sha256:{NOTHING}", opener, b"")
    assert not verify_tarsum(f"tarsum+sha256:{NOTHING}0", opener, b"")
    assert not verify_tarsum(f"tarsum+sha256:{NOTHING[:-1]}", opener, b"")


def test_right_tarsum_opens_the_layer_once() -> None:
    layer, prefix = layer_of(VECTORS["one_file"])
    opener = Opener(layer)
    assert verify_tarsum(VECTORS["one_file"]["expected"]["tarsum"], opener, prefix)
    assert len(opener.opened) == 1


# -- duplicates


def sum_of(digests: list[str]) -> str:
    return "tarsum+sha256:" + hashlib.sha256("".join(digests).encode()).hexdigest()


def test_sums_of_all_rules_for_duplicates_are_accepted() -> None:
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


def test_all_rules_agree_without_duplicates() -> None:
    layer, prefix = layer_of(VECTORS["twenty_files"])
    expected = VECTORS["twenty_files"]["expected"]["tarsum"]
    for rule in ("position", "all", "last"):
        assert tarsum(io.BytesIO(layer), prefix=prefix, duplicates=rule) == expected


def duplicates_with(count: int) -> bytes:
    """Return an archive of ``count`` members, the first two with one path and descending digests."""
    pair = sorted(
        (member(b"f", content) for content in (b"one", b"two")), key=lambda block: tarsum_digest(block)
    )
    return b"".join([pair[1], pair[0], *(member(b"%d" % at) for at in range(count - 2))]) + END


def tarsum_digest(block: bytes) -> str:
    text = b"namefmode420uid0gid0size3mtime1400000000typeflag0linknameunamegnamedevmajor0devminor0"
    return hashlib.sha256(text + block[512:515]).hexdigest()


def test_long_archive_is_sorted_as_without_duplicates() -> None:
    # The two keep their order at the bound, but not one member beyond.
    at_the_bound, beyond = duplicates_with(INSERTION_SORT_LIMIT), duplicates_with(INSERTION_SORT_LIMIT + 1)
    assert tarsum(io.BytesIO(at_the_bound)) != tarsum(io.BytesIO(at_the_bound), duplicates="all")
    assert tarsum(io.BytesIO(beyond)) == tarsum(io.BytesIO(beyond), duplicates="all")


# -- docker-registry


@pytest.mark.parametrize(
    "name", ["dir_noslash", "v7_dir", "file_with_dev_numbers", "pax_mtime_fraction", "dup_two"]
)
def test_sums_of_docker_registry_are_accepted_last(name: str) -> None:
    layer, prefix = layer_of(VECTORS[name])
    opener = Opener(layer)
    assert verify_tarsum(VECTORS[name]["legacy_python_registry"]["tarsum"], opener, prefix)
    assert opener.all_closed


@pytest.mark.parametrize("name", ["hardlink_with_size", "layer_xz"])
def test_partial_sum_of_docker_registry_is_not_accepted(name: str) -> None:
    layer, prefix = layer_of(VECTORS[name])
    legacy = legacy_tarsum(io.BytesIO(layer), prefix=prefix)
    assert legacy.text == VECTORS[name]["legacy_python_registry"]["tarsum"]
    assert not legacy.is_complete
    assert legacy.text is not None
    assert not verify_tarsum(legacy.text, lambda: io.BytesIO(layer), prefix)


def test_docker_registry_has_no_sum_for_pax_that_is_not_utf_8() -> None:
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
def test_headers_are_summed_as_docker_registry_read_them(layer: bytes, header_text: bytes) -> None:
    digest = hashlib.sha256(header_text + b"linknameunamegnamedevmajor0devminor0").hexdigest()
    assert legacy_tarsum(io.BytesIO(layer + END)) == LegacyTarSum(sum_of([digest]), True)


def test_doctests_of_the_module_pass() -> None:
    # The module and its function have the same name, so an attribute of the package could be either.
    result = doctest.testmod(importlib.import_module("v1registry.layers.tarsum"))
    assert result.attempted
    assert not result.failed


# -- limits and damaged layers


def test_layer_expands_to_the_limit_and_no_further() -> None:
    layer = gzip.compress(member(content=bytes(5000)) + END)
    expanded_bytes = len(gzip.decompress(layer))
    right = tarsum(io.BytesIO(layer), limit_bytes=expanded_bytes)
    assert verify_tarsum(right, lambda: io.BytesIO(layer), b"", limit_bytes=expanded_bytes)
    for compute in (tarsum, legacy_tarsum):
        with pytest.raises(ExpansionLimitExceeded):
            compute(io.BytesIO(layer), limit_bytes=expanded_bytes - 2000)
    with pytest.raises(ExpansionLimitExceeded):
        verify_tarsum(right, lambda: io.BytesIO(layer), b"", limit_bytes=expanded_bytes - 1)


def test_holes_count_towards_the_limit() -> None:
    records = [(b"GNU.sparse.size", b"%d" % (1 << 62)), (b"GNU.sparse.numblocks", b"0")]
    layer = gzip.compress(pax(*records) + member() + END)
    with pytest.raises(ExpansionLimitExceeded):
        verify_tarsum(f"tarsum+sha256:{NOTHING}", lambda: io.BytesIO(layer), b"", limit_bytes=3_000_000)


def test_number_of_members_is_limited() -> None:
    layer = b"".join(member(b"%d" % at) for at in range(10)) + END
    assert tarsum(io.BytesIO(layer), limit_records=10) == tarsum(io.BytesIO(layer))
    for compute in (tarsum, legacy_tarsum):
        with pytest.raises(ExpansionLimitExceeded, match="9 tar headers"):
            compute(io.BytesIO(layer), limit_records=9)
    with pytest.raises(ExpansionLimitExceeded, match="9 tar headers"):
        verify_tarsum(f"tarsum+sha256:{NOTHING}", lambda: io.BytesIO(layer), b"", limit_records=9)
    assert RECORDS_LIMIT == 1_000_000


def test_incomplete_compression_behind_the_archive_has_no_sum() -> None:
    layer = gzip.compress(member(content=b"content") + END)
    right = tarsum(io.BytesIO(layer))
    for length in (len(layer) - 1, len(layer) - 8):
        with pytest.raises(UnreadableLayer, match="in the middle"):
            verify_tarsum(right, lambda length=length: io.BytesIO(layer[:length]), b"")  # type: ignore[misc]


def test_exception_of_the_stream_passes_through_and_closes_it() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise TimeoutError("no answer")

    stream = Failing()
    with pytest.raises(TimeoutError):
        verify_tarsum(f"tarsum+sha256:{NOTHING}", lambda: stream, b"")
    assert stream.closed


def test_padded_text_and_a_single_header_are_unreadable() -> None:
    with pytest.raises(UnreadableLayer):
        tarsum(io.BytesIO(padded(b"#!/bin/sh")))
    with pytest.raises(UnreadableLayer):
        tarsum(io.BytesIO(header(size=1)))
