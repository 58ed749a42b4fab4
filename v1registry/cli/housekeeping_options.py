"""What the commands of maintenance share: their rate, progress bars, lines of JSON, and their end.

A run that is stopped by SIGTERM ends as by Ctrl-C: it saves where it is, and the next run goes on there.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn

from ..housekeeping.pace import Pace
from ..housekeeping.progress import SILENCE, Progress, Step

if TYPE_CHECKING:
    from tqdm import tqdm

_FACTORS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_pace_options(command: argparse.ArgumentParser) -> None:
    """Add ``--rate``, ``--objects-per-second`` and ``--quiet``."""
    command.add_argument(
        "--rate", type=size, metavar="BYTES", help="read at most so many bytes in a second, such as 20M"
    )
    command.add_argument(
        "--objects-per-second",
        type=positive,
        metavar="N",
        help="look at no more than so many objects in a second",
    )
    command.add_argument("--quiet", action="store_true", help="show no progress")


def add_lines_option(command: argparse.ArgumentParser) -> None:
    """Add ``--json``, for :func:`print_line`."""
    command.add_argument(
        "--json", action="store_true", help="print JSON: one object in each line, the totals in the last one"
    )


def pace_of(options: argparse.Namespace) -> Pace:
    """Return the rate that the command line asks for."""
    return Pace(options.rate, options.objects_per_second)


def progress_of(options: argparse.Namespace) -> Progress:
    """Return progress bars on standard error; none with ``--quiet``, or if that is no terminal."""
    return SILENCE if options.quiet or not sys.stderr.isatty() else _Bars()


def print_line(kind: str, fields: Mapping[str, object]) -> None:
    """Print an object of JSON as one line to standard output at once.

    :param kind: what the line is about; the first value in it.
    """
    print(json.dumps({"kind": kind, **fields}), flush=True)


def in_words(size_bytes: int) -> str:
    """Return a number of bytes for people.

    >>> in_words(999), in_words(1536), in_words(5 << 40)
    ('999 B', '1.5 KiB', '5.0 TiB')
    """
    if size_bytes < 1024:
        return f"{size_bytes} B"
    shown, unit = size_bytes / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if shown < 1024:
            break
        shown, unit = shown / 1024, larger
    return f"{shown:.1f} {unit}"


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM end a block as Ctrl-C does."""

    def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# -- types of options


def size(text: str) -> int:
    """Return a number of bytes.

    :param text: such as ``500K``, ``20M`` or ``1G``.
    :raises argparse.ArgumentTypeError: the text is something else.

    >>> size("20M")
    20971520
    """
    found = re.fullmatch(r"([0-9]{1,12})([KMG]?)", text, re.ASCII)
    if found is None or not int(found[1]):
        raise argparse.ArgumentTypeError(f"must be a number of bytes such as 500K, 20M or 1G, not {text!r}")
    return int(found[1]) * _FACTORS[found[2]]


def positive(text: str) -> int:
    """Return a number from 1 to 999,999,999.

    :raises argparse.ArgumentTypeError: the text is something else.
    """
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 999999999, not {text!r}")
    return int(text)


def duration(text: str) -> int:
    """Return a number of seconds.

    :param text: such as ``90s``, ``30m``, ``24h`` or ``7d``. ``0`` is no time at all.
    :raises argparse.ArgumentTypeError: the text is something else.

    >>> duration("24h"), duration("0")
    (86400, 0)
    """
    if text == "0":
        return 0
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text, re.ASCII)
    if found is None:
        raise argparse.ArgumentTypeError(f"must be a duration such as 90s, 30m, 24h or 7d, not {text!r}")
    return int(found[1]) * _UNITS_S[found[2]]


# -- progress bars


class _Bars:
    """Shows a bar for each step.

    :raises ImportError: tqdm is missing; the extra ``v1registry[server]`` installs it.
    """

    def __init__(self) -> None:
        try:
            from tqdm import tqdm
        except ImportError as exc:
            raise ImportError(
                "progress bars need tqdm: pip install 'v1registry[server]', or --quiet"
            ) from exc
        self._tqdm = tqdm

    def start(self, label: str, total: int | None, unit: str, /) -> Step:
        """Show a bar."""
        is_bytes = unit == "B"
        bar: tqdm[NoReturn] = self._tqdm(
            desc=label,
            total=total,
            unit=unit if is_bytes else f" {unit}",
            unit_scale=is_bytes,
            unit_divisor=1024,
            file=sys.stderr,
            leave=False,
        )
        return _Bar(bar)


class _Bar:
    def __init__(self, bar: tqdm[NoReturn]):
        self._bar = bar

    def advance(self, number: int, /) -> None:
        self._bar.update(number)

    def finish(self) -> None:
        self._bar.close()
