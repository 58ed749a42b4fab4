"""A storage over three OSDs with two copies of each object: OSDs are killed one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.buckets import make_bucket
from support.ceph import Ceph
from support.object_stores import ObjectStore
from support.programs import eventually

from v1registry.openers import open_storage
from v1registry.storage import StorageUnavailable
from v1registry.storage.base import Storage

pytestmark = [pytest.mark.real, pytest.mark.stores]

LARGE = b"large" * 20_000


def stored(storage: Storage, key: str, value: bytes) -> None:
    """Write a value, again if the store did not say that it has it."""
    for _ in range(10):
        try:
            storage.write(key, value)
        except StorageUnavailable:
            continue
        return
    pytest.fail(f"{key} cannot be written")


def test_nothing_is_lost_with_one_osd_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ceph(tmp_path / "ceph", osds=3, replicas=2, durable=True) as ceph:
        for name, value in ceph.environment.items():
            monkeypatch.setenv(name, value)
        make_bucket(ceph.url, ceph.environment, "registry")
        storage = open_storage(ObjectStore(ceph.url, ceph.environment).url("registry", timeout="5"))
        expected = {}
        for number in range(3):
            ceph.kill_osd(number)
            for index in range(5):
                for kind, value in (("small", b"%d" % number), ("large", LARGE + b"%d" % number)):
                    key = f"images/{number}{index}/{kind}"
                    stored(storage, key, value)
                    expected[key] = value
            ceph.start_osd(number)
            eventually(ceph.is_recovered, "every object has two copies again", within_s=120)
        assert {stat.key: storage.read(stat.key)[0] for stat in storage.list("images/")} == expected
