"""Registrations at the user endpoints of a server with accounts (hub.md 2, decisions.md 9, 10)."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from support.account_client import MIRA, PATHS, TAKEN, USER_CREATED, change, log_in, register, seen, text_of
from support.cheap_passwords import CheapPasswords
from support.credentials import basic
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry
from v1registry.accounts.users import UserStore
from v1registry.rights import User

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
