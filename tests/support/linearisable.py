"""Decides whether what clients saw of one tag can be explained by operations that happen one at a time.

Each operation has to happen at one moment between its beginning and its end. A write without an answer may
happen at any moment after its beginning, or never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: The value of a tag that is not set.
ABSENT: Final = ""

#: More explanations at one moment than any history of the tests has. The search gives up beyond it.
_MOST_STATES: Final = 200_000

#: How many operations a report shows.
_SHOWN: Final = 25


@dataclass(frozen=True)
class Operation:
    """A write or a read of one tag. It writes if ``sets`` is given, else it reads.

    :param what: names it in reports.
    :param began_s: before the request was sent, in seconds of one clock for all clients.
    :param ended_s: after the answer came; None if no answer tells whether the operation happened.
    :param sets: the value that is written. ABSENT deletes.
    :param sees: tells whether a value fits what was read.
    """

    what: str
    began_s: float
    ended_s: float | None
    sets: str | None = None
    sees: Callable[[str], bool] | None = None


class NotLinearisable(AssertionError):
    """No order of the operations explains what was seen."""


@dataclass(frozen=True)
class _State:
    """An explanation of what happened so far.

    :param value: of the tag now.
    :param done: the operations that have happened, of those whose end is not yet reached.
    :param used: value -> how many writes of it without an answer have happened. They are alike, because each
        of them may happen at any later moment too.
    """

    value: str
    done: frozenset[int]
    used: frozenset[tuple[str, int]]


class _Search:
    """Follows all explanations from one end of an operation to the next.

    :raises NotLinearisable: of :meth:`run`.
    """

    def __init__(self, operations: Sequence[Operation], initial: str):
        self._operations = operations
        self._open: set[int] = set()  #: begun, with an end that is not yet reached
        self._unanswered: dict[str, int] = {}  #: value -> how many writes of it may happen from now on
        self._states = {_State(initial, frozenset(), frozenset())}

    def run(self) -> None:
        for is_end, number in _moments(self._operations):
            operation = self._operations[number]
            if is_end:
                self._end(number)
            elif operation.ended_s is not None:
                self._open.add(number)
            elif operation.sets is not None:
                self._unanswered[operation.sets] = self._unanswered.get(operation.sets, 0) + 1

    def _end(self, number: int) -> None:
        """Keep the explanations in which an operation has happened."""
        before = {state.value for state in self._states}
        waiting = [self._with_reads(state) for state in self._states]
        met, ended = set(waiting), set()
        while waiting:
            state = waiting.pop()
            if number in state.done:
                ended.add(_State(state.value, state.done - {number}, state.used))
                continue
            for following in self._following(state):
                if following not in met:
                    met.add(following)
                    waiting.append(following)
            assert len(met) < _MOST_STATES, f"more than {_MOST_STATES} explanations at one moment"
        if not ended:
            raise NotLinearisable(self._report(number, before))
        self._open.discard(number)
        self._states = _without_dominated(ended)

    def _following(self, state: _State) -> Iterator[_State]:
        """Yield the explanations in which one more write has happened."""
        for number in self._open - state.done:
            value = self._operations[number].sets
            if value is not None:
                yield self._with_reads(_State(value, state.done | {number}, state.used))
        used = dict(state.used)
        for value, count in self._unanswered.items():
            # such a write that is not read before the next write might as well never have happened
            if value != state.value and count > used.get(value, 0):
                written = _State(
                    value, state.done, frozenset({**used, value: used.get(value, 0) + 1}.items())
                )
                read = self._with_reads(written)
                if read != written:
                    yield read

    def _with_reads(self, state: _State) -> _State:
        """Let all reads happen that fit the value. They change nothing, so it is never better to wait."""
        fitting = {number for number in self._open - state.done if self._fits(number, state.value)}
        return _State(state.value, state.done | fitting, state.used) if fitting else state

    def _fits(self, number: int, value: str) -> bool:
        sees = self._operations[number].sees
        return sees is not None and sees(value)

    def _report(self, number: int, before: set[str]) -> str:
        failed = self._operations[number]
        assert failed.ended_s is not None
        ended_s = failed.ended_s
        begun = sorted(
            (each for each in self._operations if each.began_s <= ended_s), key=lambda each: each.began_s
        )
        lines = [
            f"no order of the operations explains {_line(failed)}",
            f"before its end the value was one of {sorted(before)}; the last operations that had begun:",
            *(_line(each) for each in begun[-_SHOWN:]),
        ]
        return "\n".join(lines)


def check_linearisable(operations: Iterable[Operation], *, initial: str = ABSENT) -> None:
    """Check that one order of the operations on a tag explains all that was seen.

    :param initial: the value before the first operation.
    :raises NotLinearisable: there is no such order.
    """
    _Search(list(operations), initial).run()


def check_histories(histories: Mapping[str, Iterable[Operation]]) -> None:
    """Check the operations of each tag, as :func:`check_linearisable` does.

    :param histories: name of the tag -> operations.
    :raises NotLinearisable: one of them has no order. The text names the tag.
    """
    for name, operations in histories.items():
        try:
            check_linearisable(operations)
        except NotLinearisable as error:
            raise NotLinearisable(f"{name}: {error}") from None


def _moments(operations: Sequence[Operation]) -> list[tuple[bool, int]]:
    """Return beginnings and ends in order: whether it is an end, and the number of the operation.

    Of equal times the beginnings come first, so operations that might overlap do.
    """
    moments = [(each.began_s, False, number) for number, each in enumerate(operations)]
    moments += [
        (each.ended_s, True, number) for number, each in enumerate(operations) if each.ended_s is not None
    ]
    return [(is_end, number) for _, is_end, number in sorted(moments)]


def _without_dominated(states: set[_State]) -> set[_State]:
    """Leave out explanations that need more writes without an answer than an equal one does."""
    alike: dict[tuple[str, frozenset[int]], list[_State]] = {}
    for state in sorted(states, key=lambda each: sum(count for _, count in each.used)):
        kept = alike.setdefault((state.value, state.done), [])
        if not any(_needs_at_most(each, state) for each in kept):
            kept.append(state)
    return {state for kept in alike.values() for state in kept}


def _needs_at_most(one: _State, other: _State) -> bool:
    counts = dict(other.used)
    return all(count <= counts.get(value, 0) for value, count in one.used)


def _line(operation: Operation) -> str:
    end = "no answer" if operation.ended_s is None else f"{operation.ended_s:.6f}"
    return f"  [{operation.began_s:.6f}, {end}] {operation.what}"
