"""registry.md 4.3 to 4.5 and 5: the requests of a push in each state (REG-009 to 017, decisions.md 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.engine_client import Image
from support.pushed_image import (
    DONE,
    EXISTS,
    ID,
    IMAGE,
    IN_PROGRESS,
    LAYER,
    MISMATCH,
    MISSING,
    NOT_FOUND,
    OTHER_JSON,
    OTHER_LAYER,
    READINGS,
    REFUSED,
    STATES,
    absent,
    announced,
    complete,
    mirrored,
    told,
    uploaded,
)
from support.wsgi_client import PAYLOAD_HEADER, Client, error_of

from v1registry import Registry, Storage


def state_of(client: Client) -> str:
    """Return which of the facts of registry.md 5 are stored: J, M, L and C. What is staged has the mark."""
    storage: Storage = client.app.storage
    staged = "".join(stat.key for stat in storage.list(f"uploads/{ID}/"))
    if "/sent/" in staged:
        assert list(storage.list(f"images/{ID}/")) == []
        return "JMLC" if "/sums/" in staged else "JM"
    assert list(storage.list("uploads/")) == []
    keys = {stat.key.rpartition("/")[2] for stat in storage.list(f"images/{ID}/")}
    facts = {"json": "J", "layer": "L", "_checksum": "C"}
    return "".join(letter for name, letter in facts.items() if name in keys)


# -- the table of registry.md 5, a test a row and a case a column


@pytest.mark.parametrize(
    ("state", "answer", "facts"),
    [
        (absent, DONE, "JM"),
        (announced, DONE, "JM"),
        (uploaded, DONE, "JMLC"),
        (complete, EXISTS, "JLC"),
        (mirrored, EXISTS, "J"),
    ],
)
def test_REG_010_REG_011_repeated_json_in_each_state(
    client: Client, state: Callable[[Client], None], answer: object, facts: str
) -> None:
    state(client)
    assert told(client.put_json(IMAGE)) == answer
    assert state_of(client) == facts


@pytest.mark.parametrize(
    ("state", "answer", "facts"),
    [
        (absent, DONE, "JM"),
        (announced, DONE, "JM"),
        (uploaded, DONE, "JM"),
        (complete, EXISTS, "JLC"),
        (mirrored, EXISTS, "J"),
    ],
)
def test_REG_010_REG_011_put_json_with_other_bytes_in_every_state(
    client: Client, state: Callable[[Client], None], answer: object, facts: str
) -> None:
    state(client)
    assert told(client.put_json(OTHER_JSON)) == answer
    assert state_of(client) == facts


@pytest.mark.parametrize(
    ("state", "answer", "facts"),
    [
        (absent, NOT_FOUND, ""),
        (announced, DONE, "JMLC"),
        (uploaded, DONE, "JMLC"),
        (complete, DONE, "JLC"),
        (mirrored, DONE, "JLC"),
    ],
)
def test_REG_011_REG_012_put_layer_in_every_state(
    client: Client, state: Callable[[Client], None], answer: object, facts: str
) -> None:
    state(client)
    assert told(client.put_layer(IMAGE)) == answer
    assert state_of(client) == facts


@pytest.mark.parametrize(
    ("state", "answer"),
    [(absent, NOT_FOUND), (announced, DONE), (uploaded, DONE), (complete, EXISTS), (mirrored, DONE)],
)
def test_REG_011_REG_012_put_another_layer_in_every_state(
    client: Client, state: Callable[[Client], None], answer: object
) -> None:
    state(client)
    assert told(client.put_layer(OTHER_LAYER)) == answer


@pytest.mark.parametrize(
    ("state", "answer", "facts"),
    [
        (absent, NOT_FOUND, ""),
        (announced, MISSING, "JM"),
        (uploaded, DONE, "JLC"),
        (complete, DONE, "JLC"),
        (mirrored, REFUSED, "J"),
    ],
)
def test_REG_015_REG_017_put_the_right_checksum_in_every_state(
    client: Client, state: Callable[[Client], None], answer: object, facts: str
) -> None:
    state(client)
    assert told(client.put_checksum(IMAGE)) == answer
    assert state_of(client) == facts


@pytest.mark.parametrize(
    ("state", "answer", "facts"),
    [
        (absent, NOT_FOUND, ""),
        (announced, MISSING, "JM"),
        (uploaded, MISMATCH, "JMLC"),
        (complete, REFUSED, "JLC"),
        (mirrored, REFUSED, "J"),
    ],
)
def test_REG_015_REG_017_put_a_wrong_checksum_in_every_state(
    client: Client, state: Callable[[Client], None], answer: object, facts: str
) -> None:
    state(client)
    assert told(client.put_checksum(IMAGE, {PAYLOAD_HEADER: "sha256:" + "0" * 64})) == answer
    assert state_of(client) == facts


@pytest.mark.parametrize("what", READINGS)
@pytest.mark.parametrize("state", STATES)
def test_REG_009_reading_in_every_state(client: Client, state: Callable[[Client], None], what: str) -> None:
    state(client)
    answer = client.get(f"/v1/images/{ID}/{what}")
    if state is absent or (state is mirrored and what in ("layer", "files", "diff")):
        assert error_of(answer) == NOT_FOUND
    elif state in (announced, uploaded):
        assert error_of(answer) == IN_PROGRESS
    else:
        assert answer.status_int == 200


@pytest.mark.parametrize("what", READINGS)
def test_REG_009_conditional_request_hides_an_unfinished_image(client: Client, what: str) -> None:
    uploaded(client)
    for headers in ({"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, {"If-None-Match": "*"}):
        assert error_of(client.get(f"/v1/images/{ID}/{what}", headers)) == IN_PROGRESS


@pytest.mark.parametrize(
    ("state", "answer"),
    [(absent, NOT_FOUND), (announced, NOT_FOUND), (uploaded, NOT_FOUND), (complete, DONE), (mirrored, DONE)],
)
def test_REG_035_a_tag_needs_a_complete_image(
    client: Client, state: Callable[[Client], None], answer: object
) -> None:
    state(client)
    assert told(client.tag("foo/bar", "v1", IMAGE)) == answer


# -- PUT layer


@pytest.mark.parametrize("size", [0, 1, 128 * 1024 - 1, 128 * 1024, 128 * 1024 + 1, 1_000_000])
@pytest.mark.parametrize("is_chunked", [True, False])
def test_REG_013_a_layer_is_stored_byte_for_byte(client: Client, size: int, is_chunked: bool) -> None:
    layer = bytes(range(256)) * (size // 256 + 1)
    image = Image(ID, IMAGE.json, layer[:size])
    client.put_json(image)
    pieces = [image.layer[start : start + 10_000] for start in range(0, size, 10_000)]
    answer = client.put_pieces(
        f"/v1/images/{ID}/layer", pieces, size_bytes=None if is_chunked else size, is_terminated=is_chunked
    )
    assert told(answer) == DONE
    assert told(client.put_checksum(image)) == DONE
    assert client.get(f"/v1/images/{ID}/layer").body == image.layer


def test_REG_013_undecoded_chunks_are_411_and_not_read(client: Client) -> None:
    announced(client)

    def unreadable() -> Iterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    answer = client.put_pieces(f"/v1/images/{ID}/layer", unreadable(), is_terminated=False)
    assert error_of(answer)[0] == 411
    assert state_of(client) == "JM"


def broken(*pieces: bytes) -> Iterator[bytes]:
    yield from pieces
    raise OSError("the client went away")


@pytest.mark.parametrize("state", [announced, uploaded])
@pytest.mark.parametrize("size_bytes", [None, 100_000])
def test_REG_014_a_cut_layer_leaves_the_image_as_it_was(
    client: Client, state: Callable[[Client], None], size_bytes: int | None
) -> None:
    state(client)
    before = state_of(client)
    answer = client.put_pieces(f"/v1/images/{ID}/layer", broken(LAYER[:50]), size_bytes=size_bytes)
    assert error_of(answer)[0] == 400
    assert state_of(client) == before
    assert error_of(client.get(f"/v1/images/{ID}/layer")) == IN_PROGRESS
    assert told(client.put_layer(IMAGE)) == DONE
    assert told(client.put_checksum(IMAGE)) == DONE


def test_REG_014_a_layer_shorter_than_its_length_is_refused(client: Client) -> None:
    announced(client)
    answer = client.put_pieces(f"/v1/images/{ID}/layer", [LAYER], size_bytes=len(LAYER) + 1)
    status, text = error_of(answer)
    assert (status, text) == (400, f"The body ended after {len(LAYER)} of {len(LAYER) + 1} bytes")
    assert state_of(client) == "JM"


def test_REG_014_cut_repetition_keeps_a_complete_image(client: Client) -> None:
    complete(client)
    assert error_of(client.put_pieces(f"/v1/images/{ID}/layer", broken(LAYER)))[0] == 400
    assert client.get(f"/v1/images/{ID}/layer").body == LAYER


def test_REG_014_a_cut_json_leaves_nothing(client: Client) -> None:
    assert error_of(client.put_pieces(f"/v1/images/{ID}/json", broken(IMAGE.json)))[0] == 400
    assert state_of(client) == ""


def test_bytes_behind_the_length_are_not_the_layer(client: Client) -> None:
    announced(client)
    answer = client.put_pieces(f"/v1/images/{ID}/layer", [LAYER, b"next request"], size_bytes=len(LAYER))
    assert told(answer) == DONE
    assert told(client.put_checksum(IMAGE)) == DONE


def test_section_5_the_last_layer_before_the_end_wins(client: Client) -> None:
    announced(client)
    client.put_layer(IMAGE)
    client.put_layer(OTHER_LAYER)
    assert error_of(client.put_checksum(IMAGE)) == MISMATCH
    assert told(client.put_checksum(OTHER_LAYER)) == DONE
    assert client.get(f"/v1/images/{ID}/layer").body == OTHER_LAYER.layer


def test_section_5_a_failed_push_begins_again_at_its_json(client: Client) -> None:
    uploaded(client)
    client.put_checksum(IMAGE, {PAYLOAD_HEADER: "sha256:0"})
    client.push(OTHER_JSON)
    assert client.get(f"/v1/images/{ID}/json").body == OTHER_JSON.json


def test_section_5_the_layer_of_replaced_json_does_not_count(client: Client) -> None:
    uploaded(client)
    client.put_json(OTHER_JSON)
    assert error_of(client.put_checksum(OTHER_JSON)) == MISSING
    assert error_of(client.put_checksum(IMAGE)) == MISSING


# -- decisions.md 5: two who push one image


def test_decision_5_both_overlapping_pushes_succeed(client: Client) -> None:
    first, second = client, Client(client.app)
    for step in ("put_json", "put_layer"):
        for one in (first, second):
            assert told(getattr(one, step)(IMAGE)) == DONE
    assert told(first.put_checksum(IMAGE)) == DONE
    assert told(second.put_checksum(IMAGE)) == DONE


def test_decision_5_late_layer_that_is_the_stored_one_is_200(client: Client) -> None:
    complete(client)
    assert told(client.put_layer(IMAGE)) == DONE
    assert error_of(client.put_layer(OTHER_LAYER)) == EXISTS
    assert error_of(client.put_checksum(OTHER_LAYER)) == REFUSED
    assert client.get(f"/v1/images/{ID}/layer").body == LAYER


def test_decision_5_the_body_of_a_refused_layer_is_read_to_its_end(client: Client) -> None:
    complete(client)
    read: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        for piece in (b"a" * 1000, b"b" * 1000):
            read.append(piece)
            yield piece

    assert error_of(client.put_pieces(f"/v1/images/{ID}/layer", pieces())) == EXISTS
    assert len(read) == 2


def test_decision_5_repeating_the_json_keeps_the_layer_and_its_sum(client: Client) -> None:
    uploaded(client)
    client.put_json(IMAGE)
    assert told(client.put_checksum(IMAGE)) == DONE


def test_the_body_of_a_layer_without_json_is_read_up_to_the_limit(app: Registry) -> None:
    client = Client(Registry(storage=app.storage, max_refused_bytes=300_000))
    read: list[int] = []

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            read.append(100_000)
            yield b"x" * 100_000

    assert error_of(client.put_pieces(f"/v1/images/{ID}/layer", pieces())) == NOT_FOUND
    assert 300_000 <= sum(read) <= 500_000


def test_documents_beyond_the_limit_are_413(app: Registry) -> None:
    client = Client(Registry(storage=app.storage, max_document_bytes=len(IMAGE.json)))
    assert told(client.put_json(IMAGE)) == DONE
    longer = IMAGE.json + b" "
    assert error_of(client.put(f"/v1/images/{ID}/json", longer))[0] == 413
    assert error_of(client.put_pieces(f"/v1/images/{ID}/json", [longer[:50], longer[50:]]))[0] == 413
