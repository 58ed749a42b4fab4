"""registry.md 1, 3, 11, 14: status, and the headers and errors of all answers (REG-001 to 006, 044, 045)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.engine_client import make_image, tar_layer
from support.faulty_storage import FaultyStorage
from support.wsgi_client import Client, error_of
from webtest import TestResponse

from v1registry import FileStorage, MemoryStorage, Registry
from v1registry.storage.base import StorageFull

IMAGE = make_image(tar_layer({"./etc/motd": b"hello\n"}), name="status")
ID = IMAGE.image_id

#: Every GET resource, once IMAGE is tagged as foo/bar:v1 and announced.
RESOURCES = [
    "/",
    "/_ping",
    "/v1/_ping",
    "/_status",
    "/v1/_status",
    "/v1/users/",
    "/v1/search",
    "/v1/search?q=bar",
    f"/v1/images/{ID}/json",
    f"/v1/images/{ID}/layer",
    f"/v1/images/{ID}/ancestry",
    f"/v1/images/{ID}/files",
    f"/v1/images/{ID}/diff",
    "/v1/repositories/foo/bar/images",
    "/v1/repositories/foo/bar/tags",
    "/v1/repositories/foo/bar/tags/v1",
    "/v1/repositories/foo/bar/tags/v1/json",
    "/v1/repositories/foo/bar/json",
    "/v1/repositories/foo/bar/properties",
    f"/v1/repositories/foo/bar/layer/{ID}/access",
    "/v2/",
]


@pytest.fixture
def filled(client: Client) -> Client:
    client.push(IMAGE)
    assert client.put("/v1/repositories/foo/bar/", json.dumps([{"id": ID}])).status_int == 200
    assert client.tag("foo/bar", "v1", IMAGE).status_int == 200
    return client


def assert_not_cached(answer: TestResponse) -> None:
    assert answer.headers.getall("Cache-Control") == ["no-cache"]
    assert answer.headers.getall("Pragma") == ["no-cache"]
    assert answer.headers.getall("Expires") == ["-1"]


# -- ping


@pytest.mark.parametrize("path", ["/v1/_ping", "/_ping", "/v1/_ping/", "/_ping/"])
def test_REG_001_ping_is_an_empty_object_with_version_and_kind(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_int, answer.body) == (200, b"{}")
    assert answer.headers["Content-Type"] == "application/json"
    assert re.match(r"[0-9]+(\.[0-9]+)+", answer.headers["X-Docker-Registry-Version"])
    assert "X-Docker-Registry-Standalone" in answer.headers


@pytest.mark.parametrize(
    "credentials", ["Basic Zm9vOmJhcg==", "Basic", "Basic !!!", "Token", "Bearer x", "\xe9", ""]
)
def test_REG_001_ping_ignores_credentials(client: Client, credentials: str) -> None:
    assert client.get("/v1/_ping", {"Authorization": credentials}).status_int == 200


def test_REG_002_server_with_its_own_accounts_is_standalone(client: Client) -> None:
    assert client.get("/v1/_ping").headers.getall("X-Docker-Registry-Standalone") == ["True"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/_ping"),
        ("GET", "/_ping"),
        ("GET", "/v1/nothing"),
        ("POST", "/v1/_ping"),
        ("GET", f"/v1/images/{ID}/json"),
        ("PUT", "/v1/repositories/foo/bar/images"),
        ("GET", "/v1/users/"),
        ("GET", "/v1/search"),
        ("GET", "/v2/"),
    ],
)
def test_every_answer_has_the_version_once(client: Client, method: str, path: str) -> None:
    assert len(client.request(method, path).headers.getall("X-Docker-Registry-Version")) == 1


# -- errors


@pytest.mark.parametrize(
    "path",
    [
        "/v1/",
        "/v1",
        "/v1/nothing",
        "/v1/images/x",
        "/v1/images/x/y",
        f"/v1/images/{ID}/json/more",
        "/nothing",
    ],
)
def test_REG_003_an_unknown_path_is_a_json_error(client: Client, path: str) -> None:
    assert error_of(client.get(path)) == (404, "Not found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/_ping", "GET, HEAD"),
        ("DELETE", f"/v1/images/{ID}/json", "GET, HEAD, PUT"),
        ("GET", f"/v1/images/{ID}/checksum", "PUT"),
        ("PUT", f"/v1/images/{ID}/ancestry", "GET, HEAD"),
        ("POST", "/v1/repositories/foo/bar/tags/v1", "DELETE, GET, HEAD, PUT"),
        ("PUT", "/v1/repositories/foo/bar/json", "GET, HEAD"),
        ("DELETE", "/v1/search", "GET, HEAD"),
        ("OPTIONS", "/v1/repositories/foo/bar/properties", "GET, HEAD, PUT"),
    ],
)
def test_REG_003_other_method_is_a_json_error_with_allowed_ones(
    client: Client, method: str, path: str, allowed: str
) -> None:
    answer = client.request(method, path)
    status, text = error_of(answer)
    assert (status, answer.headers["Allow"]) == (405, allowed)
    assert method in text
    assert allowed in text


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", f"/v1/images/{'0' * 64}/json", b"", 404),
        ("PUT", f"/v1/images/{ID}/json", b"{", 400),
        ("PUT", f"/v1/images/{ID}/checksum", b"", 412),
        ("PUT", "/v1/repositories/foo/bar/", b"{", 400),
        ("PUT", "/v1/repositories/foo/bar/tags/x", b"{", 400),
        ("GET", "/v1/repositories/foo/none/tags", b"", 404),
        ("GET", "/v1/repositories/foo/none/images", b"", 404),
    ],
)
def test_REG_003_errors_of_handlers_have_the_same_form(
    client: Client, method: str, path: str, body: bytes, status: int
) -> None:
    answer = client.request(method, path, body)
    assert error_of(answer)[0] == status
    assert_not_cached(answer)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/v1/users/", 400), ("DELETE", "/v1/users", 405), ("GET", "/v1/users/a/b", 404)],
)
def test_REG_003_errors_about_users_are_json_strings(
    client: Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path, b"{" if method == "POST" else b"")
    assert (answer.status_int, answer.headers["Content-Type"]) == (status, "application/json")
    assert isinstance(answer.json, str)


def test_errors_are_ascii_with_sorted_keys_and_no_newline(client: Client) -> None:
    answer = client.delete("/v1/repositories/foo/bar/tags/%C3%A9")
    assert answer.body == b'{"error": "Tag not found: \\u00e9"}'


# -- caches


@pytest.mark.parametrize("path", [path for path in RESOURCES if "/images/" not in path])
def test_REG_004_answers_without_images_are_not_cached(filled: Client, path: str) -> None:
    answer = filled.get(path)
    assert answer.status_int == 200
    assert_not_cached(answer)


def test_REG_004_answers_to_writes_are_not_cached(client: Client) -> None:
    for answer in (client.put_json(IMAGE), client.put_layer(IMAGE), client.put_checksum(IMAGE)):
        assert_not_cached(answer)


# -- HEAD


@pytest.mark.parametrize("path", RESOURCES)
def test_REG_005_head_is_get_without_its_body(filled: Client, path: str) -> None:
    got, headed = filled.get(path), filled.head(path)
    assert (headed.status_int, headed.body) == (200, b"")
    varying = {"expires", "x-request-id"}
    assert sorted(
        (name, value) for name, value in got.headers.items() if name.lower() not in varying
    ) == sorted((name, value) for name, value in headed.headers.items() if name.lower() not in varying)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/v1/images/{'0' * 64}/json", 404),
        ("/v1/images/x/layer", 404),
        ("/v1/repositories/foo/none/tags", 404),
        ("/v1/nothing", 404),
        (f"/v1/images/{ID}/checksum", 405),
    ],
)
def test_REG_005_head_of_an_error_has_the_status_of_get(client: Client, path: str, status: int) -> None:
    answer = client.head(path)
    assert (answer.status_int, answer.body) == (status, b"")


def test_REG_005_head_with_a_read_token_is_answered(filled: Client) -> None:
    token = filled.get("/v1/repositories/foo/bar/images", {"X-Docker-Token": "true"}).headers[
        "X-Docker-Token"
    ]
    answer = filled.head(f"/v1/images/{ID}/layer", {"Authorization": f"Token {token}"})
    assert (answer.status_int, answer.headers["Content-Length"]) == (200, str(len(IMAGE.layer)))


# -- slashes


@pytest.mark.parametrize("name", ["foo/bar", "bar", "foo/bar/deeper"])
def test_REG_006_announcement_works_with_and_without_slash(client: Client, name: str) -> None:
    answers = [client.put(f"/v1/repositories/{name}{slash}", b"[]") for slash in ("/", "")]
    assert [(answer.status_int, answer.body) for answer in answers] == [(200, b'""')] * 2
    assert all("Location" not in answer.headers for answer in answers)


@pytest.mark.parametrize("slash", ["/", ""])
def test_REG_006_deletion_works_with_and_without_slash(client: Client, slash: str) -> None:
    client.put("/v1/repositories/foo/bar/", b"[]")
    answer = client.delete(f"/v1/repositories/foo/bar{slash}")
    assert (answer.status_int, answer.body) == (200, b"true")


@pytest.mark.parametrize(
    "path", ["/v1/users", "/v1/search", "/v1/repositories/foo/bar/tags", "/v1/repositories/foo/bar/images"]
)
def test_a_slash_after_a_get_resource_is_ignored(filled: Client, path: str) -> None:
    assert filled.get(path).body == filled.get(path + "/").body
    assert filled.get(path + "/").status_int == 200


# -- cookies


def test_REG_044_a_push_and_a_pull_need_no_cookie_and_set_none(client: Client) -> None:
    answers = [
        client.put("/v1/repositories/foo/bar/", json.dumps([{"id": ID}]), {"X-Docker-Token": "true"}),
        client.put_json(IMAGE),
        client.put_layer(IMAGE),
        client.put_checksum(IMAGE),
        client.tag("foo/bar", "v1", IMAGE),
        client.get("/v1/repositories/foo/bar/images"),
        client.get(f"/v1/images/{ID}/layer"),
    ]
    assert [answer.status_int for answer in answers] == [200] * 7
    assert all("Set-Cookie" not in answer.headers for answer in answers)


def test_REG_044_received_cookies_are_ignored(client: Client) -> None:
    for cookie in ("session=eyJjaGVja3N1bSI6IltdIn0=", "\xff\x00;=;", "a" * 5000):
        assert client.put("/v1/repositories/foo/bar/", b"[]", {"Cookie": cookie}).status_int == 200


# -- status and root


@pytest.mark.parametrize("path", ["/_status", "/v1/_status"])
def test_REG_045_status_of_a_working_storage_is_200(client: Client, app: Registry, path: str) -> None:
    answer = client.get(path)
    assert answer.status_int == 200
    assert answer.body == b'{"failures": {}, "services": ["storage"]}'
    assert list(app.storage.list("")) == []


def test_REG_045_status_is_503_when_the_storage_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    answer = Client(Registry(storage=FileStorage(tmp_path / "file" / "below"))).get("/_status")
    assert answer.status_int == 503
    assert answer.json["services"] == ["storage"]
    assert list(answer.json["failures"]) == ["storage"]
    assert str(tmp_path) not in answer.text


def test_REG_045_status_is_503_when_the_storage_is_full() -> None:
    storage = FaultyStorage()
    storage.fail("write", error=StorageFull("any", "no room is left"))
    answer = Client(Registry(storage=storage)).get("/v1/_status")
    assert (answer.status_int, answer.json["failures"]) == (503, {"storage": "no room is left"})


def test_decision_13_the_root_is_a_json_string(client: Client) -> None:
    answer = client.get("/")
    assert (answer.status_int, answer.body) == (200, b'"docker-registry server"')
    assert answer.headers["Content-Type"] == "application/json"


def test_decision_13_the_text_of_the_root_can_be_set() -> None:
    client = Client(Registry(storage=MemoryStorage(), message='grüße "all"'))
    assert client.get("/").body == b'"gr\\u00fc\\u00dfe \\"all\\""'


# -- what is not ours


@pytest.mark.parametrize(
    "path", ["/elsewhere", "/api/v1.2/nothing", "/favicon.ico", "//v1/_ping", "/V1/_ping"]
)
def test_decision_8_other_paths_without_application_are_404(client: Client, path: str) -> None:
    assert error_of(client.get(path)) == (404, "Not found")


def test_decision_8_unknown_path_of_the_accounts_api_is_404(client: Client) -> None:
    answer = client.get("/api/v1.1/nothing")
    assert (answer.status_int, answer.json) == (404, {"detail": "Not found"})


@pytest.mark.parametrize("path", ["/v2/", "/v2"])
def test_decision_8a_v2_lets_podman_search_and_engines_fall_back(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_int, answer.body) == (200, b"{}")
    assert "Docker-Distribution-API-Version" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/v2/foo/bar/manifests/latest", "/v2/_catalog", "/v2/x/blobs/uploads/"])
def test_decision_8a_engine_with_v1_gets_404_in_plain_text_below_v2(method: str, path: str) -> None:
    client = Client(Registry(storage=MemoryStorage(), v2="ping"))
    answer = client.request(method, path, headers={"User-Agent": "docker/17.05.0-ce go/go1.7.5"})
    assert answer.status_int == 404
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "Docker-Distribution-API-Version" not in answer.headers


@pytest.mark.parametrize("setting", ["absent", "pass"])
@pytest.mark.parametrize("path", ["/v2/", "/v2", "/v2/foo/tags/list"])
def test_decision_8a_a_setting_turns_v2_into_404(setting: str, path: str) -> None:
    answer = Client(Registry(storage=MemoryStorage(), v2=setting)).get(path)
    assert answer.status_int == 404
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_section_14_head_of_users_is_200(client: Client) -> None:
    assert client.head("/v1/users/").status_int == 200
