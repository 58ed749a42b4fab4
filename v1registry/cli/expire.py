"""``v1registry expire``: remove what unfinished pushes left behind."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..housekeeping.service import Housekeeping
from .exits import DONE
from .housekeeping_options import (
    add_pace_options,
    ended_by_signals,
    in_words,
    pace_of,
    progress_of,
)
from .options import Commands, add_json_option, add_storage_options, open_existing_storage
from .output import print_json


def add_commands(commands: Commands) -> None:
    """Add ``expire``."""
    command = commands.add(
        "expire",
        expire,
        "remove unfinished pushes and uploads whose last request was more than a day ago",
        epilog="Servers do that too, a small part of it with each push. The command may run\nbeside servers.",
    )
    add_pace_options(command)
    add_json_option(command, is_list=False)
    add_storage_options(command)


def expire(options: argparse.Namespace) -> int:
    """Remove what has expired, and print how much it was."""
    storage = open_existing_storage(options)
    with ended_by_signals():
        expired = Housekeeping(storage).expire(pace=pace_of(options), progress=progress_of(options))
    if options.json:
        print_json(asdict(expired))
    else:
        removed = f"{expired.pushes} unfinished pushes of {in_words(expired.push_bytes)}"
        print(f"removed {removed}, {expired.records} records of pushes and deletions")
    return DONE
