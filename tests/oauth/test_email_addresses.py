"""The e-mail addresses of the accounts API, by Basic and by access tokens, JSON and forms (oauth.md 4.3 to
4.6).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.access_tokens import Granter, bearer
from support.account_asker import FORM, JSON, MIRA, Asker
from support.cheap_passwords import CheapPasswords
from support.credentials import basic
from support.faulty_storage import FaultyStorage
from support.wsgi_client import Client, call

from v1registry import MemoryStorage, Registry, Storage
from v1registry.accounts.records import MOST_EMAILS, MOST_UNCONFIRMED
from v1registry.accounts.users import UserStore

EMAILS = MIRA + "emails/"


def shown(email: str, *, verified: bool = False, primary: bool = False) -> dict[str, object]:
    return {"email": email, "verified": verified, "primary": primary}


FIRST = shown("Mira@example.org", verified=True, primary=True)


@pytest.fixture
def three(store: UserStore) -> None:
    """Mira has two more addresses, of which the first is verified."""
    for email in ("two@example.org", "three@example.org"):
        store.add_email("mira", email)
    store.confirm_email("mira", "two@example.org")


def primaries(store: UserStore) -> list[str]:
    return [email.email for email in store.account("mira").emails if email.primary]


# -- GET and POST


def test_OAU_021_OAU_025_added_address_is_neither_verified_nor_primary(mira: Asker, store: UserStore) -> None:
    assert mira("GET", EMAILS).json == [FIRST]
    answer = mira("POST", EMAILS, email="Mira.Two@example.org")
    assert (answer.status_int, answer.json) == (201, shown("Mira.Two@example.org"))
    assert answer.headers["Content-Type"] == "application/json"
    assert mira("GET", EMAILS).json == [FIRST, shown("Mira.Two@example.org")]
    assert mira("GET", EMAILS.rstrip("/")).json == mira("GET", EMAILS).json
    assert store.is_taken("third", "mira.two@EXAMPLE.org")


def test_OAU_021_primary_address_is_first_then_order_of_addition(mira: Asker, three: None) -> None:
    assert mira("PATCH", EMAILS, email="two@example.org", primary=True).status_int == 200
    assert mira("GET", EMAILS).json == [
        shown("two@example.org", verified=True, primary=True),
        shown("Mira@example.org", verified=True),
        shown("three@example.org"),
    ]
    assert mira("GET", MIRA).json["email"] == "two@example.org"


@pytest.mark.parametrize("email", ["mira@EXAMPLE.org", "Other@example.org", "three@example.org"])
def test_OAU_021_address_in_use_is_400(mira: Asker, three: None, email: str) -> None:
    before = mira("GET", EMAILS).json
    answer = mira("POST", EMAILS, email=email)
    assert (answer.status_int, answer.json) == (400, {"email": ["This address is in use already"]})
    assert mira("GET", EMAILS).json == before


@pytest.mark.parametrize(
    "email",
    [
        *("", "mira", "mira@", "@example.org", "a b@example.org", "nobody@example.org\n"),
        *("Mira <mira@example.org>", "mira@example.org,other@example.org", "mira@exämple.org"),
        *("x" * 65 + "@example.org", "mira@" + "x" * 300 + ".org"),
    ],
)
def test_OAU_021_invalid_address_is_400(mira: Asker, email: str) -> None:
    for method in ("POST", "DELETE"):
        answer = mira(method, EMAILS, email=email)
        assert (answer.status_int, list(answer.json)) == (400, ["email"])
    answer = mira("PATCH", EMAILS, email=email, primary=True)
    assert (answer.status_int, list(answer.json)) == (400, ["email"])
    assert mira("GET", EMAILS).json == [FIRST]


@pytest.mark.parametrize(
    "fields", [{}, {"email": None}, {"email": 7}, {"email": ["mira@example.org"]}, {"mail": "x"}]
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_OAU_021_missing_address_is_400(app: Registry, method: str, fields: dict[str, Any]) -> None:
    flags = {"primary": True} if method == "PATCH" else {}
    answer = Asker(app, basic("mira"))(method, EMAILS, **fields, **flags)
    assert (answer.status_int, list(answer.json)) == (400, ["email"])


def test_OAU_021_first_address_is_the_primary_one(app: Registry, store: UserStore) -> None:
    store.create("moe", "pw-moe")
    moe = Asker(app, basic("moe"))
    answer = moe("POST", "/api/v1.1/users/moe/emails/", email="moe@example.org")
    assert (answer.status_int, answer.json) == (201, shown("moe@example.org", primary=True))


def test_number_of_addresses_is_limited(app: Registry, store: UserStore) -> None:
    mira = Asker(app, basic("mira"))
    for number in range(1, MOST_EMAILS):
        assert mira("POST", EMAILS, email=f"{number}@example.org").status_int == 201
        store.confirm_email("mira", f"{number}@example.org")
    answer = mira("POST", EMAILS, email="more@example.org")
    assert (answer.status_int, list(answer.json)) == (400, ["email"])
    assert len(mira("GET", EMAILS).json) == MOST_EMAILS
    assert mira("DELETE", EMAILS, email="1@example.org").status_int == 204
    assert mira("POST", EMAILS, email="more@example.org").status_int == 201


def test_number_of_unconfirmed_addresses_is_limited(app: Registry, store: UserStore) -> None:
    """Addresses added here and by PUT /v1/users/NAME/ count together."""
    mira = Asker(app, basic("mira"))
    for number in range(MOST_UNCONFIRMED):
        if number % 2:
            assert mira("POST", EMAILS, email=f"{number}@example.org").status_int == 201
        else:
            assert mira("PUT", "/v1/users/mira/", email=f"{number}@example.org").status_int == 204
    text = "10 addresses of this account wait for their confirmation"
    answer = mira("POST", EMAILS, email="more@example.org")
    assert (answer.status_int, answer.json) == (400, {"email": [text]})
    answer = mira("PUT", "/v1/users/mira/", email="more@example.org")
    assert (answer.status_int, answer.json) == (400, f"Invalid email: {text}")
    assert not store.is_taken("third", "more@example.org")
    # a confirmed or removed address makes room
    store.confirm_email("mira", "0@example.org")
    assert mira("POST", EMAILS, email="more@example.org").status_int == 201
    assert mira("DELETE", EMAILS, email="1@example.org").status_int == 204
    assert mira("PUT", "/v1/users/mira/", email="last@example.org").status_int == 204
    assert mira("POST", EMAILS, email="1@example.org").status_int == 400


def test_OAU_021_one_of_simultaneous_additions_is_400(app: Registry, storage: Storage) -> None:
    """The second request comes between the check and the write of the first one."""
    late: list[int] = []
    interrupted = FaultyStorage(storage)
    interrupted.before(
        lambda: late.append(Asker(app, basic("mira"))("POST", EMAILS, email="two@example.org").status_int),
        "write",
    )
    other = UserStore(interrupted, passwords=CheapPasswords())
    first = Asker(Registry(storage=storage, auth=other), basic("mira"))
    answer = first("POST", EMAILS, email="two@example.org")
    assert (late, answer.status_int) == ([201], 400)
    assert answer.json == {"email": ["This address is in use already"]}
    assert [email["email"] for email in first("GET", EMAILS).json] == ["Mira@example.org", "two@example.org"]


def test_added_and_removed_addresses_leave_no_key(app: Registry, storage: Storage) -> None:
    mira = Asker(app, basic("mira"))
    before = [stat.key for stat in storage.list("accounts/addresses/")]
    for number in range(5):
        assert mira("POST", EMAILS, email=f"{number}@example.org").status_int == 201
        assert mira("DELETE", EMAILS, email=f"{number}@example.org").status_int == 204
    assert [stat.key for stat in storage.list("accounts/addresses/")] == before


# -- PATCH


def test_OAU_022_OAU_023_OAU_025_verified_address_becomes_primary(
    mira: Asker, store: UserStore, three: None
) -> None:
    answer = mira("PATCH", EMAILS, email="TWO@example.org", primary=True)
    assert (answer.status_int, answer.json) == (200, shown("two@example.org", verified=True, primary=True))
    assert primaries(store) == ["two@example.org"]
    # a repetition is no error
    assert mira("PATCH", EMAILS, email="two@example.org", primary=True).json == answer.json


def test_OAU_022_unverified_address_does_not_become_primary(
    mira: Asker, store: UserStore, three: None
) -> None:
    answer = mira("PATCH", EMAILS, email="three@example.org", primary=True)
    assert (answer.status_int, list(answer.json)) == (400, ["primary"])
    assert primaries(store) == ["Mira@example.org"]


@pytest.mark.parametrize("scheme", ["trusted application", "administrator"])
@pytest.mark.parametrize("kind", [JSON, FORM])
def test_OAU_022_OAU_025_trusted_caller_verifies_an_address(
    app: Registry, storage: Storage, store: UserStore, three: None, scheme: str, kind: str
) -> None:
    store.create("root", "pw-root", is_administrator=True)
    headers = basic("root")
    if scheme == "trusted application":
        headers = bearer(Granter(storage, store).token("mira", ["email_write"], is_trusted=True))
    trusted = Asker(app, headers, kind)
    answer = trusted("PATCH", EMAILS, email="three@example.org", verified=True)
    assert (answer.status_int, answer.json) == (200, shown("three@example.org", verified=True))
    assert trusted("PATCH", EMAILS, email="three@example.org", verified=True).json == answer.json


def test_OAU_022_trusted_application_verifies_and_chooses(
    app: Registry, storage: Storage, store: UserStore, three: None
) -> None:
    trusted = Asker(app, bearer(Granter(storage, store).token("mira", ["email_write"], is_trusted=True)))
    answer = trusted("PATCH", EMAILS, email="three@example.org", verified=True, primary=True)
    assert (answer.status_int, answer.json) == (200, shown("three@example.org", verified=True, primary=True))
    assert primaries(store) == ["three@example.org"]


def test_OAU_022_administrator_verifies_an_own_address(app: Registry, store: UserStore) -> None:
    store.create("root", "pw-root", "root@example.org", is_administrator=True)
    store.add_email("root", "root.two@example.org")
    root = Asker(app, basic("root"))
    answer = root(
        "PATCH", "/api/v1.1/users/root/emails/", email="root.two@example.org", verified=True, primary=True
    )
    assert answer.json == shown("root.two@example.org", verified=True, primary=True)


def test_OAU_022_other_callers_get_403_unless_it_is_verified(
    mira: Asker, store: UserStore, three: None
) -> None:
    before = store.account("mira")
    for flags in ({"verified": True}, {"verified": True, "primary": True}):
        assert mira("PATCH", EMAILS, email="three@example.org", **flags).status_int == 403
        # a missing address looks like an existing one
        assert mira("PATCH", EMAILS, email="nobody@example.org", **flags).status_int == 403
    assert store.account("mira") == before
    answer = mira("PATCH", EMAILS, email="two@example.org", verified=True, primary=True)
    assert answer.json == shown("two@example.org", verified=True, primary=True)


@pytest.mark.parametrize("value", [False, None, 0, 1, "true", "false", [], {}])
@pytest.mark.parametrize("flag", ["verified", "primary"])
def test_OAU_022_flag_must_be_true_or_missing(
    app: Registry, store: UserStore, three: None, flag: str, value: object
) -> None:
    before = store.account("mira")
    answer = Asker(app, basic("mira"))("PATCH", EMAILS, email="two@example.org", **{flag: value})
    assert (answer.status_int, list(answer.json)) == (400, [flag])
    assert store.account("mira") == before


@pytest.mark.parametrize("word", ["false", "0", "1", "yes", ""])
@pytest.mark.parametrize("flag", ["verified", "primary"])
def test_OAU_022_flag_in_a_form_must_be_true(
    app: Registry, store: UserStore, three: None, flag: str, word: str
) -> None:
    before = store.account("mira")
    answer = Asker(app, basic("mira"), FORM)("PATCH", EMAILS, email="two@example.org", **{flag: word})
    assert (answer.status_int, list(answer.json)) == (400, [flag])
    assert store.account("mira") == before


def test_OAU_022_missing_flags_are_400(mira: Asker) -> None:
    answer = mira("PATCH", EMAILS, email="Mira@example.org")
    assert (answer.status_int, set(answer.json)) == (400, {"verified", "primary"})


@pytest.mark.parametrize("email", ["nobody@example.org", "other@example.org"])
def test_OAU_022_unknown_address_is_404(mira: Asker, app: Registry, store: UserStore, email: str) -> None:
    store.create("root", "pw-root", is_administrator=True)
    assert mira("PATCH", EMAILS, email=email, primary=True).status_int == 404
    assert Asker(app, basic("root"))("PATCH", EMAILS, email=email, verified=True).status_int == 404
    assert [each.verified for each in store.account("other").emails] == [True]


@pytest.mark.parametrize("method", ["PUT"])
def test_other_methods_are_405(app: Registry, method: str) -> None:
    answer = Asker(app, basic("mira"))(method, EMAILS, email="two@example.org")
    assert (answer.status_int, answer.headers["Allow"]) == (405, "DELETE, GET, HEAD, PATCH, POST")


# -- DELETE


def test_OAU_024_OAU_025_removed_address_is_204_and_free(mira: Asker, store: UserStore, three: None) -> None:
    answer = mira("DELETE", EMAILS, email="TWO@example.org")
    assert (answer.status_int, answer.body, answer.headers["Content-Length"]) == (204, b"", "0")
    assert mira("GET", EMAILS).json == [FIRST, shown("three@example.org")]
    assert not store.is_taken("third", "two@example.org")
    assert mira("DELETE", EMAILS, email="two@example.org").status_int == 404


def test_OAU_024_removal_of_the_primary_address_is_400(mira: Asker, store: UserStore, three: None) -> None:
    answer = mira("DELETE", EMAILS, email="mira@example.org")
    assert (answer.status_int, list(answer.json)) == (400, ["email"])
    assert primaries(store) == ["Mira@example.org"]


@pytest.mark.parametrize("email", ["nobody@example.org", "other@example.org"])
def test_OAU_024_removal_of_an_unknown_address_is_404(mira: Asker, store: UserStore, email: str) -> None:
    answer = mira("DELETE", EMAILS, email=email)
    assert (answer.status_int, answer.json) == (404, {"detail": "The account has no such address"})
    assert len(store.account("other").emails) == 1


def test_OAU_024_address_can_be_in_the_query(app: Registry, three: None) -> None:
    client, headers = Client(app), basic("mira")
    answer = client.delete(f"{EMAILS}?email=three%40example.org", headers)
    assert (answer.status_int, answer.headers["Content-Length"]) == (204, "0")
    # some clients name a type of their empty body
    answer = client.delete(f"{EMAILS}?email=two%40example.org", {**headers, "Content-Type": JSON})
    assert answer.status_int == 204
    assert client.delete(f"{EMAILS}?email=%ff", headers).status_int == 400


def test_OAU_024_body_takes_precedence_over_the_query(app: Registry, store: UserStore, three: None) -> None:
    headers = {**basic("mira"), "Content-Type": JSON}
    answer = Client(app).request(
        "DELETE", f"{EMAILS}?email=two%40example.org", '{"email": "three@example.org"}', headers
    )
    assert answer.status_int == 204
    assert [email.email for email in store.account("mira").emails] == ["Mira@example.org", "two@example.org"]


def test_stored_address_of_another_grammar_can_be_removed(app: Registry, store: UserStore) -> None:
    store.add_email("mira", "mira@exämple")
    assert Asker(app, basic("mira"))("DELETE", EMAILS, email="mira@exämple").status_int == 204


# -- at once


def test_OAU_023_simultaneous_requests_leave_one_primary_address(storage: Storage, store: UserStore) -> None:
    emails = [f"{number}@example.org" for number in range(6)]
    for email in emails:
        store.add_email("mira", email)
        store.confirm_email("mira", email)
    apps = [Registry(storage=storage, auth=store) for _ in range(2)]

    def ask(number: int) -> int:
        email, app = emails[number % 6], apps[number % 2]
        method, flag = ("DELETE", "") if number % 5 == 4 else ("PATCH", ', "primary": true')
        body = f'{{"email": "{email}"{flag}}}'.encode()
        return call(app, method, EMAILS, body, HTTP_AUTHORIZATION=basic("mira")["Authorization"]).status

    with ThreadPoolExecutor(8) as threads:
        statuses = set(threads.map(ask, range(60)))
    assert statuses <= {200, 204, 400, 404}
    assert 200 in statuses
    assert len(primaries(store)) == 1


def test_one_of_simultaneous_additions_is_201(storage: Storage, store: UserStore) -> None:
    names = [f"user_{number}" for number in range(8)]
    for name in names:
        store.create(name, f"pw-{name}", f"{name}@example.org")
    app = Registry(storage=storage, auth=store)

    def add(name: str) -> int:
        path = f"/api/v1.1/users/{name}/emails/"
        body = b'{"email": "one@example.org"}'
        return call(app, "POST", path, body, HTTP_AUTHORIZATION=basic(name)["Authorization"]).status

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(add, names)) == [201] + [400] * 7


def test_account_that_is_deleted_meanwhile_is_404() -> None:
    class Fleeting(UserStore):
        """Deletes each account after it was looked up."""

        def account(self, username: str) -> Any:
            found = super().account(username)
            self.delete(username)
            return found

    storage = MemoryStorage()
    for method, path, body in (
        ("PATCH", MIRA, b'{"full_name": "x"}'),
        ("POST", EMAILS, b'{"email": "two@example.org"}'),
        ("PATCH", EMAILS, b'{"email": "mira@example.org", "primary": true}'),
        ("DELETE", EMAILS, b'{"email": "mira@example.org"}'),
    ):
        store = Fleeting(storage)
        store.create("mira", "pw-mira", "mira@example.org")
        app = Registry(storage=storage, auth=store)
        answer = call(app, method, path, body, HTTP_AUTHORIZATION=basic("mira")["Authorization"])
        assert (answer.status, answer.body) == (404, b'{"detail": "There is no such account"}')
