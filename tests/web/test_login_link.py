"""The link to the log-in on error pages, the way back, and the log-in of the application around."""

from __future__ import annotations

import pytest
from support.page_person import HOST, PASSWORD, PagesWorld, Person, location_of
from support.reader import Reader, links_in, town, words

from v1registry import MemoryStorage, Registry, SettingsError
from v1registry.accounts import Environ

HIDDEN = "/repositories/mira_k/ledger"
LOGIN_URL = "https://sso.example.com/login?next={next}"


def test_the_not_found_page_links_to_the_login() -> None:
    page = Reader(town().app).page(HIDDEN, 404)
    assert links_in(page)["Log in"] == "/login"
    assert words(page.select_one(".top nav")) == "Log in"


def test_the_not_found_page_keeps_the_account_of_its_visitor() -> None:
    world = PagesWorld()
    page = world.mira().get("/repositories/mira_k/absent", {"Accept": "text/html"})
    assert page.status_int == 404
    assert "mira_k" in page.html.select_one(".top nav").get_text()
    assert page.html.select_one('form[action="/logout"]') is not None
    assert page.html.find("a", string="Log in") is None


@pytest.mark.parametrize("options", [{}, {"auth": "users:", "pages": "off"}])
def test_without_login_pages_there_is_no_link(options: dict[str, str]) -> None:
    app = Registry(storage=MemoryStorage(), **options)  # type: ignore[arg-type]
    answer = Reader(app).ask("/repositories/team/absent")
    assert answer.status == 404
    assert b"/login" not in answer.body


def test_wrong_credentials_are_counted_once() -> None:
    registry = town()
    for _ in range(9):
        assert Reader(registry.app, "mira_k", "wrong").ask(HIDDEN).status == 401
    assert Reader(registry.app, "mira_k", "secret").ask(HIDDEN).status == 200


def test_after_the_login_the_visitor_is_back_on_the_page() -> None:
    person = PagesWorld().person()
    page = person.get("/login", {"Referer": f"https://{HOST}{HIDDEN}?sort=name"})
    answer = person.send(page, "/login", username="mira_k", password=PASSWORD)
    assert location_of(answer) == f"{HIDDEN}?sort=name"


@pytest.mark.parametrize(
    "referer",
    [
        f"https://evil.example{HIDDEN}",
        f"https://{HOST}.evil.example{HIDDEN}",
        f"https://{HOST}@evil.example{HIDDEN}",
        f"http://{HOST}{HIDDEN}",
        f"https://{HOST}//evil.example/",
        f"https://{HOST}/\\evil.example/",
        f"https://{HOST}/v1/_ping",
        f"https://{HOST}/login",
        f"https://{HOST}",
        "",
        "\xff",
    ],
)
def test_other_referers_lead_to_the_account(referer: str) -> None:
    person = PagesWorld().person()
    page = person.get("/login", {"Referer": referer})
    answer = person.send(page, "/login", username="mira_k", password=PASSWORD)
    assert location_of(answer) == "/account"


def test_next_has_precedence_over_the_referer() -> None:
    person = PagesWorld().person()
    page = person.get("/login?next=/", {"Referer": f"https://{HOST}{HIDDEN}"})
    answer = person.send(page, "/login", username="mira_k", password=PASSWORD)
    assert location_of(answer) == "/"


# -- the log-in of the application around the registry


def behind_sso(**options: str) -> Person:
    app = Registry(storage=MemoryStorage(), auth=Environ("REMOTE_USER"), login_url=LOGIN_URL, **options)  # type: ignore[arg-type]
    return Person(app)


def test_the_login_of_the_application_is_linked_with_the_way_back() -> None:
    page = behind_sso().get("/login?next=/repositories/a/b?sort=name")
    link = page.html.select_one("main a")
    assert link.get_text() == "Log in"
    back = f"https%3A%2F%2F{HOST}%2Frepositories%2Fa%2Fb%3Fsort%3Dname"
    assert link["href"] == f"https://sso.example.com/login?next={back}"


def test_the_way_back_has_the_path_of_public_url() -> None:
    page = behind_sso(public_url="https://hub.example.com/below").get("/login")
    href = page.html.select_one("main a")["href"]
    assert href == "https://sso.example.com/login?next=https%3A%2F%2Fhub.example.com%2Fbelow%2F"


def test_without_login_url_the_page_says_what_to_do() -> None:
    page = Person(Registry(storage=MemoryStorage(), auth=Environ("REMOTE_USER"))).get("/login")
    assert "Log in to the application around this registry" in page.text


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "//evil.example/", "/\\evil.example/", "login", "https://", "/a b", "/a\n"]
)
def test_login_url_is_a_path_or_an_http_url(url: str) -> None:
    with pytest.raises(SettingsError, match="login_url: must be a path or a URL"):
        Registry(storage=MemoryStorage(), login_url=url)
