"""Changes of accounts at the user endpoints (hub.md 2)."""

from __future__ import annotations

import json

import pytest
from support.account_client import CHALLENGE, change, log_in, text_of
from support.credentials import basic
from support.wsgi_client import Client

from v1registry.accounts.records import MOST_EMAILS
from v1registry.accounts.users import UserStore

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
