"""A registry over an object store in memory whose calls are counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

from obstore.store import MemoryStore
from v1registry_fakes.clock import FakeClock

from support.credentials import basic
from support.engine_client import Image
from support.push_requests import PushRequest, announcement, checksum_of, json_of, layer_of, tag_of
from support.v2_client import V2Client
from support.wsgi_client import Client
from v1registry import Registry
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.objects import Groups, ObjectStorage
from v1registry.storage.objects.store import ObjectAccess

REPOSITORY: Final = "alice/app"

#: The methods of ObjectAccess that call the store, each once. The pages of a list after the first one are not
#: counted, neither are the parts of a large object.
CALLS: Final = ("get", "put", "replace", "open_writer", "stream", "delete", "head", "list", "level")


class CountedObjects:
    """What the calls of all object stores were. Safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._calls: list[str] = []

    def note(self, call: str) -> None:
        """Add a call."""
        with self._lock:
            self._calls.append(call)

    @contextmanager
    def counting(self) -> Iterator[list[str]]:
        """Yield a list that has the calls within the block after its end."""
        with self._lock:
            self._calls = calls = []
        try:
            yield calls
        finally:
            with self._lock:
                self._calls = []


def count_calls(monkeypatch: Any) -> CountedObjects:
    """Count the calls of object stores from now on."""
    counted = CountedObjects()

    def counting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(access: ObjectAccess, *args: Any, **options: Any) -> Any:
            counted.note(f"{name} {args[0]}")
            return method(access, *args, **options)

        return call

    for name in CALLS:
        monkeypatch.setattr(ObjectAccess, name, counting(name, getattr(ObjectAccess, name)))
    return counted


class ObjectsWorld:
    """A registry over an object store, and its client, who pushes to ``REPOSITORY``.

    :param has_accounts: whether the client is a user, whose record is in the store too.
    """

    def __init__(self, counted: CountedObjects, *, has_accounts: bool):
        self.counted = counted
        clock = FakeClock()
        # a state of a group stays as new as it was, however slow the machine is
        clock.freeze()
        self.storage = ObjectStorage(MemoryStore(), groups=Groups(KEY_GROUPS), clock=clock)
        auth: dict[str, Any] = {"auth": "users:"} if has_accounts else {}
        self.app = Registry(self.storage, **auth)
        self.client = Client(self.app)
        self.v2 = V2Client(self.app, "alice" if has_accounts else None)
        self._login: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        if has_accounts:
            user = {"username": "alice", "password": "pw-alice", "email": "alice@example.org"}
            assert self.client.post("/v1/users/", json.dumps(user)).status_int == 201
            self._login = {**basic("alice"), "X-Docker-Token": "true"}

    def announce(self, *images: Image) -> None:
        """Begin a push."""
        request = announcement(REPOSITORY, [image.image_id for image in images])
        answer = self.client.put(request.path, request.body, {**request.headers, **self._login})
        assert answer.status_int == 200, answer
        if self._login:
            self.headers = {"Authorization": f"Token {answer.headers['X-Docker-Token']}"}

    def send(self, request: PushRequest) -> list[str]:
        """Make a request that succeeds; return the calls of the store."""
        with self.counted.counting() as calls:
            headers = {**request.headers, **self.headers}
            answer = self.client.request(request.method, request.path, request.body, headers)
        assert answer.status_int in (200, 201, 204), answer
        return calls

    def get(self, path: str) -> list[str]:
        """Get a document; return the calls of the store."""
        return self.send(PushRequest(path, b"", {}, "GET"))

    def push(self, image: Image, tag: str = "latest") -> dict[str, list[str]]:
        """Push an image; return the calls of the store for each request."""
        self.announce(image)
        requests = {
            "json": json_of(image),
            "layer": layer_of(image),
            "checksum": checksum_of(image),
            "tag": tag_of(REPOSITORY, tag, image.image_id),
        }
        return {name: self.send(request) for name, request in requests.items()}
