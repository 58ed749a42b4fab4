"""axe-core: what it finds on a page that would shut somebody out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.chromium import Browser

#: ``npm install --prefix . --no-save axe-core@4.14.1`` puts it there, in the project's folder.
SCRIPT: Final = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"

_RUN: Final = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(result => done(result.violations), error => done(String(error)));
"""


@dataclass(frozen=True)
class Finding:
    """A rule that the page breaks, and where."""

    impact: str  #: minor, moderate, serious or critical
    rule: str
    help: str
    places: tuple[str, ...]  #: each with what axe says of it

    def __str__(self) -> str:
        return "\n    ".join([f"{self.impact}: {self.rule}: {self.help}", *self.places])


def findings(browser: Browser) -> list[Finding]:
    """Return what axe-core finds on the page that a browser shows, with its usual rules."""
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
