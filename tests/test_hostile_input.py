"""Invalid input for each route: no 500, no file outside the storage, always a valid answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.cpu_time import within_cpu
from support.engine_client import make_image, tar_layer
from support.wsgi_client import Answer, Body, Client, call

from v1registry import FileStorage, MemoryStorage, Registry

IMAGE = make_image(tar_layer({"./a": b"a"}), name="hostile")
ID = IMAGE.image_id

#: The method and the path of each route of a server without accounts.
ROWS = [(route.method, route.path) for route in Registry(storage=MemoryStorage(), v2="on").table]

#: Those of a storage.
TOP_FOLDERS = ("images", "repositories", "blobs", "uploads", "conversions", "search")

#: Valid values of the fields of a path, so that the handler is reached.
GOOD = {
    "image_id": ID, "username": "mira_k", "repository": "foo/bar", "tag": "latest", "file": "pages.css",
    "two_part_repository": "foo/bar",
    "repository_named_tags": "foo/tags", "unreserved_repository": "foo/bar", "slashed_tag": "a/b",
    "digest": f"sha256:{ID}", "reference": "latest", "upload_id": "0" * 32,
}  # fmt: skip

#: As a server passes them: decoded once, one character for each byte.
HOSTILE = [
    "..", "../..", "../../../../../../etc/passwd", "%2e%2e", "%2e%2e%2f%2e%2e", "..%2f..%2fsecret",
    "%252e%252e", "..%c0%af",
    "..\\..\\secret", "/etc/passwd", "//etc/passwd", "./.", ".", "a/../../../secret", "...", "~root", "\0",
    "a\0b", "../secret\0",
    "a" * 255, "a" * 256, "a" * 300, "a" * 5000, "a/" * 200 + "a", "\xff\xfe", "\xc3\xa9", "\xc3",
    "\xe2\x80\xae",
    "\xf0\x9f\x90\xb3", "\xed\xa0\x80", "\xc0\xaf", "\n", "a\n", "a\r\nSet-Cookie: x=y", "\x7f", "\t", " ",
    "+", "%", "%%", "%2",
    "*", "?", "#", "$(id)", "`id`", "'\"<script>alert(1)</script>", ".x.0123456789abcdef.tmp", "_inprogress",
    "_index_images",
    "tag_latest", "json", "layer", "tags", "images", "-", "-rf", "CON", "a;b", "a:b", "a@b", "A" * 64,
    "0" * 63, "0" * 64,
    "0" * 64 + "\n", "[", "{0}", "{x}", "%s%n", "NaN", "null", "\u0130".encode().decode("latin-1"),
]  # fmt: skip

BODIES = [
    b"", b"\0", b"\xff\xfe", b"{", b"}", b"[", b"nul", b"null", b"true", b"0", b"-0", b"1e999", b"-1e999",
    b"NaN", b"Infinity",
    b"-Infinity", b"1" * 5000, b"1" * 100_000, b'"', b'""', b'"\\ud800"', b'"\\u0000"', b'"\n"', b"'x'",
    b"[]", b"[[]]",
    b"[null]", b"[{}]", b"[" * 100 + b"]" * 100, b"[" * 101 + b"]" * 101, b"[" * 100_000,
    b"[" * 900 + b"]" * 900,
    b'{"a":' * 900 + b"1" + b"}" * 900, b'{"a":' * 100_000, b"{}", b'{"":""}', b'{"id":1}', b'{"id":{}}',
    b'{"id":[[]]}',
    b'{"access":"private","access":1}', b'{"access":"\\ud800"}',
    b'[{"id":"%s","checksum":"\\ud800"}]' % ID.encode(),
    b'[{"id":"%s","x":%s}]' % (ID.encode(), b"[" * 90 + b"]" * 90), b'[{"id":"%s","id":null}]' % ID.encode(),
    b'{"id":"%s","parent":"%s"}' % (ID.encode(), b"\\u0000" * 64),
    b'{"id":"%s","id":"%s"}' % (b"0" * 64, ID.encode()),
    b'"%s"' % ID.encode(), b'"../../%s"' % ID.encode(), b"\xef\xbb\xbf[]", "[]".encode("utf-16"),
    b"[]" + b" " * 100_000,
    b'"' + b"a" * 100_000 + b'"', b'[{"id":"%s","checksum":"%s"}]' % (ID.encode(), b"a" * 100_000), b"[]\0",
    b"[]x", b"[1,]",
    b'{"username":"../x","password":[],"email":{}}', b"0x10", b"1_000", b"+1", b".5", b"/**/[]",
]  # fmt: skip

METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "", "G\0T",
"GET\r\nX", "\xff",
           "A" * 5000, "PROPFIND"]  # fmt: skip


def assert_sound(answer: Answer, method: str) -> None:
    """Check the properties that each answer must have."""
    assert 200 <= answer.status < 500, answer
    for name, value in answer.headers:
        assert re.fullmatch(r"[A-Za-z0-9-]+", name), name
        assert re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value), (name, value)
    names = [name.lower() for name, _ in answer.headers]
    assert sorted(set(names)) == sorted(names), names
    length = answer.header("Content-Length")
    if answer.status in (204, 304) or method == "HEAD":
        assert answer.body == b""
    else:
        assert length == str(len(answer.body))
    if answer.status in (204, 304):
        assert length is None
    if answer.header("Content-Type") == "application/json" and answer.body:
        json.loads(answer.body)


def safely(app: Any, method: str, path_info: str, body: bytes = b"", **environ: Any) -> Answer:
    """Make a request that a server would reject itself, and check the answer."""
    answer = call(app, method, path_info, body, **environ)
    assert_sound(answer, method)
    return answer


def validated(app: Any, method: str, path_info: str, body: bytes = b"", **environ: Any) -> Answer:
    """Make a request through the validator of the standard library too."""
    answer = call(
        validator(app),
        method,
        path_info,
        **{"wsgi.input": Body([body]), "CONTENT_LENGTH": str(len(body))},
        **environ,
    )
    assert_sound(answer, method)
    return answer


def filled_paths(path: str, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda hole: values[hole[1]], path.replace("[/]", ""))


def surroundings(folder: Path) -> dict[str, bytes | None]:
    """Return the files around the storage, and their contents."""
    inside = folder / "root" / "data"
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if inside not in path.parents
    }


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A filled registry over a folder. Files around the folder must not change."""
    for name in ("secret", "root/secret", "root/data-other/secret", "elsewhere/secret"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"the secret")
    monkeypatch.chdir(tmp_path / "elsewhere")
    app = Registry(storage=FileStorage(tmp_path / "root" / "data", durable=False), v2="on")
    client = Client(app)
    client.push(IMAGE)
    for name in ("foo/bar", "foo/tags"):
        client.put(f"/v1/repositories/{name}/", "[]")
        client.tag(name, "latest", IMAGE)
    before = surroundings(tmp_path)
    yield app
    assert surroundings(tmp_path) == before
    for path in (tmp_path / "root" / "data").rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9_.+%-]{1,255}", path.name), path
        assert path.relative_to(tmp_path / "root" / "data").parts[0] in TOP_FOLDERS
    answer = call(app, "GET", f"/v1/images/{ID}/layer")
    assert (answer.status, answer.body) == (200, IMAGE.layer)


@pytest.mark.parametrize(("method", "path"), ROWS)
def test_STO_011_hostile_names_in_each_field_of_each_route(app: Registry, method: str, path: str) -> None:
    holes = re.findall(r"\{(\w+)\}", path)
    body = f'"{ID}"'.encode() if "{tag}" in path else b"[]"
    for hole in holes:
        for text in HOSTILE:
            asked = filled_paths(path, GOOD | {hole: text})
            answer = validated(app, method, asked, body if method in ("PUT", "POST") else b"")
            assert b"the secret" not in answer.body
            safely(app, method, asked + "/", body)


def test_STO_011_paths_of_files_outside_the_storage_are_not_read(app: Registry, tmp_path: Path) -> None:
    for what in ("secret", "../secret", "../../secret", "../data-other/secret", str(tmp_path / "secret")):
        for path in (f"/v1/images/{what}", f"/v1/images/{what}/layer", f"/v1/repositories/foo/{what}/json",
                     f"/v1/repositories/{what}/images", f"/v1/repositories/foo/bar/tags/{what}"):  # fmt: skip
            for encoded in (path, path.replace("..", "%2e%2e"), path.replace("/../", "/%2e%2e%2f")):
                answer = safely(app, "GET", encoded)
                assert b"the secret" not in answer.body
                assert answer.status in (200, 400, 404, 405)


@pytest.mark.parametrize(("method", "path"), [row for row in ROWS if row[0] in ("PUT", "POST")])
def test_hostile_bodies_of_each_route_get_valid_answers(app: Registry, method: str, path: str) -> None:
    asked = filled_paths(path, GOOD)
    for body in BODIES:
        validated(app, method, asked, body)
        validated(app, method, asked, body, CONTENT_TYPE="application/x-www-form-urlencoded")
    for repository in ("foo/bar", "foo/tags"):
        for what in ("images", "tags", "json", "properties", "tags/latest", "tags/latest/json"):
            validated(app, "GET", f"/v1/repositories/{repository}/{what}")
        validated(app, "PUT", f"/v1/repositories/{repository}/images", b"[]")


@pytest.mark.parametrize(("method", "path"), [row for row in ROWS if row[0] in ("PUT", "POST")])
def test_deeply_nested_body_without_length_is_no_later_500(app: Registry, method: str, path: str) -> None:
    """What is stored is read again with less of Python's stack left than when it was taken."""
    asked = filled_paths(path, GOOD)
    for depth in range(60, 130, 7):
        nested = b'[{"id":"%s","x":%s}]' % (ID.encode(), b"[" * depth + b"]" * depth)
        safely(app, method, asked, nested)
        safely(app, "PUT", "/v1/repositories/foo/bar/images", b'[{"id":"%s"}]' % (b"0" * 64))


@pytest.mark.parametrize(("method", "path"), ROWS)
def test_invalid_lengths_of_each_route_get_valid_answers(app: Registry, method: str, path: str) -> None:
    asked = filled_paths(path, GOOD)
    for length in (
        "-1",
        "+1",
        "1.5",
        "0x10",
        "1e3",
        " 1",
        "1 ",
        "a",
        "\xb2",
        "9" * 19,
        "9" * 5000,
        "1,1",
        "1\r\n",
        "-",
        "٣",
    ):
        answer = safely(app, method, asked, b"[]", CONTENT_LENGTH=length)
        if method in ("PUT", "POST") and path.endswith(
            ("/json", "/layer", "/images", "/properties", "/users[/]")
        ):
            assert answer.status == 400, (length, answer)
    for length in ("999999999999999999", "17000000"):
        safely(app, method, asked, b"[]", CONTENT_LENGTH=length)


@pytest.mark.parametrize(("method", "path"), ROWS)
def test_unknown_methods_of_each_route_are_404_or_405(app: Registry, method: str, path: str) -> None:
    asked = filled_paths(path, GOOD)
    for odd in METHODS:
        if odd in ("PUT", "POST", "DELETE"):
            continue
        answer = safely(app, odd, asked)
        if odd not in ("GET", "HEAD"):
            assert answer.status in (404, 405)
            assert len(answer.body) < 1000


#: The input of a client besides method, path and body.
HEADERS = [
    "HTTP_RANGE", "HTTP_IF_RANGE", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_MATCH",
    "HTTP_IF_UNMODIFIED_SINCE",
    "HTTP_AUTHORIZATION", "HTTP_HOST", "HTTP_COOKIE", "HTTP_USER_AGENT", "HTTP_ACCEPT", "HTTP_X_DOCKER_TOKEN",
    "HTTP_X_DOCKER_CHECKSUM", "HTTP_X_DOCKER_CHECKSUM_PAYLOAD", "HTTP_X_DOCKER_ENDPOINTS",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_FOR", "HTTP_X_REQUEST_ID", "HTTP_TRANSFER_ENCODING",
    "HTTP_EXPECT", "HTTP_CONTENT_ENCODING", "HTTP_CONTENT_RANGE", "CONTENT_TYPE", "QUERY_STRING",
    "REMOTE_ADDR", "REMOTE_USER",
]  # fmt: skip

LONG = 64 * 1024

VALUES = [
    "", " ", "\xff", "\x80\x81", "a" * LONG, " " * LONG, "," * LONG, '"' * LONG, "/" * LONG, "0" * LONG,
    "a/" * (LONG // 2),
    "a " * (LONG // 2), "a=" * (LONG // 2), "&" * LONG, "%" * LONG, "%ff" * (LONG // 3), "(" * LONG,
    "\\" * LONG,
    "bytes=" + " " * LONG + "x", "bytes=" + "0" * LONG + "-", "bytes=" + "0-1," * (LONG // 4),
    "bytes=-" + "9" * 600,
    "bytes=" + "9" * 700 + "-" + "9" * 700, "bytes=0-\xb2", 'W/"' * (LONG // 3), '"a",' * (LONG // 4),
    "*" * LONG,
    "Thu, 01 Jan 1970 00:00:00 GMT" + " " * LONG, "Thu, " * (LONG // 5), "Thu, 01 Jan 99999 00:00:00 GMT",
    "1 Jan 1 1:1:1 +9999999",
    "Basic " + "=" * LONG, "Basic \xff", "Basic Og==", "Basic " + "QUFB" * (LONG // 4),
    "Token " + "a=b," * (LONG // 4),
    'Token signature=x,repository="' + "a" * LONG, "Token " * (LONG // 6), "tarsum+sha256:" + "0" * LONG,
    "tarsum" * (LONG // 6),
    "sha256:\xff", "docker/" + "9" * LONG, "docker/0.9.1 " * (LONG // 13), "chunked, " * (LONG // 9),
    "q=" + "a+" * (LONG // 2),
    "Bearer " + "a.b" * (LONG // 3), "Bearer .eJ.x.y", "Bearer \xff.", "Bearer " + "A" * 30,
    "scope=" + "repository:a/b:pull+" * 200, "scope=" + ":" * LONG, "scope=repository::*&service=%0d%0aX:",
    "digest=" + "sha256:" * 99, "mount=%00&from=%ff", "digest=sha256%3A" + "0" * 64,
    "0-" + "9" * 18, "-1-5", "9" * 18 + "-" + "9" * 18, "bytes 0-4/5",
    "n=" + "9" * LONG, "page=-" + "9" * LONG, "n=\0&page=\0", "q=%00%ff&q=x&n=1e5", "[" * LONG,
    "[::" + ":" * LONG, "a:" * (LONG // 2),
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS)
def test_hostile_headers_get_valid_answers_in_time(app: Registry, header: str) -> None:
    requests = [
        ("GET", f"/v1/images/{ID}/layer", b""),
        ("GET", f"/v1/images/{ID}/json", b""),
        ("PUT", f"/v1/images/{ID}/checksum", b""),
        ("PUT", f"/v1/images/{ID}/layer", b"layer"),
        ("PUT", "/v1/repositories/foo/bar/", b"[]"),
        ("PUT", "/v1/repositories/foo/bar/tags/latest", f'"{ID}"'.encode()),
        ("GET", "/v1/search", b""),
        ("GET", "/v1/users/", b""),
        ("POST", "/v2/foo/bar/blobs/uploads/", b"layer"),
        ("GET", f"/v2/foo/bar/blobs/sha256:{ID}", b""),
        ("GET", "/v2/foo/bar/manifests/latest", b""),
        ("PUT", "/v2/foo/bar/manifests/1", b"{}"),
        ("GET", "/v2/foo/bar/tags/list", b""),
        ("GET", "/v2/token", b""),
        ("POST", "/v2/token", b"grant_type=password&username=a&password=b"),
    ]
    for value in VALUES:
        for method, path, body in requests:
            request = partial(safely, app, method, path, body, **{header: value})
            within_cpu(1, request, (value[:20], method, path))


@pytest.mark.parametrize("value", VALUES)
def test_hostile_credentials_are_401_or_anonymous(value: str) -> None:
    app = Registry(storage=MemoryStorage(), auth="users:", v2="on")
    for method, path in (
        ("GET", "/v1/users/"),
        ("GET", f"/v1/images/{ID}/json"),
        ("PUT", "/v1/repositories/foo/bar/"),
        ("GET", f"/v2/foo/bar/blobs/sha256:{ID}"),
        ("POST", "/v2/foo/bar/blobs/uploads/"),
    ):
        request = partial(safely, app, method, path, HTTP_AUTHORIZATION=value)
        answer = within_cpu(2, request, (value[:20], method, path))
        assert answer.status in (400, 401, 403, 404, 429)


def test_answers_to_any_range_have_valid_headers(app: Registry) -> None:
    size = len(IMAGE.layer)
    for first in ("", "0", "1", str(size - 1), str(size), str(size + 1), "9" * 600):
        for last in ("", "0", "1", str(size - 1), str(size), str(size + 1), "9" * 600):
            answer = validated(app, "GET", f"/v1/images/{ID}/layer", HTTP_RANGE=f"bytes={first}-{last}")
            assert answer.status in (200, 206, 416)
            if answer.status == 206:
                found = re.fullmatch(rf"bytes (\d+)-(\d+)/{size}", answer.header("Content-Range") or "")
                assert found is not None
                assert answer.body == IMAGE.layer[int(found[1]) : int(found[2]) + 1] != b""


@pytest.mark.parametrize(
    "path",
    ["/v1/\xff", "/\xff", "/v1/images/\xc3/json", "/v1/repositories/\xed\xa0\x80/tags", "/v1/users/\xc0"],
)
def test_path_that_is_not_utf_8_is_400(app: Registry, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert safely(app, method, path).status == 400


def test_path_beyond_latin_1_is_400(app: Registry) -> None:
    assert safely(app, "GET", "/v1/\u20ac").status == 400


# -- by chance

fragments = st.sampled_from(
    ["v1", "v2", "_ping", "_status", "images", "repositories", "users", "search", "json", "layer", "checksum",
    "ancestry", "files",
     "diff", "tags", "properties", "auth", "access", "foo", "bar", "latest", "library", ID, "0" * 64, "..",
     ".", "", "%2e", "\0", "a" * 256,
     "\xff", "\xc3\xa9", "\n", "_", "-"]
)  # fmt: skip
paths = st.builds(
    lambda first, rest, end: "/" + "/".join([first, *rest]) + end,
    st.sampled_from(["v1", "v1", "v1", "v2", ""]),
    st.lists(fragments | st.text(st.characters(max_codepoint=255), max_size=20), max_size=8),
    st.sampled_from(["", "", "/"]),
)
bodies = st.sampled_from(BODIES) | st.binary(max_size=50)


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE"]), path=paths, body=bodies)
def test_STO_011_random_paths_and_bodies_get_valid_answers(
    app: Registry, method: str, path: str, body: bytes
) -> None:
    answer = validated(app, method, path, body if method in ("PUT", "POST") else b"")
    assert b"the secret" not in answer.body


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    name=st.sampled_from(HEADERS),
    value=st.text(st.characters(max_codepoint=255), max_size=60)
    | st.text("0123456789-,= bytesWGMT:\"/Thu", max_size=40),
)  # fmt: skip
def test_random_headers_get_valid_answers(app: Registry, name: str, value: str) -> None:
    for method, path in (
        ("GET", f"/v1/images/{ID}/layer"),
        ("PUT", "/v1/repositories/foo/bar/images"),
        ("GET", "/v1/search"),
    ):
        safely(app, method, path, b"[]" if method == "PUT" else b"", **{name: value})
