"""Manifests of the distribution API (DST-010 to DST-012, DST-015, DST-020, ENG-014, ENG-022)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.object_storages import storage_of_kind
from support.v2_client import V2Client, descriptor_of, digest_of, dumped, index_of

from v1registry import Registry
from v1registry.distribution.manifests import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_ARTIFACT,
    OCI_INDEX,
    OCI_MANIFEST,
)
from v1registry.storage.base import Storage


@pytest.fixture(params=["memory", "folder", "objects"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return storage_of_kind(request.param, tmp_path)


@pytest.fixture
def client(storage: Storage) -> V2Client:
    return V2Client(Registry(storage=storage, v2="on"))


def error_of(answer: Any) -> tuple[int, str]:
    assert answer.header("Content-Type") == "application/json"
    (error,) = json.loads(answer.body)["errors"]
    return answer.status, error["code"]


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_DST_010_manifest_is_served_byte_for_byte(client: V2Client, media_type: str) -> None:
    data = client.image("team/app", "one", media_type)
    answer = client.put_manifest("team/app", "1.0", data, media_type)
    digest = digest_of(data)
    assert answer.status == 201
    assert answer.header("Location") == f"/v2/team/app/manifests/{digest}"
    assert answer.header("Docker-Content-Digest") == digest
    for reference in ("1.0", digest):
        found = client.get_manifest("team/app", reference)
        assert (found.status, found.body) == (200, data)
        assert found.header("Content-Type") == media_type
        assert found.header("Docker-Content-Digest") == digest
        assert found.header("Content-Length") == str(len(data))
        assert found.header("ETag") == f'"{digest}"'


def test_DST_010_manifest_is_put_by_digest(client: V2Client) -> None:
    data = client.image("team/app", "one")
    for algorithm in ("sha256", "sha512"):
        digest = digest_of(data, algorithm)
        answer = client.put_manifest("team/app", digest, data)
        assert (answer.status, answer.header("Docker-Content-Digest")) == (201, digest)
        found = client.get_manifest("team/app", digest)
        assert (found.body, found.header("Docker-Content-Digest")) == (data, digest)
    assert client.tags("team/app") == []


def test_DST_010_wrong_digest_is_refused(client: V2Client) -> None:
    data = client.image("team/app", "one")
    answer = client.put_manifest("team/app", digest_of(b"other"), data)
    assert error_of(answer) == (400, "DIGEST_INVALID")
    assert client.get_manifest("team/app", digest_of(data)).status == 404


def test_head_is_get_without_body(client: V2Client) -> None:
    data = client.image("team/app", "one")
    client.put_manifest("team/app", "1.0", data)
    head, get = (client.ask(method, "/v2/team/app/manifests/1.0") for method in ("HEAD", "GET"))
    assert head.body == b""
    ignored = "X-Docker-Registry-Request-Id"
    assert [pair for pair in head.headers if pair[0] != ignored][:5] == get.headers[:5]
    assert head.header("Content-Length") == str(len(data))


def test_known_etag_is_not_modified(client: V2Client) -> None:
    data = client.image("team/app", "one")
    client.put_manifest("team/app", "1.0", data)
    answer = client.get_manifest("team/app", "1.0", If_None_Match=f'"{digest_of(data)}"')
    assert (answer.status, answer.body) == (304, b"")


def test_DST_011_missing_blobs_are_all_named(client: V2Client) -> None:
    data = client.image("team/app", "one")
    answer = client.put_manifest("other/app", "1.0", data)
    assert error_of(answer) == (400, "MANIFEST_BLOB_UNKNOWN")
    document = json.loads(data)
    wanted = {document["config"]["digest"], document["layers"][0]["digest"]}
    assert {found["digest"] for found in json.loads(answer.body)["errors"][0]["detail"]} == wanted
    assert client.get("/v2/other/app/tags/list").status == 404


def test_DST_011_blob_of_a_different_size_is_missing(client: V2Client) -> None:
    document = json.loads(client.image("team/app", "one"))
    document["layers"][0]["size"] += 1
    answer = client.put_manifest("team/app", "1.0", dumped(document))
    assert error_of(answer) == (400, "MANIFEST_BLOB_UNKNOWN")


def test_DST_011_missing_subject_is_accepted(client: V2Client) -> None:
    subject = descriptor_of(b"missing", OCI_MANIFEST)
    answer = client.put_manifest("team/app", "1.0", client.image("team/app", "one", subject=subject))
    assert (answer.status, answer.header("OCI-Subject")) == (201, subject["digest"])


def test_foreign_layers_need_no_blob(client: V2Client) -> None:
    document = json.loads(client.image("team/app", "one"))
    document["layers"] += [
        descriptor_of(b"1", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        descriptor_of(b"2", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
        descriptor_of(b"3", "application/vnd.oci.image.layer.v1.tar", urls=["https://example.com/"]),
    ]
    assert client.put_manifest("team/app", "1.0", dumped(document)).status == 201


def test_DST_012_index_is_stored_with_its_entries(client: V2Client) -> None:
    images = [client.image("team/app", content) for content in ("one", "two")]
    index = index_of(*images)
    missing = client.put_manifest("team/app", "1.0", index, OCI_INDEX)
    assert error_of(missing) == (400, "MANIFEST_BLOB_UNKNOWN")
    for image in images:
        assert client.put_manifest("team/app", digest_of(image), image).status == 201
    assert client.put_manifest("team/app", "1.0", index, OCI_INDEX).status == 201
    found = client.get_manifest("team/app", "1.0")
    assert (found.body, found.header("Content-Type")) == (index, OCI_INDEX)


def test_DST_012_docker_list_is_stored(client: V2Client) -> None:
    image = client.image("team/app", "one", DOCKER_MANIFEST)
    client.put_manifest("team/app", digest_of(image), image, DOCKER_MANIFEST)
    entry = descriptor_of(image, DOCKER_MANIFEST, platform={"os": "linux", "architecture": "amd64"})
    index = dumped({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [entry]})
    assert client.put_manifest("team/app", "1.0", index, DOCKER_LIST).status == 201
    assert client.get_manifest("team/app", "1.0").body == index


def test_DST_012_index_of_layers_is_stored(client: V2Client) -> None:
    client.put_blob("team/app", b"layer")
    entry = descriptor_of(b"layer", "application/vnd.oci.image.layer.v1.tar+gzip")
    index = dumped({"schemaVersion": 2, "manifests": [entry]})
    assert client.put_manifest("team/app", "cache", index, OCI_INDEX).status == 201


def test_DST_012_artifact_and_unknown_types_are_stored(client: V2Client) -> None:
    report = client.artifact("team/app", "report", annotations={"org.example": "x"}, unknown=[1])
    artifact = dumped({"mediaType": OCI_ARTIFACT, "artifactType": "text/plain", "blobs": []})
    other = b'{"anything": [1, 2.50, {"x": null}], "annotations": 7, "subject": "none"}\n'
    for tag, data, media_type in (
        ("report", report, OCI_MANIFEST),
        ("artifact", artifact, OCI_ARTIFACT),
        ("other", other, "application/vnd.example.thing.v1+json"),
    ):
        assert client.put_manifest("team/app", tag, data, media_type).status == 201
        found = client.get_manifest("team/app", tag)
        assert (found.body, found.header("Content-Type")) == (data, media_type)


def test_media_type_inside_counts_without_a_header(client: V2Client) -> None:
    data = client.image("team/app", "one")
    assert client.put_manifest("team/app", "1.0", data, "").status == 201
    assert client.get_manifest("team/app", "1.0").header("Content-Type") == OCI_MANIFEST


def test_parameters_of_the_media_type_are_left_out(client: V2Client) -> None:
    data = client.image("team/app", "one")
    assert client.put_manifest("team/app", "1.0", data, f"{OCI_MANIFEST}; charset=utf-8").status == 201
    assert client.get_manifest("team/app", "1.0").header("Content-Type") == OCI_MANIFEST


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/json",
    ],
)
def test_ENG_022_schema_1_is_refused(client: V2Client, media_type: str) -> None:
    data = dumped({"schemaVersion": 1, "name": "team/app", "tag": "1.0", "fsLayers": [], "history": []})
    assert error_of(client.put_manifest("team/app", "1.0", data, media_type)) == (400, "MANIFEST_INVALID")


def _changed(**fields: object) -> bytes:
    document = {
        "schemaVersion": 2,
        "config": descriptor_of(b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": [],
    }
    return dumped({name: value for name, value in {**document, **fields}.items() if value != "left out"})


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"", OCI_MANIFEST),
        (b"{", OCI_MANIFEST),
        (b"[]", OCI_MANIFEST),
        (b"\xff", OCI_MANIFEST),
        (b'{"schemaVersion": NaN}', OCI_MANIFEST),
        (b"[" * 5000, OCI_MANIFEST),
        (b"{}", ""),
        (b"{}", "text"),
        (b"{}", "text/html"),
        (b"{}", "application/x\r\nSet-Cookie: a=b"),
        (_changed(mediaType=DOCKER_MANIFEST), OCI_MANIFEST),
        (_changed(mediaType=7), OCI_MANIFEST),
        (_changed(mediaType=""), OCI_MANIFEST),
        (_changed(schemaVersion=3), OCI_MANIFEST),
        (_changed(schemaVersion=True), OCI_MANIFEST),
        (_changed(config="left out"), OCI_MANIFEST),
        (_changed(config=[]), OCI_MANIFEST),
        (_changed(layers="left out"), OCI_MANIFEST),
        (_changed(layers={}), OCI_MANIFEST),
        (_changed(layers=[7]), OCI_MANIFEST),
        (_changed(layers=[{}]), OCI_MANIFEST),
        (_changed(layers=[{"digest": "sha256:1", "size": 1}]), OCI_MANIFEST),
        (_changed(layers=[{"digest": f"sha384:{'0' * 96}", "size": 1}]), OCI_MANIFEST),
        (_changed(layers=[{"digest": f"sha256:{'0' * 64}", "size": -1}]), OCI_MANIFEST),
        (_changed(layers=[{"digest": f"sha256:{'0' * 64}", "size": True}]), OCI_MANIFEST),
        (_changed(layers=[{"digest": f"sha256:{'0' * 64}", "size": "1"}]), OCI_MANIFEST),
        (_changed(layers=[{"digest": 7, "size": 1}]), OCI_MANIFEST),
        (_changed(layers=[descriptor_of(b"{}", "x")] * 1001), OCI_MANIFEST),
        (_changed(subject="x"), OCI_MANIFEST),
        (_changed(annotations={"a": 1}), OCI_MANIFEST),
        (_changed(manifests=[{}]), OCI_INDEX),
        (_changed(), OCI_INDEX),
        (_changed(blobs=7), OCI_ARTIFACT),
    ],
)
def test_DST_034_invalid_manifest_is_refused(client: V2Client, data: bytes, media_type: str) -> None:
    client.put_blob("team/app", b"{}")
    assert error_of(client.put_manifest("team/app", "1.0", data, media_type)) == (400, "MANIFEST_INVALID")
    assert client.get_manifest("team/app", "1.0").status == 404


def test_odd_descriptors_give_no_500(client: V2Client) -> None:
    client.put_blob("team/app", b"{}")
    config = descriptor_of(b"{}", "application/vnd.oci.empty.v1+json", platform={"os": []}, urls={"a": 1})
    assert client.put_manifest("team/app", "1.0", _changed(config=config, layers=None)).status == 201


def test_manifest_of_too_many_bytes_is_413(storage: Storage) -> None:
    client = V2Client(Registry(storage=storage, v2="on", max_manifest_bytes=400))
    data = client.image("team/app", "one")
    assert error_of(client.put_manifest("team/app", "1.0", data)) == (413, "MANIFEST_INVALID")


def test_manifest_of_too_many_values_is_413(client: V2Client) -> None:
    data = dumped({"list": [0] * 100_001})
    answer = client.put_manifest("team/app", "1.0", data, "application/vnd.example+json")
    assert answer.status == 413


@pytest.mark.parametrize("reference", ["-x", "a b", "x" * 129, "sha256:00", "sha384:" + "0" * 96, "ä", "x:y"])
def test_odd_references_are_400(client: V2Client, reference: str) -> None:
    path = f"/v2/team/app/manifests/{reference}".encode().decode("latin-1")
    data = client.image("team/app", "one")
    for method in ("PUT", "DELETE"):
        assert client.ask(method, path, data, Content_Type=OCI_MANIFEST).status in (400, 404)
    client.put_manifest("team/app", "1.0", data)
    for method in ("GET", "PUT", "DELETE"):
        assert error_of(client.ask(method, path, data, Content_Type=OCI_MANIFEST))[0] == 400


def test_unknown_repository_differs_from_unknown_manifest(client: V2Client) -> None:
    assert error_of(client.get_manifest("team/app", "1.0")) == (404, "NAME_UNKNOWN")
    client.put_manifest("team/app", "1.0", client.image("team/app", "one"))
    assert error_of(client.get_manifest("team/app", "2.0")) == (404, "MANIFEST_UNKNOWN")
    assert error_of(client.get_manifest("team/app", digest_of(b"x"))) == (404, "MANIFEST_UNKNOWN")
    assert error_of(client.get_manifest("team/app", digest_of(b"x", "sha512"))) == (404, "MANIFEST_UNKNOWN")


def test_knowing_a_digest_is_no_access(client: V2Client) -> None:
    data = client.image("team/app", "one")
    client.put_manifest("team/app", "1.0", data)
    client.put_manifest("team/other", "1.0", client.image("team/other", "two"))
    assert client.get_manifest("team/other", digest_of(data)).status == 404


def test_DST_028_ENG_025_library_is_left_out_or_named(client: V2Client) -> None:
    data = client.image("busybox", "one")
    assert client.put_manifest("busybox", "1.0", data).status == 201
    assert client.get_manifest("library/busybox", "1.0").body == data
    assert client.tags("library/busybox") == client.tags("busybox") == ["1.0"]
    assert client.delete_manifest("library/busybox", "1.0").status == 202
    assert client.tags("busybox") == []


def test_DST_015_tag_is_deleted_and_the_manifest_stays(client: V2Client) -> None:
    data = client.image("team/app", "one")
    client.put_manifest("team/app", "1.0", data)
    assert client.delete_manifest("team/app", "1.0").status == 202
    assert error_of(client.delete_manifest("team/app", "1.0")) == (404, "MANIFEST_UNKNOWN")
    assert client.get_manifest("team/app", "1.0").status == 404
    assert client.get_manifest("team/app", digest_of(data)).body == data


def test_DST_015_deleting_a_manifest_deletes_its_tags(client: V2Client) -> None:
    image, artifact = client.image("team/app", "one"), client.artifact("team/app", "two")
    for tag, data in (("1.0", image), ("1", image), ("a", artifact), ("b", artifact)):
        client.put_manifest("team/app", tag, data)
    assert client.delete_manifest("team/app", digest_of(image)).status == 202
    assert client.tags("team/app") == ["a", "b"]
    assert client.delete_manifest("team/app", digest_of(artifact)).status == 202
    assert client.tags("team/app") == []
    for data in (image, artifact):
        assert error_of(client.delete_manifest("team/app", digest_of(data))) == (404, "MANIFEST_UNKNOWN")


def test_DST_015_deletion_is_off_by_a_setting(storage: Storage) -> None:
    client = V2Client(Registry(storage=storage, v2="on", v2_delete="off"))
    data = client.image("team/app", "one")
    client.put_manifest("team/app", "1.0", data)
    for reference in ("1.0", digest_of(data)):
        assert error_of(client.delete_manifest("team/app", reference)) == (405, "UNSUPPORTED")
    assert client.get_manifest("team/app", "1.0").status == 200


def test_DST_033_pull_mode_refuses_changes(storage: Storage) -> None:
    client, readers = (V2Client(Registry(storage=storage, v2=mode)) for mode in ("on", "pull"))
    data = client.image("team/app", "one")
    client.put_manifest("team/app", "1.0", data)
    assert error_of(readers.put_manifest("team/app", "2.0", data)) == (405, "UNSUPPORTED")
    assert error_of(readers.delete_manifest("team/app", "1.0")) == (405, "UNSUPPORTED")
    assert error_of(readers.ask("POST", "/v2/team/app/blobs/uploads/")) == (405, "UNSUPPORTED")
    assert readers.get_manifest("team/app", "1.0").body == data
