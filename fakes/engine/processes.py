"""Simulated processes: output, input and end. No process runs (remote.md 5.1)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Condition
from typing import Final, Literal

from v1registry.clock import Clock

from .terminals import as_terminal

StreamName = Literal["stdout", "stderr"]

#: How often waiting requests look at the clock, in seconds.
POLL_S: Final = 0.02

#: The most output that is kept, and the most input that waits, in bytes.
_MOST_OUTPUT_BYTES: Final = 64 << 20
_MOST_INPUT_BYTES: Final = 8 << 20


@dataclass(frozen=True)
class Output:
    """What a process wrote at once."""

    stream: StreamName
    data: bytes
    time_s: float


class Process:
    """One run of a container, or of a command in one. Safe for threads.

    :param changed: is notified of each change; its lock is that of the engine.
    :param has_tty: whether it writes to a terminal, which has one stream and ends lines with CR LF.
    """

    def __init__(self, clock: Clock, changed: Condition, *, has_tty: bool = False):
        self.clock = clock
        self.changed = changed
        self._has_tty = has_tty
        self._input: deque[bytes] = deque()
        self._is_input_open = True
        self._output_bytes = 0
        self.outputs: list[Output] = []
        self.exit_code: int | None = None  #: None while it runs
        self.ended_at_s: float | None = None
        self._due: tuple[float, int] | None = None  # when it ends, and with which code

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self.exit_code is not None

    def end_later(self, moment_s: float, exit_code: int) -> None:
        """End the process when the clock comes to a moment."""
        with self.changed:
            self._due = moment_s, exit_code

    def settle(self) -> None:
        """End the process if its time has come."""
        with self.changed:
            if self._due is not None and self._due[0] <= self.clock.time_s():
                self.end(self._due[1], self._due[0])

    def end(self, exit_code: int, at_s: float | None = None) -> None:
        """End the process, unless it has ended."""
        with self.changed:
            if self.exit_code is None:
                self.exit_code = exit_code
                self.ended_at_s = self.clock.time_s() if at_s is None else at_s
                self._due = None
                self.changed.notify_all()

    def write(self, stream: StreamName, data: bytes, *, at_s: float | None = None) -> None:
        """Add output, unless the process has ended or wrote too much.

        :param at_s: when it was written; now if None.
        """
        if self._has_tty:
            stream, data = "stdout", as_terminal(data)
        with self.changed:
            self._output_bytes += len(data)
            if self.has_ended or self._output_bytes > _MOST_OUTPUT_BYTES or not data:
                return
            self.outputs.append(Output(stream, data, self.clock.time_s() if at_s is None else at_s))
            self.changed.notify_all()

    # -- input

    def give_input(self, data: bytes) -> None:
        """Send bytes to standard input. Too many at once are left out."""
        with self.changed:
            if sum(map(len, self._input)) <= _MOST_INPUT_BYTES:
                self._input.append(data)
            self.changed.notify_all()

    def close_input(self) -> None:
        """Close standard input."""
        with self.changed:
            self._is_input_open = False
            self.changed.notify_all()

    def input(self) -> Iterator[bytes]:
        """Yield the input until it is closed or the process ended."""
        while True:
            with self.changed:
                while not self._input and self._is_input_open and not self.has_ended:
                    self.changed.wait(POLL_S)
                if not self._input:
                    return
                chunk = self._input.popleft()
            yield chunk

    # -- waiting

    def wait_for(self, seconds: float) -> bool:
        """Wait on the clock. Return False if the process ended meanwhile."""
        until_s = self.clock.time_s() + seconds
        with self.changed:
            while self.clock.time_s() < until_s and not self.has_ended:
                self.changed.wait(POLL_S)
            return not self.has_ended
