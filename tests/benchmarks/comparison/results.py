"""What was measured."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Results:
    """Figures by work, server and unit: one for each round."""

    figures: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)  #: what could not be measured, and why

    def add(self, work: str, server: str, **values: float) -> None:
        """Note the figures of one round, and show them on standard error.

        :param values: unit -> figure.
        """
        for unit, value in values.items():
            self.figures.setdefault((work, server, unit), []).append(value)
        shown = "  ".join(f"{unit} {shown_figure(value)}" for unit, value in values.items())
        print(f"  {work:32} {server:32} {shown}", file=sys.stderr, flush=True)

    def median(self, work: str, server: str, unit: str) -> float | None:
        """Return the median of the rounds; None if nothing was measured."""
        values = self.figures.get((work, server, unit))
        return statistics.median(values) if values else None

    def works(self, unit: str) -> Iterator[str]:
        """Yield the names of works with figures of a unit, in the order of measuring."""
        yield from dict.fromkeys(work for work, _, found in self.figures if found == unit)

    def servers(self, unit: str) -> Iterator[str]:
        """Yield the names of servers with figures of a unit."""
        yield from dict.fromkeys(server for _, server, found in self.figures if found == unit)

    def save(self, path: Path) -> None:
        """Write all figures as JSON."""
        rows = [
            {"work": work, "server": server, "unit": unit, "rounds": values}
            for (work, server, unit), values in self.figures.items()
        ]
        path.write_text(json.dumps({"figures": rows, "failures": self.failures}, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Return the figures that :meth:`save` wrote."""
        stored = json.loads(path.read_text())
        figures = {(row["work"], row["server"], row["unit"]): row["rounds"] for row in stored["figures"]}
        return cls(figures, stored["failures"])


def shown_figure(value: float) -> str:
    """Return a figure with three significant digits.

    >>> shown_figure(1234.5), shown_figure(12.345), shown_figure(0.012345)
    ('1,234', '12.3', '0.0123')
    """
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 10 else f"{value:.1f}"
