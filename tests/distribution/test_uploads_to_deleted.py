"""Uploads whose repository is deleted while they run (DST-009, DST-015)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.faulty_storage import FaultyStorage
from support.v2_client import V2Client, digest_of
from support.wsgi_client import Answer

from v1registry import Registry
from v1registry.storage.base import Storage

DATA = b"bytes of the blob"
DIGEST = digest_of(DATA)
BLOB = f"/v2/team/app/blobs/{DIGEST}"


@pytest.fixture
def storage() -> FaultyStorage:
    return FaultyStorage()


@pytest.fixture
def client(storage: Storage) -> V2Client:
    client = V2Client(Registry(storage=storage))
    assert client.put_manifest("team/app", "latest", client.artifact("team/app", "content")).status == 201
    return client


def codes_of(answer: Answer) -> list[str]:
    return [error["code"] for error in json.loads(answer.body)["errors"]]


def begin(client: V2Client) -> str:
    location = client.ask("POST", "/v2/team/app/blobs/uploads/").header("Location")
    assert location is not None
    return location


def delete(client: V2Client) -> None:
    assert client.ask("DELETE", "/v1/repositories/team/app/").status == 200
    assert client.get("/v2/team/app/tags/list").status == 404


def keys(storage: Storage, prefix: str) -> list[str]:
    return [stat.key for stat in storage.list(prefix)]


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_DST_009_upload_ends_with_its_repository(client: V2Client, storage: Storage, method: str) -> None:
    location = begin(client)
    assert client.ask("PATCH", location, DATA).status == 202
    delete(client)
    answer = client.ask(method, f"{location}?digest={DIGEST}")
    assert (answer.status, codes_of(answer)) == (404, ["BLOB_UPLOAD_UNKNOWN"])
    assert client.get(BLOB).status == 404
    assert keys(storage, "repositories/") == []


def test_DST_009_upload_to_a_new_repository_of_the_name_does_not_end(client: V2Client) -> None:
    delete(client)
    location = begin(client)
    assert client.ask("PATCH", location, DATA).status == 202
    assert client.ask("PUT", f"{location}?digest={DIGEST}").status == 201
    assert client.get(BLOB).body == DATA


def test_DST_009_upload_to_a_repository_that_was_never_there_does_not_end(client: V2Client) -> None:
    location = begin(client)
    assert client.ask("DELETE", "/v1/repositories/team/none/").status == 404
    assert client.ask("PUT", f"{location}?digest={DIGEST}", DATA).status == 201


def monolithic(client: V2Client) -> Callable[[], Answer]:
    return lambda: client.ask("POST", f"/v2/team/app/blobs/uploads/?digest={DIGEST}", DATA)


def in_parts(client: V2Client) -> Callable[[], Answer]:
    location = begin(client)
    assert client.ask("PATCH", location, DATA).status == 202
    return lambda: client.ask("PUT", f"{location}?digest={DIGEST}")


@pytest.mark.parametrize("way", [monolithic, in_parts])
@pytest.mark.parametrize("is_after", [False, True])
def test_DST_015_deletion_while_an_upload_ends_leaves_no_blob(
    client: V2Client, storage: FaultyStorage, way: Callable[[V2Client], Callable[[], Answer]], is_after: bool
) -> None:
    finish = way(client)
    mark = f"repositories/team/app/_v2/blobs/{DIGEST.removeprefix('sha256:')}"
    if is_after:
        storage.after(lambda: delete(client), "write", key=mark)
    else:
        storage.before(lambda: delete(client), "write", key=mark)
    answer = finish()
    assert (answer.status, codes_of(answer)) == (404, ["NAME_UNKNOWN"])
    assert client.get(BLOB).status == 404
    assert keys(storage, "repositories/") == []
    assert keys(storage, "uploads/") == []


def test_DST_015_blob_of_a_later_repository_is_not_taken_back(
    client: V2Client, storage: FaultyStorage
) -> None:
    finish = in_parts(client)
    mark = f"repositories/team/app/_v2/blobs/{DIGEST.removeprefix('sha256:')}"

    def replace() -> None:
        delete(client)
        client.put_blob("team/app", DATA)

    storage.after(replace, "write", key=mark)
    assert finish().status == 404
    assert client.get(BLOB).body == DATA


def test_DST_007_blob_that_is_mounted_meanwhile_is_not_taken_back(
    client: V2Client, storage: FaultyStorage
) -> None:
    finish = in_parts(client)
    client.put_blob("team/other", DATA)
    mark = f"repositories/team/app/_v2/blobs/{DIGEST.removeprefix('sha256:')}"
    mount = f"/v2/team/app/blobs/uploads/?mount={DIGEST}&from=team/other"

    def add_mount() -> None:
        assert client.ask("POST", mount).status == 201

    storage.before(lambda: delete(client), "write", key=mark)
    storage.after(add_mount, "write", key=mark)
    assert finish().status == 404
    assert client.get(BLOB).status == 200
