"""registry.md 4.1, 4.2, 4.6 to 4.9: what a complete image answers (REG-022 to 031)."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from wsgiref.util import FileWrapper

import pytest
from support.engine_client import Image, make_image, tar_layer
from support.wsgi_client import Client, error_of
from webtest import TestResponse

from v1registry import MemoryStorage, Registry

#: Not a tar, so that every byte is known; 165 bytes, as in the table of registry.md 4.2.
BYTES = bytes(range(165))
IMAGE = make_image(BYTES, name="reading")
ID = IMAGE.image_id
LAYER_PATH = f"/v1/images/{ID}/layer"


@pytest.fixture
def pushed(client: Client) -> Client:
    client.push(IMAGE)
    return client


def ranged(client: Client, text: str, **headers: str) -> TestResponse:
    return client.get(LAYER_PATH, {"Range": text} | headers)


# -- json


def test_REG_022_the_json_is_the_pushed_bytes_with_size_and_sums(client: Client) -> None:
    document = b'\n{ "id":"%s", "id":"%s","\xc3\xa9": 1.0e3 }\t' % (b"0" * 64, ID.encode())
    image = Image(ID, document, BYTES)
    client.push(image)
    answer = client.get(f"/v1/images/{ID}/json")
    assert answer.body == document
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Docker-Size"] == "165"
    assert answer.headers.getall("X-Docker-Checksum-Payload") == [image.payload_checksum]
    assert answer.headers.getall("X-Docker-Payload-Checksum") == [image.payload_checksum]
    assert "X-Docker-Checksum" not in answer.headers


def test_REG_022_a_layer_of_no_bytes_has_size_0(client: Client) -> None:
    client.push(Image(ID, IMAGE.json, b""))
    assert client.get(f"/v1/images/{ID}/json").headers["X-Docker-Size"] == "0"


# -- layer


def test_REG_023_layer_has_a_length_and_no_coding(client: Client) -> None:
    image = make_image(tar_layer({"./a": b"a"}))
    client.push(image)
    answer = client.get(f"/v1/images/{image.image_id}/layer")
    assert (answer.status_int, answer.body) == (200, image.layer)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Length"] == str(len(image.layer))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "Content-Encoding" not in answer.headers


def test_REG_023_a_layer_of_no_bytes_is_200(client: Client) -> None:
    client.push(Image(ID, IMAGE.json, b""))
    answer = client.get(LAYER_PATH)
    assert (answer.status_int, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")


def test_REG_023_wsgi_file_wrapper_sends_the_same_bytes(app: Registry) -> None:
    Client(app).push(IMAGE)

    def call(text: str | None) -> tuple[str, bytes]:
        statuses: list[str] = []
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": LAYER_PATH, "SERVER_NAME": "localhost", "SERVER_PORT": "80",
            "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.file_wrapper": FileWrapper,
        }  # fmt: skip
        if text is not None:
            environ["HTTP_RANGE"] = text
        with closing(app(environ, lambda status, headers, exc_info=None: statuses.append(status))) as body:
            return statuses[0], b"".join(body)

    assert call(None) == ("200 OK", BYTES)
    assert call("bytes=10-") == ("206 Partial Content", BYTES[10:])
    assert call("bytes=10-19") == ("206 Partial Content", BYTES[10:20])


@pytest.mark.parametrize(
    ("text", "start", "stop"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=10-164", 10, 165),
        ("bytes=10-", 10, 165),
        ("bytes=0-", 0, 165),
        ("bytes=0-164", 0, 165),
        ("bytes=10-165", 10, 165),
        ("bytes=10-9999", 10, 165),
        ("bytes=164-165", 164, 165),
        ("bytes=10-" + "9" * 30, 10, 165),
        ("bytes=" + "0" * 30 + "10-19", 10, 20),
        ("BYTES=10-19", 10, 20),
        (" bytes=10-19 ", 10, 20),
    ],
)
def test_REG_024_range_returns_its_bytes_and_clamps_its_end(
    pushed: Client, text: str, start: int, stop: int
) -> None:
    answer = ranged(pushed, text)
    assert (answer.status_int, answer.body) == (206, BYTES[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/165"
    assert answer.headers["Content-Length"] == str(stop - start)
    assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("read", [1, 100, 164])
def test_REG_025_resuming_engine_gets_the_rest(pushed: Client, read: int) -> None:
    size = int(pushed.get(f"/v1/images/{ID}/json").headers["X-Docker-Size"])
    answer = ranged(pushed, f"bytes={read}-{size}")
    assert (answer.status_int, len(answer.body)) == (206, size - read)
    assert answer.body == BYTES[read:]


@pytest.mark.parametrize(
    "text",
    ["bytes=165-165", "bytes=165-", "bytes=170-", "bytes=165-200", "bytes=-0", "bytes=" + "9" * 30 + "-"],
)
def test_REG_026_start_past_the_end_is_416_without_body(pushed: Client, text: str) -> None:
    answer = ranged(pushed, text)
    assert (answer.status_int, answer.body) == (416, b"")
    assert answer.headers["Content-Length"] == "0"
    assert answer.headers["Content-Range"] == "bytes */165"


@pytest.mark.parametrize(
    ("text", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-5", 5, 6),
        ("bytes=164-164", 164, 165),
        ("bytes=-1", 164, 165),
        ("bytes=-5", 160, 165),
        ("bytes=-165", 0, 165),
        ("bytes=-166", 0, 165),
    ],
)
def test_REG_027_one_byte_and_suffix_ranges_work(pushed: Client, text: str, start: int, stop: int) -> None:
    answer = ranged(pushed, text)
    assert (answer.status_int, answer.body) == (206, BYTES[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/165"


@pytest.mark.parametrize(
    "text",
    [
        "bytes=0-5,7-9", "bytes=0-5, 7-9", "items=0-5", "bytes=a-b", "bytes=9-3", "bytes=", "bytes=-",
        "bytes",
        "bytes 0-5", "0-5", "", "bytes=0-5-7", "bytes=--5", "bytes=+1-5", "bytes=1-5x", "bytes=\xb2-5",
        "bytes=0x1-5",
        "bytes=1_0-20",
    ],
)  # fmt: skip
def test_REG_027_several_or_invalid_ranges_return_the_whole_layer(pushed: Client, text: str) -> None:
    answer = ranged(pushed, text)
    assert (answer.status_int, answer.body) == (200, BYTES)
    assert "Content-Range" not in answer.headers


def test_ranges_of_other_methods_than_get_are_ignored(pushed: Client) -> None:
    answer = pushed.head(LAYER_PATH, {"Range": "bytes=0-9"})
    assert (answer.status_int, answer.headers["Content-Length"]) == (200, "165")


def test_if_range_with_another_etag_returns_the_whole_layer(pushed: Client) -> None:
    etag = pushed.get(LAYER_PATH).headers["ETag"]
    assert ranged(pushed, "bytes=0-9", **{"If-Range": etag}).status_int == 206
    for other in ('"other"', f"W/{etag}", "", "Thu, 01 Jan 1970 00:00:01 GMT", "\xe9"):
        assert ranged(pushed, "bytes=0-9", **{"If-Range": other}).status_int == 200


def test_range_of_an_empty_layer_is_416(client: Client) -> None:
    client.push(Image(ID, IMAGE.json, b""))
    answer = ranged(client, "bytes=0-")
    assert (answer.status_int, answer.headers["Content-Range"]) == (416, "bytes */0")


# -- caches and conditions


CACHED = ["json", "layer", "ancestry", "files", "diff"]


@pytest.fixture
def archived(client: Client) -> Client:
    client.push(Image(ID, IMAGE.json, tar_layer({"./a": b"a"})))
    return client


@pytest.fixture
def far_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XYZ-13:30")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_zone")
@pytest.mark.parametrize("what", CACHED)
def test_REG_028_images_are_cacheable_for_a_year_in_gmt(archived: Client, what: str) -> None:
    headers = archived.get(f"/v1/images/{ID}/{what}").headers
    assert headers.getall("Cache-Control") == ["public, max-age=31536000"]
    assert headers["Last-Modified"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert "Pragma" not in headers
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", headers["Expires"])
    kept = parsedate_to_datetime(headers["Expires"]) - datetime.now(timezone.utc)
    assert abs(kept.total_seconds() - 31536000) < 60


@pytest.mark.parametrize("what", CACHED)
@pytest.mark.parametrize(
    "date",
    [
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ],
)
def test_REG_028_if_modified_since_of_an_image_is_304(archived: Client, what: str, date: str) -> None:
    answer = archived.get(f"/v1/images/{ID}/{what}", {"If-Modified-Since": date})
    assert (answer.status_int, answer.body) == (304, b"")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000"
    assert "ETag" in answer.headers
    assert "Content-Length" not in answer.headers


@pytest.mark.parametrize("what", CACHED)
def test_REG_028_section_14_if_modified_since_of_no_image_is_404(client: Client, what: str) -> None:
    answer = client.get(f"/v1/images/{ID}/{what}", {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"})
    assert error_of(answer) == (404, "Image not found")


@pytest.mark.parametrize(
    "text",
    ["", "x", "yesterday", "0", "Thu, 99 Jan 2015 00:00:00 GMT", "\xe9", "9" * 5000,
    "Thu, 01 Jan 1950 00:00:00 GMT"],
)  # fmt: skip
@pytest.mark.parametrize("what", ["json", "layer"])
def test_REG_028_invalid_dates_and_those_before_1970_are_ignored(
    pushed: Client, what: str, text: str
) -> None:
    assert pushed.get(f"/v1/images/{ID}/{what}", {"If-Modified-Since": text}).status_int == 200


@pytest.mark.parametrize("what", CACHED)
def test_if_none_match_with_the_etag_is_304(archived: Client, what: str) -> None:
    path = f"/v1/images/{ID}/{what}"
    etag = archived.get(path).headers["ETag"]
    assert re.fullmatch(r'"[0-9a-f]{64}"', etag)
    for text in (etag, f"W/{etag}", f'"other", {etag}', f'"other",W/{etag}', "*"):
        assert archived.get(path, {"If-None-Match": text}).status_int == 304
    for text in ('"other"', "", etag.strip('"'), "\xe9", '"'):
        assert archived.get(path, {"If-None-Match": text}).status_int == 200


def test_if_none_match_takes_precedence_over_if_modified_since(pushed: Client) -> None:
    headers = {"If-None-Match": '"other"', "If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}
    assert pushed.get(LAYER_PATH, headers).status_int == 200


def test_condition_takes_precedence_over_range(pushed: Client) -> None:
    etag = pushed.get(LAYER_PATH).headers["ETag"]
    assert ranged(pushed, "bytes=0-9", **{"If-None-Match": etag}).status_int == 304


def test_etag_of_a_layer_is_its_payload_checksum(pushed: Client) -> None:
    assert pushed.get(LAYER_PATH).headers["ETag"] == f'"{IMAGE.payload_checksum.removeprefix("sha256:")}"'


# -- ancestry


def test_REG_029_ancestry_is_from_the_image_to_the_root(client: Client) -> None:
    chain = [make_image(BYTES)]
    for _ in range(5):
        chain.append(make_image(BYTES, chain[-1].image_id))
    client.push(*chain)
    ids = [image.image_id for image in reversed(chain)]
    for number, image_id in enumerate(ids):
        answer = client.get(f"/v1/images/{image_id}/ancestry")
        assert answer.body == json.dumps(ids[number:]).encode()
        assert answer.headers["Content-Type"] == "application/json"


def test_REG_029_put_of_an_ancestry_is_405(client: Client) -> None:
    assert error_of(client.put(f"/v1/images/{ID}/ancestry", b"[]"))[0] == 405


# -- files and diff


def members(*entries: tuple[str, bytes, int]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, type_, size in entries:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.mode, member.mtime = type_, size, 0o644, 1430000000
            member.uid, member.gid, member.linkname = 1, 2, "target" if type_ in b"12" else ""
            tar.addfile(member, io.BytesIO(b"x" * size))
    return gzip.compress(archive.getvalue(), mtime=0)


def test_REG_030_files_has_a_row_of_eight_for_each_member(client: Client) -> None:
    layer = members(
        ("./", b"5", 0), ("./etc/hosts", b"0", 18), ("etc/link", b"2", 0), ("./d/.wh.gone", b"0", 0),
        ("./.wh..wh.plnk", b"5", 0),
    )  # fmt: skip
    client.push(Image(ID, IMAGE.json, layer))
    answer = client.get(f"/v1/images/{ID}/files")
    rest = [1430000000, 0o644, 1, 2]
    assert answer.json == [
        ["/", "d", False, 0, *rest],
        ["/etc/hosts", "f", False, 18, *rest],
        ["etc/link", "s", False, 0, *rest],
        ["/d/gone", "f", True, 0, *rest],
    ]
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "layer", [b"no archive", gzip.compress(b"no archive", mtime=0), BYTES, b"\x1f\x8b\x08"]
)
@pytest.mark.parametrize("what", ["files", "diff"])
def test_REG_030_files_of_an_invalid_archive_are_400(client: Client, layer: bytes, what: str) -> None:
    client.push(Image(ID, IMAGE.json, layer))
    assert error_of(client.get(f"/v1/images/{ID}/{what}")) == (400, "Layer format not supported")


def test_REG_030_list_of_files_is_stored(client: Client) -> None:
    client.push(Image(ID, IMAGE.json, members(("./a", b"0", 1))))
    first = client.get(f"/v1/images/{ID}/files").body
    assert client.app.storage.read(f"images/{ID}/_files")[0] == first
    assert client.get(f"/v1/images/{ID}/files").body == first


@pytest.mark.parametrize("what", ["files", "diff"])
def test_layer_that_expands_beyond_the_limit_is_400(what: str) -> None:
    client = Client(Registry(storage=MemoryStorage(), max_expanded_bytes=1000))
    client.push(Image(ID, IMAGE.json, members(("./a", b"0", 100_000))))
    text = "The layer expands to more bytes than this server looks into"
    assert error_of(client.get(f"/v1/images/{ID}/{what}")) == (400, text)


def test_REG_031_diff_has_deleted_changed_and_created_files(client: Client) -> None:
    root = make_image(members(("./kept", b"0", 1), ("./changed", b"0", 2), ("./gone", b"0", 3)), name="root")
    middle = make_image(members(("./.wh.gone", b"0", 0), ("./middle", b"0", 4)), root.image_id)
    top = make_image(
        members(("./changed", b"0", 5), ("./gone", b"0", 6), ("./new", b"0", 7), ("./.wh.middle", b"0", 0)),
        middle.image_id,
    )
    client.push(root, middle, top)
    rest = [1430000000, 0o644, 1, 2]
    answer = client.get(f"/v1/images/{top.image_id}/diff")
    assert answer.json == {
        "deleted": {"/middle": ["f", True, 0, *rest]},
        "changed": {"/changed": ["f", False, 5, *rest]},
        "created": {"/gone": ["f", False, 6, *rest], "/new": ["f", False, 7, *rest]},
    }


def test_REG_031_root_created_all_and_keeps_its_deletions(client: Client) -> None:
    client.push(Image(ID, IMAGE.json, members(("./a", b"0", 1), ("./.wh.b", b"0", 0))))
    answer = client.get(f"/v1/images/{ID}/diff").json
    assert {kind: list(names) for kind, names in answer.items()} == {
        "deleted": ["/b"], "changed": [], "created": ["/a"],
    }  # fmt: skip
