"""One-time links that activate accounts and confirm addresses (hub.md 8)."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from itsdangerous.encoding import base64_decode
from support.account_client import (
    CREDENTIALS,
    MIRA,
    PUBLIC_URL,
    TAKEN,
    KeptMail,
    change,
    is_active,
    is_page,
    log_in,
    register,
)
from support.clock import Clock
from support.credentials import basic
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry
from v1registry.accounts.confirmations import Links
from v1registry.accounts.users import UserStore

IMAGE_ID = "0123456789abcdef"


# -- a new account


def test_HUB_030_new_account_is_refused_before_its_activation(waiting: Client, mail: KeptMail) -> None:
    requests = [
        ("PUT", "/v1/repositories/mira_k/app/", "[]"),
        ("PUT", "/v1/repositories/mira_k/app/images", "[]"),
        ("GET", "/v1/repositories/mira_k/app/images", ""),
        ("GET", "/v1/repositories/mira_k/app/tags", ""),
        ("PUT", "/v1/repositories/mira_k/app/tags/latest", f'"{IMAGE_ID}"'),
        ("DELETE", "/v1/repositories/mira_k/app/", ""),
        ("GET", f"/v1/images/{IMAGE_ID}/json", ""),
        ("PUT", f"/v1/images/{IMAGE_ID}/json", "{}"),
        ("PUT", f"/v1/images/{IMAGE_ID}/layer", "x"),
        ("GET", "/v1/search?q=app", ""),
    ]
    for method, path, body in requests:
        answer = waiting.request(method, path, body, {**CREDENTIALS, "X-Docker-Token": "true"})
        assert (answer.status_int, answer.json) == (403, {"error": "Account is not Active"}), path
        assert "X-Docker-Token" not in answer.headers
    for answer in (
        log_in(waiting, "mira_k", "s3cret-one"),
        change(waiting, "mira_k", CREDENTIALS, password="another one"),
    ):
        assert (answer.status_int, answer.body) == (403, b'"Account is not Active"')

    assert waiting.post(mail.path).status_int == 200

    assert log_in(waiting, "mira_k", "s3cret-one").body == b'"OK"'
    assert waiting.put("/v1/repositories/mira_k/app/", "[]", CREDENTIALS).status_int == 200


def test_repeated_registration_does_not_show_the_activation(waiting: Client, mail: KeptMail) -> None:
    """Only the right password shows whether the account is active (decisions.md 10)."""
    for password in ("s3cret-one", "wrong one"):
        answer = register(waiting, **{**MIRA, "password": password})
        assert (answer.status_int, answer.body) == (400, TAKEN)
    assert len(mail.sent) == 1


def test_get_of_a_link_changes_nothing(waiting: Client, mail: KeptMail) -> None:
    """Mail scanners follow links, but press no buttons."""
    for _ in range(3):
        page = waiting.get(mail.path)
        assert (page.status_int, is_page(page)) == (200, True)
        assert b'<form method="post">' in page.body
        assert waiting.head(mail.path).status_int == 200
    assert not is_active(waiting)


def test_link_activates_the_account_and_confirms_the_address(
    waiting: Client, mail: KeptMail, store: UserStore
) -> None:
    assert [email.verified for email in store.emails("mira_k")] == [False]

    done = waiting.post(mail.path)

    assert (done.status_int, is_page(done)) == (200, True)
    assert is_active(waiting)
    assert [email.verified for email in store.emails("mira_k")] == [True]


def test_link_works_once(waiting: Client, mail: KeptMail) -> None:
    assert waiting.post(mail.path).status_int == 200
    for answer in (waiting.post(mail.path), waiting.get(mail.path)):
        assert (answer.status_int, is_page(answer)) == (404, True)
        assert b"form" not in answer.body
    assert is_active(waiting)


def test_one_of_simultaneous_uses_of_a_link_succeeds(waiting: Client, mail: KeptMail) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: Client(waiting.app).post(mail.path).status_int, range(8)))
    assert sorted(statuses) == [200] + [404] * 7


def test_link_works_in_another_process_over_the_storage(
    waiting: Client, mail: KeptMail, storage: MemoryStorage
) -> None:
    other = Client(Registry(storage=storage, auth="users:", mail=KeptMail(), public_url=PUBLIC_URL))
    assert other.post(mail.path).status_int == 200
    assert is_active(waiting)


# -- links that do not work


def test_invalid_links_all_have_the_same_answer(waiting: Client, mail: KeptMail, store: UserStore) -> None:
    folder, _, token = mail.path.rpartition("/")
    payload, _, signature = token.partition(".")
    state = store.unconfirmed("mira_k")["mira@example.org"]
    foreign = Links(["another key"]).sign("mira_k", "mira@example.org", state)
    repository_token = re.search(r"signature=([^,]+)", _repository_token(waiting, store))
    assert repository_token is not None
    tokens = [
        *(
            "x",
            ".",
            "x.y",
            "<script>alert(1)",
            "%3Cb%3E",
            "%00",
            "%FF",
            "%F0%9F%90%B3",
            "..",
            "x" * 3000,
        ),
        *(payload, f".{signature}", f"{payload}.{signature[:-1]}", f"{payload}.{signature}x", f"{token}%0A"),
        *(
            f"{token}%20",
            f"{token}.",
            token.swapcase(),
            f"x{token}",
            f"{signature}.{payload}",
            f"{payload}.{payload}",
        ),
        *(foreign, repository_token[1]),
    ]
    answers = [
        (method, waiting.request(method, f"{folder}/{text}")) for text in tokens for method in ("GET", "POST")
    ]

    pages = {answer.body for _, answer in answers if is_page(answer)}
    assert len(pages) == 1
    assert {answer.status_int for _, answer in answers if is_page(answer)} == {404}
    # a path that is not UTF-8
    assert [answer.status_int for _, answer in answers if not is_page(answer)] == [400, 400]
    assert not is_active(waiting)
    assert waiting.post(mail.path).status_int == 200


def _repository_token(client: Client, store: UserStore) -> str:
    store.create("moe_x", "s3cret-two")
    headers = {**basic("moe_x", "s3cret-two"), "X-Docker-Token": "true"}
    token: str = client.put("/v1/repositories/moe_x/app/", "[]", headers).headers["X-Docker-Token"]
    return token


def test_link_is_no_repository_token(waiting: Client, mail: KeptMail) -> None:
    token = mail.path.rpartition("/")[2]
    header = {"Authorization": f'Token signature={token},repository="mira_k/app",access=write'}
    assert waiting.get("/v1/repositories/mira_k/app/images", header).status_int == 401


def test_links_expire_after_their_lifetime() -> None:
    clock = Clock(1000.0)
    links = Links(["key"], lifetime_s=60, clock=clock)
    token = links.sign("mira_k", "mira@example.org", "state")

    clock.now_s = 1059.9
    link = links.read(token)
    assert link is not None
    assert (link.username, link.is_for("mira@example.org", "state")) == ("mira_k", True)
    clock.now_s = 1060.0
    assert links.read(token) is None


def test_links_are_bound_to_address_and_state() -> None:
    links = Links(["key"])
    link = links.read(links.sign("mira_k", "mira@example.org", "state"))
    assert link is not None
    assert not link.is_for("two@example.org", "state")
    assert not link.is_for("mira@example.org", "another")
    assert not link.is_for("mira@example.orgs", "tate")


def test_links_of_an_old_key_work_while_it_is_configured() -> None:
    token = Links(["old"]).sign("mira_k", "mira@example.org", "state")
    assert Links(["old", "new"]).read(token) is not None
    assert Links(["new"]).read(token) is None
    assert Links(lambda: ["old", "new"]).sign("a", "b", "c") != Links(["old"]).sign("a", "b", "c")


def test_link_contains_no_address_and_only_safe_letters(mail: KeptMail, waiting: Client) -> None:
    token = mail.path.rpartition("/")[2]
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{20,120}\.[A-Za-z0-9_-]{42}[A-Za-z0-9]", token)
    shown = base64_decode(token.partition(".")[0])
    assert shown.startswith(b'["mira_k",')
    assert b"example.org" not in shown


def test_changed_password_ends_the_link(waiting: Client, mail: KeptMail, store: UserStore) -> None:
    store.set_password("mira_k", "s3cret-two")
    assert waiting.post(mail.path).status_int == 404
    assert log_in(waiting, "mira_k", "s3cret-two").status_int == 403


def test_link_of_a_deleted_account_does_not_work_for_a_later_one(
    waiting: Client, mail: KeptMail, store: UserStore
) -> None:
    old = mail.path
    store.delete("mira_k")
    assert waiting.post(old).status_int == 404
    store.create("mira_k", "s3cret-one", "mira@example.org", is_active=False)
    assert waiting.post(old).status_int == 404
    assert not is_active(waiting)


@pytest.mark.parametrize("was_activated", [True, False])
def test_link_does_not_activate_a_disabled_account(
    waiting: Client, mail: KeptMail, store: UserStore, was_activated: bool
) -> None:
    if was_activated:
        assert waiting.post(mail.path).status_int == 200
    store.set_active("mira_k", False)

    assert waiting.post(mail.path).status_int == 404
    assert not is_active(waiting)
    assert len(mail.sent) == 1


# -- added addresses


@pytest.fixture
def active(waiting: Client, mail: KeptMail) -> Client:
    """A server on which mira_k has activated the account."""
    assert waiting.post(mail.path).status_int == 200
    mail.sent.clear()
    return waiting


def test_added_address_gets_a_link_that_works_once(active: Client, mail: KeptMail, store: UserStore) -> None:
    assert change(active, "mira_k", CREDENTIALS, email="two@example.org").status_int == 204
    assert mail.kinds_and_addresses == [("confirmation", "two@example.org")]
    assert is_active(active)
    assert [email.verified for email in store.emails("mira_k")] == [True, False]

    assert active.get(mail.path).status_int == 200
    assert [email.verified for email in store.emails("mira_k")] == [True, False]
    assert active.post(mail.path).status_int == 200
    assert [(email.verified, email.primary) for email in store.emails("mira_k")] == [
        (True, True),
        (True, False),
    ]
    assert active.post(mail.path).status_int == 404


def test_link_of_an_address_added_with_a_new_password_works(
    active: Client, mail: KeptMail, store: UserStore
) -> None:
    assert (
        change(active, "mira_k", CREDENTIALS, email="two@example.org", password="s3cret-two").status_int
        == 204
    )
    assert active.post(mail.path).status_int == 200
    assert [email.verified for email in store.emails("mira_k")] == [True, True]


def test_changed_password_ends_the_link_of_an_added_address(active: Client, mail: KeptMail) -> None:
    change(active, "mira_k", CREDENTIALS, email="two@example.org")
    change(active, "mira_k", CREDENTIALS, password="s3cret-two")
    assert active.post(mail.path).status_int == 404


def test_addresses_that_need_no_link_get_no_mail(active: Client, mail: KeptMail) -> None:
    """A confirmed address, one of another user, and one that got a mail just now."""
    assert change(active, "mira_k", CREDENTIALS, email="MIRA@example.org").status_int == 204
    assert mail.sent == []
    assert change(active, "mira_k", CREDENTIALS, email="two@example.org").status_int == 204
    assert change(active, "mira_k", CREDENTIALS, email="Two@Example.org").status_int == 204
    assert change(active, "mira_k", CREDENTIALS, email="bad").status_int == 400
    assert mail.kinds_and_addresses == [("confirmation", "two@example.org")]


def test_address_added_by_an_administrator_activates_a_new_account(
    waiting: Client, mail: KeptMail, store: UserStore
) -> None:
    """A new user mistyped the address, so its link is never followed."""
    store.create("root", "s3cret-two", is_administrator=True)
    root = basic("root", "s3cret-two")
    assert change(waiting, "mira_k", root, email="right@example.org").status_int == 204
    assert mail.kinds_and_addresses[1:] == [("activation", "right@example.org")]
    assert waiting.post(mail.path).status_int == 200
    assert is_active(waiting)
    assert [email.verified for email in store.emails("mira_k")] == [False, True]
