"""registry.md 4.3: the JSON of an image, its id and its parent (REG-007, REG-008)."""

from __future__ import annotations

import json

import pytest
from support.engine_client import Image, make_image
from support.pushed_image import DONE, ID, IMAGE, LAYER, READINGS, announced, complete, told
from support.wsgi_client import Client, error_of

# -- the id


@pytest.mark.parametrize(
    "image_id",
    [
        "x",
        "0" * 63,
        "0" * 65,
        "0" * 15,
        "A" * 64,
        "g" * 64,
        "0" * 63 + "%0A",
        "0" * 64 + "%0A",
        "%C3%A9",
        "..%00",
    ],
)
@pytest.mark.parametrize(
    ("method", "what"),
    [*(("GET", what) for what in READINGS), ("PUT", "json"), ("PUT", "layer"), ("PUT", "checksum")],
)
def test_REG_007_a_bad_id_is_404_at_every_endpoint(
    client: Client, method: str, what: str, image_id: str
) -> None:
    answer = client.request(method, f"/v1/images/{image_id}/{what}")
    assert error_of(answer) == (404, "Invalid image ID")


def test_REG_007_an_id_of_16_digits_is_an_id(client: Client) -> None:
    short = Image("0123456789abcdef", b'{"id": "0123456789abcdef"}', LAYER)
    client.push(short)
    assert client.get("/v1/images/0123456789abcdef/json").body == short.json


# -- PUT json


@pytest.mark.parametrize(
    "document",
    [
        b"", b"{", b"null", b"[]", b'"text"', b"1", b"{}", b'\xff{"id": "x"}', b'{"id": NaN}',
        "{}".encode("utf-16"), b'\xef\xbb\xbf{"id": "x"}', b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000,
    ],
)  # fmt: skip
def test_REG_008_first_what_is_no_json_object_is_refused(client: Client, document: bytes) -> None:
    assert error_of(client.put(f"/v1/images/{ID}/json", document)) == (400, "Invalid JSON")


@pytest.mark.parametrize("document", [{"parent": "x"}, {"ID": ID}])
def test_REG_008_then_a_missing_id(client: Client, document: object) -> None:
    answer = client.put(f"/v1/images/{ID}/json", json.dumps(document))
    assert error_of(answer) == (400, "Missing key `id' in JSON")


@pytest.mark.parametrize("image_id", ["0" * 64, "", None, 0, [], {}, [ID], ID + "\n", ID.upper()])
def test_REG_008_then_a_foreign_id(client: Client, image_id: object) -> None:
    answer = client.put(f"/v1/images/{ID}/json", json.dumps({"id": image_id, "parent": "0" * 64}))
    assert error_of(answer) == (400, "JSON data contains invalid id")


@pytest.mark.parametrize("parent", ["0" * 64, "0123456789abcdef"])
def test_REG_008_then_an_unknown_parent(client: Client, parent: str) -> None:
    answer = client.put(f"/v1/images/{ID}/json", json.dumps({"id": ID, "parent": parent}))
    assert error_of(answer) == (400, "Image depends on a non existing parent")


def test_REG_008_an_unknown_parent_is_told_before_the_image_exists(client: Client) -> None:
    complete(client)
    answer = client.put(f"/v1/images/{ID}/json", json.dumps({"id": ID, "parent": "0" * 64}))
    assert error_of(answer) == (400, "Image depends on a non existing parent")


@pytest.mark.parametrize(
    "parent", [0, 1, True, False, [], {}, "x", "../../etc", ID, ID.upper(), "0" * 63, "0" * 64 + "\n", " "]
)
def test_REG_008_a_parent_of_another_form_is_invalid_json(client: Client, parent: object) -> None:
    answer = client.put(f"/v1/images/{ID}/json", json.dumps({"id": ID, "parent": parent}))
    assert error_of(answer) == (400, "Invalid JSON")


@pytest.mark.parametrize("parent", [None, ""])
def test_REG_008_no_parent_makes_a_root(client: Client, parent: object) -> None:
    root = Image(ID, json.dumps({"id": ID, "parent": parent}).encode(), LAYER)
    client.push(root)
    assert client.get(f"/v1/images/{ID}/ancestry").json == [ID]


def test_REG_008_what_was_refused_leaves_nothing(client: Client) -> None:
    for document in (b"{", b'{"id": "x"}', json.dumps({"id": ID, "parent": "0" * 64}).encode()):
        client.put(f"/v1/images/{ID}/json", document)
    assert list(client.app.storage.list("")) == []


def test_REG_008_a_parent_in_progress_is_a_parent(client: Client) -> None:
    announced(client)
    assert told(client.put_json(make_image(LAYER, ID))) == DONE


def test_REG_008_json_counts_whatever_its_content_type(client: Client) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert told(client.put(f"/v1/images/{ID}/json", IMAGE.json, headers)) == DONE


def test_REG_008_json_may_come_in_chunks(client: Client) -> None:
    pieces = [IMAGE.json[:10], IMAGE.json[10:]]
    assert told(client.put_pieces(f"/v1/images/{ID}/json", pieces)) == DONE


def test_a_circle_of_parents_is_refused(client: Client) -> None:
    announced(client)
    child = make_image(LAYER, ID)
    client.put_json(child)
    answer = client.put(f"/v1/images/{ID}/json", json.dumps({"id": ID, "parent": child.image_id}))
    assert error_of(answer) == (400, "Image depends on itself through its parent")


def test_circle_of_parents_is_never_complete(client: Client) -> None:
    """X names Y as its parent; then Y names Z, and Z names X, whose known ancestry is still X, Y."""
    ids = {name: make_image(LAYER, name=name).image_id for name in "XYZ"}

    def image(name: str, parent: str) -> Image:
        document = {"id": ids[name]} | ({"parent": ids[parent]} if parent else {})
        return Image(ids[name], json.dumps(document).encode(), LAYER)

    steps = [image("Y", ""), image("X", "Y"), image("Z", ""), image("Y", "Z"), image("Z", "X")]
    for step in steps:
        client.put_json(step)
        client.put_layer(step)
    for last in (image("X", "Y"), image("Y", "Z"), image("Z", "X")):
        client.put_checksum(last)
    for image_id in ids.values():
        answer = client.get(f"/v1/images/{image_id}/ancestry")
        if answer.status_int == 200:
            assert len(set(answer.json)) == len(answer.json)


def test_the_ancestry_is_that_of_the_parent_when_the_push_ends(client: Client) -> None:
    root, middle = make_image(LAYER, name="root"), make_image(LAYER, name="middle")
    child = make_image(LAYER, middle.image_id)
    for image in (root, middle, child):
        client.put_json(image)
    moved = Image(
        middle.image_id, json.dumps({"id": middle.image_id, "parent": root.image_id}).encode(), LAYER
    )
    client.push(root, moved, child)
    ancestry = client.get(f"/v1/images/{child.image_id}/ancestry").json
    assert ancestry == [child.image_id, middle.image_id, root.image_id]
