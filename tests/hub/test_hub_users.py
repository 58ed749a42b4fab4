"""The user endpoints of a server with accounts (hub.md 2, decisions.md 9, 10)."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from support.account_client import (
    CHALLENGE,
    MIRA,
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
from support.faulty_storage import FaultyStorage
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry
from v1registry.accounts.backends.callback import Callback
from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.base import Backend
from v1registry.accounts.records import MOST_EMAILS
from v1registry.accounts.users import UserStore
from v1registry.rights import User

PATHS = ["/v1/users", "/v1/users/"]

#: ``printf moe:s3cret-two | htpasswd -s``
HTPASSWD = "moe:{SHA}Y6IxceCVdTLzbylR+VCs50eK49Q=\n"


@pytest.fixture
def registered(client: Client) -> Client:
    """A server on which mira_k has registered."""
    assert register(client, **MIRA).status_int == 201
    return client


# -- POST: register


def test_HUB_001_new_account_is_201_and_can_log_in_at_once(client: Client, store: UserStore) -> None:
    answer = register(client, **MIRA)

    assert (answer.status_int, answer.body) == (201, USER_CREATED)
    assert answer.headers["Content-Type"] == "application/json"
    assert log_in(client, "mira_k", "s3cret-one").status_int == 200
    (email,) = store.emails("mira_k")
    assert (email.email, email.verified, email.primary) == ("mira@example.org", True, True)


@pytest.mark.parametrize(
    "fields",
    [
        MIRA,
        {**MIRA, "password": "something else"},
        {**MIRA, "email": "other@example.org"},
        {"username": "mira_k", "password": "s3cret-one"},
        {"username": "mira_k", "password": "x", "email": "no address"},
        {"username": "mira_k", "password": None, "email": []},
        {"username": "mira_k"},
        {"username": "other_name", "password": "s3cret-two", "email": "mira@example.org"},
        {"username": "other_name", "password": "s3cret-two", "email": "MIRA@Example.Org"},
    ],
)
def test_HUB_002_taken_name_or_address_is_400_with_34_bytes(
    registered: Client, store: UserStore, fields: dict[str, Any]
) -> None:
    answer = register(registered, **fields)

    assert (answer.status_int, answer.body) == (400, TAKEN)
    assert (len(answer.body), answer.headers["Content-Length"]) == (34, "34")
    assert answer.headers["Content-Type"] == "application/json"
    assert [user.name for user in store.users()] == ["mira_k"]
    assert log_in(registered, "mira_k", "s3cret-one").status_int == 200


def test_HUB_002_taken_name_of_another_grammar_is_400(client: Client, store: UserStore) -> None:
    """Administrators give names that the grammar refuses, and their login begins with POST too."""
    store.create("Émile X", "s3cret-one")
    store.create("library", "s3cret-one")
    for name in ("Émile X", "library"):
        assert register(client, username=name, password="s3cret-one").body == TAKEN


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[
            ("username", value)
            for value in (
                *(
                    "",
                    "abc",
                    "a" * 31,
                    "Mira_k",
                    "mira-k",
                    "mira.k",
                    "mira k",
                    " mira_k",
                    "mira_k\n",
                    "mira/k",
                ),
                *("mîra", "mira\x00k", "../../etc", "m" * 300, "mira\ud800", "mira:k"),
                *(None, 12345, ["mira_k"], {"mira_k": 1}, True),
            )
        ],
        *[
            ("password", value)
            for value in ("", "1234", "x" * 1025, "half \ud800 a character", None, 12345, ["s3cret-one"])
        ],
        *[
            ("email", value)
            for value in (
                *(
                    "",
                    "mira",
                    "@example.org",
                    "mira@",
                    "mira@@example.org",
                    "mira@b@example.org",
                    "mira@example",
                ),
                *("mi ra@example.org", "mira@exam ple.org", "mira@example..org", "mira@.example.org"),
                *("mira@-example.org", ".mira@example.org", "mira.@example.org", "mi..ra@example.org"),
                *("mira@example.org\n", "mira@example.org\r\nBcc: x@example.org", "Mira <mira@example.org>"),
                *("mira@example.org,other@example.org", "m" * 65 + "@example.org", "mîra@example.org"),
                *(
                    "mira@" + "a" * 64 + ".org",
                    "mira@" + ".".join(["example"] * 32) + ".org",
                    "mira@[127.0.0.1]",
                ),
                *(None, 5, ["mira@example.org"], {"mira@example.org": True}),
            )
        ],
    ],
)
def test_HUB_003_invalid_field_is_400_with_a_json_string(
    client: Client, store: UserStore, path: str, field: str, value: object
) -> None:
    answer = register(client, path, **{**MIRA, field: value})

    assert answer.status_int == 400
    assert text_of(answer).startswith(f"Invalid {field}: ")
    assert list(store.users()) == []


@pytest.mark.parametrize("field", ["username", "password", "email"])
def test_HUB_003_missing_field_is_400(client: Client, field: str) -> None:
    answer = register(client, **{name: value for name, value in MIRA.items() if name != field})

    assert answer.status_int == 400
    assert text_of(answer).startswith(f"Invalid {field}: ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("username", value) for value in ("abcd", "a" * 30, "____", "0123")],
        *[
            ("password", value)
            for value in ("12345", "x" * 1024, "     ", "pässwörter", 'a:b"\\c', "\x00\x00\x00\x00\x00")
        ],
        *[
            ("email", value)
            for value in ("a@b.c", "m" * 64 + "@example.org", "a+b!#$%@xn--mnchen-3ya.de", "a@localhost")
        ],
    ],
)
def test_HUB_003_fields_at_the_bounds_are_accepted(client: Client, field: str, value: str) -> None:
    fields = {**MIRA, field: value}

    assert register(client, **fields).status_int == 201
    assert log_in(client, fields["username"], fields["password"]).status_int == 200


@pytest.mark.parametrize("name", ["library", "tags", "images", "json", "properties", "layer"])
def test_HUB_003_reserved_names_are_400(client: Client, store: UserStore, name: str) -> None:
    answer = register(client, **{**MIRA, "username": name})

    assert answer.status_int == 400
    assert "reserved" in text_of(answer)
    assert list(store.users()) == []


def test_HUB_003_names_in_use_and_reserved_names_are_400(storage: MemoryStorage, store: UserStore) -> None:
    """A registered name owns its namespace, with repositories of a deleted user or of an open server."""
    assert Client(Registry(storage=storage)).put("/v1/repositories/old_team/app/", "[]").status_int == 200
    client = Client(Registry(storage=storage, auth=store, reserved_names="developers, testers"))

    for name in ("old_team", "developers", "testers"):
        assert "reserved" in text_of(register(client, **{**MIRA, "username": name}))
    assert register(client, **{**MIRA, "username": "old_teams"}).status_int == 201


@pytest.mark.parametrize(
    "extra",
    [{"auth": ""}, {"auth": {"x": 1}}, {"is_administrator": True, "groups": ["library"], "is_active": False}],
)
def test_HUB_004_unknown_keys_are_ignored(client: Client, store: UserStore, extra: dict[str, Any]) -> None:
    assert register(client, **{**MIRA, **extra}).status_int == 201
    assert store.find("mira_k") == User("mira_k")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("body", "text"),
    [
        *[
            (body, "Error Decoding JSON")
            for body in (b"", b"{", b"username=mira_k", b"\xff", b'{"a": NaN}', b"[" * 5000)
        ],
        *[(body, "Invalid data") for body in (b"[]", b"null", b'"mira_k"', b"5")],
    ],
)
def test_registration_that_is_no_json_object_is_400(
    client: Client, path: str, body: bytes, text: str
) -> None:
    answer = client.post(path, body)

    assert (answer.status_int, text_of(answer)) == (400, text)


def test_registration_of_more_than_64_kib_is_refused(client: Client) -> None:
    fields = json.dumps(MIRA)
    assert client.post("/v1/users/", fields + " " * (65536 - len(fields))).status_int == 201
    answer = client.post("/v1/users/", fields + " " * (65537 - len(fields)))
    assert (answer.status_int, "65536" in text_of(answer)) == (413, True)


@pytest.mark.parametrize(
    "headers", [basic("nobody", "nothing"), {"Authorization": "Basic %%%"}, {"Authorization": "Token x"}]
)
def test_credentials_of_a_registration_are_ignored(
    client: Client, passwords: CheapPasswords, headers: dict[str, str]
) -> None:
    assert client.post("/v1/users/", json.dumps(MIRA), headers).status_int == 201
    assert passwords.count == 1


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


# -- PUT: change an account


@pytest.mark.parametrize("path", ["/v1/users/mira_k", "/v1/users/mira_k/"])
def test_HUB_006_new_password_and_added_address_are_204(
    registered: Client, store: UserStore, path: str
) -> None:
    body = json.dumps({"password": "s3cret-two", "email": "mira.two@example.org"})

    answer = registered.put(path, body, basic("mira_k", "s3cret-one"))

    assert (answer.status_int, answer.body) == (204, b"")
    assert "Content-Length" not in answer.headers
    assert "Content-Type" not in answer.headers
    assert log_in(registered, "mira_k", "s3cret-one").status_int == 401
    assert log_in(registered, "mira_k", "s3cret-two").status_int == 200
    assert [(email.email, email.verified, email.primary) for email in store.emails("mira_k")] == [
        ("mira@example.org", True, True),
        ("mira.two@example.org", False, False),
    ]


def test_HUB_006_missing_fields_stay_as_they_are(registered: Client, store: UserStore) -> None:
    mira = basic("mira_k", "s3cret-one")
    before = store.account("mira_k")

    assert change(registered, "mira_k", mira).status_int == 204
    assert change(registered, "mira_k", mira, email="MIRA@example.org", username="mira_k").status_int == 204
    assert change(registered, "mira_k", mira, is_administrator=True, groups=["library"]).status_int == 204
    assert store.account("mira_k") == before

    assert change(registered, "mira_k", mira, email="two@example.org").status_int == 204
    assert log_in(registered, "mira_k", "s3cret-one").status_int == 200
    assert change(registered, "mira_k", mira, password="s3cret-two").status_int == 204
    assert len(store.emails("mira_k")) == 2


def test_HUB_007_another_user_gets_403_and_no_user_401(registered: Client, store: UserStore) -> None:
    store.create("moe_x", "s3cret-two")
    moe = basic("moe_x", "s3cret-two")
    before = store.account("mira_k")

    # the answer does not depend on the fields, nor on whether the user exists
    for username in ("mira_k", "nobody", "x", "%C3%89mile", "library"):
        for body in ('{"password": "another one"}', "{", "[]", '{"email": 5}'):
            for path in (f"/v1/users/{username}", f"/v1/users/{username}/"):
                stranger = registered.put(path, body, moe)
                assert (stranger.status_int, "no right" in text_of(stranger)) == (403, True)
                for headers in (None, {"Authorization": "Basic Og=="}):
                    nobody = registered.put(path, body, headers)
                    assert (nobody.status_int, nobody.headers["WWW-Authenticate"]) == (401, CHALLENGE)
    assert store.account("mira_k") == before


def test_HUB_007_missing_and_wrong_credentials_are_401(registered: Client) -> None:
    for headers in (None, basic("mira_k", "wrong one"), {"Authorization": "Basic %%%"}):
        answer = registered.put("/v1/users/mira_k/", '{"password": "another one"}', headers)
        assert (answer.status_int, answer.headers["WWW-Authenticate"]) == (401, CHALLENGE)
        text_of(answer)


def test_inactive_account_cannot_be_changed_by_its_user(registered: Client, store: UserStore) -> None:
    store.set_active("mira_k", False)
    answer = change(registered, "mira_k", basic("mira_k", "s3cret-one"), password="another one")
    assert (answer.status_int, answer.body) == (403, b'"Account is not Active"')
    assert store.authenticate("mira_k", "another one") is None


def test_administrator_changes_every_account_and_gets_404(registered: Client, store: UserStore) -> None:
    store.create("root", "s3cret-two", is_administrator=True)
    root = basic("root", "s3cret-two")

    assert change(registered, "mira_k", root, password="another one").status_int == 204
    assert log_in(registered, "mira_k", "another one").status_int == 200
    assert change(registered, "root", root, email="root@example.org").status_int == 204
    for username in ("nobody", "Émile", "x" * 300):
        answer = change(registered, username, root, password="another one")
        assert (answer.status_int, text_of(answer)) == (404, "There is no such account")


@pytest.mark.parametrize(
    ("body", "begins"),
    [
        *[(body, "Error Decoding JSON") for body in ("", "{", "\x00", '{"password": NaN}')],
        *[(body, "Invalid data") for body in ("[]", "null", '"x"')],
        *[
            (json.dumps({"password": password}), "Invalid password: ")
            for password in ("", "1234", "x" * 1025, None, 12345, "half \ud800")
        ],
        *[
            (json.dumps({"email": email}), "Invalid email: ")
            for email in ("", "mira", "a@b.c\r\nBcc: d@e.f", None, ["a@b.c"])
        ],
        ('{"username": "other_name"}', "Invalid username: "),
        ('{"email": "two@example.org", "password": "x"}', "Invalid password: "),
        ('{"email": "moe@example.org", "password": "another one"}', "Username or email already exists"),
    ],
)
def test_invalid_change_is_400_and_changes_nothing(
    registered: Client, store: UserStore, body: str, begins: str
) -> None:
    store.create("moe_x", "s3cret-two", "moe@example.org")
    before = store.account("mira_k")

    answer = registered.put("/v1/users/mira_k/", body, basic("mira_k", "s3cret-one"))

    assert answer.status_int == 400
    assert text_of(answer).startswith(begins)
    assert store.account("mira_k") == before


def test_ten_addresses_can_await_confirmation(registered: Client, store: UserStore) -> None:
    mira = basic("mira_k", "s3cret-one")
    for number in range(10):
        assert change(registered, "mira_k", mira, email=f"mira{number}@example.org").status_int == 204

    answer = change(registered, "mira_k", mira, email="mira10@example.org")
    assert (answer.status_int, text_of(answer).startswith("Invalid email: 10 ")) == (400, True)
    assert change(registered, "mira_k", mira, email="mira3@example.org").status_int == 204
    store.confirm_email("mira_k", "mira3@example.org")
    assert change(registered, "mira_k", mira, email="mira10@example.org").status_int == 204


def test_account_with_the_maximum_of_addresses_gets_no_other(registered: Client, store: UserStore) -> None:
    for number in range(1, MOST_EMAILS):
        store.add_email("mira_k", f"{number}@example.org")
        store.confirm_email("mira_k", f"{number}@example.org")

    answer = change(registered, "mira_k", basic("mira_k", "s3cret-one"), email="more@example.org")

    assert (answer.status_int, text_of(answer)) == (400, "Invalid email: An account has 50 addresses at most")
    assert len(store.emails("mira_k")) == MOST_EMAILS


# -- paths


def test_HUB_008_both_paths_answer_the_same_without_redirects(registered: Client) -> None:
    for headers in (None, basic("mira_k", "s3cret-one"), basic("mira_k", "wrong one")):
        one, two = (registered.get(path, headers) for path in PATHS)
        assert seen(one) == seen(two)
        assert one.status_int in (200, 401)
    bodies = [json.dumps(MIRA), "{", "[]", json.dumps({**MIRA, "username": "x"})]
    for body in bodies:
        one, two = (registered.post(path, body) for path in PATHS)
        assert seen(one) == seen(two)
        assert one.status_int == 400
    for number, path in enumerate(PATHS):
        fields = {**MIRA, "username": f"user_{number}", "email": f"{number}@example.org"}
        assert register(registered, path, **fields).status_int == 201
    assert [registered.delete(path).status_int for path in PATHS] == [405, 405]


# -- secrets


def test_HUB_032_passwords_are_hashed_and_errors_are_vague(
    registered: Client, storage: MemoryStorage
) -> None:
    stored = b"".join(storage.read(stat.key)[0] for stat in storage.list(""))
    assert b"$argon2id$" in stored
    assert b"s3cret-one" not in stored

    by_name = register(registered, **{**MIRA, "email": "other@example.org"})
    by_address = register(registered, **{**MIRA, "username": "other_name"})
    assert by_name.body == TAKEN
    assert seen(by_name) == seen(by_address)


def test_no_password_is_logged(client: Client, store: UserStore, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        store.create("moe_x", "hunter2-moe", "moe@example.org")
        register(client, **{**MIRA, "password": "hunter2-new"})
        register(client, **{**MIRA, "password": "hunter2-again"})
        register(client, **{**MIRA, "username": "x", "password": "hunter2-bad"})
        client.post("/v1/users/", b'{"password": "hunter2-broken"')
        log_in(client, "mira_k", "hunter2-new")
        log_in(client, "mira_k", "hunter2-wrong")
        log_in(client, "nobody", "hunter2-unknown")
        mira = basic("mira_k", "hunter2-new")
        change(client, "mira_k", mira, password="hunter2-changed", email="moe@example.org")
        change(client, "moe_x", mira, password="hunter2-others")
        change(client, "mira_k", mira, password="hunter2-changed")

    assert "POST '/v1/users/': 400 Username or email already exists" in caplog.text
    assert "hunter2" not in caplog.text
    assert "hunter2" not in repr([record.args for record in caplog.records])
    for password in ("hunter2-new", "hunter2-wrong"):
        assert basic("mira_k", password)["Authorization"].removeprefix("Basic ") not in caplog.text


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
