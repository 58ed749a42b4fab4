"""Every page, in both themes, on a desk and on a phone: nobody is shut out, nothing is cut off. With --pictures: to be looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from axe_core import findings
from chromium import PHONE_WIDTH, Browser, Theme
from demo_world import ELSEWHERE, OWNER, SHOP, Demo
from harbour import Harbour
from people import authorize_url, grant_access, log_in, named_url, send_log_in, send_registration
from selenium.webdriver.common.by import By

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("axe")]

Visit = Callable[[Browser, Demo, Harbour], None]


def _at(path: str, *, is_named: bool = True) -> Visit:
    def visit(browser: Browser, demo: Demo, harbour: Harbour) -> None:
        ids = {
            "shop": demo.shop.id,
            "debian": demo.debian.id,
            "installed": demo.installed.id,
            "copied": demo.copied.id,
        }
        url = named_url(demo.registry) if is_named else demo.registry.url
        browser.open(url + path.format(**ids))

    return visit


def _logged_in(path: str) -> Visit:
    def visit(browser: Browser, demo: Demo, harbour: Harbour) -> None:
        log_in(browser, demo.registry)
        _at(path, is_named=False)(browser, demo, harbour)

    return visit


def _wrong_log_in(browser: Browser, demo: Demo, harbour: Harbour) -> None:
    browser.open(f"{demo.registry.url}/login")
    send_log_in(browser, OWNER, "not this one")


def _wrong_registration(browser: Browser, demo: Demo, harbour: Harbour) -> None:
    browser.open(f"{demo.registry.url}/register")
    send_registration(browser, "x", "abc", again="abd")


def _account(browser: Browser, demo: Demo, harbour: Harbour) -> None:
    log_in(browser, demo.registry)
    grant_access(browser, demo, harbour)
    browser.open(f"{demo.registry.url}/account")
    browser.fill("Full name", "Mira Kovac")
    browser.fill("Location", "Graz")
    browser.click("button", "Save")
    browser.wait_for_text("saved")


def _consent(browser: Browser, demo: Demo, harbour: Harbour) -> None:
    log_in(browser, demo.registry)
    browser.open(authorize_url(demo.registry, demo.application, redirect_uri=ELSEWHERE))


def _unknown_application(browser: Browser, demo: Demo, harbour: Harbour) -> None:
    log_in(browser, demo.registry)
    browser.open(authorize_url(demo.registry, demo.application, client_id="nobody"))


#: Name -> how to get there. The names are those of the pictures.
PAGES: Final[dict[str, Visit]] = {
    "repositories": _at("/"),
    "repositories-of-a-user": _logged_in("/"),
    "search": _at("/?q=web"),
    "search-without-hits": _at("/?q=nothing-like-it"),
    "repository": _at(f"/repositories/{SHOP}"),
    "repository-private": _logged_in("/repositories/mira_k/ledger"),
    "image": _at("/images/{shop}"),
    "image-of-a-root": _at("/images/{debian}"),
    "files": _at("/images/{copied}/files"),
    "files-in-a-folder": _at("/images/{copied}/files?path=srv/shop"),
    "changes": _at("/images/{installed}/changes"),
    "not-found": _at("/repositories/mira_k/nothing"),
    "log-in": _at("/login"),
    "log-in-refused": _wrong_log_in,
    "register": _at("/register"),
    "register-refused": _wrong_registration,
    "account": _account,
    "consent": _consent,
    "unknown-application": _unknown_application,
}

#: The pages that the README shows, and how much of them, in pixels.
SHOWN: Final = {"repository": 1030, "image": 965, "consent": 480}

WAYS: Final[list[tuple[Theme, bool]]] = [("light", False), ("dark", False), ("light", True), ("dark", True)]

#: What has the colours of one way and the sizes of another: axe-core would find nothing new, and it takes its time.
LIKE_OTHERS: Final[list[tuple[Theme, bool]]] = [("dark", True)]


@pytest.mark.parametrize("name", PAGES)
def test_nobody_is_shut_out_of_the_page(
    browser: Browser, demo: Demo, harbour: Harbour, name: str, request: pytest.FixtureRequest
) -> None:
    PAGES[name](browser, demo, harbour)
    pictures: Path | None = request.config.getoption("--pictures", default=None)

    problems = _outline_problems(browser)
    for theme, is_phone in WAYS:
        browser.dress(theme, is_phone=is_phone)
        way = f"{'phone' if is_phone else 'desk'}-{theme}"
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            (pictures / f"{name}-{way}.png").write_bytes(browser.picture())
            if name in SHOWN and way == "desk-light":
                (pictures / f"{name}.png").write_bytes(browser.picture(SHOWN[name]))
        if (theme, is_phone) not in LIKE_OTHERS:
            problems += [f"{way}: {finding}" for finding in findings(browser)]
        width = browser.driver.execute_script("return document.scrollingElement.scrollWidth")
        if is_phone and width > PHONE_WIDTH:
            problems.append(f"{way}: the page is {width} wide, because of {_too_wide(browser)}")

    assert not problems, "\n".join(problems)


def _outline_problems(browser: Browser) -> list[str]:
    """Return what is wrong with the frame of a page: its language, its title, its one main heading, its landmarks."""
    problems = []
    if browser.driver.find_element(By.TAG_NAME, "html").get_attribute("lang") != "en":
        problems.append("the page does not say its language")
    headings = [heading.text for heading in browser.driver.find_elements(By.TAG_NAME, "h1")]
    if len(headings) != 1 or not headings[0].strip():
        problems.append(f"one main heading is expected, not {headings}")
    if not browser.title.strip() or (browser.title == "Registry" and headings != ["Repositories"]):
        problems.append(f"the title {browser.title!r} does not tell the page from others")
    if len(browser.driver.find_elements(By.TAG_NAME, "main")) != 1:
        problems.append("there is not one main part")
    return problems


def _too_wide(browser: Browser) -> list[str]:
    """Return the innermost elements that stand out of the page on the right, and are not scrolled by themselves."""
    found: list[str] = browser.driver.execute_script(
        """
        const width = document.scrollingElement.clientWidth;
        const scrolls = element => element && (getComputedStyle(element).overflowX !== "visible" || scrolls(element.parentElement));
        return [...document.body.querySelectorAll("*")]
          .filter(each => each.getBoundingClientRect().right > width + 0.5 && !scrolls(each.parentElement))
          .map(each => each.outerHTML.slice(0, 160)).slice(-5);
        """
    )
    return found
