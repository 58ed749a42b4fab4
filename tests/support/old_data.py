"""Folders of docker-registry: the sample of 0.9.1, and files that tests write."""

from __future__ import annotations

import json
from pathlib import Path

from support.engine_client import Image, make_image, tar_layer
from support.wsgi_client import Client

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "docker-registry-0.9.1-data"

ROOT = "cae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2"
CHILD = "28720365c5e7476a011e4f43ac003ee5f16247a263b9d623aa85ed311d73bf39"
PLAIN = "a116c9ed46d6207734a43317d30fd88f52ac8634c37d904bbf4e41d865f90475"
UNFINISHED = "32e4caaf6344aea2380a7f150312f351897e2dc23de446b4e9c418298d1cbc97"

IMAGE = make_image(tar_layer({"./a": b"a"}), name="old")
ID = IMAGE.image_id


def tree(folder: Path) -> dict[str, bytes]:
    """Return what every file below a folder holds."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write(folder: Path, files: dict[str, bytes | str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def image_files(
    image: Image, checksum: str | None = None, ancestry: list[str] | None = None
) -> dict[str, bytes | str]:
    """Return the files of a complete image, without those that are None."""
    files: dict[str, bytes | str] = {"json": image.json, "layer": image.layer}
    if checksum is not None:
        files["_checksum"] = checksum
    if ancestry is not None:
        files["ancestry"] = json.dumps(ancestry)
    return {f"images/{image.image_id}/{name}": content for name, content in files.items()}


def names(client: Client) -> list[str]:
    return [result["name"] for result in client.get("/v1/search").json["results"]]
