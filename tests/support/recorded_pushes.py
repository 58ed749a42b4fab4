"""What genuine engines sent when they pushed, from the recordings in tests/data/transcripts."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

TRANSCRIPTS = Path(__file__).parents[1] / "data" / "transcripts"


class Push(NamedTuple):
    """One image: its JSON, its layer as sent, and the sums that the same engine announced for them."""

    engine: str
    image_json: bytes
    layer: bytes
    tarsum: str
    payload_checksum: str


def recorded_pushes() -> list[Push]:
    """All pushes of images whose JSON and layer were recorded in full."""
    return [push for path in sorted(TRANSCRIPTS.glob("docker-*/push-*.json")) for push in _pushes_in(path)]


def _pushes_in(path: Path) -> list[Push]:
    pushes: list[Push] = []
    bodies: dict[str, bytes | None] = {}
    for exchange in json.loads(path.read_bytes()):
        if exchange["method"] != "PUT" or not exchange["path"].startswith("/v1/images/"):
            continue
        image_path, _, what = exchange["path"].rpartition("/")
        if what != "checksum":
            bodies[exchange["path"]] = _body(exchange["request_body"])
            continue
        image_json, layer = bodies.get(f"{image_path}/json"), bodies.get(f"{image_path}/layer")
        if image_json is not None and layer is not None:
            headers = {name.lower(): value for name, value in exchange["request_headers"]}
            sums = headers["x-docker-checksum"], headers["x-docker-checksum-payload"]
            pushes.append(Push(path.parent.name, image_json, layer, *sums))
    return pushes


def _body(recorded: dict[str, Any]) -> bytes | None:
    if not recorded["complete"]:
        return None
    if recorded["encoding"] == "base64":
        return base64.b64decode(recorded["data"])
    return str(recorded["data"]).encode() if recorded["encoding"] == "text" else None
