"""``v1registry adopt``: record what the repositories of an old folder hold, before anybody asks."""

from __future__ import annotations

import argparse
import sys

from ..access.holders import Holders
from ..registry.contents import Contents
from ..registry.repositories import Repositories
from ..storage.base import Storage
from .exits import DONE
from .options import Commands, add_storage_options, open_shared_storage

#: How many repositories are adopted between two lines of progress.
_STEP = 100

#: How many repositories are looked at when a server starts, which must not take longer with more of them.
_LOOKED_AT = 100


def add_commands(commands: Commands) -> None:
    """Add ``adopt``."""
    command = commands.add(
        "adopt",
        adopt,
        "record what the repositories of an old folder hold, for a server with accounts",
        epilog="A server adopts each repository at the first request that names it. Until then, requests "
        "without a token\ndo not find its images. This command may run beside servers, and may be repeated.",
    )
    add_storage_options(command)


def adopt(options: argparse.Namespace) -> int:
    """Adopt all repositories that have tags and were not adopted yet."""
    storage = open_shared_storage(options)
    repositories = Repositories(storage)
    holders = _holders(storage, repositories)
    adopted = 0
    for name in repositories.all():
        if holders.adoption.is_adopted(name):
            continue
        holders.incarnation(name)
        adopted += 1
        if adopted % _STEP == 0:
            print(f"{adopted} repositories adopted, the last one {name}", file=sys.stderr)
    print(f"{adopted} repositories adopted")
    return DONE


def notice_of_old_data(storage: Storage) -> str:
    """Return what an administrator should know of repositories that are not adopted; empty if all are."""
    left = _holders(storage, Repositories(storage)).adoption.count_left(_LOOKED_AT)
    if not left:
        return ""
    return f"{left} of the first {_LOOKED_AT} repositories are not adopted yet; run: v1registry adopt"


def _holders(storage: Storage, repositories: Repositories) -> Holders:
    return Holders(storage, Contents(storage), repositories)
