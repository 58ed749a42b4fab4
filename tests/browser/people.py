"""What people do on the pages, in the words that stand there."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from chromium import Browser
from demo_world import OWNER, PASSWORD
from v1registry_fakes import FakeRegistry

from v1registry.oauth.applications import Application

#: What the application of these tests sends along, to know its user again; no browser may change a character of it.
STATE: Final = "s-41 ä/&=?+%20"


def log_in(browser: Browser, registry: FakeRegistry, username: str = OWNER, password: str = PASSWORD) -> None:
    """Log in through the form, from the link at the top of the front page."""
    browser.open(f"{registry.url}/")
    browser.click("link", "Log in")
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
