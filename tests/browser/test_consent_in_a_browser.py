"""Allow or deny access to an application in a browser; attacks on the consent."""

from __future__ import annotations

import pytest
import requests
from support.chromium import Browser
from support.demo_world import FRIEND, OWNER, Demo
from support.harbour import Harbour, Lure, form_that_sends_itself
from support.people import STATE, authorize_url, log_in, redeem, send_log_in

pytestmark = pytest.mark.real


@pytest.mark.smoke
def test_OAU_001_log_in_and_allow_gives_a_code(browser: Browser, demo: Demo, harbour: Harbour) -> None:
    browser.open(authorize_url(demo.registry, demo.application))
    send_log_in(browser)
    browser.find("heading", demo.application.name)
    for words in (
        "see your profile",
        "see your e-mail addresses",
        demo.application.description,
        "on this computer",
    ):
        assert words in browser.text
    browser.click("button", "Allow")
    browser.find("heading", "Welcome back to Harbour")

    (arrival,) = harbour.arrivals
    assert arrival["state"] == STATE
    assert arrival["from"] == "registry"
    bearer = {"Authorization": f"Bearer {redeem(demo, arrival['code'])['access_token']}"}
    profile = requests.get(f"{demo.registry.url}/api/v1.1/users/{OWNER}/", headers=bearer, timeout=30)
    assert profile.json()["username"] == OWNER


def test_OAU_002_deny_returns_without_a_code(browser: Browser, demo: Demo, harbour: Harbour) -> None:
    log_in(browser, demo.registry)
    browser.open(authorize_url(demo.registry, demo.application))
    browser.click("button", "Deny")
    browser.find("heading", "Welcome back to Harbour")

    (arrival,) = harbour.arrivals
    assert (arrival["error"], arrival["state"]) == ("access_denied", STATE)
    assert "code" not in arrival


def test_OAU_001_consent_works_without_scripts(scriptless: Browser, demo: Demo, harbour: Harbour) -> None:
    scriptless.open(authorize_url(demo.registry, demo.application))
    send_log_in(scriptless)
    scriptless.click("button", "Allow")
    scriptless.find("heading", "Welcome back to Harbour")

    assert "code" in harbour.arrivals[0]


def test_OAU_003_an_unknown_application_gets_no_redirect(
    browser: Browser, demo: Demo, harbour: Harbour
) -> None:
    log_in(browser, demo.registry)
    for wrong in ({"client_id": "nobody"}, {"redirect_uri": f"{demo.application.redirect_uris[0]}&more=1"}):
        browser.open(authorize_url(demo.registry, demo.application, **wrong))

        assert browser.address.startswith(demo.registry.url)
        assert not browser.has("button", "Allow")
    assert harbour.arrivals == []


def test_consent_is_not_shown_in_a_frame(browser: Browser, demo: Demo, harbour: Harbour) -> None:
    log_in(browser, demo.registry)
    address = authorize_url(demo.registry, demo.application)

    with Lure(f'<h1>Win a prize</h1><iframe src="{address}" style="opacity: 0.01"></iframe>') as lure:
        browser.open(lure.address)
        framed = browser.driver.find_element("tag name", "iframe")
        browser.driver.switch_to.frame(framed)
        shown = browser.text
        browser.driver.switch_to.default_content()

    assert "Allow" not in shown
    assert demo.application.name not in shown
    # the browser reports the blocked frame and nothing else
    complaints = browser.complaints()
    assert complaints
    assert all("frame" in complaint.lower() for complaint in complaints), complaints
    assert harbour.arrivals == []


def test_another_site_cannot_allow(browser: Browser, demo: Demo, harbour: Harbour) -> None:
    log_in(browser, demo.registry)
    address = authorize_url(demo.registry, demo.application)

    with Lure(form_that_sends_itself(address, {"allow": "1", "form_token": "guessed"})) as lure:
        browser.open(lure.address)
        browser.wait_for_address(demo.registry.url)

    assert all("code" not in arrival for arrival in harbour.arrivals)


def test_a_form_of_another_user_grants_nothing(browser: Browser, demo: Demo, harbour: Harbour) -> None:
    """The form was opened before another user logged in with the same browser."""
    log_in(browser, demo.registry)
    browser.open(authorize_url(demo.registry, demo.application))
    browser.find("button", "Allow")
    browser.driver.switch_to.new_window("tab")
    browser.open(f"{demo.registry.url}/")
    browser.click("button", "Log out")
    log_in(browser, demo.registry, FRIEND)
    browser.driver.close()
    browser.driver.switch_to.window(browser.driver.window_handles[0])

    browser.click("button", "Allow")

    browser.wait_for_text("made for another user")
    assert harbour.arrivals == []
