"""Find an image with a mouse, with a keyboard, and without JavaScript."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from support.chromium import Browser
from support.demo_world import FRIEND, SHOP, STRANGER, Demo
from support.people import log_in, named_url

pytestmark = pytest.mark.real


@pytest.mark.smoke
def test_from_the_list_to_a_file_in_a_layer(browser: Browser, demo: Demo) -> None:
    browser.open(f"{demo.registry.url}/")
    browser.click("link", SHOP)
    browser.find("heading", SHOP)
    browser.click("link", demo.shop.id[:12])
    browser.find("heading", demo.shop.id[:12])
    assert "useradd --system shop && chown -R shop /srv/shop" in browser.text
    browser.open(f"{demo.registry.url}/images/{demo.copied.id}")
    browser.click("link", "files")
    for folder in ("srv/", "shop/", "templates/"):
        browser.click("link", folder)

    browser.wait_for_text("basket.html")


def test_from_the_list_to_a_file_with_the_keyboard(browser: Browser, demo: Demo) -> None:
    browser.open(f"{demo.registry.url}/?q=webshop")
    browser.tab_to("link", SHOP, key=Keys.TAB)
    enter(browser)
    browser.find("heading", SHOP)
    browser.tab_to("link", demo.shop.id[:12], key=Keys.TAB)
    enter(browser)
    browser.find("heading", demo.shop.id[:12])
    browser.tab_to("link", demo.copied.id[:12], key=Keys.TAB)
    enter(browser)
    browser.wait_for_address(demo.copied.id)
    browser.tab_to("link", "files", key=Keys.TAB)
    enter(browser)
    for folder in ("srv/", "shop/", "templates/"):
        browser.tab_to("link", folder, key=Keys.TAB)
        enter(browser)

    browser.wait_for_text("basket.html")


def test_the_first_tab_stop_skips_to_the_content(browser: Browser, demo: Demo) -> None:
    browser.open(f"{demo.registry.url}/repositories/{SHOP}")

    skip = browser.tab_to("link", "Skip", key=Keys.TAB)
    assert skip.is_displayed()
    browser.press(Keys.ENTER)

    assert browser.focused.tag_name == "main"


def test_search_as_you_type_shows_results(browser: Browser, demo: Demo) -> None:
    browser.open(f"{demo.registry.url}/")
    mark_page(browser)

    browser.find("searchbox", "Search").send_keys("ledg", Keys.BACKSPACE * 4, "webs")
    browser.wait(
        lambda: browser.has("link", SHOP) and not browser.has("link", "lesson"), "result of the search"
    )

    assert is_same_page(browser), "the page was loaded anew"
    assert browser.address.endswith("/?q=webs")
    announced = browser.driver.find_element(By.CSS_SELECTOR, "[aria-live], [role=status]")
    browser.wait(lambda: "1 repository" in announced.text, "announcement of how many there are")

    # the address leads to the same results
    browser.driver.refresh()
    assert browser.find("searchbox", "Search").get_attribute("value") == "webs"
    assert browser.has("link", SHOP)
    assert not browser.has("link", "lesson")


def test_a_slow_answer_does_not_replace_a_newer_one(browser: Browser, demo: Demo) -> None:
    browser.open(f"{demo.registry.url}/")
    browser.driver.execute_script(
        """
        const fetchNow = window.fetch;
        window.fetch = (...request) => new Promise((resolve, reject) => {
          window.answer = () => fetchNow(...request).then(resolve, reject);
        });
        """
    )
    field = browser.find("searchbox", "Search")
    field.send_keys("webs")
    browser.wait(lambda: browser.driver.execute_script("return !!window.answer"), "search")
    field.send_keys(Keys.BACKSPACE * 4)
    form = browser.driver.find_element(By.CSS_SELECTOR, "form[role=search]")
    browser.wait(lambda: form.get_attribute("aria-busy") is None, "end of the search")
    browser.driver.execute_async_script("window.answer().finally(arguments[0])")

    assert browser.has("link", "lesson")
    assert browser.address == f"{demo.registry.url}/"


def test_search_finds_without_scripts(scriptless: Browser, demo: Demo) -> None:
    scriptless.open(f"{demo.registry.url}/")
    with scriptless.new_page():
        scriptless.find("searchbox", "Search").send_keys("webshop", Keys.ENTER)

    assert scriptless.address.endswith("?q=webshop")
    assert scriptless.has("link", SHOP)
    assert not scriptless.has("link", "lesson")


def test_paging_works_without_scripts(scriptless: Browser, demo: Demo) -> None:
    scriptless.open(f"{demo.registry.url}/")
    seen = repositories(scriptless)
    while scriptless.has("link", "Next"):
        scriptless.click("link", "Next")
        seen += repositories(scriptless)

    public = [name.removeprefix("library/") for name in demo.registry.repositories if name != "mira_k/ledger"]
    assert sorted(name.removeprefix("library/") for name in seen) == sorted(public)


def test_everything_can_be_reached_without_scripts(scriptless: Browser, demo: Demo) -> None:
    log_in(scriptless, demo.registry)
    scriptless.open(f"{demo.registry.url}/repositories/{SHOP}")
    assert f"docker pull {demo.registry.host}/{SHOP}" in scriptless.text
    assert not scriptless.has("button", "Copy"), "a button that does nothing"
    scriptless.click("link", demo.shop.id[:12])
    scriptless.click("link", demo.copied.id[:12])
    scriptless.click("link", "files")
    for folder in ("srv/", "shop/", "templates/"):
        scriptless.click("link", folder)
    assert "basket.html" in scriptless.text
    scriptless.click("button", "Log out")

    scriptless.find("link", "Log in")


@pytest.mark.parametrize("is_trusted", [True, False], ids=["where scripts may copy", "where they may not"])
def test_a_click_copies_the_pull_command(browser: Browser, demo: Demo, is_trusted: bool) -> None:
    """Browsers give scripts the clipboard only over https and on localhost."""
    url = demo.registry.url if is_trusted else named_url(demo.registry)
    browser.open(f"{url}/repositories/{SHOP}")
    assert browser.driver.execute_script("return isSecureContext") is is_trusted

    browser.find("button", "Copy").click()

    announced = browser.driver.find_element(By.CSS_SELECTOR, "[aria-live], [role=status]")
    browser.wait(lambda: "copied" in announced.text, "announcement of the copy")
    browser.open(f"{demo.registry.url}/")
    paste_into_search(browser)
    assert browser.find("searchbox", "Search").get_attribute("value") == command_at(url)


def test_without_clipboard_the_command_is_selected(browser: Browser, demo: Demo) -> None:
    browser.open(f"{named_url(demo.registry)}/repositories/{SHOP}")
    browser.driver.execute_script("document.execCommand = () => false")
    command = browser.driver.find_element(By.CSS_SELECTOR, ".command code")

    browser.find("button", "Copy").send_keys(Keys.ENTER)

    announced = browser.driver.find_element(By.CSS_SELECTOR, "[role=status]")
    browser.wait(lambda: "selected" in announced.text, "announcement of the selection")
    assert browser.driver.execute_script("return getSelection().toString()") == command.text
    assert browser.focused == command
    ActionChains(browser.driver).key_down(Keys.CONTROL).send_keys("c").key_up(Keys.CONTROL).perform()
    browser.open(f"{demo.registry.url}/")
    paste_into_search(browser)
    assert browser.find("searchbox", "Search").get_attribute("value") == command_at(named_url(demo.registry))


def test_a_private_repository_is_shown_to_its_readers(browser: Browser, demo: Demo) -> None:
    browser.open(f"{demo.registry.url}/repositories/mira_k/ledger")
    browser.find("heading", "Not found")

    log_in(browser, demo.registry, FRIEND)
    browser.open(f"{demo.registry.url}/?q=ledger")
    browser.click("link", "mira_k/ledger")
    browser.find("heading", "mira_k/ledger")
    assert "Private" in browser.text
    browser.click("button", "Log out")

    log_in(browser, demo.registry, STRANGER)
    browser.open(f"{demo.registry.url}/?q=ledger")
    assert not browser.has("link", "mira_k/ledger")
    browser.open(f"{demo.registry.url}/repositories/mira_k/ledger")
    browser.find("heading", "Not found")


def command_at(url: str) -> str:
    """Return the command that pulls the shop from a registry."""
    return f"docker pull {url.removeprefix('http://')}/{SHOP}:latest"


def paste_into_search(browser: Browser) -> None:
    """Paste into the search field, and wait for the results: no request may be left when the server ends."""
    browser.find("searchbox", "Search").send_keys(Keys.CONTROL, "v")
    browser.wait_for_address("?q=docker")


def enter(browser: Browser) -> None:
    """Press Enter on a link, and wait for the next page."""
    with browser.new_page():
        browser.press(Keys.ENTER)


def repositories(browser: Browser) -> list[str]:
    """Return the names of the repositories that the page links to."""
    links = browser.driver.find_elements(By.CSS_SELECTOR, "main a[href*='/repositories/']")
    return [str(link.get_attribute("href")).rpartition("/repositories/")[2] for link in links]


def mark_page(browser: Browser) -> None:
    browser.driver.execute_script("window.markOfTheTest = true")


def is_same_page(browser: Browser) -> bool:
    return bool(browser.driver.execute_script("return window.markOfTheTest === true"))
