"""The pages of one-time links, their addresses and settings (hub.md 8)."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from support.account_client import MIRA, PUBLIC_URL, KeptMail, is_active, log_in, register
from support.cheap_passwords import CheapPasswords
from support.faulty_storage import FaultyStorage
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry
from v1registry.accounts.backends.callback import Callback
from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.users import UserStore
from v1registry.rights import User
from v1registry.settings import SettingsError

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
        storage.fail("read", "stat")
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
    app = Registry(storage=storage, auth=chain, mail=mail, public_url=PUBLIC_URL, registration="open")
    client = Client(app)
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
