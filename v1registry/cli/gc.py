"""``v1registry gc``: remove images, blobs and manifests that nothing refers to."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..housekeeping.garbage_report import Freed, GarbageReport
from ..housekeeping.retention import Retention
from ..housekeeping.service import Housekeeping
from ..housekeeping.sweep import CollectionRunning
from ..storage.base import StorageFull
from .exits import DONE, UNREACHABLE, USAGE, CommandFailed, complain
from .housekeeping_options import (
    add_lines_option,
    add_pace_options,
    duration,
    ended_by_signals,
    in_words,
    pace_of,
    positive,
    print_line,
    progress_of,
)
from .options import Commands, add_storage_options, open_existing_storage


def add_commands(commands: Commands) -> None:
    """Add ``gc``."""
    command = commands.add(
        "gc",
        collect,
        "remove images, blobs and manifests that no tag and no manifest refers to",
        epilog="The command may run beside servers, and be interrupted: the next run removes the rest.\n"
        "docker-registry 0.9 on the same folder must not set tags on old images meanwhile.\n"
        "The exit code is 3 if another collection runs.",
    )
    command.add_argument("--dry-run", action="store_true", help="change nothing; print what would be removed")
    command.add_argument(
        "--grace",
        type=duration,
        default=duration("24h"),
        metavar="TIME",
        help="keep what was stored so lately, with all that it builds on; longer than a push takes "
        "(default: 24h)",
    )
    command.add_argument(
        "--untagged", action="store_true", help="remove manifests without a tag too, with what they name"
    )
    rules = command.add_argument_group(
        "retention",
        "Tags are removed if none of these rules keeps them. One of the first two at least is needed.",
    )
    rules.add_argument(
        "--keep-newest", type=positive, metavar="N", help="keep the N tags of each repository that are newest"
    )
    rules.add_argument(
        "--keep-younger", type=duration, metavar="TIME", help="keep tags that were set so lately"
    )
    rules.add_argument(
        "--keep",
        action="append",
        metavar="PATTERN",
        help="keep tags of this form, such as 'v*'; may be repeated",
    )
    rules.add_argument(
        "--repository",
        action="append",
        metavar="PATTERN",
        help="remove tags only in repositories of this form, such as 'ci/*'; may be repeated",
    )
    add_pace_options(command)
    add_lines_option(command)
    add_storage_options(command)


def collect(options: argparse.Namespace) -> int:
    """Remove what nothing refers to, and print what was removed of each repository.

    :raises CommandFailed: the rules of retention are incomplete, another collection runs, or the storage has
        no room to begin.
    """
    retention = _retention_of(options)
    storage = open_existing_storage(options)
    try:
        with ended_by_signals():
            report = Housekeeping(storage).collect_garbage(
                grace_s=options.grace,
                is_dry_run=options.dry_run,
                takes_untagged=options.untagged,
                retention=retention,
                pace=pace_of(options),
                progress=progress_of(options),
            )
    except CollectionRunning:
        raise CommandFailed(
            "another garbage collection runs on this storage: wait for its end. "
            "If it was killed on another machine, wait for ten minutes",
            UNREACHABLE,
        ) from None
    except StorageFull as error:
        raise CommandFailed(
            f"{error}: a collection needs some KiB to begin. Remove the folder search in the storage, which "
            "servers build again, or the folder quarantine, and repeat the command",
            UNREACHABLE,
        ) from error
    if options.json:
        for row in report.freed:
            print_line("repository", asdict(row))
        totals = {key: value for key, value in asdict(report.total).items() if key != "repository"}
        looked: dict[str, object] = {
            "looked_repositories": report.repositories,
            "looked_images": report.images,
        }
        looked |= {"looked_blobs": report.blobs, "kept": report.kept, "is_dry_run": report.is_dry_run}
        looked["unmatched"] = sorted(report.unmatched)
        if report.swept is not None:
            looked |= {f"swept_{name}": number for name, number in report.swept._asdict().items()}
        print_line("total", {**totals, **looked})
    else:
        _print(report)
    for pattern in sorted(report.unmatched):
        complain(f"warning: no repository has the form {pattern!r} of --repository, so it removed no tag")
    return DONE


def _retention_of(options: argparse.Namespace) -> Retention | None:
    """Return the rules of the command line; None if there are none.

    :raises CommandFailed: they are incomplete.
    """
    if options.keep_newest is None and options.keep_younger is None:
        if options.keep or options.repository:
            raise CommandFailed("--keep and --repository need --keep-newest or --keep-younger", USAGE)
        return None
    if options.keep_newest is None and not options.keep_younger:
        raise CommandFailed(
            "--keep-younger must be more than 0 without --keep-newest, or all tags would be removed", USAGE
        )
    return Retention(options.keep_newest, options.keep_younger, options.keep or (), options.repository or ())


def _print(report: GarbageReport) -> None:
    for row in report.freed:
        print(f"{row.repository or '(no repository)'}: {_in_words(row)}")
    looked = f"{report.repositories} repositories, {report.images} images and {report.blobs} blobs"
    verb = "would be removed" if report.is_dry_run else "removed"
    print(f"{looked} looked at, {verb}: {_in_words(report.total)}")
    if report.swept is not None:
        swept = report.swept
        print(
            f"bytes without keys {verb}: {swept.objects} objects, {in_words(swept.bytes)}; "
            f"{swept.waiting} objects, {in_words(swept.waiting_bytes)}, wait for a later collection"
        )


def _in_words(row: Freed) -> str:
    counts = (
        f"{row.tags} tags",
        f"{row.manifests} manifests",
        f"{row.images} images",
        f"{row.blobs} blobs",
    )
    return f"{', '.join(counts)}, {in_words(row.bytes)}"
