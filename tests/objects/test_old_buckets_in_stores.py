"""Buckets of docker-registry 0.9.1 in real object stores: what was deleted is removed, all else is served."""

from __future__ import annotations

from datetime import datetime, timezone

import obstore
import pytest
from support.clock import Clock
from support.object_stores import ObjectStore
from support.old_data import PLAIN, ROOT, SAMPLE, tree

from v1registry.registry.key_groups import KEY_GROUPS, OLD_FOLDERS
from v1registry.storage.objects import Groups
from v1registry.storage.objects.urls import ObjectPlace, open_objects

pytestmark = pytest.mark.real

HOUR_S = 3600


@pytest.mark.parametrize(
    "kind",
    [
        "ceph",
        "google",
        pytest.param("swift", marks=pytest.mark.stores),
        pytest.param("azurite", marks=pytest.mark.stores),
    ],
)
def test_old_bucket_is_served_and_swept(request: pytest.FixtureRequest, kind: str) -> None:
    store: ObjectStore = request.getfixturevalue(kind)
    url = store.url(store.new_bucket(), "registry")
    files = {name: value for name, value in tree(SAMPLE).items() if name.startswith(OLD_FOLDERS)}
    bucket = ObjectPlace.from_url(url).open_store()
    for name, value in files.items():
        obstore.put(bucket, name, value)
    clock = Clock(datetime.now(timezone.utc).timestamp())
    storage = open_objects(url, groups=Groups(KEY_GROUPS), old_folders=OLD_FOLDERS, clock=clock)

    assert {stat.key: storage.read(stat.key)[0] for stat in storage.list("")} == files
    storage.delete_tree(f"images/{PLAIN}")
    storage.write(f"images/{ROOT}/layer", [b"x" * 1000] * 100)
    waiting = 0
    for _ in range(2):
        clock.now_s += 2 * HOUR_S
        swept = storage.sweep(older_than_s=HOUR_S)
        waiting = waiting or swept.waiting
    assert swept.objects == waiting > 1
    left = {meta["path"] for meta in obstore.list(bucket, "images").collect()}
    assert not any(name.startswith(f"images/{PLAIN}/") for name in left)
    assert f"images/{ROOT}/json" in left
    assert f"images/{ROOT}/layer" not in left
    assert storage.read(f"images/{ROOT}/json")[0] == files[f"images/{ROOT}/json"]
    assert storage.stat(f"images/{ROOT}/layer").size == 100_000
