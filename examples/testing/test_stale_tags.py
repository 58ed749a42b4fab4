"""A program that waits until a new tag is in the list, and its tests.

pytest examples/testing/test_stale_tags.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import requests
from v1registry_fakes import FakeRegistry


def wait_for_tag(
    session: requests.Session,
    url: str,
    name: str,
    *,
    attempts: int = 10,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Return when a tag is in the list of its repository. Caches may show an old list for a while.

    :param name: such as ``alice/app:1.0``.
    :raises TimeoutError: it is not there after all attempts.
    """
    repository, _, tag = name.partition(":")
    for attempt in range(attempts):
        answer = session.get(f"{url}/v2/{repository}/tags/list", timeout=30)
        if answer.status_code == 200 and tag in answer.json()["tags"]:
            return
        sleep(min(2**attempt, 30))
    raise TimeoutError(f"{name} is not in the list of tags after {attempts} attempts")


# -- tests

URL = "http://registry.example.com"


def test_a_tag_appears_after_a_while(v1registry: FakeRegistry, v1registry_session: requests.Session) -> None:
    v1registry.add_image("alice/app:1.0", api="v2")
    v1registry.fail(route="get_tags", stale=True, times=2)
    v1registry.add_image("alice/app:1.1", api="v2")
    waits: list[float] = []

    wait_for_tag(v1registry_session, URL, "alice/app:1.1", sleep=waits.append)

    assert waits == [1, 2]
    v1registry.assert_requested(route="get_tags", times=3)


def test_a_tag_that_never_appears_is_reported(
    v1registry: FakeRegistry, v1registry_session: requests.Session
) -> None:
    v1registry.add_image("alice/app:1.0", api="v2")

    with pytest.raises(TimeoutError, match=r"alice/app:1\.1 is not in the list of tags after 3 attempts"):
        wait_for_tag(v1registry_session, URL, "alice/app:1.1", attempts=3, sleep=lambda seconds: None)
