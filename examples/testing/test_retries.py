"""A program that asks again if the registry is not available for a moment, and its tests.

pytest examples/testing/test_retries.py
"""

from __future__ import annotations

from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry
from v1registry_fakes import FakeRegistry

ATTEMPTS = 3


def patient_session() -> requests.Session:
    """Return a session that repeats requests that meet a broken connection or a busy server."""
    retry = Retry(ATTEMPTS - 1, status_forcelist=[502, 503, 504], backoff_factor=0.01)
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    session.mount("https://", HTTPAdapter(max_retries=retry))
    return session


def tags(url: str, repository: str) -> list[str]:
    """Return the tags of a repository.

    :raises requests.RequestException: the registry does not have it, or does not answer.
    """
    with patient_session() as session:
        answer = session.get(f"{url}/v1/repositories/{repository}/tags", timeout=30)
        answer.raise_for_status()
        return sorted(answer.json())


# -- tests


@pytest.mark.parametrize("fault", [{"status": 503}, {"html": True}, {"refuse_connection": True}])
def test_two_failures_are_no_problem(v1registry: FakeRegistry, fault: dict[str, Any]) -> None:
    v1registry.add_image("alice/app:1.0")
    v1registry.fail("GET", "*/tags", times=2, **fault)

    assert tags(v1registry.url, "alice/app") == ["1.0"]

    v1registry.assert_requested("GET", "*/tags", times=3)


def test_the_third_failure_is_reported(v1registry: FakeRegistry) -> None:
    v1registry.add_image("alice/app:1.0")
    v1registry.fail("GET", "*/tags", status=503)

    with pytest.raises(requests.exceptions.RetryError, match="too many 503"):
        tags(v1registry.url, "alice/app")

    v1registry.assert_requested("GET", "*/tags", times=ATTEMPTS)


def test_a_missing_repository_is_asked_for_once(v1registry: FakeRegistry) -> None:
    with pytest.raises(requests.HTTPError, match="404"):
        tags(v1registry.url, "alice/none")

    v1registry.assert_requested("GET", "*/tags", times=1)
