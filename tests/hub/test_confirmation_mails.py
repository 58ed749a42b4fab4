"""Mails with links that logins to inactive accounts cause (hub.md 8)."""

from __future__ import annotations

import pytest
from support.account_client import MIRA, PUBLIC_URL, KeptMail, is_active, log_in, register
from support.clock import Clock
from support.credentials import basic
from support.wsgi_client import Client

from v1registry import MemoryStorage
from v1registry.accounts.confirmations import REPEAT_S, Confirmations, Links
from v1registry.accounts.mail import MailError
from v1registry.accounts.service import Accounts
from v1registry.accounts.users import UserStore
from v1registry.rights import User

# -- asking again


class Server:
    """Accounts over a store, and a clock that the test sets."""

    def __init__(self, store: UserStore, mail: KeptMail):
        self.clock = Clock(0.0)
        links = Links(["key"], lifetime_s=60, clock=self.clock)
        self.confirmations = Confirmations(store, mail, links, PUBLIC_URL, clock=self.clock, per_hour=100_000)
        self.accounts = Accounts(store, confirmations=self.confirmations)


def test_login_to_an_inactive_account_mails_a_link_in_time(store: UserStore, mail: KeptMail) -> None:
    server = Server(store, mail)
    server.accounts.register(MIRA)

    server.clock.now_s = REPEAT_S - 0.1
    server.accounts.logged_in_inactive("mira_k")
    assert len(mail.sent) == 1
    server.clock.now_s = REPEAT_S
    server.accounts.logged_in_inactive("mira_k")
    assert mail.kinds_and_addresses == [("activation", "mira@example.org")] * 2

    first, second = (link.rpartition("/")[2] for _, _, _, link in mail.sent)
    assert not server.confirmations.follow(first)
    assert server.confirmations.follow(second)
    server.clock.now_s = 10 * REPEAT_S
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
