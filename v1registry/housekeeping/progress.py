"""Progress of maintenance: the interface that shows it."""

from __future__ import annotations

from typing import Final, Protocol


class Step(Protocol):
    """One step of a run, such as the walk over all images. A run has one step at a time.

    Over an object store, several threads may call :meth:`advance`, one at a time.
    """

    def advance(self, number: int, /) -> None:
        """Add what was done since the last call, in the unit of the step."""

    def finish(self) -> None:
        """End the step. Called once, also after a failure."""


class Progress(Protocol):
    """Receives the start of each step of a run, in the thread of the run."""

    def start(self, label: str, total: int | None, unit: str, /) -> Step:
        """Begin a step.

        :param label: such as ``images``.
        :param total: in ``unit``; None if it is unknown.
        :param unit: ``B`` for bytes, else what is counted, such as ``images``.
        """


class Silence:
    """Ignores all progress."""

    def start(self, label: str, total: int | None, unit: str, /) -> Step:
        """Do nothing."""
        return self

    def advance(self, number: int, /) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


SILENCE: Final = Silence()
