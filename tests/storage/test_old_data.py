"""Data of docker-registry 0.6 to 0.9.1 is served unchanged, and our data is readable for it (STO-001 to 018).

The sample was written by docker-registry 0.9.1. The other folders are made as storage-layout.md says.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from support.engine_client import USER_AGENT, Image, make_image, tar_layer
from support.wsgi_client import PAYLOAD_HEADER, TARSUM_HEADER, Client, error_of

from v1registry import FileStorage, Registry
from v1registry.storage.base import StorageUnavailable

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "docker-registry-0.9.1-data"

ROOT = "cae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2"
CHILD = "28720365c5e7476a011e4f43ac003ee5f16247a263b9d623aa85ed311d73bf39"
PLAIN = "a116c9ed46d6207734a43317d30fd88f52ac8634c37d904bbf4e41d865f90475"
UNFINISHED = "32e4caaf6344aea2380a7f150312f351897e2dc23de446b4e9c418298d1cbc97"

IMAGE = make_image(tar_layer({"./a": b"a"}), name="old")
ID = IMAGE.image_id


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def client(folder: Path) -> Client:
    return Client(Registry(storage=FileStorage(folder, durable=False)))


@pytest.fixture
def sample(folder: Path, client: Client) -> Client:
    shutil.copytree(SAMPLE, folder)
    return client


def tree(folder: Path) -> dict[str, bytes]:
    """Return what every file below a folder holds."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write(folder: Path, files: dict[str, bytes | str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def image_files(
    image: Image, checksum: str | None = None, ancestry: list[str] | None = None
) -> dict[str, bytes | str]:
    """Return the files of a complete image, without those that are None."""
    files: dict[str, bytes | str] = {"json": image.json, "layer": image.layer}
    if checksum is not None:
        files["_checksum"] = checksum
    if ancestry is not None:
        files["ancestry"] = json.dumps(ancestry)
    return {f"images/{image.image_id}/{name}": content for name, content in files.items()}


def names(client: Client) -> list[str]:
    return [result["name"] for result in client.get("/v1/search").json["results"]]


# -- STO-001


@pytest.mark.parametrize("image_id", [ROOT, CHILD, PLAIN])
def test_STO_001_the_images_of_the_sample_are_served_byte_for_byte(sample: Client, image_id: str) -> None:
    files, path = SAMPLE / "images" / image_id, f"/v1/images/{image_id}"
    answer = sample.get(f"{path}/json")
    assert answer.body == (files / "json").read_bytes()
    assert answer.headers["X-Docker-Size"] == str((files / "layer").stat().st_size)
    assert [answer.headers["X-Docker-Checksum-Payload"]] == json.loads((files / "_checksum").read_bytes())
    assert sample.get(f"{path}/layer").body == (files / "layer").read_bytes()
    assert sample.get(f"{path}/ancestry").body == (files / "ancestry").read_bytes()
    for name in ("files", "diff"):
        if (files / f"_{name}").exists():
            assert sample.get(f"{path}/{name}").body == (files / f"_{name}").read_bytes()


def test_STO_001_the_sums_of_the_sample_are_those_of_its_bytes(sample: Client) -> None:
    for image_id in (ROOT, CHILD, PLAIN):
        document, layer = (sample.get(f"/v1/images/{image_id}/{what}") for what in ("json", "layer"))
        computed = "sha256:" + hashlib.sha256(document.body + b"\n" + layer.body).hexdigest()
        assert document.headers["X-Docker-Checksum-Payload"] == computed


def test_STO_001_the_repositories_of_the_sample_are_served(sample: Client) -> None:
    busybox, bar = "/v1/repositories/library/busybox", "/v1/repositories/foo/bar"
    assert sample.get(f"{busybox}/tags").json == {"latest": CHILD, "1.0": ROOT}
    assert sample.get("/v1/repositories/busybox/tags/1.0").json == ROOT
    assert sample.get(f"{bar}/tags").json == {"v1": PLAIN}
    for path, stored in (
        (f"{busybox}/images", "library/busybox/_index_images"),
        (f"{bar}/images", "foo/bar/_index_images"),
    ):
        assert sample.get(path).body == (SAMPLE / "repositories" / stored).read_bytes()
    for path, stored in (
        (f"{busybox}/json", "library/busybox/json"),
        (f"{busybox}/tags/latest/json", "library/busybox/taglatest_json"),
        (f"{bar}/tags/v1/json", "foo/bar/tagv1_json"),
    ):
        assert sample.get(path).json == json.loads((SAMPLE / "repositories" / stored).read_bytes())
    assert names(sample) == ["library/busybox", "foo/bar"]


def test_STO_001_serving_the_sample_adds_only_caches_of_layers(sample: Client, folder: Path) -> None:
    before = tree(folder)
    test_STO_001_the_repositories_of_the_sample_are_served(sample)
    for image_id in (ROOT, CHILD, PLAIN, UNFINISHED):
        for what in ("json", "layer", "ancestry"):
            sample.get(f"/v1/images/{image_id}/{what}")
            sample.head(f"/v1/images/{image_id}/{what}")
    assert tree(folder) == before
    assert sample.get(f"/v1/images/{PLAIN}/files").status_int == 200
    assert set(tree(folder)) - set(before) == {f"images/{PLAIN}/_files"}


class ReadOnly(FileStorage):
    """A folder on a disk that takes no writes."""

    def write(self, key: str, data: Any, *, expect: str = "*") -> Any:
        raise StorageUnavailable(key, "read-only file system")

    @contextmanager
    def lock(self, folder: str) -> Iterator[None]:
        raise StorageUnavailable(folder, "read-only file system")
        yield


def test_STO_001_sample_is_served_from_a_read_only_disk() -> None:
    client = Client(Registry(storage=ReadOnly(SAMPLE)))
    assert [row[0] for row in client.get(f"/v1/images/{PLAIN}/files").json]
    assert client.get(f"/v1/images/{PLAIN}/diff").status_int == 200
    assert client.get("/v1/repositories/busybox/tags").status_int == 200
    assert error_of(client.put_json(IMAGE))[0] == 503


# -- STO-002, 003


def test_STO_002_unfinished_push_can_be_finished(sample: Client, folder: Path) -> None:
    for what in ("json", "layer", "ancestry", "files", "diff"):
        answer = sample.get(f"/v1/images/{UNFINISHED}/{what}")
        assert error_of(answer) == (400, "Image is being uploaded, retry later")
    document = (SAMPLE / "images" / UNFINISHED / "json").read_bytes()
    sample.push(Image(UNFINISHED, document, b"the layer at last"))
    assert sample.get(f"/v1/images/{UNFINISHED}/ancestry").json == [UNFINISHED, CHILD, ROOT]
    assert not (folder / "images" / UNFINISHED / "_inprogress").exists()


def test_STO_002_a_short_layer_that_a_crash_left_is_replaced(client: Client, folder: Path) -> None:
    write(folder, image_files(IMAGE) | {f"images/{ID}/layer": b"sho", f"images/{ID}/_inprogress": "true"})
    assert error_of(client.put_checksum(IMAGE)) == (404, "Image not found")
    client.push(IMAGE)
    assert client.get(f"/v1/images/{ID}/layer").body == IMAGE.layer


@pytest.mark.parametrize(
    "files", [["_inprogress"], ["_inprogress", "json"], ["_inprogress", "json", "ancestry", "layer"]]
)
def test_STO_002_a_push_that_broke_off_anywhere_can_be_repeated(
    client: Client, folder: Path, files: list[str]
) -> None:
    stored = {"_inprogress": "", "json": IMAGE.json, "ancestry": json.dumps([ID]), "layer": IMAGE.layer}
    write(folder, {f"images/{ID}/{name}": stored[name] for name in files})
    assert error_of(client.get(f"/v1/images/{ID}/json"))[0] == 400
    client.push(IMAGE)
    assert client.get(f"/v1/images/{ID}/json").status_int == 200


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_STO_003_a_bare_checksum_is_one_sum(client: Client, folder: Path, end: str, quote: str) -> None:
    tarsum = "tarsum+sha256:" + "3" * 64
    write(folder, image_files(IMAGE, quote + tarsum + quote + end, [ID]))
    headers = client.get(f"/v1/images/{ID}/json").headers
    assert headers["X-Docker-Checksum"] == tarsum
    assert "X-Docker-Checksum-Payload" not in headers
    assert client.put_checksum(IMAGE, {TARSUM_HEADER: tarsum}).json is True


def test_STO_003_a_bare_payload_checksum_is_one_too(client: Client, folder: Path) -> None:
    write(folder, image_files(IMAGE, IMAGE.payload_checksum, [ID]))
    assert client.get(f"/v1/images/{ID}/json").headers["X-Docker-Checksum-Payload"] == IMAGE.payload_checksum


def test_STO_003_repeated_layer_is_200_if_only_a_tarsum_is_stored(client: Client, folder: Path) -> None:
    write(folder, image_files(IMAGE, "tarsum+sha256:" + "3" * 64, [ID]))
    assert client.put_layer(IMAGE).status_int == 200
    assert error_of(client.put_layer(Image(ID, IMAGE.json, b"other"))) == (409, "Image already exists")


def test_STO_003_checksum_from_the_json_of_0_6_completes_nothing(client: Client, folder: Path) -> None:
    announced = "tarsum+sha256:" + "3" * 64
    write(folder, image_files(IMAGE, announced, [ID]) | {f"images/{ID}/_inprogress": "true"})
    assert error_of(client.put_checksum(IMAGE, {TARSUM_HEADER: announced})) == (404, "Image not found")


@pytest.mark.parametrize(
    "content", [b"", b"[", b"[]", b"null", b"{}", b"[1, null]", b"\xff\xfe", b"[" * 100_000]
)
def test_STO_003_a_checksum_that_is_none_does_no_harm(client: Client, folder: Path, content: bytes) -> None:
    write(folder, image_files(IMAGE, ancestry=[ID]) | {f"images/{ID}/_checksum": content})
    answer = client.get(f"/v1/images/{ID}/json")
    assert (answer.status_int, answer.body) == (200, IMAGE.json)
    assert "X-Docker-Checksum-Payload" not in answer.headers
    assert client.get(f"/v1/images/{ID}/layer").body == IMAGE.layer


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
          for name in ("json", "layer", "ancestry", "_checksum", "_files", "_diff")),
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
    assert error_of(client.tag(quoted, "v2", IMAGE)) == (400, "Invalid repository name")


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
def test_STO_013_json_that_is_none_is_served_as_it_is(client: Client, folder: Path, document: bytes) -> None:
    write(folder, image_files(Image(ID, document, b"layer")))
    assert client.get(f"/v1/images/{ID}/json").body == document
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


# -- STO-015 to 018


def test_STO_015_the_flag_is_a_file(client: Client, folder: Path) -> None:
    write(folder, {"repositories/foo/bar/tag_v1": ID, "repositories/foo/bar/_private": ""})
    path = "/v1/repositories/foo/bar/properties"
    assert client.get(path).json == {"access": "private"}
    client.put(path, '{"access": "public"}')
    assert not (folder / "repositories/foo/bar/_private").exists()
    assert client.get(path).json == {"access": "public"}
    client.put(path, '{"access": "private"}')
    assert (folder / "repositories/foo/bar/_private").read_bytes() == b""


def test_STO_016_deletion_removes_the_folder_and_no_image(sample: Client, folder: Path) -> None:
    before = tree(folder / "images")
    assert sample.delete("/v1/repositories/library/busybox/").status_int == 200
    assert not (folder / "repositories" / "library").exists()
    assert (folder / "repositories" / "foo" / "bar").is_dir()
    assert tree(folder / "images") == before


def test_STO_017_stored_list_keeps_ids_and_gets_new_ones(client: Client, folder: Path) -> None:
    one, two, three = "1" * 64, "2" * 64, "3" * 64
    stored = [{"checksum": "x", "id": two}, {"id": one, "Tag": "latest", "y": 1}, {"id": one, "Tag": "1.0"}]
    write(folder, {"repositories/foo/bar/_index_images": json.dumps(stored)})
    path = "/v1/repositories/foo/bar/images"
    assert client.get(path).json == stored
    client.put(path, json.dumps([{"id": three}, {"id": one, "checksum": "z"}]))
    merged = [{"checksum": "x", "id": two}, {"checksum": "z", "id": one}, {"id": three}]
    assert client.get(path).json == merged
    assert (folder / "repositories/foo/bar/_index_images").read_text() == json.dumps(merged)


@pytest.mark.parametrize(
    "content", [b"", b"[", b"null", b"{}", b'["x", {"id": 5}, {}, 7]', b"\xff", b"[" * 100_000]
)
def test_STO_017_a_stored_list_that_is_none_does_no_harm(
    client: Client, folder: Path, content: bytes
) -> None:
    write(folder, {"repositories/foo/bar/_index_images": content})
    path = "/v1/repositories/foo/bar/images"
    assert client.get(path).status_int == 200
    assert client.put(path, json.dumps([{"id": "1" * 64}])).status_int == 204
    assert client.get(path).json == [{"id": "1" * 64}]


@pytest.mark.parametrize("content", [b"", b"[", b"null", b"[]", b"\xff", b"[" * 100_000])
def test_infos_that_are_none_are_unknown(client: Client, folder: Path, content: bytes) -> None:
    place = "repositories/foo/bar"
    write(folder, {f"{place}/tag_latest": ID, f"{place}/taglatest_json": content, f"{place}/json": content})
    for path in ("json", "tags/latest/json"):
        assert client.get(f"/v1/repositories/foo/bar/{path}").json["last_update"] is None


def test_STO_018_simultaneous_pushes_by_two_servers_do_not_mix(folder: Path) -> None:
    images = [Image(ID, IMAGE.json, bytes([number]) * 50_000) for number in range(4)]
    # a push that begins when the image is complete is rejected, so all have to begin before
    begun = Barrier(4)

    def push(image: Image) -> int:
        client = Client(Registry(storage=FileStorage(folder, durable=False)))
        client.put_json(image)
        begun.wait(60)
        client.put_layer(image)
        status: int = client.put_checksum(image).status_int
        return status

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(push, images))
    assert statuses == [200] * 4
    document, layer = ((folder / "images" / ID / name).read_bytes() for name in ("json", "layer"))
    computed = "sha256:" + hashlib.sha256(document + b"\n" + layer).hexdigest()
    assert json.loads((folder / "images" / ID / "_checksum").read_bytes()) == [computed]
    assert layer in [image.layer for image in images]
