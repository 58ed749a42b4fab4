"""A mirror with ``read_only``: it stores what it fetches, and takes nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mirrored import MirrorOf, blobs_of
from support.wsgi_client import call
from v1registry_fakes import FakeRegistry

from v1registry import FileStorage, Registry


@pytest.fixture
def origin() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


def test_read_only_mirror_fetches_and_takes_no_pushes(origin: FakeRegistry) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    mirror = MirrorOf(origin, read_only=True)
    assert mirror.pull("alice/app", "1.0") == blobs_of(origin, image)
    assert mirror.client.ask("POST", "/v2/eve/app/blobs/uploads/").status == 403
    assert call(mirror.app, "PUT", "/v1/repositories/eve/app/", b"[]").status == 403


def test_status_of_a_read_only_mirror_needs_a_storage_that_can_be_written(
    origin: FakeRegistry, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    storage = FileStorage(tmp_path / "file")  # no folder: nothing can be written
    mirror = Registry(storage, mirror=origin.url, read_only=True)
    answer = call(mirror, "GET", "/v1/_status")
    assert (answer.status, list(json.loads(answer.body)["failures"])) == (503, ["storage"])
