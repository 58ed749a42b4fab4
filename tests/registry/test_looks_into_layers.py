"""Looks into layers: a failed one is not repeated, and one at a time runs in a process."""

from __future__ import annotations

import gzip
import io
import json
import logging
import tarfile
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore
from typing import Any

import pytest
from support.engine_client import Image, make_chain, make_image, tar_layer
from support.looked_into import WatchedStorage
from support.push_requests import TARSUM_HEADER, json_of, layer_of
from support.wsgi_client import Client, error_of

from v1registry import Registry, errors
from v1registry.layers.remembered import Remembered
from v1registry.layers.turns import Busy, Patience, Turns
from v1registry.registry.images import Images
from v1registry.registry.kept_lists import Document
from v1registry.registry.listings import Limits, Listings
from v1registry.registry.looks import Looks
from v1registry.rights import Content

TOO_LARGE = (400, "The layer expands to more bytes than this server looks into")
NOT_SUPPORTED = (400, "Layer format not supported")


def zeros(size_bytes: int, name: str = "zeros") -> bytes:
    """Return a layer with a file of zeros."""
    return tar_layer({name: bytes(size_bytes)})


def many(count: int) -> bytes:
    """Return a layer with so many empty files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for number in range(count):
            tar.addfile(tarfile.TarInfo(f"f{number}"))
    return gzip.compress(archive.getvalue(), 1)


def pushed(*images: Image, **settings: object) -> tuple[WatchedStorage, Client]:
    storage = WatchedStorage()
    client = Client(Registry(storage=storage, **settings))
    client.push(*images)
    storage.opened.clear()
    return storage, client


class CountedTurns(Turns):
    """Turns that tell when a thread begins to wait, and let it wait for long."""

    def __init__(self) -> None:
        super().__init__()
        self._came = Semaphore(0)

    def _wait(self, patience: Patience) -> None:
        self._came.release()
        super()._wait(Patience(patience.most_waiting, 60))

    def await_waiting(self, count: int) -> None:
        for _ in range(count):
            assert self._came.acquire(timeout=30)


def number_of_files(images: Images, image: Image, limits: Limits | None = None) -> int:
    return images.inspect(Content(image.image_id), lambda rows: sum(1 for _ in rows), limits or Limits())


def loaded(document: Document) -> Any:
    return json.load(document.open())


@pytest.mark.parametrize("what", ["files", "diff"])
@pytest.mark.parametrize(
    ("layer", "refusal"), [(zeros(5000), TOO_LARGE), (gzip.compress(b"no archive"), NOT_SUPPORTED)]
)
def test_a_layer_that_cannot_be_looked_into_is_not_tried_again(
    layer: bytes, refusal: tuple[int, str], what: str
) -> None:
    image = make_image(layer)
    storage, client = pushed(image, max_expanded_bytes=4000)
    for _ in range(3):
        assert error_of(client.get(f"/v1/images/{image.image_id}/{what}")) == refusal
    assert storage.looks(image.image_id) == 1


def test_a_diff_does_not_compare_up_to_the_same_refusal_again() -> None:
    chain = make_chain([zeros(30_000), tar_layer({"a": b""}), tar_layer({"b": b""})])
    storage, client = pushed(*chain, max_expanded_bytes=40_000)
    path = f"/v1/images/{chain[-1].image_id}/diff"
    assert error_of(client.get(path))[0] == 503, "all together are too much for one request"
    assert error_of(client.get(path)) == TOO_LARGE
    for _ in range(2):
        storage.opened.clear()
        assert error_of(client.get(path)) == TOO_LARGE
        assert set(storage.opened) <= {f"images/{chain[-1].image_id}/_diff"}


def test_what_is_refused_at_one_limit_may_be_listed_at_another() -> None:
    image = make_image(zeros(5000))
    storage, _ = pushed(image)
    images = Images(storage)
    with pytest.raises(errors.LayerTooLarge):
        images.files(Content(image.image_id), Limits(4000))
    assert number_of_files(images, image) == 1
    assert number_of_files(images, image, Limits(4000)) == 1, "what is listed is listed for all"


def test_another_layer_under_the_same_id_is_looked_into() -> None:
    image = make_image(b"no archive")
    storage, client = pushed(image)
    assert error_of(client.get(f"/v1/images/{image.image_id}/files")) == NOT_SUPPORTED
    storage.write(f"images/{image.image_id}/layer", tar_layer({"a": b""}))
    assert client.get(f"/v1/images/{image.image_id}/files").json[0][0] == "a"


def test_a_refusal_leaves_nothing_in_the_storage() -> None:
    image = make_image(b"no archive")
    storage, client = pushed(image)
    before = [stat.key for stat in storage.list("")]
    client.get(f"/v1/images/{image.image_id}/files")
    client.get(f"/v1/images/{image.image_id}/diff")
    assert [stat.key for stat in storage.list("")] == before


@pytest.mark.parametrize("what", ["files", "diff"])
@pytest.mark.parametrize("layer", [tar_layer({"a": b""}), b"no archive"])
def test_several_who_ask_at_once_share_one_look(layer: bytes, what: str) -> None:
    image = make_image(layer)
    storage, _ = pushed(image)
    turns = CountedTurns()
    listings = Listings(storage, Looks(turns=turns))

    def look(number: int) -> object:
        try:
            content = Content(image.image_id)
            return loaded(listings.files(content) if what == "files" else listings.diff([content]))
        except errors.LayerNotSupported as error:
            return error.public

    storage.gate.clear()
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(look, number) for number in range(3)]
        turns.await_waiting(2)
        storage.gate.set()
        assert len({str(answer.result()) for answer in answers}) == 1
    assert storage.looks(image.image_id) == 1


@pytest.mark.parametrize("what", ["files", "diff", "page of files", "page of changes", "checksum"])
def test_one_look_at_a_time_whatever_it_is_for(what: str, caplog: pytest.LogCaptureFixture) -> None:
    image, other = make_image(tar_layer({"a": b""})), make_image(tar_layer({"b": b""}))
    storage, client = pushed(image, other)
    third = make_image(tar_layer({"c": b""}))
    for request in (json_of(third), layer_of(third)):
        assert client.put(request.path, request.body, request.headers).status_int == 200
    paths = {"page of files": "/images/{}/files", "page of changes": "/images/{}/changes"}
    path = paths.get(what, f"/v1/images/{{}}/{what}").format(other.image_id)

    def second() -> Any:
        if what == "checksum":
            wrong = {TARSUM_HEADER: f"tarsum+sha256:{'0' * 64}"}
            return client.put(f"/v1/images/{third.image_id}/checksum", headers=wrong)
        return Client(client.app).get(path)

    turns = client.app._services.shown_layers._looks._turns
    storage.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(Client(client.app).get, f"/v1/images/{image.image_id}/files")
        assert storage.reached.wait(30)
        turns._wait = _refuse
        storage.opened.clear()
        answer = second()
        del turns._wait
        storage.gate.set()
        assert first.result().json[0][0] == "a"
    assert answer.status_int == 503
    assert answer.headers["Retry-After"] == "10"
    # clients can cause it as often as they like, so it must not fill the log of errors
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not any(key.endswith("/layer") for key in storage.opened)
    assert second().status_int == (400 if what == "checksum" else 200)


def _refuse(patience: Patience) -> None:
    raise Busy


def test_what_is_kept_is_answered_while_another_look_runs() -> None:
    image, other = make_image(tar_layer({"a": b""})), make_image(tar_layer({"b": b""}))
    storage, client = pushed(image, other)
    paths = [f"/v1/images/{image.image_id}/{what}" for what in ("files", "diff")]
    answers = [client.get(path).body for path in paths]
    storage.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(Client(client.app).get, f"/v1/images/{other.image_id}/files")
        assert storage.reached.wait(30)
        assert [client.get(path).body for path in paths] == answers
        storage.gate.set()
        assert first.result().status_int == 200


def test_layers_of_a_diff_share_the_limit_of_one() -> None:
    chain = make_chain([zeros(30_000, f"zeros-{number}") for number in range(6)])
    storage, client = pushed(*chain, max_expanded_bytes=90_000)
    path = f"/v1/images/{chain[-1].image_id}/diff"
    statuses = []
    for _ in range(4):
        storage.opened.clear()
        answer = client.get(path)
        statuses.append(answer.status_int)
        assert sum(storage.looks(image.image_id) for image in chain) <= 4
    assert statuses[0] == 503
    assert statuses[-1] == 200
    assert len(client.get(path).json["created"]) == 1


def test_diff_beyond_its_limit_is_rejected_and_stored_so() -> None:
    chain = make_chain([tar_layer({f"f{number}": b""}) for number in range(4)])
    storage, _ = pushed(*chain)
    images, limits = Images(storage), Limits(compared_bytes=3 * 64 * 1024)
    contents = [Content(image.image_id) for image in reversed(chain)]
    assert images.diff(contents[1:], limits)
    for _ in range(2):
        storage.opened.clear()
        with pytest.raises(errors.LayerTooLarge):
            images.diff(contents, limits)
    assert not any(key.endswith("/_files") for key in storage.opened)


@pytest.mark.parametrize("limits", [Limits(rows=9), Limits(names_bytes=19), Limits(list_bytes=300)])
def test_lists_beyond_a_limit_are_refused_whether_kept_or_not(limits: Limits) -> None:
    image = make_image(many(10))
    storage, _ = pushed(image)
    images = Images(storage)
    for _ in range(2):
        with pytest.raises(errors.LayerTooLarge, match="more files than are listed"):
            images.files(Content(image.image_id), limits)
    assert storage.looks(image.image_id) == 1
    assert number_of_files(images, image) == 10


# -- the memory and the turns


def test_what_was_asked_for_longest_ago_gives_way() -> None:
    memory = Remembered[str](10, len)
    memory.keep("a", "aaaa")
    memory.keep("b", "bbbb")
    assert memory.find("a") == "aaaa"
    memory.keep("c", "cccc")
    assert [memory.find(key) for key in "abc"] == ["aaaa", None, "cccc"]


@pytest.mark.parametrize(("size", "is_kept"), [(10, True), (11, False)])
def test_a_value_larger_than_the_memory_is_not_kept(size: int, is_kept: bool) -> None:
    memory = Remembered[str](10, len)
    memory.keep("a", "x" * size)
    assert (memory.find("a") is not None) == is_kept
    assert len(memory) == is_kept


def test_a_value_in_the_place_of_another_counts_alone() -> None:
    memory = Remembered[str](10, len)
    memory.keep("b", "bbb")
    for number in range(9):
        memory.keep("a", str(number) * 7)
    assert (memory.find("a"), memory.find("b")) == ("8888888", "bbb")
    memory.keep("a", "x" * 11)
    memory.keep("c", "c" * 7)
    assert (memory.find("a"), memory.find("b"), memory.find("c")) == (None, "bbb", "c" * 7)


def test_a_turn_ends_with_a_failure_too() -> None:
    turns, patience = Turns(), Patience(most_waiting=0, wait_s=0)
    with pytest.raises(ZeroDivisionError), turns.turn(patience):
        raise ZeroDivisionError
    with turns.turn(patience), pytest.raises(Busy), turns.turn(patience):
        raise AssertionError("the turn is taken")


def test_no_more_wait_than_may() -> None:
    turns, patience = CountedTurns(), Patience(most_waiting=2, wait_s=60)
    done = []

    def work(number: int) -> None:
        with turns.turn(patience):
            done.append(number)

    with ThreadPoolExecutor(2) as pool:
        with turns.turn(patience):
            waiting = [pool.submit(work, number) for number in range(2)]
            turns.await_waiting(2)
            with pytest.raises(Busy), turns.turn(patience):
                raise AssertionError("the turn is taken")
            assert done == []
        for each in waiting:
            each.result()
    assert sorted(done) == [0, 1]
