"""The consent page: OAU-001 to OAU-007, OAU-026, and attacks on it."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.access_tokens import Granter, bearer
from support.cheap_passwords import CheapPasswords
from support.page_person import (
    AUTHORIZE,
    PASSWORD,
    Person,
    World,
    form_of,
    location_of,
    query_of,
    said,
    token_of,
)
from support.wsgi_client import Answer, call
from webtest import TestResponse

from v1registry import MemoryStorage, Registry
from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.users import UserStore
from v1registry.oauth.applications import Application
from v1registry.oauth.scopes import SCOPES
from v1registry.storage.base import StorageUnavailable

BACK = "https://ci.example.org/back"
XSS = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}"
VERIFIER = "a-verifier-of-pkce-that-is-long-enough-for-rfc-7636"


class Asking(World):
    """A server, an application, and its request."""

    def __init__(self, *redirect_uris: str, options: dict[str, Any] | None = None, **settings: Any):
        super().__init__(**settings)
        self.application, self.secret = self.app.applications.add(
            redirect_uris=redirect_uris or (BACK, "https://ci.example.org/other?from=v1&x="),
            **{
                "name": "Example CI",
                "description": "Builds what you push.",
                "scopes": tuple(SCOPES),
                **(options or {}),
            },
        )

    def asked(self, **parameters: str | None) -> str:
        """Return the path that the application sends its user to; None leaves a parameter out."""
        return asked_by(self.application, **parameters)

    def tokens(self, code: str, **parameters: str) -> TestResponse:
        """Exchange a code as the application does."""
        basic = base64.b64encode(f"{self.application.client_id}:{self.secret}".encode()).decode()
        fields = {"grant_type": "authorization_code", "code": code, **parameters}
        return self.person().post("/api/v1.1/o/token/", fields, {"Authorization": f"Basic {basic}"})


def asked_by(application: Application, **parameters: str | None) -> str:
    fields = {"client_id": application.client_id, "response_type": "code", "state": "s1", **parameters}
    return f"{AUTHORIZE}?{urlencode({name: value for name, value in fields.items() if value is not None})}"


def decide(person: Person, page: TestResponse, *, allow: bool, **options: Any) -> TestResponse:
    assert page.status_int in (200, 403), page
    return person.send(page, "", button="allow" if allow else None, **options)


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


def raw_question(world: Asking, query: str, **environ: str) -> Answer:
    """Send a request with a raw query."""
    environ = {"wsgi.url_scheme": "https", "HTTP_HOST": "registry.example.org", **environ}
    return call(world.app, "GET", AUTHORIZE, QUERY_STRING=query, **environ)


def test_the_page_names_application_scopes_and_target() -> None:
    world = Asking("https://ci.example.org:8443/back")
    page = world.mira().get(world.asked(scope=" ".join(SCOPES)))
    text = said(page)
    for words in ("Example CI", "Builds what you push.", "mira_k", "ci.example.org:8443", *SCOPES.values()):
        assert words in text
    assert [button.get_text() for button in page.html.find("main").find_all("button")] == ["Allow", "Deny"]
    assert [heading.get_text() for heading in page.html.find_all("h1")] == ["Allow Example CI?"]


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


# -- who may answer


def test_a_basic_user_needs_the_form_token(world: Asking) -> None:
    """Basic authenticates like a session, but the form token is needed: browsers resend passwords."""
    person = world.person()
    person.browser.authorization = ("Basic", ("mira_k", PASSWORD))
    assert person.post(world.asked(), {"allow": "1"}).status_int == 403
    page = person.get(world.asked())
    assert page.status_int == 200
    answer = decide(person, page, allow=True)
    assert "code" in query_of(location_of(answer))
    person.browser.authorization = ("Basic", ("zoe_x", PASSWORD))
    assert decide(person, page, allow=True).status_int == 403


def test_an_application_cannot_consent(world: Asking) -> None:
    token = Granter(world.storage, world.users).token("mira_k")
    person = world.person(headers=bearer(token))
    assert location_of(person.get(world.asked())).startswith("/login?next=")
    form_token = token_of(world.mira().get(world.asked()))
    answer = person.post(world.asked(), {"allow": "1", "form_token": form_token})
    assert location_of(answer).startswith("/login?next=")
    # a session beside it does not help
    both = world.mira()
    page = both.get(world.asked())
    both.headers.update(bearer(token))
    assert location_of(decide(both, page, allow=True)).startswith("/login?next=")


def test_users_of_the_outer_application_can_consent() -> None:
    storage = MemoryStorage()
    auth = BackendChain([Environ("my_app.user"), UserStore(storage, passwords=CheapPasswords())])
    for name in ("mira", "moe"):
        auth.create(name, PASSWORD)
    app = Registry(storage=storage, auth=auth)
    application, _ = app.applications.add("Example CI", [BACK])
    person = Person(app, **{"my_app.user": "mira"})
    page = person.get(asked_by(application))
    assert "mira" in said(page)
    person.browser.extra_environ["my_app.user"] = "moe"
    assert decide(person, page, allow=True).status_int == 403, "somebody else is there now"
    person.browser.extra_environ["my_app.user"] = "mira"
    assert "code" in query_of(location_of(decide(person, page, allow=True)))
    assert app.grants.of_user("moe") == []


def test_an_inactive_user_grants_nothing(world: Asking) -> None:
    person = world.mira()
    page = person.get(world.asked())
    world.users.set_active("mira_k", False)
    assert location_of(decide(person, page, allow=True)).startswith("/login?next=")
    person.browser.authorization = ("Basic", ("mira_k", PASSWORD))
    assert person.get(world.asked()).status_int == 403


# -- forged answers


def test_without_the_form_token_the_page_asks_again(world: Asking) -> None:
    person = world.mira()
    earlier = token_of(person.get(world.asked()))
    person.send(person.get("/account"), "/logout")
    of_nobody = token_of(person.get("/login"))
    person.log_in("mira_k")
    elsewhere = token_of(world.mira().get(world.asked()))
    zoe = world.person()
    zoe.log_in("zoe_x")
    of_zoe = token_of(zoe.get(world.asked()))
    for token in (None, "", "x" * 43, earlier, of_nobody, elsewhere, of_zoe):
        fields = {"allow": "1"} if token is None else {"allow": "1", "form_token": token}
        answer = person.post(world.asked(), fields)
        assert answer.status_int == 403
        assert "Location" not in answer.headers
        assert "This form has expired" in said(answer)
    # denying needs the token too: another site must not answer at all
    assert person.post(world.asked(), {}).status_int == 403
    assert decide(person, answer, allow=True).status_int == 302


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://ci.example.org"},
        {"Origin": "null"},
    ],
)
def test_another_site_cannot_answer_with_the_token(world: Asking, headers: dict[str, str]) -> None:
    person = world.mira()
    answer = decide(person, person.get(world.asked()), allow=True, headers=headers)
    assert answer.status_int == 403
    assert "Location" not in answer.headers


def test_the_request_may_come_from_another_site(world: Asking) -> None:
    page = world.mira().get(
        world.asked(), {"Sec-Fetch-Site": "cross-site", "Referer": "https://ci.example.org/"}
    )
    assert page.status_int == 200


def test_the_answer_is_checked_like_the_request(world: Asking) -> None:
    person = world.mira()
    token = token_of(person.get(world.asked()))
    yes = {"allow": "1", "form_token": token}
    # parameters of the request in the body are ignored
    answer = person.post(
        world.asked(), {**yes, "scope": "repo_write", "redirect_uri": "https://evil.example.org/"}
    )
    assert location_of(answer).startswith(f"{BACK}?")
    code = query_of(location_of(answer))["code"]
    assert world.tokens(code).json["scope"] == "profile_read email_read"
    answer = person.post(world.asked(redirect_uri="https://evil.example.org/"), yes)
    assert (answer.status_int, "Location" in answer.headers) == (400, False)
    answer = person.post(world.asked(scope="everything"), yes)
    assert query_of(location_of(answer))["error"] == "invalid_scope"
    world.app.applications.remove(world.application.client_id)
    answer = person.post(world.asked(), yes)
    assert (answer.status_int, "Location" in answer.headers) == (400, False)


BODIES = [
    "allow=1&allow=1&form_token={}",
    "allow=1&form_token={0}&form_token={0}",
    "allow=1&form_token={}&x=%ff",
]


@pytest.mark.parametrize("body", BODIES)
def test_a_form_with_a_field_twice_or_bad_bytes_grants_nothing(world: Asking, body: str) -> None:
    person = world.mira()
    answer = person.post(world.asked(), body.format(token_of(person.get(world.asked()))))
    assert (answer.status_int, "Location" in answer.headers) == (400, False)


def test_neither_json_nor_a_large_form_grants_anything(world: Asking) -> None:
    person = world.mira()
    token = token_of(person.get(world.asked()))
    as_json = json.dumps({"allow": "1", "form_token": token})
    assert person.post(world.asked(), as_json, {"Content-Type": "application/json"}).status_int == 400
    assert person.post(world.asked(), as_json, {"Content-Type": "text/plain"}).status_int == 400
    assert person.post(world.asked(), {"allow": "1", "form_token": token, "x": "x" * 65536}).status_int == 413


_SHARED = Asking()
_COOKIE = _SHARED.mira().cookie


@given(query=st.text(alphabet=st.characters(min_codepoint=1, max_codepoint=255), max_size=200))
def test_no_query_gives_a_500_or_leads_elsewhere(query: str) -> None:
    cookie = f"__Host-v1registry_session={_COOKIE}"
    for text in (query, f"client_id={_SHARED.application.client_id}&response_type=code&{query}"):
        answer = raw_question(_SHARED, text, HTTP_COOKIE=cookie)
        assert answer.status in (200, 302, 400)
        if answer.status == 302:
            assert str(answer.header("Location")).startswith(
                (f"{BACK}?", "https://ci.example.org/other?from=v1&")
            )


# -- escaping


def test_markup_of_applications_is_escaped() -> None:
    world = Asking(options={"name": XSS, "description": XSS})
    world.users.create(XSS, PASSWORD)
    person = world.person()
    person.log_in(XSS)
    page = person.get(world.asked(state=XSS))
    text = page.html.find("main").get_text()
    assert text.count(XSS) >= 3
    assert len(page.html.find_all("script")) == 1
    assert page.html.find_all("img") == []
    assert all(not name.startswith("on") for tag in page.html.find_all() for name in tag.attrs)
    assert "49" not in text
    assert XSS in page.html.find("title").get_text()


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
        patch.setattr(world.storage, "read", fail)
        assert person.get(world.asked()).status_int == 503
    with monkeypatch.context() as patch:
        patch.setattr(world.storage, "write", fail)
        answer = decide(person, page, allow=True)
        assert answer.status_int == 302
        answered = query_of(location_of(answer))
        assert (answered["error"], answered["state"]) == ("temporarily_unavailable", "s1")
    assert world.app.grants.of_user("mira_k") == []
    assert form_of(person.get(world.asked()), "")
