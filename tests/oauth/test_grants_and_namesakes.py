"""What was granted ends with the account: of somebody who has the same name later nothing is granted, whatever the backend keeps."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.oauth_world import BACK, ApplicationClient, World, basic
from support.wsgi_client import Client

from v1registry import Registry
from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.backends.htpasswd import Htpasswd
from v1registry.accounts.base import Account, Backend, BackendUnavailable
from v1registry.accounts.service import Accounts
from v1registry.errors import OAuthError
from v1registry.oauth.grants import (
    ACCESS_LIFETIME_S,
    REFRESH_LIFETIME_S,
    REMEMBERED_LIFETIME_S,
    Grants,
    Issued,
)
from v1registry.oauth.marks import AccountMarks
from v1registry.oauth.provider import Provider
from v1registry.rights import User

ALL = ("profile_read", "repo_read")


class Names(Backend):
    """A backend such as LDAP: it can tell who is there, and nothing by which one could be told from a later one."""

    def __init__(self, *names: str):
        self.names = set(names)
        self.is_away = False

    def authenticate(self, username: str, password: str) -> User | None:
        return self.find(username)

    def find(self, username: str) -> User | None:
        if self.is_away:
            raise BackendUnavailable("Nobody can tell")
        return User(username) if username in self.names else None


class PasswordsAlone(Backend):
    """A backend that cannot tell who is there."""

    def authenticate(self, username: str, password: str) -> User | None:
        return User(username)


class PasswordFile:
    """An htpasswd file, line by line."""

    def __init__(self, folder: Path):
        self.path = folder / "users"
        self.write(moe="one")
        self.backend = Htpasswd(self.path)

    def write(self, **passwords: str) -> None:
        sums = {name: hashlib.sha1(password.encode()).digest() for name, password in passwords.items()}
        lines = [f"{name}:{{SHA}}{base64.b64encode(digest).decode()}\n" for name, digest in sums.items()]
        self.path.write_text("".join(lines))


@pytest.fixture
def file(tmp_path: Path) -> PasswordFile:
    return PasswordFile(tmp_path)


class Granted:
    """What moe granted to ci-bot: a code, and tokens with an older access token."""

    def __init__(self, world: World, backend: Backend, **options: Any):
        self.world = world
        self.profiles = Accounts(backend)
        self.grants = Grants(world.storage, world.applications, self.profiles, clock=world.clock, **options)
        self.unused = self.code()
        self.issued = self.grants.redeem(self.code(), world.application)
        bearer = self.grants.verify(self.issued.access_token)
        assert bearer is not None
        self.access_id = bearer.access_id

    @property
    def account(self) -> Account:
        account = self.profiles.current(User("moe"))
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

    def refresh(self, token: str | None = None) -> Issued:
        return self.grants.refresh(token or self.issued.refresh_token, self.world.application, ALL)

    def is_good(self) -> bool:
        """Tell whether anything of it is good; looking changes nothing."""
        found = {
            self.grants.verify(self.issued.access_token) is not None,
            self.grants.is_granted("moe", self.access_id),
            bool(self.grants.of_user("moe")),
        }
        assert len(found) == 1
        return found.pop()

    def is_usable(self) -> bool:
        """Tell whether new tokens are given for it."""
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


# -- names alone


@pytest.mark.parametrize("look", ["verify", "refresh", "is_granted", "introspect"])
def test_at_the_first_look_after_a_user_is_gone_what_they_granted_is(world: World, look: str) -> None:
    names = Names("moe")
    granted = Granted(world, names)
    assert granted.is_good()
    names.names.clear()
    looks: dict[str, Callable[[], object]] = {
        "verify": lambda: granted.grants.verify(granted.issued.access_token),
        "refresh": granted.refresh,
        "is_granted": lambda: granted.grants.is_granted("moe", granted.access_id),
        "introspect": lambda: Provider(world.applications, granted.grants, granted.profiles).introspect(
            world.application, {"token": granted.issued.access_token}
        ),
    }
    _is_done(looks[look])
    names.names.add("moe")
    assert not granted.is_good()
    assert not _is_done(granted.refresh)


def test_a_code_of_a_user_who_is_gone_is_no_good_for_a_later_one_either(world: World) -> None:
    names = Names("moe")
    granted = Granted(world, names)

    def redeem() -> object:
        return granted.grants.redeem(granted.unused, world.application)

    names.names.clear()
    assert not _is_done(redeem)
    names.names.add("moe")
    assert not _is_done(redeem)


def test_while_the_backend_is_away_nothing_is_removed(world: World) -> None:
    names = Names("moe")
    granted = Granted(world, names)
    names.is_away = True
    with pytest.raises(BackendUnavailable):
        granted.grants.verify(granted.issued.access_token)
    names.is_away = False
    assert granted.is_good()
    assert granted.is_usable()


def test_a_repository_token_of_a_user_who_is_gone_ends_what_they_granted_too(world: World) -> None:
    ci, names = world.add("ci", scopes=["repo_write"]), Names("moe")
    app = Registry(storage=world.storage, auth=names, oauth_http="allow")
    account = Accounts(names).current(User("moe"))
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
    names.names.clear()
    assert client.get(f"{path}images", token).status_int == 401
    names.names.add("moe")
    assert client.get(f"{path}images", token).status_int == 401
    assert client.get(f"{path}images", bearer).status_int == 401


@pytest.mark.parametrize("end", ["user", "application"])
def test_what_nobody_looks_at_any_more_is_tidied_away(world: World, end: str) -> None:
    world.tokens()
    world.grants._tidy()
    assert len(world.grants.of_user("mira_k")) == 1
    if end == "user":
        world.users.delete("mira_k")
    else:
        world.applications.remove("ci-bot")
    world.grants._tidy()
    assert world.kept() == []


# -- passwords in a file


def test_another_password_in_an_htpasswd_file_ends_what_was_granted_before(
    world: World, file: PasswordFile
) -> None:
    granted = Granted(world, file.backend)
    assert granted.is_good()
    file.write(other="x", moe="one")
    assert granted.is_good()
    file.write(moe="two")
    assert not granted.is_good()
    assert not granted.is_usable()
    # what is granted from now on is good, and the other is not good with it
    later = Granted(world, file.backend)
    assert later.is_usable()
    assert granted.grants.verify(granted.issued.access_token) is None


def test_somebody_else_with_the_same_name_in_an_htpasswd_file_granted_nothing(
    world: World, file: PasswordFile
) -> None:
    granted = Granted(world, file.backend)
    file.write(other="x")
    assert not granted.is_good()
    file.write(other="x", moe="of another person")
    assert not granted.is_good()
    assert not granted.is_usable()


def test_a_file_that_is_empty_while_it_is_written_ends_nothing(world: World, file: PasswordFile) -> None:
    granted = Granted(world, file.backend)
    file.write()
    assert not granted.is_good()
    assert not granted.is_usable()
    # nor does somebody who tidies up just then
    granted.grants._tidy()
    assert not granted.is_good()
    file.write(moe="one", other="x")
    assert granted.is_good()
    assert granted.is_usable()


@pytest.mark.parametrize(("before", "after"), [({"moe"}, set()), (set(), {"moe"})])
def test_a_namesake_in_another_backend_of_a_chain_granted_nothing(
    world: World, file: PasswordFile, before: set[str], after: set[str]
) -> None:
    """The file has a moe all the time, who is hidden while there is one in the backend before it."""
    names = Names(*before)
    granted = Granted(world, BackendChain([names, file.backend]))
    assert granted.is_good()
    names.names = after
    assert not granted.is_good()
    assert not granted.is_usable()


def test_where_the_first_of_a_chain_cannot_look_up_users_those_of_a_file_end_with_their_line(
    world: World, file: PasswordFile
) -> None:
    granted = Granted(world, BackendChain([PasswordsAlone(), file.backend]))
    assert granted.is_good()
    file.write()
    assert not granted.is_good()
    assert not granted.is_usable()


def test_the_mark_of_a_password_is_keyed_and_keys_may_change(world: World, file: PasswordFile) -> None:
    keys = ["one"]
    granted = Granted(world, file.backend, keys=lambda: keys)
    stored = b"".join(world.storage.read(key)[0] for key in world.kept("accounts/oauth/grants/"))
    hashed = granted.account.password_mark
    assert hashed.startswith("{SHA}")
    assert hashed.encode() not in stored
    for text in (hashed, f"{granted.account.id} {hashed}"):
        assert hashlib.sha256(text.encode()).hexdigest().encode() not in stored

    def served(*now: str) -> Grants:
        return Grants(
            world.storage, world.applications, granted.profiles, keys=lambda: now, clock=world.clock
        )

    both, newest = served("one", "two"), served("two")
    token = granted.issued.access_token
    assert both.verify(token) is not None
    assert newest.verify(token) is None
    # a refresh makes the mark anew, with the newest key
    both.refresh(granted.issued.refresh_token, world.application, ALL)
    assert newest.verify(token) is not None


def test_a_server_makes_marks_with_its_own_secret(world: World, file: PasswordFile) -> None:
    app = Registry(storage=world.storage, auth=file.backend, oauth_http="allow", secret=["the-key"])
    account = Accounts(file.backend).current(User("moe"))
    assert account is not None
    app.grants.issue_code(
        world.application, account, ALL, redirect_uri=BACK, is_redirect_given=False, challenge=None
    )
    mark = world.grant().account_mark
    assert AccountMarks(lambda: ["the-key"]).is_of(mark, account)
    assert not AccountMarks(lambda: ["another"]).is_of(mark, account)
    assert not AccountMarks(lambda: ["the-key"]).is_of("", account)
    assert not AccountMarks(lambda: ["the-key"]).is_of(mark, world.account)


def test_accounts_with_an_id_of_their_own_have_no_mark(world: World) -> None:
    world.code()
    assert world.grant().account_mark == ""


def test_an_application_of_before_gets_nothing_from_a_server_whose_file_has_another_line(
    world: World, file: PasswordFile
) -> None:
    app = Registry(storage=world.storage, auth=file.backend, oauth_http="allow")
    ci, client = ApplicationClient(app, "ci-bot", world.secret), Client(app)
    account = Accounts(file.backend).current(User("moe"))
    assert account is not None
    code = app.grants.issue_code(
        world.application, account, ALL, redirect_uri=BACK, is_redirect_given=False, challenge=None
    )
    tokens = ci.redeem(code).json
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert client.get("/api/v1.1/users/moe/", bearer).status_int == 200
    file.write(moe="of another person")
    assert client.get("/api/v1.1/users/moe/", bearer).status_int == 401
    assert ci.refresh(tokens["refresh_token"]).status_int == 400
    assert client.get("/api/v1.1/users/moe/", basic("moe", "of another person")).status_int == 200


# -- users who cannot be looked up


def test_the_grant_of_a_user_whom_nobody_can_look_up_is_good_for_a_year_however_often_it_is_refreshed(
    world: World,
) -> None:
    granted = Granted(world, PasswordsAlone())
    start_s, issued = world.clock.now_s, granted.issued
    assert issued.expires_in_s == ACCESS_LIFETIME_S
    world.clock.now_s = start_s + REFRESH_LIFETIME_S - 1
    issued = granted.refresh(issued.refresh_token)
    left_s = REMEMBERED_LIFETIME_S - REFRESH_LIFETIME_S + 1
    assert issued.expires_in_s == left_s
    good = granted.grants.good_token(issued.access_token)
    assert good is not None
    assert good.expires_at_s == start_s + REMEMBERED_LIFETIME_S
    world.clock.now_s = start_s + REMEMBERED_LIFETIME_S - 1
    assert granted.grants.verify(issued.access_token) is not None
    assert len(granted.grants.of_user("moe")) == 1
    issued = granted.refresh(issued.refresh_token)
    assert issued.expires_in_s == 1
    world.clock.now_s += 1
    assert granted.grants.verify(issued.access_token) is None
    assert granted.grants.of_user("moe") == []
    assert not _is_done(lambda: granted.refresh(issued.refresh_token))


def test_what_users_granted_who_can_be_looked_up_may_be_refreshed_for_ever(world: World) -> None:
    issued = world.tokens()
    for _ in range(4):
        world.clock.now_s += REFRESH_LIFETIME_S - 1
        issued = world.grants.refresh(issued.refresh_token, world.application, ())
        assert issued.expires_in_s == ACCESS_LIFETIME_S
    assert world.grants.verify(issued.access_token) is not None


def test_a_backend_that_can_no_longer_look_up_users_ends_what_is_older_than_a_year(world: World) -> None:
    names = Names("moe")
    granted = Granted(world, names)
    issued = granted.issued
    for _ in range(2):
        world.clock.now_s += REFRESH_LIFETIME_S - 1
        issued = granted.refresh(issued.refresh_token)
    blind = Grants(world.storage, world.applications, Accounts(PasswordsAlone()), clock=world.clock)
    assert granted.grants.verify(issued.access_token) is not None
    assert blind.verify(issued.access_token) is None
    assert not _is_done(lambda: blind.refresh(issued.refresh_token, world.application, ALL))
