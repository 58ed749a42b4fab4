"""The rules of decisions.md 5, sentence by sentence, on an open server and on one with accounts."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.accounts_world import REPOSITORIES, AccountsWorld, list_of
from support.backends import People
from support.engine_client import Image, make_image, tar_layer
from support.wsgi_client import Answer, call

from v1registry import MemoryStorage, Registry
from v1registry.rights import User

IMAGE = make_image(tar_layer({"etc/one": b"one"}), name="one")
OTHER_LAYER = Image(IMAGE.image_id, IMAGE.json, tar_layer({"etc/one": b"packed again"}))
OTHER_JSON = Image(IMAGE.image_id, json.dumps(json.loads(IMAGE.json) | {"os": "plan9"}).encode(), IMAGE.layer)

EXISTS = (409, {"error": "Image already exists"})
REFUSED = (409, {"error": "Cannot set this image checksum"})
MISMATCH = (400, {"error": "Checksum mismatch"})
DONE = (200, True)


class Pusher:
    """The requests of one push, with the same credentials each."""

    def __init__(self, app: Registry, authorization: str | None):
        self._app = app
        self._environ = {} if authorization is None else {"HTTP_AUTHORIZATION": authorization}

    def put_json(self, image: Image) -> tuple[int, object]:
        return self._result("PUT", image, "json", image.json)

    def put_layer(self, image: Image) -> tuple[int, object]:
        return self._result("PUT", image, "layer", image.layer)

    def put_checksum(self, image: Image) -> tuple[int, object]:
        return self._result(
            "PUT", image, "checksum", b"", HTTP_X_DOCKER_CHECKSUM_PAYLOAD=image.payload_checksum
        )

    def push(self, image: Image) -> None:
        assert [self.put_json(image), self.put_layer(image), self.put_checksum(image)] == [DONE] * 3

    def get(self, image: Image, what: str = "json") -> Answer:
        return call(self._app, "GET", f"/v1/images/{image.image_id}/{what}", **self._environ)

    def _result(
        self, method: str, image: Image, what: str, body: bytes, **environ: str
    ) -> tuple[int, object]:
        answer = call(
            self._app, method, f"/v1/images/{image.image_id}/{what}", body, **self._environ, **environ
        )
        return answer.status, json.loads(answer.body)


def open_pushers() -> Callable[[], Pusher]:
    """Return a function that starts pushes to one open server, each with a token of its own."""
    app = Registry(storage=MemoryStorage())
    numbers = iter(range(100))
    return lambda: Pusher(app, f'Token signature={next(numbers)},repository="foo/app",access=write')


def account_pushers() -> Callable[[], Pusher]:
    """Return a function that starts pushes of one user to one repository, each with a token of its own."""
    world = AccountsWorld(People.of(User("alice")))

    def start() -> Pusher:
        token = world.person("alice").wanted_token("PUT", f"{REPOSITORIES}/alice/app/", list_of(IMAGE))
        return Pusher(world.app, f"Token {token}")

    return start


@pytest.fixture(params=[open_pushers, account_pushers], ids=["open", "accounts"])
def start(request: pytest.FixtureRequest) -> Callable[[], Pusher]:
    """Start a push of its own key."""
    factory: Callable[[], Callable[[], Pusher]] = request.param
    return factory()


def test_second_push_of_a_complete_image_starts_with_409(start: Callable[[], Pusher]) -> None:
    start().push(IMAGE)
    second = start()
    assert second.get(IMAGE).status == 200
    assert second.put_json(IMAGE) == EXISTS
    assert second.put_json(OTHER_JSON) == EXISTS


def test_stored_layer_and_sum_are_accepted_again(start: Callable[[], Pusher]) -> None:
    start().push(IMAGE)
    second = start()
    assert second.put_layer(IMAGE) == DONE
    assert second.put_checksum(IMAGE) == DONE


def test_other_layer_and_sum_of_a_complete_image_are_409(start: Callable[[], Pusher]) -> None:
    start().push(IMAGE)
    second = start()
    assert second.put_layer(OTHER_LAYER) == EXISTS
    assert second.put_checksum(OTHER_LAYER) == REFUSED
    assert second.get(IMAGE, "layer").body == IMAGE.layer


@pytest.mark.parametrize("other", [IMAGE, OTHER_LAYER, OTHER_JSON], ids=["equal", "layer", "json"])
def test_push_that_began_before_is_answered_200(start: Callable[[], Pusher], other: Image) -> None:
    first, second = start(), start()
    assert second.put_json(other) == DONE
    first.push(IMAGE)
    assert second.put_layer(other) == DONE
    assert second.put_checksum(other) == DONE
    assert first.get(IMAGE).body == IMAGE.json
    assert first.get(IMAGE, "layer").body == IMAGE.layer


def test_push_that_began_before_still_needs_its_own_sum(start: Callable[[], Pusher]) -> None:
    first, second = start(), start()
    assert second.put_json(OTHER_JSON) == DONE
    assert second.put_layer(OTHER_JSON) == DONE
    first.push(IMAGE)
    assert second.put_checksum(OTHER_LAYER)[0] in (400, 409)
    assert second.put_checksum(OTHER_JSON) == DONE


def test_json_may_be_repeated_by_the_push_that_sent_it(start: Callable[[], Pusher]) -> None:
    first, second = start(), start()
    assert second.put_json(OTHER_JSON) == DONE
    first.push(IMAGE)
    assert second.put_json(OTHER_JSON) == DONE


def test_last_json_of_a_push_counts(start: Callable[[], Pusher]) -> None:
    push = start()
    assert push.put_json(OTHER_JSON) == DONE
    assert push.put_json(IMAGE) == DONE
    assert push.put_layer(IMAGE) == DONE
    assert push.put_checksum(OTHER_JSON) == MISMATCH
    assert push.put_checksum(IMAGE) == DONE
    assert push.get(IMAGE).body == IMAGE.json


def test_last_layer_of_a_push_counts(start: Callable[[], Pusher]) -> None:
    push = start()
    assert push.put_json(IMAGE) == DONE
    assert push.put_layer(OTHER_LAYER) == DONE
    assert push.put_layer(IMAGE) == DONE
    assert push.put_checksum(IMAGE) == DONE
    assert push.get(IMAGE, "layer").body == IMAGE.layer


def test_layer_and_sum_without_json_are_404(start: Callable[[], Pusher]) -> None:
    push = start()
    assert push.put_layer(IMAGE) == (404, {"error": "Image not found"})
    assert push.put_checksum(IMAGE) == (404, {"error": "Image not found"})


def test_json_of_another_push_is_no_start(start: Callable[[], Pusher]) -> None:
    first, second = start(), start()
    assert first.put_json(IMAGE) == DONE
    assert second.put_layer(IMAGE) == (404, {"error": "Image not found"})


def test_sum_without_a_layer_is_400(start: Callable[[], Pusher]) -> None:
    push = start()
    assert push.put_json(IMAGE) == DONE
    assert push.put_checksum(IMAGE) == (400, {"error": "Image's layer is missing"})


def test_wrong_sum_is_400_and_the_push_goes_on(start: Callable[[], Pusher]) -> None:
    push = start()
    assert push.put_json(IMAGE) == DONE
    assert push.put_layer(IMAGE) == DONE
    assert push.put_checksum(OTHER_LAYER) == MISMATCH
    assert push.get(IMAGE).status == 400
    assert push.put_checksum(IMAGE) == DONE


def test_pushes_without_credentials_share_one_key() -> None:
    """A key that clients share keeps several JSONs and layers, and the sum picks the pair that it fits."""
    app = Registry(storage=MemoryStorage())
    push = Pusher(app, None)
    for image in (IMAGE, OTHER_JSON, OTHER_LAYER):
        assert push.put_json(image) == DONE
    for image in (IMAGE, OTHER_LAYER):
        assert push.put_layer(image) == DONE
    assert push.put_checksum(OTHER_JSON) == DONE
    assert (push.get(IMAGE).body, push.get(IMAGE, "layer").body) == (OTHER_JSON.json, OTHER_JSON.layer)


def test_shared_key_keeps_four_jsons_and_layers() -> None:
    app = Registry(storage=MemoryStorage())
    push = Pusher(app, None)
    images = [
        Image(
            IMAGE.image_id, json.dumps({"id": IMAGE.image_id, "n": n}).encode(), tar_layer({"n": bytes([n])})
        )
        for n in range(6)
    ]
    for image in images:
        assert push.put_json(image) == DONE
        assert push.put_layer(image) == DONE
    assert push.put_checksum(images[0]) == MISMATCH
    assert push.put_checksum(images[3]) == DONE
    assert push.get(IMAGE).body == images[3].json


def test_basic_completes_for_every_announced_repository() -> None:
    """A push with Basic counts for each repository whose list has the id (decisions.md 2, 5)."""
    world = AccountsWorld(People.of(User("alice")))
    alice = world.person("alice")
    for name in ("alice/one", "alice/two"):
        assert alice.announce(name, IMAGE) == 200
    assert [alice.put_json(IMAGE), alice.put_layer(IMAGE), alice.put_checksum(IMAGE)] == [200] * 3
    for name in ("alice/one", "alice/two"):
        assert alice.tag(name, IMAGE) == 200
        assert world.nobody().get(f"{REPOSITORIES}/{name}/tags").json == {"latest": IMAGE.image_id}
