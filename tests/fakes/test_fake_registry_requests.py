"""The requests that FakeRegistry records, several registries, and a reset."""

from __future__ import annotations

import io
import json
import threading

import pytest
from v1registry_fakes import FakeRegistry
from v1registry_fakes.layers import layer_of
from webtest import TestApp

# -- looking into it


def test_pushes_of_clients_can_be_inspected(registry, client):
    image_id, layer = "ab" * 32, layer_of({"hello": "world"})
    document = json.dumps({"id": image_id, "comment": "é"}, ensure_ascii=False).encode()
    client.put(f"/v1/images/{image_id}/json", document)
    image = registry.images[image_id]
    assert (image.is_complete, image.json["comment"]) == (False, "é")
    client.put(f"/v1/images/{image_id}/layer", layer)
    assert (image.is_complete, image.layer, image.document) == (False, layer, document)
    client.put(f"/v1/images/{image_id}/checksum", headers={"X-Docker-Checksum-Payload": image.checksum})
    client.put_json("/v1/repositories/alice/app/tags/1.0", image_id)

    assert image.is_complete
    assert image.files == {"hello": b"world"}
    assert image.ancestry == [image_id]
    assert registry.image("alice/app:1.0") == image
    assert repr(image) == f"<FakeImage {image_id} complete>"
    assert dict(registry.images) == {image_id: image}
    assert {image, registry.images[image_id]} == {image}
    assert image != image_id


def test_requests_are_recorded_in_order_with_their_answers(registry, client):
    registry.add_image("alice/app")
    client.get("/v1/search?q=app&n=1", headers={"User-Agent": "docker/1.9.1"})
    client.get("/v1/repositories/alice/app/tags/none", status=404)
    assert [str(request) for request in registry.requests] == [
        "GET /v1/search?q=app&n=1 200",
        "GET /v1/repositories/alice/app/tags/none 404",
    ]
    search = registry.requests[0]
    assert (search.method, search.path, search.query, search.status) == (
        "GET",
        "/v1/search",
        "q=app&n=1",
        200,
    )
    assert search.headers["user-AGENT"] == "docker/1.9.1"
    assert "X-Docker-Token" not in search.headers
    assert dict(search.headers) == {"Host": "localhost:80", "User-Agent": "docker/1.9.1"}
    assert repr(search.headers) == "{'Host': 'localhost:80', 'User-Agent': 'docker/1.9.1'}"
    assert len(search.headers) == 2
    assert ("Content-Type", "application/json") in search.response_headers
    assert repr(registry.requests) == (
        "<2 requests>\n  GET /v1/search?q=app&n=1 200\n  GET /v1/repositories/alice/app/tags/none 404"
    )


def test_requests_can_be_selected_and_cleared(registry, client):
    image = registry.add_image("alice/app")
    client.get(f"/v1/images/{image.id}/json")
    client.get(f"/v1/images/{image.id}/layer")
    client.head(f"/v1/images/{image.id}/layer")
    assert len(registry.requests.matching(path="/v1/images/*/layer")) == 2
    assert [str(each) for each in registry.requests.matching("HEAD")] == [
        f"HEAD /v1/images/{image.id}/layer 200"
    ]
    assert registry.requests.matching(status=404) == []
    registry.requests.clear()
    assert registry.requests == []
    assert repr(registry.requests) == "<no requests>"


def test_a_request_is_recorded_while_it_runs(registry, client):
    image = registry.add_image(is_complete=False)
    seen = []

    class Body(io.BytesIO):
        def read(self, size=-1):
            seen.append(repr(registry.requests[-1]))
            return super().read(size)

    environ = {"wsgi.input": Body(b"layer"), "CONTENT_LENGTH": "5"}
    client.request(f"/v1/images/{image.id}/layer", method="PUT", environ=environ)
    assert seen[0] == f"<RecordedRequest PUT /v1/images/{image.id}/layer unanswered>"


def test_a_path_that_is_not_utf8_is_recorded(registry):
    client = TestApp(registry.app, lint=False)
    client.request("/v1/images/%ff/json", status=400)
    assert str(registry.requests[0]) == "GET /v1/images/\\xff/json 400"


def test_options_are_settings_of_the_registry():
    with FakeRegistry(search_limit=1, message="mine") as registry:
        registry.add_image("alice/one")
        registry.add_image("alice/two")
        client = TestApp(registry.app)
        assert len(client.get("/v1/search").json["results"]) == 1
        assert client.get("/").json == "mine"


def test_repr_counts_images_and_repositories(registry):
    registry.add_image("alice/app", layers=2)
    assert repr(registry) == "<FakeRegistry: 2 images in 1 repositories>"
    assert repr(FakeRegistry().images) == "<images: none>"


def test_describe_lists_requests_and_contents(registry, client):
    assert registry.describe() == "asked: nothing\nthere: 0 repositories, 0 images"
    registry.add_repository("alice/empty")
    image = registry.add_image("alice/app:1.0", is_complete=False)
    for _ in range(40):
        client.get("/v1/_ping")
    assert registry.describe().splitlines() == [
        "asked: 40",
        "  ...",
        *["  GET /v1/_ping 200"] * 30,
        "there: 2 repositories, 1 images",
        "  alice/app without tags",
        "  alice/empty without tags",
        f"  image in progress {image.id}",
    ]


# -- one test's own


def test_two_registries_at_once_share_nothing():
    with FakeRegistry() as one, FakeRegistry() as other:
        image = one.add_image("alice/app")
        TestApp(other.app).get("/v1/repositories/alice/app/tags", status=404)
        assert (other.repositories, list(other.images), one.requests) == ([], [], [])
        other.add_image("alice/app:2", id=image.id, layer=b"something else")
        assert one.tags("alice/app") == {"latest": image.id}
        assert one.images[image.id] != other.images[image.id]
        assert one.url != other.url


def test_reset_keeps_app_and_options():
    with FakeRegistry(message="mine") as registry:
        first = registry.add_image("alice/app")
        app = registry.app
        client = TestApp(app)
        client.get("/v1/_ping")
        registry.reset()
        assert (registry.repositories, list(registry.images), registry.requests) == ([], [], [])
        assert registry.app is app
        assert client.get("/").json == "mine"
        assert registry.add_image("alice/app") == registry.images[first.id]


def test_an_upload_during_a_reset_leaves_nothing_behind(registry, client):
    image = registry.add_image(is_complete=False)

    class Body(io.BytesIO):
        def read(self, size=-1):
            registry.reset()
            return super().read(size)

    environ = {"wsgi.input": Body(b"layer"), "CONTENT_LENGTH": "5"}
    client.request(f"/v1/images/{image.id}/layer", method="PUT", environ=environ)
    assert list(registry.images) == []


def test_contents_can_be_read_after_close():
    with FakeRegistry() as registry:
        image = registry.add_image("alice/app", files={"a": "b"})
    assert registry.image("alice/app") == image
    assert image.files == {"a": b"b"}
    registry.close()
    with pytest.raises(RuntimeError, match="closed"):
        _ = registry.url


def test_threads_can_fill_and_read_at_once(registry):
    def work(number):
        image = registry.add_image(f"user{number}/app", files={"number": str(number)}, layers=2)
        assert TestApp(registry.app).get(f"/v1/images/{image.id}/layer").body == image.layer
        done.append(registry.image(f"user{number}/app").files)

    done = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(files["number"]) for files in done) == list(range(8))
    assert len(registry.images) == 16
    assert len(registry.requests) == 8
