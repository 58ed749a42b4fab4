"""Pushes that announce a TarSum alone, while a look into another layer runs."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from support.engine_client import Image, make_image, tar_layer
from support.looked_into import WatchedStorage
from support.push_requests import PAYLOAD_HEADER, TARSUM_HEADER
from support.wsgi_client import Client, error_of

from v1registry import Registry
from v1registry.layers.tarsum import tarsum
from v1registry.layers.turns import Busy, Patience
from v1registry.registry.looks import PUSHER, READER

OLD_ENGINES = ("docker/0.6.3 go/go1.1", "docker/0.9.1 go/go1.2.1 kernel/3.2")
OTHER_CLIENTS = ("docker/1.9.1 go/go1.4.3", "curl/7.1", "")

LOOKED_INTO, IMAGE = make_image(tar_layer({"a": b""})), make_image(tar_layer({"b": b"", "c": b"2"}))


def sums_of(image: Image, user_agent: str) -> dict[str, str]:
    """Return the headers of a PUT checksum of an engine before 0.10."""
    headers = {
        TARSUM_HEADER: tarsum(io.BytesIO(image.layer), prefix=image.json),
        "User-Agent": user_agent,
    }
    if "0.9" in user_agent:
        headers[PAYLOAD_HEADER] = "sha256:" + hashlib.sha256(b"the tar before it was compressed").hexdigest()
    return headers


@pytest.fixture
def storage() -> WatchedStorage:
    return WatchedStorage()


@pytest.fixture
def client(storage: WatchedStorage) -> Client:
    client = Client(Registry(storage=storage))
    client.push(LOOKED_INTO)
    return client


@contextmanager
def look_of_a_reader(storage: WatchedStorage, client: Client) -> Iterator[Any]:
    """Let a look run until the block ends; give the turns."""
    storage.reached.clear()
    storage.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(Client(client.app).get, f"/v1/images/{LOOKED_INTO.image_id}/files")
        assert storage.reached.wait(30)
        try:
            yield client.app._services.shown_layers._looks._turns
        finally:
            storage.gate.set()
        assert reader.result().status_int == 200


@pytest.mark.parametrize("user_agent", OLD_ENGINES)
def test_push_of_an_old_engine_needs_no_turn(
    storage: WatchedStorage, client: Client, user_agent: str
) -> None:
    with look_of_a_reader(storage, client) as turns:
        turns._wait = lambda patience: pytest.fail("the push waits")
        client.put_json(IMAGE)
        client.request("PUT", f"/v1/images/{IMAGE.image_id}/layer", IMAGE.layer, {"User-Agent": user_agent})
        storage.opened.clear()
        assert client.put_checksum(IMAGE, sums_of(IMAGE, user_agent)).status_int == 200
        assert not any("/layer" in key for key in storage.opened)
    stored = client.get(f"/v1/images/{IMAGE.image_id}/json").headers
    assert stored["X-Docker-Checksum"] == sums_of(IMAGE, user_agent)[TARSUM_HEADER]


@pytest.mark.parametrize("user_agent", OTHER_CLIENTS)
def test_put_checksum_of_other_clients_waits_longer_than_readers(
    storage: WatchedStorage, client: Client, user_agent: str
) -> None:
    client.put_json(IMAGE)
    client.put_layer(IMAGE)
    waited = []
    with look_of_a_reader(storage, client) as turns:

        def wait(patience: Patience) -> None:
            waited.append(patience)
            raise Busy

        turns._wait = wait
        headers = sums_of(IMAGE, user_agent)
        assert error_of(client.put_checksum(IMAGE, headers))[0] == 503
        assert client.get(f"/v1/images/{IMAGE.image_id}/files").status_int in (400, 404)
    del turns._wait
    assert waited == [PUSHER]
    assert PUSHER.wait_s >= 10 * READER.wait_s
    assert client.put_checksum(IMAGE, headers).status_int == 200


def test_shared_push_key_gets_the_tarsum_of_each_json(storage: WatchedStorage, client: Client) -> None:
    other = Image(IMAGE.image_id, IMAGE.json + b" ", IMAGE.layer)
    client.put_json(IMAGE)
    client.put_json(other)
    user_agent = OLD_ENGINES[0]
    client.request("PUT", f"/v1/images/{IMAGE.image_id}/layer", IMAGE.layer, {"User-Agent": user_agent})
    storage.opened.clear()
    assert client.put_checksum(other, sums_of(other, user_agent)).status_int == 200
    assert not any("/layer" in key for key in storage.opened)
    assert client.get(f"/v1/images/{IMAGE.image_id}/json").body == other.json


def test_old_engine_whose_layer_is_damaged_gets_a_mismatch(storage: WatchedStorage, client: Client) -> None:
    cut = Image(IMAGE.image_id, IMAGE.json, IMAGE.layer[:-20])
    user_agent = OLD_ENGINES[0]
    client.put_json(cut)
    client.request("PUT", f"/v1/images/{cut.image_id}/layer", cut.layer, {"User-Agent": user_agent})
    headers = sums_of(IMAGE, user_agent)
    assert error_of(client.put_checksum(cut, headers)) == (400, "Checksum mismatch")
    client.request("PUT", f"/v1/images/{cut.image_id}/layer", IMAGE.layer, {"User-Agent": user_agent})
    assert client.put_checksum(IMAGE, headers).status_int == 200
