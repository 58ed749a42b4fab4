"""Compression of layers: detect it, and read the expanded bytes in pieces.

Layers are stored as they were sent, and a hostile one can expand without end. So everything is bounded: the
pieces, the memory of the decompressors, and, with ``limit_bytes``, the expanded bytes.

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

#: The most memory of one decompressor, in bytes: enough for ``xz -9`` (65 MiB) and ``zstd --ultra -22`` (128
#: MiB).
DECOMPRESSOR_MEMORY_BYTES: Final = 128 * 1024 * 1024

#: The most compressed streams in one layer. Some tools make one for each file; an empty one of 14 bytes takes
#: as long as some kilobytes of content.
STREAMS_LIMIT: Final = 1_000_000

# "BZh" alone could begin the first name in a plain tar. No name continues with the mark of a block or end.
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_LONGEST_MAGIC_BYTES = 10

# A zstd block of 4 bytes can expand to 128 KiB, so this input never expands to more than 16 MiB at once.
_ZSTD_SLICE_BYTES = 512


class UnreadableLayer(ValueError):
    """The bytes are not a readable layer: damaged, incomplete, not an archive, or beyond a limit."""


class ExpansionLimitExceeded(UnreadableLayer):
    """The layer expands to more bytes, members or records than a limit allows; reading stopped there."""


class LookTooLong(ExpansionLimitExceeded):
    """Reading the layer took longer than a limit allows; it stopped there."""


class UnsupportedCompression(UnreadableLayer):
    """The module that reads the layer's compression is missing. The text says what to install."""


class Readable(Protocol):
    """A source of a layer: a file, a Blob, the body of a request."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, at least one before the end, ``b""`` at the end."""


class _Decoder(Protocol):
    """A decompressor of one stream, with the interface of the modules bz2 and lzma."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Format(NamedTuple):
    new_decoder: Callable[[], _Decoder]
    errors: tuple[type[Exception], ...]  #: which the decoder raises for invalid data


class ExpandedLayer:
    """The expanded bytes of a layer, from its start to its end. Made by :func:`open_decompressed`.

    It reads ahead from the stream below and does not close it. Not safe for threads.
    """

    def __init__(self, source: Readable, compression: Compression, limit_bytes: int | None):
        """:param limit_bytes: see :func:`open_decompressed`."""
        self.compression: Final = compression
        self._source = source
        self._limit_bytes = limit_bytes
        self._given_bytes = 0

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, at least one before the end, ``b""`` at the end.

        :param size: at least 1; a layer cannot be read whole.
        :raises UnreadableLayer: the data is invalid or ends too early.
        :raises ExpansionLimitExceeded: the layer expands to more than ``limit_bytes``, or has more than
            STREAMS_LIMIT streams; further calls raise it again.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1 byte, not {size}")
        if self._limit_bytes is not None:
            # One byte beyond the limit shows that there is more.
            size = min(size, max(self._limit_bytes - self._given_bytes, 0) + 1)
        chunk = self._source.read(size)
        self._given_bytes += len(chunk)
        if self._limit_bytes is not None and self._given_bytes > self._limit_bytes:
            raise ExpansionLimitExceeded(
                f"the layer expands to more than the limit of {self._limit_bytes} bytes"
            )
        return chunk


def compression_of(head: bytes) -> Compression:
    """Return the compression of a layer from its first bytes; ten are enough.

    Names and media types are ignored. Unknown and empty data is plain.

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


def go_on() -> None:
    """Let a look into a layer continue: the check of a look that may take any time."""


def open_decompressed(
    stream: Readable, *, limit_bytes: int | None = None, check: Callable[[], None] = go_on
) -> ExpandedLayer:
    """Return the expanded bytes of a layer as a stream; ``.compression`` names the compression.

    Several compressed streams in a row count as one. Zero bytes between and behind them are skipped, as gzip,
    bzip2 and xz do. A plain layer, also an empty one, is returned as it is.

    :param stream: read in pieces from its current position; not closed.
    :param limit_bytes: the most expanded bytes, beyond which ``read`` raises ExpansionLimitExceeded; None for
        no limit.
    :param check: called for each piece of compressed data. What it raises ends the read, because data can
        be long and expand to nothing.
    :raises UnsupportedCompression: the module for the compression is missing.
    :raises OSError: whatever ``stream.read`` raises, here and later.
    """
    head = b""
    while len(head) < _LONGEST_MAGIC_BYTES and (chunk := stream.read(CHUNK_BYTES)):
        head += chunk
    compression = compression_of(head)
    source: Readable = _Pushed(head, stream)
    if compression != "plain":
        source = _Streams(source, compression, _FORMATS[compression](), check)
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
    """The expanded bytes of several compressed streams in a row, as one stream."""

    def __init__(
        self, source: Readable, compression: Compression, format_: _Format, check: Callable[[], None]
    ):
        self._check = check
        self._source = source
        self._compression = compression
        self._new_decoder, self._errors = format_
        self._decoder: _Decoder | None = None  # None between two streams
        self._pending = b""  # read, and not yet given to a decoder
        self._streams = 0

    def read(self, size: int, /) -> bytes:
        while decoder := self._decoder or self._next_decoder():
            self._check()
            data, may_be_the_end = b"", decoder.needs_input
            if may_be_the_end:
                data, self._pending = self._pending or self._source.read(CHUNK_BYTES), b""
            try:
                chunk = decoder.decompress(data, size)
            except self._errors as error:
                raise UnreadableLayer(f"the layer is invalid {self._compression} data: {error}") from error
            if decoder.eof:
                self._pending, self._decoder = decoder.unused_data, None
            if chunk:
                return chunk
            if self._decoder and may_be_the_end and not data:
                raise UnreadableLayer(f"the layer ends in the middle of its {self._compression} data")
        return b""

    def _next_decoder(self) -> _Decoder | None:
        """Begin the stream that follows the zero bytes here; return None if nothing follows."""
        while not (data := self._pending.lstrip(b"\0")):
            self._pending = self._source.read(CHUNK_BYTES)
            if not self._pending:
                return None
        self._streams += 1
        if self._streams > STREAMS_LIMIT:
            raise ExpansionLimitExceeded(f"the layer has more than {STREAMS_LIMIT} compressed streams")
        self._pending = data
        self._decoder = self._new_decoder()
        return self._decoder


class _GzipDecoder:
    """A decompressor of zlib with the interface of bz2's and lzma's."""

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
    """A decompressor of the package zstandard with the interface of bz2's and lzma's.

    The package's stream reader accepts an incomplete frame, and its decompressor returns all output at once.
    So the input is passed in slices, and the output is kept until it is read.
    """

    def __init__(self, zstandard: Any):
        # A new one for each frame, so that no frame depends on an error in another.
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
        raise UnsupportedCompression(
            f"layers compressed with {compression} need the module {module}: {remedy}"
        ) from error


_FORMATS: Final[dict[Compression, Callable[[], _Format]]] = {
    "gzip": _gzip,
    "bzip2": _bzip2,
    "xz": _xz,
    "zstd": _zstd,
}
