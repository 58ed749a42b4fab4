"""Limits on mails: a user who adds and removes addresses cannot make the server mail strangers for ever."""

from __future__ import annotations

import pytest
from support.account_client import PUBLIC_URL, KeptMail
from support.cheap_passwords import CheapPasswords
from support.clock import Clock

from v1registry import MemoryStorage
from v1registry.accounts.confirmations import DAY_S, MOST_MAILS, REPEAT_S, Confirmations, Links
from v1registry.accounts.mail import MailError
from v1registry.accounts.service import Accounts
from v1registry.accounts.users import UserStore


class Spammer:
    """The user mira adds and removes addresses, on a server whose clock the test sets."""

    def __init__(self, mail: KeptMail) -> None:
        self.clock = Clock(0.0)
        self.store = UserStore(MemoryStorage(), passwords=CheapPasswords())
        self.store.create("mira", "correct horse", "mira@example.org")
        confirmations = Confirmations(
            self.store, mail, Links(["key"], lifetime_s=60), PUBLIC_URL, clock=self.clock
        )
        self.accounts = Accounts(self.store, confirmations=confirmations)

    def add_and_remove(self, email: str, username: str = "mira") -> None:
        self.accounts.change(username, {"email": email})
        assert self.store.remove_email(username, email)


@pytest.fixture
def spammer(mail: KeptMail) -> Spammer:
    return Spammer(mail)


def test_number_of_mails_a_day_is_limited(spammer: Spammer, mail: KeptMail) -> None:
    for number in range(MOST_MAILS + 10):
        spammer.add_and_remove(f"{number}@example.org")
    assert len(mail.sent) == MOST_MAILS
    spammer.clock.now_s = DAY_S - 1
    spammer.add_and_remove("late@example.org")
    assert len(mail.sent) == MOST_MAILS
    spammer.clock.now_s = DAY_S
    spammer.add_and_remove("late@example.org")
    assert len(mail.sent) == MOST_MAILS + 1


def test_other_users_get_their_mails(spammer: Spammer, mail: KeptMail) -> None:
    spammer.store.create("other", "correct horse", "other@example.org")
    for number in range(MOST_MAILS):
        spammer.add_and_remove(f"{number}@example.org")
    spammer.add_and_remove("two@example.org", "other")
    assert mail.kinds_and_addresses[-1] == ("confirmation", "two@example.org")


def test_address_that_is_added_again_gets_no_mail_too_soon(spammer: Spammer, mail: KeptMail) -> None:
    for spelling in ("two@example.org", "two@example.org", "TWO@example.org", "Two@Example.Org"):
        spammer.add_and_remove(spelling)
    assert len(mail.sent) == 1
    spammer.clock.now_s = REPEAT_S
    spammer.add_and_remove("two@EXAMPLE.org")
    assert len(mail.sent) == 2


def test_mails_that_were_not_sent_do_not_count(spammer: Spammer, mail: KeptMail) -> None:
    mail.error = MailError("the server of the mails is down")
    for number in range(MOST_MAILS):
        spammer.add_and_remove(f"{number}@example.org")
    mail.error = None
    spammer.add_and_remove("two@example.org")
    assert mail.kinds_and_addresses == [("confirmation", "two@example.org")]
