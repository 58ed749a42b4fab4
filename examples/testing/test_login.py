"""A program that acts for a user by OAuth and renews its tokens, and its tests.

pytest examples/testing/test_login.py
"""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from v1registry_fakes import FakeOptions, FakeRegistry


class LoginFailed(Exception):
    """The user or the registry does not let the program in."""


class Login:
    """The log-in of one user.

    :param client: client id and client secret of the program.
    """

    def __init__(self, url: str, client: tuple[str, str], session: requests.Session):
        self._url, self._client, self._session = url, client, session
        self._state = secrets.token_urlsafe(16)
        self._tokens: dict[str, Any] = {}

    def address(self) -> str:
        """Return where the browser of the user goes."""
        asked = {"client_id": self._client[0], "response_type": "code", "state": self._state}
        return f"{self._url}/api/v1.1/o/authorize/?{urlencode(asked)}"

    def finish(self, address: str) -> None:
        """Take the address at which the browser came back.

        :raises LoginFailed: the user said no, or the answer is for another browser.
        """
        answer = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        if answer.get("state") != self._state:
            raise LoginFailed("the answer belongs to another browser")
        if "code" not in answer:
            raise LoginFailed(f"the user did not agree: {answer['error']}")
        self._ask({"grant_type": "authorization_code", "code": answer["code"]})

    def profile(self) -> dict[str, Any]:
        """Return the profile of the user. Expired tokens are renewed.

        :raises LoginFailed: the registry does not renew the tokens.
        """
        answer = self._get_profile()
        if answer.status_code == 401:
            self._ask({"grant_type": "refresh_token", "refresh_token": self._tokens["refresh_token"]})
            answer = self._get_profile()
        answer.raise_for_status()
        return dict(answer.json())

    def _get_profile(self) -> requests.Response:
        place = f"{self._url}/api/v1.1/users/{self._tokens['username']}/"
        authorization = {"Authorization": f"Bearer {self._tokens['access_token']}"}
        return self._session.get(place, headers=authorization, timeout=30)

    def _ask(self, form: dict[str, str]) -> None:
        answer = self._session.post(
            f"{self._url}/api/v1.1/o/token/", data=form, auth=self._client, timeout=30
        )
        if answer.status_code != 200:
            raise LoginFailed(answer.json()["error"])
        self._tokens = answer.json()


# -- tests


@pytest.fixture
def v1registry_options() -> FakeOptions:
    return {"auth": "users:"}


@pytest.fixture
def login(v1registry: FakeRegistry, v1registry_session: requests.Session) -> Login:
    v1registry.add_user("alice", email="alice@example.org")
    program = v1registry.add_application("CI", ["https://ci.example.org/back"])
    assert program.client_secret
    return Login(v1registry.in_process_url, (program.client_id, program.client_secret), v1registry_session)


def test_a_user_lets_the_program_in(v1registry: FakeRegistry, login: Login) -> None:
    login.finish(v1registry.consent(login.address(), "alice"))

    assert login.profile()["email"] == "alice@example.org"
    assert v1registry.requests[-1].user == "alice"


def test_a_user_says_no(v1registry: FakeRegistry, login: Login) -> None:
    with pytest.raises(LoginFailed, match="access_denied"):
        login.finish(v1registry.consent(login.address(), "alice", is_allowed=False))


def test_an_answer_for_another_browser_is_not_used(login: Login) -> None:
    with pytest.raises(LoginFailed, match="another browser"):
        login.finish("https://ci.example.org/back?code=stolen&state=other")


def test_tokens_are_renewed_after_half_a_year(v1registry: FakeRegistry, login: Login) -> None:
    login.finish(v1registry.consent(login.address(), "alice"))

    v1registry.clock.advance(days=181)

    assert login.profile()["username"] == "alice"
    v1registry.assert_requested("POST", "*/o/token/", status=200, times=2)


def test_a_code_that_expired_is_reported(v1registry: FakeRegistry, login: Login) -> None:
    address = v1registry.consent(login.address(), "alice")
    v1registry.clock.advance(minutes=2)

    with pytest.raises(LoginFailed, match="invalid_grant"):
        login.finish(address)
