"""hub.md 3 to 5 and 7 as far as a server without accounts shows them, and decisions.md 1, 6, 15 and 16."""

from __future__ import annotations

import json
import re

import pytest
from support.engine_client import make_image
from support.wsgi_client import Client, error_of

from v1registry import MemoryStorage, Registry

ONE, TWO, THREE = (make_image(name.encode()) for name in ("one", "two", "three"))
REPOSITORIES = "/v1/repositories"
WANTED = {"X-Docker-Token": "true"}
TOKEN = re.compile(r'^signature=[A-Za-z0-9._~-]+,repository="[^"/]+/[^"]+",access=(read|write|delete)$')
LIST = json.dumps([{"id": ONE.image_id}, {"id": TWO.image_id}])


# -- HUB-009 to 011, 031


def test_HUB_009_announcement_returns_token_and_endpoints(client: Client) -> None:
    answer = client.put(f"{REPOSITORIES}/foo/bar/", LIST, WANTED)
    assert (answer.status_int, answer.body) == (200, b'""')
    token = answer.headers["X-Docker-Token"]
    assert token.endswith(',repository="foo/bar",access=write')
    assert answer.headers.getall("WWW-Authenticate") == [f"Token {token}"]
    assert answer.headers.getall("X-Docker-Endpoints") == ["localhost:80"]


def asked(client: Client, method: str, path: str, wanted: str | None) -> dict[str, str]:
    body = LIST if method == "PUT" else ""
    headers = {} if wanted is None else {"X-Docker-Token": wanted}
    return dict(client.request(method, f"{REPOSITORIES}/{path}", body, headers).headers)


CALLS = [("PUT", "foo/bar/", "write"), ("GET", "foo/bar/images", "read"), ("PUT", "foo/bar/images", "write"),
         ("DELETE", "foo/bar/images", "delete")]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "access"), CALLS)
@pytest.mark.parametrize("wanted", [None, "", "false", "1", "truer", "\xe9"])
def test_HUB_010_token_is_issued_on_request(
    client: Client, method: str, path: str, access: str, wanted: str | None
) -> None:
    client.put(f"{REPOSITORIES}/foo/bar/", LIST)
    headers = asked(client, method, path, wanted)
    assert not {"X-Docker-Token", "Www-Authenticate", "WWW-Authenticate"} & set(headers)
    assert "X-Docker-Endpoints" in headers
    assert f"access={access}" in asked(client, method, path, "true")["X-Docker-Token"]


@pytest.mark.parametrize("name", ["foo/bar", "bar", "a/b/c", "_/Up.per-x_"])
@pytest.mark.parametrize(("end", "access"), [("/", "write"), ("/images", "write")])
def test_HUB_011_tokens_have_the_old_grammar_and_full_name(
    client: Client, name: str, end: str, access: str
) -> None:
    token = client.put(f"{REPOSITORIES}/{name}{end}", LIST, WANTED).headers["X-Docker-Token"]
    found = TOKEN.match(token)
    assert found is not None
    assert found[1] == access
    assert f'repository="{name if "/" in name else "library/" + name}"' in token


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [("registry.example.com", "registry.example.com"), ("[::1]:5000", "[::1]:5000"), ("A_b-c.d:65535",
    "A_b-c.d:65535")],
)  # fmt: skip
def test_HUB_031_endpoint_is_the_host_of_the_request(client: Client, host: str, endpoint: str) -> None:
    answer = client.put(f"{REPOSITORIES}/foo/bar/", "[]", {"Host": host})
    assert answer.headers["X-Docker-Endpoints"] == endpoint


@pytest.mark.parametrize(
    "host",
    ["", "a b", "a,b", "a/b", "user@host", "host:", "host:123456", "[::1", 'a"b', "\xe9", "host:5000\t"],
)
@pytest.mark.parametrize("end", ["/", "/images"])
def test_invalid_host_is_400_and_nothing_is_stored(client: Client, host: str, end: str) -> None:
    assert error_of(client.put(f"{REPOSITORIES}/foo/bar{end}", LIST, {"Host": host}))[0] == 400
    assert list(client.app.storage.list("")) == []


def test_HUB_031_endpoints_and_public_url_can_be_set() -> None:
    def endpoint(**settings: str) -> str:
        client = Client(Registry(storage=MemoryStorage(), **settings))
        value: str = client.put(f"{REPOSITORIES}/foo/bar/", "[]").headers["X-Docker-Endpoints"]
        return value

    assert endpoint(public_url="https://example.com:8443") == "example.com:8443"
    assert endpoint(endpoints="a.example.com, b.example.com:5000") == "a.example.com, b.example.com:5000"
    assert endpoint(public_url="https://example.com", endpoints="a:1") == "a:1"


@pytest.mark.parametrize(
    ("proxies", "address", "forwarded", "endpoint"),
    [
        ("", "10.0.0.1", "evil.example.com", "localhost:80"),
        ("10.0.0.0/8", "10.0.0.1", "good.example.com", "good.example.com"),
        ("10.0.0.0/8", "10.0.0.1", "a.example.com, b.example.com", "b.example.com"),
        ("10.0.0.0/8, ::1", "::1", "good.example.com:1", "good.example.com:1"),
        ("10.0.0.0/8", "11.0.0.1", "evil.example.com", "localhost:80"),
        ("10.0.0.0/8", "", "evil.example.com", "localhost:80"),
        ("10.0.0.0/8", "unix:", "evil.example.com", "localhost:80"),
    ],
)
def test_HUB_031_forwarded_host_counts_only_from_trusted_proxies(
    proxies: str, address: str, forwarded: str, endpoint: str
) -> None:
    app = Registry(storage=MemoryStorage(), trusted_proxies=proxies)
    client = Client(app, REMOTE_ADDR=address)
    answer = client.put(f"{REPOSITORIES}/foo/bar/", "[]", {"X-Forwarded-Host": forwarded})
    assert answer.headers["X-Docker-Endpoints"] == endpoint


# -- HUB-014 to 018


@pytest.mark.parametrize("end", ["/", "", "/images"])
@pytest.mark.parametrize("body", ["", "{", "nul", b"\xff[]", "[" * 10_000, "[NaN]", "[]]"])
def test_HUB_014_invalid_json_is_reported(client: Client, end: str, body: str | bytes) -> None:
    answer = client.put(f"{REPOSITORIES}/foo/bar{end}", body)
    assert error_of(answer) == (400, "Error Decoding JSON")


@pytest.mark.parametrize("end", ["/", "", "/images"])
@pytest.mark.parametrize("body", ["null", "{}", "1", '"x"', "true", '{"id": "x"}'])
def test_HUB_014_json_other_than_a_list_is_invalid_data(client: Client, end: str, body: str) -> None:
    assert error_of(client.put(f"{REPOSITORIES}/foo/bar{end}", body)) == (400, "Invalid data")


@pytest.mark.parametrize("end", ["/", "/images"])
@pytest.mark.parametrize(
    "element",
    ["x", 1, None, [], {}, {"id": None}, {"id": 1}, {"id": []}, {"id": ""}, {"ID": ONE.image_id}]
    + [{"id": ONE.image_id, "checksum": checksum} for checksum in (None, 1, [], {})],
)
def test_HUB_014_section_14_invalid_elements_change_nothing(
    client: Client, end: str, element: object
) -> None:
    client.put(f"{REPOSITORIES}/foo/bar/", LIST)
    body = json.dumps([{"id": THREE.image_id}, element])
    assert error_of(client.put(f"{REPOSITORIES}/foo/bar{end}", body)) == (400, "Invalid data")
    assert client.get(f"{REPOSITORIES}/foo/bar/images").text == LIST


@pytest.mark.parametrize(
    "image_id", ["test_image", ONE.image_id.upper(), "0" * 63, "../../x", ONE.image_id + "\n"]
)
def test_decision_6_ids_that_are_not_hex_are_invalid_data(client: Client, image_id: str) -> None:
    answer = client.put(f"{REPOSITORIES}/foo/bar/", json.dumps([{"id": image_id}]))
    assert error_of(answer) == (400, "Invalid data")


def test_HUB_015_ids_may_repeat_with_different_tags(client: Client) -> None:
    body = json.dumps(
        [{"id": ONE.image_id, "Tag": tag} for tag in ("latest", "1.0", "")] + [{"id": TWO.image_id}]
    )
    assert client.put(f"{REPOSITORIES}/foo/bar/", body).status_int == 200
    assert client.get(f"{REPOSITORIES}/foo/bar/images").text == body


def test_HUB_015_first_list_is_kept_byte_for_byte(client: Client) -> None:
    body = ' [ {"id":"%s" , "x":[1.50]} ]\n' % ONE.image_id  # noqa: UP031
    client.put(f"{REPOSITORIES}/foo/bar/", body)
    assert client.get(f"{REPOSITORIES}/foo/bar/images").text == body


@pytest.mark.parametrize("body", ["[]", LIST])
def test_HUB_016_end_of_a_push_is_204_without_body(client: Client, body: str) -> None:
    client.put(f"{REPOSITORIES}/foo/bar/", LIST)
    headers = {"X-Docker-Endpoints": "http://localhost:80/v1/", **WANTED}
    answer = client.put(f"{REPOSITORIES}/foo/bar/images", body, headers)
    assert (answer.status_int, answer.body) == (204, b"")
    assert "Content-Length" not in answer.headers
    assert "Content-Type" not in answer.headers
    assert "access=write" in answer.headers["X-Docker-Token"]
    assert answer.headers["X-Docker-Endpoints"] == "localhost:80"


def test_HUB_016_empty_list_removes_nothing(client: Client) -> None:
    client.put(f"{REPOSITORIES}/foo/bar/", LIST)
    client.put(f"{REPOSITORIES}/foo/bar/images", "[]")
    assert client.get(f"{REPOSITORIES}/foo/bar/images").json == json.loads(LIST)


def test_HUB_016_empty_list_does_not_hide_tagged_images(client: Client) -> None:
    client.push(ONE)
    client.tag("foo/bar", "v1", ONE)
    assert client.put(f"{REPOSITORIES}/foo/bar/images", "[]").status_int == 204
    assert client.get(f"{REPOSITORIES}/foo/bar/images").json == [{"id": ONE.image_id}]
    client.put(f"{REPOSITORIES}/foo/none/images", "[]")
    assert client.get(f"{REPOSITORIES}/foo/none/images").status_int == 404


def test_HUB_017_images_and_checksums_are_added_and_never_removed(client: Client) -> None:
    path = f"{REPOSITORIES}/foo/bar"
    first, second, third = ONE.image_id, TWO.image_id, THREE.image_id

    def put(end: str, *entries: dict[str, str]) -> object:
        assert client.put(path + end, json.dumps(entries)).status_int in (200, 204)
        return client.get(f"{path}/images").json

    put("/", {"id": second, "Tag": "latest"}, {"id": first}, {"id": second, "Tag": "1.0"})
    assert put("/images", {"id": first, "checksum": "tarsum+sha256:1"}) == [
        {"id": second}, {"checksum": "tarsum+sha256:1", "id": first},
    ]  # fmt: skip
    assert put("/images", {"id": third}, {"id": first}, {"id": first, "checksum": ""}) == [
        {"id": second}, {"checksum": "tarsum+sha256:1", "id": first}, {"id": third},
    ]  # fmt: skip
    assert put("/", {"id": second, "checksum": "x"}) == [
        {"checksum": "x", "id": second}, {"checksum": "tarsum+sha256:1", "id": first}, {"id": third},
    ]  # fmt: skip


def test_HUB_017_end_of_a_push_works_without_announcement(client: Client) -> None:
    assert client.put(f"{REPOSITORIES}/foo/bar/images", LIST).status_int == 204
    assert client.get(f"{REPOSITORIES}/foo/bar/images").json == json.loads(LIST)


def test_HUB_018_pull_gets_list_endpoints_and_read_token(client: Client) -> None:
    client.put(f"{REPOSITORIES}/foo/bar/", LIST)
    answer = client.get(f"{REPOSITORIES}/foo/bar/images", WANTED)
    assert (answer.status_int, answer.text) == (200, LIST)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Docker-Endpoints"] == "localhost:80"
    token = answer.headers["X-Docker-Token"]
    assert token.endswith(',repository="foo/bar",access=read')
    assert answer.headers["WWW-Authenticate"] == f"Token {token}"


def test_HUB_018_an_unknown_repository_has_no_list(client: Client) -> None:
    assert error_of(client.get(f"{REPOSITORIES}/foo/bar/images", WANTED)) == (404, "images not found")


def test_HUB_018_unannounced_repository_lists_tagged_images(client: Client) -> None:
    child = make_image(b"child", ONE.image_id)
    client.push(ONE, TWO, THREE, child)
    for tag, image in (("a", child), ("b", ONE), ("c", TWO)):
        client.tag("foo/bar", tag, image)
    listed = client.get(f"{REPOSITORIES}/foo/bar/images").json
    ids = [entry["id"] for entry in listed]
    assert sorted(ids) == sorted({child.image_id, ONE.image_id, TWO.image_id})


# -- decisions.md 15: an open server


@pytest.mark.parametrize(
    "credentials", ["Basic Zm9vOmJhcg==", "Basic %%%", "Token signature=x", "Token", "\xff", ""]
)
def test_decision_15_credentials_are_ignored(client: Client, credentials: str) -> None:
    headers = {"Authorization": credentials}
    client.push(ONE)
    assert client.get("/v1/users/", headers).json == "OK"
    assert client.put(f"{REPOSITORIES}/foo/bar/", "[]", headers).status_int == 200
    assert client.tag("foo/bar", "v1", ONE, headers).status_int == 200
    assert client.get(f"/v1/images/{ONE.image_id}/json", headers).status_int == 200
    assert client.put(f"{REPOSITORIES}/bar/", "[]", headers).status_int == 200
    assert client.delete(f"{REPOSITORIES}/foo/bar/", headers).status_int == 200


@pytest.mark.parametrize("path", ["/v1/users", "/v1/users/"])
def test_decision_15_any_login_succeeds(client: Client, path: str) -> None:
    assert (client.get(path).status_int, client.get(path).body) == (200, b'"OK"')
    for body in ('{"username": "mira_k", "password": "s3cret-one"}', "null", "[]", '"x"'):
        answer = client.post(path, body, {"Content-Type": "application/json; charset=utf-8"})
        assert (answer.status_int, answer.body) == (201, b'"User Created"')
    answer = client.post(path, "{")
    assert (answer.status_int, answer.body) == (400, b'"Error Decoding JSON"')
    assert list(client.app.storage.list("")) == []


@pytest.mark.parametrize("body", ["", "{}", "{", '{"password": "other"}'])
@pytest.mark.parametrize("path", ["/v1/users/mira_k", "/v1/users/mira_k/", "/v1/users/%C3%A9"])
def test_decision_15_changing_a_user_is_204_without_a_body(client: Client, path: str, body: str) -> None:
    answer = client.put(path, body)
    assert (answer.status_int, answer.body) == (204, b"")
    assert "Content-Length" not in answer.headers


def test_decision_15_tokens_allow_everything(client: Client) -> None:
    answer = client.put(f"{REPOSITORIES}/foo/bar/auth", headers={"Authorization": "Token signature=x"})
    assert (answer.status_int, answer.body) == (200, b'"OK"')
    answer = client.get(f"{REPOSITORIES}/foo/bar/layer/{ONE.image_id}/access")
    assert (answer.status_int, answer.json) == (200, {"access": True})
    assert error_of(client.get(f"{REPOSITORIES}/foo/bar/layer/x/access")) == (404, "Invalid image ID")


def test_section_4_4_deletion_of_the_list_is_204_and_no_change(client: Client) -> None:
    client.put(f"{REPOSITORIES}/foo/bar/", LIST)
    assert client.delete(f"{REPOSITORIES}/foo/bar/images").status_int == 204
    assert client.get(f"{REPOSITORIES}/foo/bar/images").text == LIST
