"""Layers in place of recorded ones of which only the digest was kept."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import struct
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RebuiltLayer:
    """A gzip-compressed archive of one file, of an exact size in bytes."""

    body: bytes
    archive: bytes
    content: bytes

    NAME = "data/random"
    MTIME = 1401703200

    @classmethod
    def of_size(cls, size: int, seed: str) -> RebuiltLayer:
        """Return the layer of ``size`` bytes (over 4096) for ``seed``: always the same one."""
        content = random.Random(seed).randbytes(size - 4096)
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            member = tarfile.TarInfo(cls.NAME)
            member.size, member.mode, member.mtime = len(content), 0o644, cls.MTIME
            archive.addfile(member, io.BytesIO(content))
        deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        deflated = deflater.compress(raw.getvalue()) + deflater.flush()
        trailer = struct.pack("<LL", zlib.crc32(raw.getvalue()), len(raw.getvalue()))
        # an extra field of the gzip header fills up the size (RFC 1952, 2.3)
        header = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff"
        extra = size - len(header) - 2 - len(deflated) - len(trailer)
        body = header + struct.pack("<H", extra) + bytes(extra) + deflated + trailer
        assert len(body) == size
        assert gzip.decompress(body) == raw.getvalue()
        return cls(body, raw.getvalue(), content)

    def tarsum(self, document: bytes) -> str:
        """Return the TarSum, version 0, with an image's JSON (registry.md 7.1, 7.2)."""
        entry = (
            f"name{self.NAME}mode{0o644}uid0gid0size{len(self.content)}mtime{self.MTIME}typeflag0"
            "linknameunamegnamedevmajor0devminor0"
        )
        digest = hashlib.sha256(entry.encode() + self.content).hexdigest()
        return f"tarsum+sha256:{hashlib.sha256(document + digest.encode()).hexdigest()}"

    def sum(self, document: bytes) -> str:
        """Return the payload checksum, with an image's JSON (registry.md 6.1)."""
        return "sha256:" + hashlib.sha256(document + b"\n" + self.body).hexdigest()

    def sum_of_archive(self) -> str:
        """Return what docker 0.9 sends instead: the digest of the uncompressed archive (registry.md 6.2)."""
        return "sha256:" + hashlib.sha256(self.archive).hexdigest()


def pieces(body: bytes, sizes: Sequence[int]) -> tuple[bytes, ...]:
    """Return a body cut into the sizes of the recorded chunks; the rest is the last piece."""
    parts, start = [], 0
    for size in (*sizes, len(body)):
        part = body[start : start + size]
        if part:
            parts.append(part)
        start += size
    return tuple(parts)
