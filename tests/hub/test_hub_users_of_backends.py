"""The user endpoints with backends that keep no accounts (hub.md 2)."""

from __future__ import annotations

from pathlib import Path

from support.account_client import CHALLENGE, HTPASSWD, MIRA, TAKEN, change, log_in, register, text_of
from support.cheap_passwords import CheapPasswords
from support.credentials import basic
from support.faulty_storage import FaultyStorage
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry
from v1registry.accounts.backends.callback import Callback
from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.base import Backend
from v1registry.accounts.users import UserStore
from v1registry.rights import User

# -- registration is closed, or the backend makes no accounts


def test_closed_registration_is_401_and_400_for_taken_names(storage: MemoryStorage, store: UserStore) -> None:
    store.create("mira_k", "s3cret-one", "mira@example.org")
    client = Client(Registry(storage=storage, auth=store, registration="closed"))

    answer = register(client, **{**MIRA, "username": "somebody", "email": "other@example.org"})
    assert (answer.status_int, answer.headers["WWW-Authenticate"]) == (401, CHALLENGE)
    assert "closed" in text_of(answer)
    # engines from 0.7.6 continue a login by GET after a 401, so 401 is right for invalid fields too
    assert register(client, username="somebody", password="x").status_int == 401
    assert register(client, **MIRA).body == TAKEN
    assert [user.name for user in store.users()] == ["mira_k"]


def test_htpasswd_creates_and_changes_no_accounts(tmp_path: Path) -> None:
    (tmp_path / "users").write_text(HTPASSWD)
    auth = f"htpasswd://{tmp_path}/users?administrators=moe"
    client = Client(Registry(storage=MemoryStorage(), auth=auth))

    assert register(client, **{**MIRA, "username": "moe"}).body == TAKEN
    assert register(client, **MIRA).status_int == 401
    assert log_in(client, "moe", "s3cret-two").body == b'"OK"'
    moe = basic("moe", "s3cret-two")
    answer = change(client, "moe", moe, password="another one")
    assert (answer.status_int, "kept elsewhere" in text_of(answer)) == (403, True)
    assert change(client, "mira_k", moe, password="another one").status_int == 404
    assert (tmp_path / "users").read_text() == HTPASSWD


def test_callback_without_find_answers_401_to_registrations() -> None:
    backend = Callback(lambda username, password: (username, password) == ("moe", "s3cret-two"))
    client = Client(Registry(storage=MemoryStorage(), auth=backend))

    assert register(client, **{**MIRA, "username": "moe"}).status_int == 401
    assert register(client, **MIRA).status_int == 401
    assert log_in(client, "moe", "s3cret-two").status_int == 200


class OnlyPasswords(Backend):
    """The smallest backend."""

    def authenticate(self, username: str, password: str) -> User | None:
        is_right = (username, password) == ("moe", "s3cret-two")
        return User("moe", is_administrator=True) if is_right else None


def test_backend_without_find_creates_and_changes_no_accounts() -> None:
    client = Client(Registry(storage=MemoryStorage(), auth=OnlyPasswords()))
    moe = basic("moe", "s3cret-two")

    assert register(client, **{**MIRA, "username": "moe"}).status_int == 401
    assert client.get("/v1/users/", moe).status_int == 200
    assert change(client, "moe", moe, password="another one").status_int == 403
    assert change(client, "mira_k", moe, password="another one").status_int == 404


def test_chain_creates_accounts_and_refuses_known_names(store: UserStore) -> None:
    known = Callback(
        lambda username, password: (username, password) == ("moe_x", "s3cret-two"),
        find=lambda username: username == "moe_x",
    )
    client = Client(Registry(storage=MemoryStorage(), auth=BackendChain([known, store])))

    assert register(client, **{**MIRA, "username": "moe_x"}).body == TAKEN
    assert register(client, **MIRA).status_int == 201
    assert [user.name for user in store.users()] == ["mira_k"]
    answer = change(client, "moe_x", basic("moe_x", "s3cret-two"), password="another one")
    assert (answer.status_int, "kept elsewhere" in text_of(answer)) == (403, True)
    assert change(client, "mira_k", basic("mira_k", "s3cret-one"), password="another one").status_int == 204


def test_unavailable_backend_is_503_everywhere(passwords: CheapPasswords) -> None:
    """The request of an administrator whom the environ names reaches the backend, and is 503 too."""
    storage = FaultyStorage()
    storage.fail("read")
    logged_in = Environ("REMOTE_USER", administrator=lambda environ: True)
    backend = BackendChain([logged_in, UserStore(storage, passwords=passwords)])
    client = Client(Registry(storage=MemoryStorage(), auth=backend))
    administrator = Client(Registry(storage=MemoryStorage(), auth=backend), REMOTE_USER="root")

    for answer in (
        register(client, **MIRA),
        log_in(client, "mira_k", "s3cret-one"),
        change(client, "mira_k", basic("mira_k", "s3cret-one"), password="another one"),
        change(administrator, "mira_k", None, password="another one"),
        change(administrator, "root", None, password="another one"),
    ):
        assert (answer.status_int, "later" in text_of(answer)) == (503, True)
