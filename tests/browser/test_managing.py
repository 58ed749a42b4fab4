"""Owners change and delete repositories in a browser, with and without JavaScript, and by keyboard."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from support.chromium import Browser
from support.demo_world import SHOP, Demo
from support.harbour import Lure, form_that_sends_itself
from support.people import log_in, send_log_in

from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories

pytestmark = pytest.mark.real

NAME = RepositoryName.parse(SHOP)


def test_an_owner_edits_without_scripts(scriptless: Browser, demo: Demo) -> None:
    log_in(scriptless, demo.registry)
    scriptless.open(f"{demo.registry.url}/repositories/{SHOP}")
    scriptless.click("link", "Manage")
    scriptless.fill("Text in Markdown", "# Shop\n\nAll is *new*")
    scriptless.click("button", "Save the description")
    scriptless.wait_for_text("The description has been saved")
    scriptless.find("radio", "Private").click()
    scriptless.driver.find_element(By.CSS_SELECTOR, "form[action*='/privacy/'] button").click()
    scriptless.wait_for_text("The repository is private")

    repositories = Repositories(demo.registry.storage)
    assert repositories.description(NAME) == "# Shop\n\nAll is *new*"
    assert repositories.is_private(NAME)


def test_an_owner_deletes_a_tag_and_the_repository_without_scripts(scriptless: Browser, demo: Demo) -> None:
    log_in(scriptless, demo.registry)
    scriptless.open(f"{demo.registry.url}/repositories/{SHOP}")
    scriptless.click("link", "Delete the tag 1.0")
    scriptless.click("button", "Delete the tag")
    scriptless.wait_for_text("The tag has been deleted")
    assert "1.0" not in Repositories(demo.registry.storage).tags(NAME)

    scriptless.fill("Name of the repository", "another/name")
    scriptless.click("button", "Delete the repository")
    scriptless.wait_for_text("Type the name of the repository")
    scriptless.fill("Name of the repository", SHOP)
    scriptless.click("button", "Delete the repository")
    scriptless.wait_for_text("The repository has been deleted")
    assert not Repositories(demo.registry.storage).exists(NAME)


def test_another_site_deletes_no_repository(browser: Browser, demo: Demo) -> None:
    log_in(browser, demo.registry)
    address = f"{demo.registry.url}/manage/deletion/{SHOP}"
    with Lure(form_that_sends_itself(address, {"name": SHOP, "form_token": "guessed"})) as lure:
        browser.open(lure.address)
        browser.wait_for_address(demo.registry.url)

    assert Repositories(demo.registry.storage).exists(NAME)


@pytest.mark.parametrize("what", ["repositories", "manage"])
def test_a_login_leads_back_to_the_page_that_was_not_found(
    scriptless: Browser, demo: Demo, what: str
) -> None:
    scriptless.open(f"{demo.registry.url}/{what}/mira_k/ledger")
    scriptless.click("link", "Log in")
    send_log_in(scriptless)
    scriptless.find("heading", "mira_k/ledger")
    assert scriptless.address.endswith(f"/{what}/mira_k/ledger")


def test_an_owner_edits_with_the_keyboard(browser: Browser, demo: Demo) -> None:
    log_in(browser, demo.registry)
    browser.open(f"{demo.registry.url}/repositories/{SHOP}")
    browser.tab_to("link", "Manage", key=Keys.TAB)
    with browser.new_page():
        browser.press(Keys.ENTER)
    browser.field("User name").send_keys("vera")
    browser.tab_to("button", "Set the collaborator", key=Keys.TAB)
    with browser.new_page():
        browser.press(Keys.ENTER)
    browser.wait_for_text("The collaborators have been changed")
    assert "vera" in Repositories(demo.registry.storage).collaborators(NAME)
