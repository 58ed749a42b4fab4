"""Debian's Chromium, driven through its own driver, in the words of a person: roles and names, as a screen reader tells them."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, TypeVar

from selenium.common.exceptions import (
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM: Final = Path("/usr/bin/chromium")
DRIVER: Final = Path("/usr/bin/chromedriver")

#: The width of a small phone, in CSS pixels.
PHONE_WIDTH: Final = 360
PHONE_HEIGHT: Final = 740
#: The width of a page on a desk.
DESK_WIDTH: Final = 1000
DESK_HEIGHT: Final = 800

#: How long a page may take until it shows what is waited for, in seconds: the machine may be busy with other tests.
_PATIENCE_S: Final = 20

#: A name that leads to this machine, in this browser alone. Unlike 127.0.0.1 it is no place that a browser trusts over http.
HOST: Final = "registry.example.org"

_OPTIONS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    f"--host-resolver-rules=MAP {HOST} 127.0.0.1",
    # the certificates of these tests were made by nobody whom a browser knows
    "--ignore-certificate-errors",
)

#: Which elements may have a role: the browser itself then tells which have it.
_ELEMENTS: Final = {
    "button": "button, summary, input[type=submit], [role=button]",
    "heading": "h1, h2, h3, h4",
    "link": "a[href]",
    "searchbox": "input[type=search]",
    "textbox": "input:not([type=hidden]):not([type=submit]), textarea",
}

#: What the name of an element may be taken from. It is a first sieve: the browser computes the names.
_NAMED: Final = """
const wanted = arguments[1].toLowerCase();
return [...document.querySelectorAll(arguments[0])].filter(element => [
  element.textContent, element.getAttribute("aria-label"), element.title, element.value, element.placeholder,
  ...[...(element.labels || [])].map(label => label.textContent),
  ...(element.getAttribute("aria-labelledby") || "").split(" ").map(id => document.getElementById(id)?.textContent),
  ...[...element.querySelectorAll("[aria-label], [alt]")].map(each => each.getAttribute("aria-label") || each.alt),
].some(text => text && text.replace(/\\s+/g, " ").toLowerCase().includes(wanted)));
"""

#: What the console is told although nothing is wrong: statuses, and that a header needs https, which is for the operator to have.
_NO_COMPLAINTS: Final = (
    "server responded with a status of",
    "The Cross-Origin-Opener-Policy header has been ignored",
)

Theme = Literal["light", "dark"]
_Found = TypeVar("_Found")


class Browser:
    """One Chromium with a profile of its own, a context manager. ``driver`` is selenium's, for what has no word here.

    :param profile: a folder for the profile, which need not exist.
    :param runs_scripts: False for a browser whose owner forbids JavaScript.
    """

    def __init__(self, profile: Path, *, runs_scripts: bool = True):
        options = ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for option in (*_OPTIONS, f"--user-data-dir={profile}", f"--window-size={DESK_WIDTH},{DESK_HEIGHT}"):
            options.add_argument(option)
        if not runs_scripts:
            options.add_experimental_option(
                "prefs", {"profile.managed_default_content_settings.javascript": 2}
            )
        # an alert is the sign of a script that should not have run: it is closed, and the test fails
        options.set_capability("unhandledPromptBehavior", "dismiss and notify")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        # selenium looks for no driver, and asks nobody for one
        environment = {
            **os.environ,
            "SE_OFFLINE": "true",
            "SE_AVOID_STATS": "true",
            "HOME": str(profile.parent),
        }
        service = Service(str(DRIVER), env=environment, log_output=subprocess.DEVNULL)
        self.driver = Chrome(options=options, service=service)
        self.driver.set_page_load_timeout(60)

    # -- where it is

    def open(self, url: str) -> None:
        """Open an address, as if it had been typed."""
        self.driver.get(url)

    @property
    def address(self) -> str:
        return str(self.driver.current_url)

    @property
    def title(self) -> str:
        return str(self.driver.title)

    @property
    def text(self) -> str:
        """All that can be read on the page."""
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    # -- what is on the page

    def all(self, role: str, name: str = "") -> list[WebElement]:
        """Return what is shown with a role and a name that begins with or contains ``name``, in the order of the page."""
        candidates = self.driver.execute_script(_NAMED, _ELEMENTS[role], name)
        return [
            element
            for element in candidates
            if element.is_displayed()
            and name.lower() in element.accessible_name.lower()
            and element.aria_role in (role, *_LIKE.get(role, ()))
        ]

    def find(self, role: str, name: str) -> WebElement:
        """Return the one that is called ``name``, or else the first whose name has it; wait for it. AssertionError."""

        def find() -> WebElement | None:
            found = self.all(role, name)
            exact = [element for element in found if element.accessible_name.lower() == name.lower()]
            return (exact or found or [None])[0]

        return self.wait(find, f"a {role} called {name!r}")

    def has(self, role: str, name: str) -> bool:
        return bool(self.all(role, name))

    def field(self, label: str) -> WebElement:
        """Return the field with a label, of whatever kind. AssertionError."""
        return self.find("textbox", label)

    def described(self, element: WebElement) -> str:
        """Return what describes a field besides its label: help, and what was wrong with it."""
        ids = (element.get_attribute("aria-describedby") or "").split()
        return " ".join(self.driver.find_element(By.ID, id_).text for id_ in ids)

    def wait(self, condition: Callable[[], _Found | None], what: str) -> _Found:
        """Return what ``condition`` returns as soon as that is true. AssertionError after a long time."""
        waiting = WebDriverWait(
            self.driver,
            _PATIENCE_S,
            poll_frequency=0.02,
            ignored_exceptions=[StaleElementReferenceException, NoSuchElementException],
        )
        try:
            return waiting.until(lambda driver: condition())  # type: ignore[arg-type,return-value]
        except TimeoutException:
            raise AssertionError(f"no {what} at {self.address}, which says:\n{self.text}") from None

    def wait_for_text(self, text: str) -> None:
        """Return once the page says ``text``, in whatever case it is shown. AssertionError."""
        self.wait(lambda: text.lower() in self.text.lower() or None, f"text {text!r}")

    def wait_for_address(self, part: str) -> None:
        self.wait(lambda: part in self.address or None, f"address with {part!r}")

    # -- what a person does

    def click(self, role: str, name: str) -> None:
        """Click on something that leads to a page, and wait for that page. AssertionError."""
        element = self.find(role, name)
        with self.new_page():
            element.click()

    @contextmanager
    def new_page(self) -> Iterator[None]:
        """What is done meanwhile leads to a page: wait for it at the end. AssertionError where none comes."""
        old = self.driver.find_element(By.TAG_NAME, "html")
        yield
        self.wait(lambda: (_is_gone(old) and self._is_complete()) or None, "new page")

    def _is_complete(self) -> bool:
        return bool(self.driver.execute_script("return document.readyState === 'complete'"))

    def fill(self, label: str, text: str) -> None:
        """Type into a field that is emptied first."""
        field = self.field(label)
        field.clear()
        field.send_keys(text)

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    @property
    def focused(self) -> WebElement:
        return self.driver.switch_to.active_element

    def tab_to(self, role: str, name: str, *, key: str) -> WebElement:
        """Press ``key`` until the focus is on what has a role and a name. Every stop on the way has to show it. AssertionError."""
        passed = []
        for _ in range(80):
            self.press(key)
            element = self.focused
            passed.append(f"{element.aria_role} {element.accessible_name!r}")
            outline = (
                element.value_of_css_property("outline-style"),
                element.value_of_css_property("box-shadow"),
            )
            assert outline != ("none", "none"), f"the focus on {passed[-1]} cannot be seen"
            if (
                element.aria_role in (role, *_LIKE.get(role, ()))
                and name.lower() in element.accessible_name.lower()
            ):
                return element
        raise AssertionError(f"the keyboard does not lead to the {role} {name!r}, but to {', '.join(passed)}")

    # -- how it looks

    def dress(self, theme: Theme, *, is_phone: bool = False) -> None:
        """Prefer a colour scheme, and be as wide as a phone or as a page on a desk."""
        self._command(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": theme},
                # nothing is on its way while it is looked at
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ],
        )
        self._command(
            "Emulation.setDeviceMetricsOverride",
            width=PHONE_WIDTH if is_phone else DESK_WIDTH,
            height=PHONE_HEIGHT if is_phone else DESK_HEIGHT,
            deviceScaleFactor=1,
            mobile=is_phone,
        )

    def picture(self, longest: int = 6000) -> bytes:
        """Return the page, ``longest`` pixels of it at most, as a PNG."""
        height = self.driver.execute_script("return document.scrollingElement.scrollHeight")
        width = self.driver.execute_script("return document.scrollingElement.clientWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, longest), "scale": 1}
        taken = self._command("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(taken["data"])

    # -- what went wrong

    def complaints(self) -> list[str]:
        """Return what the console was told since the last call, such as refused scripts and styles, and exceptions."""
        return [
            f"{entry['level']} {entry['source']}: {entry['message']}"
            for entry in self.driver.get_log("browser")
            if entry["level"] in ("SEVERE", "WARNING")
            and not any(each in entry["message"] for each in _NO_COMPLAINTS)
        ]

    def forget(self) -> None:
        """Be as new: no cookies, no page, no complaints, light and wide."""
        self.driver.get("about:blank")
        self._command("Network.clearBrowserCookies")
        self.dress("light")
        self.complaints()

    def _command(self, name: str, **parameters: object) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self.driver.execute_cdp_cmd(name, parameters)
        return answer

    # -- its life

    def close(self) -> None:
        self.driver.quit()

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


#: Roles that will do for another.
_LIKE: Final = {"textbox": ("searchbox", "combobox", "url", "email"), "button": ("DisclosureTriangle",)}


def _is_gone(element: WebElement) -> bool:
    try:
        element.is_enabled()
    except StaleElementReferenceException:
        return True
    return False


def what_is_missing() -> str | None:
    """Return what these tests need and the machine has not, in words for a reason to skip."""
    if not CHROMIUM.exists() or not DRIVER.exists():
        return "needs a browser: apt-get install chromium chromium-driver"
    if shutil.which(str(DRIVER)) is None:
        return f"{DRIVER} cannot be run"
    return None
