"""The checklist of clients.md: log-in, search, /v2/, layers, mount points (CLI-013 to CLI-025).

The server has no accounts here (decisions.md 15). It needs no credentials, but issues tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from support.small_engine import USER_AGENTS, SmallEngine
from support.wire import (
    Answer,
    Below,
    CountedInput,
    WireRequest,
    WsgiTransport,
    dispatch,
    tells_path,
)

from v1registry import FileStorage, MemoryStorage, Registry

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
from support.checklist_images import ALICE, BASE, IMAGES, JSON, TOP, get, pulled_form

# -- login


def post_user(transport: WsgiTransport, body: bytes) -> Answer:
    kind = ("Content-Type", "application/json; charset=utf-8")
    headers = (("Host", transport.host), ("User-Agent", "Go-http-client/1.1"), kind)
    length = ("Content-Length", str(len(body)))
    answer = transport.send(WireRequest("POST", "/v1/users/", (*headers, length), (body,)))
    assert answer is not None
    return answer


ACCOUNT = b'{"username":"alice","password":"wonder","auth":"","email":"alice@example.com"}'


def test_CLI_013_docker_up_to_1_10_registers_and_logs_in(transport: WsgiTransport) -> None:
    """A server without accounts accepts every registration. The 400 for a taken name needs accounts."""
    for _ in range(2):
        created = post_user(transport, ACCOUNT)
        assert (created.status, created.body) == (201, b'"User Created"')
    refused = post_user(transport, b"username=alice")
    assert refused.status == 400
    assert isinstance(json.loads(refused.body), str)
    assert refused.body != b'"Username or email already exists"'

    checked = get(transport, "/v1/users/", ALICE)
    assert (checked.status, checked.body) == (200, b'"OK"')


def test_CLI_014_a_login_that_was_not_created_is_checked_with_get(transport: WsgiTransport) -> None:
    """A server without accounts never answers POST with 401, and accepts any password."""
    assert post_user(transport, b'{"username":"alice","password":"wrong"}').status == 201

    for credentials in ("YWxpY2U6d29uZGVy", "YWxpY2U6d3Jvbmc="):
        checked = get(transport, "/v1/users/", ("Authorization", f"Basic {credentials}"))
        assert (checked.status, checked.body) == (200, b'"OK"')


def test_CLI_015_docker_from_1_11_on_logs_in_with_get_alone(transport: WsgiTransport) -> None:
    """A server without accounts answers 200 to every client. 401 and 403 need accounts."""
    for headers in ([ALICE], [("Authorization", "Basic !!")], [("Authorization", "Digest x")], []):
        checked = get(transport, "/v1/users/", *headers)
        assert (checked.status, checked.body) == (200, b'"OK"')
        assert checked.header("Content-Type") == "application/json"


# -- search


@pytest.mark.parametrize("credentials", [(), (ALICE, ("X-Docker-Token", "true"))], ids=["nobody", "basic"])
@pytest.mark.parametrize("limit", ["", "&n=25", "&n=1"])
def test_CLI_016_search_with_and_without_a_limit_and_credentials(
    filled: WsgiTransport, limit: str, credentials: tuple[tuple[str, str], ...]
) -> None:
    SmallEngine(filled, "1.9").push("other", [BASE])

    found = get(filled, f"/v1/search?q=app{limit}", *credentials)
    none = get(filled, f"/v1/search?q=zzz{limit}", *credentials)

    assert (found.status, none.status) == (200, 200)
    assert [hit["name"] for hit in json.loads(found.body)["results"]] == ["alice/app"]
    assert json.loads(found.body)["num_results"] == 1
    assert json.loads(none.body)["results"] == []


# -- /v2/


BELOW_V2 = [
    ("GET", "/v2/_catalog"),
    ("GET", "/v2/alice/app/manifests/latest"),
    ("HEAD", "/v2/alice/app/manifests/latest"),
    ("PUT", "/v2/alice/app/manifests/latest"),
    ("POST", "/v2/alice/app/blobs/uploads/"),
    ("PATCH", "/v2/alice/app/blobs/uploads/1"),
    ("DELETE", "/v2/alice/app/manifests/latest"),
    ("HEAD", "/v2/alice/app/blobs/sha256:" + "0" * 64),
    ("OPTIONS", "/v2/x"),
]


@pytest.mark.parametrize("v2", ["ping", "absent"])
def test_CLI_017_v2_and_paths_below_it(v2: str) -> None:
    transport = WsgiTransport(Registry(storage=MemoryStorage(), v2=v2))
    SmallEngine(transport, "1.9").push("alice/app", IMAGES)

    ping = get(transport, "/v2/")
    assert (ping.status, ping.body) == ((200, b"{}") if v2 == "ping" else (404, ping.body))
    assert get(transport, "/v2/", method="HEAD").status == ping.status
    for method, path in BELOW_V2:
        answer = get(transport, path, ("User-Agent", USER_AGENTS["1.12"]), method=method)
        assert (answer.status, method) == (404, method)
        assert (answer.header("Content-Type") or "").partition(";")[0] == "text/plain"
        with pytest.raises(ValueError):
            json.loads(answer.body)


def test_CLI_017_v2_can_be_left_to_the_application_behind(transport: WsgiTransport) -> None:
    registry = Registry(storage=MemoryStorage(), v2="pass").in_front_of(tells_path)
    mixed = WsgiTransport(registry)

    assert get(mixed, "/v2/").body == b"'' '/v2/'"
    assert get(mixed, "/v2/_catalog").body == b"'' '/v2/_catalog'"
    assert get(mixed, "/v1/_ping").body == b"{}"


@pytest.mark.parametrize("v2", ["ping", "absent"])
def test_CLI_018_no_answer_claims_the_distribution_api(v2: str) -> None:
    transport = WsgiTransport(Registry(storage=MemoryStorage(), v2=v2))
    SmallEngine(transport, "1.12").push("alice/app", IMAGES)

    engine = ("User-Agent", USER_AGENTS["1.12"])
    upload = get(transport, "/v2/alice/app/blobs/uploads/", engine, method="POST")
    assert (upload.status, upload.header("Content-Type")) == (404, "text/plain; charset=utf-8")
    for method, path in [("GET", "/v2/"), ("GET", "/v1/_ping"), ("GET", f"{TOP.path}/json"), *BELOW_V2]:
        answer = get(transport, path, method=method)
        assert answer.header("Docker-Distribution-Api-Version") is None


# -- layers


def test_CLI_019_a_resume_at_the_very_end_is_416_of_length_0(filled: WsgiTransport) -> None:
    size = len(TOP.layer.body)

    ended = SmallEngine(filled, "1.3").ask(
        "GET", f"{TOP.path}/layer", None, ("Range", f"bytes={size}-{size}")
    )

    assert (ended.status, ended.body) == (416, b"")
    assert ended.header("Content-Length") == "0"


def test_CLI_020_a_layer_is_never_encoded_for_the_transfer(filled: WsgiTransport) -> None:
    accepts = ("Accept-Encoding", "gzip")

    head = get(filled, f"{TOP.path}/layer", accepts, method="HEAD")
    whole = get(filled, f"{TOP.path}/layer", accepts)
    part = get(filled, f"{TOP.path}/layer", accepts, ("Range", "bytes=0-99"))

    assert (head.status, whole.status, part.status) == (200, 200, 206)
    assert [answer.header("Content-Encoding") for answer in (head, whole, part)] == [None] * 3
    size = str(len(TOP.layer.body))
    assert [answer.header("Content-Length") for answer in (head, whole, part)] == [size, size, "100"]
    assert (whole.body, part.body) == (TOP.layer.body, TOP.layer.body[:100])
    document = get(filled, f"{TOP.path}/json", accepts)
    assert (document.header("Content-Encoding"), document.body) == (None, TOP.document)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/images/" + "0" * 64 + "/layer", 404),
        ("/v1/images/NOT-AN-ID/layer", 404),
        (f"{TOP.path}/layer", 409),
        (f"{TOP.path}/ancestry", 405),
        ("/v1/nothing/here", 404),
        ("/v1/repositories/alice/app/tags/-bad", 400),
    ],
)
def test_CLI_021_a_refused_upload_is_read_before_it_is_answered(path: str, status: int) -> None:
    registry = Registry(storage=MemoryStorage(), max_refused_bytes=1 << 20)
    SmallEngine(WsgiTransport(registry), "1.9").push("alice/app", IMAGES)

    def put(size: int) -> tuple[int, int]:
        """Return the status, and the bytes read before the answer."""
        body, read_by_then = CountedInput(size), []
        statuses = []

        def start_response(line: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
            statuses.append(int(line[:3]))
            read_by_then.append(body.given)
            return lambda data: None

        environ = {
            "REQUEST_METHOD": "PUT",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "SERVER_NAME": "registry.example.com",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": body,
            "wsgi.input_terminated": True,
        }
        b"".join(registry(environ, start_response))
        return statuses[0], read_by_then[0]

    assert put(1_000_000) == (status, 1_000_000)
    # a layer of a complete image is compared with the stored one, so it is read to its end
    if status != 409:
        refused, read = put(20_000_000)
        assert refused == status
        assert 1 << 20 <= read < 2_000_000


def test_CLI_022_a_redirected_layer_needs_no_credentials(
    tmp_path: Path,
) -> None:
    def serves_folder(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """A file server that rejects unknown credentials, as object stores do."""
        if "HTTP_AUTHORIZATION" in environ:
            start_response("400 Bad Request", [("Content-Type", "text/plain")])
            return [b"Unsupported Authorization"]
        data = (tmp_path / environ["PATH_INFO"].removeprefix("/layers/")).read_bytes()
        start_response(
            "200 OK", [("Content-Type", "binary/octet-stream"), ("Content-Length", str(len(data)))]
        )
        return [data]

    storage = FileStorage(tmp_path, durable=False)
    transport = WsgiTransport(Registry(storage, layer_redirect="http://files.example.com/layers/"))
    elsewhere = WsgiTransport(serves_folder, host="files.example.com")
    engine = SmallEngine(transport, "1.9")
    engine.push("alice/app", IMAGES)
    engine.ask_index("GET", "/v1/repositories/alice/app/images")

    for image in IMAGES:
        redirect = engine.ask("GET", f"{image.path}/layer")
        assert redirect.status == 302
        # not cached for a year like the layer, because its place may change
        assert redirect.header("Cache-Control") == "no-cache"
        location = urlsplit(redirect.header("Location") or "")
        assert (location.scheme, location.netloc, location.query) == ("http", "files.example.com", "")
        # engines do not send the Authorization header to another host
        fetched = SmallEngine(elsewhere, "1.9").ask("GET", location.path)
        assert (fetched.status, fetched.body) == (200, image.layer.body)


# -- the User-Agent


@pytest.mark.parametrize(
    ("user_agent", "told"),
    [
        (
            "docker/0.9.1 go/go1.2.1 git-commit/3600720 kernel/3.8.0-19-generic os/linux arch/amd64 ",
            {"docker_version": "0.9.1", "docker_go_version": "go1.2.1", "kernel": "3.8.0-19-generic"},
        ),
        (
            "docker/1.9.1 go/go1.4.3 git-commit/a34a1d5 kernel/3.16.0-4-amd64 os/linux arch/amd64",
            {"docker_version": "1.9.1", "docker_go_version": "go1.4.3", "kernel": "3.16.0-4-amd64"},
        ),
        (
            USER_AGENTS["1.12"],
            {"docker_version": "1.12.6", "docker_go_version": "go1.6.4", "kernel": "3.16.0-4-amd64"},
        ),
        (
            "docker/17.05.0-ce go/go1.7.5 git-commit/89658be kernel/4.9.0-3-amd64 os/linux arch/amd64 "
            "UpstreamClient(docker/99.0 \\(linux\\))",
            {"docker_version": "17.05.0-ce", "docker_go_version": "go1.7.5", "kernel": "4.9.0-3-amd64"},
        ),
        ("docker/dev os/Linux arch/AMD64", {"docker_version": "dev"}),
    ],
    ids=["0.9", "1.9", "1.12", "17.05", "dev"],
)
def test_CLI_023_the_tag_records_the_engine(
    filled: WsgiTransport, user_agent: str, told: dict[str, str]
) -> None:
    body = json.dumps(TOP.image_id).encode()
    headers = (("User-Agent", user_agent), JSON, ("Content-Length", str(len(body))))
    filled.send(WireRequest("PUT", "/v1/repositories/alice/app/tags/it", headers, (body,)))

    info = json.loads(get(filled, "/v1/repositories/alice/app/tags/it/json").body)

    assert isinstance(info.pop("last_update"), int)
    assert info == {"os": "linux", "arch": "amd64", **told}


@pytest.mark.parametrize("user_agent", ["Go 1.1 package http", "Go-http-client/1.1", "curl/7.88.1", ""])
def test_CLI_023_other_clients_leave_only_the_time(filled: WsgiTransport, user_agent: str) -> None:
    body = json.dumps(TOP.image_id).encode()
    headers = (("User-Agent", user_agent), JSON, ("Content-Length", str(len(body))))
    filled.send(WireRequest("PUT", "/v1/repositories/alice/app/tags/it", headers, (body,)))

    assert list(json.loads(get(filled, "/v1/repositories/alice/app/tags/it/json").body)) == ["last_update"]


# -- mount points


def test_CLI_024_a_mirror_accepts_tokens_of_another_index(filled: WsgiTransport) -> None:
    engine = SmallEngine(filled, "1.9")
    engine.token = 'Token signature=8X1WBEGMZXYJZ5ML,repository="library/ubuntu",access=read'

    assert engine.ping().status == 200
    ancestry = engine.ask("GET", f"{TOP.path}/ancestry")
    assert json.loads(ancestry.body) == [image.image_id for image in reversed(IMAGES)]
    for image in IMAGES:
        assert engine.ask("GET", f"{image.path}/json").body == image.document
        assert engine.ask("GET", f"{image.path}/layer").body == image.layer.body


def test_CLI_025_answers_in_front_of_an_application() -> None:
    transport = WsgiTransport(Registry(storage=MemoryStorage()).in_front_of(tells_path))
    engine = SmallEngine(transport, "1.9")

    engine.push("alice/app", IMAGES)

    assert engine.pull("alice/app") == pulled_form(IMAGES)
    assert get(transport, "/").body == b"'' '/'"
    assert get(transport, "/v1x/other").body == b"'' '/v1x/other'"
    assert get(transport, "/_ping").body == b"{}"


@pytest.mark.parametrize("prefix", ["/registry", "/a/b c"])
def test_CLI_025_answers_below_a_prefix_are_the_same(prefix: str) -> None:
    registry = Registry(storage=MemoryStorage())
    transport = WsgiTransport(dispatch(prefix, registry, tells_path))
    quoted = prefix.replace(" ", "%20")
    engine = SmallEngine(Below(transport, quoted), "1.9")

    engine.push("alice/app", IMAGES)

    assert engine.pull("alice/app") == pulled_form(IMAGES)
    # docker appends /v1/ to the endpoint, so it cannot have a prefix
    listed = get(transport, f"{quoted}/v1/repositories/alice/app/images")
    assert listed.header("X-Docker-Endpoints") == transport.host
    assert get(transport, f"{quoted}/v1/_ping").body == b"{}"
    for root in ("", "/"):
        assert json.loads(get(transport, quoted + root).body) == "docker-registry server"
    assert get(transport, "/v1/_ping").body == b"'' '/v1/_ping'"
    # the same storage at the root of another host
    assert SmallEngine(WsgiTransport(registry), "1.9").pull("alice/app") == pulled_form(IMAGES)
