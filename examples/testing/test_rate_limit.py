"""A program that waits as long as the registry asks it to, and its tests.

pytest examples/testing/test_rate_limit.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import requests
from v1registry_fakes import FakeRegistry

LONGEST_WAIT_S = 60


class RateLimited(Exception):
    """The registry asks for a longer wait than the program has time for."""


def get(
    session: requests.Session, url: str, *, sleep: Callable[[float], object] = time.sleep
) -> requests.Response:
    """Return an answer that is not 429.

    :raises RateLimited: all waits together would be longer than LONGEST_WAIT_S.
    """
    waited_s = 0
    while True:
        answer = session.get(url, timeout=30)
        if answer.status_code != 429:
            return answer
        wait_s = int(answer.headers.get("Retry-After", "1"))
        if waited_s + wait_s > LONGEST_WAIT_S:
            raise RateLimited(f"the registry asks to wait for {wait_s} s after {waited_s} s")
        sleep(wait_s)
        waited_s += wait_s


# -- tests

URL = "http://registry.example.com/v2/alice/app/manifests/1.0"


def test_the_program_waits_as_asked(v1registry: FakeRegistry, v1registry_session: requests.Session) -> None:
    v1registry.add_image("alice/app:1.0", api="v2")
    v1registry.fail("GET", api="v2", status=429, retry_after_s=7, times=2)
    waits: list[float] = []

    assert get(v1registry_session, URL, sleep=waits.append).status_code == 200

    assert waits == [7, 7]


def test_a_long_wait_is_reported(v1registry: FakeRegistry, v1registry_session: requests.Session) -> None:
    v1registry.fail(status=429, retry_after_s=50)
    waits: list[float] = []

    with pytest.raises(RateLimited, match="wait for 50 s after 50 s"):
        get(v1registry_session, URL, sleep=waits.append)

    assert waits == [50]
    v1registry.assert_requested(status=429, times=2)
