"""A server with OAuth: its users, its applications, and a clock that stands still until it is set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from webtest import TestResponse

from support.clock import Clock
from support.credentials import basic
from support.world import World
from support.wsgi_client import Client
from v1registry import Registry, Storage
from v1registry.accounts.base import Account
from v1registry.accounts.service import Accounts
from v1registry.accounts.users import UserStore
from v1registry.errors import OAuthError
from v1registry.oauth.applications import Application, Applications
from v1registry.oauth.grants import Grants, Issued
from v1registry.oauth.provider import Provider
from v1registry.oauth.records import Grant
from v1registry.rights import User
from v1registry.storage.records import parsed

BACK = "https://ci.example.org/back"
MIRA = User("mira_k")
TOKEN_PATH = "/api/v1.1/o/token/"

#: The example of RFC 7636, appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


class OAuthWorld(World):
    """A world with the parts of OAuth, the user mira_k and the application ci-bot.

    The parts and the servers have one clock. Servers allow plain http.
    """

    users: UserStore

    def __init__(self, storage: Storage | None = None) -> None:
        self.clock = Clock()
        super().__init__(storage, oauth_http="allow", clock=self.clock)
        self.users.create("mira_k", "correct-horse", "mira@example.org")
        self.accounts = Accounts(self.users)
        self.applications = Applications(self.storage, clock=self.clock)
        self.application, secret = self.applications.add("Example CI", [BACK], client_id="ci-bot")
        assert secret is not None
        self.secret = secret
        self.grants = Grants(self.storage, self.applications, self.accounts, clock=self.clock)
        self.provider = Provider(self.applications, self.grants)

    @property
    def account(self) -> Account:
        return self.users.account("mira_k")

    def add(self, client_id: str, **options: Any) -> Application:
        return self.applications.add(client_id.title(), [BACK], client_id=client_id, **options)[0]

    def code(
        self,
        scopes: tuple[str, ...] = ("profile_read", "email_read"),
        *,
        application: Application | None = None,
        challenge: str | None = None,
        is_redirect_given: bool = False,
    ) -> str:
        """Return a code for what mira_k granted."""
        return self.grants.issue_code(
            application or self.application,
            self.account,
            scopes,
            redirect_uri=BACK,
            is_redirect_given=is_redirect_given,
            challenge=challenge,
        )

    def tokens(self, scopes: tuple[str, ...] = ("profile_read", "email_read")) -> Issued:
        return self.grants.redeem(self.code(scopes), self.application)

    def kept(self, folder: str = "accounts/oauth/") -> list[str]:
        """Return the keys of what is kept besides applications."""
        return [stat.key for stat in self.storage.list(folder) if "/applications/" not in stat.key]

    def grant(self) -> Grant:
        """Return the one grant that is kept."""
        (key,) = self.kept("accounts/oauth/grants/")
        return parsed(key, self.storage.read(key)[0], Grant)


class ApplicationClient:
    """An application that talks to a server."""

    def __init__(self, app: Registry, client_id: str, secret: str | None):
        self.client = Client(app)
        self.client_id = client_id
        self.secret = secret

    @property
    def basic(self) -> dict[str, str]:
        return basic(self.client_id, self.secret or "")

    def post(
        self, path: str, parameters: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> TestResponse:
        """POST a form with the application's own credentials, or with these headers."""
        return self.client.post(
            path,
            urlencode(parameters),
            {
                "Content-Type": "application/x-www-form-urlencoded",
                **(self.basic if headers is None else headers),
            },
        )

    def post_json(self, path: str, parameters: Mapping[str, object]) -> TestResponse:
        headers = {"Content-Type": "application/json", **self.basic}
        return self.client.post(path, json.dumps(parameters), headers)

    def token(self, headers: Mapping[str, str] | None = None, /, **parameters: str) -> TestResponse:
        return self.post(TOKEN_PATH, parameters, headers)

    def redeem(self, code: str, **parameters: str) -> TestResponse:
        return self.token(grant_type="authorization_code", code=code, **parameters)

    def refresh(self, refresh_token: str, **parameters: str) -> TestResponse:
        return self.token(grant_type="refresh_token", refresh_token=refresh_token, **parameters)


def oauth_error(answer: TestResponse) -> tuple[int, str]:
    """Return status and code of an answer that has to be an error in the form of RFC 6749, 5.2."""
    assert list(answer.json) == ["error", "error_description"], answer
    text = answer.json["error_description"]
    # RFC 6749, 5.2: the characters of error_description
    assert text, answer
    assert all(0x20 <= ord(character) <= 0x7E and character not in '"\\' for character in text), text
    return answer.status_int, answer.json["error"]


def answer_in(location: str) -> dict[str, str]:
    """Return the parameters of a redirect, each of which has to be there once."""
    pairs = parse_qsl(urlsplit(location).query, keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs), location
    return dict(pairs)


def code_in(location: str) -> str:
    (code,) = parse_qs(urlsplit(location).query)["code"]
    return code


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def refused(action: Callable[[], object]) -> str:
    """Return the error code of an action that must fail."""
    with pytest.raises(OAuthError) as error:
        action()
    assert error.value.status == 400
    return error.value.code
