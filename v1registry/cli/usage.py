"""``v1registry usage``: how many bytes each repository uses."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..housekeeping.kept_usage import RepositoryUsage, Totals
from ..housekeeping.service import Housekeeping
from .exits import DONE
from .housekeeping_options import (
    add_lines_option,
    add_pace_options,
    ended_by_signals,
    in_words,
    pace_of,
    positive,
    print_line,
    progress_of,
)
from .options import Commands, add_storage_options, open_existing_storage


def add_commands(commands: Commands) -> None:
    """Add ``usage``."""
    command = commands.add(
        "usage",
        usage,
        "print how many bytes each repository uses, alone and together with others",
        epilog="No layer is read. The report is kept for the page of administrators. The command may run\n"
        "beside servers. What they store or delete meanwhile may be missing, or counted still.",
    )
    command.add_argument(
        "--most", type=positive, metavar="N", help="print only the N repositories that use the most"
    )
    command.add_argument(
        "--no-keep", action="store_true", help="do not store the report for the page of administrators"
    )
    add_pace_options(command)
    add_lines_option(command)
    add_storage_options(command)


def usage(options: argparse.Namespace) -> int:
    """Print the report, the repository that uses the most alone first."""
    storage = open_existing_storage(options)
    with ended_by_signals():
        report = Housekeeping(storage).usage(
            pace=pace_of(options), progress=progress_of(options), is_kept=not options.no_keep
        )
    rows = report.repositories[: options.most]
    if options.json:
        for row in rows:
            print_line("repository", asdict(row))
        print_line("total", asdict(report.totals))
    else:
        _print(rows, report.totals)
    return DONE


def _print(rows: tuple[RepositoryUsage, ...], totals: Totals) -> None:
    form = "{:>10}  {:>10}  {:>6}  {}"
    print(form.format("own", "shared", "tags", "repository"))
    for row in rows:
        print(form.format(in_words(row.own_bytes), in_words(row.shared_bytes), row.tags, row.name))
    print(
        f"{totals.repositories} repositories, {totals.images} images, {totals.blobs} blobs: "
        f"{in_words(totals.stored_bytes)} stored"
    )
    print(f"{in_words(totals.shared_bytes)} of them are shared by several repositories")
    print(f"{in_words(totals.unreachable_bytes)} of them are reached by no tag and no manifest")
    print(f"{in_words(totals.unfinished_bytes)} in unfinished pushes")
    if totals.quarantined_bytes:
        print(f"{in_words(totals.quarantined_bytes)} of damaged values in quarantine")
