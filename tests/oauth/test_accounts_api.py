"""Profiles of the accounts API, by Basic and by access tokens, over several storages (oauth.md 4.1, 4.2)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from support.access_tokens import Granter, bearer
from support.account_asker import FORM, HUB, JSON, KEYS, MIRA, Asker
from support.credentials import basic
from support.wsgi_client import Client, call

from v1registry import MemoryStorage, Registry, Storage
from v1registry.accounts.fields import LONGEST_TEXT, LONGEST_URL
from v1registry.accounts.users import UserStore

# -- GET


def test_OAU_017_OAU_018_OAU_019_profile_has_12_keys(mira: Asker) -> None:
    answer = mira("GET", MIRA)

    assert answer.status_int == 200
    assert answer.headers["Content-Type"] == "application/json"
    shown = answer.json
    assert set(shown) == KEYS
    digest = hashlib.md5(b"mira@example.org").hexdigest()
    assert shown == {
        "id": shown["id"],
        "username": "mira",
        "url": "https://hub.example.org/api/v1.1/users/mira/",
        "date_joined": "2014-05-03T08:15:30.000250Z",
        "type": "User",
        "full_name": "",
        "location": "",
        "company": "",
        "profile_url": "",
        "gravatar_url": f"https://secure.gravatar.com/avatar/{digest}.jpg?s=80&r=g&d=mm",
        "email": "Mira@example.org",
        "is_active": True,
    }
    assert type(shown["id"]) is int
    assert 0 < shown["id"] < 1 << 53


def test_OAU_019_final_slash_is_optional(mira: Asker) -> None:
    assert mira("GET", MIRA).body == mira("GET", MIRA.rstrip("/")).body


def test_OAU_019_other_user_is_403_unknown_404_anonymous_401(app: Registry, mira: Asker) -> None:
    other, nobody = mira("GET", "/api/v1.1/users/other/"), mira("GET", "/api/v1.1/users/nobody/")
    assert (other.status_int, list(other.json)) == (403, ["detail"])
    assert (nobody.status_int, list(nobody.json)) == (404, ["detail"])
    for name in ("mira", "nobody"):
        answer = Asker(app, {})("GET", f"/api/v1.1/users/{name}/")
        assert (answer.status_int, list(answer.json)) == (401, ["detail"])
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="api", Bearer realm="api"'


@pytest.mark.parametrize(
    "name", ["x" * 256, "x" * 3000, "%00", "..", "mira%20", "MIRA", "mira%2Fother", "%E2%98%83"]
)
def test_OAU_019_odd_name_is_404(app: Registry, name: str) -> None:
    assert Asker(app, basic("mira"))("GET", f"/api/v1.1/users/{name}/").status_int == 404


def test_OAU_019_url_follows_request_proxy_and_public_url(storage: Storage, store: UserStore) -> None:
    def url(registry: Registry, **environ: str) -> str:
        answer = call(registry, "GET", MIRA, HTTP_AUTHORIZATION=basic("mira")["Authorization"], **environ)
        assert answer.status == 200
        found: str = json.loads(answer.body)["url"]
        return found

    plain = Registry(storage=storage, auth=store)
    assert url(plain, HTTP_HOST="hub.example.org:8443", **{"wsgi.url_scheme": "https"}) == (
        "https://hub.example.org:8443/api/v1.1/users/mira/"
    )
    assert url(plain, SCRIPT_NAME="/hub") == "http://localhost/hub/api/v1.1/users/mira/"
    forwarded = {
        "HTTP_X_FORWARDED_HOST": "hub.example.org",
        "HTTP_X_FORWARDED_PROTO": "https",
        "REMOTE_ADDR": "192.0.2.1",
    }
    assert url(plain, **forwarded) == "http://localhost/api/v1.1/users/mira/"
    behind = Registry(storage=storage, auth=store, trusted_proxies=["192.0.2.1"])
    assert url(behind, **forwarded) == "https://hub.example.org/api/v1.1/users/mira/"
    public = Registry(storage=storage, auth=store, public_url="https://hub.example.org/registry/")
    assert url(public) == "https://hub.example.org/registry/api/v1.1/users/mira/"


def test_OAU_019_inactive_user_is_403(app: Registry, store: UserStore) -> None:
    store.set_active("mira", False)
    answer = Asker(app, basic("mira"))("GET", MIRA)
    assert (answer.status_int, answer.json) == (403, {"detail": "Account is not Active"})


# -- PATCH


def test_OAU_020_OAU_025_only_given_fields_change(mira: Asker) -> None:
    before = mira("GET", MIRA).json
    answer = mira("PATCH", MIRA, full_name="Mira Kovač", location="Graz")
    assert answer.status_int == 200
    assert answer.json == before | {"full_name": "Mira Kovač", "location": "Graz"}
    answer = mira(
        "PATCH", MIRA, location="", company="Example Works", profile_url="https://mira.example.org/"
    )
    assert answer.json == before | {
        "full_name": "Mira Kovač",
        "company": "Example Works",
        "profile_url": "https://mira.example.org/",
    }
    assert mira("GET", MIRA).json == answer.json


def test_OAU_020_gravatar_url_follows_the_hidden_gravatar_email(mira: Asker) -> None:
    answer = mira("PATCH", MIRA, gravatar_email="Mira.Two@Example.org")
    digest = hashlib.md5(b"mira.two@example.org").hexdigest()
    assert answer.json["gravatar_url"] == f"https://secure.gravatar.com/avatar/{digest}.jpg?s=80&r=g&d=mm"
    assert set(answer.json) == KEYS
    assert "Mira.Two" not in answer.text
    answer = mira("PATCH", MIRA, gravatar_email="")
    assert hashlib.md5(b"mira@example.org").hexdigest() in answer.json["gravatar_url"]


def test_OAU_020_unknown_and_read_only_keys_are_ignored(mira: Asker, store: UserStore) -> None:
    before = store.account("mira")
    answer = mira(
        "PATCH",
        MIRA,
        id=1,
        username="root",
        email="mallory@example.org",
        is_active="false",
        is_administrator="true",
        type="Organization",
        date_joined="1970-01-01T00:00:00.000000Z",
        password="mine",
        groups="library",
        shoe_size="44",
    )
    assert answer.status_int == 200
    assert store.account("mira") == before


def test_OAU_020_empty_patch_changes_nothing(mira: Asker) -> None:
    before = mira("GET", MIRA).json
    answer = mira("PATCH", MIRA)
    assert (answer.status_int, answer.json) == (200, before)


def test_OAU_020_write_scope_alone_gets_the_whole_answer(
    app: Registry, storage: Storage, store: UserStore
) -> None:
    writer = Asker(app, bearer(Granter(storage, store).token("mira", ["profile_write"])))
    assert set(writer("PATCH", MIRA, company="Example Works").json) == KEYS
    assert writer("GET", MIRA).status_int == 403


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("full_name", "x" * (LONGEST_TEXT + 1)),
        ("full_name", "a\nb"),
        ("full_name", "a\0b"),
        ("full_name", "\x7f"),
        ("full_name", "\u202egro.elpmaxe"),
        ("full_name", "a\u2028b"),
        ("location", "\t"),
        ("company", "\x1b[31m"),
        ("profile_url", "mira.example.org"),
        ("profile_url", "javascript:alert(1)"),
        ("profile_url", "java\nscript:alert(1)"),
        ("profile_url", "ftp://mira.example.org/"),
        ("profile_url", "https://"),
        ("profile_url", "https:///path"),
        ("profile_url", "http:mira.example.org"),
        ("profile_url", "//mira.example.org/"),
        ("profile_url", "https://mira:pw@example.org/"),
        ("profile_url", "https://hub.example.org@evil.example/"),
        ("profile_url", "https://mira.example.org:99999/"),
        ("profile_url", "https://mira.example.org:x/"),
        ("profile_url", "https://[::1/"),
        ("profile_url", "https://mira.example.org/a b"),
        ("profile_url", 'https://mira.example.org/"onclick="'),
        ("profile_url", "https://mira.example.org/<script>"),
        ("profile_url", "https://mira.example.org\\@evil.example/"),
        ("profile_url", " https://mira.example.org/"),
        ("profile_url", "https://x/" + "x" * LONGEST_URL),
        ("gravatar_email", "mira"),
        ("gravatar_email", "mira@example.org, other@example.org"),
        ("gravatar_email", " "),
    ],
)
def test_OAU_020_invalid_field_is_400_and_nothing_changes(
    mira: Asker, store: UserStore, field: str, value: str
) -> None:
    before = store.account("mira")
    answer = mira("PATCH", MIRA, **{field: value, **({"company": "Fine"} if field != "company" else {})})
    assert answer.status_int == 400
    assert list(answer.json) == [field]
    (text,) = answer.json[field]
    assert "Must be" in text
    assert store.account("mira") == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("full_name", "x" * LONGEST_TEXT),
        ("full_name", "名前 👩‍👩‍👧 ‍ü <b>'\""),
        ("location", ""),
        ("profile_url", ""),
        ("profile_url", "HTTP://Mira.Example.org"),
        ("profile_url", "http://localhost:8080/~mira?a=b&c=%20#d"),
        ("profile_url", "https://[2001:db8::1]/"),
        ("profile_url", "https://mira.example.org/ünïcode"),
        ("profile_url", "https://x/".ljust(LONGEST_URL, "x")),
        ("gravatar_email", "Mira+pictures@example.org"),
    ],
)
def test_OAU_020_valid_field_is_stored_unchanged(
    mira: Asker, store: UserStore, field: str, value: str
) -> None:
    assert mira("PATCH", MIRA, **{field: value}).status_int == 200
    assert getattr(store.account("mira"), field) == value


@pytest.mark.parametrize("value", [None, True, 7, 1.5, ["x"], {"x": "y"}])
def test_OAU_020_field_that_is_not_text_is_400(app: Registry, value: object) -> None:
    answer = Asker(app, basic("mira"))("PATCH", MIRA, full_name=value, location=value)
    assert (answer.status_int, set(answer.json)) == (400, {"full_name", "location"})


def test_OAU_020_lone_surrogate_is_400(app: Registry) -> None:
    headers = {**basic("mira"), "Content-Type": JSON}
    answer = Client(app).request("PATCH", MIRA, b'{"full_name": "\\ud800"}', headers)
    assert (answer.status_int, list(answer.json)) == (400, ["full_name"])


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_OAU_020_other_methods_are_405(app: Registry, method: str) -> None:
    answer = Asker(app, basic("mira"))(method, MIRA, full_name="x")
    assert (answer.status_int, answer.headers["Allow"]) == (405, "GET, HEAD, PATCH")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Sec-Fetch-Site": "none"}, 201),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://hidden.behind.a.proxy"}, 201),
        ({"Origin": HUB}, 201),
        ({"Origin": "https://proxy.example.org", "X-Forwarded-Host": "proxy.example.org, inner"}, 201),
        ({"Origin": "http://asked.example.org", "Host": "asked.example.org"}, 201),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "Cross-Site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": HUB}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": f"{HUB}.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
    ],
)
def test_form_of_another_site_adds_no_address(
    app: Registry, storage: Storage, store: UserStore, headers: dict[str, str], status: int
) -> None:
    """A browser adds a password that it remembers to such a form, but no access token."""
    fields = {"email": "mallory@example.org"}
    mira = Asker(app, {**basic("mira"), **headers}, FORM)
    assert mira("POST", MIRA + "emails/", **fields).status_int == status
    application = Asker(app, {**bearer(Granter(storage, store).token("other")), **headers}, FORM)
    assert application("POST", "/api/v1.1/users/other/emails/", email="two@example.org").status_int == 201


# -- servers


def test_server_without_accounts_has_no_accounts_api() -> None:
    app = Registry(storage=MemoryStorage())
    assert Asker(app, {})("GET", MIRA).status_int == 404


def test_middleware_serves_the_accounts_api(app: Registry) -> None:
    def site(environ: Any, start_response: Callable[..., Any]) -> list[bytes]:
        raise AssertionError("this is no path of the site")

    assert Asker(app.in_front_of(site), basic("mira"))("GET", MIRA).status_int == 200


def test_index_without_images_has_accounts(storage: Storage, store: UserStore) -> None:
    app = Registry(storage=storage, auth=store, images="elsewhere", endpoints="registry.example.org")
    assert Asker(app, basic("mira"))("GET", MIRA).status_int == 200


def test_wrong_passwords_are_limited(app: Registry) -> None:
    guesser = Asker(app, basic("mira", "wrong"))
    statuses = [guesser("GET", MIRA).status_int for _ in range(13)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert re.fullmatch(r"[0-9]+", guesser("GET", MIRA).headers["Retry-After"])
