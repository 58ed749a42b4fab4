"""The headers that let a server in front send layers and blobs, and whose file wrapper sends ranges."""

from __future__ import annotations

import hashlib
import io
from contextlib import closing
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from support.engine_client import make_image, random_layer
from support.wsgi_client import Client

from v1registry import FileStorage, MemoryStorage, Registry
from v1registry.settings import SettingsError
from v1registry.wsgi.immutable import RANGES_KEY

LAYER = random_layer(5_000, "offload")
IMAGE = make_image(LAYER, name="offload")
PATH = f"/v1/images/{IMAGE.image_id}/layer"


def pushed(folder: Path, **settings: Any) -> Client:
    """Return a client of a registry with the image."""
    client = Client(Registry(storage=FileStorage(folder, durable=False), **settings))
    client.push(IMAGE)
    return client


def test_x_sendfile_names_the_file_of_the_layer(tmp_path: Path) -> None:
    answer = pushed(tmp_path, x_sendfile=True).get(PATH)
    assert (answer.status_int, answer.body) == (200, b"")
    assert Path(answer.headers["X-Sendfile"]).read_bytes() == LAYER
    assert answer.headers["X-Sendfile"].startswith(f"{tmp_path}/images/")


def test_x_sendfile_names_the_file_of_a_blob(tmp_path: Path) -> None:
    client = pushed(tmp_path, x_sendfile=True, v2="on")
    digest = f"sha256:{hashlib.sha256(LAYER).hexdigest()}"
    assert client.request("POST", f"/v2/a/b/blobs/uploads/?digest={digest}", LAYER).status_int == 201
    answer = client.get(f"/v2/a/b/blobs/{digest}")
    assert Path(answer.headers["X-Sendfile"]).read_bytes() == LAYER
    assert answer.headers["Docker-Content-Digest"] == digest


@pytest.mark.parametrize("settings", [{"x_sendfile": True}, {"x_accel_redirect": "/layers"}])
def test_answers_without_bytes_are_not_left_to_the_server_in_front(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    client = pushed(tmp_path, **settings)
    etag = client.get(PATH).headers["ETag"]
    head = client.head(PATH)
    known = client.get(PATH, {"If-None-Match": etag})
    beyond = client.get(PATH, {"Range": f"bytes={len(LAYER)}-"})
    assert (head.status_int, head.headers["Content-Length"]) == (200, str(len(LAYER)))
    assert (known.status_int, beyond.status_int) == (304, 416)
    for answer in (head, known, beyond):
        assert not {"X-Sendfile", "X-Accel-Redirect"} & set(answer.headers)


def test_range_is_left_to_the_server_in_front(tmp_path: Path) -> None:
    answer = pushed(tmp_path, x_sendfile=True).get(PATH, {"Range": "bytes=0-9"})
    assert (answer.status_int, "Content-Range" in answer.headers) == (200, False)


@pytest.mark.parametrize("settings", [{"x_sendfile": True}, {"x_accel_redirect": "/layers"}])
def test_layer_is_not_named_to_a_stranger(tmp_path: Path, settings: dict[str, Any]) -> None:
    pushed(tmp_path)
    client = Client(Registry(storage=FileStorage(tmp_path, durable=False), auth="users:", **settings))
    answer = client.get(PATH)
    assert answer.status_int == 401
    assert not {"X-Sendfile", "X-Accel-Redirect"} & set(answer.headers)


def test_x_sendfile_needs_a_folder() -> None:
    with pytest.raises(SettingsError, match=r"x_sendfile: the storage must be a folder such as file://"):
        Registry(storage=MemoryStorage(), x_sendfile=True)


@pytest.mark.parametrize("name", ["with space", "per%20cent", "ümlaut"])
def test_x_sendfile_needs_a_path_that_all_servers_read_alike(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="must have only letters, digits and"):
        Registry(storage=FileStorage(tmp_path / name), x_sendfile=True)


@pytest.mark.parametrize(
    ("header", "sends_ranges", "is_wrapped"),
    [(None, False, True), (None, True, True), ("bytes=10-19", False, False), ("bytes=10-19", True, True)],
)
def test_file_wrapper_gets_ranges_if_the_server_ends_after_the_length(
    tmp_path: Path, header: str | None, sends_ranges: bool, is_wrapped: bool
) -> None:
    app = pushed(tmp_path).app
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": PATH, "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.file_wrapper": FileWrapper,
        **({"HTTP_RANGE": header} if header else {}), **({RANGES_KEY: True} if sends_ranges else {}),
    }  # fmt: skip
    given: dict[str, str] = {}
    with closing(app(environ, lambda status, headers, exc_info=None: given.update(headers))) as body:
        assert isinstance(body, FileWrapper) is is_wrapped
        length = int(given["Content-Length"])
        start = 10 if header else 0
        assert b"".join(body)[:length] == LAYER[start : start + length]
