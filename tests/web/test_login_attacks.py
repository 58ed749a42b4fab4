"""The log-in: forms of other sites, targets, invalid bodies and cookies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.guarded_pages import is_guarded
from support.page_person import FORM_TYPE, PASSWORD, PagesWorld, Person, form_of, location_of, said, token_of


@pytest.fixture
def world() -> PagesWorld:
    return PagesWorld()


# -- forms of other sites


def test_a_form_without_a_cookie_explains_cookies(world: PagesWorld) -> None:
    page = world.person().get("/login")
    stranger = world.person()
    fields = {"username": "mira_k", "password": PASSWORD, "form_token": token_of(page)}
    answer = stranger.post("/login", fields)
    assert answer.status_int == 403
    assert "Your browser sent no cookie" in said(answer)
    # it works with the cookie of this answer
    assert stranger.send(answer, "/login", username="mira_k", password=PASSWORD).status_int == 303


@pytest.mark.parametrize("token", [None, "", "x", "x" * 43, "\xff", "\0"])
def test_a_form_of_another_session_logs_nobody_in(world: PagesWorld, token: str | None) -> None:
    person = world.person()
    person.get("/login")
    fields = {"username": "zoe_x", "password": PASSWORD}
    if token is not None:
        fields["form_token"] = token
    answer = person.post("/login", fields)
    assert answer.status_int == 403
    assert "This form has expired" in said(answer)
    assert answer.html.find(id="username")["value"] == "zoe_x"
    assert not person.is_in()


def test_a_form_token_of_an_attacker_is_rejected(world: PagesWorld) -> None:
    enemy, victim = world.person(), world.person()
    token = token_of(enemy.get("/login"))
    victim.get("/login")
    fields = {"username": "zoe_x", "password": PASSWORD, "form_token": token}
    assert victim.post("/login", fields).status_int == 403
    assert not victim.is_in()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "CROSS-SITE"},
        {"Sec-Fetch-Site": "something new"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://registry.example.org"},
        {"Origin": "https://evil.example.org"},
        {"Origin": "https://registry.example.org.evil.example"},
        {"Origin": "https://registry.example.org:8443"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://[bad"},
        {"Origin": "https://evil.example.org", "Referer": "https://registry.example.org/login"},
    ],
)
def test_a_cross_site_form_is_refused_with_a_token(world: PagesWorld, headers: dict[str, str]) -> None:
    person = world.person()
    answer = person.send(
        person.get("/login"), "/login", username="mira_k", password=PASSWORD, headers=headers
    )
    assert answer.status_int == 403
    assert "came from another site" in said(answer)
    assert not person.is_in()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://registry.example.org"},
        {"Origin": "https://REGISTRY.example.org:443"},
        {"Origin": "http://registry.example.org"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://hidden.behind.a.proxy"},
    ],
)
def test_a_form_of_the_same_site_is_accepted(world: PagesWorld, headers: dict[str, str]) -> None:
    person = world.person()
    answer = person.send(
        person.get("/login"), "/login", username="mira_k", password=PASSWORD, headers=headers
    )
    assert answer.status_int == 303


# -- the target of a log-in

#: Valid targets in a registry at the root of its host.
GOOD = [
    "/",
    "/?q=app&page=2",
    "/account",
    "/account/",
    "/api/v1.1/o/authorize?client_id=x&state=%20%2F&redirect_uri=https%3A%2F%2Fci.example.org%2Fback",
    "/api/v1.1/o/authorize/?a=//evil.example.org",
]

#: Invalid targets, and why.
BAD = [
    ("another site", "https://evil.example.org/"),
    ("another site, this page", "https://evil.example.org/account"),
    ("this site, with its name", "https://registry.example.org/account"),
    ("no scheme", "//evil.example.org/account"),
    ("three slashes", "///evil.example.org"),
    ("slashes alone", "//"),
    ("slashes alone, encoded", "/%2F"),
    ("a backslash is a slash", "/\\evil.example.org"),
    ("two backslashes", "\\\\evil.example.org"),
    ("a backslash inside", "/account\\..\\..\\evil"),
    ("an encoded slash", "/%2Fevil.example.org"),
    ("an encoded backslash", "/%5Cevil.example.org"),
    ("a script", "javascript:alert(1)"),
    ("data", "data:text/html,x"),
    ("a tab that browsers leave out", "/\t/evil.example.org"),
    ("a newline that browsers leave out", "/\n/evil.example.org"),
    ("a header", "/account\r\nSet-Cookie: x=y"),
    ("NUL", "/account\0"),
    ("a blank in front", " /account"),
    ("a blank behind", "/account "),
    ("a fragment", "/account#x"),
    ("nothing", ""),
    ("no path", "account"),
    ("a query alone", "?x=y"),
    ("up", "/account/../../x"),
    ("up, encoded", "/account/%2e%2e/x"),
    ("here", "/./account"),
    ("user info", "/@evil.example.org"),
    ("user info of another site", "https://registry.example.org@evil.example.org"),
    ("in a circle", "/login"),
    ("in a circle", "/login/"),
    ("in a circle", "/login?next=/account"),
    ("in a circle, encoded", "/%6cogin"),
    ("in a circle, a slash more", "/login//"),
    ("out again", "/logout"),
    ("register", "/register"),
    ("no page", "/v1/users/"),
    ("no page", "/v1/_ping"),
    ("no page", "/api/v1.1/users/mira_k/"),
    ("no page", "/api/v1.1/o/token/"),
    ("a file", "/static/pages.css"),
    ("what takes no GET", "/account/password"),
    ("what is not there", "/nothing/here"),
    ("not ASCII", "/account?q=é"),
    ("not UTF-8", "/%ff"),
    ("too long", "/account?q=" + "x" * 8192),
]


@pytest.mark.parametrize("target", GOOD)
def test_a_log_in_redirects_back_to_the_page(world: PagesWorld, target: str) -> None:
    person = world.person()
    page = person.browser.get("/login", {"next": target})
    answer = person.send(page, "/login", username="mira_k", password=PASSWORD)
    assert (answer.status_int, location_of(answer)) == (303, target)
    again = person.browser.get("/login", {"next": target})
    assert (again.status_int, location_of(again)) == (303, target)


@pytest.mark.parametrize(("why", "target"), BAD)
def test_a_log_in_redirects_only_to_pages(world: PagesWorld, why: str, target: str) -> None:
    person = world.person()
    page = person.browser.get("/login", {"next": target})
    assert page.status_int == 200
    assert "next" not in form_of(page, "/login").fields, why
    # nor as a field of a form
    fields = {"username": "mira_k", "password": PASSWORD, "form_token": token_of(page)}
    answer = person.post("/login", {**fields, "next": target})
    assert (answer.status_int, location_of(answer)) == (303, "/account"), why
    again = person.browser.get("/login", {"next": target})
    assert location_of(again) == "/account", why


_APP = PagesWorld().app


@given(text=st.text(alphabet=st.sampled_from("/\\.%2fFeEcC5:@?#&=ahttpslogin \t\n\0é"), max_size=40))
def test_any_target_keeps_the_browser_on_this_site(text: str) -> None:
    person = Person(_APP)
    page = person.browser.get("/login", {"next": text}, status="*")
    assert page.status_int == 200
    fields = form_of(page, "/login").fields
    if "next" in fields:
        target = fields["next"][0].value
        assert target == text
        assert target.startswith("/")
        assert not target.startswith(("//", "/\\"))


def test_the_first_of_several_targets_counts(world: PagesWorld) -> None:
    page = world.person().get("/login?next=//evil.example.org&next=/account")
    assert "next" not in form_of(page, "/login").fields


# -- invalid bodies

BODIES = [
    (b"username=mira_k&username=zoe_x&password=x", FORM_TYPE, 400),
    (b"form_token=a&form_token=b", FORM_TYPE, 400),
    (b"username=%ff&password=x", FORM_TYPE, 400),
    (b"username=\xff", FORM_TYPE, 400),
    (b"&".join(b"a%d=1" % n for n in range(200)), FORM_TYPE, 400),
    (b"x" * ((64 << 10) + 1), FORM_TYPE, 413),
    (b"username=" + b"x" * ((64 << 10) - 9), FORM_TYPE, 403),
    (b"username=%00&password=%00", FORM_TYPE, 403),
    (b"", FORM_TYPE, 403),
    (b"%", FORM_TYPE, 403),
    (b"&&&===", FORM_TYPE, 403),
    (b'{"username": "mira_k", "password": "s3cret-one"}', "application/json", 400),
    (b"username=mira_k", "text/plain", 400),
    (b"username=mira_k", "", 400),
    (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x", 400),
    (b"\0", FORM_TYPE, 403),
]


@pytest.mark.parametrize(("body", "content_type", "status"), BODIES)
def test_an_invalid_form_gets_an_error_page(
    world: PagesWorld, body: bytes, content_type: str, status: int
) -> None:
    person = world.person()
    person.get("/login")
    answer = person.browser.post("/login", body, headers={"Content-Type": content_type}, status="*")
    assert answer.status_int == status
    assert answer.html.find("h1").get_text()
    is_guarded(answer)


@given(body=st.binary(max_size=300))
def test_no_form_gives_a_500(body: bytes) -> None:
    answer = Person(_APP).browser.post("/login", body, headers={"Content-Type": FORM_TYPE}, status="*")
    assert answer.status_int in (400, 403)


def test_repeated_input_is_escaped(world: PagesWorld) -> None:
    person = world.person()
    name = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>{{ 7*7 }}"
    page = person.send(person.get("/login"), "/login", username=name, password="x")
    assert page.html.find(id="username")["value"] == name
    assert page.html.find_all("img") == []
    assert len(page.html.find_all("script")) == 1


# -- cookies


def test_over_https_the_cookie_has_the_host_prefix(world: PagesWorld) -> None:
    answer = world.person().log_in("mira_k")
    name, _, rest = answer.headers["Set-Cookie"].partition("=")
    assert name == "__Host-v1registry_session"
    assert rest.split("; ")[1:] == ["Path=/", "HttpOnly", "SameSite=Lax", "Secure"]


def test_over_http_the_cookie_is_httponly_and_lax(world: PagesWorld) -> None:
    answer = world.person(scheme="http").log_in("mira_k")
    name, _, rest = answer.headers["Set-Cookie"].partition("=")
    assert name == "v1registry_session"
    assert rest.split("; ")[1:] == ["Path=/", "HttpOnly", "SameSite=Lax"]


def test_a_cookie_without_the_prefix_is_ignored(world: PagesWorld) -> None:
    person = world.mira()
    for name in ("v1registry_session", "__Secure-v1registry_session", "__host-v1registry_session"):
        other = world.person()
        other.headers["Cookie"] = f"{name}={person.cookie}"
        assert not other.is_in(), name


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "a=b; {}; c=d",
        "a=b;{};c=d",
        "; ; {} ;",
        'odd="; {}',
        "no value; {}",
        "weird[name]=<x>; {}",
        "$Version=1; {}",
        "\xff=\xfe; {}",
        "{}; __Host-v1registry_session=second",
    ],
)
def test_other_cookies_are_ignored(world: PagesWorld, around: str) -> None:
    cookie = world.mira().cookie
    other = world.person()
    other.browser.extra_environ["HTTP_COOKIE"] = around.format(f"__Host-v1registry_session={cookie}")
    other.browser.cookiejar.clear()
    answer = other.browser.get("/login", status="*")
    assert answer.status_int == 303


@pytest.mark.parametrize("value", ["", "x", "x.y", "x" * 5000, ".", "\xff", '"', "{}", "a" * 60_000])
def test_a_foreign_cookie_is_rejected(world: PagesWorld, value: str) -> None:
    person = world.person()
    person.browser.extra_environ["HTTP_COOKIE"] = f"__Host-v1registry_session={value}"
    page = person.browser.get("/login", status="*")
    assert page.status_int == 200
    assert "Set-Cookie" in page.headers


@given(header=st.text(alphabet=st.characters(min_codepoint=1, max_codepoint=255), max_size=200))
def test_no_cookie_header_gives_a_500(header: str) -> None:
    person = Person(_APP)
    person.browser.extra_environ["HTTP_COOKIE"] = header
    assert person.browser.get("/login", status="*").status_int == 200
