"""The checklist of clients.md: push, pull and credentials of each docker release (CLI-001 to CLI-012).

The server has no accounts here (decisions.md 15). It needs no credentials, but issues tokens.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.checklist_images import BASE, IMAGES, JSON, MIDDLE, TOP, get, pulled_form
from support.small_engine import SmallEngine, SmallImage
from support.wire import (
    WireRequest,
    WsgiTransport,
    live_server,
)

from v1registry import MemoryStorage, Registry

# -- push and pull, release by release


def test_CLI_001_docker_0_6_pushes_with_a_tarsum_alone(transport: WsgiTransport) -> None:
    engine = SmallEngine(transport, "0.6")

    ping = engine.ping()
    assert re.match(r"\d+\.", ping.header("X-Docker-Registry-Version") or "")
    announced = engine.announce("alice/app", [{"id": image.image_id} for image in IMAGES])
    assert announced.status == 200
    assert announced.header("X-Docker-Endpoints") == transport.host
    assert re.fullmatch(
        r'signature=[A-Za-z0-9._~-]+,repository="alice/app",access=write',
        announced.header("X-Docker-Token") or "",
    )
    # docker-registry put the word into the value, so this engine sends it twice
    engine.token = f"Token {engine.token}"
    for image in IMAGES:
        assert engine.put_json(image).status == 200
        assert engine.put_layer(image).status == 200
        assert engine.put_checksum(image).status == 200
        # the tag moves up the chain with each image
        assert engine.put_tag("alice/app", "latest", image).status == 200
    sums = [{"id": image.image_id, "checksum": image.layer.tarsum(image.document)} for image in IMAGES]
    assert engine.finish("alice/app", sums).status == 204

    assert json.loads(get(transport, "/v1/repositories/alice/app/images").body) == sums
    assert SmallEngine(transport, "1.9").pull("alice/app") == pulled_form(IMAGES)


def test_CLI_002_docker_0_6_pulls(filled: WsgiTransport) -> None:
    engine = SmallEngine(filled, "0.6")

    assert engine.pull("alice/app") == pulled_form(IMAGES)

    assert json.loads(engine.ask("GET", "/v1/repositories/alice/app/tags").body) == {"latest": TOP.image_id}
    for image in IMAGES:
        document = engine.ask("GET", f"{image.path}/json")
        assert document.header("X-Docker-Size") == str(len(image.layer.body))
    assert engine.token is not None
    assert engine.token.startswith("Token signature=")


def test_CLI_003_docker_0_9_pushes_with_the_raw_tar_sum(
    transport: WsgiTransport,
) -> None:
    engine = SmallEngine(transport, "0.9")
    assert BASE.layer.sum_of_archive() != BASE.layer.sum(BASE.document)

    engine.push("alice/app", IMAGES)

    assert SmallEngine(transport, "0.9").pull("alice/app") == pulled_form(IMAGES)


def test_CLI_003_docker_0_9_with_a_wrong_tarsum_is_400(transport: WsgiTransport) -> None:
    engine = SmallEngine(transport, "0.9")
    engine.announce("alice/app", [{"id": BASE.image_id}])
    engine.put_json(BASE)
    engine.put_layer(BASE)

    refused = engine.put_checksum(BASE, tarsum=TOP.layer.tarsum(BASE.document))

    assert (refused.status, json.loads(refused.body)) == (400, {"error": "Checksum mismatch"})
    assert engine.put_checksum(BASE).status == 200


def test_CLI_004_docker_1_0_resumes_past_the_end(
    filled: WsgiTransport,
) -> None:
    engine = SmallEngine(filled, "1.0")
    whole = TOP.layer.body
    size = int(engine.ask("GET", f"{TOP.path}/json").header("X-Docker-Size") or "")

    head = engine.ask("HEAD", f"{TOP.path}/layer")
    assert (head.status, head.body) == (200, b"")
    assert head.header("Accept-Ranges") == "bytes"
    assert head.header("Content-Length") == str(size) == str(len(whole))
    broken = engine.ask("GET", f"{TOP.path}/layer", read_limit=1000)
    read = broken.body[:1000]
    rest = engine.ask("GET", f"{TOP.path}/layer", None, ("Range", f"bytes={len(read)}-{size}"))

    assert rest.status == 206
    assert rest.header("Content-Range") == f"bytes 1000-{size - 1}/{size}"
    assert rest.header("Content-Length") == str(size - 1000)
    assert read + rest.body == whole


def test_CLI_005_docker_1_3_pushes_chunked_gzip() -> None:
    with live_server(Registry(storage=MemoryStorage())) as transport:
        SmallEngine(transport, "1.3").push("alice/app", IMAGES)

        assert SmallEngine(transport, "1.3").pull("alice/app") == pulled_form(IMAGES)


def test_CLI_006_docker_1_9_skips_existing_images(
    filled: WsgiTransport,
) -> None:
    more = [SmallImage.named(name) for name in ("one", "two")]
    engine = SmallEngine(filled, "1.9")
    engine.announce("alice/app", [{"id": image.image_id} for image in [*IMAGES, *more]])

    with ThreadPoolExecutor(5) as pool:
        found = pool.map(lambda image: engine.ask("GET", f"{image.path}/json").status, [*IMAGES, *more])

    assert list(found) == [200, 200, 200, 404, 404]
    skipped = engine.put_json(TOP)
    assert (skipped.status, skipped.body) == (409, b'{"error": "Image already exists"}')
    assert skipped.header("Content-Type") == "application/json"


def test_CLI_007_docker_1_12_pushes_bare_json(transport: WsgiTransport) -> None:
    root = SmallImage.named("bare root")
    child = SmallImage.named("bare child", root)
    top = SmallImage.named("full top", child, os="linux", config={"Cmd": ["sh"]})
    assert json.loads(child.document) == {"id": child.image_id, "parent": root.image_id}

    SmallEngine(transport, "1.12").push("alice/app", [root, child, top])

    assert SmallEngine(transport, "1.12").pull("alice/app") == pulled_form([root, child, top])
    ancestry = json.loads(get(transport, f"{top.path}/ancestry").body)
    assert ancestry == [top.image_id, child.image_id, root.image_id]


# -- credentials


def answers_with(transport: WsgiTransport, *headers: tuple[str, str]) -> list[tuple[int, bytes]]:
    """Return the answers to each kind of request that a client sends with or without credentials."""
    requests = [
        WireRequest("PUT", "/v1/repositories/bob/new/", (JSON, ("Content-Length", "2"), *headers), (b"[]",)),
        WireRequest("PUT", "/v1/repositories/bob/new/images", (("Content-Length", "2"), *headers), (b"[]",)),
        *(
            WireRequest("GET", path, headers)
            for path in (
                "/v1/users/",
                "/v1/repositories/alice/app/images",
                "/v1/repositories/alice/app/tags/latest",
                "/v1/search?q=app",
                f"{TOP.path}/json",
                f"{TOP.path}/layer",
            )
        ),
    ]
    answers = [transport.send(request) for request in requests]
    return [(answer.status, answer.body) for answer in answers if answer is not None]


def test_CLI_008_an_empty_user_is_anonymous(filled: WsgiTransport) -> None:
    answered = answers_with(filled, ("Authorization", "Basic Og=="))

    assert [status for status, _ in answered] == [200, 204, 200, 200, 200, 200, 200, 200]
    assert answered == answers_with(filled)


@pytest.mark.parametrize("value", ["Token ", "Token"], ids=["as sent", "as a server strips it"])
def test_CLI_009_an_empty_token_counts_as_no_credentials(filled: WsgiTransport, value: str) -> None:
    answered = answers_with(filled, ("Authorization", value))

    assert [status for status, _ in answered] == [200, 204, 200, 200, 200, 200, 200, 200]
    assert answered == answers_with(filled)


def test_CLI_010_two_tokens_joined_by_a_comma_are_accepted(filled: WsgiTransport) -> None:
    engine = SmallEngine(filled, "1.3")
    engine.announce("alice/app", [{"id": TOP.image_id}])
    write = (engine.token or "").removeprefix("Token ")
    engine.ask_index("GET", "/v1/repositories/alice/app/images")
    read = (engine.token or "").removeprefix("Token ")
    assert write.endswith("access=write")
    assert read.endswith("access=read")

    for joint in (",", ", "):
        engine.token = f"Token {write}{joint}{read}"
        assert engine.ask("GET", f"{TOP.path}/json").status == 200
        assert engine.put_tag("alice/app", "other", TOP).status == 200


# -- the lists of a push


def test_CLI_011_the_end_of_a_push_is_204_without_any_body(filled: WsgiTransport) -> None:
    for entries in ([], [{"id": TOP.image_id, "checksum": "tarsum+sha256:" + "0" * 64}]):
        ended = SmallEngine(filled, "1.9").finish("alice/app", entries)

        assert (ended.status, ended.body) == (204, b"")
        assert ended.header("Content-Length") is None


def test_CLI_012_untagged_and_multiply_tagged_images(transport: WsgiTransport) -> None:
    entries = [
        {"id": BASE.image_id},
        {"id": MIDDLE.image_id},
        {"id": TOP.image_id, "Tag": "latest"},
        {"id": TOP.image_id, "Tag": "1.0"},
    ]
    engine = SmallEngine(transport, "1.3")

    assert engine.announce("alice/app", entries).status == 200
    assert engine.finish("alice/app").status == 204

    listed = json.loads(engine.ask_index("GET", "/v1/repositories/alice/app/images").body)
    assert listed == [{"id": image.image_id} for image in IMAGES]
