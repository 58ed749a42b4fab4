"""The compression in which layers of an archive are sent."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from support.archives import Watch, make_layer, make_manifest_archive
from support.scripted import Script

from v1registry.archives.convert import V1Document
from v1registry.client import Client

LAYER = make_layer("a", 50_000)


def push(path: Path, stored: bytes, client: Client, reference: str) -> V1Document:
    """Push an archive with one layer. Return the image."""
    (document,) = make_manifest_archive(path, [LAYER], stored=[stored])
    client.push(path, reference)
    return document


def test_layer_of_zstd_is_sent_as_gzip(
    connect: Callable[..., Client], reference: str, script: Script, tmp_path: Path
) -> None:
    watch, packed = Watch(), zstandard.compress(LAYER)
    document = push(tmp_path / "image.tar", packed, connect(progress=watch), reference)
    stored, _ = script.storage.read(f"images/{document.image_id}/layer")
    assert gzip.decompress(stored) == LAYER
    assert [task.done_bytes for task in watch.tasks] == [len(packed)]


def test_layers_of_zstd_and_plain_ones_make_the_same_bytes(
    client: Client, reference: str, tmp_path: Path, script: Script
) -> None:
    push(tmp_path / "plain.tar", LAYER, client, reference)
    (document,) = make_manifest_archive(tmp_path / "zstd.tar", [LAYER], stored=[zstandard.compress(LAYER)])

    assert client.push(tmp_path / "zstd.tar", reference).skipped == (document.image_id,)
    assert not script.requests("GET", ".*/layer")


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressions_that_engines_read_are_kept(
    compress: Callable[[bytes], bytes], client: Client, reference: str, script: Script, tmp_path: Path
) -> None:
    packed = compress(LAYER)
    document = push(tmp_path / "image.tar", packed, client, reference)
    assert script.storage.read(f"images/{document.image_id}/layer")[0] == packed
