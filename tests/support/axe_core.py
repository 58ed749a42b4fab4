"""Check pages for accessibility problems with axe-core."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.chromium import Browser

#: Installed by ``npm install --prefix . --no-save axe-core@4.14.1`` in the project's folder.
SCRIPT: Final = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"

_RUN: Final = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]})
  .then(result => done(result.violations), error => done(String(error)));
"""


@dataclass(frozen=True)
class Finding:
    """A rule that the page violates, and the places."""

    impact: str  #: minor, moderate, serious or critical
    rule: str
    help: str
    places: tuple[str, ...]  #: HTML and the message of axe-core

    def __str__(self) -> str:
        return "\n    ".join([f"{self.impact}: {self.rule}: {self.help}", *self.places])


def findings(browser: Browser) -> list[Finding]:
    """Return the violations of axe-core's default rules on the present page."""
    browser.driver.execute_script(SCRIPT.read_text("utf-8"))
    found = browser.driver.execute_async_script(_RUN)
    assert isinstance(found, list), f"axe-core failed: {found}"
    return [
        Finding(
            each["impact"],
            each["id"],
            each["help"],
            tuple(f"{node['html'][:200]}: {node['failureSummary']}" for node in each["nodes"]),
        )
        for each in found
    ]
