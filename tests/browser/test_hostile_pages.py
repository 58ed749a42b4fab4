"""Scripts in names, descriptions, commands and files do not run in a browser."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from selenium.webdriver.common.by import By
from support.chromium import Browser
from support.demo_world import ATTACKS, HOSTILE, PASSWORD, STRANGER, HostileDemo
from support.harbour import Harbour
from support.people import authorize_url, grant_access, log_in, send_log_in

pytestmark = pytest.mark.real


def test_scripts_of_images_do_not_run(browser: Browser, hostile: HostileDemo) -> None:
    url, images = hostile.registry.url, hostile.image.ancestry
    paths = ["/", "/?q=hostile", f"/repositories/{HOSTILE}"]
    for image_id in images:
        paths += [f"/images/{image_id}", f"/images/{image_id}/files", f"/images/{image_id}/changes"]
        paths.append(f"/images/{image_id}/files?path=etc")
    for path in paths:
        browser.open(url + path)
        browser.find("heading", "")
        check_that_nothing_ran(browser)
    assert "window.pwned=1" in browser.text  # the last page does show the attack as text


def test_no_link_of_a_description_runs_a_script(browser: Browser, hostile: HostileDemo) -> None:
    browser.open(f"{hostile.registry.url}/repositories/{HOSTILE}")

    links = [
        element.get_attribute("href") or "" for element in browser.driver.find_elements(By.TAG_NAME, "a")
    ]

    assert links
    assert all(
        link.startswith((f"{hostile.registry.url}/", "http://", "https://", "mailto:")) for link in links
    ), links


@pytest.mark.parametrize("attack", ATTACKS)
def test_scripts_in_addresses_do_not_run(browser: Browser, hostile: HostileDemo, attack: str) -> None:
    url, text = hostile.registry.url, quote(attack, safe="")
    for path in (
        f"/?q={text}",
        f"/?q=a&page={text}",
        f"/repositories/{text}",
        f"/images/{text}",
        f"/images/{hostile.image.id}/files?path={text}",
        f"/login?next={text}",
        f"/login?next=/%22%3E{text}",
        f"/account?notice={text}",
        f"/{text}",
        f"/api/v1.1/o/authorize/?client_id={text}&state={text}",
    ):
        browser.open(url + path)
        check_that_nothing_ran(browser)


def test_scripts_in_forms_do_not_run(browser: Browser, hostile: HostileDemo) -> None:
    browser.open(f"{hostile.registry.url}/login")
    # characters that cannot be typed are left out
    typed = "".join(letter for letter in " ".join(ATTACKS) if letter.isprintable())[:255]
    send_log_in(browser, typed, "wrong")
    browser.wait_for_text("wrong")
    assert browser.field("User name").get_attribute("value") == typed
    check_that_nothing_ran(browser)


def test_scripts_in_profiles_do_not_run(browser: Browser, hostile: HostileDemo) -> None:
    log_in(browser, hostile.registry, STRANGER, PASSWORD)
    browser.open(f"{hostile.registry.url}/account")
    said = dict(zip(("Full name", "Location", "Company"), ATTACKS, strict=False))
    for label, attack in said.items():
        browser.fill(label, attack)
    browser.click("button", "Save")
    browser.wait_for_text("saved")
    assert [browser.field(label).get_attribute("value") for label in said] == list(said.values())
    check_that_nothing_ran(browser)


def test_scripts_of_applications_do_not_run(browser: Browser, hostile: HostileDemo, harbour: Harbour) -> None:
    log_in(browser, hostile.registry, STRANGER, PASSWORD)
    browser.open(authorize_url(hostile.registry, hostile.application, state=ATTACKS[0]))
    assert "<script>" in browser.text
    check_that_nothing_ran(browser)
    grant_access(browser, hostile, harbour)
    browser.open(f"{hostile.registry.url}/account")
    assert "<script>" in browser.text
    check_that_nothing_ran(browser)


def check_that_nothing_ran(browser: Browser) -> None:
    """Fail if a hostile script ran, or was blocked only by the policy. A dialog fails the test by itself."""
    assert browser.driver.execute_script("return window.pwned") is None, browser.address
    assert browser.complaints() == [], browser.address
