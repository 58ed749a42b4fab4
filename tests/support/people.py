"""What people do on the pages, in the words that stand there."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

import requests
from v1registry_fakes import FakeRegistry

from support.chromium import HOST, Browser
from support.demo_world import OWNER, PASSWORD, Demo, HostileDemo
from support.harbour import Harbour
from v1registry.oauth.applications import Application

#: What the application of these tests sends along, to know its user again; no browser may change a character of it.
STATE: Final = "s-41 ä/&=?+%20"


def send_registration(browser: Browser, username: str, password: str, *, again: str | None = None) -> None:
    """Fill in and send the form by which people register."""
    browser.fill("User name", username)
    browser.fill("E-mail", f"{username}@example.org")
    browser.fill("Password", password)
    browser.fill("Password again", password if again is None else again)
    browser.click("button", "Register")


def named_url(registry: FakeRegistry) -> str:
    """Return the address of a registry with the name of a host, as most have one."""
    return registry.url.replace("127.0.0.1", HOST)


def log_in(browser: Browser, registry: FakeRegistry, username: str = OWNER, password: str = PASSWORD) -> None:
    """Log in through the form."""
    browser.open(f"{registry.url}/login")
    send_log_in(browser, username, password)
    browser.find("button", "Log out")


def send_log_in(browser: Browser, username: str = OWNER, password: str = PASSWORD) -> None:
    """Fill in and send the form that is there."""
    browser.fill("User name", username)
    browser.fill("Password", password)
    browser.click("button", "Log in")


def authorize_url(registry: FakeRegistry, application: Application, **parameters: str) -> str:
    """Return where an application sends its user to be asked."""
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
    """Let the application use the account of who is logged in, to the end: it has its tokens then."""
    browser.open(authorize_url(demo.registry, demo.application))
    browser.click("button", "Allow")
    browser.find("heading", "Welcome back to Harbour")
    redeem(demo, harbour.arrivals[-1]["code"])


def redeem(demo: Demo | HostileDemo, code: str) -> dict[str, Any]:
    """Exchange a code as the application does; return what it is told."""
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
