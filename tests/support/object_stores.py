"""Object stores that all workers of one test run share: started by the first, ended after the last.

A keeper, a process of its own, starts the store and watches its users, which are processes that left a file
with their id. When none of them is alive, it ends the store, so nothing is left if the tests are killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from support.azurite import Azurite
from support.buckets import make_bucket, remove_container
from support.ceph import Ceph
from support.google_storage import GoogleStorage
from support.programs import Program, eventually
from support.swift import Swift

#: Starts take longer than other programs' if several of them begin at once.
_START_S = 180.0

_PAUSE_S = 0.2


class _Server(Protocol):
    environment: Mapping[str, str]

    def __init__(self, folder: Path) -> None: ...

    @staticmethod
    def require() -> None:
        """Skip the test if a program is missing."""

    @property
    def url(self) -> str: ...

    def stop(self) -> None: ...


_KINDS: Mapping[str, type[_Server]] = {
    "ceph": Ceph,
    "swift": Swift,
    "azurite": Azurite,
    "google": GoogleStorage,
}

#: Kinds whose scheme is not ``s3``.
_SCHEMES: Mapping[str, str] = {"azurite": "az", "google": "gs"}


@dataclass(frozen=True)
class ObjectStore:
    """A running object store."""

    endpoint: str
    environment: Mapping[str, str]  #: credentials, as the registry expects them in its environment
    scheme: str = "s3"  #: of URLs
    single_writer: bool = False  #: whether it has no conditional writes

    def new_bucket(self) -> str:
        """Make a bucket; return its name."""
        name = f"test-{uuid.uuid4().hex[:16]}"
        if self.scheme == "gs":
            return name  # the stand-in has every bucket
        make_bucket(self.endpoint, self.environment, name)
        return name

    def remove_container(self, name: str) -> None:
        """Remove a container of Azure with all that is in it."""
        remove_container(self.endpoint, self.environment, name)

    def url(self, bucket: str, prefix: str = "", *, endpoint: str = "", **options: str) -> str:
        """Return the value of the setting ``storage`` for a bucket.

        :param endpoint: in the place of the store's own, such as that of a proxy before it.
        """
        query = {"endpoint": endpoint or self.endpoint, **options}
        if self.scheme == "s3":
            query["path_style"] = "true"
        if self.single_writer:
            query["single_writer"] = "true"
        return f"{self.scheme}://{bucket}{'/' if prefix else ''}{prefix}?{urlencode(query, safe=':/')}"


@contextlib.contextmanager
def shared_store(kind: str, root: Path) -> Iterator[ObjectStore]:
    """Start the object store of a test run, or use the one that another worker has started.

    :param kind: ``ceph``, ``swift``, ``azurite`` or ``google``.
    :param root: a folder that all workers of the run have in common.
    """
    _KINDS[kind].require()
    folder = root / f"store-{kind}"
    users = folder / "users"
    users.mkdir(parents=True, exist_ok=True)
    user = users / str(os.getpid())
    told = folder / "store.json"
    keeper = folder / "keeper.pid"
    with _locked(folder):
        user.touch()
        if not told.exists() or not _is_alive(keeper.read_text()):
            told.unlink(missing_ok=True)
            try:
                _start_keeper(kind, folder, told, keeper)
            except BaseException:
                user.unlink()
                raise
        store = ObjectStore(**json.loads(told.read_text()))
    try:
        yield store
    finally:
        with _locked(folder):
            user.unlink(missing_ok=True)
            if not any(users.iterdir()):
                eventually(lambda: not _is_alive(keeper.read_text()), f"the keeper of {kind} ends")


def has_users(kind: str, root: Path) -> bool:
    """Tell whether a process of the test run uses the object store."""
    return any((root / f"store-{kind}" / "users").iterdir())


def _start_keeper(kind: str, folder: Path, told: Path, keeper: Path) -> None:
    command = [sys.executable, "-m", "support.object_stores", kind, str(folder)]
    tests = Path(__file__).resolve().parent.parent
    program = Program(command, folder=folder, environment={"PYTHONPATH": str(tests)}, listens=False)
    # others may use the store when this worker has ended
    Program.running.remove(program)
    _keepers.append(program)

    def is_told() -> bool:
        assert program.is_running(), f"the keeper of {kind} ended:\n{program.log}"
        return told.exists()

    eventually(is_told, f"{kind} is started", within_s=_START_S)
    keeper.write_text(str(program.pid))


#: Keepers that this process has started.
_keepers: list[Program] = []


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_alive(process: str) -> bool:
    try:
        # the state follows the name in parentheses. Source: proc(5)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _keep(kind: str, folder: Path) -> None:
    """Start a store, tell where it is, and end it when its users are gone."""
    place = folder / f"run-{uuid.uuid4().hex[:8]}"
    place.mkdir()
    server = _KINDS[kind](place / "server")
    try:
        told = {
            "endpoint": server.url,
            "environment": dict(server.environment),
            "scheme": _SCHEMES.get(kind, "s3"),
            "single_writer": kind == "swift",
        }
        (folder / "store.json.new").write_text(json.dumps(told))
        (folder / "store.json.new").rename(folder / "store.json")
        while any(_is_alive(user.name) for user in (folder / "users").iterdir()):
            time.sleep(_PAUSE_S)
    finally:
        server.stop()
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    _keep(sys.argv[1], Path(sys.argv[2]))
