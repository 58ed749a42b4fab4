"""Output of containers as clients read it: frames for two streams, or raw for a terminal (remote.md 6)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final, Protocol

from .processes import POLL_S, Output, Process
from .times import nanoseconds

if TYPE_CHECKING:
    from .containers import Container
    from .hijack import Connection
    from .state import EngineState
    from .versions import ApiVersion

_NUMBERS: Final = {"stdout": 1, "stderr": 2}

RAW: Final = "application/vnd.docker.raw-stream"
MULTIPLEXED: Final = "application/vnd.docker.multiplexed-stream"


def frame(stream: str, data: bytes) -> bytes:
    r"""Return output with the eight bytes in front that tell stream and length.

    >>> frame("stderr", b"x")
    b'\x02\x00\x00\x00\x00\x00\x00\x01x'
    """
    return struct.pack(">BxxxL", _NUMBERS[stream], len(data)) + data


def stream_type(version: ApiVersion, *, has_tty: bool) -> str:
    """Return the content type of a stream. Before 1.42 there is one for both forms."""
    return RAW if has_tty or version < (1, 42) else MULTIPLEXED


@dataclass(frozen=True)
class Selection:
    """What of the output a client wants.

    :param since_s: seconds since the epoch; None for all.
    :param tail: how many of the last lines; None for all.
    """

    streams: frozenset[str]
    since_s: float | None = None
    until_s: float | None = None
    has_timestamps: bool = False
    tail: int | None = None

    def allows(self, output: Output) -> bool:
        """Tell whether the client wants an output."""
        return (
            output.stream in self.streams
            and (self.since_s is None or output.time_s >= self.since_s)
            and (self.until_s is None or output.time_s <= self.until_s)
        )

    def lines(self, output: Output) -> list[bytes]:
        """Return the lines of an output, each with its time if that is wanted."""
        lines = output.data.splitlines(keepends=True)
        if not self.has_timestamps:
            return lines
        moment = datetime.fromtimestamp(output.time_s, timezone.utc)
        return [nanoseconds(moment).encode() + b" " + line for line in lines]


def logs(state: EngineState, container: Container, selection: Selection, *, follows: bool,
         connection: Connection | None) -> Iterator[bytes]:  # fmt: skip
    """Yield the output of the runs of a container; with ``follows`` until it stops.

    ``b""`` is yielded while there is nothing.
    """
    process = container.process
    with state.lock:
        container.settle()
        found = [
            (output.stream, line)
            for run in (*container.earlier, process)
            for output in run.outputs
            if selection.allows(output)
            for line in selection.lines(output)
        ]
        position = len(process.outputs)
    if selection.tail is not None:
        found = found[max(len(found) - selection.tail, 0) :]
    for stream, line in found:
        yield _shown(container, stream, line)
    if not follows:
        return
    yield b""
    for output in followed(state, container, process, position, connection):
        if output is None:
            yield b""
        elif selection.allows(output):
            for line in selection.lines(output):
                yield _shown(container, output.stream, line)


def _shown(container: Container, stream: str, data: bytes) -> bytes:
    return data if container.has_tty else frame(stream, data)


class Settled(Protocol):
    """A container or a command, which does what is due by the clock."""

    def settle(self) -> None:
        """Do what is due."""


def followed(
    state: EngineState,
    owner: Settled,
    process: Process,
    position: int,
    connection: Connection | None = None,
) -> Iterator[Output | None]:
    """Yield what a process writes from a position on, until it ends. None is yielded while it is silent.

    :param connection: its end is the end of the stream too.
    """
    while True:
        with state.changed:
            owner.settle()
            found = process.outputs[position:]
            if not found and not process.has_ended and not state.is_closed:
                state.changed.wait(POLL_S)
                found = process.outputs[position:]
            position += len(found)
            is_over = not found and (process.has_ended or state.is_closed)
        yield from found
        if is_over or (connection is not None and connection.is_gone):
            return
        if not found:
            yield None
