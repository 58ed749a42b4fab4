"""Payload checksums, and the stored forms of checksums."""

from __future__ import annotations

import base64
import doctest
import io
import json
from pathlib import Path
from typing import Any

import pytest
from support.recorded_pushes import Push, recorded_pushes
from support.tar_blocks import Dribble

from v1registry.layers import checksums
from v1registry.layers.checksums import PayloadChecksum, equal_sums, parse_checksums, payload_checksum

DATA = Path(__file__).parents[1] / "data"
SAMPLE = DATA / "docker-registry-0.9.1-data" / "images"
VECTORS: list[dict[str, Any]] = json.loads((DATA / "tarsum.json").read_text())["vectors"]
# docker 0.9 announced the checksum of different bytes than it sent (registry.md 6.2).
PUSHES = [push for push in recorded_pushes() if push.engine != "docker-0.9.1"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_REG_018_payload_checksum_covers_json_newline_and_layer(
    vector: dict[str, Any],
) -> None:
    layer = base64.b64decode(vector["layer_b64"])
    image_json = base64.b64decode(vector["extra_b64"] or "")
    assert payload_checksum(image_json, io.BytesIO(layer)) == vector["simple_checksum"]
    payload = PayloadChecksum(image_json)
    for at in range(0, len(layer), 777):
        payload.update(layer[at : at + 777])
    assert payload.text() == vector["simple_checksum"]


@pytest.mark.parametrize(
    "image_id", sorted(path.name for path in SAMPLE.iterdir() if (path / "_checksum").exists())
)
def test_REG_018_checksums_of_docker_registry_are_reproduced(image_id: str) -> None:
    folder = SAMPLE / image_id
    with (folder / "layer").open("rb") as layer:
        computed = payload_checksum((folder / "json").read_bytes(), layer)
    assert parse_checksums((folder / "_checksum").read_bytes()) == [computed]


@pytest.mark.parametrize("push", PUSHES, ids=lambda push: push.engine)
def test_REG_018_checksums_of_engines_are_reproduced(push: Push) -> None:
    assert payload_checksum(push.image_json, Dribble(push.layer)) == push.payload_checksum


def test_doctests_of_the_module_pass() -> None:
    result = doctest.testmod(checksums)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize(
    ("content", "sums"),
    [
        (b'["sha256:00"]', ["sha256:00"]),
        (b'["sha256:00", "tarsum+sha256:11"]', ["sha256:00", "tarsum+sha256:11"]),
        (b'"sha256:00"', ["sha256:00"]),
        (b"tarsum+sha256:11", ["tarsum+sha256:11"]),
        (b"  tarsum+sha256:11\r\n", ["tarsum+sha256:11"]),
        (b"[]", []),
        (b"", []),
        (b" \n", []),
        (b'["sha256:00", 1, null, ["sha256:22"], ""]', ["sha256:00"]),
        (b"null", []),
        (b"12", []),
        (b"{}", []),
        (b"\xff\xfe", []),
    ],
)
def test_STO_003_stored_checksums_are_read_in_all_forms(content: bytes, sums: list[str]) -> None:
    assert parse_checksums(content) == sums


@pytest.mark.parametrize("content", [b"[" * 100_000, b"9" * 10_000])
def test_stored_text_that_is_not_json_is_one_checksum(content: bytes) -> None:
    assert parse_checksums(content) == [content.decode()]


def test_checksums_are_equal_if_all_characters_are() -> None:
    assert equal_sums("sha256:00", "sha256:00")
    assert not equal_sums("sha256:00", "sha256:01")
    assert not equal_sums("sha256:00", "sha256:000")
    assert not equal_sums("sha256:00", "sha256:0\u00e9\udcff")


def test_stored_checksums_unfit_for_a_header_are_ignored() -> None:
    assert parse_checksums(b'["\\ud800", "sha256:\\r\\nX: y", "sha256:\\u00e9", "sha256:00"]') == [
        "sha256:00"
    ]


def test_lone_surrogates_are_compared_too() -> None:
    assert equal_sums("\ud800", "\ud800")
    assert not equal_sums("\ud800", "sha256:00")
