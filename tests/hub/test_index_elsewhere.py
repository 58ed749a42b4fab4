"""Our registry with a minimal index: pushes and pulls, the time that answers are kept, outages."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.engine_client import EngineClient, UnexpectedAnswer
from support.other_index import CHAIN, IDS, NAME, OTHER, UNAVAILABLE, push, token
from support.programs import Program
from support.small_index import LOGIN, SmallIndex
from support.stoppable_server import StoppableServer
from support.wsgi_client import Client, error_of

from v1registry import MemoryStorage, Registry


def test_HUB_026_push_pull_and_delete_work_with_another_index(
    index: SmallIndex, engine: EngineClient
) -> None:
    engine.push(NAME, CHAIN)
    assert engine.pull(NAME) == CHAIN
    assert engine.delete(NAME) == 200
    assert index.lists == {}
    with pytest.raises(UnexpectedAnswer) as refused:
        engine.pull(NAME)
    assert refused.value.status == 404
    engine.push(NAME, CHAIN[:1])
    assert engine.pull(NAME) == CHAIN[:1]


def test_HUB_026_push_asks_once_about_its_token_not_its_images(
    index: SmallIndex, engine: EngineClient
) -> None:
    engine.push(NAME, CHAIN)
    assert index.asked == [f"GET {NAME}/images"]
    index.asked.clear()
    assert engine.pull(NAME) == CHAIN
    assert index.asked == [f"GET {NAME}/images"]


def test_HUB_026_the_header_reaches_the_index_byte_for_byte(registry: Client, index: SmallIndex) -> None:
    push(registry, index, CHAIN[0])
    seen = []

    def application(environ, start_response):  # type: ignore[no-untyped-def]
        seen.append(environ["HTTP_AUTHORIZATION"])
        start_response("200 OK", [("Content-Length", "2")])
        return [b"[]"]

    sent = [
        'Token signature=A,repository="foo/bar",access=read',
        'token  Token repository=foo/bar, access:"read"',
    ]
    with StoppableServer(application) as server:
        client = Client(Registry(storage=MemoryStorage(), index=server.url))
        for header in sent:
            client.get(f"/v1/repositories/{NAME}/tags", {"Authorization": header})
    assert seen == sent


def test_REG_002_a_registry_that_trusts_an_index_is_not_standalone(registry: Client) -> None:
    for path in ("/v1/_ping", "/_ping"):
        assert registry.get(path).headers["X-Docker-Registry-Standalone"] == "False"


def test_serve_says_whose_tokens_it_takes_and_where_clients_begin(
    index: SmallIndex, index_server: StoppableServer, tmp_path: Path
) -> None:
    command = ["v1registry", "serve", "--storage", (tmp_path / "data").as_uri(), "--port", "0"]
    environment = {"V1REGISTRY_INDEX": index_server.url}
    with Program(command, folder=tmp_path, environment=environment) as program:
        engine = EngineClient(index_server.host, login=LOGIN)
        index.endpoint = program.host
        engine.push(NAME, CHAIN)
        assert engine.pull(NAME) == CHAIN
        assert f"access:  with tokens that the index {index_server.url} checks\n" in program.log
        assert f"push:    v1registry push IMAGE.tar {index_server.host}/NAMESPACE/NAME:TAG\n" in program.log


@pytest.mark.parametrize(("options", "here"), [({"auth": "users:"}, "False"), ({}, "True")])
def test_REG_002_nor_is_an_index_whose_registry_is_elsewhere(options: dict[str, str], here: str) -> None:
    for images, expected in (("here", here), ("elsewhere", "False")):
        client = Client(Registry(storage=MemoryStorage(), images=images, **options))
        assert client.get("/v1/_ping").headers["X-Docker-Registry-Standalone"] == expected


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/users/", 404),
        ("POST", "/v1/users/", 404),
        ("PUT", "/v1/users/mira_k/", 404),
        ("GET", "/v1/search?q=x", 404),
        ("GET", f"/v1/repositories/{NAME}/images", 404),
        ("PUT", f"/v1/repositories/{NAME}/images", 404),
        ("PUT", f"/v1/repositories/{NAME}/auth", 404),
        # these paths are the registry's too, for a deletion
        ("GET", f"/v1/repositories/{NAME}/layer/{IDS[0]}/access", 405),
        ("PUT", f"/v1/repositories/{NAME}/", 405),
    ],
)
def test_a_registry_that_trusts_an_index_is_none_itself(
    registry: Client, index: SmallIndex, method: str, path: str, status: int
) -> None:
    answer = registry.request(method, path, b"[]", token(index.token(NAME, "write")))
    assert answer.status_int == status
    assert answer.headers.get("Allow") == ("DELETE" if status == 405 else None)
    assert index.asked == []


@pytest.mark.parametrize(
    "path", ["/v1/images/0123456789abcdef/json", "/v1/search", f"/v1/repositories/{NAME}/tags", "/v1/_ping"]
)
def test_an_index_whose_registry_is_elsewhere_has_no_images(path: str) -> None:
    client = Client(Registry(storage=MemoryStorage(), images="elsewhere", auth="users:"))
    is_of_index = path in ("/v1/search", "/v1/_ping")
    assert client.get(path).status_int == (200 if is_of_index else 404)


# -- what is remembered


def test_a_good_token_is_asked_about_once_a_refusal_each_time(registry: Client, index: SmallIndex) -> None:
    push(registry, index, CHAIN[0])
    index.asked.clear()
    reading, path = token(index.token(NAME, "read")), f"/v1/repositories/{NAME}/tags"
    for _ in range(3):
        assert registry.get(path, reading).status_int == 200
    assert index.asked == [f"GET {NAME}/images"]
    index.asked.clear()
    value = f'signature=SOON,repository="{NAME}",access=read'
    for _ in range(3):
        assert registry.get(path, token(value)).status_int == 401
    assert len(index.asked) == 3
    index.tokens[value] = (NAME, "read")
    assert registry.get(path, token(value)).status_int == 200


def test_with_no_time_to_keep_it_every_request_asks(index: SmallIndex, index_server: StoppableServer) -> None:
    client = Client(Registry(storage=MemoryStorage(), index=index_server.url, index_cache_s=0))
    push(client, index, CHAIN[0])
    index.asked.clear()
    reading = token(index.token(NAME, "read"))
    for _ in range(3):
        assert client.get(f"/v1/repositories/{NAME}/tags", reading).status_int == 200
    assert len(index.asked) == 3


def test_id_that_is_announced_after_the_token_is_pushed(registry: Client, index: SmallIndex) -> None:
    writing = push(registry, index, CHAIN[0])
    index.lists[NAME].append({"id": OTHER.image_id})
    assert registry.put(f"/v1/images/{OTHER.image_id}/json", OTHER.json, writing).status_int == 200


def test_a_token_to_delete_is_good_once(registry: Client, index: SmallIndex) -> None:
    writing = push(registry, index, CHAIN[0])
    path, deleting = f"/v1/repositories/{NAME}/", token(index.token(NAME, "delete"))
    index.deleted.add(NAME)
    assert registry.delete(path, deleting).json is True
    # what was taken before is asked about anew
    assert registry.get(f"/v1/repositories/{NAME}/tags", writing).status_int == 401
    index.lists.pop(NAME)
    assert registry.delete(path, deleting).status_int == 401


def test_tokens_and_files_of_old_servers_are_not_stored(
    registry: Client, index: SmallIndex, registry_storage: MemoryStorage
) -> None:
    writing = push(registry, index, *CHAIN)
    signature = writing["Authorization"].partition("signature=")[2][:16].encode()
    for stat in registry_storage.list(""):
        assert not stat.key.endswith("_images_list")
        assert signature not in registry_storage.read(stat.key)[0]


def test_an_index_that_stops_is_503_and_is_found_again(
    registry: Client, index: SmallIndex, index_server: StoppableServer
) -> None:
    writing = push(registry, index, CHAIN[0])
    reading, path = token(index.token(NAME, "read")), f"/v1/images/{IDS[0]}/json"
    index_server.stop()
    assert error_of(registry.get(path, reading)) == UNAVAILABLE
    answer = registry.put(f"/v1/images/{IDS[1]}/json", CHAIN[1].json, token(index.token(NAME, "write")))
    assert error_of(answer) == UNAVAILABLE
    # what the index allowed a moment ago goes on
    assert registry.get(path, writing).status_int == 200
    index_server.start()
    assert registry.get(path, reading).status_int == 200


def test_push_resumes_after_an_outage_of_the_index(
    index: SmallIndex, index_server: StoppableServer, engine: EngineClient
) -> None:
    engine.push(NAME, CHAIN[:1])
    endpoint, value = engine.announce(NAME, IDS)
    registry = EngineClient(endpoint)
    index_server.stop()
    with pytest.raises(UnexpectedAnswer) as refused:
        registry.put_json(CHAIN[1], value)
    assert (refused.value.status, refused.value.error) == UNAVAILABLE
    index_server.start()
    engine.push(NAME, CHAIN)
    assert engine.pull(NAME) == CHAIN


@pytest.mark.parametrize(
    "status", ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "429 Slow Down"]
)
def test_an_index_in_trouble_says_nothing_of_the_token(
    registry: Client, index: SmallIndex, status: str
) -> None:
    index.before = lambda path: (status, [], b"[]")
    assert (
        error_of(registry.get(f"/v1/repositories/{NAME}/tags", token(index.token(NAME, "read"))))
        == UNAVAILABLE
    )


def test_the_ping_and_the_status_need_no_index(registry: Client, index_server: StoppableServer) -> None:
    index_server.stop()
    for path in ("/v1/_ping", "/_ping", "/v1/_status", "/"):
        assert registry.get(path).status_int == 200
