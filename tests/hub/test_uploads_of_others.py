"""Who knows ids and layers of other people's images still does not read them (decisions.md 17)."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from webtest import TestApp, TestResponse

from v1registry import MemoryStorage, Registry
from v1registry.accounts.base import Backend
from v1registry.rights import User

SECRET = "PASSWORD=hunter2"


class People(Backend):
    """Everybody whose password is the own name."""

    def authenticate(self, username: str, password: str) -> User | None:
        return User(username) if username == password else None

    def find(self, username: str) -> User | None:
        return User(username)


class Image:
    def __init__(self, number: int, parent: Image | None = None):
        self.id = f"{number:064x}"
        fields = {"id": self.id, "config": {"Env": [SECRET]}} | ({"parent": parent.id} if parent else {})
        self.json = json.dumps(fields).encode()
        self.layer = b"a layer that many images have"
        self.sum = "sha256:" + hashlib.sha256(self.json + b"\n" + self.layer).hexdigest()


class Engine:
    """Somebody who pushes with Basic on every call."""

    def __init__(self, client: TestApp, name: str):
        self.client = client
        login = base64.b64encode(f"{name}:{name}".encode()).decode("ascii")
        self.headers = {"Authorization": f"Basic {login}"}

    def put(self, path: str, body: bytes = b"", **headers: str) -> TestResponse:
        return self.client.put(f"/v1/{path}", body, headers=self.headers | headers, expect_errors=True)

    def get(self, path: str) -> TestResponse:
        return self.client.get(f"/v1/{path}", headers=self.headers, expect_errors=True)

    def announce(self, repository: str, *images: Image) -> None:
        listed = json.dumps([{"id": image.id} for image in images]).encode()
        assert self.put(f"repositories/{repository}/", listed).status_int == 200

    def hide(self, repository: str) -> None:
        assert self.put(f"repositories/{repository}/properties", b'{"access": "private"}').status_int == 200

    def put_json(self, image: Image) -> int:
        return self.put(f"images/{image.id}/json", image.json).status_int

    def put_layer(self, image: Image) -> int:
        return self.put(f"images/{image.id}/layer", image.layer).status_int

    def put_checksum(self, image: Image) -> int:
        sums = {"X-Docker-Checksum-Payload": image.sum}
        return self.put(f"images/{image.id}/checksum", **sums).status_int

    def push(self, *images: Image) -> None:
        for image in images:
            assert (self.put_json(image), self.put_layer(image), self.put_checksum(image)) == (200, 200, 200)

    def tag(self, repository: str, image: Image) -> int:
        return self.put(f"repositories/{repository}/tags/x", json.dumps(image.id).encode()).status_int

    def reads(self, image: Image) -> bool:
        answers = [self.get(f"images/{image.id}/{what}") for what in ("json", "layer", "ancestry", "files")]
        return any(answer.status_int == 200 or SECRET in answer.text for answer in answers)


@pytest.fixture
def client() -> TestApp:
    return TestApp(Registry(storage=MemoryStorage(), auth=People()))


@pytest.fixture
def owner(client: TestApp) -> Engine:
    return Engine(client, "owner")


@pytest.fixture
def stranger(client: TestApp) -> Engine:
    return Engine(client, "stranger")


def test_an_equal_layer_without_the_json_opens_nothing(owner: Engine, stranger: Engine) -> None:
    image = Image(1)
    owner.announce("owner/app", image)
    owner.hide("owner/app")
    owner.push(image)

    stranger.announce("stranger/app", image)
    stranger.put_layer(image)

    assert not stranger.reads(image)
    assert stranger.tag("stranger/app", image) == 404


def test_the_json_and_the_layer_together_make_a_holder(owner: Engine, stranger: Engine) -> None:
    image = Image(1)
    owner.announce("owner/app", image)
    owner.hide("owner/app")
    owner.push(image)

    stranger.announce("stranger/app", image)
    stranger.push(image)

    assert stranger.reads(image)
    assert stranger.tag("stranger/app", image) == 200


def test_child_of_an_unfinished_parent_does_not_open_the_parent(owner: Engine, stranger: Engine) -> None:
    parent = Image(1)
    child = Image(2, parent)
    owner.announce("owner/app", parent)
    owner.hide("owner/app")
    assert owner.put_json(parent) == 200

    stranger.announce("stranger/app", parent, child)
    stranger.put_json(child)
    assert (owner.put_layer(parent), owner.put_checksum(parent)) == (200, 200)
    stranger.put_layer(child)
    stranger.put_checksum(child)

    stranger.tag("stranger/app", child)
    assert not stranger.reads(parent)
    assert owner.reads(parent)


def test_tag_set_during_the_push_of_another_user_opens_nothing(owner: Engine, stranger: Engine) -> None:
    image = Image(1)
    owner.announce("owner/app", image)
    owner.hide("owner/app")
    assert owner.put_json(image) == 200
    stranger.announce("stranger/one", image)

    stranger.tag("stranger/two", image)
    assert (owner.put_layer(image), owner.put_checksum(image)) == (200, 200)

    assert not stranger.reads(image)
    assert owner.reads(image)
