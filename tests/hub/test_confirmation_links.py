"""One-time links that activate accounts and confirm addresses (hub.md 8)."""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from itsdangerous.encoding import base64_decode
from support.account_client import (
    MIRA,
    PUBLIC_URL,
    TAKEN,
    KeptMail,
    change,
    log_in,
    register,
)
from support.cheap_passwords import CheapPasswords
from support.credentials import basic
from support.faulty_storage import FaultyStorage
from support.wsgi_client import Client
from webtest import TestResponse

from v1registry import MemoryStorage, Registry
from v1registry.accounts.backends.callback import Callback
from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.confirmations import REPEAT_S, Confirmations, Links
from v1registry.accounts.mail import MailError
from v1registry.accounts.service import Accounts
from v1registry.accounts.users import UserStore
from v1registry.rights import User
from v1registry.settings import SettingsError

CREDENTIALS = basic("mira_k", "s3cret-one")
IMAGE_ID = "0123456789abcdef"


@pytest.fixture
def waiting(mailing: Client, mail: KeptMail) -> Client:
    """A server on which mira_k has registered, and got a link."""
    assert register(mailing, **MIRA).body == b'"User Created"'
    assert mail.kinds_and_addresses == [("activation", "mira@example.org")]
    return mailing


def is_page(answer: TestResponse) -> bool:
    return answer.headers["Content-Type"] == "text/html; charset=utf-8" and answer.body.startswith(
        b"<!DOCTYPE"
    )


def is_active(client: Client) -> bool:
    answer = log_in(client, "mira_k", "s3cret-one")
    assert answer.status_int in (200, 403)
    return answer.status_int == 200


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
    now = [1000.0]
    links = Links(["key"], lifetime_s=60, clock=lambda: now[0])
    token = links.sign("mira_k", "mira@example.org", "state")

    now[0] = 1059.9
    link = links.read(token)
    assert link is not None
    assert (link.username, link.is_for("mira@example.org", "state")) == ("mira_k", True)
    now[0] = 1060.0
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


# -- asking again


class Server:
    """Accounts over a store, and a clock that the test sets."""

    def __init__(self, store: UserStore, mail: KeptMail):
        self.now_s = 0.0
        links = Links(["key"], lifetime_s=60, clock=lambda: self.now_s)
        self.confirmations = Confirmations(store, mail, links, PUBLIC_URL, clock=lambda: self.now_s)
        self.accounts = Accounts(store, confirmations=self.confirmations)


def test_login_to_an_inactive_account_mails_a_link_in_time(store: UserStore, mail: KeptMail) -> None:
    server = Server(store, mail)
    server.accounts.register(MIRA)

    server.now_s = REPEAT_S - 0.1
    server.accounts.logged_in_inactive("mira_k")
    assert len(mail.sent) == 1
    server.now_s = REPEAT_S
    server.accounts.logged_in_inactive("mira_k")
    assert mail.kinds_and_addresses == [("activation", "mira@example.org")] * 2

    first, second = (link.rpartition("/")[2] for _, _, _, link in mail.sent)
    assert not server.confirmations.follow(first)
    assert server.confirmations.follow(second)
    server.now_s = 10 * REPEAT_S
    server.accounts.logged_in_inactive("mira_k")
    assert len(mail.sent) == 2


class Crowd(UserStore):
    """A backend in which every name is a user with one unconfirmed address."""

    def find(self, username: str) -> User:
        return User(username)

    def unconfirmed(self, username: str) -> dict[str, str]:
        return {f"{username}@example.org": "state"}


def test_last_10_000_mails_are_remembered(storage: MemoryStorage, mail: KeptMail) -> None:
    server = Server(Crowd(storage), mail)
    for number in range(10_000):
        server.confirmations.ask(f"user{number}")
    server.confirmations.ask("user0")
    assert len(mail.sent) == 10_000
    server.confirmations.ask("user10000")
    server.confirmations.ask("user1")
    assert len(mail.sent) == 10_001
    server.confirmations.ask("user0")
    assert len(mail.sent) == 10_002


def test_only_the_right_password_of_a_new_account_causes_a_mail(
    waiting: Client, mail: KeptMail, store: UserStore
) -> None:
    store.create("disabled", "s3cret-two", "disabled@example.org")
    store.set_active("disabled", False)
    store.create("no_address", "s3cret-two", is_active=False)
    store.create("new_one", "s3cret-two", "new@example.org", is_active=False)
    mail.sent.clear()

    for name in ("disabled", "no_address", "nobody"):
        log_in(waiting, name, "s3cret-two")
    log_in(waiting, "new_one", "wrong one")
    waiting.get("/v1/repositories/new_one/app/images", basic("new_one", "s3cret-two"))
    assert mail.sent == []

    assert log_in(waiting, "new_one", "s3cret-two").status_int == 403
    assert mail.kinds_and_addresses == [("activation", "new@example.org")]
    assert waiting.post(mail.path).status_int == 200
    assert log_in(waiting, "new_one", "s3cret-two").status_int == 200


@pytest.mark.parametrize(
    "error", [MailError("mail.example.org:25: timed out"), ValueError("the link was https://x/secret")]
)
def test_mail_that_cannot_be_sent_is_sent_at_the_next_login(
    mailing: Client, mail: KeptMail, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    mail.error = error
    assert register(mailing, **MIRA).status_int == 201
    assert not is_active(mailing)
    assert "the mail for 'mira_k' was not sent" in caplog.text
    assert ("timed out" in caplog.text) == isinstance(error, MailError)
    assert "secret" not in caplog.text

    mail.error = None
    assert not is_active(mailing)
    assert len(mail.sent) == 1
    assert mailing.post(mail.path).status_int == 200
    assert is_active(mailing)


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


# -- where links are


def test_links_use_the_public_url_and_not_the_host_header(mailing: Client, mail: KeptMail) -> None:
    mailing.post(
        "/v1/users/",
        '{"username": "mira_k", "password": "s3cret-one", "email": "mira@example.org"}',
        {"Host": "evil.example.com", "X-Forwarded-Host": "evil.example.com"},
    )
    assert mail.sent[0][3].startswith("https://registry.example.org/accounts/activate/")


def test_path_of_links_is_a_setting(storage: MemoryStorage, mail: KeptMail) -> None:
    client = Client(
        Registry(
            storage=storage,
            auth="users:",
            mail=mail,
            public_url=f"{PUBLIC_URL}/registry/",
            link_path="/hub/people/links",
        )
    )
    register(client, **MIRA)
    assert mail.path.startswith("/registry/hub/people/links/")
    assert client.get(mail.path.removeprefix("/registry")).status_int == 200
    assert client.get("/accounts/activate/x").headers["Content-Type"] == "application/json"


def behind(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"behind"]


def test_links_are_served_in_front_of_an_application(
    storage: MemoryStorage, store: UserStore, mail: KeptMail
) -> None:
    registry = Registry(storage=storage, auth=store, mail=mail, public_url=PUBLIC_URL)
    client = Client(registry.in_front_of(behind))
    register(client, **MIRA)

    assert client.get("/accounts/activate/x").status_int == 404
    assert client.post(mail.path).status_int == 200
    for path in ("/accounts/activate", "/accounts/", "/accounts/activated/x", "/accounts/x"):
        assert client.get(path).body == b"behind"
    without_mail = Client(Registry(storage=storage, auth=store).in_front_of(behind))
    assert without_mail.get("/accounts/activate/x").body == b"behind"


def test_pages_of_links_are_not_stored_and_load_nothing(waiting: Client, mail: KeptMail) -> None:
    for answer in (waiting.get(mail.path), waiting.post(mail.path), waiting.get(mail.path)):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert mail.path.rpartition("/")[2].encode() not in answer.body
        assert "Location" not in answer.headers
        assert b"mira" not in answer.body


def test_links_accept_get_head_and_post_with_small_bodies(waiting: Client, mail: KeptMail) -> None:
    assert waiting.put(mail.path).status_int == 405
    assert waiting.delete(mail.path).status_int == 405
    assert waiting.post(mail.path, b"x" * 65537).status_int == 413
    assert not is_active(waiting)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert waiting.post(mail.path, b"a=b", form).status_int == 200


def test_links_are_not_logged_and_survive_an_outage(
    mail: KeptMail, passwords: CheapPasswords, caplog: pytest.LogCaptureFixture
) -> None:
    storage = FaultyStorage()
    store = UserStore(storage, passwords=passwords)
    client = Client(Registry(storage=storage, auth=store, mail=mail, public_url=PUBLIC_URL))
    with caplog.at_level(logging.DEBUG):
        register(client, **MIRA)
        log_in(client, "mira_k", "s3cret-one")
        client.put(mail.path)
        client.post(mail.path, b"x" * 65537)
        storage.fail("read")
        for answer in (client.get(mail.path), client.post(mail.path)):
            assert answer.status_int == 503
        storage.heal()
        client.get(mail.path)
        assert client.post(mail.path).status_int == 200
        client.post(mail.path)

    token = mail.path.rpartition("/")[2]
    assert "/accounts/activate/..." in caplog.text
    assert "an address of 'mira_k' was confirmed" in caplog.text
    for secret in (token, token.partition(".")[2], "s3cret-one", "mira@example.org"):
        assert secret not in caplog.text
        assert secret not in repr([record.__dict__ for record in caplog.records])


# -- chains, and settings


def test_accounts_of_a_chain_are_activated(storage: MemoryStorage, store: UserStore, mail: KeptMail) -> None:
    chain = BackendChain([Callback(lambda username, password: False), store])
    client = Client(Registry(storage=storage, auth=chain, mail=mail, public_url=PUBLIC_URL))
    register(client, **MIRA)
    assert not is_active(client)
    assert client.post(mail.path).status_int == 200
    assert store.find("mira_k") == User("mira_k")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"auth": "users:", "mail": KeptMail()}, "mail: public_url is needed too"),
        ({"auth": "open:", "mail": KeptMail(), "public_url": PUBLIC_URL}, "mail: a server without accounts"),
        (
            {"auth": "htpasswd:///etc/users", "mail": KeptMail(), "public_url": PUBLIC_URL},
            "mail: the users of this server (auth) are not activated by links",
        ),
        (
            {"auth": "users:", "mail": object(), "public_url": PUBLIC_URL},
            "mail: must be a Mailer with send_activation()",
        ),
        (
            {"auth": "users:", "mail": "os:path", "public_url": PUBLIC_URL},
            "mail: must be a Mailer with send_activation()",
        ),
        (
            {"auth": "users:", "mail": "nothing:here", "public_url": PUBLIC_URL},
            "mail: 'nothing:here' names nothing",
        ),
        (
            {"auth": "users:", "mail": "http://x", "public_url": PUBLIC_URL},
            "mail: must be smtp://HOST, smtps://HOST or",
        ),
        ({"auth": "users:", "mail": "smtp://x", "public_url": PUBLIC_URL}, "mail: there must be a sender"),
        ({"mail_from": "nobody"}, "mail_from: must be an address such as"),
        ({"link_lifetime_s": "0"}, "link_lifetime_s: must be a whole number"),
        *[
            ({"link_path": path}, "link_path: must be a path of two segments or more")
            for path in (
                "",
                "/",
                "/activate",
                "accounts/activate",
                "/a/b/",
                "/v1/users",
                "/v2/x",
                "/api/v1.1/x",
                "/a/../b",
                "/a/{b}",
            )
        ],
    ],
)
def test_invalid_settings_are_reported(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Registry(storage=MemoryStorage(), **settings)
    assert any(text.startswith(problem) for text in caught.value.problems), caught.value.problems


def test_setting_names_a_mailer_by_module_and_attribute() -> None:
    for mail in ("support.account_client:KeptMail", KeptMail()):
        client = Client(Registry(storage=MemoryStorage(), auth="users:", mail=mail, public_url=PUBLIC_URL))
        register(client, **MIRA)
        assert not is_active(client)
