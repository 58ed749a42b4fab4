"""Logins at the user endpoints, and those of engines (hub.md 2, decisions.md 9, 10)."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.account_client import (
    CHALLENGE,
    MIRA,
    PATHS,
    TAKEN,
    USER_CREATED,
    change,
    log_in,
    register,
    seen,
    text_of,
)
from support.cheap_passwords import CheapPasswords
from support.credentials import basic
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry
from v1registry.accounts.backends.callback import Callback
from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.users import UserStore

# -- GET: check a login


@pytest.mark.parametrize("path", PATHS)
def test_HUB_005_login_is_200_401_or_403(registered: Client, store: UserStore, path: str) -> None:
    good = log_in(registered, "mira_k", "s3cret-one", path)
    assert (good.status_int, good.body, good.headers["Content-Type"]) == (200, b'"OK"', "application/json")

    for headers in (
        None,
        basic("mira_k", "s3cret-two"),
        basic("mira_k", ""),
        basic("Mira_k", "s3cret-one"),
        basic("nobody", "s3cret-one"),
        {"Authorization": "Basic Og=="},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Digest x"},
        {"Authorization": "Token "},
        {"Authorization": 'Token signature=x,repository="a/b",access=read'},
    ):
        bad = registered.get(path, headers)
        assert (bad.status_int, bad.headers["WWW-Authenticate"]) == (401, CHALLENGE), headers
        assert text_of(bad) == "Requires authorization"

    store.set_active("mira_k", False)
    inactive = log_in(registered, "mira_k", "s3cret-one", path)
    assert (inactive.status_int, inactive.body) == (403, b'"Account is not Active"')
    assert log_in(registered, "mira_k", "wrong", path).status_int == 401


def test_decision_9_login_without_credentials_has_both_challenges(client: Client) -> None:
    for path in PATHS:
        answer = client.get(path)
        assert (answer.status_int, answer.headers["WWW-Authenticate"]) == (401, CHALLENGE)
        status, _, headers = seen(answer)
        assert seen(client.head(path)) == (status, b"", headers)


def test_repository_token_is_no_login(registered: Client) -> None:
    mira = basic("mira_k", "s3cret-one")
    started = registered.put("/v1/repositories/mira_k/app/", "[]", {**mira, "X-Docker-Token": "true"})
    token = {"Authorization": f"Token {started.headers['X-Docker-Token']}"}

    assert registered.get("/v1/repositories/mira_k/app/images", token).status_int == 200
    assert registered.get("/v1/users/", token).status_int == 401
    assert change(registered, "mira_k", token, password="another one").status_int == 401
    assert log_in(registered, "mira_k", "s3cret-one").status_int == 200


def test_user_of_the_environ_needs_no_password(store: UserStore) -> None:
    store.create("mira_k", "s3cret-one")
    registry = Registry(storage=MemoryStorage(), auth=BackendChain([Environ("REMOTE_USER"), store]))
    client = Client(registry, REMOTE_USER="mira_k")

    assert client.get("/v1/users/").body == b'"OK"'
    assert change(client, "mira_k", None, password="another one").status_int == 204
    assert change(client, "other_name", None, password="another one").status_int == 403
    assert log_in(Client(registry), "mira_k", "another one").status_int == 200


def test_too_many_wrong_passwords_are_429(registered: Client, passwords: CheapPasswords) -> None:
    statuses = [log_in(registered, "mira_k", f"wrong {number}").status_int for number in range(12)]
    assert statuses == [401] * 11 + [429]

    before = passwords.count
    answer = log_in(registered, "mira_k", "s3cret-one")
    assert (answer.status_int, passwords.count) == (429, before)
    assert int(answer.headers["Retry-After"]) >= 1
    assert text_of(answer).startswith("Too many failed logins")


def test_unknown_name_costs_as_many_hashes_as_a_known_one(
    registered: Client, passwords: CheapPasswords
) -> None:
    costs = {}
    for name in ("mira_k", "nobody", "Émile", "x" * 200):
        before = passwords.count
        answer = log_in(registered, name, "wrong one")
        costs[name] = (passwords.count - before, answer.status_int, answer.body)
    assert set(costs.values()) == {(1, 401, b'"Requires authorization"')}


def test_taken_name_costs_no_hash(registered: Client, passwords: CheapPasswords) -> None:
    before = passwords.count
    for password in ("s3cret-one", "wrong one", "x", None):
        assert register(registered, **{**MIRA, "password": password}).body == TAKEN
    assert passwords.count == before


# -- how engines log in (clients.md 4)


def docker_login(client: Client, username: str, password: str, email: str = "") -> list[tuple[int, bytes]]:
    """Log in as docker 0.7.6 to 1.10 does; return the answers."""
    posted = register(client, username=username, password=password, email=email, auth="")
    answers = [(posted.status_int, posted.body)]
    if posted.status_int == 401 or (posted.status_int, posted.body) == (400, TAKEN):
        checked = log_in(client, username, password)
        answers.append((checked.status_int, checked.body))
    return answers


def test_CLI_013_docker_up_to_1_10_registers_once_and_then_logs_in(client: Client) -> None:
    first = docker_login(client, "mira_k", "s3cret-one", "mira@example.org")
    again = docker_login(client, "mira_k", "s3cret-one", "mira@example.org")
    without_address = docker_login(client, "mira_k", "s3cret-one")
    wrong = docker_login(client, "mira_k", "s3cret-two", "mira@example.org")

    assert first == [(201, USER_CREATED)]
    assert again == without_address == [(400, TAKEN), (200, b'"OK"')]
    assert wrong == [(400, TAKEN), (401, b'"Requires authorization"')]


def test_CLI_014_docker_logs_in_after_401_to_a_registration(tmp_path: Path) -> None:
    storage = MemoryStorage()
    closed = Client(Registry(storage=storage, auth="users:", registration="closed"))
    asked = Client(
        Registry(
            storage=storage, auth=Callback(lambda name, password: (name, password) == ("moe", "s3cret-two"))
        )
    )

    assert docker_login(asked, "moe", "s3cret-two") == [
        (401, b'"Registration is closed: ask an administrator for an account"'),
        (200, b'"OK"'),
    ]
    assert [status for status, _ in docker_login(asked, "moe", "wrong one")] == [401, 401]
    assert [status for status, _ in docker_login(closed, "mira_k", "s3cret-one", "a@b.c")] == [401, 401]


def test_CLI_015_docker_from_1_11_logs_in_by_get_alone(registered: Client, store: UserStore) -> None:
    assert log_in(registered, "mira_k", "s3cret-one").status_int == 200
    assert log_in(registered, "mira_k", "s3cret-two").status_int == 401
    store.set_active("mira_k", False)
    assert log_in(registered, "mira_k", "s3cret-one").status_int == 403
