"""Save archives for the tests of the client."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from pathlib import Path

from v1registry.archives.convert import V1Document, chain_from_config
from v1registry.archives.images import ChainImage
from v1registry.archives.save import write_save_archive


def make_layer(name: str, size_bytes: int = 100) -> bytes:
    """Return a tar with one file of random bytes, the same in every run."""
    content = random.Random(name).randbytes(size_bytes)
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            info = tarfile.TarInfo(name)
            info.size = size_bytes
            archive.addfile(info, io.BytesIO(content))
        return buffer.getvalue()


def make_chain(count: int, *, size_bytes: int = 100, seed: str = "") -> list[tuple[ChainImage, bytes]]:
    """Return images root first, each with its layer."""
    chain: list[tuple[ChainImage, bytes]] = []
    for number in range(count):
        image_id = hashlib.sha256(f"{seed}{number}".encode()).hexdigest()
        document = {"id": image_id, "created": "2014-06-01T00:00:00Z", "os": "linux"}
        if chain:
            document["parent"] = chain[-1][0].image_id
        layer = make_layer(f"{seed}file-{number}", size_bytes)
        image = ChainImage(
            image_id, json.dumps(document, indent=1).encode(), lambda layer=layer: io.BytesIO(layer)
        )  # type: ignore[misc]
        chain.append((image, layer))
    return chain


def make_archive(
    path: Path, count: int = 3, *, size_bytes: int = 100, name: str = "some/thing:1"
) -> list[str]:
    """Write an archive with one chain. Return its ids, root first."""
    images = [image for image, _ in make_chain(count, size_bytes=size_bytes)]
    with path.open("w+b") as file:
        write_save_archive(file, images, {name: images[-1].image_id})
    return [image.image_id for image in images]


def members(path: Path) -> dict[str, bytes]:
    """Return the files of an archive."""
    with tarfile.open(path) as archive:
        files = [info for info in archive if info.isreg()]
        return {info.name: archive.extractfile(info).read() for info in files}  # type: ignore[union-attr]


def layer_sums(path: Path) -> dict[str, str]:
    """Return image id to the SHA-256 of the uncompressed layer."""
    return {
        name.partition("/")[0]: hashlib.sha256(data).hexdigest()
        for name, data in members(path).items()
        if name.endswith("/layer.tar")
    }


class Watch:
    """Progress that records all transfers."""

    def __init__(self) -> None:
        self.tasks: list[WatchedTask] = []

    def start(self, label: str, total_bytes: int | None) -> WatchedTask:
        self.tasks.append(WatchedTask(label, total_bytes))
        return self.tasks[-1]


class WatchedTask:
    def __init__(self, label: str, total_bytes: int | None):
        self.label, self.total_bytes = label, total_bytes
        self.done_bytes, self.finishes = 0, 0

    def advance(self, size_bytes: int) -> None:
        assert not self.finishes, "the task is finished"
        self.done_bytes += size_bytes

    def finish(self) -> None:
        self.finishes += 1


def make_manifest_archive(
    path: Path,
    layers: list[bytes],
    *,
    name: str = "x:1",
    stored: list[bytes] | None = None,
    history: object = None,
) -> list[V1Document]:
    """Write an archive of today's engines. Return the images that an old engine would push, root first.

    :param stored: the layers as they are in the archive; ``layers`` if None.
    :param history: of the config; none if None.
    """
    plain = [gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer for layer in layers]
    diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in plain]
    document = {"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    config = json.dumps(document if history is None else document | {"history": history}).encode()
    files = {f"blobs/{number}": layer for number, layer in enumerate(stored or layers)}
    manifest = [{"Config": "blobs/config", "RepoTags": [name], "Layers": list(files)}]
    files |= {"blobs/config": config, "manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(path, "w") as archive:
        for member, data in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return list(chain_from_config(config))
