"""Hostile and odd requests to uploads and blobs (DST-002 to DST-007, DST-034)."""

from __future__ import annotations

import json

import pytest
from support.v2_client import V2Client, digest_of
from support.wsgi_client import call

from v1registry import MemoryStorage, Registry
from v1registry.storage.base import Storage

DATA = b"0123456789"
DIGEST = digest_of(DATA)
UPLOADS = "/v2/team/app/blobs/uploads/"


@pytest.fixture
def storage() -> Storage:
    return MemoryStorage()


@pytest.fixture
def client(storage: Storage) -> V2Client:
    return V2Client(Registry(storage=storage, v2="on"))


def begin(client: V2Client) -> str:
    answer = client.ask("POST", UPLOADS)
    assert answer.status == 202
    return str(answer.header("Location"))


@pytest.mark.parametrize(
    "header",
    ["bytes 0-9", "bytes=0-9", "0-9/10", "9-0", "0-", "-9", "0-9,10-19", "a-b", "0-" + "9" * 19, "٠-٩"],
)
def test_DST_005_malformed_content_range_is_400(client: V2Client, header: str) -> None:
    location = begin(client)
    answer = client.ask("PATCH", location, DATA, Content_Range=header)
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (400, "BLOB_UPLOAD_INVALID")
    assert client.get(location).header("Range") == "0-0"


@pytest.mark.parametrize("header", ["0-8", "0-10"])
def test_DST_005_range_of_a_different_length_is_400(client: V2Client, header: str) -> None:
    location = begin(client)
    answer = client.ask("PATCH", location, DATA, Content_Range=header)
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (400, "SIZE_INVALID")
    assert client.get(location).header("Range") == "0-0"


@pytest.mark.parametrize(
    "digest", ["", "sha256:", DIGEST.upper(), "sha256:" + "A" * 64, "md5:00", "x", "%00", "../x"]
)
def test_malformed_digest_is_400_and_the_upload_stays(client: V2Client, digest: str) -> None:
    location = begin(client)
    client.ask("PATCH", location, DATA)
    for method, path in (("PUT", f"{location}?digest={digest}"), ("POST", f"{UPLOADS}?digest={digest}")):
        answer = client.ask(method, path)
        assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (400, "DIGEST_INVALID")
    assert client.ask("PUT", f"{location}?digest={DIGEST}").status == 201


@pytest.mark.parametrize(
    "query", [f"digest={DIGEST.replace(':', '%3A')}", f"_state=x&digest={DIGEST}&digest=x"]
)
def test_DST_004_digest_is_found_in_odd_queries(client: V2Client, query: str) -> None:
    location = begin(client)
    client.ask("PATCH", f"{location}?_state=x", DATA)
    assert client.ask("PUT", f"{location}?{query}").status == 201
    assert client.get(f"/v2/team/app/blobs/{DIGEST}").body == DATA


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_DST_003_blob_of_zero_bytes(client: V2Client, algorithm: str) -> None:
    digest = digest_of(b"", algorithm)
    assert client.ask("PUT", f"{begin(client)}?digest={digest}").status == 201
    answer = client.get(f"/v2/team/app/blobs/{digest}")
    assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "0")


@pytest.mark.parametrize("upload_id", ["0" * 32, "0" * 31, "A" * 32, "..", "_bytes", "%2e%2e", "0" * 5000])
@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_unknown_upload_is_404(client: V2Client, method: str, upload_id: str) -> None:
    answer = client.ask(method, f"{UPLOADS}{upload_id}?digest={DIGEST}", DATA if method != "GET" else b"")
    assert answer.status == 404
    assert json.loads(answer.body)["errors"]


def test_location_keeps_the_path_of_the_mount(storage: Storage) -> None:
    app = Registry(storage=storage, v2="on")
    answer = call(app, "POST", UPLOADS, SCRIPT_NAME="/registry")
    assert str(answer.header("Location")).startswith(f"/registry{UPLOADS}")
    answer = call(app, "POST", UPLOADS, DATA, SCRIPT_NAME="/registry", QUERY_STRING=f"digest={DIGEST}")
    assert answer.header("Location") == f"/registry/v2/team/app/blobs/{DIGEST}"


@pytest.mark.parametrize("source", ["", "../x", "TEAM/app", "team/none", "team/app"])
def test_DST_007_mount_that_is_not_possible_begins_an_upload(client: V2Client, source: str) -> None:
    answer = client.ask("POST", f"{UPLOADS}?mount={DIGEST}&from={source}")
    assert (answer.status, answer.header("Range")) == (202, "0-0")


def test_DST_002_head_and_unchanged_blob_have_no_body(client: V2Client) -> None:
    client.put_blob("team/app", DATA)
    head = client.ask("HEAD", f"/v2/team/app/blobs/{DIGEST}")
    assert (head.status, head.body, head.header("Content-Length")) == (200, b"", "10")
    assert head.header("Docker-Content-Digest") == DIGEST
    assert client.get(f"/v2/team/app/blobs/{DIGEST}", If_None_Match=f'"{DIGEST}"').status == 304
