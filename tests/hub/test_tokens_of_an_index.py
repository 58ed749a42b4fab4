"""The tokens and images that another index allows (REG-040 to 043)."""

from __future__ import annotations

import json

import pytest
from support.credentials import basic
from support.engine_client import EngineClient, Image, make_image
from support.other_index import (
    CHAIN,
    DELETES,
    IDS,
    IMAGE_PARTS,
    NAME,
    OTHER,
    READS,
    REQUIRES_AUTHORIZATION,
    TAG_DELETE,
    WRITES,
    push,
    token,
)
from support.small_index import SmallIndex
from support.wsgi_client import Client, error_of

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
