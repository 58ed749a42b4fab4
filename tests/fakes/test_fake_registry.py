"""FakeRegistry without pytest's fixtures: fill and read it, and clients in process."""

from __future__ import annotations

import doctest
import gzip
import importlib
import io
import tarfile

import httpx
import pytest
from support.programs import PROJECT
from v1registry_fakes import FakeRegistry
from v1registry_fakes.layers import files_in, layer_of

FAKES = PROJECT / "fakes"

#: The modules with examples: dotted names below the package, empty for the package itself.
EXAMPLES = [
    ".".join(path.relative_to(FAKES).with_suffix("").parts).removesuffix("__init__").rstrip(".")
    for path in sorted(FAKES.rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]


@pytest.mark.parametrize("module", EXAMPLES)
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
