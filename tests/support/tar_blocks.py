"""Tar archives made block by block, in forms that the standard library does not write."""

from __future__ import annotations

USTAR = b"ustar\x0000"
GNU = b"ustar  \0"
STAR_TAIL = b"tar\0"
END = bytes(1024)


def octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)


def header(
    name: bytes = b"f",
    *,
    mode: int | bytes = 0o644,
    uid: int | bytes = 0,
    gid: int | bytes = 0,
    size: int | bytes = 0,
    mtime: int | bytes = 1400000000,
    typeflag: bytes = b"0",
    linkname: bytes = b"",
    magic: bytes = USTAR,
    uname: bytes = b"",
    gname: bytes = b"",
    devmajor: int | bytes = b"",
    devminor: int | bytes = b"",
    rest: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """Return a header. Numbers become octal, bytes are unchanged. ``rest`` begins with the prefix field."""

    def field(value: int | bytes, width: int) -> bytes:
        text = octal(value, width) if isinstance(value, int) else value.ljust(width, b"\0")
        assert len(text) == width, (value, width)
        return text

    before = (
        field(name, 100) + field(mode, 8) + field(uid, 8) + field(gid, 8) + field(size, 12) + field(mtime, 12)
    )
    after = typeflag + field(linkname, 100) + field(magic, 8) + field(uname, 32) + field(gname, 32)
    after += field(devmajor, 8) + field(devminor, 8) + field(rest, 167)
    if checksum is None:
        checksum = octal(sum(before) + 8 * 32 + sum(after), 7) + b" "
    return before + checksum + after


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def member(name: bytes = b"f", content: bytes = b"", **fields: int | bytes) -> bytes:
    fields.setdefault("size", len(content))
    return header(name, **fields) + padded(content)  # type: ignore[arg-type]


def record(key: bytes, value: bytes) -> bytes:
    """Return a PAX record, whose length includes its own digits."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length += 1
    return b"%d" % length + body


def pax(*records: tuple[bytes, bytes]) -> bytes:
    return member(b"PaxHeaders/f", b"".join(record(key, value) for key, value in records), typeflag=b"x")


class Dribble:
    """A stream that returns its bytes in pieces of the given sizes, which it repeats."""

    def __init__(self, data: bytes, sizes: tuple[int, ...] = (1, 7, 500, 3)):
        self._data = data
        self._at = 0
        self._sizes = sizes
        self._turn = 0

    def read(self, size: int, /) -> bytes:
        size = min(size, self._sizes[self._turn % len(self._sizes)])
        self._turn += 1
        chunk = self._data[self._at : self._at + size]
        self._at += len(chunk)
        return chunk
