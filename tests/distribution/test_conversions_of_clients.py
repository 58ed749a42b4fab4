"""Slow conversions of one client and the requests of others."""

from __future__ import annotations

import threading

from support.converted import store_image
from support.engine_client import make_image, tar_layer
from support.faulty_storage import FaultyStorage
from support.wsgi_client import call

from v1registry import Registry

SLOW, OTHER = (make_image(tar_layer({f"./{name}": name.encode()}), name=name) for name in ("slow", "other"))


def test_slow_conversion_of_one_address_leaves_a_thread_for_others() -> None:
    storage, go_on = FaultyStorage(), threading.Event()
    for name, image in (("slow", SLOW), ("other", OTHER)):
        store_image(storage, image)
        storage.write(f"repositories/team/{name}/tag_latest", image.image_id.encode())
    storage.before(lambda: go_on.wait(60), "open", key=f"images/{SLOW.image_id}/layer")
    app = Registry(storage=storage, v2_conversion_wait_s=1, v2_conversion_threads=1)

    def pull(name: str, address: str) -> int:
        return call(app, "GET", f"/v2/team/{name}/manifests/latest", REMOTE_ADDR=address).status

    assert pull("slow", "192.0.2.1") == 503
    assert pull("other", "192.0.2.1") == 503
    assert pull("other", "192.0.2.2") == 200
    go_on.set()
