"""``v1registry verify``: report damaged data, and the tags that it hurts (decisions.md 22)."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..housekeeping.findings import HurtTag, Problem
from ..housekeeping.service import Housekeeping
from ..housekeeping.verify import Finding, Verification
from .exits import DONE, FAILED
from .housekeeping_options import (
    add_lines_option,
    add_pace_options,
    duration,
    ended_by_signals,
    in_words,
    pace_of,
    print_line,
    progress_of,
)
from .options import Commands, add_storage_options, open_existing_storage


def add_commands(commands: Commands) -> None:
    """Add ``verify``."""
    command = commands.add(
        "verify",
        verify,
        "report damaged images, manifests, tags, lists and records in the storage",
        epilog="Nothing is changed without --quarantine, apart from the key housekeeping/verify, which says\n"
        "what was read. A run that was interrupted goes on where it ended. The exit code is 1 if something\n"
        "is damaged. The command may run beside servers.",
    )
    command.add_argument(
        "--layers",
        action="store_true",
        help="read all layers and blobs, and compare them with their stored sums and digests",
    )
    command.add_argument(
        "--quarantine",
        action="store_true",
        help="move layers and blobs that do not fit out of the way; pushes restore them (implies --layers)",
    )
    which = command.add_mutually_exclusive_group()
    which.add_argument(
        "--older-than",
        type=duration,
        metavar="DURATION",
        help="read only layers and blobs that no run has read for that time, such as 30d (implies --layers)",
    )
    which.add_argument(
        "--restart",
        action="store_true",
        help="read everything, even if the last run was interrupted (implies --layers)",
    )
    add_pace_options(command)
    add_lines_option(command)
    add_storage_options(command)


def verify(options: argparse.Namespace) -> int:
    """Print each damaged value with what to do, and each tag that it hurts."""
    is_implied = options.quarantine or options.restart or options.older_than is not None
    verification = Housekeeping(open_existing_storage(options)).verify(
        reads_layers=options.layers or is_implied,
        quarantines=options.quarantine,
        older_than_s=options.older_than,
        restarts=options.restart,
        pace=pace_of(options),
        progress=progress_of(options),
    )
    with ended_by_signals():
        findings = verification.findings()
        try:
            for finding in findings:
                _print(finding, as_json=options.json)
        finally:
            # an interrupted run saves where it is
            findings.close()
    if options.json:
        print_line("total", _totals(verification))
    else:
        print(_summary(verification))
    return FAILED if verification.problems or verification.hurt_tags else DONE


def _print(finding: Finding, *, as_json: bool) -> None:
    if as_json:
        print_line("problem" if isinstance(finding, Problem) else "hurt_tag", asdict(finding))
    elif isinstance(finding, HurtTag):
        print(f"tag {finding.tag}: hurt by {', '.join(finding.keys)}", flush=True)
    else:
        moved = f" (moved to {finding.moved_to})" if finding.moved_to else ""
        print(f"{finding.key}: {finding.text}{moved}", flush=True)


def _totals(verification: Verification) -> dict[str, object]:
    return {
        "images": verification.images,
        "blobs": verification.blobs,
        "repositories": verification.repositories,
        "problems": verification.problems,
        "hurt_tags": verification.hurt_tags,
        "read_bytes": verification.read_bytes,
        "skipped": verification.skipped,
    }


def _summary(verification: Verification) -> str:
    found = f"{verification.images} images, {verification.blobs} blobs"
    damaged = f"{verification.repositories} repositories, {verification.problems} damaged values"
    parts = [found, damaged]
    if verification.hurt_tags:
        parts.append(f"{verification.hurt_tags} hurt tags")
    if verification.read_bytes:
        parts.append(f"{in_words(verification.read_bytes)} read")
    if verification.skipped:
        parts.append(f"{verification.skipped} layers and blobs read lately")
    return ", ".join(parts)
