"""The checks of this folder find the problems that they look for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.common.exceptions import (
    StaleElementReferenceException,
    UnexpectedAlertPresentException,
    WebDriverException,
)
from support.axe_core import findings
from support.chromium import Browser
from support.demo_world import ATTACKS
from support.harbour import Lure
from test_hostile_pages import check_that_nothing_ran

pytestmark = pytest.mark.real


@pytest.fixture
def looking(chromium: Browser) -> Iterator[Browser]:
    """A reset browser whose console may have errors."""
    chromium.forget()
    yield chromium
    chromium.forget()


@pytest.mark.parametrize("attack", ATTACKS[:3])
def test_a_script_that_runs_is_noticed(looking: Browser, attack: str) -> None:
    with (
        Lure(f"<h1>{attack}</h1>") as lure,
        pytest.raises((AssertionError, UnexpectedAlertPresentException)),
    ):
        looking.open(lure.address)
        check_that_nothing_ran(looking)


@pytest.mark.parametrize(
    "refused",
    [
        "<script>window.pwned=1</script>",
        "<img src=x onerror='window.pwned=1'>",
        "<p style='color: red'>red</p>",
    ],
)
def test_scripts_and_styles_that_csp_blocks_are_noticed(looking: Browser, refused: str) -> None:
    policy = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\">"
    with Lure(f"{policy}<h1>A prize</h1>{refused}") as lure:
        looking.open(lure.address)
        assert looking.driver.execute_script("return window.pwned") is None
        with pytest.raises(AssertionError):
            check_that_nothing_ran(looking)


@pytest.mark.usefixtures("axe")
def test_accessibility_problems_are_noticed(looking: Browser) -> None:
    with Lure(
        "<main><h1>A prize</h1><p style='color: #bbb'>Pale</p><input><img src='data:,'></main>"
    ) as lure:
        looking.open(lure.address)
        found = {finding.rule: finding.impact for finding in findings(looking)}

    assert found == {"color-contrast": "serious", "label": "critical", "image-alt": "critical"}


def test_a_document_replaced_meanwhile_is_read_again(looking: Browser) -> None:
    errors: list[WebDriverException] = [
        StaleElementReferenceException("stale element reference"),
        WebDriverException('{"code":-32000,"message":"Node with given id does not belong to the document"}'),
    ]

    def condition() -> str:
        if errors:
            raise errors.pop()
        return "read"

    assert looking.wait(condition, "text") == "read"


def test_other_errors_of_the_browser_fail_the_test(looking: Browser) -> None:
    def condition() -> str:
        raise WebDriverException("disk full")

    with pytest.raises(WebDriverException, match="disk full"):
        looking.wait(condition, "text")


def test_new_page_is_another_document_even_at_the_same_address(looking: Browser) -> None:
    with Lure("<h1>A prize</h1><form><button>Again</button></form>") as lure:
        looking.open(f"{lure.address}?")
        looking.driver.execute_script("window.isOld = true")
        looking.click("button", "Again")

        assert looking.driver.execute_script("return window.isOld") is None
