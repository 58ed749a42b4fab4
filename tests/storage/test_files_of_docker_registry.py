"""Our files are those of docker-registry 0.9.1, and its names are found (STO-004 to 010)."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from support.engine_client import USER_AGENT, Image, make_image, tar_layer
from support.old_data import ID, IMAGE, image_files, names, tree, write
from support.wsgi_client import PAYLOAD_HEADER, Client, error_of, refusal_of

# -- STO-004 to 006


def pushed_by_engine(client: Client) -> tuple[Image, Image]:
    """Push two images and their tags as an engine does, and ask for all that is kept."""
    root = make_image(tar_layer({"./etc/motd": b"hello\n"}), name="root")
    child = make_image(tar_layer({"./etc/.wh.motd": b"", "./new": b"n"}), root.image_id)
    listed = json.dumps([{"id": root.image_id}, {"id": child.image_id, "Tag": "latest"}])
    client.put("/v1/repositories/foo/bar/", listed)
    client.push(root, child)
    for tag, image in (("latest", child), ("1.0", root)):
        client.tag("foo/bar", tag, image, {"User-Agent": USER_AGENT})
    sums = [{"id": child.image_id, "checksum": "tarsum+sha256:" + "4" * 64}]
    client.put("/v1/repositories/foo/bar/images", json.dumps(sums))
    client.put("/v1/repositories/foo/bar/properties", '{"access": "private"}')
    for image in (root, child):
        for what in ("files", "diff"):
            assert client.get(f"/v1/images/{image.image_id}/{what}").status_int == 200
    return root, child


def test_STO_004_push_leaves_exactly_the_files_of_docker_registry(client: Client, folder: Path) -> None:
    root, child = pushed_by_engine(client)
    files = tree(folder)
    assert set(files) == {
        *(f"images/{image.image_id}/{name}" for image in (root, child)
          for name in ("json", "layer", "ancestry", "_checksum", "_files", "_diff",
                       "_opaque")),  # ours: old servers do not look at it (storage-layout.md 1)
        *(f"repositories/foo/bar/{name}" for name in
          ("_index_images", "_private", "json", "tag_latest", "taglatest_json", "tag_1.0", "tag1.0_json")),
    }  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == ["images", "repositories"]


def test_STO_004_the_files_have_the_old_formats(client: Client, folder: Path) -> None:
    root, child = pushed_by_engine(client)
    images, bar = folder / "images", folder / "repositories" / "foo" / "bar"
    for image in (root, child):
        assert (images / image.image_id / "json").read_bytes() == image.json
        assert (images / image.image_id / "layer").read_bytes() == image.layer
        assert (images / image.image_id / "_checksum").read_text() == f'["{image.payload_checksum}"]'
    assert (images / root.image_id / "_checksum").stat().st_size == 75
    assert (images / root.image_id / "ancestry").read_text() == f'["{root.image_id}"]'
    assert (images / root.image_id / "ancestry").stat().st_size == 68
    assert (images / child.image_id / "ancestry").read_text() == f'["{child.image_id}", "{root.image_id}"]'
    assert (
        (images / root.image_id / "_files")
        .read_text()
        .startswith('[["/etc/motd", "f", false, 6, 1400000000, ')
    )
    diff = json.loads((images / child.image_id / "_diff").read_text())
    assert {kind: list(files) for kind, files in diff.items()} == {
        "deleted": ["/etc/motd"], "changed": [], "created": ["/new"],
    }  # fmt: skip

    assert (bar / "tag_latest").read_bytes() == child.image_id.encode()
    assert (bar / "_private").read_bytes() == b""
    assert (bar / "json").read_bytes() == (bar / "taglatest_json").read_bytes()
    info = json.loads((bar / "taglatest_json").read_text())
    assert set(info) == {"kernel", "arch", "docker_go_version", "last_update", "docker_version", "os"}
    assert type(info["last_update"]) is int
    assert json.loads((bar / "_index_images").read_text()) == [
        {"id": root.image_id}, {"id": child.image_id, "checksum": "tarsum+sha256:" + "4" * 64},
    ]  # fmt: skip


def test_STO_005_nothing_is_below_images_before_the_right_checksum(client: Client, folder: Path) -> None:
    images = folder / "images"
    client.put_json(IMAGE)
    client.put_layer(IMAGE)
    client.put_checksum(IMAGE, {PAYLOAD_HEADER: "sha256:" + "0" * 64})
    assert not images.exists()
    client.put_checksum(IMAGE)
    assert sorted(path.name for path in (images / ID).iterdir()) == ["_checksum", "ancestry", "json", "layer"]
    assert not (folder / "uploads").exists()


def test_STO_006_files_have_the_names_that_docker_registry_opens(client: Client, folder: Path) -> None:
    """docker-registry 0.9.1 was run on a folder like this one by hand. These are the files that it opened."""
    root, child = pushed_by_engine(client)
    client.tag("ns/a/b", "v_1.0-x", root, {"User-Agent": USER_AGENT})
    client.put("/v1/repositories/ns/a/b/", json.dumps([{"id": root.image_id}]))
    for image in (root, child):
        path = folder / "images" / image.image_id
        assert json.loads((path / "json").read_bytes())["id"] == image.image_id
        assert json.loads((path / "ancestry").read_bytes())[0] == image.image_id
        assert image.payload_checksum in json.loads((path / "_checksum").read_bytes())
        assert json.loads((path / "_files").read_bytes())
        assert not (path / "_inprogress").exists()
    nested = folder / "repositories" / "ns" / "a%252Fb"
    assert (nested / "tag_v_1.0-x").read_text() == root.image_id
    assert json.loads((nested / "tagv_1.0-x_json").read_bytes())["docker_version"] == "1.9.1"
    assert [
        set(entry) <= {"id", "checksum"} for entry in json.loads((nested / "_index_images").read_bytes())
    ] == [True]
    for path in folder.rglob("*"):
        assert not path.name.startswith("."), path
        assert re.fullmatch(r"[A-Za-z0-9_.%-]+", path.name)


# -- STO-007, 008


@pytest.mark.parametrize("end", ["\n", " \r\n", ""])
def test_STO_007_white_space_after_the_id_of_a_tag_does_not_count(
    client: Client, folder: Path, end: str
) -> None:
    write(folder, image_files(IMAGE, ancestry=[ID]) | {"repositories/foo/bar/tag_v1": ID + end})
    assert client.get("/v1/repositories/foo/bar/tags").json == {"v1": ID}
    assert client.get("/v1/repositories/foo/bar/tags/v1").json == ID
    assert client.delete("/v1/repositories/foo/bar/tags/v1").status_int == 200


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 64, b"x" * 64, b"null", ID.encode() * 2, ID.upper().encode()]
)
def test_STO_007_what_is_no_id_is_no_tag(client: Client, folder: Path, content: bytes) -> None:
    write(folder, {"repositories/foo/bar/tag_v1": content, "repositories/foo/bar/tag_v2": ID})
    assert client.get("/v1/repositories/foo/bar/tags").json == {"v2": ID}
    assert error_of(client.get("/v1/repositories/foo/bar/tags/v1")) == (404, "Tag not found")


def test_STO_008_info_of_a_tag_with_an_underscore_is_no_tag(client: Client, folder: Path) -> None:
    info = '{"last_update": 1430000000}'
    write(folder, image_files(IMAGE, IMAGE.payload_checksum, [ID]))
    write(folder, {"repositories/foo/bar/tag__x": ID, "repositories/foo/bar/tag_x_json": info})
    assert client.get("/v1/repositories/foo/bar/tags").json == {"_x": ID}
    assert error_of(client.tag("foo/bar", "x_json", IMAGE)) == (409, "Tag name conflicts")
    assert (folder / "repositories/foo/bar/tag_x_json").read_text() == info
    assert error_of(client.delete("/v1/repositories/foo/bar/tags/x_json"))[0] == 404
    assert client.get("/v1/repositories/foo/bar/tags/_x/json").json == json.loads(info)


# -- STO-009, 010


@pytest.mark.parametrize("file", ["_images_list", "json", "tagv1_json", "_anything"])
def test_STO_009_folder_without_list_tags_and_flag_is_ignored(
    client: Client, folder: Path, file: str
) -> None:
    write(folder, {f"repositories/foo/bar/{file}": f'["{ID}"]'})
    assert error_of(client.get("/v1/repositories/foo/bar/tags")) == (404, "Repository not found")
    assert error_of(client.get("/v1/repositories/foo/bar/images")) == (404, "images not found")
    assert error_of(client.delete("/v1/repositories/foo/bar/")) == (404, "Repository not found")
    assert names(client) == []


@pytest.mark.parametrize("file", ["_index_images", "tag_v1", "_private"])
def test_STO_009_any_of_list_tag_and_flag_makes_a_repository(client: Client, folder: Path, file: str) -> None:
    content = {"_index_images": "[]", "tag_v1": ID, "_private": ""}[file]
    write(folder, {f"repositories/foo/bar/{file}": content})
    assert client.get("/v1/repositories/foo/bar/tags").status_int == 200
    assert names(client) == ["foo/bar"]


@pytest.mark.parametrize("stored", ["a%2Fb", "a%252Fb"])
def test_STO_010_name_with_a_slash_is_found_in_each_stored_form(
    client: Client, folder: Path, stored: str
) -> None:
    place = f"repositories/ns/{stored}"
    write(folder, image_files(IMAGE, ancestry=[ID]) | {f"{place}/tag_v1": ID, f"{place}/_index_images": "[]"})
    assert client.get("/v1/repositories/ns/a/b/tags").json == {"v1": ID}
    assert names(client) == ["ns/a/b"]
    client.tag("ns/a/b", "v2", IMAGE)
    assert (folder / place / "tag_v2").read_text() == ID
    assert client.delete("/v1/repositories/ns/a/b/").status_int == 200
    assert not (folder / "repositories").exists()


def test_STO_010_a_new_name_with_a_slash_is_stored_as_0_9_1_does(client: Client, folder: Path) -> None:
    client.put("/v1/repositories/ns/a/b/", "[]")
    assert [path.name for path in (folder / "repositories" / "ns").iterdir()] == ["a%252Fb"]


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("Ns-Up/Re.po_x-1", "Ns-Up/Re.po_x-1"),
        ("ns/a%2Bb", "ns/a+b"),
        ("ns/a%252Bb", "ns/a+b"),
        ("ns/a%2524b", "ns/a$b"),
        ("ns/a%25C3%25A9", "ns/aé"),
        ("ns/%2540", "ns/@"),
    ],
)
def test_STO_010_decision_7_unwritable_names_stay_readable(
    client: Client, folder: Path, stored: str, name: str
) -> None:
    write(folder, image_files(IMAGE, ancestry=[ID]) | {f"repositories/{stored}/tag_v1": ID})
    assert names(client) == [name]
    quoted = name.replace("+", "%2B").replace("$", "%24").replace("é", "%C3%A9").replace("@", "%40")
    assert client.get(f"/v1/repositories/{quoted}/tags").json == {"v1": ID}
    assert refusal_of(client.tag(quoted, "v2", IMAGE)) == (400, "Invalid repository name")


@pytest.mark.parametrize(
    ("stored", "tag", "quoted"),
    [
        ("a+b", "a b", "a%20b"),
        ("a b", "a b", "a%20b"),
        ("%252E%252E", "..", ".."),
        ("..", "..", ".."),
        ("~x", "~x", "~x"),
        ("%7Ex", "~x", "~x"),
        ("%C3%A9", "é", "%C3%A9"),
        ("a%3Ab", "a:b", "a:b"),
    ],
)
def test_section_4_odd_tags_are_handled_in_each_stored_form(
    client: Client, folder: Path, stored: str, tag: str, quoted: str
) -> None:
    info = {"last_update": 1430000000}
    place = "repositories/foo/bar"
    write(folder, {f"{place}/tag_{stored}": ID, f"{place}/tag{stored}_json": json.dumps(info)})
    path = "/v1/repositories/foo/bar/tags"
    assert client.get(path).json == {tag: ID}
    assert client.get(f"{path}/{quoted}").json == ID
    assert client.get(f"{path}/{quoted}/json").json == info
    assert client.delete(f"{path}/{quoted}").status_int == 200
    assert not (folder / "repositories").exists()


def test_section_4_deletion_of_a_tag_keeps_tags_of_other_names(client: Client, folder: Path) -> None:
    write(folder, {"repositories/foo/bar/tag_a+b": ID})
    assert error_of(client.delete("/v1/repositories/foo/bar/tags/a+b"))[0] == 404
    assert client.get("/v1/repositories/foo/bar/tags").json == {"a b": ID}


def test_files_whose_names_are_no_keys_are_passed_over(client: Client, folder: Path) -> None:
    write(
        folder,
        {"repositories/foo/bar/tag_v1": ID, "repositories/foo/bar/tag_\u00e9": ID, "images/x/json": "{}"},
    )
    os.symlink(folder / "repositories", folder / "repositories" / "foo" / "loop")
    (folder / "repositories" / "foo" / "bar" / "tag_folder").mkdir()
    assert client.get("/v1/repositories/foo/bar/tags").json == {"v1": ID}
    assert "foo/bar" in names(client)
