"""``v1registry copy``: move a registry to a different storage, beside running pushes."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path

from ..housekeeping.copying import CopyRefused, CopyReport, CopyRunning, Deleted, copy_storage
from ..housekeeping.copying.run import PASSES, THREADS
from ..openers import open_storage
from ..settings import without_passwords, without_userinfo
from ..storage.base import Storage, StorageFull
from ..storage.filesystem import FileStorage
from ..storage.objects.urls import SCHEMES, ObjectPlace
from .exits import DONE, FAILED, UNREACHABLE, USAGE, CommandFailed, complain
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
from .options import Commands, add_stopped_option, check_single_writer, count
from .trials import strange_content


def add_commands(commands: Commands) -> None:
    """Add ``copy``."""
    command = commands.add(
        "copy",
        copy,
        "copy a registry to a different storage, and verify each value",
        epilog="A storage is a folder, or a URL such as file:///srv/registry or s3://bucket/prefix.\n"
        "Servers may run over the source. A run that was interrupted goes on where it ended. Unfinished\n"
        "pushes, the index of the search, the quarantine and the state of maintenance are not copied.\n"
        "The exit code is 1 if values of the source are damaged, or tags were left out.",
    )
    command.add_argument("source", metavar="SOURCE", help="the storage with the registry")
    command.add_argument("destination", metavar="DESTINATION", help="an empty storage, or a copy of SOURCE")
    command.add_argument("--dry-run", action="store_true", help="write nothing; print what would be copied")
    command.add_argument(
        "--delete",
        action="store_true",
        help="remove from a complete copy what the source has lost since",
    )
    command.add_argument(
        "--into-existing",
        action="store_true",
        help="copy into a storage with other data: that stays, and equal keys are replaced",
    )
    command.add_argument(
        "--passes",
        type=positive,
        default=PASSES,
        metavar="N",
        help="end after so many passes, even if the last one found something to copy (default: %(default)s)",
    )
    command.add_argument(
        "--parallel",
        type=count,
        default=THREADS,
        metavar="N",
        help="copy so many values at a time (default: %(default)s)",
    )
    add_stopped_option(command)
    add_pace_options(command)
    add_lines_option(command)


def copy(options: argparse.Namespace) -> int:
    """Copy the registry, and print what was done, what is damaged, and which tags were left out.

    :raises CommandFailed: the storages cannot be used, or the destination is full.
    """
    source = _opened(options.source, "SOURCE")
    if isinstance(source, FileStorage):
        _check_folder(source)
    destination = _opened(options.destination, "DESTINATION")
    check_single_writer(destination, options)
    try:
        with ended_by_signals():
            report = copy_storage(
                source,
                destination,
                passes=options.passes,
                threads=options.parallel,
                is_dry_run=options.dry_run,
                deletes=options.delete,
                into_existing=options.into_existing,
                source_name=source.path if isinstance(source, FileStorage) else _name(options.source),
                deleted=lambda deleted: _print_deleted(deleted, as_json=options.json),
                pace=pace_of(options),
                progress=progress_of(options),
            )
    except CopyRefused as error:
        raise CommandFailed(str(error), USAGE) from None
    except CopyRunning:
        raise CommandFailed(
            "another copy to this destination runs: wait for its end. "
            "If it was killed on another machine, wait for ten minutes",
            UNREACHABLE,
        ) from None
    except StorageFull as error:
        raise CommandFailed(
            f"{error}. Make room and repeat the command, which goes on where it ended", UNREACHABLE
        ) from error
    _print(report, as_json=options.json)
    return DONE if report.is_whole else FAILED


def _opened(place: str, role: str) -> Storage:
    """Return the storage that a word of the command line names.

    :raises CommandFailed: it names none that processes share.
    """
    if ":" not in place:
        place = Path(place).resolve().as_uri()
    try:
        storage = open_storage(place)
    except ValueError as error:
        raise CommandFailed(f"{role}: {error}", USAGE) from error
    if not storage.shared_by_processes:
        raise CommandFailed(
            f"{role}: must be a folder or a storage that lasts, not {without_userinfo(place)}", USAGE
        )
    return storage


def _name(place: str) -> str:
    """Return what tells a storage from others: its URL without passwords and other options."""
    if place.partition(":")[0] in SCHEMES:
        return ObjectPlace.from_url(place).name
    return without_passwords(place).partition("?")[0].rstrip("/")


def _check_folder(source: FileStorage) -> None:
    """Refuse a folder that is missing, or has none of a registry.

    :raises CommandFailed: it is refused.
    """
    if not os.path.isdir(source.path):
        raise CommandFailed(
            f"SOURCE: must be an existing folder, not {source.path}: correct it, or mount its disk",
            UNREACHABLE,
        )
    strange = strange_content(Path(source.path))
    if strange:
        raise CommandFailed(strange, USAGE)


def _print_deleted(deleted: Deleted, *, as_json: bool) -> None:
    if as_json:
        print_line("deleted", asdict(deleted))
    else:
        print(f"deleted {deleted.key}", flush=True)


def _print(report: CopyReport, *, as_json: bool) -> None:
    fields = asdict(report)
    problems, tags = fields.pop("problems"), fields.pop("left_out_tags")
    if as_json:
        for problem in problems:
            print_line("problem", {"key": problem["key"], "text": problem["text"]})
        for tag in tags:
            print_line("left_out_tag", tag)
        print_line("total", {**fields, "problems": len(problems), "left_out_tags": len(tags)})
        return
    for problem in report.problems:
        print(f"{problem.key}: not copied: {problem.text}")
    for tag in report.left_out_tags:
        print(f"tag {tag.tag}: not copied: {tag.text}")
    for folder in report.left_out_folders:
        complain(f"warning: the folder {folder!r} of the source is no part of a registry, and is not copied")
    print(_summary(report))
    if report.extra:
        complain(
            f"warning: {report.extra} keys are in the destination alone; --delete removes those that the "
            "source has lost since the last copy"
        )
    if not (report.is_settled or report.is_dry_run):
        complain("warning: the last pass still found something to copy: repeat the command")


def _summary(report: CopyReport) -> str:
    done = "would be copied" if report.is_dry_run else "copied"
    parts = [
        f"{report.passes} passes, {report.keys} keys",
        f"{report.copied} values with {in_words(report.copied_bytes)} {done}",
        f"{report.linked} linked",
    ]
    if report.deleted:
        parts.append(f"{report.deleted} {'would be deleted' if report.is_dry_run else 'deleted'}")
    if not report.is_whole:
        parts.append(f"{len(report.problems)} damaged values, {len(report.left_out_tags)} tags left out")
    return ", ".join(parts)
