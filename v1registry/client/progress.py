"""Progress of pushes and pulls: the interface, and progress bars with tqdm."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn, Protocol, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm


class Task(Protocol):
    """The transfer of one layer. Its methods are called in the thread that transfers it."""

    def advance(self, size_bytes: int, /) -> None:
        """Add transferred bytes. The number is negative if the transfer begins again."""

    def finish(self) -> None:
        """End the transfer. Called once, also after a failure."""


class Progress(Protocol):
    """Receives the start of every transfer. Several transfers run at once, in several threads."""

    def start(self, label: str, total_bytes: int | None, /) -> Task:
        """Begin a transfer.

        :param label: such as ``push 0123456789ab``.
        :param total_bytes: None if the size is unknown.
        """


class Silence:
    """Ignores all progress."""

    def start(self, label: str, total_bytes: int | None, /) -> Task:
        """Do nothing."""
        return self

    def advance(self, size_bytes: int, /) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


class TqdmProgress:
    """Shows a bar for every transfer.

    :param file: where to; standard error if None.
    :param is_quiet: show nothing.
    :raises ImportError: tqdm is missing; the extra ``v1registry[server]`` installs it.
    """

    def __init__(self, file: TextIO | None = None, *, is_quiet: bool = False):
        try:
            from tqdm import tqdm
        except ImportError as exc:
            raise ImportError("progress bars need tqdm: pip install 'v1registry[server]'") from exc
        self._tqdm = tqdm
        self._file = file
        self._is_quiet = is_quiet

    def start(self, label: str, total_bytes: int | None, /) -> Task:
        """Show a bar."""
        bar: tqdm[NoReturn] = self._tqdm(
            desc=label,
            total=total_bytes,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            file=self._file or sys.stderr,
            disable=self._is_quiet,
        )
        return _Bar(bar)


class _Bar:
    def __init__(self, bar: tqdm[NoReturn]):
        self._bar = bar

    def advance(self, size_bytes: int, /) -> None:
        self._bar.update(size_bytes)

    def finish(self) -> None:
        self._bar.close()


class Meter:
    """A task that counts its bytes, and a context manager that finishes it."""

    def __init__(self, progress: Progress, label: str, total_bytes: int | None):
        self._task = progress.start(label, total_bytes)
        self._done_bytes = 0

    def advance(self, size_bytes: int) -> None:
        """Add transferred bytes."""
        self._done_bytes += size_bytes
        self._task.advance(size_bytes)

    def set(self, done_bytes: int) -> None:
        """Set the number of transferred bytes."""
        if done_bytes != self._done_bytes:
            self.advance(done_bytes - self._done_bytes)

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._task.finish()
