"""``v1registry reindex``: build the index of the search again."""

from __future__ import annotations

import argparse

from ..names import RepositoryName
from ..search.base import RebuildableIndex
from ..search.database import NoDatabase
from .exits import DONE, UNREACHABLE, USAGE, CommandFailed
from .housekeeping_options import ended_by_signals, progress_of
from .options import Commands, add_storage_options, open_existing_storage, searched_repositories


def add_commands(commands: Commands) -> None:
    """Add ``reindex``."""
    command = commands.add(
        "reindex",
        reindex,
        "build the index of the search again",
        epilog="Servers build and repair the index by themselves. The command may run beside them: until it\n"
        "ends, they look at every repository instead. If it is interrupted, they go on.",
    )
    command.add_argument("--quiet", action="store_true", help="show no progress")
    add_storage_options(command, writes=False)


def reindex(options: argparse.Namespace) -> int:
    """Build the index, and print how many repositories were read.

    :raises CommandFailed: the setting ``search`` names no index that can be built, or it cannot be written.
    """
    index = searched_repositories(open_existing_storage(options), options)[1]
    if not isinstance(index, RebuildableIndex):
        raise CommandFailed("there is no index: the setting search is scan, or of another package", USAGE)
    count = 0
    step = progress_of(options).start("repositories", None, "repositories")

    def read(name: RepositoryName) -> None:
        nonlocal count
        count += 1
        step.advance(1)

    try:
        with ended_by_signals():
            index.rebuild(read)
    except NoDatabase as error:
        raise CommandFailed(str(error), UNREACHABLE) from error
    finally:
        step.finish()
    print(f"the index of the search is built: {count} folders of repositories were read")
    return DONE
