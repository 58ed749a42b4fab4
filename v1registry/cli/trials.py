"""What ``serve`` and ``check-config`` find out before the first request: weak settings, storage, old data.

Nothing is changed, except that the storage writes and removes one key if its folder exists.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..assembly import Services
from ..names import RepositoryName
from ..registry import layout
from ..registry.monitoring import try_storage
from ..registry.repositories import Repositories
from ..storage.base import Storage, StorageError
from ..storage.filesystem import FileStorage
from ..storage.objects import ObjectStorage

#: Keys should be random texts of at least so many characters.
_SHORTEST_SECRET: Final = 16

#: How many different characters they should have.
_FEWEST_DIFFERENT: Final = 8

#: How long repositories are counted, and how long at the start of a server, which must not wait, in seconds.
COUNTING_S: Final = 2.0
COUNTING_AT_START_S: Final = 0.02

#: What is in the folder of a registry, of docker-registry too.
_KNOWN_FOLDERS: Final = frozenset(
    {layout.REPOSITORIES, "images", "accounts", "uploads", "_status", "lost+found"}
)

#: How many names of unknown files are shown.
_SHOWN: Final = 3


def weak_settings(services: Services) -> Iterator[str]:
    """Yield which settings are valid but unsafe."""
    settings = services.settings
    for number, key in enumerate(settings.secret, start=1):
        if len(key) < _SHORTEST_SECRET or len(set(key)) < _FEWEST_DIFFERENT:
            which = "the key" if len(settings.secret) == 1 else f"key {number}"
            yield (
                f"secret: {which} is easy to guess, and allows to log in as every user; "
                "use a random one, such as the output of: openssl rand -hex 32"
            )
    if settings.mirror_user and settings.is_open:
        yield (
            f"mirror_user: every client reads what {settings.mirror_user} can read at {settings.mirror}, "
            "because auth = open: asks no client for a password"
        )
    if settings.mirror and settings.is_open and not settings.read_only:
        yield (
            "mirror: every client can push, because auth = open: asks no client for a password; an image of "
            f"v1 that is pushed here is served in place of that with the same id at {settings.mirror}; "
            "set read_only = yes"
        )
    accounts = services.accounts
    if settings.policy == "members" and accounts is not None and accounts.can_register:
        yield (
            "policy: every person can register, and members may push, pull and delete everything; "
            "set registration = closed"
        )


def storage_problems(services: Services) -> list[str]:
    """Return why the storage cannot be used, or looks like the wrong one."""
    storage, is_read_only = services.storage, not services.settings.is_writing
    if isinstance(storage, FileStorage):
        folder = Path(storage.path)
        if not folder.exists():
            return _problems_of_new_folder(folder, is_read_only=is_read_only)
        strange = strange_content(folder)
        if strange:
            return [strange]
    try:
        try_storage(storage, is_read_only=is_read_only)
    except StorageError as error:
        if is_read_only:
            return [f"storage: cannot be read: {error}"]
        return [
            f"storage: cannot be written, so pushes will fail: {error}; read_only = yes serves pulls only"
        ]
    return []


def object_store_in_words(storage: Storage) -> Iterator[str]:
    """Yield what is known of an object store; nothing for other storages."""
    if not isinstance(storage, ObjectStorage):
        return
    yield storage.description
    if storage.is_single_writer:
        yield "one server process writes (single_writer), so the store needs no conditional writes"
        return
    # a failure is a problem, and told as one
    with suppress(StorageError):
        yield f"conditional writes: {storage.conditions()}"


def _problems_of_new_folder(folder: Path, *, is_read_only: bool) -> list[str]:
    """Return why a folder cannot be made, or why it should be there already."""
    if is_read_only:
        return [f"storage: {folder} does not exist, and read_only is on, so nothing can be pulled"]
    existing = folder.parent
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".v1registry-", dir=existing))
    except OSError as error:
        reason = error.strerror or error
        return [f"storage: {folder} cannot be made in {existing}, so pushes will fail: {reason}"]
    return []


def strange_content(folder: Path) -> str:
    """Return a text if a folder has files, and none of a registry; else empty text."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        return f"storage: {folder} cannot be read: {error.strerror or error}"
    if not names or _KNOWN_FOLDERS & set(names):
        return ""
    shown = ", ".join(map(repr, names[:_SHOWN])) + (", …" if len(names) > _SHOWN else "")
    return f"storage: {folder} has other files ({shown}) and nothing of a registry; is it the right folder?"


# -- repositories


@dataclass(frozen=True)
class RepositoryCount:
    """How many repositories a storage has, as far as they were counted in time."""

    number: int
    private: int
    is_complete: bool

    def __str__(self) -> str:
        """Return it in words.

        >>> str(RepositoryCount(1, 0, True)), str(RepositoryCount(20_000, 0, False))
        ('1 repository', 'more than 20,000 repositories')
        """
        noun = "repository" if self.number == 1 else "repositories"
        return f"{'' if self.is_complete else 'more than '}{self.number:,} {noun}"


def count_repositories(services: Services, *, within_s: float = COUNTING_S) -> RepositoryCount | None:
    """Count the repositories for a limited time; None if the storage cannot be read.

    Private ones are counted if the server is open, because nothing hides them there.

    :param within_s: the time.
    """
    repositories: Repositories = services.repositories
    ends_s = time.monotonic() + within_s
    number = private = 0
    try:
        for name in _repositories_in(services):
            if time.monotonic() > ends_s:
                return RepositoryCount(number, private, False)
            number += 1
            private += services.settings.is_open and repositories.is_private(name)
    except StorageError:
        return None
    return RepositoryCount(number, private, True)


def _repositories_in(services: Services) -> Iterator[RepositoryName]:
    """Yield the repositories, the first ones at once: no other order is made than that of their folders."""
    for namespace in services.storage.list_folders(layout.REPOSITORIES):
        yield from services.repositories.in_namespace(layout.unstore_part(namespace))


def exposed_repositories(services: Services, count: RepositoryCount | None) -> Iterator[str]:
    """Yield a warning if an open server has private repositories."""
    if count is not None and count.private and services.settings.is_open:
        noun, verb = ("repository", "is") if count.private == 1 else ("repositories", "are")
        least = "" if count.is_complete else "at least "
        yield (
            f"{least}{count.private:,} {noun} {verb} private, but auth = open: asks no client for a "
            "password, so every client can read them; set auth, such as users:"
        )
