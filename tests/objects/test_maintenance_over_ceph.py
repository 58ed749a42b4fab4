"""The commands of maintenance over a real Ceph with some hundred images: what they print, find and remove."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import obstore
import pytest
from support.converted import store_image
from support.engine_client import Image, make_image, random_layer
from support.object_stores import ObjectStore
from support.programs import environment_of
from support.v2_client import V2Client
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry, Storage
from v1registry.housekeeping.copying import copy_storage
from v1registry.housekeeping.service import Housekeeping
from v1registry.housekeeping.sweep import Sweep
from v1registry.openers import open_storage
from v1registry.storage.objects.data import DATA_OBJECTS
from v1registry.storage.objects.sweep import FOUND_OBJECT
from v1registry.storage.objects.urls import ObjectPlace

pytestmark = [pytest.mark.real, pytest.mark.process, pytest.mark.stores]

REPOSITORIES = 20
TOPS = 10  #: images of a repository, each with a tag, over a base that all have
MANIFESTS = 10

#: The layers are longer than what stands in a document.
BASE = make_image(random_layer(20_000, "base"), name="base")
IMAGES = {
    f"team/app{number}": [
        make_image(random_layer(20_000, f"{number}.{top}"), BASE.image_id, name=f"{number}.{top}")
        for top in range(TOPS)
    ]
    for number in range(REPOSITORIES)
}

#: The objects that no document names wait for an hour.
HOURS_S = 2 * 3600


class Bucket:
    """A registry in a bucket, and commands over it."""

    def __init__(self, url: str, folder: Path):
        self.url, self._folder = url, folder
        self.storage = open_storage(url)
        self.store: Any = ObjectPlace.from_url(url).open_store()

    def run(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        """Run a command; return its lines of JSON.

        :param code: the expected exit code.
        """
        done = subprocess.run(
            ["v1registry", *arguments, "--json", "--quiet", "--storage", self.url],
            env=environment_of(self._folder),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == code, done.stdout[-2000:] + done.stderr
        if done.stdout.startswith("["):
            rows: list[dict[str, Any]] = json.loads(done.stdout)
            return rows
        return [json.loads(line) for line in done.stdout.splitlines()]

    def data_objects(self) -> dict[str, int]:
        """Return name -> size of the objects with bytes of large values."""
        return {
            meta["path"]: meta["size"] for page in obstore.list(self.store, DATA_OBJECTS) for meta in page
        }

    def let_hours_pass(self) -> None:
        """Date back what the last sweep found."""
        record = json.loads(obstore.get(self.store, FOUND_OBJECT).bytes().to_bytes())
        record["ended"] -= HOURS_S
        obstore.put(self.store, FOUND_OBJECT, json.dumps(record).encode())


def fill(storage: Storage) -> None:
    """Store the images of v1, a tag for each, and some of ``/v2/``."""

    def store(name: str, number: int) -> None:
        image = IMAGES[name][number]
        store_image(storage, image, BASE)
        storage.write(f"repositories/{name}/tag_v{number}", image.image_id.encode())

    store_image(storage, BASE)
    client = V2Client(Registry(storage=storage))
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(store, name, number) for name in IMAGES for number in range(TOPS)]:
            done.result()
    for number in range(MANIFESTS):
        manifest = client.image("team/new", f"content {number}")
        assert client.put_manifest("team/new", f"v{number}", manifest).status == 201


@pytest.fixture(scope="module")
def bucket(ceph: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Bucket:
    made = Bucket(ceph.url(ceph.new_bucket(), "registry"), tmp_path_factory.mktemp("bucket"))
    fill(made.storage)
    return made


def values(storage: Storage, *prefixes: str) -> dict[str, bytes]:
    """Return key -> value below prefixes."""
    return {stat.key: storage.read(stat.key)[0] for prefix in prefixes for stat in storage.list(prefix)}


def test_usage_is_that_of_a_copy_in_memory(bucket: Bucket) -> None:
    copy = MemoryStorage()
    copy_storage(bucket.storage, copy)

    *repositories, total = bucket.run("usage")

    expected = Housekeeping(copy).usage()
    assert total["images"] == 1 + REPOSITORIES * TOPS + MANIFESTS
    for name in ("repositories", "images", "blobs", "stored_bytes", "shared_bytes", "unreachable_bytes"):
        assert total[name] == getattr(expected.totals, name), name
    assert [(row["name"], row["own_bytes"], row["tags"]) for row in repositories] == [
        (row.name, row.own_bytes, row.tags) for row in expected.repositories
    ]


def test_verify_finds_a_damaged_layer_and_nothing_else(bucket: Bucket) -> None:
    (whole,) = bucket.run("verify", "--layers")
    assert (whole["problems"], whole["images"]) == (0, 1 + REPOSITORIES * TOPS + MANIFESTS)
    assert whole["read_bytes"] > REPOSITORIES * TOPS * 20_000
    folder = f"images/{IMAGES['team/app3'][4].image_id}"
    layer = bucket.storage.read(f"{folder}/layer")[0]
    bucket.storage.write(f"{folder}/layer", layer[:-1] + b"x")

    try:
        problem, hurt, total = bucket.run("verify", "--layers", "--restart", code=1)
    finally:
        bucket.storage.write(f"{folder}/layer", layer)

    assert problem["key"] == folder
    assert (hurt["tag"], total["problems"], total["hurt_tags"]) == ("team/app3:v4", 1, 1)
    assert bucket.run("verify", "--layers")[0]["problems"] == 0


def test_prepare_v2_converts_all_and_reads_no_layer_again(bucket: Bucket) -> None:
    rows = bucket.run("prepare-v2", "--jobs", "8")
    assert len(rows) == REPOSITORIES * TOPS
    assert {row["reason"] for row in rows} == {None}
    client = V2Client(Registry(storage=bucket.storage))
    for row in (rows[0], rows[-1]):
        name, _, tag = row["tag"].partition(":")
        assert client.get_manifest(name, tag).header("Docker-Content-Digest") is not None
    bucket.storage.write("repositories/team/broken/tag_latest", store_odd(bucket.storage).encode())
    broken = bucket.run("prepare-v2", "--repository", "team/broken", code=1)
    assert [row["digest"] for row in broken] == [None]
    bucket.storage.delete("repositories/team/broken/tag_latest")
    again = bucket.run("prepare-v2")
    assert again == rows


def store_odd(storage: Storage) -> str:
    """Store an image that cannot be converted; return its id."""
    image = make_image(b"no tar at all", name="odd")
    store_image(storage, image)
    return image.image_id


def test_gc_frees_the_bytes_without_keys_and_nothing_else(bucket: Bucket) -> None:
    storage, client = bucket.storage, Client(Registry(storage=bucket.storage))
    upload = client.request("POST", "/v2/team/new/blobs/uploads/").headers["Location"]
    assert client.request("PATCH", upload, b"u" * 30_000).status_int == 202
    gone = [f"team/app{number}" for number in range(REPOSITORIES // 2)]
    kept = {name: images for name, images in IMAGES.items() if name not in gone}
    dry = bucket.run("gc", "--grace", "0s", "--untagged", "--dry-run")[-1]
    before = bucket.data_objects()
    for name in gone:
        assert client.request("DELETE", f"/v1/repositories/{name}/tags").status_int == 200

    first = bucket.run("gc", "--grace", "0s", "--untagged")[-1]
    assert first["images"] >= len(gone) * TOPS > dry["images"]
    assert (first["swept_objects"], bucket.data_objects()) == (0, before)
    assert first["swept_waiting"] >= len(gone) * TOPS
    alive = values(storage, "images/", "blobs/", "repositories/", "uploads/")
    bucket.let_hours_pass()
    second = bucket.run("gc", "--grace", "0s", "--untagged")[-1]

    assert second["swept_objects"] == first["swept_waiting"]
    assert second["swept_bytes"] == first["swept_waiting_bytes"]
    assert values(storage, "images/", "blobs/", "repositories/", "uploads/") == alive
    large = {stat.etag: stat.size for stat in storage.list("") if stat.size > 16 << 10}
    assert sorted(bucket.data_objects().values()) == sorted(large.values())
    assert_served(client, kept)
    assert client.get(upload).status_int == 204
    assert bucket.run("verify", "--layers", "--restart")[0]["problems"] == 0


def assert_served(client: Client, kept: Mapping[str, list[Image]]) -> None:
    """Check that all images of repositories can be pulled."""
    for name, images in kept.items():
        tags = client.get(f"/v1/repositories/{name}/tags").json
        assert tags == {f"v{number}": image.image_id for number, image in enumerate(images)}
        for image in images:
            assert client.get(f"/v1/images/{image.image_id}/layer").body == image.layer


def test_second_collection_at_once_exits_with_3(bucket: Bucket) -> None:
    bucket.storage.delete("repositories/team/app19/tag_v0")
    running = Sweep(bucket.storage)
    assert bucket.run("gc", "--grace", "0s", code=3) == []
    running.end()
    assert bucket.run("gc", "--grace", "0s")[-1]["images"] == 1
