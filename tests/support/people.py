"""Actions of users on the pages."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

import requests
from v1registry_fakes import FakeRegistry

from support.chromium import HOST, Browser
from support.demo_world import OWNER, PASSWORD, Demo, HostileDemo
from support.harbour import Harbour
from v1registry.oauth.applications import Application

#: The state that the application sends. It must come back unchanged.
STATE: Final = "s-41 ä/&=?+%20"


def send_registration(browser: Browser, username: str, password: str, *, again: str | None = None) -> None:
    """Fill in and send the form to register."""
    browser.fill("User name", username)
    browser.fill("E-mail", f"{username}@example.org")
    browser.fill("Password", password)
    browser.fill("Password again", password if again is None else again)
    browser.click("button", "Register")


def named_url(registry: FakeRegistry) -> str:
    """Return the address of a registry with a host name in place of 127.0.0.1."""
    return registry.url.replace("127.0.0.1", HOST)


def log_in(browser: Browser, registry: FakeRegistry, username: str = OWNER, password: str = PASSWORD) -> None:
    """Log in through the form."""
    browser.open(f"{registry.url}/login")
    send_log_in(browser, username, password)
    browser.find("button", "Log out")


def send_log_in(browser: Browser, username: str = OWNER, password: str = PASSWORD) -> None:
    """Fill in and send the log-in form of the present page."""
    browser.fill("User name", username)
    browser.fill("Password", password)
    browser.click("button", "Log in")


def authorize_url(registry: FakeRegistry, application: Application, **parameters: str) -> str:
    """Return the address that an application sends its user to."""
    asked = {
        "response_type": "code",
        "client_id": application.client_id,
        "redirect_uri": application.redirect_uris[0],
        "scope": "profile_read email_read",
        "state": STATE,
        **parameters,
    }
    return f"{registry.url}/api/v1.1/o/authorize/?{urlencode(asked)}"


def grant_access(browser: Browser, demo: Demo | HostileDemo, harbour: Harbour) -> None:
    """Allow access for the application, and have it redeem its code."""
    browser.open(authorize_url(demo.registry, demo.application))
    browser.click("button", "Allow")
    browser.find("heading", "Welcome back to Harbour")
    redeem(demo, harbour.arrivals[-1]["code"])


def redeem(demo: Demo | HostileDemo, code: str) -> dict[str, Any]:
    """Exchange a code as the application does; return the JSON of the answer."""
    answer = requests.post(
        f"{demo.registry.url}/api/v1.1/o/token/",
        data={
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": demo.application.redirect_uris[0],
        },
        auth=(demo.application.client_id, demo.secret),
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told
