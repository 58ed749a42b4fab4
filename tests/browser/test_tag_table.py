"""The table of the tags in a browser: its columns stay as they are, and ids do not break."""

from __future__ import annotations

import pytest
from support.chromium import Browser
from support.demo_world import SHOP, Demo

pytestmark = pytest.mark.real

_WIDTHS = "return [...document.querySelectorAll('table.tags thead th')].map(cell => cell.offsetWidth)"
_LINES = """
return [...document.querySelectorAll('table.cards td code')].map(code => code.getClientRects().length)
"""


def set_width(browser: Browser, width: int) -> None:
    """Set the width of the viewport in pixels, until the browser is reset."""
    browser.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )


@pytest.mark.parametrize("width", [700, 1280])
def test_an_opened_tag_leaves_the_columns_as_they_are(browser: Browser, demo: Demo, width: int) -> None:
    set_width(browser, width)
    browser.open(f"{demo.registry.url}/repositories/{SHOP}")
    before = browser.driver.execute_script(_WIDTHS)
    assert len(before) == 5
    browser.driver.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")

    assert browser.driver.execute_script(_WIDTHS) == before
    assert set(browser.driver.execute_script(_LINES)) == {1}


def test_modes_and_owners_of_changes_do_not_break(browser: Browser, demo: Demo) -> None:
    set_width(browser, 1280)
    browser.open(f"{demo.registry.url}/images/{demo.installed.id}/changes")

    assert set(browser.driver.execute_script(_LINES)) == {1}
