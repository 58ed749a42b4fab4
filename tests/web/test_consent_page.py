"""The consent page: OAU-001 to OAU-007, OAU-026."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from support.cheap_passwords import CheapPasswords
from support.consent_page import BACK, VERIFIER, XSS, Asking, decide, raw_question
from support.page_person import (
    AUTHORIZE,
    PASSWORD,
    Person,
    form_of,
    location_of,
    query_of,
    said,
    token_of,
)

from v1registry import MemoryStorage
from v1registry.accounts import BackendChain, Callback, UserStore
from v1registry.oauth.scopes import SCOPES
from v1registry.storage.base import StorageUnavailable


@pytest.fixture
def world() -> Asking:
    return Asking()


# -- the numbers of the checklist


def test_OAU_001_consent_returns_code_and_state(world: Asking) -> None:
    state = "s1 ä/&=?+%20\"'<>#"
    person = world.mira()
    answer = decide(person, person.get(world.asked(state=state)), allow=True)
    assert answer.status_int == 302
    location = location_of(answer)
    assert location.startswith(f"{BACK}?")
    answered = query_of(location)
    assert set(answered) == {"code", "state"}
    assert answered["state"] == state
    tokens = world.tokens(answered["code"])
    assert (tokens.status_int, tokens.json["username"]) == (200, "mira_k")


def test_OAU_001_no_state_returns_no_state(world: Asking) -> None:
    person = world.mira()
    answer = decide(person, person.get(world.asked(state=None)), allow=True)
    assert set(query_of(location_of(answer))) == {"code"}


def test_OAU_001_parameters_may_be_in_the_form(world: Asking) -> None:
    person = world.mira()
    question = urlsplit(world.asked(state="s&=1", redirect_uri=BACK)).query
    fields = dict(parse_qsl(question)) | {"form_token": token_of(person.get(world.asked()))}
    allowed = person.post(AUTHORIZE, {**fields, "allow": "1"})
    assert query_of(location_of(allowed))["state"] == "s&=1"
    code = query_of(location_of(allowed))["code"]
    assert world.tokens(code, redirect_uri=BACK).status_int == 200
    assert query_of(location_of(person.post(AUTHORIZE, fields)))["error"] == "access_denied"
    stale = person.post(AUTHORIZE, {**fields, "allow": "1", "form_token": "x"})
    assert "Location" not in stale.headers
    anew = person.send(stale, f"{AUTHORIZE}?{urlencode(dict(parse_qsl(question)))}", button="allow")
    assert query_of(location_of(anew))["state"] == "s&=1"
    assert person.post(AUTHORIZE, {"allow": "1", "form_token": fields["form_token"]}).status_int == 400


def test_OAU_002_deny_returns_access_denied_and_state(world: Asking) -> None:
    person = world.mira()
    answer = decide(person, person.get(world.asked()), allow=False)
    assert answer.status_int == 302
    assert location_of(answer).startswith(f"{BACK}?")
    answered = query_of(location_of(answer))
    assert (answered["error"], answered["state"]) == ("access_denied", "s1")
    assert "code" not in answered
    assert world.app.grants.of_user("mira_k") == []


@pytest.mark.parametrize("allow", ["0", "", "2", "true", "yes", "1 ", "01", "\0"])
def test_OAU_002_only_allow_1_allows(world: Asking, allow: str) -> None:
    person = world.mira()
    token = token_of(person.get(world.asked()))
    answer = person.post(world.asked(), {"allow": allow, "form_token": token})
    assert query_of(location_of(answer))["error"] == "access_denied"


UNSAFE = {
    "an unknown client": {"client_id": "nobody"},
    "no client": {"client_id": None},
    "a client with markup": {"client_id": XSS},
    "a client of a path": {"client_id": "../../users/mira_k"},
    "NUL": {"client_id": "\0"},
    "another site": {"redirect_uri": "https://evil.example.org/"},
    "a longer path": {"redirect_uri": f"{BACK}/more"},
    "a query more": {"redirect_uri": f"{BACK}?x=1"},
    "a fragment": {"redirect_uri": f"{BACK}#x"},
    "another case": {"redirect_uri": BACK.replace("ci", "CI")},
    "a script": {"redirect_uri": "javascript:alert(1)"},
    "a user in front": {"redirect_uri": "https://ci.example.org@evil.example.org/back"},
    "a dot behind": {"redirect_uri": "https://ci.example.org./back"},
    "http": {"redirect_uri": BACK.replace("https", "http")},
    "a newline": {"redirect_uri": f"{BACK}\r\nX: y"},
}


@pytest.mark.parametrize("parameters", UNSAFE.values(), ids=UNSAFE)
@pytest.mark.parametrize("is_in", [True, False])
def test_OAU_003_an_unsafe_request_gets_a_page(
    world: Asking, parameters: dict[str, str | None], is_in: bool
) -> None:
    person = world.mira() if is_in else world.person()
    path = world.asked(**parameters)
    for answer in (person.get(path), person.post(path, {"allow": "1"})):
        assert answer.status_int == 400
        assert "Location" not in answer.headers
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.html.find("h1").get_text()
        assert len(answer.html.find_all("script")) == 1
        assert answer.html.find("main").find("form") is None
        assert "evil" not in str(answer.html.find_all("a"))


def test_OAU_003_repeated_redirect_parameters_are_unsafe(world: Asking) -> None:
    person = world.mira()
    for more in (f"client_id={world.application.client_id}", "redirect_uri=https://evil.example.org/"):
        both = f"{world.asked(redirect_uri=BACK)}&{more}"
        assert person.get(both).status_int == 400
        assert "Location" not in person.post(both, {"allow": "1"}).headers


def test_OAU_004_the_default_redirect_uri_is_the_first(world: Asking) -> None:
    person = world.mira()
    assert location_of(decide(person, person.get(world.asked()), allow=True)).startswith(f"{BACK}?")
    other = world.application.redirect_uris[1]
    answer = decide(person, person.get(world.asked(redirect_uri=other)), allow=True)
    assert location_of(answer).startswith("https://ci.example.org/other?")


def test_OAU_005_default_scopes_read_profile_and_addresses(world: Asking) -> None:
    person = world.mira()
    page = person.get(world.asked())
    assert [item.get_text() for item in page.html.find("ul", class_="scopes").find_all("li")] == [
        SCOPES["profile_read"],
        SCOPES["email_read"],
    ]
    code = query_of(location_of(decide(person, page, allow=True)))["code"]
    assert world.tokens(code).json["scope"] == "profile_read email_read"


@pytest.mark.parametrize("scope", ["everything", "profile_read everything", "PROFILE_READ", XSS])
@pytest.mark.parametrize("is_in", [True, False])
def test_OAU_005_an_unknown_scope_is_reported(world: Asking, scope: str, is_in: bool) -> None:
    person = world.mira() if is_in else world.person()
    answer = person.get(world.asked(scope=scope))
    assert answer.status_int == 302
    answered = query_of(location_of(answer))
    assert (answered["error"], answered["state"]) == ("invalid_scope", "s1")


def test_OAU_005_a_scope_not_registered_is_refused() -> None:
    world = Asking(options={"scopes": ("profile_read",)})
    answer = world.mira().get(world.asked(scope="profile_read repo_write"))
    assert query_of(location_of(answer))["error"] == "invalid_scope"


@pytest.mark.parametrize(
    ("response_type", "error"),
    [
        ("token", "unsupported_response_type"),
        ("code token", "unsupported_response_type"),
        (None, "invalid_request"),
    ],
)
@pytest.mark.parametrize("is_in", [True, False])
def test_OAU_006_an_unknown_response_type_is_reported(
    world: Asking, response_type: str | None, error: str, is_in: bool
) -> None:
    person = world.mira() if is_in else world.person()
    answer = person.get(world.asked(response_type=response_type))
    assert answer.status_int == 302
    assert query_of(location_of(answer))["error"] == error


def test_OAU_007_a_query_of_the_redirect_uri_is_kept(world: Asking) -> None:
    person = world.mira()
    uri = world.application.redirect_uris[1]
    for allow in (True, False):
        answer = decide(person, person.get(world.asked(redirect_uri=uri)), allow=allow)
        answered = query_of(location_of(answer))
        assert (answered["from"], answered["x"], answered["state"]) == ("v1", "", "s1")
        assert location_of(answer).startswith("https://ci.example.org/other?from=v1&x=&")


def test_OAU_026_plain_http_is_refused(world: Asking) -> None:
    for person in (world.person(scheme="http"), world.mira(scheme="http")):
        for answer in (person.get(world.asked()), person.post(world.asked(), {"allow": "1"})):
            assert answer.status_int == 400
            assert "OAuth needs https" in said(answer)
            assert "Location" not in answer.headers
    allowed = world.another_app(oauth_http="allow")
    assert Person(allowed, scheme="http").get(world.asked()).status_int == 303
    behind = world.another_app(public_url="https://registry.example.org")
    assert Person(behind, scheme="http").get(world.asked()).status_int == 303


# -- the whole flow


def test_a_log_in_returns_to_the_same_request(world: Asking) -> None:
    state = 'a b/ä&=?\\|"<>^`{}#[]'
    person = world.person()
    answer = person.get(world.asked(state=state, scope="repo_read profile_read"))
    assert answer.status_int == 303
    page = person.get(location_of(answer))
    answer = person.send(page, "/login", username="mira_k", password=PASSWORD)
    page = person.get(location_of(answer))
    assert page.status_int == 200
    answered = query_of(location_of(decide(person, page, allow=True)))
    assert answered["state"] == state
    assert world.tokens(answered["code"]).json["scope"] == "repo_read profile_read"


@pytest.mark.parametrize(
    ("query", "state"),
    [
        ("state=a\\b", "a\\b"),
        ("state=a b", "a b"),
        ('state="<x>', '"<x>'),
        ("state=a;b", "a;b"),
        ("state=%C3%A4", "\xe4"),
    ],
)
def test_unquoted_characters_survive_the_log_in(world: Asking, query: str, state: str) -> None:
    answer = raw_question(world, f"client_id={world.application.client_id}&response_type=code&{query}")
    assert answer.status == 303
    person = world.person()
    page = person.get(str(answer.header("Location")))
    answer = person.send(page, "/login", username="mira_k", password=PASSWORD)
    assert location_of(answer).startswith(f"{AUTHORIZE}?client_id=")
    answer = decide(person, person.get(location_of(answer)), allow=False)
    assert query_of(location_of(answer))["state"] == state


def test_the_page_names_application_scopes_and_target() -> None:
    world = Asking("https://ci.example.org:8443/back")
    page = world.mira().get(world.asked(scope=" ".join(SCOPES)))
    text = said(page)
    for words in ("Example CI", "Builds what you push.", "mira_k", "ci.example.org:8443", *SCOPES.values()):
        assert words in text
    assert [button.get_text() for button in page.html.find("main").find_all("button")] == ["Allow", "Deny"]
    assert [heading.get_text() for heading in page.html.find_all("h1")] == ["Allow Example CI?"]


def test_a_user_without_an_id_can_only_deny() -> None:
    storage = MemoryStorage()
    users = UserStore(storage, passwords=CheapPasswords())
    guests = Callback(lambda name, password: name == "guest", find=lambda name: name == "guest")
    world = Asking(storage=storage, auth=BackendChain([guests, users]))
    person = world.person()
    assert person.log_in("guest").status_int == 303
    page = person.get(world.asked())
    assert page.status_int == 403
    assert "This account cannot give applications access" in said(page)
    assert not page.html.find_all("button", {"name": "allow"})
    denied = decide(person, page, allow=False)
    assert query_of(location_of(denied))["error"] == "access_denied"


def test_pkce_goes_through_the_page() -> None:
    world = Asking(options={"is_public": True})
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    person = world.mira()
    without = person.get(world.asked())
    assert query_of(location_of(without))["error"] == "invalid_request"
    page = person.get(world.asked(code_challenge=challenge, code_challenge_method="S256"))
    code = query_of(location_of(decide(person, page, allow=True)))["code"]
    fields = {"grant_type": "authorization_code", "client_id": world.application.client_id, "code": code}
    answer = world.person().post("/api/v1.1/o/token/", {**fields, "code_verifier": VERIFIER})
    assert answer.status_int == 200


def test_consent_is_asked_each_time(world: Asking) -> None:
    person = world.mira()
    decide(person, person.get(world.asked()), allow=True)
    page = person.get(world.asked())
    assert page.status_int == 200
    assert "Allow Example CI?" in said(page)


def test_the_address_works_with_and_without_its_last_slash(world: Asking) -> None:
    person = world.mira()
    path = world.asked().replace("authorize/?", "authorize?")
    answer = decide(person, person.get(path), allow=True)
    assert "code" in query_of(location_of(answer))


def test_head_and_other_methods(world: Asking) -> None:
    person = world.mira()
    assert person.browser.head(world.asked(), status="*").status_int == 200
    assert person.browser.put(world.asked(), status="*").status_int == 405
    assert person.browser.delete(world.asked(), status="*").status_int == 405


# -- headers


def test_the_page_is_neither_framed_nor_cached(world: Asking) -> None:
    person = world.mira()
    page = person.get(world.asked())
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "same-origin"
    for answer in (
        decide(person, page, allow=True),
        person.get(world.asked(scope="x")),
        world.person().get(world.asked()),
    ):
        assert answer.status_int in (302, 303)
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("redirect_uri", "source", "words"),
    [
        (BACK, "https://ci.example.org", "ci.example.org"),
        ("https://ci.example.org:8443/a;b,c?x=1", "https://ci.example.org:8443", "ci.example.org:8443"),
        ("http://127.0.0.1:4711/", "http://127.0.0.1:4711", "a program on this computer"),
        ("http://localhost/x", "http://localhost", "a program on this computer"),
        ("http://[::1]:4711/", "http:", "a program on this computer"),
        ("org.example.app:/back", "org.example.app:", "the app org.example.app on this device"),
    ],
)
def test_form_action_allows_only_the_application(redirect_uri: str, source: str, words: str) -> None:
    world = Asking(redirect_uri)
    person = world.mira()
    page = person.get(world.asked())
    assert f"; form-action 'self' {source}; " in page.headers["Content-Security-Policy"]
    assert words in said(page)
    answer = decide(person, page, allow=True)
    assert answer.headers["Location"].startswith(redirect_uri)


def test_the_opener_of_the_page_can_reach_it(world: Asking) -> None:
    """A page that severs its opener would break applications that open a window."""
    person = world.person()
    answer = person.get(world.asked())
    assert person.get(location_of(answer)).headers["Cross-Origin-Opener-Policy"] == "unsafe-none"
    assert world.mira().get(world.asked()).headers["Cross-Origin-Opener-Policy"] == "unsafe-none"


# -- outages


def test_an_outage_during_consent_is_reported(world: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    person = world.mira()
    page = person.get(world.asked())

    def fail(*arguments: object, **options: object) -> Any:
        raise StorageUnavailable("key", "switched off")

    with monkeypatch.context() as patch:
        for operation in ("read", "stat"):
            patch.setattr(world.storage, operation, fail)
        assert person.get(world.asked()).status_int == 503
    with monkeypatch.context() as patch:
        patch.setattr(world.storage, "write", fail)
        answer = decide(person, page, allow=True)
        assert answer.status_int == 302
        answered = query_of(location_of(answer))
        assert (answered["error"], answered["state"]) == ("temporarily_unavailable", "s1")
    assert world.app.grants.of_user("mira_k") == []
    assert form_of(person.get(world.asked()), "")
