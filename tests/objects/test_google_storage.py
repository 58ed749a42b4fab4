"""Google Cloud Storage, by a stand-in: it compares generations where other stores compare etags."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from support.engine_client import make_image, random_layer
from support.object_stores import ObjectStore
from support.v2_client import V2Client, digest_of
from support.wsgi_client import Client
from v1registry_fakes.contracts import StorageContract

from v1registry import Registry
from v1registry.storage import KeyConflict, Storage
from v1registry.storage.objects import DEFAULT_GROUPS, ObjectStorage
from v1registry.storage.objects.probes import Answer, Conditions
from v1registry.storage.objects.urls import open_objects


@pytest.fixture
def url(google: ObjectStore) -> str:
    return google.url(google.new_bucket(), "registry/1")


def opened(url: str) -> ObjectStorage:
    return open_objects(url, groups=DEFAULT_GROUPS)


class TestOverGoogleStorage(StorageContract):
    @pytest.fixture
    def storage(self, url: str) -> Storage:
        return opened(url)


def test_generations_are_compared(url: str) -> None:
    assert opened(url).conditions() == Conditions(Answer.HONOURED, Answer.HONOURED)


def test_writer_with_an_old_generation_writes_nothing(url: str) -> None:
    first, second = opened(url), opened(url)
    stat = first.write("folder/key", b"1")
    second.write("folder/key", b"2", expect=stat.etag)
    with pytest.raises(KeyConflict):
        first.write("folder/key", b"3", expect=stat.etag)
    assert first.read("folder/key")[0] == second.read("folder/key")[0] == b"2"


def test_no_write_of_two_processes_is_lost(url: str) -> None:
    storages = opened(url), opened(url)

    def write(number: int) -> None:
        storages[number % 2].write(f"folder/{number}", b"")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(40)))
    assert {stat.key for stat in opened(url).list("folder/")} == {f"folder/{number}" for number in range(40)}


def test_image_is_pushed_and_pulled_by_two_servers(url: str) -> None:
    image = make_image(random_layer(300_000, "google"), name="google")
    pushing, pulling = Client(Registry(storage=url)), Client(Registry(storage=url))
    pushing.push(image)
    assert pulling.get(f"/v1/images/{image.image_id}/layer").body == image.layer

    client = V2Client(Registry(storage=url))
    manifest = client.image("library/new", "content")
    assert client.put_manifest("library/new", "1", manifest).status == 201
    assert V2Client(Registry(storage=url)).shown("library/new", "1") == digest_of(manifest)
