"""Drive Debian's Chromium by roles and accessible names, as a screen reader presents them."""

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
    WebDriverException,
)
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM: Final = Path("/usr/bin/chromium")
DRIVER: Final = Path("/usr/bin/chromedriver")

#: The viewport of a small phone, in CSS pixels.
PHONE_WIDTH: Final = 360
PHONE_HEIGHT: Final = 740
#: The viewport of a desktop browser, in CSS pixels.
DESK_WIDTH: Final = 1000
DESK_HEIGHT: Final = 800

#: Maximum wait for a page or an element, in seconds. The machine may be busy with other tests.
_PATIENCE_S: Final = 20

#: A host name that this browser resolves to 127.0.0.1. Unlike 127.0.0.1 it is no secure context over http.
HOST: Final = "registry.example.org"

#: Parts of messages of chromedriver about a document that was replaced while the driver read it.
_REPLACED: Final = (
    "does not belong to the document",
    "No node with given id",
    "Cannot find context",
    "context was destroyed",
    "no such execution context",
    "aborted by navigation",
)

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
    # the tests make their own certificates
    "--ignore-certificate-errors",
)

#: Elements that may have a role. The browser then says which of them have it.
_ELEMENTS: Final = {
    "button": "button, summary, input[type=submit], [role=button]",
    "heading": "h1, h2, h3, h4",
    "link": "a[href]",
    "radio": "input[type=radio]",
    "searchbox": "input[type=search]",
    "textbox": "input:not([type=hidden]):not([type=submit]), textarea",
}

#: Finds elements that may have a name. This is a first filter: the browser computes the accessible names.
_NAMED: Final = """
const wanted = arguments[1].toLowerCase();
return [...document.querySelectorAll(arguments[0])].filter(element => [
  element.textContent, element.getAttribute("aria-label"), element.title, element.value, element.placeholder,
  ...[...(element.labels || [])].map(label => label.textContent),
  ...(element.getAttribute("aria-labelledby") || "").split(" ")
    .map(id => document.getElementById(id)?.textContent),
  ...[...element.querySelectorAll("[aria-label], [alt]")]
    .map(each => each.getAttribute("aria-label") || each.alt),
].some(text => text && text.replace(/\\s+/g, " ").toLowerCase().includes(wanted)));
"""

#: Harmless console messages: statuses, and that a header needs https, which the operator provides.
_NO_COMPLAINTS: Final = (
    "server responded with a status of",
    "The Cross-Origin-Opener-Policy header has been ignored",
)

Theme = Literal["light", "dark"]
_Found = TypeVar("_Found")


class Browser:
    """One Chromium with its own profile. A context manager.

    ``driver`` is selenium's driver, for what has no method here. Elements found through it become stale when
    the page is replaced. The methods here look again instead.

    :param profile: a folder for the profile, which need not exist.
    :param runs_scripts: False to switch JavaScript off.
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
        # an alert comes from a script that should not have run: it is closed, and the test fails
        options.set_capability("unhandledPromptBehavior", "dismiss and notify")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        # selenium must not search for a driver or download one
        environment = {
            **os.environ,
            "SE_OFFLINE": "true",
            "SE_AVOID_STATS": "true",
            "HOME": str(profile.parent),
        }
        service = Service(str(DRIVER), env=environment, log_output=subprocess.DEVNULL)
        self.driver = Chrome(options=options, service=service)
        self.driver.set_page_load_timeout(60)

    # -- location

    def open(self, url: str) -> None:
        """Open an address, as if it had been typed."""
        self.driver.get(url)

    @property
    def address(self) -> str:
        """The URL of the page."""
        return str(self.driver.current_url)

    @property
    def title(self) -> str:
        """The title of the page."""
        return str(self.driver.title)

    @property
    def text(self) -> str:
        """All visible text of the page."""
        return self._look(lambda: str(self.driver.find_element(By.TAG_NAME, "body").text))

    # -- content

    def all(self, role: str, name: str = "") -> list[WebElement]:
        """Return the visible elements with a role whose name contains ``name``, in the order of the page."""

        def look() -> list[WebElement]:
            candidates = self.driver.execute_script(_NAMED, _ELEMENTS[role], name)
            return [
                element
                for element in candidates
                if element.is_displayed()
                and name.lower() in element.accessible_name.lower()
                and element.aria_role in (role, *_LIKE.get(role, ()))
            ]

        return self._look(look)

    def find(self, role: str, name: str) -> WebElement:
        """Wait for an element and return it: the one named ``name``, else the first whose name contains it.

        :raises AssertionError: there is none after 20 seconds.
        """

        def find() -> WebElement | None:
            found = self.all(role, name)
            exact = [element for element in found if element.accessible_name.lower() == name.lower()]
            return (exact or found or [None])[0]

        return self.wait(find, f"a {role} called {name!r}")

    def has(self, role: str, name: str) -> bool:
        """Say whether an element is visible now."""
        return bool(self.all(role, name))

    def field(self, label: str) -> WebElement:
        """Return the field with a label, of any type.

        :raises AssertionError: there is none after 20 seconds.
        """
        return self.find("textbox", label)

    def described(self, element: WebElement) -> str:
        """Return the description of a field: help and error messages."""
        ids = (element.get_attribute("aria-describedby") or "").split()
        return " ".join(self.driver.find_element(By.ID, id_).text for id_ in ids)

    # -- waiting

    def wait(self, condition: Callable[[], _Found | None], what: str) -> _Found:
        """Call ``condition`` until it returns something true, and return that.

        A document that is replaced meanwhile counts as a condition that is not yet true.

        :raises AssertionError: the condition is not true after 20 seconds. ``what`` names it in the message.
        """

        def attempt(_: object) -> _Found | None:
            try:
                return condition()
            except WebDriverException as exc:
                if _is_about_replaced_document(exc):
                    return None
                raise

        try:
            waiting = WebDriverWait(self.driver, _PATIENCE_S, poll_frequency=0.02)
            return waiting.until(attempt)  # type: ignore[arg-type,return-value]
        except TimeoutException:
            raise AssertionError(f"no {what} at {self.address}, which says:\n{self.text}") from None

    def _look(self, look: Callable[[], _Found]) -> _Found:
        """Return what ``look`` returns. Look again if the document was replaced meanwhile."""
        (found,) = self.wait(lambda: (look(),), "page that stays")
        return found

    def wait_for_text(self, text: str) -> None:
        """Wait until the page shows ``text``, in any case.

        :raises AssertionError: it does not after 20 seconds.
        """
        self.wait(lambda: text.lower() in self.text.lower() or None, f"text {text!r}")

    def wait_for_address(self, part: str) -> None:
        """Wait until the URL of the page contains ``part``.

        :raises AssertionError: it does not after 20 seconds.
        """
        self.wait(lambda: part in self.address or None, f"address with {part!r}")

    @contextmanager
    def new_page(self) -> Iterator[None]:
        """Wait at the end of the block until another document has replaced the present one and is complete.

        Everything in a test that leads to another page goes through here, so that the test never looks at
        a page that is being replaced.

        :raises AssertionError: no other document is complete after 20 seconds.
        """
        old = self._document_id()
        yield
        self.wait(lambda: (self._document_id() != old and self._is_complete()) or None, "new page")

    def _document_id(self) -> str:
        """Return Chromium's id of the loaded document. Reloading a page gives another id."""
        return str(self._command("Page.getFrameTree")["frameTree"]["frame"]["loaderId"])

    def _is_complete(self) -> bool:
        return bool(self.driver.execute_script("return document.readyState === 'complete'"))

    # -- actions

    def click(self, role: str, name: str) -> None:
        """Click on an element that leads to a page, and wait for that page.

        :raises AssertionError: there is no such element, or no other page, after 20 seconds.
        """
        element = self.find(role, name)
        with self.new_page():
            element.click()

    def fill(self, label: str, text: str) -> None:
        """Clear a field and type into it."""
        field = self.field(label)
        field.clear()
        field.send_keys(text)

    def press(self, *keys: str) -> None:
        """Press keys at the focused element."""
        ActionChains(self.driver).send_keys(*keys).perform()

    @property
    def focused(self) -> WebElement:
        """The element that has the focus."""
        return self.driver.switch_to.active_element

    def tab_to(self, role: str, name: str, *, key: str) -> WebElement:
        """Press ``key`` until an element with a role and a name has the focus, and return it.

        :raises AssertionError: 80 keys do not lead there, or the focus is invisible on the way.
        """
        passed = []
        for _ in range(80):
            self.press(key)
            element = self.focused
            passed.append(f"{element.aria_role} {element.accessible_name!r}")
            outline = (
                element.value_of_css_property("outline-style"),
                element.value_of_css_property("box-shadow"),
            )
            assert outline != ("none", "none"), f"the focus on {passed[-1]} is invisible"
            if (
                element.aria_role in (role, *_LIKE.get(role, ()))
                and name.lower() in element.accessible_name.lower()
            ):
                return element
        raise AssertionError(f"the keyboard does not lead to the {role} {name!r}, but to {', '.join(passed)}")

    # -- appearance

    def dress(self, theme: Theme, *, is_phone: bool = False) -> None:
        """Set the preferred colour scheme and the viewport of a phone or a desktop browser."""
        self._command(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": theme},
                # no animation runs while the page is checked
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
        """Return a PNG of the page, at most ``longest`` pixels high."""
        height = self.driver.execute_script("return document.scrollingElement.scrollHeight")
        width = self.driver.execute_script("return document.scrollingElement.clientWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, longest), "scale": 1}
        taken = self._command("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(taken["data"])

    # -- errors

    def complaints(self) -> list[str]:
        """Return the warnings and errors of the console since the last call, such as blocked scripts."""
        return [
            f"{entry['level']} {entry['source']}: {entry['message']}"
            for entry in self.driver.get_log("browser")
            if entry["level"] in ("SEVERE", "WARNING")
            and not any(each in entry["message"] for each in _NO_COMPLAINTS)
        ]

    def forget(self) -> None:
        """Reset the browser: no cookies, no page, no console messages, light theme, desktop viewport."""
        self.driver.get("about:blank")
        self._command("Network.clearBrowserCookies")
        self.dress("light")
        self.complaints()

    def _command(self, name: str, **parameters: object) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self.driver.execute_cdp_cmd(name, parameters)
        return answer

    def close(self) -> None:
        """End the browser."""
        self.driver.quit()

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


#: Roles that are accepted in place of another.
_LIKE: Final = {"textbox": ("searchbox", "combobox", "url", "email"), "button": ("DisclosureTriangle",)}


def _is_about_replaced_document(exc: WebDriverException) -> bool:
    if isinstance(exc, (StaleElementReferenceException, NoSuchElementException)):
        return True
    return any(part in str(exc.msg) for part in _REPLACED)


def what_is_missing() -> str | None:
    """Return why the browser tests cannot run on this machine, or None if they can."""
    if not CHROMIUM.exists() or not DRIVER.exists():
        return "needs a browser: apt-get install chromium chromium-driver"
    if shutil.which(str(DRIVER)) is None:
        return f"{DRIVER} must be executable"
    return None
