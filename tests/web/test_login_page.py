"""The pages to log in and to log out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.access_tokens import Granter
from support.clock import Clock
from support.credentials import basic
from support.guarded_pages import is_guarded
from support.kept_mail import KeptMail
from support.page_person import PASSWORD, PagesWorld, Person, location_of, said, token_of

from v1registry import MemoryStorage, Registry
from v1registry.access.tokens import Tokens
from v1registry.accounts.backends.callback import Callback
from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.backends.htpasswd import Htpasswd
from v1registry.names import RepositoryName
from v1registry.rights import Action

#: Hashes of "correct horse" and "0", made by Apache's htpasswd 2.4 (-m) and by openssl passwd (-apr1).
HORSE = "$apr1$RsaosasZ$z8WUXvwD1NOdSfwC7xgBE0"
STAPLE = "$apr1$12345678$s0/z3njkj0t6U82g8GuNF/"


@pytest.fixture
def world() -> PagesWorld:
    return PagesWorld()


# -- log in and log out


def test_a_log_in_shows_the_account(world: PagesWorld) -> None:
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


def test_the_form_has_labels_and_autocomplete(world: PagesWorld) -> None:
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
def test_every_failed_log_in_looks_the_same(world: PagesWorld, username: str, password: str) -> None:
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


def test_after_a_wrong_password_the_right_one_works(world: PagesWorld) -> None:
    person = world.person()
    wrong = person.send(person.get("/login"), "/login", username="mira_k", password="wrong")
    assert person.send(wrong, "/login", username="mira_k", password=PASSWORD).status_int == 303
    assert person.is_in()


def test_a_logged_in_user_gets_no_login_form(world: PagesWorld) -> None:
    person = world.mira()
    page = person.get("/login")
    assert (page.status_int, location_of(page)) == (303, "/account")
    # a form in another tab is sent late
    late = person.post("/login", {"username": "zoe_x", "password": PASSWORD, "next": "/account"})
    assert (late.status_int, location_of(late)) == (303, "/account")
    assert "mira_k" in said(person.get("/account"))


def test_a_log_out_ends_copies_of_the_cookie(world: PagesWorld) -> None:
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


def test_a_log_out_ends_the_session_in_all_processes(world: PagesWorld) -> None:
    person = world.mira()
    elsewhere = Person(world.another_app())
    elsewhere.headers["Cookie"] = f"{person.cookie_name}={person.cookie}"
    assert elsewhere.is_in()
    person.send(person.get("/account"), "/logout")
    assert not elsewhere.is_in()


def test_only_the_button_logs_out(world: PagesWorld) -> None:
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


def test_logging_out_twice_is_no_error(world: PagesWorld) -> None:
    answer = world.person().post("/logout")
    assert (answer.status_int, location_of(answer)) == (303, "/login?done=logout")


def test_two_storages_share_no_sessions(world: PagesWorld) -> None:
    person = world.mira()
    other = Person(PagesWorld().app)
    other.headers["Cookie"] = f"{person.cookie_name}={person.cookie}"
    assert not other.is_in()


# -- the session is a new one


def test_a_log_in_replaces_the_session(world: PagesWorld) -> None:
    person = world.person()
    page = person.get("/login")
    planted = person.cookie
    person.send(page, "/login", username="mira_k", password=PASSWORD)
    assert person.cookie != planted
    assert not person.with_cookie(planted).is_in()


def test_a_planted_cookie_is_replaced_at_log_in(world: PagesWorld) -> None:
    zoe = world.person()
    zoe.log_in("zoe_x")
    planted = zoe.cookie
    victim = world.person()
    victim.headers["Cookie"] = f"__Host-v1registry_session={planted}"
    # the page shows the user of the planted session, and no log-in form
    assert "zoe_x" in said(victim.get("/account"))


def test_the_token_of_the_form_ends_with_the_log_in(world: PagesWorld) -> None:
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


# -- the limit on failed log-ins


def test_attempts_by_form_and_basic_count_together() -> None:
    clock = Clock()
    world = PagesWorld(clock=clock)
    person = world.person(REMOTE_ADDR="10.1.1.1")
    page = person.get("/login")
    for _ in range(5):
        page = person.send(page, "/login", username="mira_k", password="wrong")
        assert page.status_int == 401
        assert person.get("/v1/users/", basic("mira_k", "wrong")).status_int == 401
    page = person.send(page, "/login", username="mira_k", password="wrong")
    assert page.status_int == 401
    page = person.send(page, "/login", username="mira_k", password=PASSWORD)
    assert page.status_int == 429
    assert page.headers["Retry-After"] == "1"
    assert "try again in 1 second" in said(page)
    assert not person.is_in()
    clock.now_s += 1
    assert person.send(page, "/login", username="mira_k", password=PASSWORD).status_int == 303


def test_a_form_without_token_counts_no_attempt(world: PagesWorld) -> None:
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
    world = PagesWorld()
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
    world = PagesWorld(mail=mail, public_url="https://registry.example.org")
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


# -- other credentials


def test_basic_credentials_need_no_form(world: PagesWorld) -> None:
    person = world.person()
    person.browser.authorization = ("Basic", ("mira_k", PASSWORD))
    assert person.is_in()
    page = person.get("/account")
    assert "mira_k" in said(page)
    assert "Log out" not in said(page), "there is nothing that could be ended"


def test_wrong_basic_gets_a_page_without_challenge(world: PagesWorld) -> None:
    person = world.person()
    person.browser.authorization = ("Basic", ("mira_k", "wrong"))
    answer = person.get("/account")
    assert answer.status_int == 401
    assert "WWW-Authenticate" not in answer.headers


def test_a_token_gives_no_session(world: PagesWorld) -> None:
    """Neither a repository token nor an access token, whatever its scopes."""
    world.settings["secret"] = ["the-key"]
    app = world.another_app()
    tokens, account = Tokens(["the-key"]), world.users.account("mira_k")
    mark = tokens.mark_of(account.user.id, account.password_mark)
    token = tokens.issue(RepositoryName.parse("mira_k/app"), Action.WRITE, account.user, mark=mark)
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


@pytest.mark.parametrize("answer", [True, {"id": "7"}, {"id": "7", "groups": ["team"]}])
def test_a_log_in_lasts_if_the_callback_cannot_find_users(answer: Any) -> None:
    person = Person(Registry(storage=MemoryStorage(), auth=Callback(lambda username, password: answer)))
    assert person.log_in("mira", "any").status_int == 303
    assert person.get("/account").status_int == 200
