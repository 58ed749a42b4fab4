"""A layer whose bytes were removed while its checksum arrives, by another request of the push."""

from __future__ import annotations

from support.engine_client import make_image, tar_layer
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry

IMAGE = make_image(tar_layer({"file": b"content"}), name="image")


def test_checksum_of_a_removed_layer_makes_no_image() -> None:
    storage = MemoryStorage()
    client = Client(Registry(storage))
    client.put_json(IMAGE)
    client.put_layer(IMAGE)
    for stat in list(storage.list(f"uploads/{IMAGE.image_id}/")):
        if "/layers/" in stat.key:
            storage.delete(stat.key)
    assert client.put_checksum(IMAGE).status_int == 400
    assert list(storage.list(f"images/{IMAGE.image_id}/")) == []


def test_push_with_a_removed_layer_is_completed_by_sending_it_again() -> None:
    storage = MemoryStorage()
    client = Client(Registry(storage))
    client.put_json(IMAGE)
    client.put_layer(IMAGE)
    for stat in list(storage.list(f"uploads/{IMAGE.image_id}/")):
        if "/layers/" in stat.key:
            storage.delete(stat.key)
    client.put_checksum(IMAGE)
    client.put_layer(IMAGE)
    assert client.put_checksum(IMAGE).status_int == 200
    assert client.get(f"/v1/images/{IMAGE.image_id}/layer").body == IMAGE.layer
