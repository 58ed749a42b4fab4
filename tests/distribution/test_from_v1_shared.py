"""Conversions of v1 images by many clients, by several processes, and with a storage that fails."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.converted import Converted, store_chain, store_image
from support.engine_client import Image, make_chain, make_image, tar_layer
from support.faulty_storage import FaultyStorage

from v1registry import FileStorage, errors
from v1registry.distribution.places import Place
from v1registry.names import Digest, RepositoryName
from v1registry.rights import User
from v1registry.storage.base import StorageFull, StorageUnavailable

LAYERS = [tar_layer({f"./{name}": name.encode()}) for name in "abc"]
CHAIN = make_chain(LAYERS)
TOP = CHAIN[-1].image_id

_MAIN = "import sys; from v1registry.cli.main import main; sys.exit(main(sys.argv[1:]))"
PREPARE = (sys.executable, "-c", _MAIN, "prepare-v2")


@pytest.fixture
def storage() -> FaultyStorage:
    storage = FaultyStorage()
    store_chain(storage, CHAIN)
    return storage


def layers_read(storage: FaultyStorage) -> int:
    return storage.count("open", key="images/*/layer")


def test_first_pull_by_many_clients_reads_each_layer_once(storage: FaultyStorage) -> None:
    converted = Converted(storage)
    start = threading.Barrier(8)

    def pull(number: int) -> Digest:
        start.wait(30)
        return converted.digest(f"team/app{number % 2}", TOP)

    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(pull, range(8)))
    assert len(digests) == 1
    assert layers_read(storage) == len(CHAIN)


def test_slow_first_pull_is_503_and_the_work_goes_on(storage: FaultyStorage) -> None:
    go_on, ended = threading.Event(), threading.Event()
    storage.before(lambda: go_on.wait(30), "open", key="images/*/layer")
    storage.after(ended.set, "write", key=f"images/{CHAIN[0].image_id}/_v2")
    converted = Converted(storage, v2_conversion_wait_s=1, v2_conversion_threads=1)
    with pytest.raises(errors.ImageBusy):
        converted.digest("team/app", TOP)
    assert not list(storage.list("conversions/"))
    go_on.set()
    assert ended.wait(30)
    assert converted.digest("team/app", TOP)
    assert layers_read(storage) == len(CHAIN)


def test_known_manifest_costs_few_calls(storage: FaultyStorage) -> None:
    converted = Converted(storage)
    converted.digest("team/app", TOP)
    before = storage.count()
    converted.digest("team/app", TOP, is_oci=True)
    # the Stats of the JSON and of the layer, and the record of the manifest
    assert storage.count() - before == 3


def test_known_manifest_of_an_account_costs_few_calls(tmp_path: Path) -> None:
    storage = FaultyStorage(FileStorage(str(tmp_path), durable=False))
    world = AccountsWorld(People.of(User("alice")), storage)
    chain = [image_of("base")]
    for number in range(20):
        chain.append(image_of(f"layer {number}", chain[-1]))
    world.person("alice").push("alice/app", *chain)
    services = world.app._services
    from_v1, name = services.distribution.from_v1, RepositoryName("alice", "app")
    rights = services.access.rights_of(User("alice"))
    first = from_v1.manifest_of(rights, Place.of(rights, name), chain[-1].image_id, is_oci=False)
    before = storage.count()
    rights = services.access.rights_of(User("alice"))
    again = from_v1.manifest_of(rights, Place.of(rights, name), chain[-1].image_id, is_oci=False)
    assert again == first
    assert storage.count() - before <= 10


def test_removed_record_of_a_manifest_is_written_again(storage: FaultyStorage) -> None:
    converted = Converted(storage)
    digest = converted.digest("team/app", TOP)
    key = f"repositories/team/app/_v2/manifests/{digest.hex}"
    storage.delete(key)
    assert converted.digest("team/app", TOP) == digest
    assert storage.stat(key)


@pytest.mark.parametrize("error", [StorageFull("key", "no room is left"), StorageUnavailable("key", "gone")])
@pytest.mark.parametrize("key", ["blobs/*", "images/*/_v2", "conversions/*", "repositories/*"])
def test_storage_that_cannot_be_written_fails_until_it_can(
    storage: FaultyStorage, error: StorageUnavailable, key: str
) -> None:
    converted = Converted(storage)
    storage.fail("write", "link", key=key, error=error)
    # of one layer: a later request would join the work on other layers, which may still fail
    with pytest.raises(type(error)):
        converted.digest("team/app", CHAIN[0].image_id)
    storage.heal()
    assert converted.digest("team/app", CHAIN[0].image_id)


def test_finished_storage_can_become_read_only(storage: FaultyStorage) -> None:
    digest = Converted(storage).digest("team/app", TOP)
    storage.fail("write", "link", "delete", "publish", "delete_tree")
    assert Converted(storage).digest("team/app", TOP) == digest


def test_next_process_goes_on_where_a_killed_one_was(storage: FaultyStorage) -> None:
    storage.fail("open", key=f"images/{TOP}/layer")
    with pytest.raises(StorageUnavailable):
        Converted(storage, v2_conversion_threads=1).digest("team/app", TOP)
    storage.heal()
    before = layers_read(storage)
    assert Converted(storage).digest("team/app", TOP)
    assert layers_read(storage) - before == 1


def test_result_is_made_again_if_its_blobs_were_removed(storage: FaultyStorage) -> None:
    digest = Converted(storage).digest("team/app", TOP)
    for stat in list(storage.list("blobs/")):
        storage.delete(stat.key)
    before = layers_read(storage)
    converted = Converted(storage)
    assert converted.digest("team/other", TOP) == digest
    for layer in converted.manifest("team/other", TOP)["layers"]:
        assert str(Digest.of(converted.blob(layer["digest"]))) == layer["digest"]
    assert layers_read(storage) == before


def test_kept_facts_that_are_damaged_are_found_out_again(storage: FaultyStorage) -> None:
    digest = Converted(storage).digest("team/app", TOP)
    damaged = [b"", b"[]", b"{}", b'{"etag": 1}', b'{"etag": "x", "sha256": 3}']
    for value in damaged:
        for pattern in ("images/", "conversions/"):
            for stat in list(storage.list(pattern)):
                if stat.key.endswith("/_v2") or pattern == "conversions/":
                    storage.write(stat.key, value)
        assert Converted(storage).digest("team/app", TOP) == digest


def test_repository_deleted_during_the_conversion_contains_nothing(tmp_path: Path) -> None:
    storage = FaultyStorage(FileStorage(str(tmp_path), durable=False))
    world = AccountsWorld(People.of(User("alice")), storage)
    image, name = image_of("base"), RepositoryName("alice", "app")
    world.person("alice").push("alice/app", image)
    services = world.app._services
    storage.after(lambda: services.holding.delete(name), "write", key="conversions/*")
    rights = services.access.rights_of(User("alice"))
    with pytest.raises(errors.ManifestUnknown):
        place = Place.of(rights, name)
        services.distribution.from_v1.manifest_of(rights, place, image.image_id, is_oci=False)
    world.person("alice").push("alice/app", image_of("next"))
    digits = hashlib.sha256(image.layer).hexdigest()
    blobs = services.distribution.blobs
    assert blobs.contains(Place.of(rights, name), Digest("sha256", digits)) is None


def test_layer_written_in_place_by_an_old_server_spoils_no_blob(tmp_path: Path) -> None:
    storage = FileStorage(str(tmp_path), durable=False)
    image = make_image(LAYERS[0])
    store_image(storage, image)
    twin = make_image(LAYERS[0], name="twin")
    store_image(storage, twin)
    Converted(storage).digest("team/app", image.image_id)
    path = tmp_path / "images" / image.image_id / "layer"
    changed = Image(image.image_id, image.json, LAYERS[1])
    with path.open("r+b") as file:  # the blob is a link to this file
        file.write(changed.layer)
        file.truncate()
    storage.write(f"images/{image.image_id}/_checksum", json.dumps([changed.payload_checksum]).encode())
    converted = Converted(storage)
    assert converted.blob(converted.layer("team/app", image.image_id)["digest"]) == LAYERS[1]
    assert converted.blob(converted.layer("team/twin", twin.image_id)["digest"]) == LAYERS[0]


def test_kill_9_during_conversions_leaves_only_whole_blobs(tmp_path: Path) -> None:
    storage = FileStorage(str(tmp_path), durable=False)
    size = 6 << 20
    plain = [gzip.decompress(tar_layer({f"./{number}": bytes([number]) * size})) for number in range(6)]
    chain = make_chain([bz2.compress(layer) if number % 2 else layer for number, layer in enumerate(plain)])
    store_chain(storage, chain)
    storage.write("repositories/team/app/tag_latest", chain[-1].image_id.encode())
    command = [*PREPARE, "--storage", f"file://{tmp_path}"]
    for kept in range(1, 4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(tmp_path.glob("images/*/_v2"))) < kept:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path in tmp_path.glob("blobs/sha256/*/*/data"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.parent.name
    assert subprocess.run(command, check=False).returncode == 0
    converted = Converted(storage)
    layers = converted.manifest("team/app", chain[-1].image_id)["layers"]
    expanded = [converted.blob(layer["digest"]) for layer in layers]
    assert [gzip.decompress(data) if number % 2 else data for number, data in enumerate(expanded)] == plain


def test_two_processes_at_once_agree(tmp_path: Path) -> None:
    storage = FileStorage(str(tmp_path), durable=False)
    store_chain(storage, CHAIN)
    storage.write("repositories/team/app/tag_latest", TOP.encode())
    command = [*PREPARE, "--json", "--storage", f"file://{tmp_path}"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    rows = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert rows[0] == rows[1]
    assert rows[0][0]["digest"] == str(Converted(storage).digest("team/app", TOP))
