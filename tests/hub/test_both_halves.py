"""Registry and index in two servers: ours with ours, and our registry with a minimal index."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.cheap_passwords import CheapPasswords
from support.credentials import basic
from support.engine_client import EngineClient, Image, UnexpectedAnswer, make_chain, make_image, tar_layer
from support.programs import Program
from support.small_index import LOGIN, SmallIndex
from support.stoppable_server import StoppableServer
from support.wsgi_client import Client, error_of

from v1registry import MemoryStorage, Registry, Storage
from v1registry.accounts.users import UserStore
from v1registry.archives.images import ChainImage
from v1registry.archives.save import write_save_archive
from v1registry.client import Client as PushPullClient
from v1registry.client import NotFoundInRegistry

NAME = "foo/bar"
CHAIN = make_chain((tar_layer({f"file-{n}": b"%d" % n}) for n in range(3)), name="halves")
IDS = [image.image_id for image in CHAIN]
OTHER = make_image(tar_layer({"other": b"other"}), name="other")
REQUIRES_AUTHORIZATION = (401, "Requires authorization")


def token(value: str) -> dict[str, str]:
    return {"Authorization": f"Token {value}"}


# -- our registry and a minimal index


@pytest.fixture
def index() -> Iterator[SmallIndex]:
    small = SmallIndex()
    yield small
    assert small.wrong == []


@pytest.fixture
def index_server(index: SmallIndex) -> Iterator[StoppableServer]:
    with StoppableServer(index) as server:
        yield server


@pytest.fixture
def registry_storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def registry(index_server: StoppableServer, registry_storage: MemoryStorage) -> Client:
    """The registry in this process; it asks the index over the wire."""
    return Client(Registry(storage=registry_storage, index=index_server.url))


@pytest.fixture
def engine(index: SmallIndex, index_server: StoppableServer, registry: Client) -> Iterator[EngineClient]:
    """An engine that is logged in to the index, which sends it to the registry on another port."""
    with StoppableServer(registry.app) as server:
        index.endpoint = server.host
        yield EngineClient(index_server.host, login=LOGIN)


def push(registry: Client, index: SmallIndex, *images: Image, repository: str = NAME) -> dict[str, str]:
    """Push images in this process, the last one as ``latest``; return the header with the token."""
    listed = index.lists.setdefault(repository, [])
    listed += [{"id": image.image_id} for image in images]
    writing = token(index.token(repository, "write"))
    for image in images:
        path = f"/v1/images/{image.image_id}"
        assert registry.put(f"{path}/json", image.json, writing).status_int == 200
        assert registry.put(f"{path}/layer", image.layer, writing).status_int == 200
        sums = {"X-Docker-Checksum-Payload": image.payload_checksum}
        assert registry.put(f"{path}/checksum", headers=writing | sums).status_int == 200
    tagged = registry.put(f"/v1/repositories/{repository}/tags/latest", f'"{images[-1].image_id}"', writing)
    assert tagged.status_int == 200
    return writing


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


# -- REG-040 to REG-043: what a token is good for

READS = [
    ("GET", f"/v1/repositories/{NAME}/tags"),
    ("HEAD", f"/v1/repositories/{NAME}/tags"),
    ("GET", f"/v1/repositories/{NAME}/tags/latest"),
    ("GET", f"/v1/repositories/{NAME}/tags/latest/json"),
    ("GET", f"/v1/repositories/{NAME}/json"),
    ("GET", f"/v1/repositories/{NAME}/properties"),
    ("GET", f"/v1/images/{IDS[0]}/json"),
    ("HEAD", f"/v1/images/{IDS[0]}/layer"),
    ("GET", f"/v1/images/{IDS[0]}/layer"),
    ("GET", f"/v1/images/{IDS[0]}/ancestry"),
    ("GET", f"/v1/images/{IDS[0]}/files"),
    ("GET", f"/v1/images/{IDS[0]}/diff"),
]
WRITES = [
    ("PUT", f"/v1/repositories/{NAME}/tags/other"),
    ("PUT", f"/v1/repositories/{NAME}/properties"),
    ("PUT", f"/v1/images/{IDS[0]}/json"),
    ("PUT", f"/v1/images/{IDS[0]}/layer"),
    ("PUT", f"/v1/images/{IDS[0]}/checksum"),
]
DELETES = [("DELETE", f"/v1/repositories/{NAME}/"), ("DELETE", f"/v1/repositories/{NAME}/tags")]
TAG_DELETE = ("DELETE", f"/v1/repositories/{NAME}/tags/latest")

BAD_HEADERS = {
    "none": None,
    "empty": "Token ",
    "basic": basic("mira", "s3cret")["Authorization"],
    "unknown scheme": "Bearer abc",
    "forged": f'Token signature=AAAAAAAAAAAAAAAA,repository="{NAME}",access=ACCESS',
    "without access": f'Token signature=GOOD,repository="{NAME}"',
    "without repository": "Token signature=GOOD,access=ACCESS",
    "without namespace": 'Token signature=GOOD,repository="bar",access=ACCESS',
    "not a name": 'Token signature=GOOD,repository="foo/../../users",access=ACCESS',
    "with another field": f'Token signature=GOOD,repository="{NAME}",access=ACCESS,x="access=write"',
    "not ASCII": f'Token signature=GOOD\xe9,repository="{NAME}",access=ACCESS',
}


@pytest.mark.parametrize(("method", "path"), [*READS, *WRITES, *DELETES, TAG_DELETE])
@pytest.mark.parametrize("kind", BAD_HEADERS)
def test_REG_040_without_a_good_token_nothing_is_answered(
    registry: Client, index: SmallIndex, method: str, path: str, kind: str
) -> None:
    push(registry, index, CHAIN[0])
    word = {"GET": "read", "HEAD": "read", "PUT": "write", "DELETE": "delete"}[method]
    header = BAD_HEADERS[kind]
    headers = {} if header is None else {"Authorization": header.replace("ACCESS", word)}
    answer = registry.request(method, path, b"", headers)
    assert answer.status_int == 401
    assert answer.headers["WWW-Authenticate"] == "Token"
    if method != "HEAD":
        assert error_of(answer) == REQUIRES_AUTHORIZATION


@pytest.mark.parametrize(("method", "path"), [*READS, *WRITES, *DELETES, TAG_DELETE])
def test_REG_040_token_of_another_repository_is_rejected(
    registry: Client, index: SmallIndex, method: str, path: str
) -> None:
    push(registry, index, CHAIN[0])
    index.lists["foo/other"] = []
    word = {"GET": "read", "HEAD": "read", "PUT": "write", "DELETE": "delete"}[method]
    answer = registry.request(method, path, b"", token(index.token("foo/other", word)))
    if "/repositories/" in path:
        assert answer.status_int == 401
        assert answer.headers["WWW-Authenticate"] == "Token"
    elif method == "PUT":
        assert error_of(answer)[0] == 400
    else:
        assert answer.status_int == 404  # it looks absent


ALLOWED = {
    **{row: {"read", "write"} for row in READS},
    **{row: {"write"} for row in WRITES},
    **{row: {"delete"} for row in DELETES},
    # no index hands out a token to delete a tag with
    TAG_DELETE: {"write", "delete"},
}


@pytest.mark.parametrize(("method", "path"), ALLOWED)
@pytest.mark.parametrize("word", ["read", "write", "delete", "admin", "READ"])
def test_REG_040_042_the_access_of_a_token_is_what_it_is_good_for(
    registry: Client, index: SmallIndex, method: str, path: str, word: str
) -> None:
    push(registry, index, CHAIN[0])
    answer = registry.request(method, path, b"", token(index.token(NAME, word)))
    if word in ALLOWED[method, path]:
        assert answer.status_int in ((200,) if method != "PUT" else (200, 400, 409, 412))
    else:
        assert answer.status_int == 401
        assert answer.headers["WWW-Authenticate"] == "Token"


def test_REG_041_the_doubled_word_of_old_servers_is_taken(registry: Client, index: SmallIndex) -> None:
    push(registry, index, CHAIN[0])
    value = index.token(NAME, "read")
    answer = registry.get(f"/v1/repositories/{NAME}/tags", {"Authorization": f"Token Token {value}"})
    assert answer.json == {"latest": IDS[0]}


def test_REG_042_the_token_of_a_push_reads_what_is_there(registry: Client, index: SmallIndex) -> None:
    writing = push(registry, index, *CHAIN)
    assert registry.get(f"/v1/images/{IDS[2]}/json", writing).body == CHAIN[2].json
    assert registry.head(f"/v1/images/{IDS[2]}/layer", writing).status_int == 200


def test_REG_043_an_image_that_the_index_does_not_list_is_refused(
    registry: Client, index: SmallIndex
) -> None:
    index.lists[NAME] = [{"id": IDS[0]}]
    writing = token(index.token(NAME, "write"))
    refused = (400, "This image does not belong to the repository")
    assert error_of(registry.put(f"/v1/images/{OTHER.image_id}/json", OTHER.json, writing)) == refused
    assert error_of(registry.put(f"/v1/images/{OTHER.image_id}/layer", OTHER.layer, writing)) == refused
    assert registry.put(f"/v1/images/{IDS[0]}/json", CHAIN[0].json, writing).status_int == 200


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"{", "Invalid JSON"),
        (b"{}", "Invalid JSON"),
        (b'{"a": 1}', "Missing key `id' in JSON"),
        (b'{"id": "x"}', "JSON data contains invalid id"),
    ],
)
def test_REG_043_what_is_wrong_with_the_json_itself_is_told_first(
    registry: Client, index: SmallIndex, document: bytes, text: str
) -> None:
    index.lists[NAME] = []
    writing = token(index.token(NAME, "write"))
    assert error_of(registry.put(f"/v1/images/{IDS[0]}/json", document, writing)) == (400, text)


@pytest.mark.parametrize(
    "listed", [b"{}", b'["0123456789abcdef"]', b'[{"id": 1}]', b'[{"checksum": ""}]', b"[", b"\xff"]
)
def test_REG_043_a_list_that_is_none_makes_the_token_bad(
    registry: Client, index: SmallIndex, listed: bytes
) -> None:
    writing = push(registry, index, CHAIN[0])
    index.before = lambda path: ("200 OK", [], listed)
    reading = token(index.token(NAME, "read"))
    assert error_of(registry.get(f"/v1/images/{IDS[0]}/json", reading)) == REQUIRES_AUTHORIZATION
    # what was taken before is still known
    assert registry.get(f"/v1/images/{IDS[0]}/json", writing).status_int == 200


def test_two_tokens_in_one_header_allow_what_both_allow(registry: Client, index: SmallIndex) -> None:
    push(registry, index, CHAIN[0])
    reading, writing = index.token(NAME, "read"), index.token(NAME, "write")
    # an index that takes whichever of several tokens is good
    index.before = lambda path: ("200 OK", [], json.dumps(index.lists[NAME]).encode())
    for joined in (f"{reading},{writing}", f"{writing},{reading}", f"{reading},access=write"):
        assert registry.get(f"/v1/repositories/{NAME}/tags", token(joined)).status_int == 200
        answer = registry.put(f"/v1/repositories/{NAME}/tags/x", f'"{IDS[0]}"', token(joined))
        assert error_of(answer) == REQUIRES_AUTHORIZATION
    other = reading.replace(NAME, "foo/other")
    answer = registry.get(f"/v1/repositories/{NAME}/tags", token(f"{other},{reading}"))
    assert error_of(answer) == REQUIRES_AUTHORIZATION


# -- hub.md 6.3: parents, and private images


def test_a_parent_that_the_index_does_not_allow_is_refused(registry: Client, index: SmallIndex) -> None:
    push(registry, index, CHAIN[0], repository="foo/other")
    index.lists[NAME] = [{"id": image_id} for image_id in IDS]
    index.denied.add(IDS[0])
    writing = token(index.token(NAME, "write"))
    child = CHAIN[1]
    answer = registry.put(f"/v1/images/{child.image_id}/json", child.json, writing)
    assert error_of(answer) == (400, "Image depends on an unauthorized parent")
    index.denied.clear()
    # a refusal is not remembered
    assert registry.put(f"/v1/images/{child.image_id}/json", child.json, writing).status_int == 200


def test_missing_parent_is_reported_without_a_call_of_the_index(registry: Client, index: SmallIndex) -> None:
    index.lists[NAME] = [{"id": image_id} for image_id in IDS]
    writing = token(index.token(NAME, "write"))
    answer = registry.put(f"/v1/images/{IDS[1]}/json", CHAIN[1].json, writing)
    assert error_of(answer) == (400, "Image depends on a non existing parent")
    assert index.asked == [f"GET {NAME}/images"]


IMAGE_PARTS = ["json", "layer", "ancestry", "files", "diff"]


@pytest.mark.parametrize("part", IMAGE_PARTS)
def test_an_image_of_another_repository_is_shown_as_the_index_says(
    registry: Client, index: SmallIndex, part: str
) -> None:
    push(registry, index, CHAIN[0])
    index.lists["foo/other"] = [{"id": IDS[0]}]
    path, reading = f"/v1/images/{IDS[0]}/{part}", token(index.token("foo/other", "read"))
    index.denied.add(IDS[0])
    assert error_of(registry.get(path, reading)) == (404, "Image not found")
    assert error_of(registry.get(path, reading | {"If-None-Match": "*"})) == (404, "Image not found")
    index.denied.clear()
    shown = registry.get(path, reading)
    assert shown.status_int == 200
    assert shown.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    "answer",
    [
        ("200 OK", [], b"true"),
        ("200 OK", [], b'{"access": "yes"}'),
        ("200 OK", [], b'{"access": 1}'),
        ("200 OK", [], b"{}"),
        ("200 OK", [], b"<html>"),
        ("200 OK", [("Content-Encoding", "gzip")], b"\x1f\x8b"),
        ("404 Not Found", [], b'{"access": true}'),
        ("201 Created", [], b'{"access": true}'),
        ("302 Found", [("Location", "/elsewhere")], b'{"access": true}'),
    ],
    ids=range(9),
)
def test_all_but_a_clear_yes_is_no(
    registry: Client, index: SmallIndex, answer: tuple[str, list[tuple[str, str]], bytes]
) -> None:
    push(registry, index, CHAIN[0])
    index.lists["foo/other"] = [{"id": IDS[0]}]
    reading = token(index.token("foo/other", "read"))
    index.before = lambda path: answer if path.endswith("/access") else None
    assert error_of(registry.get(f"/v1/images/{IDS[0]}/json", reading)) == (404, "Image not found")


def test_known_id_gives_no_image_through_another_repository(registry: Client, index: SmallIndex) -> None:
    writing = push(registry, index, CHAIN[0])
    registry.put(f"/v1/repositories/{NAME}/properties", '{"access": "private"}', writing)
    index.lists["eve/own"] = [{"id": IDS[0]}, {"id": OTHER.image_id}]
    index.denied.add(IDS[0])
    eve = token(index.token("eve/own", "write"))
    for part in IMAGE_PARTS:
        assert error_of(registry.get(f"/v1/images/{IDS[0]}/{part}", eve)) == (404, "Image not found")
    tagged = registry.put("/v1/repositories/eve/own/tags/x", f'"{IDS[0]}"', eve)
    assert error_of(tagged) == (404, "Image not found")
    child = make_image(OTHER.layer, IDS[0])
    index.lists["eve/own"].append({"id": child.image_id})
    answer = registry.put(f"/v1/images/{child.image_id}/json", child.json, eve)
    assert error_of(answer) == (400, "Image depends on an unauthorized parent")
    changed = CHAIN[0].json.replace(b"2015", b"2016")
    # what eve sends is eve's own
    assert registry.put(f"/v1/images/{IDS[0]}/json", changed, eve).status_int == 200
    assert registry.get(f"/v1/images/{IDS[0]}/json", writing).body == CHAIN[0].json


def test_existing_image_is_skipped_and_read_through_both(
    index: SmallIndex, engine: EngineClient, registry: Client
) -> None:
    engine.push(NAME, CHAIN)
    index.asked.clear()
    engine.push("foo/copy", CHAIN)
    assert engine.pull("foo/copy") == CHAIN
    assert not any(line.endswith("/layer") for line in index.asked)


def test_two_repositories_may_hold_different_bytes_of_one_id(registry: Client, index: SmallIndex) -> None:
    writing = push(registry, index, CHAIN[0])
    registry.put(f"/v1/repositories/{NAME}/properties", '{"access": "private"}', writing)
    index.denied.add(IDS[0])  # the index does not know what is uploaded
    index.lists["second/own"] = [{"id": IDS[0]}]
    second = token(index.token("second/own", "write"))
    path, own = f"/v1/images/{IDS[0]}", Image(IDS[0], CHAIN[0].json, OTHER.layer)
    assert registry.get(f"{path}/json", second).status_int == 404
    assert registry.put(f"{path}/json", own.json, second).status_int == 200
    assert registry.put(f"{path}/layer", own.layer, second).status_int == 200
    sums = {"X-Docker-Checksum-Payload": own.payload_checksum}
    assert registry.put(f"{path}/checksum", headers=second | sums).status_int == 200
    assert registry.get(f"{path}/layer", second).body == OTHER.layer
    assert registry.get(f"{path}/layer", writing).body == CHAIN[0].layer


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


# -- an index in trouble

UNAVAILABLE = (503, "The index that checks tokens does not answer, retry later")


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


# -- our registry and our index


@dataclass
class Halves:
    """Our index and our registry, on two ports, each with a storage of its own."""

    index: StoppableServer
    registry: StoppableServer
    index_storage: Storage
    registry_storage: Storage
    users: UserStore

    def engine(self, name: str | None = None) -> EngineClient:
        return EngineClient(self.index.host, login=name and f"{name}:s3cret")

    def at_registry(self) -> EngineClient:
        return EngineClient(self.registry.host)

    def token(self, name: str, repository: str) -> str:
        """Return a token to read."""
        headers = basic(name, "s3cret") | {"X-Docker-Token": "true"}
        path = f"/v1/repositories/{repository}/images"
        return self.engine().expect({200}, "GET", path, headers=headers).headers["X-Docker-Token"]

    def set_private(self, repository: str) -> None:
        """Make a repository private, in both halves."""
        namespace = repository.partition("/")[0]
        path, body = f"/v1/repositories/{repository}/properties", b'{"access": "private"}'
        self.engine().expect({200}, "PUT", path, body, basic(namespace, "s3cret"))
        _, value = self.engine(namespace).announce(repository, [])
        self.at_registry().expect({200}, "PUT", path, body, token(value))


@pytest.fixture(params=["separate", "one storage"])
def halves(request: pytest.FixtureRequest) -> Iterator[Halves]:
    index_storage = MemoryStorage()
    registry_storage = index_storage if request.param == "one storage" else MemoryStorage()
    users = UserStore(index_storage, passwords=CheapPasswords())
    for name in ("alice", "robert"):
        users.create(name, "s3cret", f"{name}@example.org")
    with StoppableServer() as index, StoppableServer() as registry:
        # an index that has the registry's storage sees its uploads
        images = "here" if request.param == "one storage" else "elsewhere"
        index.application = Registry(
            storage=index_storage, auth=users, images=images, endpoints=registry.host
        )
        registry.application = Registry(storage=registry_storage, index=index.url)
        yield Halves(index, registry, index_storage, registry_storage, users)


def test_push_pull_and_delete_through_both_halves(halves: Halves) -> None:
    halves.engine("alice").push("alice/app", CHAIN)
    for reader in (halves.engine("alice"), halves.engine("robert"), halves.engine()):
        assert reader.pull("alice/app") == CHAIN
    last = halves.engine("alice").delete("alice/app")
    assert last == (404 if halves.registry_storage is halves.index_storage else 200)
    with pytest.raises(UnexpectedAnswer) as refused:
        halves.engine("alice").pull("alice/app")
    assert refused.value.status == 404
    halves.engine("alice").push("alice/app", CHAIN[:2])
    assert halves.engine().pull("alice/app") == CHAIN[:2]


def test_a_client_pushes_and_pulls_through_both_halves(halves: Halves, tmp_path: Path) -> None:
    images = [
        ChainImage(image.image_id, image.json, lambda layer=image.layer: io.BytesIO(layer)) for image in CHAIN
    ]
    archive = tmp_path / "image.tar"
    with archive.open("w+b") as file:
        write_save_archive(file, images, {"alice/app:1": IDS[-1]})
    reference = f"{halves.index.host}/alice/app:1"
    with PushPullClient(halves.index.url, username="alice", password="s3cret", attempts=1) as client:
        assert client.push(archive, reference).pushed == tuple(IDS)
        assert client.push(archive, reference).skipped == tuple(IDS)
    with PushPullClient(halves.index.url, attempts=1) as client:
        assert client.pull(reference, tmp_path / "pulled.tar").image_ids == tuple(IDS)
        with pytest.raises(NotFoundInRegistry):
            client.pull(f"{halves.index.host}/alice/other:1", tmp_path / "other.tar")


def test_HUB_020_the_index_takes_its_own_tokens_and_no_others(halves: Halves) -> None:
    halves.engine("alice").push("alice/app", CHAIN)
    halves.engine("alice").push("alice/other", CHAIN)
    index, path = halves.engine(), "/v1/repositories/alice/app/images"
    _, writing = halves.engine("alice").announce("alice/app", [])
    reading = halves.token("robert", "alice/app")
    for value in (reading, writing, f"Token {reading}"):
        listed = index.expect({200}, "GET", path, headers=token(value)).json()
        assert sorted(entry["id"] for entry in listed) == sorted(IDS)  # type: ignore[attr-defined]
    forged = reading.replace("access=read", "access=write")
    other = halves.token("robert", "alice/other")
    for value in (forged, other, reading.replace("signature=", "signature=x")):
        assert index.get(path, token(value)).status == 401


def test_HUB_021_a_token_is_good_for_any_number_of_requests(halves: Halves) -> None:
    halves.engine("alice").push("alice/app", CHAIN)
    value = halves.token("robert", "alice/app")
    for _ in range(5):
        assert halves.engine().get("/v1/repositories/alice/app/images", token(value)).status == 200
        assert halves.at_registry().get("/v1/repositories/alice/app/tags", token(value)).status == 200


def test_HUB_024_the_index_tells_who_may_use_an_image(halves: Halves) -> None:
    halves.engine("alice").push("alice/app", CHAIN[:1])
    halves.set_private("alice/app")
    halves.engine("robert").push("robert/own", [OTHER])

    def access(name: str, repository: str, image_id: str, word: str = "read") -> object:
        if word == "write":
            value = halves.engine(name).announce(repository, [])[1]
        else:
            value = halves.token(name, repository)
        path = f"/v1/repositories/{repository}/layer/{image_id}/access"
        return halves.engine().expect({200}, "GET", path, headers=token(value)).json()

    for word in ("read", "write"):
        assert access("alice", "alice/app", IDS[0], word) == {"access": True}
        assert access("robert", "robert/own", OTHER.image_id, word) == {"access": True}
        assert access("robert", "robert/own", IDS[0], word) == {"access": False}
        # a public repository of another user vouches for nothing (decisions.md 18)
        assert access("alice", "alice/app", OTHER.image_id, word) == {"access": False}
        assert access("alice", "alice/app", "0" * 64, word) == {"access": False}
    headers = basic("alice", "s3cret") | {"X-Docker-Token": "true"}
    gone = halves.engine().expect({202}, "DELETE", "/v1/repositories/alice/app/", headers=headers)
    path = f"/v1/repositories/alice/app/layer/{IDS[0]}/access"
    answer = halves.engine().expect({200}, "GET", path, headers=token(gone.headers["X-Docker-Token"]))
    assert answer.json() == {"access": False}


def test_who_announces_a_private_image_does_not_get_it(halves: Halves) -> None:
    halves.engine("alice").push("alice/secret", CHAIN)
    halves.set_private("alice/secret")
    _, value = halves.engine("robert").announce("robert/own", IDS)
    registry = halves.at_registry()
    for image_id in IDS:
        for part in IMAGE_PARTS:
            assert registry.get(f"/v1/images/{image_id}/{part}", token(value)).status == 404
    answer = registry.request(
        "PUT", "/v1/repositories/robert/own/tags/x", f'"{IDS[0]}"'.encode(), token(value)
    )
    assert answer.status == 404
    child = make_image(OTHER.layer, IDS[2])
    _, value = halves.engine("robert").announce("robert/own", [*IDS, child.image_id])
    with pytest.raises(UnexpectedAnswer) as refused:
        registry.put_json(child, value)
    assert refused.value.error == "Image depends on an unauthorized parent"


def test_nor_after_its_repository_was_deleted(halves: Halves) -> None:
    halves.engine("alice").push("alice/secret", CHAIN)
    halves.set_private("alice/secret")
    halves.engine("alice").delete("alice/secret")
    halves.engine("robert").push("robert/own", [OTHER])
    _, value = halves.engine("robert").announce("robert/own", IDS)
    for image_id in IDS:
        assert halves.at_registry().get(f"/v1/images/{image_id}/json", token(value)).status == 404
    # who could write there has it still
    halves.engine("alice").push("alice/again", CHAIN)
    assert halves.engine("alice").pull("alice/again") == CHAIN


@pytest.mark.parametrize(
    "appended",
    [
        ",access=write",
        ",access=delete",
        ',x="access=write"',
        ",\xe9access=write",
        ",access=\xa0write",
        "\xa0",
        "\x85",
    ],
)
def test_header_beyond_its_token_is_rejected_by_the_index(halves: Halves, appended: str) -> None:
    halves.engine("alice").push("alice/app", CHAIN[:1])
    value = halves.token("robert", "alice/app") + appended
    path = "/v1/repositories/alice/app"
    if halves.index_storage is not halves.registry_storage:
        # a registry might read the last of two words
        assert halves.engine().get(f"{path}/images", token(value)).status == 401
        assert halves.engine().request("PUT", f"{path}/auth", b"", token(value)).status == 403
    written = halves.at_registry().request("PUT", f"{path}/tags/x", f'"{IDS[0]}"'.encode(), token(value))
    assert written.status == 401


def test_HUB_020_token_of_a_deleted_user_is_rejected_by_both(halves: Halves) -> None:
    halves.engine("alice").push("alice/app", CHAIN[:1])
    value = halves.token("robert", "alice/app")
    halves.users.set_active("robert", False)
    assert halves.engine().get("/v1/repositories/alice/app/images", token(value)).status == 403
    assert halves.at_registry().get("/v1/repositories/alice/app/tags", token(value)).status == 401
