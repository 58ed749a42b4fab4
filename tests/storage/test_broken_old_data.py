"""Old data that is broken or incomplete, and that of mirrors (STO-012 to 014, REG-049)."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from support.engine_client import Image, make_image, tar_layer
from support.old_data import ID, IMAGE, image_files, names, write
from support.wsgi_client import Client, error_of

# -- STO-012 to 014


def test_STO_012_what_killed_writers_left_is_never_seen(client: Client, folder: Path) -> None:
    left = {
        f"images/{ID}/.json.0123456789abcdef.tmp": b'{"id":',
        f"images/{ID}/.layer.0123456789abcdef.tmp": b"half",
        f"images/{ID}/._checksum.0123456789abcdef.tmp": b"[",
        "repositories/foo/bar/.tag_v1.0123456789abcdef.tmp": ID.encode()[:30],
    }
    write(folder, dict(left))
    for what in ("json", "layer", "ancestry"):
        assert error_of(client.get(f"/v1/images/{ID}/{what}")) == (404, "Image not found")
    assert names(client) == []
    client.push(IMAGE)
    assert client.tag("foo/bar", "v1", IMAGE).status_int == 200
    assert client.get("/v1/repositories/foo/bar/tags").json == {"v1": ID}
    assert client.get(f"/v1/images/{ID}/layer").body == IMAGE.layer


def test_STO_013_a_missing_ancestry_is_rebuilt_and_kept(client: Client, folder: Path) -> None:
    child = make_image(b"child", ID)
    grandchild = make_image(b"grandchild", child.image_id)
    for image in (IMAGE, child, grandchild):
        write(folder, image_files(image, image.payload_checksum))
    expected = [grandchild.image_id, child.image_id, ID]
    assert client.get(f"/v1/images/{grandchild.image_id}/ancestry").json == expected
    stored = folder / "images" / grandchild.image_id / "ancestry"
    assert stored.read_text() == json.dumps(expected)
    assert client.put_json(make_image(b"new", grandchild.image_id)).status_int == 200


@pytest.mark.parametrize(
    "content", [b"", b"[", b"[]", b"null", b'["x"]', b"[[]]", b'{"a": 1}', b"\xff", b"[" * 100_000]
)
def test_STO_013_an_ancestry_that_is_none_is_rebuilt(client: Client, folder: Path, content: bytes) -> None:
    write(folder, image_files(IMAGE) | {f"images/{ID}/ancestry": content})
    assert client.get(f"/v1/images/{ID}/ancestry").json == [ID]


@pytest.mark.parametrize("length", [1, 2, 5])
def test_STO_013_parents_that_run_in_a_circle_are_no_ancestry(
    client: Client, folder: Path, length: int
) -> None:
    ids = [hashlib.sha256(bytes([number])).hexdigest() for number in range(length)]
    for number, image_id in enumerate(ids):
        document = json.dumps({"id": image_id, "parent": ids[(number + 1) % length]}).encode()
        write(folder, image_files(Image(image_id, document, b"layer")))
    for image_id in ids:
        assert error_of(client.get(f"/v1/images/{image_id}/ancestry"))[0] == 404
        assert client.get(f"/v1/images/{image_id}/layer").status_int == 200
        write(folder, {"repositories/foo/bar/tag_v1": image_id})
        assert client.get("/v1/repositories/foo/bar/images").json == [{"id": image_id}]


def test_STO_013_a_parent_that_is_missing_is_told(client: Client, folder: Path) -> None:
    orphan = make_image(b"orphan", "0" * 64)
    write(folder, image_files(orphan))
    status, text = error_of(client.get(f"/v1/images/{orphan.image_id}/ancestry"))
    assert status == 404
    assert "0" * 64 in text


@pytest.mark.parametrize(
    "document", [b"", b"{", b"[]", b"null", b'{"parent": 5}', b'{"parent": "x"}', b"\xff", b"[" * 100_000]
)
def test_image_with_invalid_json_is_missing_until_it_is_pushed(
    client: Client, folder: Path, document: bytes
) -> None:
    write(folder, image_files(Image(ID, document, b"layer")))
    for what in ("json", "layer", "ancestry"):
        assert error_of(client.get(f"/v1/images/{ID}/{what}")) == (404, "Image not found")

    client.push(IMAGE)
    assert client.get(f"/v1/images/{ID}/json").body == IMAGE.json
    assert client.get(f"/v1/images/{ID}/layer").body == IMAGE.layer
    assert client.get(f"/v1/images/{ID}/ancestry").json == [ID]


def test_STO_014_a_mirrored_image_has_no_sum_and_is_complete(client: Client, folder: Path) -> None:
    write(folder, image_files(IMAGE, ancestry=[ID]))
    answer = client.get(f"/v1/images/{ID}/json")
    assert (answer.status_int, answer.body) == (200, IMAGE.json)
    assert {"X-Docker-Checksum", "X-Docker-Checksum-Payload", "X-Docker-Payload-Checksum"}.isdisjoint(
        answer.headers
    )
    assert answer.headers["X-Docker-Size"] == str(len(IMAGE.layer))
    layer = client.get(f"/v1/images/{ID}/layer")
    assert layer.body == IMAGE.layer
    assert re.fullmatch(r'"[0-9a-f]{64}"', layer.headers["ETag"])
    assert client.get(f"/v1/images/{ID}/files").status_int == 200
    assert client.put_layer(IMAGE).status_int == 200
    assert error_of(client.put_layer(Image(ID, IMAGE.json, b"other"))) == (409, "Image already exists")


def test_STO_014_mirrored_image_without_layer_has_no_size(client: Client, folder: Path) -> None:
    write(folder, {f"images/{ID}/json": IMAGE.json, f"images/{ID}/ancestry": json.dumps([ID])})
    assert "X-Docker-Size" not in client.get(f"/v1/images/{ID}/json").headers
    assert error_of(client.get(f"/v1/images/{ID}/layer")) == (404, "Image not found")


@pytest.mark.parametrize(
    "what",
    [f"images/{ID}/{part}" for part in ("json", "layer", "ancestry", "files", "diff")]
    + [f"repositories/foo/bar/{part}" for part in ("tags", "tags/v1", "images", "json")]
    + ["_ping"],
)
def test_REG_049_answers_for_mirrored_images_have_each_header_once(
    client: Client, folder: Path, what: str
) -> None:
    write(folder, {**image_files(IMAGE, ancestry=[ID]), "repositories/foo/bar/tag_v1": ID})
    answer = client.get(f"/v1/{what}")
    names_of_headers = Counter(name.lower() for name, _ in answer.headerlist)
    assert answer.status_int == 200
    assert {"cache-control", "expires", "content-type", "content-length"} <= set(names_of_headers)
    assert set(names_of_headers.values()) == {1}


@pytest.mark.parametrize("name", ["files", "diff"])
@pytest.mark.parametrize("content", [b"", b"[", b"[[]]", b"null", b"{}", b"[[1]]", b"\xff", b"[" * 100_000])
def test_what_was_kept_of_a_layer_and_is_broken_does_no_harm(
    client: Client, folder: Path, name: str, content: bytes
) -> None:
    child = make_image(tar_layer({"./b": b"b"}), ID)
    write(folder, image_files(IMAGE, ancestry=[ID]) | image_files(child, ancestry=[child.image_id, ID]))
    write(folder, {f"images/{ID}/_{name}": content})
    for image_id in (ID, child.image_id):
        for what in ("files", "diff"):
            assert client.get(f"/v1/images/{image_id}/{what}").status_int in (200, 400)
