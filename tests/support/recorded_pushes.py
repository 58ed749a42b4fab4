"""What genuine engines sent when they pushed, from the recordings in tests/data/transcripts."""

from __future__ import annotations

from typing import NamedTuple

from support.transcripts import ENGINES, Body, Exchange, all_scenarios, exchanges


class Push(NamedTuple):
    """One image: its JSON, its layer as sent, and the sums that the same engine announced for them."""

    engine: str
    image_json: bytes
    layer: bytes
    tarsum: str
    payload_checksum: str


def recorded_pushes() -> list[Push]:
    """Return all pushes of images whose JSON and layer were recorded in full."""
    return [
        push
        for client, scenario in all_scenarios(*ENGINES)
        if scenario.startswith("push-")
        for push in _pushes_in(exchanges(client, scenario))
    ]


def _pushes_in(recorded: tuple[Exchange, ...]) -> list[Push]:
    pushes: list[Push] = []
    bodies: dict[str, bytes | None] = {}
    for exchange in recorded:
        if exchange.method != "PUT" or exchange.image_id is None:
            continue
        image_path, _, what = exchange.path.rpartition("/")
        if what != "checksum":
            bodies[exchange.path] = _kept(exchange.request_body)
            continue
        image_json, layer = bodies.get(f"{image_path}/json"), bodies.get(f"{image_path}/layer")
        tarsum, payload = exchange.header("X-Docker-Checksum"), exchange.header("X-Docker-Checksum-Payload")
        if image_json is not None and layer is not None and tarsum is not None and payload is not None:
            pushes.append(Push(exchange.client, image_json, layer, tarsum, payload))
    return pushes


def _kept(body: Body) -> bytes | None:
    return body.data if body.is_complete else None
