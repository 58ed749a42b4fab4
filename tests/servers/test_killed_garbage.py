"""``gc`` beside ``serve``, pushes, deletions and pulls; now and then one of the two is killed by SIGKILL.

Whatever was accepted is whole after each round, and the last collection leaves nothing that is not reached.
Grace is 0, so nothing is kept because it is young. ``GARBAGE_ROUNDS=500`` makes more rounds than the suite
does.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from support.accounts_world import image_of
from support.engine_client import EngineClient, Image, UnexpectedAnswer
from support.forwarding import Forwarding
from support.programs import Program, environment_of
from support.v2_client import V2Client, digest_of

pytestmark = pytest.mark.real

ROUNDS = int(os.environ.get("GARBAGE_ROUNDS", "50"))

BASE = image_of("base")
IMAGES = {image.image_id: image for image in (image_of(f"top{number}", BASE) for number in range(3))}

#: Stands for what a failed request may have left.
UNKNOWN = "unknown"

#: Programs that run the command line.
ONCE = "import sys; from v1registry.cli.main import main; sys.exit(main(sys.argv[1:]))"
AGAIN_AND_AGAIN = """
import sys
from v1registry.cli.main import main
while main(sys.argv[1:]) in (0, 3):
    sys.stdout.flush()
"""

#: How long the clients of a round work, in seconds.
ROUND_S = 0.7


class Client(Thread):
    """Makes random requests on its own repositories, and notes what was accepted."""

    def __init__(self, number: int, seed: int, accepted: dict[str, str | None], documents: dict[str, bytes]):
        super().__init__(daemon=True)
        self.host = ""
        self.stopped = Event()
        self._random = random.Random(seed)
        self._app, self._art = f"team/app{number}", f"team/art{number}"
        self._accepted, self._documents = accepted, documents
        self.error: Exception | None = None

    def run(self) -> None:
        requests: list[Callable[[], None]] = [
            self._push,
            self._push,
            self._tag,
            self._untag,
            self._pull,
            self._push_manifest,
            self._repeat_manifest,
            self._delete_manifest,
        ]
        try:
            while not self.stopped.is_set():
                try:
                    self._random.choice(requests)()
                except (OSError, http.client.HTTPException, UnexpectedAnswer, AssertionError):
                    # killed servers and collected images make requests fail
                    time.sleep(0.01)
        except Exception as error:  # noqa: BLE001 - raised in the test's own thread
            self.error = error

    def _is_accepted(self, place: str, value: str | None, request: Callable[[], bool]) -> None:
        """Make a request that decides what a tag is."""
        self._accepted[place] = UNKNOWN
        if request():
            self._accepted[place] = value

    # -- API v1

    def _push(self) -> None:
        top, tag = self._random.choice(list(IMAGES.values())), self._random.choice(("latest", "old"))
        place = f"v1 {self._app}:{tag}"
        self._accepted[place] = UNKNOWN
        EngineClient(self.host).push(self._app, [BASE, top], tag)
        self._accepted[place] = top.image_id

    def _tag(self) -> None:
        top, tag = self._random.choice(list(IMAGES.values())), self._random.choice(("latest", "old"))
        path, body = f"/v1/repositories/{self._app}/tags/{tag}", json.dumps(top.image_id).encode()

        def request() -> bool:
            return EngineClient(self.host).request("PUT", path, body, {}).status == 200

        self._is_accepted(f"v1 {self._app}:{tag}", top.image_id, request)

    def _untag(self) -> None:
        path = f"/v1/repositories/{self._app}/tags/latest"

        def request() -> bool:
            return EngineClient(self.host).request("DELETE", path, b"", {}).status in (200, 404)

        self._is_accepted(f"v1 {self._app}:latest", None, request)

    def _pull(self) -> None:
        V2Client(Forwarding(self.host)).get_manifest(self._app, "latest")

    # -- distribution API

    def _push_manifest(self) -> None:
        client, content = V2Client(Forwarding(self.host)), self._random.choice(("one", "two"))
        data = client.artifact(self._art, content)
        self._documents[digest_of(data)] = data
        self._put(data)

    def _repeat_manifest(self) -> None:
        """Set a tag on a manifest that was pushed before, without its blobs."""
        if self._documents:
            self._put(self._random.choice(list(self._documents.values())))

    def _put(self, data: bytes) -> None:
        client, tag = V2Client(Forwarding(self.host)), self._random.choice(("1.0", "2.0"))
        self._is_accepted(
            f"v2 {self._art}:{tag}",
            digest_of(data),
            lambda: client.put_manifest(self._art, tag, data).status == 201,
        )

    def _delete_manifest(self) -> None:
        client = V2Client(Forwarding(self.host))
        self._is_accepted(
            f"v2 {self._art}:1.0", None, lambda: client.delete_manifest(self._art, "1.0").status in (202, 404)
        )


class Running:
    """A server over a folder, clients and collections."""

    def __init__(self, folder: Path, seed: int):
        self._folder = folder
        self._storage = f"file://{folder}/registry"
        self._random = random.Random(seed)
        self._server = self._start()
        self.accepted: dict[str, str | None] = {}
        self._documents: dict[str, bytes] = {}
        self.looked_at = 0  #: how many tags were found whole

    def _start(self) -> Program:
        command = ("v1registry", "serve", "--port", "0", "--workers", "2")
        return Program(command, folder=self._folder, environment={"V1REGISTRY_STORAGE": self._storage})

    def _collect(self, code: str, *options: str) -> subprocess.Popen[str]:
        """Start a process that collects."""
        command = ("gc", "--storage", self._storage, "--grace", "0", "--untagged", *options)
        return subprocess.Popen(
            [sys.executable, "-c", code, *command],
            env=environment_of(self._folder),
            stdout=subprocess.PIPE,
            text=True,
        )

    def round(self) -> None:
        collection = self._collect(AGAIN_AND_AGAIN)
        assert collection.stdout is not None
        # from here on it collects
        assert collection.stdout.readline()
        clients = [
            Client(each, self._random.randrange(1 << 30), self.accepted, self._documents) for each in range(2)
        ]
        for client in clients:
            client.host = self._server.host
            client.start()
        is_server_killed = self._random.random() < 0.3
        killed_after_s = self._random.uniform(0.1, ROUND_S)
        time.sleep(killed_after_s)
        if is_server_killed:
            self._server.kill()
        else:
            collection.kill()
        time.sleep(ROUND_S - killed_after_s)
        collection.kill()
        collection.communicate()
        for client in clients:
            client.stopped.set()
        for client in clients:
            client.join(60)
            assert not client.is_alive()
            if client.error is not None:
                raise client.error
        if is_server_killed:
            self._server = self._start()
        self.check()

    def check(self) -> None:
        """Check that all that was accepted is whole."""
        for place, value in self.accepted.items():
            api, _, name = place.partition(" ")
            repository, _, tag = name.partition(":")
            if value == UNKNOWN:
                continue
            self.looked_at += value is not None
            if api == "v1":
                self._check_images(repository, tag, value)
            else:
                self._check_manifest(repository, tag, value)

    def _check_images(self, repository: str, tag: str, image_id: str | None) -> None:
        engine = EngineClient(self._server.host)
        answer = engine.get(f"/v1/repositories/{repository}/tags/{tag}")
        if image_id is None:
            assert answer.status == 404
            return
        assert (answer.status, answer.json()) == (200, image_id)
        found: list[Image] = [engine.pull_image(each) for each in (BASE.image_id, image_id)]
        assert found == [BASE, IMAGES[image_id]]

    def _check_manifest(self, repository: str, tag: str, digest: str | None) -> None:
        client = V2Client(Forwarding(self._server.host))
        assert client.shown(repository, tag) == digest
        document = {} if digest is None else json.loads(self._documents[digest])
        for blob in (document.get("config"), *document.get("layers", ())):
            if blob:
                body = client.get(f"/v2/{repository}/blobs/{blob['digest']}").body
                assert digest_of(body) == blob["digest"]

    def check_nothing_is_left(self) -> None:
        """Collect while nothing else happens, and check that a further collection finds nothing."""
        for options in ((), ("--dry-run", "--json")):
            collection = self._collect(ONCE, *options)
            out = collection.communicate(timeout=60)[0]
            assert collection.returncode == 0
        totals = json.loads(out.splitlines()[-1])
        assert {key: totals[key] for key in ("tags", "manifests", "images", "blobs", "bytes")} == {
            "tags": 0,
            "manifests": 0,
            "images": 0,
            "blobs": 0,
            "bytes": 0,
        }
        assert list((self._folder / "registry").rglob("_kept")) == []

    def end(self) -> None:
        self._server.end()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    (tmp_path / "registry").mkdir()
    running = Running(tmp_path, seed=ROUNDS)
    yield running
    running.end()


def test_what_was_accepted_survives_killed_collections_and_servers(running: Running) -> None:
    for _ in range(ROUNDS):
        running.round()
    assert running.looked_at > 0
    running.check_nothing_is_left()
    running.check()
