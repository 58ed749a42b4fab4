"""Who wants to see how far a push or a pull is gives an object with one method; bars with tqdm come along."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn, Protocol, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm


class Task(Protocol):
    """One layer on its way. Called by the thread that moves it."""

    def advance(self, size_bytes: int, /) -> None:
        """So many more bytes are done; fewer than zero when the transfer had to begin again."""

    def finish(self) -> None:
        """Nothing more comes. Called once, after a failure too."""


class Progress(Protocol):
    """Is told of every transfer. Several run at the same time, in several threads."""

    def start(self, label: str, total_bytes: int | None, /) -> Task:
        """A transfer begins. ``total_bytes`` is None where the size is unknown."""


class Silence:
    """Progress that nobody watches."""

    def start(self, label: str, total_bytes: int | None, /) -> Task:
        return self

    def advance(self, size_bytes: int, /) -> None:
        pass

    def finish(self) -> None:
        pass


class TqdmProgress:
    """A bar for every transfer, on standard error or ``file``.

    :raises ImportError: when tqdm is missing; it comes with ``pip install 'v1registry[server]'``.
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
    """A task that knows where it stands, so that a transfer may also say "so many bytes are there". A context manager."""

    def __init__(self, progress: Progress, label: str, total_bytes: int | None):
        self._task = progress.start(label, total_bytes)
        self._done_bytes = 0

    def advance(self, size_bytes: int) -> None:
        self._done_bytes += size_bytes
        self._task.advance(size_bytes)

    def set(self, done_bytes: int) -> None:
        if done_bytes != self._done_bytes:
            self.advance(done_bytes - self._done_bytes)

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._task.finish()
