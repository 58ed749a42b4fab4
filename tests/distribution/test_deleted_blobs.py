"""Deletion of blobs through the distribution API (DST-015)."""

from __future__ import annotations

import json

import pytest
from support.v2_client import V2Client, digest_of
from support.wsgi_client import Answer

from v1registry import MemoryStorage, Registry
from v1registry.storage.base import Storage

DATA = b"a blob"
ABSENT = digest_of(b"never pushed")


@pytest.fixture
def storage() -> Storage:
    return MemoryStorage()


@pytest.fixture
def client(storage: Storage) -> V2Client:
    return V2Client(Registry(storage=storage, v2="on"))


def codes_of(answer: Answer) -> list[str]:
    return [error["code"] for error in json.loads(answer.body)["errors"]]


def path(name: str, digest: str) -> str:
    return f"/v2/{name}/blobs/{digest}"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_DST_015_deleted_blob_is_not_readable_there_any_more(client: V2Client, algorithm: str) -> None:
    digest = client.put_blob("team/app", DATA, algorithm)
    client.put_blob("team/other", DATA)
    assert client.ask("DELETE", path("team/app", digest)).status == 202
    for each in (digest, digest_of(DATA)):
        assert client.get(path("team/app", each)).status == 404
    assert client.get(path("team/other", digest_of(DATA))).body == DATA
    assert client.ask("DELETE", path("team/app", digest)).status == 404


def test_DST_015_blob_that_a_manifest_needs_cannot_be_deleted(client: V2Client) -> None:
    manifest = client.artifact("team/app", "content")
    assert client.put_manifest("team/app", "latest", manifest).status == 201
    blob = path("team/app", digest_of(b"content"))
    answer = client.ask("DELETE", blob)
    assert answer.status == 405
    assert codes_of(answer) == ["UNSUPPORTED"]
    assert client.get(blob).body == b"content"
    assert client.delete_manifest("team/app", digest_of(manifest)).status == 202
    assert client.ask("DELETE", blob).status == 202
    assert client.get(blob).status == 404


def test_DST_015_deleted_blob_can_be_pushed_again(client: V2Client) -> None:
    digest = client.put_blob("team/app", DATA)
    client.ask("DELETE", path("team/app", digest))
    client.put_blob("team/app", DATA)
    assert client.get(path("team/app", digest)).body == DATA


@pytest.mark.parametrize(
    ("name", "digest", "status", "code"),
    [
        ("team/app", ABSENT, 404, "BLOB_UNKNOWN"),
        ("team/none", ABSENT, 404, "BLOB_UNKNOWN"),
        ("team/app", "sha256:x", 400, "DIGEST_INVALID"),
        ("team/app", f"md5:{'0' * 32}", 400, "DIGEST_INVALID"),
        ("team/APP", ABSENT, 400, "NAME_INVALID"),
    ],
)
def test_deletion_of_what_is_missing_is_refused(
    client: V2Client, name: str, digest: str, status: int, code: str
) -> None:
    client.put_blob("team/app", DATA)
    answer = client.ask("DELETE", path(name, digest))
    assert (answer.status, codes_of(answer)) == (status, [code])


@pytest.mark.parametrize("settings", [{"v2": "on", "v2_delete": "off"}, {"v2": "pull"}])
def test_deletion_that_is_off_is_405(storage: Storage, client: V2Client, settings: dict[str, str]) -> None:
    digest = client.put_blob("team/app", DATA)
    other = V2Client(Registry(storage=storage, **settings))  # type: ignore[arg-type]
    answer = other.ask("DELETE", path("team/app", digest))
    assert (answer.status, codes_of(answer)) == (405, ["UNSUPPORTED"])
    assert other.get(path("team/app", digest)).body == DATA


def test_server_in_front_sends_the_bytes_of_a_blob(storage: Storage, client: V2Client) -> None:
    digest = client.put_blob("team/app", DATA)
    other = V2Client(Registry(storage=storage, v2="on", x_accel_redirect="/_storage/"))
    answer = other.get(path("team/app", digest))
    sha256 = digest.partition(":")[2]
    assert answer.header("X-Accel-Redirect") == f"/_storage/blobs/sha256/{sha256[:2]}/{sha256}/data"
    assert (answer.status, answer.body, answer.header("Docker-Content-Digest")) == (200, b"", digest)
