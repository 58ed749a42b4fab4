"""``v1registry copy`` from a folder into each real store, and back into a folder, killed again and again."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import obstore
import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.copied import assert_serves_the_same, values
from support.engine_client import make_image, random_layer
from support.object_stores import ObjectStore
from support.programs import PATIENCE_S, environment_of
from support.v2_client import V2Client

from v1registry import FileStorage, Storage
from v1registry.openers import open_storage
from v1registry.rights import User
from v1registry.storage.objects.urls import ObjectPlace

pytestmark = [pytest.mark.real, pytest.mark.process, pytest.mark.stores]

STORES = ("ceph", "swift", "azurite")
TOPS = 12

#: A layer of several parts, and one that a document does not keep.
LARGE = make_image(random_layer(18_000_000, "large"), name="large")
MIDDLE = make_image(random_layer(100_000, "middle"), name="middle")

#: So slowly that a copy can be killed in the midst.
SLOWLY = ("--objects-per-second", "40")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> FileStorage:
    """What alice has pushed through both APIs."""
    storage = FileStorage(tmp_path_factory.mktemp("source") / "registry", durable=False)
    world = AccountsWorld(People.of(User("alice")), storage)
    alice, base = world.person("alice"), image_of("base")
    for number in range(TOPS):
        alice.push("alice/app", base, image_of(f"top{number}", base), tag=f"v{number}")
    alice.push("alice/private", LARGE, tag="1.0")
    alice.make_private("alice/private")
    alice.push("alice/private", MIDDLE, tag="1.1")
    client = V2Client(world.app, "alice")
    for number in range(5):
        manifest = client.image("alice/new", f"content {number}")
        assert client.put_manifest("alice/new", f"v{number}", manifest).status == 201
    # the blobs of its conversion share the bytes of the layers
    assert client.get_manifest("alice/private", "1.0").status == 200
    return storage


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """A real store."""
    found: ObjectStore = request.getfixturevalue(request.param)
    return found


def arguments(*options: str, source: str, target: str) -> list[str]:
    return ["v1registry", "copy", source, target, "--quiet", "--server-is-stopped", *options]


def kill_at(
    numbers: tuple[int, ...], count: Callable[[], int], folder: Path, *, source: str, target: str
) -> None:
    """Start a copy for each number, and kill it when the destination has so many files or objects."""
    command = arguments(*SLOWLY, source=source, target=target)
    for number in numbers:
        with subprocess.Popen(command, env=environment_of(folder), stdout=subprocess.DEVNULL) as running:
            end_s = time.monotonic() + 2 * PATIENCE_S
            while count() < number and time.monotonic() < end_s and running.poll() is None:
                pass
            running.kill()
        assert running.returncode == -signal.SIGKILL


def copy_all(folder: Path, *, source: str, target: str) -> str:
    """Copy until nothing is left to do; return what the command printed."""
    done = subprocess.run(
        arguments(source=source, target=target),
        env=environment_of(folder), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sums(storage: Storage) -> dict[str, str]:
    """Return key -> digest of the values that no copy changes."""
    return {
        key: hashlib.sha256(value).hexdigest()
        for key, value in values(storage).items()
        # they name etags, which each storage makes
        if not key.endswith(("/_v2", "/_adopted"))
    }


def test_copy_into_a_store_and_back_is_whole_after_kills(
    source: FileStorage, store: ObjectStore, tmp_path: Path
) -> None:
    url = store.url(store.new_bucket(), "registry")
    objects, back = ObjectPlace.from_url(url).open_store(), tmp_path / "back"

    def count_objects() -> int:
        return sum(len(page) for page in obstore.list(objects))

    def count_files() -> int:
        return sum(len(files) for _, _, files in os.walk(back))

    kill_at((2, 15, 40), count_objects, tmp_path, source=source.path, target=url)
    copy_all(tmp_path, source=source.path, target=url)

    assert sums(open_storage(url)) == sums(source)
    assert copy_all(tmp_path, source=source.path, target=url).startswith("1 passes, ")

    kill_at((2, 60, 160), count_files, tmp_path, source=url, target=str(back))
    copy_all(tmp_path, source=url, target=str(back))

    assert sums(FileStorage(back)) == sums(source)
    assert [path.name for path in back.rglob("*.tmp")] == []
    # what is pulled is converted and stored, so it is compared last
    assert_serves_the_same(source, open_storage(url))
    assert_serves_the_same(source, FileStorage(back))
