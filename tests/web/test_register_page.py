"""The page to register, and the pages of mailed links."""

from __future__ import annotations

import pytest
from support.cheap_passwords import CheapPasswords
from support.kept_mail import PUBLIC_URL, KeptMail
from support.page_person import PASSWORD, PagesWorld, Person, described, form_of, location_of, said, token_of
from webtest import TestResponse

from v1registry import MemoryStorage, Registry
from v1registry.accounts.backends.callback import Callback
from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.users import UserStore

NEW = {"username": "new_one", "email": "new@example.org", "password": PASSWORD, "password_again": PASSWORD}


@pytest.fixture
def world() -> PagesWorld:
    return PagesWorld()


def register(person: Person, **fields: str) -> TestResponse:
    return person.send(person.get("/register"), "/register", **{**NEW, **fields})


def test_registration_logs_in_and_works_for_engines(world: PagesWorld) -> None:
    person = world.person()
    answer = register(person)
    assert (answer.status_int, location_of(answer)) == (303, "/account")
    assert "new@example.org" in said(person.get("/account"))
    by_basic = world.person()
    by_basic.browser.authorization = ("Basic", ("new_one", PASSWORD))
    assert by_basic.get("/v1/users/").status_int == 200
    assert world.users.authenticate("new_one", PASSWORD) is not None


def test_a_registration_redirects_back_to_the_page(world: PagesWorld) -> None:
    person = world.person()
    page = person.get("/login?next=/account%3Fx=1")
    (link,) = [a["href"] for a in page.html.find_all("a") if a.get_text() == "Register"]
    page = person.get(link)
    answer = person.send(page, "/register", **NEW)
    assert location_of(answer) == "/account?x=1"
    page = world.person().get("/register?next=//evil.example.org")
    assert "next" not in form_of(page, "/register").fields


def test_invalid_fields_are_reported_and_valid_ones_kept(world: PagesWorld) -> None:
    person = world.person()
    page = register(person, username="No", email="nobody", password="abc", password_again="")
    assert page.status_int == 400
    assert "4 to 30 characters" in described(page, "username")
    assert "an address such as" in described(page, "email")
    assert "5 to 1024 characters" in described(page, "password")
    assert page.html.find(attrs={"role": "alert"})
    assert page.html.find(id="username")["value"] == "No"
    assert page.html.find(id="email")["value"] == "nobody"
    assert "value" not in page.html.find(id="password").attrs
    assert world.users.find("No") is None
    # the form of this page then works
    answer = person.send(page, "/register", **NEW)
    assert answer.status_int == 303


def test_different_passwords_make_no_account(world: PagesWorld) -> None:
    page = register(world.person(), password_again="s3cret-two")
    assert page.status_int == 400
    assert "are different" in described(page, "password_again")
    assert world.users.find("new_one") is None


@pytest.mark.parametrize("fields", [{"username": "mira_k"}, {"email": "MIRA_K@example.org"}])
def test_a_taken_name_or_address_is_reported(world: PagesWorld, fields: dict[str, str]) -> None:
    page = register(world.person(), **fields)
    assert page.status_int == 400
    assert page.html.find(attrs={"role": "alert"}).get_text() == "Username or email already exists"
    assert world.users.authenticate("mira_k", PASSWORD) is not None


@pytest.mark.parametrize(
    "username", ["library", "tags", "images", "reserved_one", "a/b_c", "mira_k\0", "..%2f", "\u0130stanbul"]
)
def test_invalid_user_names_are_refused(username: str) -> None:
    world = PagesWorld(reserved_names=["reserved_one"])
    page = register(world.person(), username=username)
    assert page.status_int == 400
    assert "Invalid username" in described(page, "username")


def test_another_site_cannot_register(world: PagesWorld) -> None:
    enemy, victim = world.person(), world.person()
    token = token_of(enemy.get("/register"))
    victim.get("/register")
    for sent in ({}, {"form_token": "x"}, {"form_token": token}):
        answer = victim.post("/register", {**NEW, **sent})
        assert answer.status_int == 403
    own = token_of(victim.get("/register"))
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example.org"}):
        assert victim.post("/register", {**NEW, "form_token": own}, headers).status_int == 403
    assert world.users.find("new_one") is None
    assert victim.post("/register", {**NEW, "form_token": own}).status_int == 303


def test_a_logged_in_user_cannot_register(world: PagesWorld) -> None:
    person = world.mira()
    assert location_of(person.get("/register")) == "/account"
    assert location_of(person.post("/register", NEW)) == "/account"
    assert world.users.find("new_one") is None


def test_registration_begins_a_new_session(world: PagesWorld) -> None:
    person = world.person()
    page = person.get("/register")
    planted = person.cookie
    person.send(page, "/register", **NEW)
    assert person.cookie != planted
    assert not person.with_cookie(planted).is_in()


def test_markup_in_the_fields_is_escaped(world: PagesWorld) -> None:
    name = '"><script>alert(1)</script>'
    page = register(world.person(), username=name, email=name)
    assert page.html.find(id="username")["value"] == name
    assert page.html.find(id="email")["value"] == name
    assert len(page.html.find_all("script")) == 1


# -- registration switched off


@pytest.mark.parametrize(
    ("auth", "settings"),
    [
        (lambda: "users:", {"registration": "closed"}),
        (lambda: Callback(lambda username, password: True), {}),
        (lambda: Environ(), {}),
        (lambda: "open:", {}),
        (lambda: "users:", {"pages": "off"}),
    ],
)
def test_without_registration_there_is_no_page(auth: object, settings: dict[str, str]) -> None:
    made = auth()  # type: ignore[operator]
    person = Person(Registry(storage=MemoryStorage(), auth=made, **settings))
    assert person.get("/register").status_int == 404
    assert person.post("/register", NEW).status_int == 404
    page = person.get("/login")
    assert page.status_int == 404 or "Register" not in said(page)


# -- with a confirmation by mail


@pytest.fixture
def mail() -> KeptMail:
    return KeptMail()


@pytest.fixture
def mailing(mail: KeptMail) -> PagesWorld:
    return PagesWorld(mail=mail, public_url=PUBLIC_URL)


def test_with_mail_an_account_waits_for_its_link(mailing: PagesWorld, mail: KeptMail) -> None:
    person = mailing.person()
    page = register(person)
    assert page.status_int == 200
    assert "We mailed a link to new@example.org" in said(page)
    assert not person.is_in()
    assert mail.kinds_and_addresses == [("activation", "new@example.org")]

    asking = person.get(mail.path)
    assert asking.status_int == 200
    followed = form_of(asking, "").submit(status="*")
    assert followed.status_int == 200
    assert "Your account is active" in said(followed)
    assert person.log_in("new_one").status_int == 303


def test_link_pages_ignore_the_session(mailing: PagesWorld, mail: KeptMail) -> None:
    register(mailing.person())
    person = mailing.mira()
    for page in (
        person.get(mail.path),
        person.post(mail.path),
        person.get(mail.path),
        person.get("/accounts/activate/x"),
    ):
        assert page.html.find("link", rel="stylesheet")
        assert "mira_k" not in said(page)
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["X-Frame-Options"] == "DENY"
        assert "unsafe" not in page.headers["Content-Security-Policy"]
        assert "Set-Cookie" not in page.headers
        assert mail.path.rpartition("/")[2] not in page.text


def test_link_pages_in_front_of_an_application_have_styles(mail: KeptMail) -> None:
    def behind(environ: object, start_response: object) -> list[bytes]:
        raise AssertionError("this is ours")

    storage = MemoryStorage()
    users = UserStore(storage, passwords=CheapPasswords())
    registry = Registry(storage=storage, auth=users, mail=mail, public_url=PUBLIC_URL)
    person = Person(registry.in_front_of(behind))
    page = person.get("/accounts/activate/x")
    style = page.html.find("link", rel="stylesheet")["href"]
    assert style.startswith("/api/v1.1/o/static/")
    assert person.get(style).status_int == 200


def test_after_a_failed_mail_a_log_in_mails_again(mailing: PagesWorld, mail: KeptMail) -> None:
    mail.error = OSError("the link was https://x/secret")
    person = mailing.person()
    assert register(person).status_int == 200
    mail.error = None
    page = person.log_in("new_one")
    assert page.status_int == 403
    assert "mailed a link to its address" in said(page)
    assert mail.kinds_and_addresses == [("activation", "new@example.org")]
