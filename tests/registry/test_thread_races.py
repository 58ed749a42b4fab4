"""Simultaneous clients: threads, uploads during other pushes, and each point between two steps.

REG-046, REG-011, REG-014 and decisions.md 5. Processes and servers have their own tests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import pytest
from support.engine_client import Image, make_image, random_layer, tar_layer
from support.wsgi_client import Answer, Client, call, during, error_of

from v1registry import MemoryStorage, Registry

T = TypeVar("T")

LAYER = tar_layer({"./a": b"layer"})
IMAGE = make_image(LAYER, name="race")
ID = IMAGE.image_id
OTHER_LAYER = Image(ID, IMAGE.json, tar_layer({"./a": b"other"}))
OTHER_JSON = Image(ID, json.dumps({"id": ID, "comment": "other"}).encode(), LAYER)

IN_PROGRESS = (400, "Image is being uploaded, retry later")


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """Return what ``work(0)``, ``work(1)`` … give, each in a thread, all begun together."""
    barrier = Barrier(count)

    def begin(number: int) -> T:
        barrier.wait(30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def send(app: Registry, step: str, image: Image, key: int | None = None) -> Answer:
    """Make one of the three calls of a push, with a key of its own if ``key`` is given."""
    path = f"/v1/images/{image.image_id}/{step}"
    environ = {} if key is None else {"HTTP_AUTHORIZATION": f"Token signature={key}"}
    if step == "checksum":
        environ["HTTP_X_DOCKER_CHECKSUM_PAYLOAD"] = image.payload_checksum
        return call(app, "PUT", path, **environ)
    return call(app, "PUT", path, image.json if step == "json" else image.layer, **environ)


def push(app: Registry, image: Image, key: int | None = None) -> list[Answer]:
    return [send(app, step, image, key) for step in ("json", "layer", "checksum")]


def assert_complete_and_sound(app: Registry, *candidates: Image) -> Image:
    """Check that the image is complete, is one of ``candidates`` and fits its sum; return which."""
    document, layer = (call(app, "GET", f"/v1/images/{ID}/{what}") for what in ("json", "layer"))
    assert (document.status, layer.status) == (200, 200)
    found = Image(ID, document.body, layer.body)
    assert found in candidates
    computed = "sha256:" + hashlib.sha256(document.body + b"\n" + layer.body).hexdigest()
    assert document.header("X-Docker-Checksum-Payload") == computed
    assert layer.header("ETag") == f'"{computed.removeprefix("sha256:")}"'
    return found


# -- threads


def test_REG_046_011_eight_equal_pushes_at_once_all_succeed(
    app: Registry,
) -> None:
    def push_as_engine(number: int) -> bool:
        announced = send(app, "json", IMAGE, number)
        if announced.status == 409:
            return b"Image already exists" in announced.body
        uploaded = send(app, "layer", IMAGE, number)
        ended = send(app, "checksum", IMAGE, number)
        return (announced.status, uploaded.status, ended.status) == (200, 200, 200)

    assert at_once(8, push_as_engine) == [True] * 8
    assert_complete_and_sound(app, IMAGE)


def all_done(steps: list[Answer]) -> bool:
    """Tell whether an engine takes the push for done."""
    statuses = [answer.status for answer in steps]
    return statuses == [200, 200, 200] or (statuses[0] == 409 and b"Image already exists" in steps[0].body)


def test_REG_046_eight_pushes_of_different_layers_all_succeed(app: Registry) -> None:
    images = [Image(ID, IMAGE.json, random_layer(300_000, number)) for number in range(8)]
    answers = at_once(8, lambda number: push(app, images[number], number))
    assert [all_done(steps) for steps in answers] == [True] * 8
    assert_complete_and_sound(app, *images)


def test_REG_046_eight_pushes_of_different_json_all_succeed(app: Registry) -> None:
    images = [
        Image(ID, json.dumps({"id": ID, "number": number}).encode(), random_layer(1000, number))
        for number in range(8)
    ]
    answers = at_once(8, lambda number: push(app, images[number], number))
    assert [all_done(steps) for steps in answers] == [True] * 8
    assert_complete_and_sound(app, *images)


def test_nothing_unfinished_is_seen_by_those_who_read_all_the_time(app: Registry) -> None:
    images = [
        Image(ID, json.dumps({"id": ID, "number": number}).encode(), random_layer(100_000, number))
        for number in range(4)
    ]

    def work(number: int) -> set[bytes]:
        if number < 4:
            for image in images:
                push(app, image)
            return set()
        seen = (call(app, "GET", f"/v1/images/{ID}/json") for _ in range(200))
        return {answer.body for answer in seen if answer.status == 200}

    seen = set[bytes]().union(*at_once(6, work))
    assert seen <= {assert_complete_and_sound(app, *images).json}


@pytest.mark.parametrize(("path", "method"), [("foo/bar/images", "PUT"), ("foo/bar/", "PUT")])
def test_sixteen_who_add_to_one_image_list_at_once_lose_nothing(
    app: Registry, path: str, method: str
) -> None:
    ids = [hashlib.sha256(bytes([number])).hexdigest() for number in range(16)]

    def add(number: int) -> int:
        body = json.dumps([{"id": ids[number], "checksum": f"tarsum+sha256:{number}"}]).encode()
        return call(app, method, f"/v1/repositories/{path}", body).status

    assert set(at_once(16, add)) <= {200, 204}
    listed = json.loads(call(app, "GET", "/v1/repositories/foo/bar/images").body)
    assert {entry["id"]: entry["checksum"] for entry in listed} == {
        image_id: f"tarsum+sha256:{number}" for number, image_id in enumerate(ids)
    }
    assert len(listed) == 16


def test_sixteen_who_set_tags_at_once_lose_nothing(app: Registry) -> None:
    push(app, IMAGE)
    body = json.dumps(ID).encode()
    path = "/v1/repositories/foo/bar/tags"
    assert at_once(16, lambda number: call(app, "PUT", f"{path}/v{number}", body).status) == [200] * 16
    assert json.loads(call(app, "GET", path).body) == {f"v{number}": ID for number in range(16)}


def test_simultaneous_changes_of_tag_and_repository_never_fail(app: Registry) -> None:
    push(app, IMAGE)
    body = json.dumps(ID).encode()

    def work(number: int) -> set[int]:
        statuses = set()
        for _ in range(10):
            if number % 3 == 0:
                answer = call(app, "PUT", "/v1/repositories/foo/bar/tags/latest", body)
            elif number % 3 == 1:
                answer = call(app, "DELETE", "/v1/repositories/foo/bar/tags/latest")
            else:
                answer = call(app, "DELETE", "/v1/repositories/foo/bar/")
            statuses.add(answer.status)
        return statuses

    assert set[int]().union(*at_once(6, work)) <= {200, 404}
    assert call(app, "PUT", "/v1/repositories/foo/bar/tags/latest", body).status == 200
    assert json.loads(call(app, "GET", "/v1/repositories/foo/bar/tags").body) == {"latest": ID}


def test_STO_008_one_of_two_conflicting_tags_at_once_is_409(app: Registry) -> None:
    push(app, IMAGE)
    body = json.dumps(ID).encode()
    for number in range(10):
        path, tags = f"/v1/repositories/foo/r{number}/tags", ("_x", "x_json")
        statuses = at_once(2, lambda one, path=path,
        tags=tags: call(app, "PUT", f"{path}/{tags[one]}", body).status)  # fmt: skip
        assert sorted(statuses) == [200, 409]
        assert json.loads(call(app, "GET", path).body) == {tags[statuses.index(200)]: ID}


# -- a layer on its way


@pytest.mark.parametrize("late", [IMAGE, OTHER_LAYER])
def test_decision_5_push_begun_before_completion_ends_with_200(client: Client, late: Image) -> None:
    client.put_json(IMAGE)
    other = Client(client.app)
    pieces = during(lambda: other.push(IMAGE), late.layer[:20], late.layer[20:])
    given = client.put_pieces(f"/v1/images/{ID}/layer", pieces)
    assert given.status_int == 200
    assert client.put_checksum(late).status_int == 200
    assert_complete_and_sound(client.app, IMAGE)


def test_decision_5_other_json_during_an_upload_undoes_it(client: Client) -> None:
    client.put_json(IMAGE)
    pieces = during(lambda: client.put_json(OTHER_JSON), LAYER[:20], LAYER[20:])
    text = "Image was announced anew during the upload, push it again"
    assert error_of(client.put_pieces(f"/v1/images/{ID}/layer", pieces)) == (409, text)
    assert error_of(client.put_checksum(IMAGE)) == (400, "Image's layer is missing")
    assert error_of(client.get(f"/v1/images/{ID}/layer")) == IN_PROGRESS
    client.push(OTHER_JSON)
    assert_complete_and_sound(client.app, OTHER_JSON)


def test_decision_5_the_same_json_during_an_upload_changes_nothing(client: Client) -> None:
    client.put_json(IMAGE)
    other = Client(client.app)
    pieces = during(lambda: other.put_json(IMAGE), LAYER[:20], LAYER[20:])
    assert client.put_pieces(f"/v1/images/{ID}/layer", pieces).status_int == 200
    assert client.put_checksum(IMAGE).status_int == 200


def test_decision_5_other_push_may_complete_during_an_upload(client: Client) -> None:
    client.put_json(IMAGE)
    other = Client(client.app)
    pieces = during(lambda: other.push(OTHER_JSON), LAYER[:20], LAYER[20:])
    assert client.put_pieces(f"/v1/images/{ID}/layer", pieces).status_int == 200
    assert client.put_checksum(IMAGE).status_int == 200
    assert_complete_and_sound(client.app, OTHER_JSON)


def test_REG_014_cut_layer_keeps_the_image_of_another_client(client: Client) -> None:
    client.put_json(IMAGE)
    other = Client(client.app)

    def pieces() -> Iterator[bytes]:
        yield OTHER_LAYER.layer[:20]
        other.push(IMAGE)
        raise OSError("the client went away")

    assert client.put_pieces(f"/v1/images/{ID}/layer", pieces()).status_int == 400
    assert_complete_and_sound(client.app, IMAGE)


def test_two_uploads_of_one_image_inside_each_other_both_end_well(client: Client) -> None:
    client.put_json(IMAGE)
    answers = []
    pieces = during(lambda: answers.append(client.put_layer(OTHER_LAYER)), LAYER[:20], LAYER[20:])
    answers.append(client.put_pieces(f"/v1/images/{ID}/layer", pieces))
    assert [answer.status_int for answer in answers] == [200, 200]
    assert error_of(client.put_checksum(OTHER_LAYER)) == (400, "Checksum mismatch")
    assert client.put_checksum(IMAGE).status_int == 200
    assert_complete_and_sound(client.app, IMAGE)


# -- every point between two steps


class Interrupted:
    """A storage that does ``action`` once, before its ``at``-th use."""

    shared_by_processes = False

    def __init__(self) -> None:
        self._inner = MemoryStorage()
        self.uses = 0
        self.at = 0  #: 1 is the next use
        self.action: Callable[[], object] | None = None

    def interrupt(self, at: int, action: Callable[[], object]) -> None:
        self.uses, self.at, self.action = 0, at, action

    def _use(self) -> None:
        self.uses += 1
        if self.action is not None and self.uses == self.at:
            action, self.action = self.action, None
            action()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not callable(method):
            return method

        def use(*arguments: Any, **keywords: Any) -> Any:
            self._use()
            return method(*arguments, **keywords)

        return use


#: What is done before the request that is interrupted.
BEFORE: dict[str, tuple[str, ...]] = {
    "absent": (),
    "announced": ("json",),
    "uploaded": ("json", "layer"),
}

#: The request that is interrupted.
REQUESTS: dict[str, Callable[[Registry], Answer]] = {
    "get json": lambda app: call(app, "GET", f"/v1/images/{ID}/json"),
    "get layer": lambda app: call(app, "GET", f"/v1/images/{ID}/layer"),
    "get files": lambda app: call(app, "GET", f"/v1/images/{ID}/files"),
    "get ancestry": lambda app: call(app, "GET", f"/v1/images/{ID}/ancestry"),
    "put json": lambda app: send(app, "json", IMAGE),
    "put layer": lambda app: send(app, "layer", IMAGE),
    "put checksum": lambda app: send(app, "checksum", IMAGE),
}


@pytest.mark.parametrize(
    "intruder", [IMAGE, OTHER_LAYER, OTHER_JSON], ids=["same", "other layer", "other json"]
)
@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("state", BEFORE)
def test_REG_046_push_between_two_steps_of_a_request_is_safe(
    state: str, request_name: str, intruder: Image
) -> None:
    at, was_interrupted = 0, True
    while was_interrupted:
        at += 1
        storage = Interrupted()
        app = Registry(storage=storage)  # type: ignore[arg-type]
        for step in BEFORE[state]:
            assert send(app, step, IMAGE).status == 200
        endings: list[Answer] = []
        storage.interrupt(at, lambda app=app, endings=endings: endings.extend(push(app, intruder)))  # type: ignore[misc]
        answer = REQUESTS[request_name](app)
        was_interrupted = bool(endings)
        assert {one.status for one in (answer, *endings)} <= {200, 400, 404, 409}, (at, answer, endings)
        if was_interrupted and endings[-1].status == 200:
            found = assert_complete_and_sound(app, IMAGE, intruder)
            # one request alone can complete the image before the other push does
            assert found == intruder or request_name == "put checksum"
            if request_name == "get json" and answer.status == 200:
                assert answer.body == intruder.json
                assert answer.header("X-Docker-Checksum-Payload") == intruder.payload_checksum
            if request_name == "get layer" and answer.status == 200:
                assert answer.body == intruder.layer
        elif call(app, "GET", f"/v1/images/{ID}/json").status == 200:
            assert_complete_and_sound(app, IMAGE, intruder)
        else:
            push(app, IMAGE)
            assert_complete_and_sound(app, IMAGE)
    assert at > 1, "the request does not use the storage"
