"""The accounts API with backends that have only names and passwords, and with chains."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from support.access_tokens import Granter, bearer
from support.account_asker import HUB, KEYS, MIRA, Asker
from support.backends import PasswordsAlone
from support.cheap_passwords import CheapPasswords
from support.credentials import basic

from v1registry import MemoryStorage, Registry
from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.backends.htpasswd import Htpasswd
from v1registry.accounts.base import Backend, BackendUnavailable
from v1registry.accounts.users import UserStore
from v1registry.rights import User

#: ``printf s3cret-two | htpasswd -s``
HTPASSWD = "moe:{SHA}Y6IxceCVdTLzbylR+VCs50eK49Q=\n"


def password_file(folder: Path) -> Htpasswd:
    path = folder / "users"
    path.write_text(HTPASSWD)
    return Htpasswd(path)


def test_challenge_offers_no_access_tokens_without_oauth(tmp_path: Path) -> None:
    app = Registry(storage=MemoryStorage(), auth=password_file(tmp_path), public_url=HUB)
    for credentials in ({}, basic("moe", "wrong"), {"Authorization": "Bearer x"}):
        answer = Asker(app, credentials)("GET", "/api/v1.1/users/moe/")
        assert (answer.status_int, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="api"')


def test_account_of_a_password_file_is_shown_and_cannot_change(
    tmp_path: Path,
) -> None:
    storage, backend = MemoryStorage(), password_file(tmp_path)
    app = Registry(storage=storage, auth=backend, public_url=HUB)
    path = "/api/v1.1/users/moe/"
    moe = Asker(app, basic("moe", "s3cret-two"))
    shown = moe("GET", path)
    assert shown.status_int == 200
    assert set(shown.json) == KEYS
    assert shown.json["username"] == "moe"
    assert (shown.json["email"], shown.json["date_joined"]) == ("", "1970-01-01T00:00:00.000000Z")
    assert hashlib.md5(b"").hexdigest() in shown.json["gravatar_url"]
    assert moe("GET", path + "emails/").json == []
    for method, end, fields in (
        ("PATCH", "", {"full_name": "Moe"}),
        ("PATCH", "", {"full_name": 7}),
        ("POST", "emails/", {"email": "moe@example.org"}),
        ("PATCH", "emails/", {"email": "moe@example.org", "primary": True}),
        ("DELETE", "emails/", {"email": "moe@example.org"}),
    ):
        answer = moe(method, path + end, **fields)
        assert (answer.status_int, answer.json) == (
            403,
            {"detail": "This account is kept elsewhere and cannot be changed here"},
        )
    assert moe("GET", "/api/v1.1/users/nobody/").status_int == 404
    assert moe("GET", path).json["id"] == shown.json["id"]


def test_other_users_are_403_if_the_backend_cannot_find_users() -> None:
    app = Registry(storage=MemoryStorage(), auth=PasswordsAlone())
    mira = Asker(app, basic("mira"))
    assert mira("GET", MIRA).json["username"] == "mira"
    assert mira("GET", "/api/v1.1/users/other/").status_int == 403


def test_users_of_a_chain_change_if_their_backend_allows_it(tmp_path: Path) -> None:
    storage = MemoryStorage()
    store = UserStore(storage, passwords=CheapPasswords())
    store.create("mira", "pw-mira", "mira@example.org")
    for backends in ([password_file(tmp_path), store], [store, password_file(tmp_path)]):
        app = Registry(storage=storage, public_url=HUB, auth=BackendChain(backends))
        mira, moe = Asker(app, basic("mira")), Asker(app, basic("moe", "s3cret-two"))
        assert mira("PATCH", MIRA, full_name="Mira").status_int == 200
        assert moe("GET", "/api/v1.1/users/moe/").json["username"] == "moe"
        assert moe("PATCH", "/api/v1.1/users/moe/", full_name="Moe").status_int == 403
        assert moe("PATCH", "/api/v1.1/users/moe/", full_name=7).status_int == 403
        assert "Save the profile" in mira("GET", "/account").text
        assert "Save the profile" not in moe("GET", "/account").text
        assert "This account is managed elsewhere" in moe("GET", "/account").text
        assert moe("GET", MIRA).status_int == 403
        assert moe("GET", "/api/v1.1/users/nobody/").status_int == 404


def test_user_of_a_chain_does_not_reach_the_account_of_a_namesake(tmp_path: Path) -> None:
    """The first backend that knows a name decides. A user of that name in a later one is hidden."""
    storage = MemoryStorage()
    store = UserStore(storage, passwords=CheapPasswords())
    store.create("moe", "pw-moe", "moe@example.org")
    app = Registry(storage=storage, public_url=HUB, auth=BackendChain([password_file(tmp_path), store]))
    moe = Asker(app, basic("moe", "s3cret-two"))
    assert moe("GET", "/api/v1.1/users/moe/").json["email"] == ""
    assert moe("GET", "/api/v1.1/users/moe/emails/").json == []
    assert moe("PATCH", "/api/v1.1/users/moe/", full_name="Moe").status_int == 403
    assert Asker(app, basic("moe"))("GET", "/api/v1.1/users/moe/").status_int == 401
    assert store.account("moe").full_name == ""


def test_user_of_the_outer_application_needs_no_password() -> None:
    storage = MemoryStorage()
    store = UserStore(storage, passwords=CheapPasswords())
    store.create("mira", "pw-mira", "mira@example.org")
    app = Registry(storage=storage, public_url=HUB, auth=BackendChain([Environ(), store]))
    mira = Asker(app, {}, REMOTE_USER="mira")
    assert mira("PATCH", MIRA, full_name="Mira").json["email"] == "mira@example.org"
    # whom the application would name is not known here, so nobody is told to be unknown
    assert mira("GET", "/api/v1.1/users/nobody/").status_int == 403
    assert Asker(app, {})("GET", MIRA).status_int == 401


class Away(Backend):
    """A backend that authenticates mira, and then does not answer."""

    @property
    def has_ids(self) -> bool:
        return True

    def authenticate(self, username: str, password: str) -> User | None:
        return User(username) if password == f"pw-{username}" else None

    def find(self, username: str) -> User | None:
        raise BackendUnavailable("The users cannot be looked up now")


@pytest.mark.parametrize("end", ["", "emails/", "grants/"])
def test_unavailable_backend_is_503(end: str) -> None:
    storage, users = MemoryStorage(), UserStore(MemoryStorage(), passwords=CheapPasswords())
    users.create("mira", "pw-mira")
    app = Registry(storage=storage, auth=Away(), public_url=HUB)
    by_password = Asker(app, basic("mira"))("GET", MIRA + end)
    assert (by_password.status_int, list(by_password.json)) == (503, ["detail"])
    by_token = Asker(app, bearer(Granter(storage, users).token("mira")))("GET", MIRA + end)
    assert (by_token.status_int, list(by_token.json)) == (503, ["detail"])
