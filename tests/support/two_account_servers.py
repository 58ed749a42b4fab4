"""Two servers with accounts over one storage, each with its own memory, as two processes have it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from support.accounts_world import Person, image_of
from support.credentials import basic
from support.faulty_storage import FaultyStorage
from support.v2_client import V2Client, digest_of
from support.world import World
from v1registry import FileStorage, MemoryStorage, Storage
from v1registry.names import RepositoryName
from v1registry.rights import Action

SECRET: Final = "the-key-of-the-servers-in-these-tests"

PUBLIC, PRIVATE, OF_TEAM = "mira/app", "mira/secret", "team/tool"
REPOSITORIES: Final = (PUBLIC, PRIVATE, OF_TEAM)

#: What the users are: mira owns, alice is a collaborator of PRIVATE, bob is in the group ``team``, root is an
#: administrator, and eve is none of these.
USERS: Final = ("mira", "alice", "bob", "root", "eve")

IMAGE = image_of("base")
OTHER_IMAGE = image_of("other")

#: The kinds of credentials.
KINDS: Final = ("anonymous", "Basic", "token")


@dataclass(frozen=True)
class Asked:
    """A request to one repository: with which credentials, and for what."""

    username: str
    kind: str
    repository: str
    what: str


class TwoServers:
    """``server`` answers what a test asks, and ``other`` changes things. ``storage`` counts the calls of
    ``server``.

    :param storage: of ``server``.
    :param other_storage: of ``other``, over the same values.
    """

    def __init__(self, storage: Storage, other_storage: Storage) -> None:
        self.storage = FaultyStorage(storage)
        self.other_storage = other_storage
        self.server = self._world(self.storage)
        self.other = self._world(other_storage)
        for username in USERS:
            self.other.users.create(username, f"pw-{username}", is_administrator=username == "root")
        self.other.users.set_groups("bob", ["team"])
        self.manifests: dict[str, bytes] = {}
        for repository, owner in zip(REPOSITORIES, ("mira", "mira", "bob"), strict=True):
            self.fill(repository, owner)
        self.owner.make_private(PRIVATE)
        self.grant("alice", Action.READ)
        Person(self.other.app, basic("bob")).make_private(OF_TEAM)

    @classmethod
    def over_folder(cls, folder: Path) -> TwoServers:
        """Return two servers over a folder."""
        return cls(FileStorage(folder, durable=False), FileStorage(folder, durable=False))

    @classmethod
    def over_memory(cls) -> TwoServers:
        """Return two servers over a storage that always knows the versions of its folders."""
        storage = MemoryStorage()
        return cls(storage, storage)

    def _world(self, storage: Any) -> World:
        return World(storage, secret=[SECRET], v2="on")

    @property
    def owner(self) -> Person:
        """Mira, as a client of the other server."""
        return Person(self.other.app, basic("mira"))

    def fresh(self) -> Any:
        """Return a third server, which remembers nothing yet."""
        return self._world(self.other_storage).app

    def fill(self, repository: str, owner: str) -> None:
        """Push an image through v1, and one through ``/v2/``."""
        Person(self.other.app, basic(owner)).push(repository, IMAGE)
        client = V2Client(self.other.app, owner)
        self.manifests[repository] = client.image(repository, repository)
        assert client.put_manifest(repository, "pushed", self.manifests[repository]).status == 201

    def grant(self, username: str, action: Action | None, repository: str = PRIVATE) -> None:
        """Let a user read or write a repository, by the other server."""
        self.other.app._services.repositories.set_collaborator(
            RepositoryName.parse(repository),
            username,
            action,
            id_of=lambda name: self.other.users.find(name).id,
        )

    # -- asking

    def credentials(self, username: str, kind: str, repository: str) -> tuple[str, str]:
        """Return the headers of a user for v1 and for ``/v2/``; empty ones if anonymous."""
        if kind == "anonymous":
            return "", ""
        header = basic(username)
        if kind == "Basic":
            return header["Authorization"], header["Authorization"]
        person = Person(self.server.app, header)
        token = person.wanted_token("GET", f"/v1/repositories/{repository}/images")
        asked = f"/v2/token?service=localhost&scope=repository:{repository}:pull"
        return f"Token {token}", f"Bearer {json.loads(person.get(asked).body)['token']}"

    def asker(self, asked: Asked) -> Callable[[Any], tuple[int, bytes]]:
        """Return a function that makes a request to a server, with credentials that were got now."""
        paths = {
            "json": f"/v1/images/{IMAGE.image_id}/json",
            "ancestry": f"/v1/images/{IMAGE.image_id}/ancestry",
            "layer": f"/v1/images/{IMAGE.image_id}/layer",
            "tag": f"/v1/repositories/{asked.repository}/tags/latest",
            "tags": f"/v1/repositories/{asked.repository}/tags",
            "manifest": f"/v2/{asked.repository}/manifests/pushed",
            "digest": f"/v2/{asked.repository}/manifests/{digest_of(self.manifests[asked.repository])}",
            "blob": f"/v2/{asked.repository}/blobs/{self.blob(asked.repository)}",
        }
        path = paths[asked.what]
        header = self.credentials(asked.username, asked.kind, asked.repository)[path.startswith("/v2/")]

        def ask(app: Any) -> tuple[int, bytes]:
            answer = Person(app, {"Authorization": header} if header else {}).get(path)
            return answer.status_int, answer.body

        return ask

    def blob(self, repository: str) -> str:
        """Return the digest of the layer that was pushed to a repository through ``/v2/``."""
        return str(json.loads(self.manifests[repository])["layers"][0]["digest"])
