"""Uploads to an object store that answers slowly: long ones succeed, and failed ones are not counted."""

from __future__ import annotations

import pytest
from support.clock import Clock
from support.engine_client import Image, make_image
from support.slow_objects import MOST_S, SlowStore, open_slowly
from support.wsgi_client import Answer, Client, call

from v1registry import Registry
from v1registry.registry import reservations
from v1registry.registry.expiry import EXPIRY_S, Expiry
from v1registry.storage import StorageUnavailable, patience
from v1registry.storage.objects import ObjectStorage, data, store

UPLOADS = "/v2/team/app/blobs/uploads/"


class World:
    """A registry over a slow store, and its client."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.clock = Clock(1_800_000_000)
        self.storage: ObjectStorage
        self.slow: SlowStore
        self.storage, self.slow = open_slowly(monkeypatch, self.clock)
        self.app = Registry(self.storage, clock=self.clock)
        # the first write finds out what the store can do
        assert self.begin(UPLOADS).status == 202

    def begin(self, path: str) -> Answer:
        """Begin an upload."""
        return call(self.app, "POST", path)

    def send(self, location: str, body: bytes) -> Answer:
        """Send a piece of unknown length."""
        chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
        return call(self.app, "PATCH", location[location.index("/v2/") :], body, **chunked)

    def keys(self) -> list[str]:
        """Return what is stored of uploads."""
        return [stat.key for stat in self.storage.list("uploads/")]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    # a body is counted in smaller steps than usual
    monkeypatch.setattr(reservations, "_STEPS", (1 << 20, 0))
    return World(monkeypatch)


def test_upload_that_takes_longer_than_a_request_waits_succeeds(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reservations, "_STEPS", (4 << 20, 0))
    for module in (store, data):
        monkeypatch.setattr(module, "PART_BYTES", 32 << 10)
    location = world.begin(UPLOADS).header("Location")
    world.slow.takes_s = 1.5
    answer = world.send(location, b"x" * (32 << 20))
    assert (answer.status, answer.header("Range")) == (202, f"0-{(32 << 20) - 1}")
    assert world.slow.now_s > 2 * MOST_S


@pytest.mark.parametrize("takes_s", [1.5, 2.0, 3.0, 4.0])
def test_failed_upload_leaves_no_counters(world: World, takes_s: float):
    location = world.begin(UPLOADS).header("Location")
    before = world.keys()
    world.slow.takes_s = takes_s
    answer = world.send(location, b"x" * (12 << 20))
    assert answer.status == 503
    assert world.slow.now_s < 2 * MOST_S
    world.slow.takes_s = 0.0
    assert world.keys() == before


@pytest.mark.parametrize("takes_s", [7.0, 8.0, 9.0])
def test_upload_that_cannot_begin_is_not_counted(world: World, takes_s: float):
    def counters() -> int:
        keys = world.keys()
        return sum("/_bytes/" in key or "/_repositories/" in key for key in keys)

    before = counters()
    world.slow.takes_s = takes_s
    # two requests with the time of one: counters that are written at once may leave enough for the first
    with patience.request():
        statuses = [world.begin(UPLOADS).status for _ in range(2)]
    assert statuses[-1] == 503
    world.slow.takes_s = 0.0
    assert counters() == before + 2 * statuses.count(202)


@pytest.mark.parametrize("takes_s", [2.0, 2.5, 3.0])
def test_failed_layer_of_a_push_is_not_counted(world: World, takes_s: float):
    client = Client(world.app)
    image = make_image(b"", name="slow layer")
    assert client.put_json(image).status_int == 200
    before = world.keys()
    world.slow.takes_s = takes_s
    assert client.put_layer(Image(image.image_id, image.json, b"x" * (24 << 20))).status_int == 503
    world.slow.takes_s = 0.0
    assert world.keys() == before


def test_removal_of_what_expired_costs_a_request_one_long_wait(world: World):
    for number in range(8):
        assert world.begin(f"/v2/team/app{number}/blobs/uploads/").status == 202
    world.clock.now_s += EXPIRY_S + 60
    expiry = Expiry(world.storage, clock=world.clock)
    world.slow.takes_s = 3.0
    with patience.request(), world.storage.moment():
        expiry.tidy()
        assert world.slow.now_s == 3.0
        # all other calls have the whole time
        with pytest.raises(StorageUnavailable, match="waited too long"):
            while True:
                world.storage.write("uploads/_deleted/a", b"")
    assert world.slow.now_s > 3.0 + MOST_S
