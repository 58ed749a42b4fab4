"""``v1registry verify``: report damaged data (decisions.md 22)."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..housekeeping.verify import Verification
from .exits import DONE, FAILED
from .options import Commands, add_json_option, add_storage_options, open_shared_storage
from .output import print_json


def add_commands(commands: Commands) -> None:
    """Add ``verify``."""
    command = commands.add(
        "verify",
        verify,
        "report damaged images, manifests, tags, lists and records in the storage",
        epilog="Nothing is changed. The exit code is 1 if something is damaged. The command may run beside\n"
        "servers.",
    )
    command.add_argument(
        "--layers",
        action="store_true",
        help="read all layers and blobs, and compare them with their stored sums and digests",
    )
    add_json_option(command, is_list=True)
    add_storage_options(command)


def verify(options: argparse.Namespace) -> int:
    """Print each damaged value with what to do."""
    verification = Verification(open_shared_storage(options), reads_layers=options.layers)
    problems = list(verification.problems())
    if options.json:
        print_json([asdict(problem) for problem in problems])
    else:
        for problem in problems:
            print(f"{problem.key}: {problem.text}")
        found = f"{verification.images} images, {verification.blobs} blobs"
        print(f"{found}, {verification.repositories} repositories, {len(problems)} damaged values")
    return FAILED if problems else DONE
