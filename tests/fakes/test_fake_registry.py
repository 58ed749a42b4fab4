"""FakeRegistry without pytest's fixtures: fill, inspect and reset it, and its errors."""

from __future__ import annotations

import doctest
import gzip
import importlib
import io
import json
import tarfile
import threading

import httpx
import pytest
from v1registry_fakes import FakeImage, FakeRegistry, NotThere, PushRefused
from v1registry_fakes.layers import files_in, layer_of
from webtest import TestApp

from v1registry import SettingsError


@pytest.fixture
def registry():
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def client(registry):
    return TestApp(registry.app)


@pytest.mark.parametrize("module", ["", "layers", "lookup", "recorder", "registry", "server", "session"])
def test_the_examples_in_docstrings_run(module):
    result = doctest.testmod(importlib.import_module(f"v1registry_fakes.{module}".rstrip(".")))
    assert result.attempted > 0
    assert result.failed == 0


# -- filling


def test_add_image_makes_a_repository_that_can_be_pulled(registry, client):
    image = registry.add_image(
        "alice/app:1.0", files={"app.py": "print()", "data/raw": b"\x00\xff"}, layers=3
    )

    assert client.get("/v1/repositories/alice/app/tags").json == {"1.0": image.id}
    ancestry = client.get(f"/v1/images/{image.id}/ancestry").json
    assert len(ancestry) == 3
    listed = client.get("/v1/repositories/alice/app/images", headers={"X-Docker-Token": "true"})
    assert [entry["id"] for entry in listed.json] == ancestry[::-1]
    assert all(entry["checksum"].startswith("tarsum+sha256:") for entry in listed.json)
    layer = client.get(f"/v1/images/{ancestry[0]}/layer").body
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:gz") as tar:
        assert tar.getnames() == ["app.py", "data/raw"]
    assert client.get(f"/v1/images/{ancestry[1]}/json").json["parent"] == ancestry[2]
    assert client.get("/v1/search?q=app").json["num_results"] == 1


def test_the_checksum_is_that_of_the_answers(registry, client):
    image = registry.add_image(files={"a": "b"})
    response = client.get(f"/v1/images/{image.id}/json")
    assert response.headers["X-Docker-Checksum-Payload"] == image.checksum
    assert response.body == image.document


def test_names_may_leave_out_tag_and_namespace(registry):
    image = registry.add_image("ubuntu")
    assert registry.repositories == ["library/ubuntu"]
    assert registry.tags("ubuntu") == registry.tags("library/ubuntu") == {"latest": image.id}
    assert registry.image("ubuntu") == registry.image("library/ubuntu:latest") == image


def test_a_deep_name_keeps_its_colon_for_the_tag(registry):
    image = registry.add_image("alice/group/app:2.1")
    assert registry.tags("alice/group/app") == {"2.1": image.id}


def test_an_image_without_a_name_is_in_no_repository(registry):
    image = registry.add_image()
    assert list(registry.images) == [image.id]
    assert registry.repositories == []


@pytest.mark.parametrize("as_id", [False, True], ids=["image", "id"])
def test_an_image_builds_on_its_parent(registry, as_id):
    base = registry.add_image(files={"etc/motd": "base"})
    image = registry.add_image(parent=base.id if as_id else base, layers=2)
    assert image.ancestry[-1] == base.id
    assert len(image.ancestry) == 3
    assert image.json["parent"] == image.ancestry[1]


def test_a_layer_can_be_given_as_bytes(registry, client):
    image = registry.add_image("alice/odd", layer=b"not an archive")
    assert image.layer == client.get(f"/v1/images/{image.id}/layer").body == b"not an archive"
    assert client.get("/v1/repositories/alice/odd/images").json == [
        {"id": image.id, "checksum": image.checksum}
    ]
    with pytest.raises(ValueError, match="archive"):
        _ = image.files


def test_additional_keys_are_in_the_json_of_the_top_image(registry):
    image = registry.add_image(layers=2, json={"author": "alice", "config": {"Cmd": ["sh"]}})
    assert (image.json["author"], image.json["config"]) == ("alice", {"Cmd": ["sh"]})
    assert "author" not in registry.images[image.ancestry[1]].json


@pytest.mark.parametrize("image_id", ["0" * 64, "0123456789abcdef"])
def test_an_id_can_be_chosen(registry, image_id):
    assert registry.add_image(id=image_id).id == image_id
    assert registry.images[image_id].json["id"] == image_id


def test_made_up_ids_differ_in_a_registry_and_are_the_same_in_every_run():
    with FakeRegistry() as one, FakeRegistry() as other:
        first = [one.add_image(files={"a": "b"}).id for _ in range(3)]
        assert len(set(first)) == 3
        assert [other.add_image(files={"a": "b"}).id for _ in range(3)] == first
        assert other.add_image(files={"a": "c"}).id not in first


def test_only_the_test_sees_an_unfinished_image(registry, client):
    image = registry.add_image("alice/app", layers=2, is_complete=False)
    assert not image.is_complete
    assert registry.images[image.ancestry[1]].is_complete
    assert image.layer
    response = client.get(f"/v1/images/{image.id}/json", status=400)
    assert response.json == {"error": "Image is being uploaded, retry later"}
    assert registry.repositories == ["alice/app"]
    assert registry.tags("alice/app") == {}


def test_an_image_gets_more_tags(registry):
    image = registry.add_image("alice/app:1.0")
    registry.tag(image, "alice/app:latest")
    registry.tag(image.id, "bob/copy:1")
    assert registry.tags("alice/app") == {"1.0": image.id, "latest": image.id}
    assert registry.repositories == ["alice/app", "bob/copy"]


def test_a_repository_can_be_empty_and_private(registry, client):
    registry.add_repository("alice/empty")
    registry.add_repository("alice/secret", is_private=True)
    assert registry.repositories == ["alice/empty", "alice/secret"]
    assert registry.tags("alice/empty") == {}
    assert client.get("/v1/repositories/alice/secret/properties").json == {"access": "private"}
    assert client.get("/v1/repositories/alice/empty/properties").json == {"access": "public"}


def test_filling_leaves_no_trace_among_the_requests(registry):
    registry.add_image("alice/app", layers=2)
    registry.add_repository("alice/secret", is_private=True)
    assert registry.requests == []


# -- layers


def test_files_of_a_layer_are_read_back():
    files = {"a": b"1", "dir/": b"", "dir/é": "text", "dir/old": None, "gone": None}
    assert files_in(layer_of(files)) == {"a": b"1", "dir/é": b"text", "dir/old": None, "gone": None}


def test_the_same_files_give_the_same_layer():
    assert layer_of({"a": "1", "b/": ""}) == layer_of({"a": b"1", "b/": b""})


def test_deletions_and_folders_are_written_as_engines_do():
    with tarfile.open(fileobj=io.BytesIO(layer_of({"d/": "", "d/x": None, "y": None})), mode="r:gz") as tar:
        assert [(member.name, member.isdir()) for member in tar] == [
            ("d", True),
            ("d/.wh.x", False),
            (".wh.y", False),
        ]


def test_layers_of_real_engines_are_read():
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, kind, target in [
            ("./etc/", tarfile.DIRTYPE, ""),
            ("./etc/passwd", tarfile.REGTYPE, ""),
            ("/etc/same", tarfile.LNKTYPE, "./etc/passwd"),
            ("etc/link", tarfile.SYMTYPE, "passwd"),
            ("etc/caf\udce9", tarfile.REGTYPE, ""),
            (".wh..wh.plnk/1.2", tarfile.REGTYPE, ""),
        ]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            content = b"root" if kind == tarfile.REGTYPE else b""
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    expected = {"etc/passwd": b"root", "etc/same": b"root", "etc/café": b"root"}
    assert files_in(archive.getvalue()) == files_in(gzip.compress(archive.getvalue())) == expected


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


# -- errors of wrong use


def test_not_there_lists_the_existing_names(registry):
    image = registry.add_image("alice/app:1.0")
    registry.tag(image, "alice/app:latest")
    for ask, text in [
        (lambda: registry.image("alice/app:x"), "no tag 'x' in alice/app; there are: 1.0, latest"),
        (lambda: registry.tags("alice/app")["x"], "no tag 'x' in alice/app; there are: 1.0, latest"),
        (lambda: registry.tags("bob/app"), "no repository 'bob/app'; there are: alice/app"),
        (lambda: registry.image("bob/app:1.0"), "no repository 'bob/app'; there are: alice/app"),
        (lambda: registry.images["f" * 64], f"no image '{'f' * 64}'; there are: {image.id}"),
        (lambda: registry.images["../x"], f"no image '../x'; there are: {image.id}"),
        (lambda: registry.tag("e" * 64, "alice/app"), f"no image '{'e' * 64}'; there are: {image.id}"),
        (lambda: registry.add_image(parent="d"), f"no image 'd' to be the parent; there are: {image.id}"),
    ]:
        with pytest.raises(NotThere) as caught:
            ask()
        assert str(caught.value) == text
        assert isinstance(caught.value, LookupError)
    assert registry.images.get("f" * 64) is None
    assert "f" * 64 not in registry.images


def test_not_there_lists_some_of_many_names(registry):
    for number in range(15):
        registry.add_repository(f"alice/app{number:02}")
    with pytest.raises(NotThere, match=r"alice/app11 and 3 more$"):
        registry.tags("bob/app")


def test_an_unfinished_image_reports_what_is_missing(registry, client):
    image_id = "ab" * 32
    client.put_json(f"/v1/images/{image_id}/json", {"id": image_id})
    with pytest.raises(NotThere, match="has no layer: its push has not ended"):
        _ = registry.images[image_id].layer
    absent = FakeImage(registry.storage, "cd" * 32)
    assert repr(absent) == f"<FakeImage {'cd' * 32} absent>"
    with pytest.raises(NotThere, match="has no JSON: there is no such image"):
        _ = absent.document


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"files": {}, "layer": b""}, TypeError, "give one of them"),
        ({"layers": 0}, ValueError, "at least 1, not 0"),
        ({"files": {"a": 1}}, TypeError, "content of 'a' must be bytes, text or None, not int"),
        ({"id": "ABC"}, PushRefused, "rejected PUT /v1/images/ABC/json: 404 Invalid image ID"),
        ({"id": "ab" * 32, "json": {"id": "x"}}, PushRefused, "400 JSON data contains invalid id"),
        ({"name": "alice/a$b"}, PushRefused, "400 Invalid repository name"),
        ({"name": "alice/app:-"}, PushRefused, "400 Invalid tag name"),
    ],
)
def test_a_rejected_push_has_the_reason(registry, arguments, error, text):
    with pytest.raises(error, match=text):
        registry.add_image(**arguments)


def test_an_existing_id_is_rejected(registry):
    image = registry.add_image()
    with pytest.raises(PushRefused, match="409 Image already exists") as caught:
        registry.add_image(id=image.id)
    assert caught.value.status == 409


def test_an_unknown_option_suggests_the_nearest_one():
    with pytest.raises(SettingsError, match="did you mean search_limit"):
        FakeRegistry(serach_limit=3)


# -- failures of the registry itself


def _break(registry, monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(registry.storage, "read", fail)
    monkeypatch.setattr(registry.storage, "stat", fail)


def test_check_reports_an_unexpected_error_once(registry, client, monkeypatch):
    image = registry.add_image("alice/app")
    client.get("/v1/_ping")
    with monkeypatch.context() as patched:
        _break(registry, patched, ZeroDivisionError("by chance"))
        client.get(f"/v1/images/{image.id}/json", status=500)
    with pytest.raises(AssertionError) as caught:
        registry.check()
    assert str(caught.value) == (
        "The registry itself failed in these requests, which is not the fault of the test:\n"
        f"  GET /v1/images/{image.id}/json 500\n"
        "    ZeroDivisionError: by chance\n"
        "asked: 2\n"
        "  GET /v1/_ping 200\n"
        f"  GET /v1/images/{image.id}/json 500\n"
        "there: 1 repositories, 1 images\n"
        f"  alice/app:latest {image.id}"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    registry.check()


def test_leaving_the_block_checks_unless_it_failed(monkeypatch):
    def fail_in_block(raised):
        with FakeRegistry() as registry:
            image = registry.add_image()
            with monkeypatch.context() as patched:
                _break(registry, patched, ZeroDivisionError("by chance"))
                TestApp(registry.app).get(f"/v1/images/{image.id}/json", status=500)
            if raised is not None:
                raise raised

    with pytest.raises(AssertionError, match="by chance"):
        fail_in_block(None)
    with pytest.raises(LookupError, match="the test's own"):
        fail_in_block(LookupError("the test's own"))


def test_an_error_in_the_middle_of_an_answer_is_reported(registry, client, monkeypatch):
    image = registry.add_image(layer=b"x" * 300_000)
    open_blob = registry.storage.open

    def open_broken(*arguments):
        blob = open_blob(*arguments)
        monkeypatch.setattr(type(blob), "read", lambda *arguments: 1 / 0)
        return blob

    monkeypatch.setattr(registry.storage, "open", open_broken)
    with pytest.raises(ZeroDivisionError):
        client.get(f"/v1/images/{image.id}/layer")
    with pytest.raises(AssertionError, match=rf"GET /v1/images/{image.id}/layer 200\n    ZeroDivisionError"):
        registry.check()


def test_filling_a_broken_registry_shows_the_error(registry, monkeypatch):
    with monkeypatch.context() as patched:
        _break(registry, patched, ZeroDivisionError("by chance"))
        with pytest.raises(PushRefused, match="500 Internal server error") as caught:
            registry.add_repository("alice/app")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_describe_works_with_a_broken_registry(registry, client, monkeypatch):
    client.get("/v1/_ping")
    with monkeypatch.context() as patched:
        patched.setattr(registry.storage, "list_folders", lambda *arguments, **options: 1 / 0)
        described = registry.describe().splitlines()
    assert described == [
        "asked: 1",
        "  GET /v1/_ping 200",
        "there: unknown, because of ZeroDivisionError('division by zero')",
    ]


def test_rejected_requests_are_not_errors(registry, client):
    client.get("/v1/images/x/json", status=404)
    client.post("/v1/_ping", status=405)
    client.put("/v1/repositories/alice/app/", b"{", status=400)
    registry.check()
    assert all(request.error is None for request in registry.requests)


# -- other clients


def test_webtest_finds_every_kind_of_answer_well_formed(registry, client):
    image = registry.add_image("alice/app", files={"a": "b"}, layers=2)
    unfinished = registry.add_image(is_complete=False)
    path = f"/v1/images/{image.id}"
    etag = client.get(f"{path}/json").headers["ETag"]
    for method, target, headers, status in [
        ("GET", "/v1/_ping", {}, 200),
        ("HEAD", "/v1/_ping", {}, 200),
        ("GET", "/", {}, 200),
        ("GET", "/v1/_status", {}, 200),
        ("GET", "/v2/", {}, 200),
        ("GET", "/v2/x", {}, 404),
        ("GET", "/v1/users", {}, 200),
        ("PUT", "/v1/users/alice/", {}, 204),
        ("GET", "/nowhere", {}, 404),
        ("POST", f"{path}/json", {}, 405),
        ("GET", f"{path}/json", {"If-None-Match": etag}, 304),
        ("HEAD", f"{path}/json", {}, 200),
        ("GET", f"{path}/layer", {}, 200),
        ("HEAD", f"{path}/layer", {}, 200),
        ("GET", f"{path}/layer", {"Range": "bytes=1-3"}, 206),
        ("GET", f"{path}/layer", {"Range": "bytes=999999-"}, 416),
        ("GET", f"{path}/ancestry", {}, 200),
        ("GET", f"{path}/files", {}, 200),
        ("GET", f"{path}/diff", {}, 200),
        ("GET", f"/v1/images/{unfinished.id}/json", {}, 400),
        ("PUT", f"/v1/images/{unfinished.id}/checksum", {}, 412),
        ("PUT", f"{path}/checksum", {"X-Docker-Checksum-Payload": image.checksum}, 200),
        ("PUT", f"{path}/checksum", {"X-Docker-Checksum-Payload": "sha256:0"}, 409),
        ("GET", "/v1/repositories/alice/app/images", {"X-Docker-Token": "true"}, 200),
        ("GET", "/v1/repositories/alice/app/tags", {}, 200),
        ("GET", "/v1/repositories/alice/app/tags/latest", {}, 200),
        ("GET", "/v1/repositories/alice/app/json", {}, 200),
        ("GET", "/v1/search?q=app", {}, 200),
        ("DELETE", "/v1/repositories/alice/app/tags/latest", {}, 200),
        ("DELETE", "/v1/repositories/alice/app/", {}, 200),
    ]:
        client.request(target, method=method, headers=headers, status=status)


def test_httpx_reaches_it_in_process_and_its_chunked_bodies_arrive(registry):
    image_id = "ab" * 32
    transport = httpx.WSGITransport(app=registry.app)
    with httpx.Client(transport=transport, base_url="http://v1registry.test") as client:
        client.put(f"/v1/images/{image_id}/json", json={"id": image_id}).raise_for_status()
        pieces = (piece for piece in [b"lay", b"er"])
        client.put(f"/v1/images/{image_id}/layer", content=pieces).raise_for_status()
        assert registry.images[image_id].layer == b"layer"
        assert client.get("/v1/search").json()["num_results"] == 0
