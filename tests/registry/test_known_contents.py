"""Complete images that are remembered: what they cost, and that they are not stale."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.clock import Clock
from support.engine_client import Image, make_image, tar_layer
from support.faulty_storage import FaultyStorage
from support.quiet_folders import Settle, settle
from support.wsgi_client import Client

from v1registry import FileStorage, MemoryStorage, Registry
from v1registry.registry import known_contents
from v1registry.registry.contents import Contents
from v1registry.registry.known_contents import READ_EVERY_S
from v1registry.registry.layout import content_key
from v1registry.rights import Content, User

__all__ = ["settle"]

PARENT = make_image(tar_layer({"a": b"a"}), name="parent")
IMAGE = make_image(tar_layer({"b": b"b"}), PARENT.image_id, name="image")
FOLDER = f"images/{IMAGE.image_id}"
URL = f"/v1/images/{IMAGE.image_id}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def storage(tmp_path: Path) -> FaultyStorage:
    return FaultyStorage(FileStorage(tmp_path, durable=False))


@pytest.fixture
def client(storage: FaultyStorage, clock: Clock, settle: Settle) -> Client:
    """Return a client of a registry that has answered requests for a complete image."""
    found = Client(Registry(storage, clock=clock))
    for image in (PARENT, IMAGE):
        found.push(image)
    settle()
    assert statuses(found) == [200, 200, 200]
    return found


def statuses(client: Client) -> list[int]:
    return [client.get(f"{URL}/{what}").status_int for what in ("json", "ancestry", "layer")]


def calls_of(storage: FaultyStorage, client: Client, what: str) -> int:
    before = storage.count()
    assert client.get(f"{URL}/{what}").status_int == 200
    return storage.count() - before


# -- cost


@pytest.mark.parametrize(("what", "calls"), [("json", 1), ("ancestry", 1), ("layer", 2)])
def test_answer_about_a_known_image_costs_few_calls(
    client: Client, storage: FaultyStorage, what: str, calls: int
) -> None:
    assert calls_of(storage, client, what) == calls


def test_answers_about_a_known_image_are_those_before(client: Client, storage: FaultyStorage) -> None:
    again = Client(Registry(storage))
    for what in ("json", "ancestry", "layer"):
        before, now = again.get(f"{URL}/{what}"), client.get(f"{URL}/{what}")
        for answer in (before, now):
            del answer.headers["X-Request-Id"], answer.headers["Expires"]
        assert (before.headerlist, before.body) == (now.headerlist, now.body)


def test_unknown_image_is_looked_up_once(client: Client, storage: FaultyStorage) -> None:
    before = storage.count("stat") + storage.count("read")
    assert client.get(f"/v1/images/{'f' * 64}/json").status_int == 404
    # the mark of an unfinished push
    assert storage.count("stat") + storage.count("read") - before == 1


def test_image_of_a_folder_that_just_changed_is_not_kept(storage: FaultyStorage, clock: Clock) -> None:
    found = Client(Registry(storage, clock=clock))
    found.push(PARENT, IMAGE)
    assert calls_of(storage, found, "json") == calls_of(storage, found, "json") > 4


def test_image_with_accounts_is_remembered(storage: FaultyStorage, settle: Settle) -> None:
    world = AccountsWorld(People.of(User("alice")), storage)
    alice, image = world.person("alice"), image_of("base")
    alice.push("alice/app", image)
    settle()
    assert alice.image(image) == 200
    before = storage.count("read", key=f"images/{image.image_id}/json")
    assert alice.image(image) == 200
    assert storage.count("read", key=f"images/{image.image_id}/json") == before


def test_memory_of_images_is_bounded(
    tmp_path: Path, clock: Clock, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_contents, "KEPT_BYTES", 20_000)
    storage = FileStorage(tmp_path, durable=False)
    contents = Contents(storage, clock=clock)
    ids = [f"{number:064}" for number in range(20)]
    for image_id in ids:
        storage.write(f"images/{image_id}/json", b'{"id": "%s"}' % image_id.encode())
        storage.write(f"images/{image_id}/layer", b"layer")
        storage.write(f"images/{image_id}/ancestry", json.dumps([image_id, *[ids[0]] * 9]).encode())
    settle()
    for image_id in ids:
        found = contents.first(image_id)
        assert found is not None
        assert len(contents.ancestry(found)) == 10
    sizes = [known_contents._size_of(look) for look, _ in contents._known._looks._values.values()]
    assert len(sizes) > 1
    assert sum(sizes) <= 20_000
    assert all(size > 3000 for size in sizes), "the ancestry counts too"


# -- changes


def test_image_that_another_process_removes_is_gone(client: Client, tmp_path: Path, settle: Settle) -> None:
    FileStorage(tmp_path, durable=False).delete(f"{FOLDER}/json")
    settle()
    assert statuses(client) == [404, 404, 404]
    FileStorage(tmp_path, durable=False).delete_tree(FOLDER)
    assert statuses(client) == [404, 404, 404]


def test_image_that_is_stored_again_has_its_new_sums(client: Client, tmp_path: Path, settle: Settle) -> None:
    FileStorage(tmp_path, durable=False).write(f"{FOLDER}/_checksum", b'["sha256:%s"]' % (b"1" * 64))
    settle()
    assert client.get(f"{URL}/json").headers["X-Docker-Payload-Checksum"] == f"sha256:{'1' * 64}"


def test_image_that_docker_registry_gets_again_is_in_progress(
    client: Client, tmp_path: Path, settle: Settle
) -> None:
    folder = tmp_path / FOLDER
    # the order of docker-registry 0.9.1, images.py
    (folder / "_inprogress").write_bytes(b"true")
    settle()
    assert statuses(client) == [400, 400, 400]
    (folder / "_checksum").unlink()
    (folder / "json").write_bytes(IMAGE.json.replace(b"ADD image", b"ADD other"))
    (folder / "_inprogress").unlink()
    settle()
    assert b"ADD other" in client.get(f"{URL}/json").body
    assert "X-Docker-Payload-Checksum" not in client.get(f"{URL}/json").headers


@pytest.mark.parametrize("key", ["json", "layer"])
def test_key_that_is_emptied_in_place_is_seen_after_two_seconds(
    client: Client, tmp_path: Path, clock: Clock, key: str
) -> None:
    (tmp_path / FOLDER / key).write_bytes(b"")
    clock.now_s += READ_EVERY_S
    assert statuses(client) == [404, 404, 404]


def test_layer_that_is_cut_in_place_is_not_sent(client: Client, tmp_path: Path) -> None:
    (tmp_path / FOLDER / "layer").write_bytes(IMAGE.layer[:50])
    assert client.get(f"{URL}/layer").status_int == 503
    assert client.get(f"{URL}/layer").headers["Content-Length"] == "50"


def test_variant_is_remembered_for_its_folder(tmp_path: Path, settle: Settle) -> None:
    storage = FaultyStorage(FileStorage(tmp_path, durable=False))
    contents, content = Contents(storage, clock=Clock()), Content(IMAGE.image_id, "a" * 64)
    storage.write(content_key(content, "json"), IMAGE.json)
    storage.write(content_key(content, "layer"), b"layer")
    settle()
    assert contents.whole(content) is not None
    before = storage.count()
    assert contents.whole(content) is not None
    assert storage.count() - before == 1
    storage.delete(content_key(content, "json"))
    assert contents.whole(content) is None


def test_image_in_memory_is_exact() -> None:
    storage = MemoryStorage()
    client = Client(Registry(storage))
    client.push(PARENT, IMAGE)
    assert client.get(f"{URL}/json").body == IMAGE.json
    other: Image = make_image(IMAGE.layer, name="other")
    storage.write(f"{FOLDER}/json", other.json.replace(other.image_id.encode(), IMAGE.image_id.encode()))
    assert b"ADD other" in client.get(f"{URL}/json").body
