"""TarSum: a checksum of the members of a tar archive that ignores their order, padding and compression.

Every engine that pushes to a v1 registry sends version 0 as ``X-Docker-Checksum``. Engines before 0.10 send
no other checksum that can be verified. Source: moby v0.6.0 to v1.6.2, ``utils/tarsum.go`` and
``pkg/tarsum/``; registry.md 7.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from .archive import RECORDS_LIMIT, ArchiveReader, Member, open_archive
from .checksums import equal_sums
from .compression import (
    CHUNK_BYTES,
    ExpansionLimitExceeded,
    Readable,
    UnreadableLayer,
    go_on,
    open_decompressed,
)

Version: TypeAlias = Literal["tarsum", "tarsum.v1", "tarsum.dev"]
Algorithm: TypeAlias = Literal["sha256", "sha512"]

#: How members with the same path are summed. ``position``: in their order (docker 1.3 and later). ``all``:
#: sorted like all others (docker up to 0.7.2). ``last``: only the last one counts (0.7.3 to 1.2).
DuplicateRule: TypeAlias = Literal["position", "all", "last"]

#: Gives the TarSums of a layer with an image's JSON, byte for byte.
RightSums: TypeAlias = Callable[[bytes], tuple[str, ...]]

#: Longer archives with duplicate paths are sorted as if they had none. Beyond 12 members the result of an
#: engine depends on its Go version (registry.md 7.3), and the insertion sort of a long list would occupy the
#: process.
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
    limit_records: int = RECORDS_LIMIT,
) -> str:
    """Return the TarSum of a layer, ``VERSION+ALGORITHM:`` and hex digits.

    :param layer: plain or compressed; read from its current position to its end, also behind the end of the
        archive, so that an incomplete compression is noticed; not closed.
    :param prefix: the bytes that are summed first: the JSON of an image.
    :param limit_bytes: the most bytes that the layer may expand to, the holes of sparse files included.
    :param limit_records: see :class:`~v1registry.layers.archive.ArchiveReader`. Each member takes some 40
        bytes of memory.
    :raises UnreadableLayer: the layer is not an archive, damaged or incomplete.
    :raises UnsupportedCompression: the module for the compression is missing.
    :raises ExpansionLimitExceeded: a limit is reached.
    :raises OSError: whatever ``layer.read`` raises.
    """
    archive = open_archive(layer, limit_bytes=limit_bytes, limit_records=limit_records)
    return _read_sums(archive, Label(version, algorithm)).text(prefix, duplicates)


class Label(NamedTuple):
    """What stands before the digits of a TarSum."""

    version: Version
    algorithm: Algorithm

    @classmethod
    def of(cls, announced: str) -> Label | None:
        """Return the label of a text that a client sent; None if it is no TarSum of a known kind.

        >>> Label.of("tarsum.v1+sha256:00")
        Label(version='tarsum.v1', algorithm='sha256')
        """
        match = _ANNOUNCED.fullmatch(announced)
        return None if match is None else cls(cast(Version, match[1]), cast(Algorithm, match[2]))


def verify_tarsum(
    announced: str,
    open_layer: Callable[[], AbstractContextManager[Readable]],
    prefix: bytes,
    *,
    limit_bytes: int | None = None,
    limit_records: int = RECORDS_LIMIT,
) -> bool:
    """Tell whether ``announced`` is one of the :func:`right_tarsums` of the layer.

    :param announced: any text that a client sent. Unknown versions and algorithms never match.
    :param open_layer: see :func:`right_tarsums`.
    :param prefix: the image's JSON, byte for byte.
    :param limit_bytes: see :func:`tarsum`.
    :param limit_records: see :func:`tarsum`.
    :raises UnreadableLayer: the layer is not an archive, damaged, incomplete or beyond a limit.
    :raises OSError: reading the layer failed.
    """
    label = Label.of(announced)
    if label is None:
        return False
    found = right_tarsums(label, open_layer, limit_bytes=limit_bytes, limit_records=limit_records)
    return any(equal_sums(announced, text) for right_sums in found for text in right_sums(prefix))


def right_tarsums(
    label: Label,
    open_layer: Callable[[], AbstractContextManager[Readable]],
    *,
    limit_bytes: int | None = None,
    limit_records: int = RECORDS_LIMIT,
    check: Callable[[], None] = go_on,
) -> Iterator[RightSums]:
    """Yield the TarSums of a layer by the rules of all engines, then those of docker-registry.

    The rules of docker 1.3, 0.6 and 0.7.3 come first, then those of docker-registry up to 0.9.0 if they cover
    the whole layer (registry.md 6.3 and 7.6). Each yield costs one pass over the layer.

    :param open_layer: opens the layer at its start; its result is closed.
    :param limit_bytes: see :func:`tarsum`.
    :param limit_records: see :func:`tarsum`.
    :param check: called for each piece of data. What it raises ends the pass.
    :raises UnreadableLayer: the layer is not an archive, damaged, incomplete or beyond a limit.
    :raises OSError: reading the layer failed.
    """
    with open_layer() as layer:
        archive = open_archive(layer, limit_bytes=limit_bytes, limit_records=limit_records, check=check)
        yield _read_sums(archive, label).texts
    if label == ("tarsum", "sha256"):
        with open_layer() as layer:
            sums, is_complete = _read_legacy_sums(
                layer, limit_bytes=limit_bytes, limit_records=limit_records, check=check
            )
        if sums is not None and is_complete:
            yield lambda prefix: (sums.text(prefix, "all"),)


def engine_tarsums(archive: ArchiveReader) -> RightSums:
    """Return the TarSums of version 0 by the rules of all engines.

    :param archive: it is read to its end, and so is the stream behind it.
    :raises UnreadableLayer: the layer is not an archive, damaged, incomplete or beyond a limit.
    """
    return _read_sums(archive, Label("tarsum", "sha256")).texts


class _Sums:
    """The digests of an archive's members, from which its TarSums are made."""

    def __init__(self, label: Label):
        version, algorithm = label
        if version not in ("tarsum", "tarsum.v1", "tarsum.dev") or algorithm not in _ALGORITHMS:
            raise ValueError(f"unknown TarSum {version}+{algorithm}")
        self._label = f"{version}+{algorithm}:"
        self._new_digest = _ALGORITHMS[algorithm]
        self._size = self._new_digest().digest_size
        # packed, because an archive may have a million members
        self._packed = bytearray()  # their digests, one after the other
        self._paths = array("q")  # hashes, because names can be long and are only compared

    def add(self, member: Member, header: bytes, *, has_content: bool) -> None:
        digest = self._new_digest(header)
        if has_content:
            while chunk := member.read(CHUNK_BYTES):
                digest.update(chunk)
        self._packed += digest.digest()
        self._paths.append(hash(member.name.removeprefix(b"./").removesuffix(b"/")))

    def text(self, prefix: bytes, duplicates: DuplicateRule) -> str:
        packed = bytes(self._packed)
        digests = [packed[at : at + self._size] for at in range(0, len(packed), self._size)]
        # Raw digests have the order of their hex forms.
        if duplicates == "last":
            ordered = sorted(dict(zip(self._paths, digests, strict=True)).values())
        elif duplicates == "position" and self.has_duplicates() and len(digests) <= INSERTION_SORT_LIMIT:
            ordered = self._insertion_sorted(digests)
        else:
            ordered = sorted(digests)
        digest = self._new_digest(prefix)
        for member_digest in ordered:
            digest.update(member_digest.hex().encode("ascii"))
        return self._label + digest.hexdigest()

    def texts(self, prefix: bytes) -> tuple[str, ...]:
        """Return the sums by the rules of all engines."""
        rules: tuple[DuplicateRule, ...] = (
            ("position", "all", "last") if self.has_duplicates() else ("position",)
        )
        return tuple(self.text(prefix, rule) for rule in rules)

    def has_duplicates(self) -> bool:
        return len(set(self._paths)) < len(self._paths)

    def _insertion_sorted(self, digests: list[bytes]) -> list[bytes]:
        """Sort by digest, but leave members of one path in their order.

        This is not a total order, so the result depends on the algorithm. From the left, each member is moved
        to the left while it is less than its neighbour (Go's sort for short lists; registry.md 7.3).
        """
        ordered: list[tuple[int, bytes]] = []
        for path, digest in zip(self._paths, digests, strict=True):
            at = len(ordered)
            while at and ordered[at - 1][0] != path and digest < ordered[at - 1][1]:
                at -= 1
            ordered.insert(at, (path, digest))
        return [digest for _, digest in ordered]


def _read_sums(archive: ArchiveReader, label: Label) -> _Sums:
    sums = _Sums(label)
    has_mtime = label.version == "tarsum"
    for member in archive:
        header = _HEADER % (
            member.name,
            member.mode,
            member.uid,
            member.gid,
            member.size,
            b"mtime%d" % member.mtime if has_mtime else b"",
            member.typeflag,
            member.linkname,
            member.uname,
            member.gname,
            member.devmajor,
            member.devminor,
        )
        if member.pax and not has_mtime:
            header += b"".join(key + value for key, value in member.xattrs())
        sums.add(member, header, has_content=member.size > 0)
    archive.drain()
    return sums


class LegacyTarSum(NamedTuple):
    """The TarSum of docker-registry up to 0.9.0."""

    text: str | None  #: None if it failed
    is_complete: bool  #: False if it stopped early, so that the sum covers only a part of the layer


def legacy_tarsum(
    layer: Readable,
    *,
    prefix: bytes = b"",
    limit_bytes: int | None = None,
    limit_records: int = RECORDS_LIMIT,
) -> LegacyTarSum:
    """Return version 0 as docker-registry up to 0.9.0 computed it with Python 2's tarfile.

    If tarfile could not read on, the sum covers the members before. Source: docker-registry 0.6.9
    ``lib/checksums.py`` and ``images.py``, run over tests/data/tarsum.json; the rules are those of
    registry.md 7.6.

    :param layer: see :func:`tarsum`.
    :param prefix: see :func:`tarsum`.
    :param limit_bytes: see :func:`tarsum`.
    :param limit_records: see :func:`tarsum`.
    :raises ExpansionLimitExceeded: a limit is reached.
    :raises UnsupportedCompression: the module for the compression is missing.
    :raises OSError: whatever ``layer.read`` raises.
    """
    sums, is_complete = _read_legacy_sums(layer, limit_bytes=limit_bytes, limit_records=limit_records)
    return LegacyTarSum(None if sums is None else sums.text(prefix, "all"), is_complete)


def _read_legacy_sums(
    layer: Readable,
    *,
    limit_bytes: int | None,
    limit_records: int,
    check: Callable[[], None] = go_on,
) -> tuple[_Sums | None, bool]:
    """Return the digests that docker-registry summed, and whether they cover the whole layer."""
    sums = _Sums(Label("tarsum", "sha256"))
    expanded = open_decompressed(layer, limit_bytes=limit_bytes, check=check)
    try:
        if expanded.compression in ("xz", "zstd"):
            raise UnreadableLayer("Python 2 cannot read this compression")
        archive = ArchiveReader(
            expanded,
            limit_bytes=limit_bytes,
            limit_records=limit_records,
            check=check,
            expand_pax_sparse=False,
        )
        for member in archive:
            if member.typeflag == b"g":
                continue
            if member.size and member.typeflag in (b"1", b"2"):
                raise UnreadableLayer("tarfile refused links with content")
            has_content = member.size > 0 and member.typeflag not in b"3456"
            sums.add(member, _legacy_header(member), has_content=has_content)
    except ExpansionLimitExceeded:
        raise
    except UnicodeDecodeError:
        return None, False
    except UnreadableLayer:
        return sums, False
    return sums, True


def _legacy_header(member: Member) -> bytes:
    """Return the header that is summed.

    :raises UnicodeDecodeError: a PAX record is not UTF-8; docker-registry failed there too.
    :raises UnreadableLayer: a device number is invalid.
    """
    name, typeflag, mtime = member.name, member.typeflag, b"%d" % member.mtime
    if typeflag == b"\0" and member.block[:100].partition(b"\0")[0].endswith(b"/"):
        typeflag = b"5"
    if member.pax:
        for key, value in member.pax.items():
            key.decode("utf-8")
            value.decode("utf-8")
        if b"path" in member.pax:
            name = name.rstrip(b"/")
        if b"mtime" in member.pax:
            mtime = _float_of_python_2(member.pax[b"mtime"])
    if typeflag == b"5":
        name = name.rstrip(b"/") + b"/"
    devmajor, devminor = member.stored_device()
    # fmt: off
    return _HEADER % (
        name, member.mode, member.uid, member.gid, member.size, b"mtime" + mtime, typeflag,
        member.linkname, member.uname, member.gname, devmajor, devminor,
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
