"""A program that gets a new token when the old one has expired, and its tests.

pytest examples/testing/test_token_refresh.py
"""

from __future__ import annotations

import re

import pytest
import requests
from v1registry_fakes import FakeRegistry


class Reader:
    """Reads from a registry of today with a token, which it renews.

    :param url: the registry.
    :param session: makes the requests.
    """

    def __init__(self, url: str, username: str, password: str, session: requests.Session):
        self._url, self._auth, self._session = url, (username, password), session
        self._token = ""

    def get(self, path: str) -> requests.Response:
        """Return the answer to a request with a valid token.

        :raises requests.HTTPError: the user may not read it, or it is missing.
        """
        answer = self._ask(path)
        if answer.status_code == 401:
            self._renew(answer.headers["WWW-Authenticate"])
            answer = self._ask(path)
        answer.raise_for_status()
        return answer

    def _ask(self, path: str) -> requests.Response:
        # requests would put a login of ~/.netrc in the place of the token
        authorization = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return self._session.get(self._url + path, headers=authorization, timeout=30)

    def _renew(self, challenge: str) -> None:
        values = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = values.pop("realm")
        answer = self._session.get(realm, params=values, auth=self._auth, timeout=30)
        answer.raise_for_status()
        self._token = answer.json()["token"]


# -- tests


@pytest.fixture
def v1registry_options() -> dict[str, str]:
    return {"auth": "users:"}


@pytest.fixture
def reader(v1registry: FakeRegistry, v1registry_session: requests.Session) -> Reader:
    v1registry.add_user("alice", "correct horse")
    v1registry.add_repository("alice/secret", is_private=True)
    v1registry.add_image("alice/secret:1.0", api="v2")
    return Reader(v1registry.in_process_url, "alice", "correct horse", v1registry_session)


def test_one_token_is_used_until_it_expires(v1registry: FakeRegistry, reader: Reader) -> None:
    for _ in range(3):
        assert reader.get("/v2/alice/secret/tags/list").json()["tags"] == ["1.0"]
    v1registry.assert_requested("GET", "/v2/token", times=1)

    v1registry.clock.advance(minutes=10)

    assert reader.get("/v2/alice/secret/tags/list").json()["tags"] == ["1.0"]
    v1registry.assert_requested("GET", "/v2/token", times=2)


def test_a_token_that_expires_between_two_requests_is_renewed(
    v1registry: FakeRegistry, reader: Reader
) -> None:
    reader.get("/v2/alice/secret/tags/list")
    v1registry.fail("GET", "*/tags/list", expired_token=True, times=1)

    assert reader.get("/v2/alice/secret/tags/list").status_code == 200


def test_a_wrong_password_is_reported(v1registry: FakeRegistry, v1registry_session: requests.Session) -> None:
    v1registry.add_user("alice", "correct horse")
    v1registry.add_repository("alice/secret", is_private=True)
    reader = Reader(v1registry.in_process_url, "alice", "wrong", v1registry_session)

    with pytest.raises(requests.HTTPError, match="401"):
        reader.get("/v2/alice/secret/tags/list")
