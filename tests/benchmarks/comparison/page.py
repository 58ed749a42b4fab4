"""The tables and plots of docs/performance.md."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from . import limits, plots
from .goals import goals
from .growth import label
from .results import Results, shown_figure
from .servers import ACCOUNTS, BARE, NEW, OLD, OURS
from .small import TAGS
from .transfers import OURS_V2

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"

_TABLES = {
    "Small requests on 16 connections: CPU of the server, milliseconds": "cpu_ms",
    "Small requests on 16 connections: requests in a second": "per_s",
    "Large bodies: MB/s": "mb_per_s",
    "Large bodies: CPU of the server, seconds for a gigabyte": "cpu_s_per_gb",
    "Memory: growth of the largest process, MiB": "growth_mib",
    "Times: seconds": "seconds",
    "Times: milliseconds": "ms",
}


def markdown(results: Results) -> str:
    """Return the goals, and below them all figures."""
    parts = [f"Measured on {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}. {limits.description()}"]
    rows = [row for goal in goals() if (row := goal.row(results))]
    head = ["what", "goal", "v1registry", "reference", "ratio", "met"]
    if rows:
        parts.append(_table(head, rows))
    parts += [f"* {failure}" for failure in results.failures]
    for title, unit in _TABLES.items():
        servers = list(results.servers(unit))
        lines = [
            [work, *(_cell(results, work, server, unit) for server in servers)]
            for work in results.works(unit)
        ]
        if lines:
            parts.append(f"### {title}\n\n{_table(['work', *servers], lines)}")
    return "\n\n".join(parts)


def _cell(results: Results, work: str, server: str, unit: str) -> str:
    values = results.figures.get((work, server, unit))
    if not values:
        return ""
    median = results.median(work, server, unit)
    assert median is not None
    if len(values) == 1:
        return shown_figure(median)
    return f"{shown_figure(median)} ({shown_figure(min(values))} to {shown_figure(max(values))})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(page: Path, results: Results) -> None:
    """Replace the figures of a page, and the plots beside it."""
    text = page.read_text("utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    for name, plot in _plots(results).items():
        (page.parent / "plots" / name).write_text(plot, "utf-8")
    page.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n\n{END}{after}", "utf-8")


def _plots(results: Results) -> dict[str, str]:
    """Return the plots of costs against size: name of the file -> SVG."""
    found = {}
    tags = {
        server: [(number, results.median(f"list of {number:,} tags", server, "cpu_ms")) for number in TAGS]
        for server in (OURS, OLD)
    }
    labels = [work for work in results.works("ms") if work.endswith(" repositories")]
    numbers = sorted({int(work.split()[-2].replace(",", "")) for work in labels})
    search = {
        f"{server}: {work}": [
            (number, results.median(label(work, number), server, "ms")) for number in numbers
        ]
        for server in (OURS, ACCOUNTS, OLD)
        for work in ("search for one hit", "search, 25 of all")
    }
    sizes = [100, 1024]
    speed = {
        server: [(mib, results.median(f"PUT {mib:,} MiB", server, "mb_per_s")) for mib in sizes]
        for server in (OURS, BARE, OLD, OURS_V2, NEW)
    }
    for name, title, horizontal, vertical, series in (
        ("cost-of-tags.svg", "A list of tags", "tags", "CPU of the server, ms", tags),
        ("cost-of-search.svg", "Search", "repositories", "ms", search),
        ("speed-of-layers.svg", "PUT of a layer", "MiB", "MB/s", speed),
    ):
        lines = {key: [(x, y) for x, y in points if y] for key, points in series.items()}
        lines = {key: points for key, points in lines.items() if points}
        if lines:
            found[name] = plots.plot(title, horizontal, vertical, lines)
    return found
