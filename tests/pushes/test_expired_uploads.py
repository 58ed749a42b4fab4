"""What unfinished pushes leave is removed after a day (registry.md 5; storage-layout.md 1)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from support.engine_client import Image, make_image, tar_layer
from support.wsgi_client import Client

from v1registry import FileStorage, Registry

DAY_S = 24 * 3600

UNFINISHED = make_image(tar_layer({"etc/unfinished": b"unfinished"}), name="unfinished")
OTHER = make_image(tar_layer({"etc/other": b"other"}), name="other")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a storage in which a push has sent a JSON and a layer, and no sum."""
    folder = tmp_path / "registry"
    client = client_of(folder)
    client.put_json(UNFINISHED)
    client.put_layer(UNFINISHED)
    return folder


def client_of(folder: Path) -> Client:
    """Return a client of a new process over the folder."""
    return Client(Registry(storage=FileStorage(folder, durable=False)))


def make_older(folder: Path, age_s: float) -> None:
    """Let all files below ``uploads/`` be as old as that."""
    changed_at = time.time() - age_s
    for path in (folder / "uploads").rglob("*"):
        os.utime(path, (changed_at, changed_at))


def uploads_of(folder: Path, image: Image) -> list[Path]:
    return [path for path in (folder / "uploads" / image.image_id).rglob("*") if path.is_file()]


def test_push_of_a_new_process_removes_what_is_older_than_a_day(folder: Path) -> None:
    make_older(folder, DAY_S + 60)
    client_of(folder).put_json(OTHER)
    assert uploads_of(folder, UNFINISHED) == []
    assert uploads_of(folder, OTHER) != []


def test_what_is_younger_than_a_day_stays_and_can_be_completed(folder: Path) -> None:
    make_older(folder, DAY_S - 60)
    client = client_of(folder)
    client.put_json(OTHER)
    assert client.put_checksum(UNFINISHED).status_int == 200
    assert client.get(f"/v1/images/{UNFINISHED.image_id}/layer").body == UNFINISHED.layer


def test_push_that_begins_again_removes_what_is_older_than_a_day(tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    client = client_of(folder)
    client.put_json(OTHER)
    client.put_json(UNFINISHED)
    client.put("/v1/images/" + UNFINISHED.image_id + "/json", UNFINISHED.json, {"Authorization": "Token a"})
    before = uploads_of(folder, UNFINISHED)
    make_older(folder, DAY_S + 60)
    client.put_json(UNFINISHED)
    after = uploads_of(folder, UNFINISHED)
    assert before
    assert after
    assert not set(before) & set(after)


def test_temporary_file_of_a_killed_upload_goes_with_its_push(folder: Path) -> None:
    (layer,) = (path for path in uploads_of(folder, UNFINISHED) if path.name == "layer")
    left = layer.with_name(".layer.0123456789abcdef.tmp")
    left.write_bytes(b"half a layer")
    make_older(folder, DAY_S + 60)
    client_of(folder).put_json(OTHER)
    assert not left.exists()
