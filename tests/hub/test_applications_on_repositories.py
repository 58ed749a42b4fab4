"""What applications do with access tokens on the registry and Hub endpoints, beyond the table of rights."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from support.access_tokens import UNKNOWN, Granter, bearer
from support.accounts_world import (
    READ,
    REPOSITORIES,
    SECRET,
    AccountsWorld,
    Person,
    image_of,
    list_of,
)
from support.backends import People
from support.clock import Clock
from support.credentials import token_header
from support.wsgi_client import call

from v1registry import MemoryStorage, Registry
from v1registry.access.credentials import parse_authorization
from v1registry.access.tokens import Tokens
from v1registry.oauth.grants import ACCESS_LIFETIME_S
from v1registry.oauth.scopes import ACCOUNT_SCOPES
from v1registry.rights import User

MIRA, ACME, ROOT = User("mira", frozenset({"acme"})), User("acme"), User("root", is_administrator=True)
BASE, APP = image_of("base"), image_of("app")

INVALID = 'Bearer realm="api", error="invalid_token"'


@pytest.fixture
def world() -> AccountsWorld:
    return AccountsWorld(People.of(MIRA, ACME, ROOT), oauth_http="allow")


@pytest.fixture
def granter(world: AccountsWorld) -> Granter:
    return Granter(world.storage, world.people)


def application(
    world: AccountsWorld, granter: Granter, username: str, *scopes: str, **options: Any
) -> Person:
    return Person(world.app, bearer(granter.token(username, scopes, **options)))


def private(world: AccountsWorld, username: str = "acme", repository: str = "acme/app") -> None:
    owner = world.person(username)
    owner.make_private(repository)
    owner.push(repository, APP)


# -- what the scopes open


def test_an_application_pushes_and_pulls_for_its_user(world: AccountsWorld, granter: Granter) -> None:
    builder = application(world, granter, "mira", "repo_write")
    builder.make_private("acme/app")
    builder.push("acme/app", BASE, image_of("child", BASE))
    puller = application(world, granter, "mira", "repo_read")
    assert puller.get(f"{REPOSITORIES}/acme/app/tags").status_int == 200
    assert puller.image(BASE, "layer") == 200
    assert world.nobody().image(BASE, "layer") == 401
    # what an application pushed is what its user pushed
    assert world.person("mira").get(f"{REPOSITORIES}/acme/app/images").status_int == 200


def test_user_and_application_can_continue_each_others_push(world: AccountsWorld, granter: Granter) -> None:
    builder, mira = application(world, granter, "mira", "repo_write"), world.person("mira")
    assert builder.announce("mira/app", APP) == 200
    assert [mira.put_json(APP), builder.put_layer(APP), mira.put_checksum(APP)] == [200, 200, 200]


@pytest.mark.parametrize("username", ["mira", "root"])
def test_scopes_of_accounts_do_not_allow_public_reads(
    world: AccountsWorld, granter: Granter, username: str
) -> None:
    world.person("acme").push("acme/open", APP)
    reader = application(world, granter, username, *ACCOUNT_SCOPES)
    for path in (f"{REPOSITORIES}/acme/open/tags", f"/v1/images/{APP.image_id}/json", "/v1/search"):
        answer = reader.get(path)
        assert answer.status_int == 403
        assert (
            answer.headers["WWW-Authenticate"]
            == 'Bearer realm="api", error="insufficient_scope", scope="repo_read"'
        )
        assert "error" in answer.json
    assert world.nobody().get(f"{REPOSITORIES}/acme/open/tags").status_int == 200


def test_reading_is_not_writing(world: AccountsWorld, granter: Granter) -> None:
    private(world)
    reader = application(world, granter, "acme", "repo_read")
    answer = reader.put(f"{REPOSITORIES}/acme/app/", list_of(APP))
    assert answer.status_int == 403
    assert (
        answer.headers["WWW-Authenticate"]
        == 'Bearer realm="api", error="insufficient_scope", scope="repo_write"'
    )
    assert reader.delete("acme/app").status_int == 403
    assert world.person("acme").get(f"{REPOSITORIES}/acme/app/tags").status_int == 200


# -- an administrator's power


def test_an_administrator_does_not_pass_on_his_power(world: AccountsWorld, granter: Granter) -> None:
    private(world)
    everything = application(world, granter, "root", "repo_read", "repo_write", *ACCOUNT_SCOPES)
    assert world.person("root").get(f"{REPOSITORIES}/acme/app/tags").status_int == 200
    assert everything.get(f"{REPOSITORIES}/acme/app/tags").status_int == 404
    assert everything.image(APP) == 404
    assert everything.announce("acme/app", BASE) == 403
    assert everything.announce("library/base", BASE) == 403
    everything.push("root/own", BASE)


def test_repository_token_has_no_power_of_the_administrator(world: AccountsWorld, granter: Granter) -> None:
    private(world)
    everything = application(world, granter, "root", "repo_write")
    token = everything.wanted_token("PUT", f"{REPOSITORIES}/root/own/", list_of(BASE))
    holder = Person(world.app, token_header(token))
    assert holder.image(APP) == 404
    # nor does a push in person: everybody's repositories would lend to an administrator (decisions.md 18)
    token = world.person("root").wanted_token("PUT", f"{REPOSITORIES}/root/own/", list_of(BASE))
    assert Person(world.app, token_header(token)).image(APP) == 404
    assert world.person("root").image(APP) == 200
    # nor does a token that such a token is exchanged for
    again = holder.wanted_token("PUT", f"{REPOSITORIES}/root/own/", list_of(BASE))
    assert Person(world.app, token_header(again)).image(APP) == 404


def test_policy_is_asked_about_a_user_without_that_power() -> None:
    asked = []

    def policy(user: User | None, *what: object) -> bool:
        asked.append(user)
        return True

    world = AccountsWorld(People.of(ROOT), oauth_http="allow", policy=policy)
    everything = application(world, Granter(world.storage, world.people), "root", "repo_write")
    assert everything.announce("root/own", BASE) == 200
    assert set(asked) == {User("root")}


# -- repository tokens


def test_repository_tokens_are_for_what_the_scopes_allow(world: AccountsWorld, granter: Granter) -> None:
    private(world)
    reader = application(world, granter, "acme", "repo_read")
    token = reader.wanted_token("GET", f"{REPOSITORIES}/acme/app/images")
    assert "access=read" in token
    holder = Person(world.app, token_header(token))
    assert holder.get(f"{REPOSITORIES}/acme/app/tags").status_int == 200
    assert holder.announce("acme/app", BASE) == 401
    refused = reader.put(f"{REPOSITORIES}/acme/app/", list_of(BASE), {"X-Docker-Token": "true"})
    assert refused.status_int == 403
    assert "X-Docker-Token" not in refused.headers


def test_a_repository_token_ends_with_what_was_granted(world: AccountsWorld, granter: Granter) -> None:
    private(world)
    reader = application(world, granter, "acme", "repo_read")
    token = reader.wanted_token("GET", f"{REPOSITORIES}/acme/app/images")
    holder = Person(world.app, token_header(token))
    auth = f"{REPOSITORIES}/acme/app/auth"
    assert [holder.image(APP), holder.put(auth).status_int] == [200, 200]
    (grant,) = granter.grants.of_user("acme")
    assert granter.grants.revoke("acme", grant.id)
    assert [holder.image(APP), holder.put(auth).status_int] == [401, 403]
    assert reader.image(APP) == 401
    assert world.person("acme").image(APP) == 200


def test_repository_token_ends_with_its_access_token(world: AccountsWorld, granter: Granter) -> None:
    """One access token of a grant can be revoked alone (RFC 7009). Only its repository tokens end with it."""
    private(world)
    first, second, issued = granter.refreshed("acme", ["repo_write"])
    holders = []
    for token in (first, second):
        builder = Person(world.app, bearer(token))
        got = builder.wanted_token("PUT", f"{REPOSITORIES}/acme/app/", list_of(APP))
        again = Person(world.app, token_header(got)).wanted_token("GET", f"{REPOSITORIES}/acme/app/images")
        assert first not in got + again
        holders.append([Person(world.app, token_header(each)) for each in (got, again)])
    assert [holder.image(APP) for some in holders for holder in some] == [200] * 4
    granter.grants.revoke_token(first, issued)
    assert [[holder.image(APP) for holder in some] for some in holders] == [[401, 401], [200, 200]]
    assert Person(world.app, bearer(second)).image(APP) == 200


def test_repository_token_expires_with_its_access_token(world: AccountsWorld) -> None:
    """The clock of the grants is behind, so the access token expires soon. Repository tokens last an hour."""
    now_s = time.time()
    private(world)
    late = Granter(world.storage, world.people, clock=Clock(now_s - ACCESS_LIFETIME_S + 60))
    for granter, lifetime_s in ((late, 60), (Granter(world.storage, world.people), 3600)):
        reader = Person(world.app, bearer(granter.token("acme", ["repo_read"])))
        got = reader.wanted_token("GET", f"{REPOSITORIES}/acme/app/images")
        fields = parse_authorization(f"Token {got}")
        assert isinstance(fields, list)
        token = Tokens([SECRET]).verify(fields[0])
        assert token is not None
        # of the hour, as many seconds have gone by as the test took until here
        assert now_s + lifetime_s - 1 <= token.expires_at_s <= now_s + (60 if lifetime_s == 60 else 3660)


def test_a_repository_token_ends_with_the_application_that_got_it(
    world: AccountsWorld, granter: Granter
) -> None:
    private(world)
    reader = application(world, granter, "acme", "repo_read")
    token = reader.wanted_token("GET", f"{REPOSITORIES}/acme/app/images")
    (grant,) = granter.grants.of_user("acme")
    world.app.applications.remove(grant.application.client_id)
    assert Person(world.app, token_header(token)).image(APP) == 401


def test_application_deletes_a_repository_in_two_steps(world: AccountsWorld, granter: Granter) -> None:
    private(world)
    builder = application(world, granter, "acme", "repo_write")
    answer = builder.delete("acme/app", wants_token=True)
    assert answer.status_int == 202
    holder = Person(world.app, token_header(answer.headers["X-Docker-Token"]))
    assert holder.delete("acme/app").status_int == 200
    assert world.person("acme").get(f"{REPOSITORIES}/acme/app/tags").status_int == 404


# -- no log-in


def test_an_application_neither_logs_in_nor_changes_a_password(
    world: AccountsWorld, granter: Granter
) -> None:
    everything = application(world, granter, "mira", "repo_read", "repo_write", *ACCOUNT_SCOPES)
    assert everything.get("/v1/users/").status_int == 401
    change = json.dumps({"password": "another one", "email": "mallory@example.org"})
    for username in ("mira", "acme"):
        assert everything.put(f"/v1/users/{username}/", change).status_int == 401


# -- what is no good


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        f"Bearer {UNKNOWN}",
        f"bearer {UNKNOWN}",
        "Bearer a b",
        "Bearer a,b",
        "Bearer \xe9",
        "Bearer ../../users/mira",
        "Bearer " + "a" * 100_000,
        f"Bearer {UNKNOWN}, Basic bWlyYTpwdy1taXJh",
    ],
)
@pytest.mark.parametrize("path", ["/v1/search", f"{REPOSITORIES}/acme/open/tags", "/api/v1.1/users/mira/"])
def test_OAU_017_what_is_no_token_is_401_and_says_so(world: AccountsWorld, header: str, path: str) -> None:
    answer = call(world.app, "GET", path, HTTP_AUTHORIZATION=header)
    assert answer.status == 401
    assert answer.header("WWW-Authenticate") == INVALID


def test_OAU_017_token_is_valid_to_its_last_second_then_401(world: AccountsWorld) -> None:
    now = time.time()
    tokens = []
    for age_s in (ACCESS_LIFETIME_S - 60, ACCESS_LIFETIME_S):
        granter = Granter(world.storage, world.people, clock=Clock(now - age_s))
        tokens.append(granter.token("mira", ["repo_read"]))
    good, expired = (Person(world.app, bearer(token)) for token in tokens)
    assert good.get("/v1/search").status_int == 200
    answer = expired.get("/v1/search")
    assert (answer.status_int, answer.headers["WWW-Authenticate"]) == (401, INVALID)


def test_a_word_for_the_scheme_is_taken_in_any_case(world: AccountsWorld, granter: Granter) -> None:
    token = granter.token("mira", ["repo_read"])
    for scheme in ("Bearer", "bearer", "BEARER", "bEaReR"):
        assert call(world.app, "GET", "/v1/search", HTTP_AUTHORIZATION=f"{scheme} {token}").status == 200


def test_a_token_in_the_query_or_the_body_is_not_looked_at(world: AccountsWorld, granter: Granter) -> None:
    private(world)
    token = granter.token("acme", ["repo_read"])
    answer = call(world.app, "GET", f"{REPOSITORIES}/acme/app/tags", QUERY_STRING=f"access_token={token}")
    assert answer.status == 401
    for path in ("/api/v1.1/users/acme/", "/api/v1.1/users/acme/emails/"):
        assert call(world.app, "GET", path, QUERY_STRING=f"access_token={token}").status == 401
    form = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    body = f"access_token={token}&full_name=x".encode()
    assert call(world.app, "PATCH", "/api/v1.1/users/acme/", body, **form).status == 401


@pytest.mark.parametrize(
    ("settings", "environ", "is_taken"),
    [
        ({}, {"wsgi.url_scheme": "http"}, False),
        ({}, {"wsgi.url_scheme": "https"}, True),
        ({"oauth_http": "allow"}, {"wsgi.url_scheme": "http"}, True),
        ({"public_url": "https://hub.example.org"}, {"wsgi.url_scheme": "http"}, True),
        ({"public_url": "http://hub.example.org"}, {"wsgi.url_scheme": "https"}, False),
        ({}, {"HTTP_X_FORWARDED_PROTO": "https", "REMOTE_ADDR": "192.0.2.1"}, False),
        (
            {"trusted_proxies": ["192.0.2.1"]},
            {"HTTP_X_FORWARDED_PROTO": "https", "REMOTE_ADDR": "192.0.2.1"},
            True,
        ),
        (
            {"trusted_proxies": ["192.0.2.1"]},
            {"HTTP_X_FORWARDED_PROTO": "https", "REMOTE_ADDR": "192.0.2.2"},
            False,
        ),
    ],
)
@pytest.mark.parametrize("path", ["/v1/search", "/api/v1.1/users/mira/"])
def test_OAU_026_access_tokens_are_taken_over_https_alone(
    settings: dict[str, Any], environ: dict[str, str], is_taken: bool, path: str
) -> None:
    people, storage = People.of(MIRA), MemoryStorage()
    app = Registry(storage=storage, auth=people, **settings)
    token = Granter(storage, people).token("mira")
    answer = call(app, "GET", path, HTTP_AUTHORIZATION=f"Bearer {token}", **environ)
    assert answer.status == (200 if is_taken else 400)
    if not is_taken:
        assert answer.header("WWW-Authenticate") == 'Bearer realm="api", error="invalid_request"'
        assert b"https" in answer.body
        # one that is no good is not told from one that is
        assert call(app, "GET", path, HTTP_AUTHORIZATION=f"Bearer {UNKNOWN}", **environ).body == answer.body


def test_a_server_without_accounts_asks_nobody(world: AccountsWorld) -> None:
    app = Registry(storage=MemoryStorage())
    for header in ("Bearer", f"Bearer {UNKNOWN}"):
        assert call(app, "GET", "/v1/search", HTTP_AUTHORIZATION=header).status == 200
    assert call(app, "GET", "/api/v1.1/users/mira/", HTTP_AUTHORIZATION=f"Bearer {UNKNOWN}").status == 404


def test_access_tokens_are_not_logged(
    world: AccountsWorld, granter: Granter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    tokens = [granter.token("mira", ["repo_read"]), UNKNOWN]
    for token in tokens:
        person = Person(world.app, bearer(token))
        person.get("/v1/search")
        person.announce("mira/app", APP)
        person.get("/api/v1.1/users/mira/")
    shown = caplog.text + str([vars(record) for record in caplog.records])
    assert [token for token in tokens if token in shown] == []


def test_token_of_an_application_reads_only_what_its_user_may(world: AccountsWorld, granter: Granter) -> None:
    private(world)
    reader = application(world, granter, "mira", "repo_read")
    assert reader.image(APP) == 200
    world.people.users["mira"] = User("mira")
    assert reader.image(APP) == 404
    world.grant("acme/app", "mira", READ)
    assert reader.image(APP) == 200
    world.people.users["mira"] = User("mira", is_active=False)
    assert reader.image(APP) == 403
    del world.people.users["mira"]
    assert reader.image(APP) == 401
    assert world.person("acme").image(APP) == 200
