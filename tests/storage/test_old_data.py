"""Data of docker-registry 0.6 to 0.9.1 is served unchanged, and our data is readable for it (STO-001 to 018).

The sample was written by docker-registry 0.9.1. The other folders are made as storage-layout.md says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from support.engine_client import Image
from support.old_data import (
    CHILD,
    ID,
    IMAGE,
    PLAIN,
    ROOT,
    SAMPLE,
    UNFINISHED,
    image_files,
    names,
    tree,
    write,
)
from support.wsgi_client import TARSUM_HEADER, Client, error_of

from v1registry import FileStorage, Registry
from v1registry.storage.base import StorageUnavailable

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


def tree_but_search(folder: Path) -> dict[str, bytes]:
    """Return the files without the index of the search, which old servers do not look at."""
    return {name: value for name, value in tree(folder).items() if not name.startswith("search/")}


def test_STO_001_serving_the_sample_adds_only_caches_of_layers(sample: Client, folder: Path) -> None:
    before = tree(folder)
    test_STO_001_the_repositories_of_the_sample_are_served(sample)
    for image_id in (ROOT, CHILD, PLAIN, UNFINISHED):
        for what in ("json", "layer", "ancestry"):
            sample.get(f"/v1/images/{image_id}/{what}")
            sample.head(f"/v1/images/{image_id}/{what}")
    assert tree_but_search(folder) == before
    assert sample.get(f"/v1/images/{PLAIN}/files").status_int == 200
    assert set(tree_but_search(folder)) - set(before) == {
        f"images/{PLAIN}/{name}" for name in ("_files", "_opaque")
    }


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
