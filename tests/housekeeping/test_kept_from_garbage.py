"""Requests that refer to what a collection is removing, or has just removed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

import pytest
from support.accounts_world import image_of
from support.clock import Clock
from support.garbage import BASE, OTHER_ROOT, TOP, collect, images_in, keys, push_openly, tagged
from support.v2_client import V2Client, digest_of, dumped
from support.wsgi_client import call

from v1registry import MemoryStorage, Registry
from v1registry.housekeeping.candidates import Candidate
from v1registry.housekeeping.garbage import GarbageCollection
from v1registry.housekeeping.sweep import CollectionRunning, Sweep
from v1registry.registry import keeping
from v1registry.registry.keeping import CLAIM, SWEEP, host_of_pids
from v1registry.rights import Content
from v1registry.storage.base import ABSENT, ANY, KeyNotFound

TAG = "/v1/repositories/foo/bar/tags"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_WAIT_S", 0.01)
    monkeypatch.setattr(keeping, "_LOOK_EACH_S", 0.005)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def storage(clock: Clock) -> MemoryStorage:
    return MemoryStorage(clock=clock)


@pytest.fixture
def app(storage: MemoryStorage, clock: Clock) -> Registry:
    """A server whose repository has a tag on one image, and another image without a tag."""
    app = Registry(storage=storage, clock=clock)
    push_openly(app, "foo/bar", BASE, TOP)
    push_openly(app, "foo/bar", OTHER_ROOT)
    return app


def set_tag(app: Registry, image_id: str) -> int:
    return call(app, "PUT", f"{TAG}/latest", dumped(image_id)).status


def removing(storage: MemoryStorage, folder: str) -> None:
    """Claim what is in a folder as a collection does before it removes it."""
    storage.write(f"{folder}/{CLAIM}", json.dumps({"removing": "run"}).encode())


def claims(storage: MemoryStorage) -> list[str]:
    return [key for key in keys(storage, "") if key.endswith(f"/{CLAIM}")]


def test_no_claim_is_written_if_no_collection_runs(app: Registry, storage: MemoryStorage) -> None:
    assert set_tag(app, TOP.image_id) == 200
    assert claims(storage) == []


def test_a_tag_beside_a_collection_claims_all_ancestors(app: Registry, storage: MemoryStorage) -> None:
    Sweep(storage)

    assert set_tag(app, TOP.image_id) == 200

    assert claims(storage) == sorted(f"images/{image.image_id}/{CLAIM}" for image in (BASE, TOP))


def test_a_collection_that_goes_on_writes_its_key(app: Registry, clock: Clock) -> None:
    """Each call of the storage takes so long that the whole run takes an hour."""
    ages = []

    class SlowStorage(MemoryStorage):
        def __getattribute__(self, name: str) -> Any:
            found = super().__getattribute__(name)
            if name not in ("list", "list_folders", "read", "delete"):
                return found

            def call(*args: Any, **options: Any) -> Any:
                clock.now_s += 20
                with suppress(KeyNotFound):
                    ages.append(clock.now_s - MemoryStorage.stat(self, SWEEP).modified.timestamp())
                return found(*args, **options)

            return call

    storage = SlowStorage(clock=clock)
    for number in range(20):
        name = f"foo/bar-{number}"
        push_openly(Registry(storage=storage, clock=clock), name, image_of(name))
        storage.delete(f"repositories/{name}/tag_latest")
    began_s, ages[:] = clock.now_s, []
    report = GarbageCollection(storage, grace_s=-1e6, clock=clock).run()
    assert report.total.images == 20
    assert clock.now_s - began_s > 3600
    assert max(ages) < keeping.DEAD_AFTER_S / 2


def test_requests_know_of_a_collection_until_its_last_change(clock: Clock) -> None:
    """The run is interrupted while another thread removes an image."""
    has_begun, may_go_on = threading.Event(), threading.Event()

    class SlowStorage(MemoryStorage):
        def delete(self, key: str, *, expect: str = ANY) -> None:
            if key == f"images/{TOP.image_id}/json":
                has_begun.set()
                assert may_go_on.wait(30)
            super().delete(key, expect=expect)

    storage = SlowStorage(clock=clock)
    app = Registry(storage=storage, clock=clock)
    push_openly(app, "foo/bar", BASE, TOP)
    push_openly(app, "foo/bar", OTHER_ROOT)
    sweep = Sweep(storage, clock=clock)
    folder = f"images/{TOP.image_id}"
    candidate = Candidate(folder, ABSENT, 0, None, Content(TOP.image_id))
    remover = threading.Thread(target=sweep.remove, args=(candidate, clock.now_s))
    remover.start()
    assert has_begun.wait(30)

    sweep.end()

    assert set_tag(app, TOP.image_id) == 404
    may_go_on.set()
    remover.join()
    assert call(app, "GET", f"{TAG}/latest").body == dumped(OTHER_ROOT.image_id)
    assert keys(storage, f"{folder}/") == []


def test_a_collection_that_has_ended_changes_nothing(storage: MemoryStorage, app: Registry) -> None:
    sweep, stat = Sweep(storage), storage.stat(f"images/{TOP.image_id}/json")
    sweep.has_removed = True
    sweep.end()
    candidate = Candidate(f"images/{TOP.image_id}", ABSENT, 0, None, Content(TOP.image_id))
    for change in (
        lambda: sweep.remove(candidate, float("inf")),
        lambda: sweep.delete(stat),
        lambda: sweep.replace(stat, b"{}"),
        lambda: sweep.tidy(stat),
    ):
        with pytest.raises(CollectionRunning):
            change()
    assert storage.stat(stat.key) == stat


def test_a_tag_on_an_image_that_is_removed_changes_nothing(app: Registry, storage: MemoryStorage) -> None:
    Sweep(storage)
    removing(storage, f"images/{BASE.image_id}")

    assert set_tag(app, TOP.image_id) == 404

    assert call(app, "GET", f"{TAG}/latest").body == dumped(OTHER_ROOT.image_id)


def test_a_claim_of_a_dead_collection_is_taken_over(
    app: Registry, storage: MemoryStorage, clock: Clock
) -> None:
    Sweep(storage, clock=clock)
    removing(storage, f"images/{BASE.image_id}")
    clock.now_s += keeping.DEAD_AFTER_S + 1

    assert set_tag(app, TOP.image_id) == 200


@pytest.mark.parametrize("age_s", [0, keeping.ENDED_FOR_S - 1])
def test_after_a_collection_tags_need_all_ancestors(
    app: Registry, storage: MemoryStorage, clock: Clock, age_s: int
) -> None:
    storage.delete_tree(f"images/{BASE.image_id}")
    sweep = Sweep(storage, clock=clock)
    sweep.has_removed = True
    sweep.end()
    clock.now_s += age_s

    assert set_tag(app, TOP.image_id) == 404
    assert claims(storage) == []


def test_an_image_is_pushed_again_after_its_removal(
    app: Registry, storage: MemoryStorage, clock: Clock
) -> None:
    clock.now_s += 1
    collect(storage)
    assert images_in(storage) == {OTHER_ROOT.image_id}

    push_openly(app, "foo/bar", BASE, TOP)

    assert images_in(storage) == {image.image_id for image in (BASE, TOP, OTHER_ROOT)}


def test_an_image_that_is_removed_is_not_stored_meanwhile(app: Registry, storage: MemoryStorage) -> None:
    Sweep(storage)
    folder = f"images/{BASE.image_id}"
    removing(storage, folder)
    storage.delete(f"{folder}/json")
    path = f"/v1/images/{BASE.image_id}"
    assert call(app, "PUT", f"{path}/json", BASE.json).status == 200
    assert call(app, "PUT", f"{path}/layer", BASE.layer).status == 200
    header: dict[str, Any] = {"HTTP_X_DOCKER_CHECKSUM_PAYLOAD": BASE.payload_checksum}

    assert call(app, "PUT", f"{path}/checksum", b"", **header).status == 503
    storage.delete(f"{folder}/{CLAIM}")
    assert call(app, "PUT", f"{path}/checksum", b"", **header).status == 200


def test_a_manifest_needs_blobs_that_are_not_removed(app: Registry, storage: MemoryStorage) -> None:
    client = V2Client(app)
    old = tagged(client, "team/app", "1.0", "one")
    new = client.image("team/app", "two")
    Sweep(storage)
    (blob,) = (key for key in keys(storage, "blobs/") if json.loads(new)["config"]["digest"][7:] in key)
    removing(storage, blob.rpartition("/")[0])

    answer = client.put_manifest("team/app", "1.0", new)

    assert answer.status == 400
    assert json.loads(answer.body)["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"
    assert client.shown("team/app", "1.0") == digest_of(old)


def test_a_collection_of_a_dead_process_is_taken_over(storage: MemoryStorage) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    storage.write(SWEEP, json.dumps({"run": "x", "host": host_of_pids(), "pid": dead.pid}).encode())

    assert collect(storage).freed == []
    assert keys(storage, "") == []
