"""What ``serve`` prints at its start: where it listens, what it serves, and what is unsafe or will fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from .. import settings as settings_
from ..access.accounts import AccountsAccess
from ..assembly import Services
from ..settings import Settings
from ..storage import FileStorage
from ..version import __version__
from . import trials
from .exits import complain


def print_start(services: Services, place: str, scheme: str, port: int) -> None:
    """Print what is served, and warnings.

    :param place: the setting ``storage``.
    :param port: on which the server listens.
    """
    settings = services.settings
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    reachable = "localhost" if shown in ("0.0.0.0", "127.0.0.1", "[::]") else shown  # noqa: S104
    print(f"v1registry {__version__} listens on {scheme}://{shown}:{port}/ with {settings.workers} worker(s)")
    count = trials.count_repositories(services, within_s=trials.COUNTING_AT_START_S)
    print(f"storage: {settings_.without_passwords(place)}, {_storage_in_words(services, count)}")
    print(f"access:  {_access_in_words(services)}")
    if settings.mirror:
        origin = settings_.without_passwords(settings.mirror)
        print(f"mirror:  of {origin}: {' '.join(settings.mirror_repositories)}")
    # a push begins at the index, which names this registry
    url = settings.index or settings.public_url
    begin = urlsplit(url).netloc.rpartition("@")[2] if url else f"{reachable}:{port}"
    if not settings.read_only:
        print(f"push:    v1registry push IMAGE.tar {begin}/NAMESPACE/NAME:TAG")
    print(end="", flush=True)
    for warning in _warnings(services, count):
        complain(f"warning: {warning}")


def _warnings(services: Services, count: trials.RepositoryCount | None) -> Iterator[str]:
    yield from trials.weak_settings(services)
    yield from trials.storage_problems(services)
    yield from trials.exposed_repositories(services, count)
    if isinstance(services.access, AccountsAccess):
        # servers are not asked, because a start must not wait for them
        yield from services.access.backend.problems(asks_servers=False)
    yield from services.pages.problems()


def _storage_in_words(services: Services, count: trials.RepositoryCount | None) -> str:
    storage = services.storage
    if isinstance(storage, FileStorage) and not Path(storage.path).exists():
        return "a new folder, which the first push makes"
    if not storage.shared_by_processes:
        return "all data is lost when this process ends"
    return "which cannot be read now" if count is None else str(count)


def _access_in_words(services: Services) -> str:
    settings = services.settings
    if settings.read_only:
        return f"read-only; {_readers_in_words(settings)}"
    if settings.index:
        return f"with tokens that the index {settings_.without_passwords(settings.index)} checks"
    if settings.is_open:
        return "open: every client that reaches this address may read, write and delete"
    kind = str(settings.auth).partition(":")[0]
    who = "users: accounts in the storage" if settings.auth == "users:" else f"{kind}: users"
    if settings.policy == "members":
        return f"{who} read and write everything, all other clients nothing"
    if settings.policy:
        return f"{who}, with the rules of {settings.policy}"
    return f"{who} write in their own namespaces, everyone reads public repositories"


def _readers_in_words(settings: Settings) -> str:
    if settings.index:
        return f"with tokens that the index {settings_.without_passwords(settings.index)} checks"
    return "every client reads everything" if settings.is_open else "users read what they may"
