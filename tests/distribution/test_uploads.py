"""Uploads and blobs of the distribution API (DST-002 to DST-009, DST-029)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.object_storages import storage_of_kind
from support.wsgi_client import Answer, call

from v1registry import Registry
from v1registry.storage.base import Storage

DATA = bytes(range(256)) * 40
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
SHA512 = f"sha512:{hashlib.sha512(DATA).hexdigest()}"


@pytest.fixture(params=["memory", "folder", "objects"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return storage_of_kind(request.param, tmp_path)


@pytest.fixture
def app(storage: Storage) -> Registry:
    return Registry(storage=storage, v2="on")


def ask(app: Registry, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    environ: dict[str, Any] = {
        name if name == "CONTENT_TYPE" else f"HTTP_{name.upper()}": value for name, value in headers.items()
    }
    path, _, query = path.partition("?")
    return call(app, method, path, body=body, QUERY_STRING=query, **environ)


def begin(app: Registry, name: str = "team/app") -> str:
    answer = ask(app, "POST", f"/v2/{name}/blobs/uploads/")
    assert answer.status == 202
    assert answer.header("Range") == "0-0"
    location = str(answer.header("Location"))
    assert location.endswith(str(answer.header("Docker-Upload-UUID")))
    return urlsplit(location).path


def test_DST_003_blob_is_uploaded_by_post_and_put(app: Registry) -> None:
    location = begin(app)
    answer = ask(app, "PUT", f"{location}?digest={DIGEST}", DATA)
    assert answer.status == 201
    assert answer.header("Docker-Content-Digest") == DIGEST
    assert answer.header("Location") == f"/v2/team/app/blobs/{DIGEST}"
    found = ask(app, "GET", f"/v2/team/app/blobs/{DIGEST}")
    assert (found.status, found.body) == (200, DATA)
    assert found.header("Docker-Content-Digest") == DIGEST
    assert found.header("Content-Type") == "application/octet-stream"
    assert ask(app, "GET", location).status == 404


@pytest.mark.parametrize("digest", [DIGEST, SHA512])
def test_DST_003_blob_is_uploaded_by_one_post(app: Registry, digest: str) -> None:
    answer = ask(app, "POST", f"/v2/team/app/blobs/uploads/?digest={digest}", DATA)
    assert answer.status == 201
    for each in (digest, DIGEST):
        assert ask(app, "GET", f"/v2/team/app/blobs/{each}").body == DATA


@pytest.mark.parametrize("digest", [DIGEST, SHA512])
def test_DST_005_chunks_are_joined_in_order(app: Registry, digest: str) -> None:
    location = begin(app)
    assert ask(app, "PATCH", location, DATA[:100], CONTENT_RANGE="0-99").status == 202
    wrong = ask(app, "PATCH", location, DATA[200:300], CONTENT_RANGE="200-299")
    assert (wrong.status, wrong.header("Range"), wrong.header("Location")) == (416, "0-99", location)
    state = ask(app, "GET", location)
    assert (state.status, state.header("Range")) == (204, "0-99")
    assert ask(app, "PATCH", location, DATA[100:300], CONTENT_RANGE="100-299").header("Range") == "0-299"
    answer = ask(app, "PUT", f"{location}?digest={digest}", DATA[300:], CONTENT_RANGE=f"300-{len(DATA) - 1}")
    assert answer.status == 201
    assert ask(app, "GET", f"/v2/team/app/blobs/{digest}").body == DATA


def test_DST_004_stream_and_empty_put(app: Registry, storage: Storage) -> None:
    location = begin(app)
    assert ask(app, "PATCH", location, DATA).status == 202
    assert ask(app, "PUT", f"{location}?digest={DIGEST}").status == 201
    assert [stat.key for stat in storage.list("uploads/")] == []


def test_DST_006_wrong_digest_stores_nothing(app: Registry, storage: Storage) -> None:
    location = begin(app)
    wrong = f"sha256:{'0' * 64}"
    assert ask(app, "PUT", f"{location}?digest={wrong}", DATA).status == 400
    for digest in (wrong, DIGEST):
        assert ask(app, "GET", f"/v2/team/app/blobs/{digest}").status == 404
    assert ask(app, "PUT", f"{location}?digest={DIGEST}", DATA).status == 404
    assert list(storage.list("blobs/")) == []
    assert list(storage.list("uploads/")) == []


def test_DST_007_blob_is_mounted_from_another_repository(app: Registry) -> None:
    ask(app, "POST", f"/v2/team/app/blobs/uploads/?digest={DIGEST}", DATA)
    assert ask(app, "HEAD", f"/v2/team/other/blobs/{DIGEST}").status == 404
    assert ask(app, "POST", f"/v2/team/other/blobs/uploads/?mount={DIGEST}").status == 202
    assert ask(app, "POST", f"/v2/team/other/blobs/uploads/?mount={DIGEST}&from=team/no").status == 202
    answer = ask(app, "POST", f"/v2/team/other/blobs/uploads/?mount={DIGEST}&from=team/app")
    assert (answer.status, answer.header("Docker-Content-Digest")) == (201, DIGEST)
    assert ask(app, "HEAD", f"/v2/team/other/blobs/{DIGEST}").status == 200


def test_DST_008_upload_goes_on_in_another_process(app: Registry, storage: Storage) -> None:
    location = begin(app)
    ask(app, "PATCH", location, DATA[:300])
    other = Registry(storage=storage, v2="on")
    assert ask(other, "GET", location).header("Range") == "0-299"
    ask(other, "PATCH", location, DATA[300:], CONTENT_RANGE=f"300-{len(DATA) - 1}")
    assert ask(app, "PUT", f"{location}?digest={DIGEST}").status == 201


def test_DST_009_cancelled_upload_is_gone(app: Registry, storage: Storage) -> None:
    location = begin(app)
    ask(app, "PATCH", location, DATA)
    assert ask(app, "DELETE", location).status == 204
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        assert ask(app, method, f"{location}?digest={DIGEST}").status == 404
    assert list(storage.list("uploads/")) == []


def test_DST_002_range_of_a_blob(app: Registry) -> None:
    ask(app, "POST", f"/v2/team/app/blobs/uploads/?digest={DIGEST}", DATA)
    answer = ask(app, "GET", f"/v2/team/app/blobs/{DIGEST}", RANGE="bytes=10-19")
    assert (answer.status, answer.body) == (206, DATA[10:20])
    assert answer.header("Content-Range") == f"bytes 10-19/{len(DATA)}"
    assert ask(app, "GET", f"/v2/team/app/blobs/{DIGEST}", RANGE=f"bytes={len(DATA)}-").status == 416
    assert ask(app, "GET", "/v2/team/app/blobs/sha256:x").status == 400


def test_upload_belongs_to_one_repository(app: Registry) -> None:
    location = begin(app)
    assert ask(app, "GET", location.replace("team/app", "team/other")).status == 404
