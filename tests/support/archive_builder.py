"""Save archives made by hand, in the forms of engines and skopeo, and malformed ones."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from v1registry.archives.convert import chain_ids
from v1registry.archives.load import ArchivedChain, ArchiveLimits, open_save_archive

ROOT, MIDDLE, TOP = ("a" * 64, "0" * 64, "f" * 64)


def layer_with(name: str, content: bytes = b"content") -> bytes:
    """Return a small tar with one file."""
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        return buffer.getvalue()


LAYERS = [layer_with("root"), layer_with("middle"), layer_with("top")]
DIFF_IDS = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in LAYERS]


def v1_json(image_id: str, parent_id: str | None = None, **more: object) -> bytes:
    parent = {"parent": parent_id} if parent_id else {}
    # With blanks and an unusual order, because the bytes must be kept.
    return json.dumps({"id": image_id, **parent, "docker_version": "1.9.1", **more}, indent=1).encode()


JSONS = {
    ROOT: v1_json(ROOT, created="2014-06-01T00:00:00Z"),
    MIDDLE: v1_json(MIDDLE, ROOT),
    TOP: v1_json(TOP, MIDDLE, created="2014-06-03T10:20:30.5Z", config={"Cmd": ["sh"]}),
}


@dataclass
class Archive:
    """A tar made member by member, in any order and with any content."""

    members: list[tuple[tarfile.TarInfo, bytes]] = field(default_factory=list)

    def file(self, name: str, data: bytes | object) -> Archive:
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        return self.member(name, tarfile.REGTYPE, content)

    def member(self, name: str, kind: bytes, data: bytes = b"", link: str = "") -> Archive:
        info = tarfile.TarInfo(name)
        info.type, info.size, info.linkname = kind, len(data), link
        self.members.append((info, data))
        return self

    def symlink(self, name: str, target: str) -> Archive:
        return self.member(name, tarfile.SYMTYPE, link=target)

    def bytes(self) -> bytes:
        with io.BytesIO() as buffer:
            with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
                for info, data in self.members:
                    archive.addfile(info, io.BytesIO(data))
            return buffer.getvalue()


def folder(archive: Archive, image_id: str, layer: bytes, prefix: str = "") -> Archive:
    archive.member(f"{prefix}{image_id}/", tarfile.DIRTYPE)
    archive.file(f"{prefix}{image_id}/VERSION", b"1.0")
    archive.file(f"{prefix}{image_id}/json", JSONS[image_id])
    return archive.file(f"{prefix}{image_id}/layer.tar", layer)


def old_archive(order: Iterable[str] = (ROOT, MIDDLE, TOP), prefix: str = "") -> Archive:
    archive = Archive()
    layers = dict(zip((ROOT, MIDDLE, TOP), LAYERS, strict=True))
    for image_id in order:
        folder(archive, image_id, layers[image_id], prefix)
    return archive


CONFIG = json.dumps(
    {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": DIFF_IDS}}
).encode()
CONFIG_HEX = hashlib.sha256(CONFIG).hexdigest()
EXPECTED_IDS = [chain_id.partition(":")[2] for chain_id in chain_ids(DIFF_IDS)[:2]] + [CONFIG_HEX]


def combined_archive() -> Archive:
    """Return an archive of docker 1.10 to 24: v1 folders with invented ids, and manifest.json."""
    archive = Archive()
    for image_id, layer in zip(("1" * 64, "2" * 64, "3" * 64), LAYERS, strict=True):
        archive.file(f"{image_id}/VERSION", b"1.0")
        archive.file(f"{image_id}/json", {"id": image_id})
        archive.file(f"{image_id}/layer.tar", layer)
    archive.file(f"{CONFIG_HEX}.json", CONFIG)
    layers = [f"{digit * 64}/layer.tar" for digit in "123"]
    names = ["localhost:5000/foo/bar:v1", "busybox:latest"]
    archive.file("manifest.json", [{"Config": f"{CONFIG_HEX}.json", "RepoTags": names, "Layers": layers}])
    return archive.file("repositories", {"busybox": {"latest": "3" * 64}})


def oci_archive(layers: Iterable[bytes] = tuple(LAYERS)) -> Archive:
    """Return an archive of docker 25 and later: blobs, and manifest.json beside the OCI index."""
    archive = Archive().member("blobs/", tarfile.DIRTYPE).member("blobs/sha256/", tarfile.DIRTYPE)
    paths = []
    for blob in layers:
        paths.append(f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}")
        archive.file(paths[-1], blob)
    archive.file(f"blobs/sha256/{CONFIG_HEX}", CONFIG)
    archive.file("index.json", {"schemaVersion": 2, "manifests": []})
    archive.file("oci-layout", {"imageLayoutVersion": "1.0.0"})
    entry = {"Config": f"blobs/sha256/{CONFIG_HEX}", "RepoTags": None, "Layers": paths}
    return archive.file("manifest.json", [entry])


def skopeo_archive() -> Archive:
    """Return an archive of skopeo: layers at the top, and folders with links to them, here in front."""
    archive = Archive()
    files = [f"{diff_id.partition(':')[2]}.tar" for diff_id in DIFF_IDS]
    for image_id, name in zip(EXPECTED_IDS, files, strict=True):
        archive.file(f"{image_id}/VERSION", b"1.0").file(f"{image_id}/json", {"id": image_id})
        archive.symlink(f"{image_id}/layer.tar", f"../{name}")
    for name, layer in zip(files, LAYERS, strict=True):
        archive.file(name, layer)
    archive.file(f"{CONFIG_HEX}.json", CONFIG)
    links = [f"{image_id}/layer.tar" for image_id in EXPECTED_IDS[:2]] + [files[2]]
    entry = {"Config": f"{CONFIG_HEX}.json", "RepoTags": ["docker.io/library/x:1"], "Layers": links}
    return archive.file("manifest.json", [entry])


def read_chains(path: Path, limits: ArchiveLimits | None = None) -> list[tuple[ArchivedChain, list[bytes]]]:
    """Open an archive, and read all its layers as stored."""
    chains = []
    with open_save_archive(path, limits=limits) as archive:
        for chain in archive.chains:
            layers = []
            for image in chain.images:
                with image.open_layer() as stream:
                    layers.append(b"".join(iter(lambda stream=stream: stream.read(1000), b"")))  # type: ignore[misc]
            chains.append((chain, layers))
    return chains


Load = Callable[..., list[tuple[ArchivedChain, list[bytes]]]]


def ids_of(chain: ArchivedChain) -> list[str]:
    return [image.image_id for image in chain.images]
