"""Values that are remembered until they expire."""

from __future__ import annotations

from v1registry.accounts.expiring import ExpiringValues


def test_value_is_kept_until_its_time() -> None:
    values = ExpiringValues[str](2)
    values.keep("a", "one", 10)
    assert [values.find("a", now_s) for now_s in (0, 9.9, 10)] == ["one", "one", None]
    assert len(values) == 0


def test_later_value_of_a_key_counts() -> None:
    values = ExpiringValues[str](2)
    values.keep("a", "one", 10)
    values.keep("a", "two", 20)
    assert (values.find("a", 15), len(values)) == ("two", 1)


def test_least_recently_used_value_is_dropped() -> None:
    values = ExpiringValues[int](3)
    for number in range(3):
        values.keep(number, number, 10)
    values.find(0, 1)
    values.keep(3, 3, 10)
    assert [values.find(number, 1) for number in range(4)] == [0, None, 2, 3]


def test_all_expired_values_are_dropped() -> None:
    values = ExpiringValues[int](10)
    for number in range(10):
        values.keep(number, number, number)
    values.expire(4)
    assert len(values) == 5
