"""Images in the form of ``docker save``, which real clients load and then push."""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile


def tar_of(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def image_of(name: str) -> str:
    """Return the name of the image in the store of a client. Each client has one of its own."""
    return f"v1.test/{name}:1"


def layers_in(name: str, *, random_bytes: int = 0) -> list[bytes]:
    """Return the layers of the image of a client, without compression.

    :param random_bytes: how many bytes each has besides, that no client can compress.
    """
    bulk = {"etc/bulk": random.Random(name).randbytes(random_bytes)} if random_bytes else {}
    return [tar_of({f"etc/{part}": f"{part} of {name}\n".encode() * 1000, **bulk}) for part in ("one", "two")]


def saved_image(name: str, *, random_bytes: int = 0) -> bytes:
    """Return an archive of ``docker save`` with the image of a client, which has two layers.

    :param random_bytes: see :func:`layers_in`.
    """
    layers = layers_in(name, random_bytes=random_bytes)
    config = json.dumps(
        {
            "architecture": "amd64",
            "config": {"Cmd": ["/etc/two"], "Labels": {"client": name}},
            "created": "2026-01-02T03:04:05Z",
            "history": [{"created": "2026-01-02T03:04:05Z", "created_by": f"layer {n}"} for n in (1, 2)],
            "os": "linux",
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers],
            },
        }
    ).encode()
    image_id = hashlib.sha256(config).hexdigest()
    files = [f"{number}.tar" for number in range(len(layers))]
    manifest = [{"Config": f"{image_id}.json", "RepoTags": [image_of(name)], "Layers": files}]
    return tar_of(
        {
            f"{image_id}.json": config,
            **dict(zip(files, layers, strict=True)),
            "manifest.json": json.dumps(manifest).encode(),
        }
    )
