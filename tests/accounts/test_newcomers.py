"""Bounds on registration: accounts and mails in an hour, and accounts that are never activated."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from support.cheap_passwords import CheapPasswords
from support.clock import Clock
from support.kept_mail import PUBLIC_URL, KeptMail
from support.wsgi_client import Answer, call

from v1registry import MemoryStorage, Registry
from v1registry.accounts import BackendChain
from v1registry.accounts.newcomers import Newcomers, mailbox_of
from v1registry.accounts.rates import Rate
from v1registry.accounts.users import UserStore

DAY_S = 86400.0
HERE, THERE = "192.0.2.1", "198.51.100.7"


def register(app: Registry, username: str, email: str = "", address: str = HERE) -> Answer:
    body = {"username": username, "password": "s3cret-one", "email": email or f"{username}@example.org"}
    return call(app, "POST", "/v1/users/", json.dumps(body).encode(), REMOTE_ADDR=address)


def registry(mail: KeptMail | None = None, storage: MemoryStorage | None = None, **settings: Any) -> Registry:
    kept = MemoryStorage() if storage is None else storage
    users = settings.pop("auth", None) or UserStore(kept, passwords=CheapPasswords())
    mails = {} if mail is None else {"mail": mail, "mail_from": "r@example.org", "public_url": PUBLIC_URL}
    return Registry(storage=kept, auth=users, **mails, **settings)


# -- the rate


def test_rate_allows_its_limit_and_forgets_steadily() -> None:
    clock = Clock(1000)
    rate = Rate(4, 3600, clock=clock)
    assert [rate.take("here") for _ in range(5)] == [0, 0, 0, 0, 900]
    assert rate.take("there") == 0
    clock.now_s += 899
    assert rate.wait_s("here") == pytest.approx(1)
    clock.now_s += 1
    assert (rate.take("here"), rate.take("here")) == (0, pytest.approx(900))


def test_event_that_is_given_back_does_not_count() -> None:
    rate = Rate(1, 3600, clock=Clock(1000))
    for _ in range(3):
        assert rate.take("here") == 0
        rate.give_back("here")
    rate.give_back("here")
    assert [rate.take("here") > 0 for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("email", "mailbox"),
    [
        ("victim+1@example.org", "victim@example.org"),
        ("Victim+a+b@Example.ORG", "victim@example.org"),
        ("victim@example.org", "victim@example.org"),
    ],
)
def test_mailbox_has_no_sub_address(email: str, mailbox: str) -> None:
    assert mailbox_of(email) == mailbox


# -- accounts


def test_one_address_registers_so_many_accounts_in_an_hour() -> None:
    app = registry(registrations_per_address=3, clock=Clock(time.time()))
    assert [register(app, f"name{number}").status for number in range(4)] == [201, 201, 201, 429]
    refused = register(app, "name9")
    assert refused.header("Retry-After") == "1200"
    assert b"try again in 1200 seconds" in refused.body
    assert register(app, "name9", address=THERE).status == 201


def test_subscriber_of_ipv6_is_counted_as_one() -> None:
    app = registry(registrations_per_address=2)
    answers = [register(app, f"name{number}", address=f"2001:db8::{number}") for number in range(3)]
    assert [answer.status for answer in answers] == [201, 201, 429]


def test_all_addresses_together_register_so_many_accounts() -> None:
    app = registry(registrations_per_hour=3)
    answers = [register(app, f"name{number}", address=f"192.0.2.{number}") for number in range(4)]
    assert [answer.status for answer in answers] == [201, 201, 201, 429]


def test_address_behind_a_trusted_proxy_counts() -> None:
    app = registry(registrations_per_address=1, trusted_proxies="192.0.2.1")
    statuses = []
    for number in range(3):
        body = {"username": f"name{number}", "password": "s3cret-one", "email": f"a{number}@example.org"}
        header = {"HTTP_X_FORWARDED_FOR": f"198.51.100.{number}"}
        statuses.append(
            call(app, "POST", "/v1/users/", json.dumps(body).encode(), REMOTE_ADDR=HERE, **header).status
        )
    assert statuses == [201, 201, 201]


def test_taken_names_and_invalid_fields_do_not_count() -> None:
    app = registry(registrations_per_address=2)
    assert register(app, "mira_k").status == 201
    assert {register(app, "mira_k").status for _ in range(5)} == {400}
    assert {register(app, "x").status for _ in range(5)} == {400}
    assert {register(app, f"n{number}xx", "mira_k@example.org").status for number in range(5)} == {400}
    assert register(app, "zoe_x").status == 201


# -- mails


def test_one_mailbox_gets_so_many_mails_in_an_hour() -> None:
    mail = KeptMail()
    app = registry(mail)
    statuses = [
        register(app, f"name{number}", f"victim+{number}@example.org", f"192.0.2.{number}").status
        for number in range(20)
    ]
    assert statuses == [201] * 5 + [429] * 15
    assert len(mail.sent) == 5
    assert register(app, "mira_k").status == 201


def test_one_address_causes_so_many_mails_in_an_hour() -> None:
    mail = KeptMail()
    app = registry(mail)
    statuses = [register(app, f"name{number}").status for number in range(30)]
    assert statuses == [201] * 20 + [429] * 10
    assert len(mail.sent) == 20


def test_so_many_mails_are_sent_in_an_hour() -> None:
    mail = KeptMail()
    app = registry(mail, mails_per_hour=3)
    statuses = [register(app, f"name{number}", address=f"192.0.2.{number}").status for number in range(5)]
    assert statuses == [201, 201, 201, 429, 429]
    assert len(mail.sent) == 3


# -- accounts that were not activated


@pytest.mark.parametrize("is_in_a_chain", [False, True])
def test_account_that_was_not_activated_gives_way(is_in_a_chain: bool) -> None:
    storage, clock, mail = MemoryStorage(), Clock(time.time() - 4 * DAY_S), KeptMail()
    users = UserStore(storage, passwords=CheapPasswords(), clock=clock)
    backend = BackendChain([users]) if is_in_a_chain else users
    app = registry(mail, storage, auth=backend)
    assert register(app, "mira_k", "mira@example.org").status == 201
    squatter = users.find("mira_k")
    assert squatter is not None

    clock.now_s = time.time()
    assert register(app, "other", "mira@example.org").status == 201
    assert users.find("mira_k") is None
    assert register(app, "mira_k", "zoe@example.org").status == 201
    owner = users.find("mira_k")
    assert owner is not None
    assert owner.id != squatter.id
    assert [account.email for account in users.emails("mira_k")] == ["zoe@example.org"]


def test_account_within_its_time_keeps_name_and_address() -> None:
    app = registry(KeptMail())
    assert register(app, "mira_k", "mira@example.org").status == 201
    assert register(app, "mira_k", "zoe@example.org").status == 400
    assert register(app, "other", "mira@example.org").status == 400


def test_account_that_was_activated_or_disabled_never_gives_way() -> None:
    storage, clock = MemoryStorage(), Clock(time.time() - 400 * DAY_S)
    users = UserStore(storage, passwords=CheapPasswords(), clock=clock)
    app = registry(KeptMail(), storage, auth=users)
    for name in ("mira_k", "zoe_x"):
        assert register(app, name).status == 201
    users.set_active("mira_k", True)
    users.set_active("zoe_x", False)
    for name in ("mira_k", "zoe_x"):
        assert register(app, name, "new@example.org").status == 400
        assert register(app, "other", f"{name}@example.org").status == 400


def test_link_that_is_followed_meanwhile_keeps_the_account() -> None:
    clock = Clock(1000)
    users = UserStore(MemoryStorage(), passwords=CheapPasswords(), clock=clock)
    users.create("mira_k", "s3cret-one", "mira@example.org", is_active=False)
    newcomers = Newcomers(accounts=users, lapse_s=60, clock=Clock(1000 + DAY_S))
    assert newcomers.lapses("mira_k")
    users.set_active("mira_k", True)
    newcomers.make_way("mira_k", "mira@example.org")
    assert users.find("mira_k") is not None


@pytest.mark.parametrize(("age_s", "is_free"), [(DAY_S, True), (-DAY_S, False)])
def test_address_that_an_account_added_and_did_not_confirm_gives_way(age_s: float, is_free: bool) -> None:
    users = UserStore(MemoryStorage(), passwords=CheapPasswords())
    users.create("mallory", "s3cret-one", "mallory@example.org")
    users.add_email("mallory", "mira@example.org")
    newcomers = Newcomers(accounts=users, lapse_s=60, clock=Clock(time.time() + age_s))
    newcomers.make_way("mira_k", "mira@example.org")
    assert users.is_taken("mira_k", "mira@example.org") is not is_free
    assert users.is_taken("mallory", "mallory@example.org")


def test_confirmed_address_never_gives_way() -> None:
    users = UserStore(MemoryStorage(), passwords=CheapPasswords())
    users.create("mallory", "s3cret-one", "mallory@example.org")
    users.add_email("mallory", "two@example.org")
    users.confirm_email("mallory", "two@example.org")
    newcomers = Newcomers(accounts=users, lapse_s=60, clock=Clock(time.time() + DAY_S))
    for email in ("two@example.org", "mallory@example.org"):
        newcomers.make_way("mira_k", email)
        assert users.is_taken("mira_k", email)
