"""``v1registry adopt``: record what the repositories of an old folder hold, before anybody asks."""

from __future__ import annotations

import argparse
import sys

from ..access.holders import Holders
from ..registry.contents import Contents
from ..registry.repositories import Repositories
from .exits import DONE
from .options import Commands, add_storage_options, open_shared_storage

#: How many repositories are adopted between two lines of progress.
_STEP = 100


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
    holders = Holders(storage, Contents(storage), repositories)
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
