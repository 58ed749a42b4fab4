"""A server with accounts, its contents and its users, for the tests of rights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from webtest import TestResponse

from support.backends import People
from support.credentials import basic, token_header
from support.engine_client import Image, make_image, tar_layer
from support.push_requests import PushRequest, announcement, checksum_of, end_of, json_of, layer_of, tag_of
from support.world import World
from support.wsgi_client import Client
from v1registry import Storage
from v1registry.access.tokens import Tokens
from v1registry.clock import SYSTEM_CLOCK, Clock
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.rights import Action, User

READ, WRITE, DELETE = Action.READ, Action.WRITE, Action.DELETE
SECRET = "the-key-of-the-servers-in-these-tests"
REPOSITORIES = "/v1/repositories"


def mark_of(tokens: Tokens, user: User | None) -> str:
    """Return what a token says about the account of one of the people."""
    return "" if user is None else tokens.mark_of(f"id-{user.name}", "")


def image_of(name: str, parent: Image | None = None) -> Image:
    """Return an image whose JSON, layer and file names contain its name."""
    layer = tar_layer({f"./etc/{name}.conf": f"content of {name}".encode()})
    return make_image(layer, parent.image_id if parent else None, name=f"{name}.conf")


def list_of(*images: Image) -> str:
    return json.dumps([{"id": image.image_id} for image in images])


class Person:
    """A user of a server, who sends the same credentials with each request."""

    def __init__(self, app: Any, headers: Mapping[str, str]):
        self.client = Client(app)
        self.headers = dict(headers)
        self.answers: list[TestResponse] = []  #: all answers so far

    def ask(
        self, method: str, path: str, body: bytes | str = b"", headers: Mapping[str, str] | None = None
    ) -> TestResponse:
        answer = self.client.request(method, path, body, {**self.headers, **(headers or {})})
        self.answers.append(answer)
        return answer

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> TestResponse:
        return self.ask("GET", path, headers=headers)

    def put(
        self, path: str, body: bytes | str = b"", headers: Mapping[str, str] | None = None
    ) -> TestResponse:
        return self.ask("PUT", path, body, headers)

    def send(self, request: PushRequest) -> TestResponse:
        """Make a request of a push."""
        return self.ask(request.method, request.path, request.body, request.headers)

    def image(self, image: Image, what: str = "json") -> int:
        """Return the status of reading an image."""
        return self.get(f"/v1/images/{image.image_id}/{what}").status_int

    # -- a push, step by step; each returns the status

    def make_private(self, repository: str, access: str = "private") -> None:
        answer = self.put(f"{REPOSITORIES}/{repository}/properties", json.dumps({"access": access}))
        assert answer.status_int == 200, answer

    def announce(self, repository: str, *images: Image) -> int:
        return self.send(announcement(repository, [image.image_id for image in images])).status_int

    def put_json(self, image: Image) -> int:
        return self.send(json_of(image)).status_int

    def put_layer(self, image: Image) -> int:
        return self.send(layer_of(image)).status_int

    def put_checksum(self, image: Image) -> int:
        return self.checksum_answer(image).status_int

    def checksum_answer(self, image: Image) -> TestResponse:
        return self.send(checksum_of(image))

    def tag(self, repository: str, image: Image, tag: str = "latest") -> int:
        return self.send(tag_of(repository, tag, image.image_id)).status_int

    def push(self, repository: str, *images: Image, tag: str | None = "latest") -> None:
        """Push images as an engine does, parents first. An image that the registry has is left out."""
        assert self.announce(repository, *images) == 200
        for image in images:
            answer = self.send(json_of(image))
            if answer.status_int == 200:
                assert self.put_layer(image) == 200
                answer = self.checksum_answer(image)
            assert answer.status_int == 200 or answer.json == {"error": "Image already exists"}, answer
        if tag is not None:
            assert self.tag(repository, images[-1], tag) == 200
        assert self.send(end_of(repository)).status_int == 204

    def delete(self, repository: str, *, wants_token: bool = False) -> TestResponse:
        headers = {"X-Docker-Token": "true"} if wants_token else {}
        return self.ask("DELETE", f"{REPOSITORIES}/{repository}/", headers=headers)

    def wanted_token(self, method: str, path: str, body: str = "") -> str:
        """Return the token that an answer brings."""
        answer = self.ask(method, path, body, {"X-Docker-Token": "true"})
        assert answer.status_int in (200, 202, 204), answer
        token: str = answer.headers["X-Docker-Token"]
        return token


class AccountsWorld(World):
    """A world with people, for tests of rights."""

    def __init__(self, people: People, storage: Storage | None = None, **settings: Any) -> None:
        super().__init__(storage, people, **{"secret": [SECRET], **settings})
        self.people = people
        self.repositories = Repositories(self.storage)

    def copy(self) -> AccountsWorld:
        """Return a world in which everything may be changed."""
        return AccountsWorld(People(dict(self.people.users)), self.copied_storage(), **self.settings)

    def person(self, username: str) -> Person:
        return Person(self.app, basic(username))

    def nobody(self) -> Person:
        return Person(self.app, {})

    def bearer(
        self,
        repository: str,
        access: Action,
        user: User | None,
        *,
        key: str = SECRET,
        clock: Clock = SYSTEM_CLOCK,
    ) -> Person:
        """Return a person with a token as the index of this server signs it.

        :param key: the key that signs it; that of the server by default.
        :param clock: tells when it is signed.
        """
        tokens = Tokens([key], clock=clock)
        name = RepositoryName.parse(repository)
        return Person(self.app, token_header(tokens.issue(name, access, user, mark=mark_of(tokens, user))))

    def grant(self, repository: str, username: str, action: Action | None) -> None:
        self.repositories.set_collaborator(RepositoryName.parse(repository), username, action)
