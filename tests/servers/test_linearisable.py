"""The checker of histories: which of them an order of operations explains."""

from __future__ import annotations

import random
from itertools import combinations, permutations

import pytest
from support.linearisable import ABSENT, NotLinearisable, Operation, check_histories, check_linearisable


def put(value: str, began_s: float, ended_s: float | None) -> Operation:
    return Operation(f"put {value}", began_s, ended_s, sets=value)


def delete(began_s: float, ended_s: float | None) -> Operation:
    return Operation("delete", began_s, ended_s, sets=ABSENT)


def get(value: str, began_s: float, ended_s: float | None) -> Operation:
    return Operation(f"get {value or 'nothing'}", began_s, ended_s, sees=lambda found: found == value)


LINEARISABLE: dict[str, list[Operation]] = {
    "nothing": [],
    "nothing is read before the first write": [get(ABSENT, 0, 1), put("a", 2, 3), get("a", 4, 5)],
    "a read beside a write sees the old value": [put("a", 0, 1), put("b", 2, 5), get("a", 3, 4)],
    "a read beside a write sees the new value": [put("a", 0, 1), put("b", 2, 5), get("b", 3, 4)],
    "writes at once end in either order": [put("a", 0, 9), put("b", 1, 8), get("a", 10, 11)],
    "reads at once see a write in either order": [put("a", 0, 9), get("a", 1, 8), get(ABSENT, 2, 7)],
    "equal times overlap": [put("a", 0, 1), get(ABSENT, 1, 2)],
    "a deleted tag is gone": [put("a", 0, 1), delete(2, 3), get(ABSENT, 4, 5)],
    "a write without answer happened": [put("a", 0, None), get("a", 1, 2)],
    "a write without answer never happened": [put("a", 0, 1), put("b", 2, None), get("a", 3, 4)],
    "a write without answer takes effect late": [
        put("a", 0, None),
        put("b", 1, 2),
        get("b", 3, 4),
        get("a", 5, 6),
    ],
    "a deletion without answer takes effect late": [
        put("a", 0, 1),
        delete(2, None),
        get("a", 3, 4),
        get(ABSENT, 5, 6),
    ],
    "two equal writes without answer happen one by one": [
        put("a", 0, None),
        put("a", 0, None),
        get("a", 1, 2),
        put("b", 3, 4),
        get("a", 5, 6),
    ],
    "a read without answer says nothing": [put("a", 0, 1), get("b", 2, None), get("a", 3, 4)],
    "a write is seen and hidden beside another one": [
        put("a", 0, 9),
        put("b", 0, 9),
        get("a", 1, 2),
        get("b", 3, 4),
        get("b", 10, 11),
    ],
}

NOT_LINEARISABLE: dict[str, list[Operation]] = {
    "stale read": [put("a", 0, 1), put("b", 2, 3), get("a", 4, 5)],
    "stale read after a fresh one": [put("a", 0, 9), get("a", 1, 2), get(ABSENT, 3, 4)],
    "lost write": [put("a", 0, 1), get(ABSENT, 2, 3)],
    "lost update": [put("a", 0, 1), put("b", 2, 3), get("b", 4, 5), get("a", 6, 7)],
    "value from nowhere": [put("a", 0, 1), get("c", 2, 3)],
    "value from the future": [get("a", 0, 1), put("a", 2, 3)],
    "resurrected deletion": [put("a", 0, 1), delete(2, 3), get(ABSENT, 4, 5), get("a", 6, 7)],
    "lost deletion": [put("a", 0, 1), delete(2, 3), get("a", 4, 5)],
    "a write without answer before it began": [get("a", 0, 1), put("a", 2, None)],
    "a write without answer takes effect twice": [
        put("a", 0, None),
        get("a", 1, 2),
        put("b", 3, 4),
        get("a", 5, 6),
    ],
    "two readers see two writes in different orders": [
        put("a", 0, 9),
        put("b", 0, 9),
        get("a", 1, 2),
        get("b", 3, 4),
        get("a", 5, 6),
    ],
}


@pytest.mark.parametrize("operations", LINEARISABLE.values(), ids=LINEARISABLE)
def test_linearisable_history_is_accepted(operations: list[Operation]) -> None:
    check_linearisable(operations)


@pytest.mark.parametrize("operations", NOT_LINEARISABLE.values(), ids=NOT_LINEARISABLE)
def test_history_without_an_order_is_rejected(operations: list[Operation]) -> None:
    with pytest.raises(NotLinearisable, match="no order of the operations explains"):
        check_linearisable(operations)


def test_report_names_the_tag_and_the_read() -> None:
    histories = {"team/app:1": LINEARISABLE["nothing"], "team/app:2": NOT_LINEARISABLE["stale read"]}
    with pytest.raises(NotLinearisable, match=r"team/app:2: .*explains   \[4\.000000, 5\.000000\] get a"):
        check_histories(histories)


def _has_an_order(operations: list[Operation]) -> bool:
    """Tell the same by a look at each order of each choice of the writes without answer."""
    answered = [each for each in operations if each.ended_s is not None]
    unanswered = [each for each in operations if each.ended_s is None and each.sets is not None]
    choices = (list(c) for n in range(len(unanswered) + 1) for c in combinations(unanswered, n))
    return any(_is_explained(order) for choice in choices for order in permutations(answered + choice))


def _is_explained(order: tuple[Operation, ...]) -> bool:
    value, latest_s = ABSENT, -1.0
    for operation in order:
        latest_s = max(latest_s, operation.began_s)
        if operation.ended_s is not None and operation.ended_s < latest_s:
            return False
        if operation.sees is not None and not operation.sees(value):
            return False
        value = value if operation.sets is None else operation.sets
    return True


def _random_operation(source: random.Random) -> Operation:
    began_s = source.randrange(8)
    ended_s = None if source.random() < 0.2 else began_s + source.randrange(1, 6)
    make = source.choice((put, get, get))
    return make(source.choice((ABSENT, "a", "b")), began_s, ended_s)


def test_checker_agrees_with_a_look_at_all_orders() -> None:
    source = random.Random(7)
    found = []
    for _ in range(1500):
        operations = [_random_operation(source) for _ in range(source.randrange(1, 6))]
        try:
            check_linearisable(operations)
        except NotLinearisable:
            found.append(False)
        else:
            found.append(True)
        assert found[-1] == _has_an_order(operations), operations
    assert 300 < sum(found) < 1200


def _atomic_history(source: random.Random, count: int, at_once: int) -> list[Operation]:
    """Return what ``at_once`` clients see of a tag whose operations happen at moments within their times."""
    moments = sorted(source.uniform(0, count / at_once) for _ in range(count))
    operations, value = [], ABSENT
    for number, moment_s in enumerate(moments):
        began_s, ended_s = moment_s - source.random(), moment_s + source.random()
        if source.random() < 0.5:
            operations.append(get(value, began_s, ended_s))
            continue
        written = source.choice((ABSENT, f"{number}"))
        is_lost, is_answered = source.random() < 0.05, source.random() < 0.9
        if not is_lost:
            value = written
        operations.append(put(written, began_s, ended_s if is_answered and not is_lost else None))
    return operations


@pytest.mark.parametrize("seed", range(5))
def test_long_history_of_an_atomic_tag_is_accepted_and_a_stale_read_in_it_is_not(seed: int) -> None:
    operations = _atomic_history(random.Random(seed), 600, at_once=5)
    check_linearisable(operations)

    answered = [each for each in operations if each.sets and each.ended_s is not None and each.ended_s < 20]
    stale = get(str(answered[0].sets), 1000, 1001)
    fresh = [put("newest", 998, 999), get("newest", 999.5, 999.6)]
    with pytest.raises(NotLinearisable, match="newest"):
        check_linearisable([*operations, *fresh, stale])
