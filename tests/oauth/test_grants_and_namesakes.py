"""Grants are bound to the id of an account: a later user with the same name inherits nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.backends import PasswordsAlone
from support.credentials import basic
from support.oauth_world import BACK, ApplicationClient, OAuthWorld
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry
from v1registry.accounts.backends.callback import Callback
from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.backends.htpasswd import Htpasswd
from v1registry.accounts.base import Account, Backend, BackendUnavailable
from v1registry.accounts.service import Accounts
from v1registry.cli.main import main
from v1registry.errors import OAuthError
from v1registry.oauth.grants import ACCESS_LIFETIME_S, REFRESH_LIFETIME_S, Grants, Issued
from v1registry.oauth.provider import AuthorizationRefused, Provider
from v1registry.rights import User

ALL = ("profile_read", "repo_read")


class Directory(Backend):
    """A backend such as LDAP: it looks up users by name, and gives them ids."""

    def __init__(self, **ids: str):
        self.ids = ids
        self.is_away = False

    @property
    def has_ids(self) -> bool:
        return True

    def authenticate(self, username: str, password: str) -> User | None:
        return self.find(username)

    def find(self, username: str) -> User | None:
        if self.is_away:
            raise BackendUnavailable("The directory does not answer")
        return User(username, id=self.ids[username]) if username in self.ids else None


class Granted:
    """What moe granted to ci-bot: an unused code, and tokens."""

    def __init__(self, world: OAuthWorld, backend: Backend):
        self.world = world
        self.grants = Grants(world.storage, world.applications, Accounts(backend), clock=world.clock)
        self.unused = self.code()
        self.issued = self.grants.redeem(self.code(), world.application)
        bearer = self.grants.verify(self.issued.access_token)
        assert bearer is not None
        self.access_id = bearer.access_id

    @property
    def account(self) -> Account:
        account = self.grants.account("moe")
        assert account is not None
        return account

    def code(self) -> str:
        return self.grants.issue_code(
            self.world.application,
            self.account,
            ALL,
            redirect_uri=BACK,
            is_redirect_given=False,
            challenge=None,
        )

    def refresh(self) -> Issued:
        return self.grants.refresh(self.issued.refresh_token, self.world.application, ALL)

    def is_valid(self) -> bool:
        """Return whether the grant is valid. All ways to look agree, and change nothing."""
        found = {
            self.grants.verify(self.issued.access_token) is not None,
            self.grants.is_granted("moe", self.access_id),
            bool(self.grants.of_user("moe")),
        }
        assert len(found) == 1
        return found.pop()

    def is_usable(self) -> bool:
        """Return whether the refresh token or the code gives new tokens."""
        uses: list[Callable[[], Issued]] = [
            self.refresh,
            lambda: self.grants.redeem(self.unused, self.world.application),
        ]
        return True in [_is_done(use) for use in uses]


def _is_done(use: Callable[[], object]) -> bool:
    try:
        use()
    except OAuthError as error:
        return error.code != "invalid_grant"
    return True


def password_file(folder: Path) -> Htpasswd:
    path = folder / "users"
    path.write_text("moe:{SHA}Y6IxceCVdTLzbylR+VCs50eK49Q=\n")  # s3cret-two
    return Htpasswd(path)


# -- the id decides


def test_grant_of_a_deleted_user_is_invalid(world: OAuthWorld) -> None:
    directory = Directory(moe="1")
    granted = Granted(world, directory)
    assert granted.is_valid()
    directory.ids.clear()
    assert not granted.is_valid()
    assert not granted.is_usable()


def test_later_user_with_the_same_name_granted_nothing(world: OAuthWorld) -> None:
    directory = Directory(moe="1")
    granted = Granted(world, directory)
    directory.ids = {"moe": "2"}
    assert not granted.is_valid()
    assert not granted.is_usable()
    assert Granted(world, directory).is_usable()
    assert granted.grants.verify(granted.issued.access_token) is None


def test_unavailable_backend_ends_no_grant(world: OAuthWorld) -> None:
    directory = Directory(moe="1")
    granted = Granted(world, directory)
    directory.is_away = True
    with pytest.raises(BackendUnavailable):
        granted.grants.verify(granted.issued.access_token)
    granted.grants.tidy()
    directory.is_away = False
    assert granted.is_valid()
    assert granted.is_usable()


def test_user_who_is_hidden_for_a_while_keeps_the_grants(world: OAuthWorld) -> None:
    """The first backend of a chain gets a user of the same name, and loses that user again."""
    first, second = Directory(), Directory(moe="1")
    granted = Granted(world, BackendChain([first, second]))
    first.ids = {"moe": "2"}
    granted.grants.tidy()
    assert not granted.is_valid()
    assert not granted.is_usable()
    first.ids = {}
    assert granted.is_valid()


def test_repository_token_ends_with_the_account(world: OAuthWorld) -> None:
    ci, directory = world.add("ci", scopes=["repo_write"]), Directory(moe="1")
    app = Registry(storage=world.storage, auth=directory, oauth_http="allow")
    account = app.grants.account("moe")
    assert account is not None
    code = app.grants.issue_code(
        ci, account, ("repo_write",), redirect_uri=BACK, is_redirect_given=False, challenge=None
    )
    issued = app.grants.redeem(code, ci)
    client = Client(app)
    bearer = {"Authorization": f"Bearer {issued.access_token}"}
    path = "/v1/repositories/moe/app/"
    got = client.request("PUT", path, b"[]", {**bearer, "X-Docker-Token": "true"}).headers["X-Docker-Token"]
    token = {"Authorization": f"Token {got}"}
    assert client.get(f"{path}images", token).status_int == 200
    directory.ids = {"moe": "2"}
    assert client.get(f"{path}images", token).status_int == 401
    assert client.get(f"{path}images", bearer).status_int == 401


def test_application_gets_nothing_from_a_later_account(world: OAuthWorld) -> None:
    directory = Directory(moe="1")
    app = Registry(storage=world.storage, auth=directory, oauth_http="allow")
    ci, client = ApplicationClient(app, "ci-bot", world.secret), Client(app)
    account = app.grants.account("moe")
    assert account is not None
    code = app.grants.issue_code(
        world.application, account, ALL, redirect_uri=BACK, is_redirect_given=False, challenge=None
    )
    tokens = ci.redeem(code).json
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert client.get("/api/v1.1/users/moe/", bearer).status_int == 200
    directory.ids = {"moe": "2"}
    assert client.get("/api/v1.1/users/moe/", bearer).status_int == 401
    assert ci.refresh(tokens["refresh_token"]).status_int == 400
    assert client.get("/api/v1.1/users/moe/", basic("moe", "any")).status_int == 200


@pytest.mark.parametrize("end", ["user", "application"])
def test_grants_of_deleted_users_and_applications_are_tidied_away(world: OAuthWorld, end: str) -> None:
    world.tokens()
    world.grants.tidy()
    assert len(world.grants.of_user("mira_k")) == 1
    if end == "user":
        world.users.delete("mira_k")
    else:
        world.applications.remove("ci-bot")
    world.grants.tidy()
    assert world.kept() == []


def test_grant_may_be_refreshed_without_end(world: OAuthWorld) -> None:
    issued = world.tokens()
    for _ in range(4):
        world.clock.now_s += REFRESH_LIFETIME_S - 1
        issued = world.grants.refresh(issued.refresh_token, world.application, ())
        assert issued.expires_in_s == ACCESS_LIFETIME_S
    assert world.grants.verify(issued.access_token) is not None


# -- backends and users without ids


def test_user_without_an_id_cannot_grant(world: OAuthWorld, tmp_path: Path) -> None:
    chain = BackendChain([world.users, password_file(tmp_path)])
    grants = Grants(world.storage, world.applications, Accounts(chain), clock=world.clock)
    assert grants.account("mira_k") == world.account
    assert grants.account("moe") is None
    asked = world.provider.check_authorization("client_id=ci-bot&response_type=code")
    with pytest.raises(AuthorizationRefused) as refused:
        Provider(world.applications, grants).allow(asked, User("moe"))
    assert refused.value.code == "access_denied"


def test_user_of_the_surrounding_application_grants_by_the_account_with_an_id(world: OAuthWorld) -> None:
    chain = BackendChain([Environ(), world.users])
    grants = Grants(world.storage, world.applications, Accounts(chain), clock=world.clock)
    assert grants.account("mira_k") == world.account
    assert grants.account("nobody") is None
    assert Registry(storage=MemoryStorage(), auth=chain).has_oauth


def backends_without_ids(folder: Path) -> list[Backend]:
    return [
        password_file(folder),
        PasswordsAlone(),
        Callback(lambda username, password: True, find=lambda username: True),
        Environ(),
        BackendChain([PasswordsAlone(), password_file(folder)]),
    ]


@pytest.mark.parametrize("which", range(5))
def test_oauth_is_off_with_a_backend_without_ids(which: int, tmp_path: Path) -> None:
    app = Registry(
        storage=MemoryStorage(), auth=backends_without_ids(tmp_path)[which], oauth_http="allow", pages="on"
    )
    assert not app.has_oauth
    client, unknown = Client(app), Client(app).get("/api/v1.1/unknown/")
    assert unknown.status_int == 404
    for method, path in (
        ("GET", "/api/v1.1/o/authorize/"),
        ("POST", "/api/v1.1/o/authorize/"),
        ("POST", "/api/v1.1/o/token/"),
        ("POST", "/api/v1.1/o/revoke_token/"),
        ("POST", "/api/v1.1/o/introspect/"),
        ("GET", "/.well-known/oauth-authorization-server/api/v1.1/o/"),
        ("GET", "/api/v1.1/users/moe/grants/"),
        ("POST", "/account/grants/revocation/"),
    ):
        answer = client.request(method, path, b"")
        assert answer.status_int == 404, (method, path)


@pytest.mark.parametrize("part", ["applications", "grants", "provider"])
def test_parts_of_oauth_say_why_they_are_missing(part: str, tmp_path: Path) -> None:
    for auth in ("open:", password_file(tmp_path)):
        app = Registry(storage=MemoryStorage(), auth=auth)
        with pytest.raises(RuntimeError, match="OAuth is off, because it needs users with ids: set auth to"):
            getattr(app, part)


def test_account_page_and_accounts_api_work_without_oauth(tmp_path: Path) -> None:
    app = Registry(storage=MemoryStorage(), auth=password_file(tmp_path), pages="on")
    client = Client(app)
    headers = basic("moe", "s3cret-two")
    assert client.get("/api/v1.1/users/moe/", headers).json["username"] == "moe"
    page = client.get("/account", headers)
    assert page.status_int == 200
    assert "Applications with access" not in page.text
    unknown = {"Authorization": "Bearer Zq3mB0x8TnWc5LkEr2uYdHs7VgPa1o"}
    assert client.get("/api/v1.1/users/moe/", unknown).status_int == 401


def test_check_config_says_why_oauth_is_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    password_file(tmp_path)
    config = tmp_path / "registry.ini"
    config.write_text(f"[v1registry]\nstorage = memory:\nauth = htpasswd://{tmp_path}/users\n")
    assert main(["check-config", "--config", str(config)]) == 0
    assert "off: OAuth, because it needs users with ids: set auth to users:" in capsys.readouterr().out
