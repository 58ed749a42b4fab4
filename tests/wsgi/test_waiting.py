"""Limits of waiting for bodies, and the number of bodies at once."""

from __future__ import annotations

import pytest

from v1registry.wsgi.waiting import BODY_WAIT_KEY, BodySlots, BodyWait, limit_waiting


def wait(**limits: float) -> BodyWait:
    """Return a wait with limits."""
    made = BodyWait()
    made.allow(**limits)  # type: ignore[arg-type]  # least_rate is a whole number
    return made


def test_nothing_is_waited_for_without_limits() -> None:
    with pytest.raises(TimeoutError):
        BodyWait().next_s()


def test_silence_ends_the_wait() -> None:
    body = wait(silence_s=30)
    assert body.next_s() == 30
    body.waited(20)
    assert body.next_s() == 10
    body.waited(10)
    with pytest.raises(TimeoutError):
        body.next_s()


def test_a_byte_ends_the_silence() -> None:
    body = wait(silence_s=30)
    for _ in range(10):
        body.waited(29)
        body.received(1)
        assert body.next_s() > 0


@pytest.mark.parametrize(("size", "is_kept"), [(2999, False), (3000, True)])
def test_bytes_below_the_least_rate_end_the_wait(size: int, is_kept: bool) -> None:
    body = wait(silence_s=30, least_rate=100)
    for part in (size - 1, 1):
        body.waited(15)
        body.received(part)
    if is_kept:
        assert body.next_s() == 30
    else:
        with pytest.raises(TimeoutError):
            body.next_s()


def test_many_bytes_at_first_do_not_excuse_a_slow_rest() -> None:
    body = wait(silence_s=30, least_rate=100)
    body.received(10_000_000)
    for _ in range(2):
        assert body.next_s() > 0
        body.waited(15)
        body.received(1)
    assert body.next_s() == 30
    for _ in range(2):
        body.waited(15)
        body.received(1)
    with pytest.raises(TimeoutError):
        body.next_s()


def test_total_time_ends_the_wait() -> None:
    body = wait(silence_s=30, total_s=5)
    assert 0 < body.next_s() <= 5
    body.allow(silence_s=30, total_s=0)
    with pytest.raises(TimeoutError):
        body.next_s()


def test_slots_are_bounded_and_given_back() -> None:
    slots = BodySlots(3, 2, 3)
    assert [slots.take("", is_anonymous=True) for _ in range(3)] == [True, True, False]
    assert [slots.take("", is_anonymous=False) for _ in range(2)] == [True, False]
    slots.give_back("", is_anonymous=True)
    assert slots.take("", is_anonymous=True)
    slots.give_back("", is_anonymous=False)
    assert slots.take("", is_anonymous=False)


def test_slots_of_one_client_leave_room_for_others() -> None:
    slots = BodySlots(4, 4, 2)
    assert [slots.take("user mira", is_anonymous=False) for _ in range(3)] == [True, True, False]
    assert [slots.take("192.0.2.1", is_anonymous=True) for _ in range(3)] == [True, True, False]
    slots.give_back("user mira", is_anonymous=False)
    assert slots.take("user mira", is_anonymous=False)
    assert not slots.take("user robert", is_anonymous=False)


class Timed:
    """A socket that notes its timeout."""

    timeout: float | None = None

    def settimeout(self, value: float) -> None:
        """Note the timeout."""
        self.timeout = value


def test_limits_reach_the_server_or_its_socket() -> None:
    body, socket = BodyWait(), Timed()
    limit_waiting({BODY_WAIT_KEY: body}, silence_s=7)
    limit_waiting({"gunicorn.socket": socket}, silence_s=7, total_s=3)
    limit_waiting({}, silence_s=7)
    assert body.next_s() == 7
    assert socket.timeout == 3
