"""Log in, register and change the account in a browser; attacks on these forms."""

from __future__ import annotations

import pytest
import requests
from support.chromium import Browser
from support.demo_world import OWNER, PASSWORD, SHOP, Demo
from support.harbour import Harbour, Lure, form_that_sends_itself
from support.mailing import mailing_registry
from support.people import grant_access, log_in, send_log_in, send_registration
from v1registry_fakes import FakeRegistry

pytestmark = pytest.mark.real


def test_a_log_in_after_a_wrong_password_leads_back(browser: Browser, demo: Demo) -> None:
    browser.open(f"{demo.registry.url}/repositories/{SHOP}")
    browser.click("link", "Log in")
    send_log_in(browser, OWNER, "not this one")
    browser.wait_for_text("wrong")
    assert not browser.has("button", "Log out")
    assert browser.field("User name").get_attribute("value") == OWNER
    assert browser.field("Password").get_attribute("value") == ""

    send_log_in(browser)

    browser.find("button", "Log out")
    browser.find("link", OWNER)


def test_a_copied_cookie_ends_with_the_log_out(browser: Browser, demo: Demo) -> None:
    log_in(browser, demo.registry)
    cookies = browser.driver.get_cookies()
    browser.click("button", "Log out")
    browser.find("link", "Log in")

    # a copy of the cookie was kept
    for cookie in cookies:
        browser.driver.add_cookie(cookie)
    browser.open(f"{demo.registry.url}/account")

    assert not browser.has("button", "Log out")


def test_registration_logs_the_user_in(browser: Browser, demo: Demo) -> None:
    browser.open(f"{demo.registry.url}/login")
    browser.click("link", "Register")
    send_registration(browser, "newcomer", "abc")
    assert (
        browser.wait(lambda: browser.field("Password").get_attribute("aria-invalid"), "mark at the field")
        == "true"
    )
    assert browser.described(browser.field("Password"))
    assert browser.field("E-mail").get_attribute("value") == "newcomer@example.org"

    send_registration(browser, "newcomer", PASSWORD)
    browser.find("link", "newcomer")

    # the account works for engines too
    assert (
        requests.get(f"{demo.registry.url}/v1/users/", auth=("newcomer", PASSWORD), timeout=30).status_code
        == 200
    )


def test_a_person_registers_where_addresses_are_confirmed(browser: Browser) -> None:
    with mailing_registry() as (registry, mailbox):
        browser.open(f"{registry.url}/register")
        send_registration(browser, "newcomer", PASSWORD)
        browser.wait(lambda: mailbox.links, "mailed link")
        browser.open(f"{registry.url}/login")
        send_log_in(browser, "newcomer")
        browser.wait_for_text("not active")

        browser.open(mailbox.links[0])
        browser.click("button", "Confirm")
        browser.find("heading", "Your address is confirmed")
        log_in(browser, registry, "newcomer")


def test_the_session_cookie_is_httponly_and_lax(browser: Browser, demo: Demo) -> None:
    log_in(browser, demo.registry)

    (cookie,) = browser.driver.get_cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Lax", False)
    assert browser.driver.execute_script("return document.cookie") == ""


def test_a_cookie_set_over_https_is_secure(browser: Browser) -> None:
    with FakeRegistry(auth="users:", tls=True) as registry:
        registry.add_user(OWNER, PASSWORD)
        log_in(browser, registry)

        (cookie,) = browser.driver.get_cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Lax", True)
        browser.open(f"{registry.url}/account")
        browser.find("button", "Log out")


def test_the_profile_is_changed(browser: Browser, demo: Demo) -> None:
    log_in(browser, demo.registry)
    browser.click("link", OWNER)
    browser.fill("Full name", "Mira Kovač")
    browser.fill("Company", "Example Works")
    browser.click("button", "Save")
    browser.wait_for_text("saved")

    told = requests.get(
        f"{demo.registry.url}/api/v1.1/users/{OWNER}/", auth=(OWNER, PASSWORD), timeout=30
    ).json()
    assert (told["full_name"], told["company"]) == ("Mira Kovač", "Example Works")
    # the notice is shown once
    browser.driver.refresh()
    assert browser.field("Full name").get_attribute("value") == "Mira Kovač"


def test_addresses_are_added_and_removed(browser: Browser, demo: Demo) -> None:
    log_in(browser, demo.registry)
    browser.open(f"{demo.registry.url}/account")
    browser.fill("New address", "tomas@example.org")
    browser.click("button", "Add")
    browser.wait(
        lambda: browser.field("New address").get_attribute("aria-invalid") == "true", "mark at the field"
    )

    browser.fill("New address", "mira.two@example.org")
    browser.click("button", "Add")
    browser.wait_for_text("mira.two@example.org")
    assert addresses(demo) == ["mira@example.org", "mira.two@example.org"]

    browser.click("button", "Remove mira.two@example.org")
    browser.wait(lambda: addresses(demo) == ["mira@example.org"], "address that is gone")


def test_a_password_is_changed_and_other_browsers_are_logged_out(
    browser: Browser, scriptless: Browser, demo: Demo
) -> None:
    log_in(browser, demo.registry)
    log_in(scriptless, demo.registry)
    browser.open(f"{demo.registry.url}/account")

    browser.fill("Old password", PASSWORD)
    browser.fill("New password", "another river in june")
    browser.fill("New password again", "another river in june")
    browser.click("button", "Change")

    browser.wait_for_text("changed")
    browser.open(f"{demo.registry.url}/account")
    browser.find("button", "Log out")
    scriptless.open(f"{demo.registry.url}/")
    scriptless.find("link", "Log in")


def test_another_site_cannot_log_out(browser: Browser, demo: Demo) -> None:
    log_in(browser, demo.registry)

    with Lure(form_that_sends_itself(f"{demo.registry.url}/logout", {"form_token": "guessed"})) as lure:
        browser.open(lure.address)
        browser.wait_for_address(demo.registry.url)

    browser.open(f"{demo.registry.url}/")
    browser.find("button", "Log out")


def test_another_site_cannot_log_in(browser: Browser, demo: Demo) -> None:
    fields = {"username": OWNER, "password": PASSWORD, "form_token": "guessed"}
    with Lure(form_that_sends_itself(f"{demo.registry.url}/login", fields)) as lure:
        browser.open(lure.address)
        browser.wait_for_address(demo.registry.url)

    browser.open(f"{demo.registry.url}/")
    browser.find("link", "Log in")


def test_an_application_is_revoked(browser: Browser, demo: Demo, harbour: Harbour) -> None:
    log_in(browser, demo.registry)
    grant_access(browser, demo, harbour)
    browser.open(f"{demo.registry.url}/account")
    assert demo.application.name in browser.text

    browser.click("button", f"Revoke {demo.application.name}")

    browser.wait(
        lambda: not browser.has("button", f"Revoke {demo.application.name}"), "end of what was granted"
    )


def addresses(demo: Demo) -> list[str]:
    answer = requests.get(
        f"{demo.registry.url}/api/v1.1/users/{OWNER}/emails/", auth=(OWNER, PASSWORD), timeout=30
    )
    return [entry["email"] for entry in answer.json()]
