"""TarSums that are computed while a layer arrives."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
from collections.abc import Callable, Iterator

import pytest
from support.recorded_pushes import Push, recorded_pushes
from support.tar_blocks import END, header, member

from v1registry.layers import streamed_tarsum
from v1registry.layers.streamed_tarsum import TarSumStreams
from v1registry.layers.tarsum import tarsum

ARCHIVE = member(b"a", b"first") + member(b"b", b"x" * 5000) + member(b"a", b"second") + END
PREFIX = b'{"id":"x"}'


def pieces(data: bytes, size: int = 700) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def sums_of(layer: bytes, size: int = 700, streams: TarSumStreams | None = None) -> tuple[str, ...] | None:
    """Return the TarSums of a layer that arrives in pieces."""
    with (streams or TarSumStreams()).open() as stream:
        assert stream is not None
        assert b"".join(stream.through(pieces(layer, size))) == layer
        right_sums = stream.right_sums()
        return None if right_sums is None else right_sums(PREFIX)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress])
@pytest.mark.parametrize("size", [1, 700, 1 << 20])
def test_sums_are_those_of_a_look(compress: Callable[[bytes], bytes], size: int) -> None:
    layer = compress(ARCHIVE)
    rules = ("position", "all", "last")
    looked = tuple(tarsum(io.BytesIO(layer), prefix=PREFIX, duplicates=rule) for rule in rules)  # type: ignore[arg-type]
    assert sums_of(layer, size) == looked


@pytest.mark.parametrize("push", recorded_pushes()[:8], ids=range(8))
def test_sums_of_recorded_pushes_are_right(push: Push) -> None:
    with TarSumStreams().open() as stream:
        assert stream is not None
        assert sum(map(len, stream.through(pieces(push.layer)))) == len(push.layer)
        right_sums = stream.right_sums()
    assert right_sums is not None
    assert push.tarsum in right_sums(push.image_json)


@pytest.mark.parametrize(
    "layer",
    [
        b"no archive" * 200,
        gzip.compress(ARCHIVE)[:-5],
        ARCHIVE[:-2000],
        lzma.compress(ARCHIVE),
        gzip.compress(header(size=8 << 20) + bytes(8 << 20) + END),
        bz2.compress(member() * 300_000),
    ],
    ids=["junk", "cut gzip", "cut tar", "xz", "zeros", "headers"],
)
def test_layer_that_needs_another_look_arrives_whole(layer: bytes) -> None:
    assert sums_of(layer) is None


def test_expansion_may_grow_with_what_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_tarsum, "_FREE_BYTES", 1000)
    contents = random.Random(1)
    data = b"".join(member(b"%d" % number, contents.randbytes(400)) for number in range(500)) + END
    assert sums_of(gzip.compress(data)) is not None
    monkeypatch.setattr(streamed_tarsum, "_RATIO", 1)
    assert sums_of(gzip.compress(data)) is None


def test_only_some_layers_have_a_stream() -> None:
    streams = TarSumStreams(most=1)
    with streams.open() as first, streams.open() as second:
        assert first is not None
        assert second is None
    assert sums_of(ARCHIVE, streams=streams) is not None


def test_failed_upload_ends_the_thread() -> None:
    def broken() -> Iterator[bytes]:
        yield ARCHIVE[:100]
        raise ConnectionError

    with pytest.raises(ConnectionError), TarSumStreams().open() as stream:
        assert stream is not None
        thread = stream._thread
        for _ in stream.through(broken()):
            pass
    thread.join(30)
    assert not thread.is_alive()


def test_pieces_that_nothing_reads_are_not_kept() -> None:
    with TarSumStreams().open() as stream:
        assert stream is not None
        arriving = stream.through(pieces(b"no archive" * 1000))
        next(arriving)
        stream._thread.join(30)
        assert sum(map(len, arriving)) > 9000
        assert not stream._pieces
        assert stream.right_sums() is None


def test_slow_reader_does_not_stop_the_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_tarsum, "_WAIT_S", 0)
    streams = TarSumStreams()
    with streams._work:
        assert sums_of(ARCHIVE, 100, streams) is None
