"""The setting store_redirect: layers and blobs come from the object store, by signed URLs."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError

import pytest
from support.engine_client import make_image, random_layer
from support.object_stores import ObjectStore
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry
from v1registry.settings import SettingsError

LAYER = random_layer(50_000, "redirected")
IMAGE = make_image(LAYER, name="redirected")
PATH = f"/v1/images/{IMAGE.image_id}/layer"
DIGEST = f"sha256:{hashlib.sha256(LAYER).hexdigest()}"

Pushed = Callable[..., Client]


def fetched(url: str, **headers: str) -> tuple[int, bytes]:
    """Return what a client without credentials gets from the store."""
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status, answer.read()


@pytest.mark.parametrize("other", ["x_sendfile", "x_accel_redirect", "layer_redirect"])
def test_only_one_server_can_send_layers(other: str) -> None:
    values = {"x_sendfile": "yes", "x_accel_redirect": "/layers", "layer_redirect": "http://other"}
    with pytest.raises(SettingsError, match=f"{other} and store_redirect exclude each other"):
        Registry(storage="s3://registry", store_redirect="yes", **{other: values[other]})


@pytest.mark.parametrize("storage", [MemoryStorage(), "file:///srv/registry"])
def test_redirect_needs_an_object_store(storage: Any) -> None:
    with pytest.raises(SettingsError, match="store_redirect: the storage must be an object store"):
        Registry(storage=storage, store_redirect=True)


@pytest.fixture(params=[pytest.param("ceph"), pytest.param("azurite", marks=pytest.mark.stores)])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, ObjectStore)
    return found


@pytest.fixture
def pushed(store: ObjectStore) -> Pushed:
    """Return a function that makes a client of a registry with the image; its settings may differ."""
    url = store.url(store.new_bucket(), "registry")

    def make(**settings: Any) -> Client:
        Client(Registry(storage=url)).push(IMAGE)
        return Client(Registry(storage=url, store_redirect=True, **settings))

    return make


@pytest.mark.real
def test_layer_is_at_the_signed_url(pushed: Pushed) -> None:
    answer = pushed().get(PATH)
    assert (answer.status_int, answer.body) == (302, b"")
    assert "no-store" in answer.headers["Cache-Control"] or "no-cache" in answer.headers["Cache-Control"]
    assert fetched(answer.headers["Location"]) == (200, LAYER)


@pytest.mark.real
def test_store_sends_the_range_that_a_client_asks_for(pushed: Pushed) -> None:
    answer = pushed().get(PATH, {"Range": "bytes=100-"})
    assert answer.status_int == 302
    assert fetched(answer.headers["Location"], Range="bytes=100-") == (206, LAYER[100:])


@pytest.mark.real
def test_changed_url_gives_nothing(pushed: Pushed) -> None:
    location = pushed().get(PATH).headers["Location"]
    changed = location.partition("?")[0]
    with pytest.raises(HTTPError) as caught:
        fetched(changed)
    with caught.value as refused:
        assert refused.code in (403, 404)


@pytest.mark.real
def test_blob_is_at_the_signed_url(pushed: Pushed) -> None:
    client = pushed(v2="on")
    assert client.request("POST", f"/v2/a/b/blobs/uploads/?digest={DIGEST}", LAYER).status_int == 201
    answer = client.get(f"/v2/a/b/blobs/{DIGEST}")
    assert (answer.status_int, answer.headers["Docker-Content-Digest"]) == (302, DIGEST)
    assert fetched(answer.headers["Location"]) == (200, LAYER)


@pytest.mark.real
def test_small_blob_comes_from_the_registry(pushed: Pushed) -> None:
    client = pushed(v2="on")
    digest = f"sha256:{hashlib.sha256(b'small').hexdigest()}"
    assert client.request("POST", f"/v2/a/b/blobs/uploads/?digest={digest}", b"small").status_int == 201
    answer = client.get(f"/v2/a/b/blobs/{digest}")
    assert (answer.status_int, answer.body) == (200, b"small")


@pytest.mark.real
def test_answers_without_bytes_come_from_the_registry(pushed: Pushed) -> None:
    client = pushed()
    head = client.head(PATH)
    known = client.get(PATH, {"If-None-Match": head.headers["ETag"]})
    beyond = client.get(PATH, {"Range": f"bytes={len(LAYER)}-"})
    assert (head.status_int, head.headers["Content-Length"]) == (200, str(len(LAYER)))
    assert (known.status_int, beyond.status_int) == (304, 416)
    for answer in (head, known, beyond):
        assert "Location" not in answer.headers


@pytest.mark.real
def test_stranger_gets_no_signed_url(pushed: Pushed) -> None:
    answer = pushed(auth="users:").get(PATH)
    assert answer.status_int == 401
    assert "Location" not in answer.headers


@pytest.mark.real
def test_signed_urls_name_the_public_endpoint(store: ObjectStore) -> None:
    url = store.url(store.new_bucket(), public_endpoint="https://store.example.org")
    Client(Registry(storage=url)).push(IMAGE)
    answer = Client(Registry(storage=url, store_redirect=True)).get(PATH)
    assert answer.headers["Location"].startswith("https://store.example.org/")
