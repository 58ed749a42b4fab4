"""Layers are stored as they came, plain or compressed: tell which, and read them expanded, a piece at a time.

What a stranger compressed may expand to anything, so everything here is bounded: the pieces, the memory of the
decompressors, and, where the caller says so, the sum of what comes out.

Source of the formats that a v1 registry meets: registry.md 4.3 and engine-formats.md 1.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

Compression: TypeAlias = Literal["plain", "gzip", "bzip2", "xz", "zstd"]

#: Size of the pieces in which streams are read, in bytes.
CHUNK_BYTES: Final = 128 * 1024

#: What a decompressor may take for itself, in bytes: enough for ``xz -9`` (65 MiB) and ``zstd --ultra -22`` (128 MiB).
DECOMPRESSOR_MEMORY_BYTES: Final = 128 * 1024 * 1024

#: How many compressed streams one layer may be made of. Some tools make one of every file; an empty one of 14 bytes
#: takes as long as some kilobytes of content.
STREAMS_LIMIT: Final = 1_000_000

# "BZh" alone could begin the first name in a plain tar; no name goes on with the mark of a block or of the end.
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_LONGEST_MAGIC_BYTES = 10

# A zstd block of 4 bytes can stand for 128 KiB: this much input never makes more than 16 MiB at once.
_ZSTD_SLICE_BYTES = 512


class UnreadableLayer(ValueError):
    """The layer's bytes are not what they should be: broken, cut off, no archive, or more than is read here."""


class LayerTooLarge(UnreadableLayer):
    """The layer holds more than a limit allows; reading stopped there."""


class UnsupportedCompression(UnreadableLayer):
    """The layer's compression is known, but the module that reads it is missing. The text says what to install."""


class Readable(Protocol):
    """What every layer is read from: a file, a Blob, the body of a request."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, at least one before the end, ``b""`` at the end."""


class _Decoder(Protocol):
    """A decompressor of one stream, as in the modules bz2 and lzma."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Format(NamedTuple):
    new_decoder: Callable[[], _Decoder]
    errors: tuple[type[Exception], ...]  #: what the decoder raises for data that it cannot read


class ExpandedLayer:
    """A layer without its compression, read from its start to its end. Made by :func:`open_decompressed`.

    It reads ahead from the stream below and does not close it. One thread at a time.
    """

    def __init__(self, source: Readable, compression: Compression, limit_bytes: int | None):
        self.compression: Final = compression
        self._source = source
        self._limit_bytes = limit_bytes
        self._given_bytes = 0

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, at least one before the end, ``b""`` at the end.

        :param size: at least 1; there is no way to ask for everything at once.
        :raises UnreadableLayer: the data is broken or ends too early.
        :raises LayerTooLarge: more than ``limit_bytes`` came out, or more than STREAMS_LIMIT streams follow each
            other; reading again raises it again.
        """
        if size < 1:
            raise ValueError(f"a layer is read in pieces of at least one byte, not of {size}")
        if self._limit_bytes is not None:
            # One byte beyond the limit is enough to know that there is more.
            size = min(size, max(self._limit_bytes - self._given_bytes, 0) + 1)
        chunk = self._source.read(size)
        self._given_bytes += len(chunk)
        if self._limit_bytes is not None and self._given_bytes > self._limit_bytes:
            raise LayerTooLarge(f"the layer expands to more than the {self._limit_bytes} bytes that are read")
        return chunk


def compression_of(head: bytes) -> Compression:
    """Tell how a layer is compressed from its first bytes; ten are enough.

    Names and media types are not asked. Anything unknown, and nothing at all, is plain.

    >>> compression_of(b"\\x1f\\x8b\\x08\\x00"), compression_of(b"")
    ('gzip', 'plain')
    """
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    if _BZIP2.match(head):
        return "bzip2"
    return "plain"


def open_decompressed(stream: Readable, *, limit_bytes: int | None = None) -> ExpandedLayer:
    """Return the expanded bytes of a layer as a stream; ``.compression`` tells what it was.

    Several compressed streams one after the other are one, and zero bytes between and behind them are skipped,
    as gzip, bzip2 and xz themselves do it. A plain layer, an empty one too, is given as it is.

    :param stream: read in pieces from where it stands; not closed.
    :param limit_bytes: how many expanded bytes are given before LayerTooLarge; None for no limit.
    :raises UnsupportedCompression: nothing is installed that reads it.
    :raises OSError: whatever ``stream.read`` raises, here and later.
    """
    head = b""
    while len(head) < _LONGEST_MAGIC_BYTES and (chunk := stream.read(CHUNK_BYTES)):
        head += chunk
    compression = compression_of(head)
    source: Readable = _Pushed(head, stream)
    if compression != "plain":
        source = _Streams(source, compression, _FORMATS[compression]())
    return ExpandedLayer(source, compression, limit_bytes)


class _Pushed:
    """A stream with some bytes put back in front of it."""

    def __init__(self, head: bytes, stream: Readable):
        self._head = head
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        if not self._head:
            return self._stream.read(size)
        chunk, self._head = self._head[:size], self._head[size:]
        return chunk


class _Streams:
    """What one compressed stream after the other expands to, as one."""

    def __init__(self, source: Readable, compression: Compression, format_: _Format):
        self._source = source
        self._compression = compression
        self._new_decoder, self._errors = format_
        self._decoder: _Decoder | None = None  # None between two streams
        self._pending = b""  # read, and not yet given to a decoder
        self._streams = 0

    def read(self, size: int, /) -> bytes:
        while decoder := self._decoder or self._next_decoder():
            data, may_be_the_end = b"", decoder.needs_input
            if may_be_the_end:
                data, self._pending = self._pending or self._source.read(CHUNK_BYTES), b""
            try:
                chunk = decoder.decompress(data, size)
            except self._errors as error:
                raise UnreadableLayer(f"the layer is broken {self._compression}: {error}") from error
            if decoder.eof:
                self._pending, self._decoder = decoder.unused_data, None
            if chunk:
                return chunk
            if self._decoder and may_be_the_end and not data:
                raise UnreadableLayer(f"the layer ends in the middle of its {self._compression} data")
        return b""

    def _next_decoder(self) -> _Decoder | None:
        """Begin the stream that follows the zero bytes here; None if nothing follows."""
        while not (data := self._pending.lstrip(b"\0")):
            self._pending = self._source.read(CHUNK_BYTES)
            if not self._pending:
                return None
        self._streams += 1
        if self._streams > STREAMS_LIMIT:
            raise LayerTooLarge(f"the layer is made of more than {STREAMS_LIMIT} compressed streams")
        self._pending = data
        self._decoder = self._new_decoder()
        return self._decoder


class _GzipDecoder:
    """A decompressor of zlib with the manners of bz2's and lzma's."""

    needs_input = True

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)  # gzip only, with its sum and length checked
        self._tail = b""

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        chunk = self._zlib.decompress(self._tail or data, max_length)
        self._tail = self._zlib.unconsumed_tail
        self.needs_input = not self._tail
        return chunk


class _ZstandardDecoder:
    """A decompressor of the package zstandard with the manners of bz2's and lzma's.

    Its own stream reader takes a frame that was cut off for a whole one, and its other one gives all that comes
    out at once; so it is fed in slices, and what comes out is kept until it is asked for.
    """

    def __init__(self, zstandard: Any):
        # A fresh one for each frame: after an error the next one must not depend on it.
        decompressor = zstandard.ZstdDecompressor(max_window_size=DECOMPRESSOR_MEMORY_BYTES)
        self._frame = decompressor.decompressobj()
        self._input, self._input_at = b"", 0
        self._output, self._output_at = b"", 0

    @property
    def needs_input(self) -> bool:
        return self._input_at == len(self._input) and self._output_at == len(self._output)

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof) and self._output_at == len(self._output)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._frame.unused_data) + self._input[self._input_at :]

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        if data:
            self._input, self._input_at = data, 0
        while (
            self._output_at == len(self._output) and self._input_at < len(self._input) and not self._frame.eof
        ):
            slice_ = self._input[self._input_at : self._input_at + _ZSTD_SLICE_BYTES]
            self._input_at += len(slice_)
            self._output, self._output_at = self._frame.decompress(slice_), 0
        chunk = self._output[self._output_at : self._output_at + max_length]
        self._output_at += len(chunk)
        return chunk


def _gzip() -> _Format:
    return _Format(_GzipDecoder, (zlib.error,))


def _bzip2() -> _Format:
    bz2 = _import("bz2", "bzip2", "a Python that was built with it")
    return _Format(bz2.BZ2Decompressor, (OSError, ValueError))


def _xz() -> _Format:
    lzma = _import("lzma", "xz", "a Python that was built with it")
    return _Format(
        lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=DECOMPRESSOR_MEMORY_BYTES),
        (lzma.LZMAError,),
    )


def _zstd() -> _Format:
    try:
        zstd: Any = import_module("compression.zstd")  # Python 3.14 and later
    except ImportError:
        zstandard = _import("zstandard", "zstd", "pip install 'v1registry[zstd]'")
        return _Format(lambda: _ZstandardDecoder(zstandard), (zstandard.ZstdError,))
    options = {zstd.DecompressionParameter.window_log_max: DECOMPRESSOR_MEMORY_BYTES.bit_length() - 1}
    return _Format(lambda: zstd.ZstdDecompressor(options=options), (zstd.ZstdError,))


def _import(module: str, compression: Compression, remedy: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise UnsupportedCompression(f"layers in {compression} need the module {module}: {remedy}") from error


_FORMATS: Final[dict[Compression, Callable[[], _Format]]] = {
    "gzip": _gzip,
    "bzip2": _bzip2,
    "xz": _xz,
    "zstd": _zstd,
}
