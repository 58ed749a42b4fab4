"""The pages to log in and to log out, and attacks on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.access_tokens import Granter
from support.kept_mail import KeptMail
from support.page_person import FORM_TYPE, PASSWORD, Person, World, form_of, location_of, said, token_of
from webtest import TestResponse

from v1registry import MemoryStorage, Registry
from v1registry.access.accounts import AccountsAccess
from v1registry.access.attempts import LoginLimiter
from v1registry.access.tokens import Tokens
from v1registry.accounts.backends.callback import Callback
from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.backends.htpasswd import Htpasswd
from v1registry.names import RepositoryName
from v1registry.rights import Action, User

#: Hashes of "correct horse" and "0", made by Apache's htpasswd 2.4 (-m) and by openssl passwd (-apr1).
HORSE = "$apr1$RsaosasZ$z8WUXvwD1NOdSfwC7xgBE0"
STAPLE = "$apr1$12345678$s0/z3njkj0t6U82g8GuNF/"


@pytest.fixture
def world() -> World:
    return World()


def is_guarded(answer: TestResponse) -> None:
    """Check the headers of every page."""
    policy = answer.headers["Content-Security-Policy"]
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "script-src 'self'"):
        assert rule in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


# -- log in and log out


def test_a_log_in_shows_the_account(world: World) -> None:
    person = world.person()
    page = person.get("/login")
    assert page.status_int == 200
    is_guarded(page)
    assert page.headers["Cache-Control"] == "no-store"

    answer = person.send(page, "/login", username="mira_k", password=PASSWORD)

    assert (answer.status_int, location_of(answer)) == (303, "/account")
    assert answer.headers["Cache-Control"] == "no-store"
    account = person.get("/account")
    assert account.status_int == 200
    assert "mira_k" in said(account)


def test_the_form_has_labels_and_autocomplete(world: World) -> None:
    html = world.person().get("/login").html
    for name, hint in (("username", "username"), ("password", "current-password")):
        field = html.find(id=name)
        assert field["autocomplete"] == hint
        assert html.find("label", attrs={"for": name}).get_text(strip=True)
    assert html.find(id="password")["type"] == "password"
    assert [heading.get_text() for heading in html.find_all("h1")] == ["Log in"]


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("mira_k", "wrong"),
        ("nobody_x", PASSWORD),
        ("mira_k", ""),
        ("", PASSWORD),
        ("", ""),
        ("mira_k ", PASSWORD),
        ("MIRA_K", PASSWORD),
        ("mira_k\0", PASSWORD),
        ("../mira_k", PASSWORD),
        ("mira_k", f"{PASSWORD}\0"),
        ("\U0001f433" * 1000, "\U0001f433" * 1000),
        ("*", "*"),
    ],
)
def test_every_failed_log_in_looks_the_same(world: World, username: str, password: str) -> None:
    person = world.person()
    answer = person.send(person.get("/login"), "/login", username=username, password=password)
    assert answer.status_int == 401
    assert "WWW-Authenticate" not in answer.headers, "a browser would ask for a password itself"
    alert = answer.html.find(attrs={"role": "alert"}).get_text()
    assert alert == "The user name or the password is wrong"
    assert answer.html.find(id="username")["value"] == username.replace("\r", "").replace("\n", "")
    assert "value" not in answer.html.find(id="password").attrs
    assert not person.is_in()
    is_guarded(answer)


def test_after_a_wrong_password_the_right_one_works(world: World) -> None:
    person = world.person()
    wrong = person.send(person.get("/login"), "/login", username="mira_k", password="wrong")
    assert person.send(wrong, "/login", username="mira_k", password=PASSWORD).status_int == 303
    assert person.is_in()


def test_a_logged_in_user_gets_no_login_form(world: World) -> None:
    person = world.mira()
    page = person.get("/login")
    assert (page.status_int, location_of(page)) == (303, "/account")
    # a form in another tab is sent late
    late = person.post("/login", {"username": "zoe_x", "password": PASSWORD, "next": "/account"})
    assert (late.status_int, location_of(late)) == (303, "/account")
    assert "mira_k" in said(person.get("/account"))


def test_a_log_out_ends_copies_of_the_cookie(world: World) -> None:
    person = world.mira()
    copy = person.with_cookie(person.cookie)
    assert copy.is_in()

    answer = person.send(person.get("/account"), "/logout")

    assert (answer.status_int, location_of(answer)) == (303, "/login?done=logout")
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert person.browser.cookies == {}
    assert "You are logged out." in said(person.get("/login?done=logout"))
    assert not person.is_in()
    assert not copy.is_in()


def test_a_log_out_ends_the_session_in_all_processes(world: World) -> None:
    person = world.mira()
    elsewhere = Person(world.another_app())
    elsewhere.headers["Cookie"] = f"{person.cookie_name}={person.cookie}"
    assert elsewhere.is_in()
    person.send(person.get("/account"), "/logout")
    assert not elsewhere.is_in()


def test_only_the_button_logs_out(world: World) -> None:
    person = world.mira()
    assert person.get("/logout").status_int == 405
    for fields in (
        {},
        {"form_token": ""},
        {"form_token": "x" * 43},
        {"form_token": token_of(world.mira().get("/account"))},
    ):
        assert person.post("/logout", fields).status_int == 403
    assert person.is_in()


def test_logging_out_twice_is_no_error(world: World) -> None:
    answer = world.person().post("/logout")
    assert (answer.status_int, location_of(answer)) == (303, "/login?done=logout")


def test_two_storages_share_no_sessions(world: World) -> None:
    person = world.mira()
    other = Person(World().app)
    other.headers["Cookie"] = f"{person.cookie_name}={person.cookie}"
    assert not other.is_in()


# -- the session is a new one


def test_a_log_in_replaces_the_session(world: World) -> None:
    person = world.person()
    page = person.get("/login")
    planted = person.cookie
    person.send(page, "/login", username="mira_k", password=PASSWORD)
    assert person.cookie != planted
    assert not person.with_cookie(planted).is_in()


def test_a_planted_cookie_is_replaced_at_log_in(world: World) -> None:
    zoe = world.person()
    zoe.log_in("zoe_x")
    planted = zoe.cookie
    victim = world.person()
    victim.headers["Cookie"] = f"__Host-v1registry_session={planted}"
    # the page shows the user of the planted session, and no log-in form
    assert "zoe_x" in said(victim.get("/account"))


def test_the_token_of_the_form_ends_with_the_log_in(world: World) -> None:
    person = world.person()
    page = person.get("/login")
    before = token_of(page)
    person.send(page, "/login", username="mira_k", password=PASSWORD)
    first = token_of(person.get("/account"))
    assert person.post("/logout", {"form_token": before}).status_int == 403
    person.send(person.get("/account"), "/logout")
    person.log_in("mira_k")
    assert person.post("/logout", {"form_token": first}).status_int == 403
    assert person.is_in()


# -- forms of other sites


def test_a_form_without_a_cookie_explains_cookies(world: World) -> None:
    page = world.person().get("/login")
    stranger = world.person()
    fields = {"username": "mira_k", "password": PASSWORD, "form_token": token_of(page)}
    answer = stranger.post("/login", fields)
    assert answer.status_int == 403
    assert "Your browser sent no cookie" in said(answer)
    # it works with the cookie of this answer
    assert stranger.send(answer, "/login", username="mira_k", password=PASSWORD).status_int == 303


@pytest.mark.parametrize("token", [None, "", "x", "x" * 43, "\xff", "\0"])
def test_a_form_of_another_session_logs_nobody_in(world: World, token: str | None) -> None:
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


def test_a_form_token_of_an_attacker_is_rejected(world: World) -> None:
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
def test_a_cross_site_form_is_refused_with_a_token(world: World, headers: dict[str, str]) -> None:
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
def test_a_form_of_the_same_site_is_accepted(world: World, headers: dict[str, str]) -> None:
    person = world.person()
    answer = person.send(
        person.get("/login"), "/login", username="mira_k", password=PASSWORD, headers=headers
    )
    assert answer.status_int == 303


# -- the limit on failed log-ins


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_attempts_by_form_and_basic_count_together(world: World) -> None:
    clock = Clock()
    access = world.app._services.access
    assert isinstance(access, AccountsAccess)
    access.limiter = LoginLimiter(free=3, clock=clock)
    person = world.person(REMOTE_ADDR="10.1.1.1")
    page = person.get("/login")
    for _ in range(3):
        page = person.send(page, "/login", username="mira_k", password="wrong")
        assert page.status_int == 401
    page = person.send(page, "/login", username="mira_k", password="wrong")
    assert page.status_int == 401
    page = person.send(page, "/login", username="mira_k", password=PASSWORD)
    assert page.status_int == 429
    assert page.headers["Retry-After"] == "1"
    assert "try again in 1 second" in said(page)
    assert not person.is_in()
    clock.now_s += 1
    assert person.send(page, "/login", username="mira_k", password=PASSWORD).status_int == 303


def test_a_form_without_token_counts_no_attempt(world: World) -> None:
    """Otherwise another site could use its visitors to lock a user out."""
    person = world.person(REMOTE_ADDR="10.1.1.1")
    person.get("/login")
    for _ in range(200):
        assert (
            person.post("/login", {"username": "mira_k", "password": "x", "form_token": "x"}).status_int
            == 403
        )
    assert person.log_in("mira_k").status_int == 303


# -- accounts that are not active


def test_inactivity_is_shown_only_with_the_password() -> None:
    world = World()
    world.users.set_active("mira_k", False)
    person = world.person()
    page = person.send(person.get("/login"), "/login", username="mira_k", password="wrong")
    assert (page.status_int, "not active" in said(page)) == (401, False)
    page = person.send(page, "/login", username="mira_k", password=PASSWORD)
    assert page.status_int == 403
    assert "This account is not active. Ask an administrator" in said(page)
    assert not person.is_in()


def test_a_log_in_mails_the_activation_link_again() -> None:
    mail = KeptMail()
    world = World(mail=mail, public_url="https://registry.example.org")
    world.users.create("new_one", PASSWORD, "new@example.org", is_active=False)
    person = world.person()
    page = person.send(person.get("/login"), "/login", username="new_one", password="wrong")
    assert mail.sent == []
    page = person.send(page, "/login", username="new_one", password=PASSWORD)
    assert page.status_int == 403
    assert "mailed a link to its address" in said(page)
    assert mail.kinds_and_addresses == [("activation", "new@example.org")]
    person.send(page, "/login", username="new_one", password=PASSWORD)
    assert len(mail.sent) == 1, "not too soon again"


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
def test_a_log_in_redirects_back_to_the_page(world: World, target: str) -> None:
    person = world.person()
    page = person.browser.get("/login", {"next": target})
    answer = person.send(page, "/login", username="mira_k", password=PASSWORD)
    assert (answer.status_int, location_of(answer)) == (303, target)
    again = person.browser.get("/login", {"next": target})
    assert (again.status_int, location_of(again)) == (303, target)


@pytest.mark.parametrize(("why", "target"), BAD)
def test_a_log_in_redirects_only_to_pages(world: World, why: str, target: str) -> None:
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


_OPEN = World()


@given(text=st.text(alphabet=st.sampled_from("/\\.%2fFeEcC5:@?#&=ahttpslogin \t\n\0é"), max_size=40))
def test_any_target_keeps_the_browser_on_this_site(text: str) -> None:
    person = _OPEN.person()
    page = person.browser.get("/login", {"next": text}, status="*")
    assert page.status_int == 200
    fields = form_of(page, "/login").fields
    if "next" in fields:
        target = fields["next"][0].value
        assert target == text
        assert target.startswith("/")
        assert not target.startswith(("//", "/\\"))


def test_the_first_of_several_targets_counts(world: World) -> None:
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
    world: World, body: bytes, content_type: str, status: int
) -> None:
    person = world.person()
    person.get("/login")
    answer = person.browser.post("/login", body, headers={"Content-Type": content_type}, status="*")
    assert answer.status_int == status
    assert answer.html.find("h1").get_text()
    is_guarded(answer)


@given(body=st.binary(max_size=300))
def test_no_form_gives_a_500(body: bytes) -> None:
    answer = _OPEN.person().browser.post("/login", body, headers={"Content-Type": FORM_TYPE}, status="*")
    assert answer.status_int in (400, 403)


def test_repeated_input_is_escaped(world: World) -> None:
    person = world.person()
    name = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>{{ 7*7 }}"
    page = person.send(person.get("/login"), "/login", username=name, password="x")
    assert page.html.find(id="username")["value"] == name
    assert page.html.find_all("img") == []
    assert len(page.html.find_all("script")) == 1


# -- cookies


def test_over_https_the_cookie_has_the_host_prefix(world: World) -> None:
    answer = world.person().log_in("mira_k")
    name, _, rest = answer.headers["Set-Cookie"].partition("=")
    assert name == "__Host-v1registry_session"
    assert rest.split("; ")[1:] == ["Path=/", "HttpOnly", "SameSite=Lax", "Secure"]


def test_over_http_the_cookie_is_httponly_and_lax(world: World) -> None:
    answer = world.person(scheme="http").log_in("mira_k")
    name, _, rest = answer.headers["Set-Cookie"].partition("=")
    assert name == "v1registry_session"
    assert rest.split("; ")[1:] == ["Path=/", "HttpOnly", "SameSite=Lax"]


def test_a_cookie_without_the_prefix_is_ignored(world: World) -> None:
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
def test_other_cookies_are_ignored(world: World, around: str) -> None:
    cookie = world.mira().cookie
    other = world.person()
    other.browser.extra_environ["HTTP_COOKIE"] = around.format(f"__Host-v1registry_session={cookie}")
    other.browser.cookiejar.clear()
    answer = other.browser.get("/login", status="*")
    assert answer.status_int == 303


@pytest.mark.parametrize("value", ["", "x", "x.y", "x" * 5000, ".", "\xff", '"', "{}", "a" * 60_000])
def test_a_foreign_cookie_is_rejected(world: World, value: str) -> None:
    person = world.person()
    person.browser.extra_environ["HTTP_COOKIE"] = f"__Host-v1registry_session={value}"
    page = person.browser.get("/login", status="*")
    assert page.status_int == 200
    assert "Set-Cookie" in page.headers


@given(header=st.text(alphabet=st.characters(min_codepoint=1, max_codepoint=255), max_size=200))
def test_no_cookie_header_gives_a_500(header: str) -> None:
    person = _OPEN.person()
    person.browser.extra_environ["HTTP_COOKIE"] = header
    assert person.browser.get("/login", status="*").status_int == 200


# -- other credentials


def test_basic_credentials_need_no_form(world: World) -> None:
    person = world.person()
    person.browser.authorization = ("Basic", ("mira_k", PASSWORD))
    assert person.is_in()
    page = person.get("/account")
    assert "mira_k" in said(page)
    assert "Log out" not in said(page), "there is nothing that could be ended"


def test_wrong_basic_gets_a_page_without_challenge(world: World) -> None:
    person = world.person()
    person.browser.authorization = ("Basic", ("mira_k", "wrong"))
    answer = person.get("/account")
    assert answer.status_int == 401
    assert "WWW-Authenticate" not in answer.headers


def test_a_token_gives_no_session(world: World) -> None:
    """Neither a repository token nor an access token, whatever its scopes."""
    world.settings["secret"] = ["the-key"]
    app = world.another_app()
    token = Tokens(["the-key"]).issue(RepositoryName.parse("mira_k/app"), Action.WRITE, User("mira_k"))
    granted = Granter(world.storage, world.users).token("mira_k")
    for authorization in (f"Token {token}", f"Bearer {granted}"):
        person = Person(app)
        person.log_in("zoe_x")
        person.headers["Authorization"] = authorization
        assert person.get("/v1/search?q=app").status_int in (200, 403), "it is a good one"
        assert person.get("/login").status_int == 200
        assert location_of(person.get("/account")) == "/login?next=/account"


@pytest.mark.parametrize("is_in_a_chain", [False, True])
def test_a_changed_htpasswd_line_ends_sessions(tmp_path: Path, is_in_a_chain: bool) -> None:
    file = tmp_path / "users"
    file.write_text(f"mira:{HORSE}\nmoe:{HORSE}\n")
    backend: Any = Htpasswd(file)
    auth = BackendChain([Environ("my_app.user"), backend]) if is_in_a_chain else backend
    app = Registry(storage=MemoryStorage(), auth=auth)
    mira, moe = Person(app), Person(app)
    assert mira.log_in("mira", "correct horse").status_int == 303
    assert moe.log_in("moe", "correct horse").status_int == 303
    file.write_text(f"mira:{STAPLE}\nmoe:{HORSE}\n")
    assert not mira.is_in()
    assert moe.is_in()
    file.write_text(f"mira:{STAPLE}\n")
    assert not moe.is_in()


def environ_world(**settings: Any) -> Registry:
    return Registry(storage=MemoryStorage(), auth=Environ("my_app.user"), **settings)


def test_a_user_of_the_outer_application_needs_no_form() -> None:
    person = Person(environ_world(), **{"my_app.user": "mira"})
    assert (person.get("/login").status_int, location_of(person.get("/login"))) == (303, "/account")
    page = person.get("/account")
    assert page.status_int == 200
    assert "mira" in said(page)
    assert "Log out" not in said(page)


def test_without_passwords_there_is_no_login_form() -> None:
    page = Person(environ_world()).get("/login")
    assert page.status_int == 200
    assert page.html.find("form") is None
    assert "Log in to the application around this registry" in said(page)


def test_passwords_of_a_callback_work() -> None:
    backend = Callback(lambda username, password: username == "mira" and password == "pw")
    person = Person(Registry(storage=MemoryStorage(), auth=backend))
    assert person.log_in("mira", "wrong").status_int == 401
    assert person.log_in("mira", "pw").status_int == 303
    assert "mira" in said(person.get("/account"))
