"""A layer over an object store begins with what the process saw last of its push.

Another instance may have changed that: then the layer counts as one that comes after the change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest
from obstore.store import MemoryStore
from support.counted_objects import CountedObjects, count_calls
from support.credentials import basic
from support.engine_client import Image, make_image, tar_layer
from support.push_requests import announcement, checksum_of, json_of, layer_of
from support.wsgi_client import Client

from v1registry import Registry
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.objects import Groups, ObjectStorage

REPOSITORY: Final = "alice/app"
IMAGE: Final = make_image(tar_layer({"file": b"content"}), name="image")
#: a layer that is an object of its own, and one that is not in memory as a whole
LARGE: Final = make_image(bytes(300_000), name="large")
LONG: Final = make_image(bytes(9 << 20), name="long")
SIZES: Final = pytest.mark.parametrize("image", [IMAGE, LARGE, LONG], ids=["small", "large", "long"])


def with_json(image: Image, comment: str) -> Image:
    """Return an image with the same id and layer, and a different JSON."""
    return replace(image, json=json.dumps(json.loads(image.json) | {"comment": comment}).encode())


class TwoInstances:
    """Two registries over one bucket, and one client that asks any of them."""

    def __init__(self, counted: CountedObjects, *, has_accounts: bool):
        store = MemoryStore()
        self.counted = counted
        self.storage, other = (ObjectStorage(store, groups=Groups(KEY_GROUPS)) for _ in range(2))
        options: dict[str, Any] = {"auth": "users:", "secret": "s" * 40} if has_accounts else {}
        self.first, self.second = (Client(Registry(each, **options)) for each in (self.storage, other))
        self.has_accounts = has_accounts
        self.headers: dict[str, str] = {}
        if has_accounts:
            user = {"username": "alice", "password": "pw-alice", "email": "alice@example.org"}
            assert self.first.post("/v1/users/", json.dumps(user)).status_int == 201

    def announce(self, image: Image) -> None:
        login = {**basic("alice"), "X-Docker-Token": "true"} if self.has_accounts else {}
        request = announcement(REPOSITORY, [image.image_id])
        answer = self.first.put(request.path, request.body, {**request.headers, **login})
        assert answer.status_int == 200
        if self.has_accounts:
            self.headers = {"Authorization": f"Token {answer.headers['X-Docker-Token']}"}

    def counters(self) -> list[str]:
        return [stat.key for stat in self.storage.list("uploads/_bytes/")]

    def counted_bytes(self) -> int:
        return sum(int(key.rpartition(".")[2]) for key in self.counters())

    def layers(self) -> int:
        """Return how many layers of unfinished pushes are stored."""
        return sum(stat.key.endswith("/layer") for stat in self.storage.list("uploads/"))


@pytest.fixture(params=[False, True], ids=["open", "accounts"])
def instances(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> TwoInstances:
    return TwoInstances(count_calls(monkeypatch), has_accounts=request.param)


@SIZES
def test_layer_counts_for_a_json_that_another_instance_got(instances: TwoInstances, image: Image) -> None:
    other = with_json(image, "other")
    instances.announce(image)
    assert instances.first.send(json_of(image), instances.headers).status_int == 200
    assert instances.second.send(json_of(other), instances.headers).status_int == 200
    assert instances.first.send(layer_of(image), instances.headers).status_int == 200
    assert instances.layers() == 1
    assert instances.second.send(checksum_of(other), instances.headers).status_int == 200
    assert instances.first.get(f"/v1/images/{image.image_id}/json", instances.headers).body == other.json
    assert instances.first.get(f"/v1/images/{image.image_id}/layer", instances.headers).body == image.layer


@SIZES
@pytest.mark.parametrize("is_same", [True, False], ids=["same", "different"])
def test_layer_of_a_push_that_another_instance_ended_is_compared(
    instances: TwoInstances, image: Image, is_same: bool
) -> None:
    instances.announce(image)
    instances.first.send(json_of(image), instances.headers)
    instances.second.send(layer_of(image), instances.headers)
    assert instances.second.send(checksum_of(image), instances.headers).status_int == 200
    sent = image if is_same else replace(image, layer=image.layer + b"\0")
    answer = instances.first.send(layer_of(sent), instances.headers)
    assert answer.status_int == (200 if is_same else 409)
    assert (instances.layers(), instances.counters()) == (0, [])
    assert instances.second.get(f"/v1/images/{image.image_id}/layer", instances.headers).body == image.layer


def test_layer_is_asked_for_again_if_the_process_knows_no_json(instances: TwoInstances) -> None:
    instances.announce(IMAGE)
    assert instances.first.send(layer_of(IMAGE), instances.headers).status_int == 404
    assert instances.second.send(json_of(IMAGE), instances.headers).status_int == 200
    assert instances.first.send(layer_of(IMAGE), instances.headers).status_int == 200
    assert instances.second.send(checksum_of(IMAGE), instances.headers).status_int == 200


@SIZES
def test_stored_layer_is_counted_exactly(instances: TwoInstances, image: Image) -> None:
    other = with_json(image, "other")
    instances.announce(image)
    instances.first.send(json_of(image), instances.headers)
    instances.second.send(json_of(other), instances.headers)
    instances.first.send(layer_of(image), instances.headers)
    stored = [stat for stat in instances.storage.list("uploads/") if "/_bytes/" not in stat.key]
    sizes = sum(stat.size for stat in stored if "/sent/" in stat.key or stat.key.endswith("/layer"))
    assert sizes <= instances.counted_bytes() <= sizes + 2 * len(other.json) + 1000


def test_json_that_comes_while_the_layer_does_is_not_lost(instances: TwoInstances) -> None:
    other = with_json(LARGE, "other")
    instances.announce(LARGE)
    instances.first.send(json_of(LARGE), instances.headers)

    def pieces() -> Iterator[bytes]:
        yield LARGE.layer[:200_000]
        assert instances.second.send(json_of(other), instances.headers).status_int == 200
        yield LARGE.layer[200_000:]

    path = f"/v1/images/{LARGE.image_id}/layer"
    assert instances.first.put_pieces(path, pieces(), instances.headers).status_int == 200
    assert instances.second.send(checksum_of(other), instances.headers).status_int == 200
    assert instances.layers() == 0


@pytest.mark.parametrize("is_here", [True, False], ids=["same instance", "other instance"])
def test_json_that_replaces_that_of_an_arriving_layer(instances: TwoInstances, is_here: bool) -> None:
    other = with_json(LARGE, "other")
    instances.announce(LARGE)
    instances.first.send(json_of(LARGE), instances.headers)

    def pieces() -> Iterator[bytes]:
        yield LARGE.layer[:200_000]
        client = instances.first if is_here else instances.second
        assert client.send(json_of(other), instances.headers).status_int == 200
        yield LARGE.layer[200_000:]

    path = f"/v1/images/{LARGE.image_id}/layer"
    answer = instances.first.put_pieces(path, pieces(), instances.headers)
    # another instance may have got it before, so the layer counts for it
    is_refused = instances.has_accounts and is_here
    assert answer.status_int == (409 if is_refused else 200)
    assert instances.layers() == (0 if is_refused else 1)


def test_guess_that_is_right_costs_no_look(instances: TwoInstances) -> None:
    instances.announce(IMAGE)
    instances.first.send(json_of(IMAGE), instances.headers)
    with instances.counted.counting() as calls:
        assert instances.first.send(layer_of(IMAGE), instances.headers).status_int == 200
    assert not [call for call in calls if call.startswith(f"get folders/uploads/{IMAGE.image_id}")]
