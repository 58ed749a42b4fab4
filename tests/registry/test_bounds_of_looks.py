"""Bounds of looks into layers: bytes, ratio, records, time and memory."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import json
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from support.clock import Clock
from support.engine_client import make_image, tar_layer
from support.looked_into import WatchedStorage
from support.push_requests import TARSUM_HEADER
from support.tar_blocks import END, header, member, pax
from support.wsgi_client import Client, error_of

from v1registry import FileStorage, Registry, errors
from v1registry.registry import kept_lists
from v1registry.registry.images import Images
from v1registry.registry.looks import FREE_EXPANSION_BYTES, Bounds, Looks
from v1registry.rights import Content
from v1registry.storage.base import StorageFull

TOO_LARGE = (400, "The layer expands to more bytes than this server looks into")
TOO_LONG = (400, "Looking into the layer takes longer than this server allows")
WRONG = {TARSUM_HEADER: f"tarsum+sha256:{'0' * 64}"}


def pushed(layer: bytes, **settings: Any) -> tuple[WatchedStorage, Client, str]:
    storage, image = WatchedStorage(), make_image(layer)
    client = Client(Registry(storage=storage, **settings))
    client.push(image)
    storage.opened.clear()
    return storage, client, image.image_id


def layer_reads(storage: WatchedStorage) -> int:
    return sum(count for key, count in storage.opened.items() if key.endswith("/layer"))


# -- bytes and records


def test_small_layer_may_not_expand_to_the_limit_of_large_ones() -> None:
    size = FREE_EXPANSION_BYTES + 1
    layer = bz2.compress(header(size=size) + bytes(size + -size % 512) + END)
    storage, client, image_id = pushed(layer)
    for what in ("files", "diff", "files"):
        assert error_of(client.get(f"/v1/images/{image_id}/{what}")) == TOO_LARGE
    assert layer_reads(storage) == 1


def test_ratio_counts_for_larger_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("v1registry.registry.looks.FREE_EXPANSION_BYTES", 1000)
    layer = gzip.compress(header(size=100_000) + bytes(100_352) + END)
    for ratio, is_read in ((1000, True), (5, False)):
        _, client, image_id = pushed(layer, max_expansion_ratio=ratio)
        assert client.get(f"/v1/images/{image_id}/files").status_int == (200 if is_read else 400)


@pytest.mark.parametrize(
    "layer",
    [
        member() * 11,
        member(content=b"name", typeflag=b"L") * 10 + member(),
        pax(*[(b"comment", b"x")] * 10) + member(),
        b"".join(pax((b"comment", b"x")) for _ in range(7)) + member(),
    ],
    ids=["headers", "long names", "records", "chain"],
)
def test_number_of_records_is_limited(layer: bytes) -> None:
    storage, client, image_id = pushed(layer + END, max_layer_records=10)
    for what in ("files", "diff"):
        assert error_of(client.get(f"/v1/images/{image_id}/{what}")) == TOO_LARGE
    assert layer_reads(storage) == 1


# -- time


class RunningTimer:
    """A timer that is a second further each time that it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_look_ends_after_its_time_and_is_not_repeated_for_a_while() -> None:
    storage, clock = WatchedStorage(), Clock()
    image = make_image(tar_layer({f"f{number}": bytes(200_000) for number in range(10)}))
    Client(Registry(storage=storage)).push(image)
    looks = Looks(Bounds(seconds=3), clock=clock, timer=RunningTimer())
    images, content = Images(storage, looks), Content(image.image_id)
    storage.opened.clear()
    for _ in range(3):
        with pytest.raises(errors.LayerTooLarge) as caught:
            images.files(content)
    assert (caught.value.status, caught.value.public) == TOO_LONG
    assert layer_reads(storage) == 1
    clock.now_s += 600
    with pytest.raises(errors.LayerTooLarge):
        images.files(content)
    assert layer_reads(storage) == 2


def test_streams_that_expand_to_nothing_are_bounded_in_time() -> None:
    storage, image = WatchedStorage(), make_image(gzip.compress(b"") * 100)
    Client(Registry(storage=storage)).push(image)
    images = Images(storage, Looks(Bounds(seconds=50), timer=RunningTimer()))
    with pytest.raises(errors.LayerTooLarge, match="takes longer"):
        images.files(Content(image.image_id))


# -- TarSums


def test_wrong_tarsum_costs_one_look() -> None:
    storage, image = WatchedStorage(), make_image(tar_layer({"a": b""}))
    client = Client(Registry(storage=storage))
    client.put_json(image)
    client.put_layer(image)
    storage.opened.clear()
    for number in range(4):
        answer = client.put_checksum(image, {TARSUM_HEADER: f"tarsum+sha256:{number:064x}"})
        assert error_of(answer) == (400, "Checksum mismatch")
    assert layer_reads(storage) == 2, "one pass by the rules of engines, one by those of docker-registry"


@pytest.mark.parametrize(
    ("layer", "settings", "refusal"),
    [
        (b"no archive", {}, (400, "Checksum mismatch")),
        (tar_layer({"a": bytes(5000)}), {"max_expanded_bytes": 4000}, TOO_LARGE),
        (member() * 11 + END, {"max_layer_records": 10}, TOO_LARGE),
    ],
    ids=["no archive", "bytes", "records"],
)
def test_tarsum_that_cannot_be_computed_costs_one_look(
    layer: bytes, settings: dict[str, Any], refusal: tuple[int, str]
) -> None:
    storage, image = WatchedStorage(), make_image(layer)
    client = Client(Registry(storage=storage, **settings))
    client.put_json(image)
    client.put_layer(image)
    storage.opened.clear()
    for _ in range(3):
        assert error_of(client.put_checksum(image, WRONG)) == refusal
    assert layer_reads(storage) == 1
    assert client.put_checksum(image).status_int == 200, "the payload sum needs no look"


def test_new_layer_of_a_push_is_looked_into() -> None:
    first = make_image(tar_layer({"a": b"1"}))
    second = make_image(tar_layer({"a": b"2"}))
    storage = WatchedStorage()
    client = Client(Registry(storage=storage))
    client.put_json(first)
    client.put_layer(first)
    assert client.put_checksum(first, WRONG).status_int == 400
    client.request("PUT", f"/v1/images/{first.image_id}/layer", second.layer)
    storage.opened.clear()
    assert client.put_checksum(first, WRONG).status_int == 400
    assert layer_reads(storage) == 2


# -- memory


def many_files(count: int) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for number in range(count):
            tar.addfile(tarfile.TarInfo(f"usr/share/folder-{number % 50}/file-{number}"))
    return gzip.compress(archive.getvalue(), 1)


@pytest.mark.parametrize(("what", "most_times"), [("files", 1), ("diff", 5)])
def test_lists_take_a_small_multiple_of_their_size(tmp_path: Path, what: str, most_times: float) -> None:
    image = make_image(many_files(15_000))
    app = Registry(storage=FileStorage(tmp_path), max_look_s=3600)
    Client(app).push(image)
    spool_bytes, kept_lists._SPOOL_BYTES = kept_lists._SPOOL_BYTES, 1 << 16
    tracemalloc.start()
    try:
        size_bytes = drained(app, f"/v1/images/{image.image_id}/{what}")
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        before_bytes, _ = tracemalloc.get_traced_memory()
        assert drained(app, f"/v1/images/{image.image_id}/{what}") == size_bytes
        _, peak_of_kept_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        kept_lists._SPOOL_BYTES = spool_bytes
    assert size_bytes > 900_000
    assert peak_bytes < most_times * size_bytes
    assert peak_of_kept_bytes - before_bytes < 600_000


def drained(app: Registry, path: str) -> int:
    """Return the size of an answer that is read as a server reads it."""
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
    }
    body = app(environ, lambda *_: lambda data: None)
    try:
        return sum(map(len, body))
    finally:
        getattr(body, "close", lambda: None)()


# -- storages that take nothing


class FullStorage(WatchedStorage):
    """A storage that keeps no lists."""

    def write(self, key: str, *arguments: Any, **options: Any) -> Any:
        if key.rpartition("/")[2] in ("_files", "_diff", "_opaque"):
            raise StorageFull(key, "no room")
        return super().write(key, *arguments, **options)


def test_lists_that_are_not_stored_are_remembered() -> None:
    storage, image = FullStorage(), make_image(tar_layer({"a": b"1", "d/.wh..wh..opq": b""}))
    client = Client(Registry(storage=storage))
    client.push(image)
    storage.opened.clear()
    answers = [
        client.get(f"/v1/images/{image.image_id}/{what}") for what in ("files", "diff", "files", "diff")
    ]
    assert [answer.status_int for answer in answers] == [200] * 4
    assert answers[0].json[0][0] == "a"
    assert list(answers[1].json["created"]) == ["a"]
    assert (answers[2].body, answers[3].body) == (answers[0].body, answers[1].body)
    assert layer_reads(storage) == 1


def test_full_disk_for_temporary_files_is_507(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Any:
        raise OSError(28, "No space left on device")

    _, client, image_id = pushed(tar_layer({"a": b""}))
    monkeypatch.setattr(kept_lists, "SpooledTemporaryFile", full)
    assert client.get(f"/v1/images/{image_id}/files").status_int == 507
    monkeypatch.undo()
    assert client.get(f"/v1/images/{image_id}/files").status_int == 200


# -- answers


@pytest.mark.parametrize("count", [2, 5000])
@pytest.mark.parametrize("what", ["files", "diff"])
def test_kept_answer_has_one_etag_and_can_be_asked_for_by_it(what: str, count: int) -> None:
    _, client, image_id = pushed(many_files(count))
    path = f"/v1/images/{image_id}/{what}"
    answers = [client.get(path) for _ in range(3)]
    first, *later = answers
    assert {(answer.headers["ETag"], answer.body) for answer in later} == {
        (first.headers["ETag"], first.body)
    }
    assert int(first.headers["Content-Length"]) == len(first.body)
    assert first.headers["Content-Type"] == "application/json"
    assert client.get(path, {"If-None-Match": first.headers["ETag"]}).status_int == 304
    head = client.head(path)
    assert (head.body, head.headers["Content-Length"]) == (b"", first.headers["Content-Length"])
    assert json.loads(first.body)


def test_list_without_opaque_folders_beside_it_is_read_once_more() -> None:
    storage, client, image_id = pushed(tar_layer({"a": b"", "d/.wh..wh..opq": b""}))
    client.get(f"/v1/images/{image_id}/files")
    storage.delete(f"images/{image_id}/_opaque")
    storage.opened.clear()
    for _ in itertools.repeat(None, 2):
        assert client.get(f"/v1/images/{image_id}/diff").status_int == 200
    assert layer_reads(storage) == 1
    assert json.loads(storage.read(f"images/{image_id}/_opaque")[0]) == ["d/"]


# -- payload sums


def test_layer_without_a_stored_sum_is_read_once() -> None:
    storage, client, image_id = pushed(tar_layer({"a": b""}))
    storage.delete(f"images/{image_id}/_checksum")
    storage.opened.clear()
    for layer in (tar_layer({"a": b""}), tar_layer({"b": b""}), tar_layer({"b": b""})):
        answer = client.request("PUT", f"/v1/images/{image_id}/layer", layer)
        assert answer.status_int == (200 if layer == tar_layer({"a": b""}) else 409)
    assert layer_reads(storage) == 1


def test_remembered_failure_keeps_no_json() -> None:
    storage, image = WatchedStorage(), make_image(b"no archive")
    Client(Registry(storage=storage)).push(image)
    looks = Looks()
    images = Images(storage, looks)
    content = images.contents.first(image.image_id)
    assert content is not None
    assert content.parts is not None
    with pytest.raises(errors.LayerNotSupported):
        images.files(content)
    ((place, _),) = looks.failures._kept._values.items()
    assert not any(isinstance(part, Content) for part in place)


def test_remembered_chain_keeps_no_json() -> None:
    storage, image = WatchedStorage(), make_image(tar_layer({"a": b""}))
    app = Registry(storage=storage)
    Client(app).push(image)
    assert Client(app).get(f"/v1/images/{image.image_id}/diff").status_int == 200
    ((key, chain),) = app._services.images.chains._known.items()
    contents = [part for part in (*key, *chain) if isinstance(part, Content)]
    assert len(contents) == 2
    assert all(content.parts is None for content in contents)


def test_malformed_list_of_a_layer_that_is_no_archive_costs_one_look() -> None:
    storage, image = WatchedStorage(), make_image(b"no archive")
    Client(Registry(storage=storage)).push(image)
    storage.write(f"images/{image.image_id}/_files", b'[["half a row"]]')
    images = Images(storage)
    storage.opened.clear()
    for _ in range(3):
        with pytest.raises(errors.LayerNotSupported):
            images.inspect(Content(image.image_id), list)
    assert layer_reads(storage) == 1
