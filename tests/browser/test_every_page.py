"""Check each page in both themes, on desktop and phone, with axe-core; ``--pictures`` saves pictures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from selenium.webdriver.common.by import By
from support.axe_core import findings
from support.chromium import HOST, PHONE_WIDTH, Browser, Theme
from support.demo_world import ELSEWHERE, OWNER, PASSWORD, SHOP, Demo
from support.harbour import Harbour
from support.mailing import mailing_registry
from support.people import authorize_url, grant_access, log_in, named_url, send_log_in, send_registration
from v1registry_fakes import FakeRegistry
from v1registry_fakes.server import LiveServer

from v1registry import FileStorage, Registry
from v1registry.names import RepositoryName
from v1registry.registry import layout

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("axe")]


@dataclass(frozen=True)
class Tour:
    """The objects that a visit to a page needs."""

    browser: Browser
    demo: Demo
    harbour: Harbour
    opened: ExitStack  #: closes other registries after their pages have been checked

    def registry(self, **options: Any) -> FakeRegistry:
        return self.opened.enter_context(FakeRegistry(**options))


Visit = Callable[[Tour], None]


def _at(path: str, *, is_named: bool = True) -> Visit:
    def visit(tour: Tour) -> None:
        ids = {
            "shop": tour.demo.shop.id,
            "debian": tour.demo.debian.id,
            "installed": tour.demo.installed.id,
            "copied": tour.demo.copied.id,
        }
        url = named_url(tour.demo.registry) if is_named else tour.demo.registry.url
        tour.browser.open(url + path.format(**ids))

    return visit


def _repository(tour: Tour) -> None:
    """Open the shop at a host name, with tags that were pushed at different times."""
    folder = Path(tour.opened.enter_context(TemporaryDirectory()))
    storage, filled = FileStorage(folder, durable=False), tour.demo.registry.storage
    for stat in filled.list(""):
        storage.write(stat.key, filled.read(stat.key)[0])
    place = layout.repository_folders(RepositoryName.parse(SHOP))[-1]
    for tag, hours in PUSHED_BEFORE.items():
        set_at = time.time() - 3600 * hours
        os.utime(folder / layout.tag_key(place, tag), (set_at, set_at))
    registry = Registry(storage=storage, auth="users:", public_url=f"https://{HOST}")
    server = tour.opened.enter_context(LiveServer(registry))
    tour.browser.open(f"{server.url.replace('127.0.0.1', HOST)}/repositories/{SHOP}")


def _logged_in(path: str) -> Visit:
    def visit(tour: Tour) -> None:
        log_in(tour.browser, tour.demo.registry)
        _at(path, is_named=False)(tour)

    return visit


def _wrong_log_in(tour: Tour) -> None:
    tour.browser.open(f"{tour.demo.registry.url}/login")
    send_log_in(tour.browser, OWNER, "not this one")


def _wrong_registration(tour: Tour) -> None:
    tour.browser.open(f"{tour.demo.registry.url}/register")
    send_registration(tour.browser, "x", "abc", again="abd")


def _wrong_collaborator(tour: Tour) -> None:
    log_in(tour.browser, tour.demo.registry)
    tour.browser.open(f"{tour.demo.registry.url}/manage/{SHOP}")
    tour.browser.fill("User name", "absent")
    tour.browser.click("button", "Set the collaborator")
    tour.browser.wait_for_text("There is no user of this name")


def _account(tour: Tour) -> None:
    log_in(tour.browser, tour.demo.registry)
    grant_access(tour.browser, tour.demo, tour.harbour)
    tour.browser.open(f"{tour.demo.registry.url}/account")
    tour.browser.fill("Full name", "Mira Kovac")
    tour.browser.fill("Location", "Graz")
    tour.browser.click("button", "Save")
    tour.browser.wait_for_text("saved")


def _consent(tour: Tour) -> None:
    log_in(tour.browser, tour.demo.registry)
    tour.browser.open(authorize_url(tour.demo.registry, tour.demo.application, redirect_uri=ELSEWHERE))


def _unknown_application(tour: Tour) -> None:
    log_in(tour.browser, tour.demo.registry)
    tour.browser.open(authorize_url(tour.demo.registry, tour.demo.application, client_id="nobody"))


def _logged_out(tour: Tour) -> None:
    log_in(tour.browser, tour.demo.registry)
    tour.browser.click("button", "Log out")
    tour.browser.wait_for_text("logged out")


def _unreadable(tour: Tour) -> None:
    image = tour.demo.registry.add_image("tomas/broken:latest", layer=b"no archive at all")
    tour.browser.open(f"{named_url(tour.demo.registry)}/images/{image.id}/files")


def _empty(tour: Tour) -> None:
    registry = tour.registry()
    tour.browser.open(f"{named_url(registry)}/")


def _without_accounts(tour: Tour) -> None:
    registry = tour.registry()
    registry.add_image("tools:latest", layers=3)
    tour.browser.open(f"{named_url(registry)}/repositories/library/tools")


def _without_other_pages(tour: Tour) -> None:
    registry = tour.registry(auth="users:", pages="off")
    registry.add_user(OWNER, PASSWORD)
    tour.browser.open(f"{registry.url}/api/v1.1/o/login")
    send_log_in(tour.browser)
    tour.browser.find("button", "Log out")


def _usage(tour: Tour) -> None:
    """Open the page of administrators with a few repositories."""
    registry = tour.registry(auth="users:")
    registry.add_user("root1", PASSWORD, is_administrator=True)
    for name in ("mira_k/shop", "tomas/tools-of-a-team-with-a-long-name", "library/debian"):
        registry.add_image(f"{name}:1.0", layers=3)
    Registry(registry.storage).housekeeping.usage()
    tour.browser.open(f"{registry.url}/login")
    send_log_in(tour.browser, "root1", PASSWORD)
    tour.browser.find("button", "Log out")
    tour.browser.open(f"{registry.url}/usage")


def _mailed(*, is_followed: int) -> Visit:
    """Return the visit to a page of a registration by mail: after so many steps of the mailed link."""

    def visit(tour: Tour) -> None:
        registry, mailbox = tour.opened.enter_context(mailing_registry())
        tour.browser.open(f"{registry.url}/register")
        send_registration(tour.browser, "newcomer", PASSWORD)
        if is_followed:
            tour.browser.open(mailbox.links[0])
        if is_followed > 1:
            tour.browser.click("button", "Confirm")
            tour.browser.find("heading", "Your address is confirmed")
        if is_followed > 2:
            tour.browser.open(mailbox.links[0])

    return visit


#: Name of a page, also of its picture -> the visit to it.
PAGES: Final[dict[str, Visit]] = {
    "repositories": _at("/"),
    "repositories-of-a-user": _logged_in("/"),
    "search": _at("/?q=web"),
    "search-without-hits": _at("/?q=nothing-like-it"),
    "repository": _repository,
    "repository-private": _logged_in("/repositories/mira_k/ledger"),
    "image": _at(f"/images/{{shop}}?repository={SHOP}"),
    "image-of-a-root": _at("/images/{debian}"),
    "files": _at("/images/{copied}/files"),
    "files-in-a-folder": _at(f"/images/{{copied}}/files?path=srv/shop&repository={SHOP}"),
    "changes": _at("/images/{installed}/changes"),
    "manage": _logged_in(f"/manage/{SHOP}"),
    "manage-refused": _wrong_collaborator,
    "delete-tag": _logged_in(f"/manage/{SHOP}?tag=1.0"),
    "repository-of-an-owner": _logged_in(f"/repositories/{SHOP}"),
    "not-found": _at("/repositories/mira_k/nothing"),
    "log-in": _at("/login"),
    "log-in-refused": _wrong_log_in,
    "register": _at("/register"),
    "register-refused": _wrong_registration,
    "account": _account,
    "usage": _usage,
    "consent": _consent,
    "unknown-application": _unknown_application,
    "logged-out": _logged_out,
    "unreadable-layer": _unreadable,
    "empty": _empty,
    "repository-without-accounts": _without_accounts,
    "logged-in-without-other-pages": _without_other_pages,
    "registered": _mailed(is_followed=0),
    "mailed-link": _mailed(is_followed=1),
    "mailed-link-followed": _mailed(is_followed=2),
    "mailed-link-once-more": _mailed(is_followed=3),
}

#: Tag -> its age in a picture, in hours.
PUSHED_BEFORE: Final = {"latest": 3, "production": 2, "2.0": 75, "1.1": 41 * 24, "1.0": 100 * 24}

#: Pages in docs/pages.md -> the height of their pictures, in pixels.
SHOWN: Final = {"repository": 1240, "image": 1070, "consent": 500}

WAYS: Final[list[tuple[Theme, bool]]] = [("light", False), ("dark", False), ("light", True), ("dark", True)]

#: Combinations that axe-core does not check: others have the same colours or the same sizes.
LIKE_OTHERS: Final[list[tuple[Theme, bool]]] = [("dark", True)]


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_accessible(
    browser: Browser, demo: Demo, harbour: Harbour, name: str, request: pytest.FixtureRequest
) -> None:
    with ExitStack() as opened:
        PAGES[name](Tour(browser, demo, harbour, opened))
        problems = problems_of(browser, name, request.config.getoption("--pictures", default=None))

    assert not problems, "\n".join(problems)


def problems_of(browser: Browser, name: str, pictures: Path | None) -> list[str]:
    """Return the problems of the present page in each theme and size; save pictures if there is a folder."""
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
    return problems


def _outline_problems(browser: Browser) -> list[str]:
    """Return the problems of the outline of a page: language, title, main heading, landmarks."""
    problems = []
    if browser.driver.find_element(By.TAG_NAME, "html").get_attribute("lang") != "en":
        problems.append("the page does not say its language")
    headings = [heading.text for heading in browser.driver.find_elements(By.TAG_NAME, "h1")]
    if len(headings) != 1 or not headings[0].strip():
        problems.append(f"one main heading is expected, not {headings}")
    if not browser.title.strip() or browser.title == "Registry":
        problems.append(f"the title {browser.title!r} does not tell the page from others")
    if len(browser.driver.find_elements(By.TAG_NAME, "main")) != 1:
        problems.append("there is not one main part")
    return problems


def _too_wide(browser: Browser) -> list[str]:
    """Return the innermost elements that overflow the page on the right and do not scroll themselves."""
    found: list[str] = browser.driver.execute_script(
        """
        const width = document.scrollingElement.clientWidth;
        const scrolls = element =>
          element && (getComputedStyle(element).overflowX !== "visible" || scrolls(element.parentElement));
        return [...document.body.querySelectorAll("*")]
          .filter(each => each.getBoundingClientRect().right > width + 0.5 && !scrolls(each.parentElement))
          .map(each => each.outerHTML.slice(0, 160)).slice(-5);
        """
    )
    return found
