"""TarSum: a checksum of what is in a tar archive, whatever its order, its padding and its compression.

Every engine that pushes to a v1 registry sends version 0 as ``X-Docker-Checksum``; for those before 0.10 it is the
only sum that can be checked. Source: moby v0.6.0 to v1.6.2, ``utils/tarsum.go`` and ``pkg/tarsum/``; registry.md 7.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from .archive import ArchiveReader, Entry, open_archive
from .checksums import equal_sums
from .compression import CHUNK_BYTES, LayerTooLarge, Readable, UnreadableLayer, open_decompressed

Version: TypeAlias = Literal["tarsum", "tarsum.v1", "tarsum.dev"]
Algorithm: TypeAlias = Literal["sha256", "sha512"]

#: What becomes of entries with the same path. ``position``: they keep their order among each other (docker 1.3 and
#: later). ``all``: they are sorted like any other (docker up to 0.7.2). ``last``: only the last counts (0.7.3 to 1.2).
DuplicateRule: TypeAlias = Literal["position", "all", "last"]

#: The most entries of an archive that are summed up; some 150 bytes are remembered of each.
ENTRIES_LIMIT: Final = 1_000_000

#: Longer archives with duplicate paths are sorted as if they had none. Beyond 12 entries the engines' result is that of
#: their Go version's sort anyway (registry.md 7.3), and a long list would make the insertion sort a way to stall us.
INSERTION_SORT_LIMIT: Final = 1000

_ANNOUNCED = re.compile(r"(tarsum|tarsum\.v1|tarsum\.dev)\+(sha256|sha512):[0-9a-f]+")
_ALGORITHMS: Final = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}
_HEADER: Final = b"name%bmode%duid%dgid%dsize%d%btypeflag%blinkname%buname%bgname%bdevmajor%ddevminor%d"


def tarsum(
    layer: Readable,
    *,
    prefix: bytes = b"",
    version: Version = "tarsum",
    algorithm: Algorithm = "sha256",
    duplicates: DuplicateRule = "position",
    limit_bytes: int | None = None,
    limit_entries: int = ENTRIES_LIMIT,
) -> str:
    """Return the TarSum of a layer, ``VERSION+ALGORITHM:`` and hex digits.

    :param layer: plain or compressed; read from where it stands to its end, also behind the end of the archive, so
        that a compression that was cut off there is noticed; not closed.
    :param prefix: the bytes that are summed up first: the image's JSON where the sum is an image's.
    :param limit_bytes: the most that the layer may expand to, the holes of sparse files included.
    :raises UnreadableLayer: the layer is no archive, broken or cut off: there is no sum. UnsupportedCompression,
        where it cannot be read here, and LayerTooLarge, where a limit is reached, are of this kind too.
    :raises OSError: whatever ``layer.read`` raises.
    """
    return _read_sums(layer, version, algorithm, limit_bytes, limit_entries).text(prefix, duplicates)


def verify_tarsum(
    announced: str,
    open_layer: Callable[[], AbstractContextManager[Readable]],
    prefix: bytes,
    *,
    limit_bytes: int | None = None,
    limit_entries: int = ENTRIES_LIMIT,
) -> bool:
    """Tell whether ``announced`` is a TarSum of the layer, by the rules of any engine or of the old Python server.

    The rules of docker 1.3, 0.6 and 0.7.3 are tried in this order, then those of docker-registry up to 0.9.0, as far
    as they cover the whole layer (registry.md 6.3 and 7.6). Other versions and algorithms are never right.

    :param announced: what a client sent; any text.
    :param open_layer: opens the layer at its start; called once or twice, and what it returns is closed.
    :param prefix: the image's JSON, byte for byte.
    :raises UnreadableLayer, OSError: as :func:`tarsum`.
    """
    match = _ANNOUNCED.fullmatch(announced)
    if match is None:
        return False
    version, algorithm = cast(Version, match[1]), cast(Algorithm, match[2])
    with open_layer() as layer:
        sums = _read_sums(layer, version, algorithm, limit_bytes, limit_entries)
    rules: tuple[DuplicateRule, ...] = ("position", "all", "last") if sums.has_duplicates() else ("position",)
    if any(equal_sums(announced, sums.text(prefix, rule)) for rule in rules):
        return True
    if (version, algorithm) != ("tarsum", "sha256"):
        return False
    with open_layer() as layer:
        legacy = legacy_tarsum(layer, prefix=prefix, limit_bytes=limit_bytes, limit_entries=limit_entries)
    return legacy.text is not None and legacy.is_complete and equal_sums(announced, legacy.text)


class _Sums:
    """The digests of an archive's entries, from which its TarSums follow."""

    def __init__(self, version: Version, algorithm: Algorithm, limit_entries: int):
        if version not in ("tarsum", "tarsum.v1", "tarsum.dev") or algorithm not in _ALGORITHMS:
            raise ValueError(f"there is no TarSum {version}+{algorithm}")
        self._label = f"{version}+{algorithm}:"
        self._new_digest = _ALGORITHMS[algorithm]
        self._limit_entries = limit_entries
        self._digests: list[bytes] = []
        self._paths: list[int] = []  # hashes: a name can be long, and is only compared with others

    def add(self, entry: Entry, header: bytes, *, has_content: bool) -> None:
        if len(self._digests) >= self._limit_entries:
            raise LayerTooLarge(
                f"the layer has more than the {self._limit_entries} entries that are summed up"
            )
        digest = self._new_digest(header)
        if has_content:
            while chunk := entry.read(CHUNK_BYTES):
                digest.update(chunk)
        self._digests.append(digest.digest())
        self._paths.append(hash(entry.name.removeprefix(b"./").removesuffix(b"/")))

    def text(self, prefix: bytes, duplicates: DuplicateRule) -> str:
        # Raw digests have the order of their hex forms.
        if duplicates == "last":
            ordered = sorted(dict(zip(self._paths, self._digests, strict=True)).values())
        elif (
            duplicates == "position" and self.has_duplicates() and len(self._digests) <= INSERTION_SORT_LIMIT
        ):
            ordered = self._insertion_sorted()
        else:
            ordered = sorted(self._digests)
        digest = self._new_digest(prefix)
        for entry_digest in ordered:
            digest.update(entry_digest.hex().encode("ascii"))
        return self._label + digest.hexdigest()

    def has_duplicates(self) -> bool:
        return len(set(self._paths)) < len(self._paths)

    def _insertion_sorted(self) -> list[bytes]:
        """Sort by digest, but leave entries of one path in their order.

        That is no order in which everything has its place, so the way of sorting counts: from the left, each entry
        is moved to the left while it is less than its neighbour (Go's sort for short lists; registry.md 7.3).
        """
        ordered: list[tuple[int, bytes]] = []
        for path, digest in zip(self._paths, self._digests, strict=True):
            at = len(ordered)
            while at and ordered[at - 1][0] != path and digest < ordered[at - 1][1]:
                at -= 1
            ordered.insert(at, (path, digest))
        return [digest for _, digest in ordered]


def _read_sums(
    layer: Readable, version: Version, algorithm: Algorithm, limit_bytes: int | None, limit_entries: int
) -> _Sums:
    sums = _Sums(version, algorithm, limit_entries)
    has_mtime = version == "tarsum"
    archive = open_archive(layer, limit_bytes=limit_bytes)
    for entry in archive:
        header = _HEADER % (
            entry.name,
            entry.mode,
            entry.uid,
            entry.gid,
            entry.size,
            b"mtime%d" % entry.mtime if has_mtime else b"",
            entry.typeflag,
            entry.linkname,
            entry.uname,
            entry.gname,
            entry.devmajor,
            entry.devminor,
        )
        if entry.pax and not has_mtime:
            header += b"".join(key + value for key, value in entry.xattrs())
        sums.add(entry, header, has_content=entry.size > 0)
    archive.drain()
    return sums


class LegacyTarSum(NamedTuple):
    """What the old Python server made of a layer."""

    text: str | None  #: None where it failed altogether
    is_complete: bool  #: False where it stopped early, and the sum covers a part of the layer only


def legacy_tarsum(
    layer: Readable,
    *,
    prefix: bytes = b"",
    limit_bytes: int | None = None,
    limit_entries: int = ENTRIES_LIMIT,
) -> LegacyTarSum:
    """Return version 0 as docker-registry up to 0.9.0 computed it with Python 2's tarfile.

    Where that could not read on, the sum covers what came before. Source: docker-registry 0.6.9
    ``lib/checksums.py`` and ``images.py``, run over vectors/tarsum.json; the rules are those of registry.md 7.6.

    :raises LayerTooLarge, UnsupportedCompression, OSError: as :func:`tarsum`.
    """
    sums = _Sums("tarsum", "sha256", limit_entries)
    is_complete = True
    expanded = open_decompressed(layer, limit_bytes=limit_bytes)
    try:
        if expanded.compression in ("xz", "zstd"):
            raise UnreadableLayer("Python 2 does not know this compression")
        for entry in ArchiveReader(expanded, limit_bytes=limit_bytes, expand_pax_sparse=False):
            if entry.typeflag == b"g":
                continue
            if entry.size and entry.typeflag in (b"1", b"2"):
                raise UnreadableLayer("the content of links was refused")
            sums.add(
                entry, _legacy_header(entry), has_content=entry.size > 0 and entry.typeflag not in b"3456"
            )
    except LayerTooLarge:
        raise
    except UnicodeDecodeError:
        return LegacyTarSum(None, is_complete=False)
    except UnreadableLayer:
        is_complete = False
    return LegacyTarSum(sums.text(prefix, "all"), is_complete)


def _legacy_header(entry: Entry) -> bytes:
    """Raise UnicodeDecodeError for PAX records that are not UTF-8, as it happened there, and UnreadableLayer."""
    name, typeflag, mtime = entry.name, entry.typeflag, b"%d" % entry.mtime
    if typeflag == b"\0" and entry.header[:100].partition(b"\0")[0].endswith(b"/"):
        typeflag = b"5"
    if entry.pax:
        for key, value in entry.pax.items():
            key.decode("utf-8")
            value.decode("utf-8")
        if b"path" in entry.pax:
            name = name.rstrip(b"/")
        if b"mtime" in entry.pax:
            mtime = _float_of_python_2(entry.pax[b"mtime"])
    if typeflag == b"5":
        name = name.rstrip(b"/") + b"/"
    devmajor, devminor = entry.stored_device()
    # fmt: off
    return _HEADER % (
        name, entry.mode, entry.uid, entry.gid, entry.size, b"mtime" + mtime, typeflag,
        entry.linkname, entry.uname, entry.gname, devmajor, devminor,
    )
    # fmt: on


def _float_of_python_2(text: bytes) -> bytes:
    """Return a number as Python 2 printed it: a float of 12 digits.

    >>> _float_of_python_2(b"1400000001.987"), _float_of_python_2(b"1400000001"), _float_of_python_2(b"x")
    (b'1400000001.99', b'1400000001.0', b'0')
    """
    try:
        number = b"%.12g" % float(text)
    except ValueError:
        return b"0"
    return number if set(number) & set(b".en") else number + b".0"
