"""Clients that push, move, delete and read tags at random through both APIs, and note what they are told."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from support import engine_client
from support.engine_client import EngineClient, Image, make_image, random_layer
from support.engine_transport import transport_of
from support.histories import (
    DELETED,
    SEEN_MISSING,
    SEEN_MISSING_IN_V1,
    SEEN_PRESENT,
    Contents,
    Effect,
    Effects,
    History,
    NoAnswer,
    NotSent,
    names_of,
    seen,
    value_of_image,
    value_of_manifest,
    written,
)
from support.v2_client import V2Client, digest_of
from support.wsgi_client import Answer, call

TAGS = ("latest", "1.0", "edge")

#: How often a client repeats a push whose connection was cut.
_TRIES = 10

#: How long a client waits before it asks again a server that did not answer, in seconds.
_PAUSE_S = 0.1

#: Statuses of a busy server, and of one whose storage is full.
_BUSY = {503, 507}

BASE = make_image(random_layer(300, "base"), name="base")


@dataclass
class Crowd:
    """What the clients share.

    :param repositories: whose tags are pushed, moved and deleted.
    :param deleted: one of them that is deleted now and then; None for none of them.
    :param pushes: how many pushes have to be accepted.
    :param has_accounts: whether images belong to repositories; see :class:`support.logged_in.LoggedIn`.
    """

    repositories: tuple[str, ...]
    pushes: int
    deleted: str | None = None
    has_accounts: bool = False
    history: History = field(default_factory=History)
    contents: Contents = field(default_factory=Contents)
    ended: threading.Event = field(default_factory=threading.Event)
    accepted: int = 0  #: how many pushes were accepted so far
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def count_push(self) -> None:
        """Count a push that was accepted. After the last one the clients end."""
        with self._changed:
            self.accepted += 1
            if self.accepted >= self.pushes:
                self.ended.set()
            self._changed.notify_all()

    def wait_for_pushes(self, count: int) -> bool:
        """Wait until so many more pushes were accepted; return False if the clients end before."""
        with self._changed:
            until = self.accepted + count
            self._changed.wait_for(lambda: self.ended.is_set() or self.accepted >= until)
        return not self.ended.is_set()

    def end(self) -> None:
        """Let the clients end."""
        with self._changed:
            self.ended.set()
            self._changed.notify_all()

    def run(self, apps: Iterable[Any], *, seed: int, limit_s: float) -> None:
        """Run a client for each application, until all pushes were accepted.

        :param apps: WSGI applications; one may occur more than once.
        :param limit_s: how long that may take.
        """
        clients = [TagClient(self, app, f"{seed}-{number}") for number, app in enumerate(apps)]
        with ThreadPoolExecutor(len(clients)) as pool:
            running = [pool.submit(client.run) for client in clients]
            is_done = self.ended.wait(limit_s)
            self.end()
            for future in running:
                future.result()
        assert is_done, f"{self.accepted} of {self.pushes} pushes were accepted within {limit_s:g} s"


class TagClient:
    """Makes random requests until the crowd ends.

    :param app: a WSGI application; :class:`support.forwarding.Forwarding` for a server.
    :param name: seeds the random choices and the contents.
    """

    def __init__(self, crowd: Crowd, app: Any, name: str):
        self._client = name
        self._crowd, self._history, self._contents = crowd, crowd.history, crowd.contents
        self._app, self._v2 = app, V2Client(app)
        self._v1 = EngineClient(transport=transport_of(app), chunked=False)
        self._random = random.Random(name)
        self._made = 0

    def run(self) -> None:
        """Make requests. After a failure the whole crowd ends."""
        choices: list[tuple[int, Callable[[str, str], object]]] = [
            (4, self._push_image),
            (4, self._push_manifest),
            (2, self._push_artifact),
            (3, self._move_in_v1),
            (3, self._move_in_v2),
            (2, self._delete_in_v1),
            (2, self._delete_in_v2),
            (6, self.read_in_v1),
            (6, self.read_in_v2),
            (2, lambda repository, _: self.list_in_v1(repository)),
            (2, lambda repository, _: self.list_in_v2(repository)),
        ]
        weights, requests = zip(*choices, strict=True)
        try:
            while not self._crowd.ended.is_set():
                (request,) = self._random.choices(requests, weights)
                repository = self._random.choice(self._crowd.repositories)
                if repository == self._crowd.deleted and self._random.random() < 0.05:
                    self._delete_repository(repository)
                request(repository, self._random.choice(TAGS))
        except BaseException:
            self._crowd.end()
            raise

    def _name(self, kind: str) -> str:
        self._made += 1
        return f"{kind} {self._client} {self._made}"

    def _ask(
        self,
        what: str,
        request: Callable[[], Answer],
        told: Callable[[Answer], Effects],
        *,
        unanswered: Effects | None = None,
        refused: Sequence[Effects] = (),
    ) -> Answer | None:
        answer = self._history.ask(
            f"{self._client} {what}", request, told, unanswered=unanswered, refused=refused
        )
        if answer is None:
            self._crowd.ended.wait(_PAUSE_S)
        return answer

    # -- pushes

    def _repeated(self, push: Callable[[], bool], refusals: set[int]) -> bool:
        """Begin a push again if it had no answer, or such a refusal; tell whether it succeeded."""
        for _ in range(_TRIES):
            try:
                return push()
            except (NoAnswer, NotSent, OSError, http.client.HTTPException):
                self._crowd.ended.wait(_PAUSE_S)
            except engine_client.UnexpectedAnswer as refused:
                assert refused.status in refusals, refused  # noqa: PT017 - a busy server is no failure
                self._crowd.ended.wait(_PAUSE_S)
        return False

    def push_base(self) -> None:
        """Push the image on which those of v1 are built."""
        self._contents.begin(BASE)
        assert self._repeated(self._sent_base, _BUSY)
        self._contents.complete(BASE)

    def _sent_base(self) -> bool:
        if self._crowd.has_accounts:
            self._v1.announce(self._crowd.repositories[0], [BASE.image_id])
        self._v1.push_image(BASE)
        return True

    def _push_image(self, repository: str, tag: str) -> None:
        name = self._name("image")
        image = make_image(random_layer(self._random.choice((200, 40_000)), name), BASE.image_id, name=name)
        self._contents.begin(image)
        if self._repeated(lambda: self._sent_image(repository, image), self._refusals(repository, _BUSY)):
            answer = self._put_in_v1(repository, tag, image.image_id, value_of_image(image))
            if answer is not None and answer.status == 200:
                self._crowd.count_push()

    def _sent_image(self, repository: str, image: Image) -> bool:
        self._v1.announce(repository, [BASE.image_id, image.image_id])
        if self._crowd.has_accounts:
            self._v1.push_image(BASE)
        self._v1.push_image(image)
        if not self._crowd.has_accounts:
            self._contents.complete(image)
        elif repository != self._crowd.deleted:
            # with accounts an image goes with its repository
            self._contents.complete(image, repository)
        return True

    def _push_manifest(self, repository: str, tag: str) -> None:
        name = self._name("manifest")
        self._push_in_v2(repository, tag, lambda: self._v2.image(repository, name))

    def _push_artifact(self, repository: str, tag: str) -> None:
        name = self._name("artifact")
        self._push_in_v2(repository, tag, lambda: self._v2.artifact(repository, name))

    def _push_in_v2(self, repository: str, tag: str, upload: Callable[[], bytes]) -> None:
        made: list[bytes] = []

        def push() -> bool:
            try:
                made.append(upload())
            except AssertionError as error:
                self._check_refusal(repository, error)
                raise NoAnswer from error
            return True

        if self._repeated(push, _BUSY):
            self._contents.begin_manifest(made[-1])
            answer = self._put_in_v2(repository, tag, made[-1])
            if answer is not None and answer.status == 201:
                self._crowd.count_push()

    def _check_refusal(self, repository: str, error: AssertionError) -> None:
        """Check that the upload of a blob was not accepted, for a reason that is no fault."""
        answer = error.args[0]
        assert isinstance(answer, Answer), error
        assert answer.status in self._refusals(repository, _BUSY), answer

    def _refusals(self, repository: str, statuses: set[int]) -> set[int]:
        """Return the statuses with which a request may be refused."""
        return statuses | {404, 400, 409} if repository == self._crowd.deleted else statuses

    # -- tags

    def _put_in_v1(self, repository: str, tag: str, image_id: str, value: str) -> Answer | None:
        path = f"/v1/repositories/{repository}/tags/{tag}"
        data = json.dumps(image_id).encode()
        return self._put(repository, tag, value, "v1", lambda: call(self._app, "PUT", path, data))

    def _put_in_v2(self, repository: str, tag: str, manifest: bytes) -> Answer | None:
        value = value_of_manifest(manifest)
        answer = self._put(
            repository, tag, value, "v2", lambda: self._v2.put_manifest(repository, tag, manifest)
        )
        if answer is not None and answer.status == 201:
            is_shown = repository != self._crowd.deleted
            self._contents.complete_manifest(repository, manifest, is_shown=is_shown)
        return answer

    def _put(
        self, repository: str, tag: str, value: str, api: str, request: Callable[[], Answer]
    ) -> Answer | None:
        name = f"{repository}:{tag}"
        answer = self._ask(
            f"puts {value} through {api}",
            request,
            lambda answer: {name: written(value)} if answer.status in (200, 201) else {},
            unanswered={name: written(value)},
            # the deletion of the repository undoes it
            refused=({name: written(value)}, {name: DELETED}),
        )
        assert answer is None or answer.status in self._refusals(repository, {200, 201}), answer
        return answer

    def _move_in_v1(self, repository: str, tag: str) -> None:
        values = self._contents.values_in_v1(repository if self._crowd.has_accounts else None)
        if values:
            self._put_in_v1(repository, tag, *self._random.choice(values))

    def _move_in_v2(self, repository: str, tag: str) -> None:
        manifests = self._contents.manifests(repository)
        if manifests:
            self._put_in_v2(repository, tag, self._random.choice(manifests))

    def _delete_in_v1(self, repository: str, tag: str) -> None:
        self._delete(
            repository,
            tag,
            "v1",
            lambda: call(self._app, "DELETE", f"/v1/repositories/{repository}/tags/{tag}"),
            {200: DELETED, 404: SEEN_MISSING_IN_V1},
        )

    def _delete_in_v2(self, repository: str, tag: str) -> None:
        self._delete(
            repository,
            tag,
            "v2",
            lambda: self._v2.delete_manifest(repository, tag),
            {202: DELETED, 404: SEEN_MISSING},
        )

    def _delete(
        self,
        repository: str,
        tag: str,
        api: str,
        request: Callable[[], Answer],
        effects: Mapping[int, Effect],
    ) -> None:
        name = f"{repository}:{tag}"
        self._ask(
            f"deletes through {api}",
            request,
            lambda answer: {name: effects[answer.status]},
            unanswered={name: DELETED},
        )

    def _delete_repository(self, repository: str) -> None:
        effects = dict.fromkeys(names_of(repository, TAGS).values(), DELETED)
        self._ask(
            "deletes the repository",
            lambda: call(self._app, "DELETE", f"/v1/repositories/{repository}/tags"),
            lambda answer: effects if answer.status == 200 else {},
            unanswered=effects,
        )

    # -- reading

    def read_in_v1(self, repository: str, tag: str) -> Answer | None:
        """Read a tag through v1."""

        def told(answer: Answer) -> Effects:
            assert answer.status in (200, 404), answer
            if answer.status == 404:
                return {f"{repository}:{tag}": SEEN_MISSING_IN_V1}
            return {f"{repository}:{tag}": seen(self._contents.value_of_id(json.loads(answer.body)))}

        path = f"/v1/repositories/{repository}/tags/{tag}"
        return self._ask("reads through v1", lambda: call(self._app, "GET", path), told)

    def read_in_v2(self, repository: str, tag: str) -> Answer | None:
        """Read a tag through v2."""

        def told(answer: Answer) -> Effects:
            assert answer.status in (200, 404), answer
            if answer.status == 404:
                return {f"{repository}:{tag}": SEEN_MISSING}
            assert answer.header("Docker-Content-Digest") == digest_of(answer.body)
            return {f"{repository}:{tag}": seen(value_of_manifest(answer.body))}

        return self._ask("reads through v2", lambda: self._v2.get_manifest(repository, tag), told)

    def list_in_v1(self, repository: str) -> Answer | None:
        """Read all tags of a repository through v1."""

        def told(answer: Answer) -> Effects:
            assert answer.status in (200, 404), answer
            found = json.loads(answer.body) if answer.status == 200 else {}
            return {
                name: seen(self._contents.value_of_id(found[tag])) if tag in found else SEEN_MISSING_IN_V1
                for tag, name in names_of(repository, TAGS).items()
            }

        path = f"/v1/repositories/{repository}/tags"
        return self._ask("lists through v1", lambda: call(self._app, "GET", path), told)

    def list_in_v2(self, repository: str) -> Answer | None:
        """List the tags of a repository through v2."""

        def told(answer: Answer) -> Effects:
            assert answer.status in (200, 404), answer
            found = json.loads(answer.body)["tags"] if answer.status == 200 else []
            return {
                name: SEEN_PRESENT if tag in found else SEEN_MISSING
                for tag, name in names_of(repository, TAGS).items()
            }

        return self._ask("lists through v2", lambda: self._v2.get(f"/v2/{repository}/tags/list"), told)

    # -- at the end

    def read_all(self) -> None:
        """Read each tag once through each API. All requests must be answered."""
        for repository in self._crowd.repositories:
            for tag in TAGS:
                assert self.read_in_v1(repository, tag)
                assert self.read_in_v2(repository, tag)
            assert self.list_in_v1(repository)
            assert self.list_in_v2(repository)
