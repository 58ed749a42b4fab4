"""The goals, as ratios of what was measured in one run."""

from __future__ import annotations

from dataclasses import dataclass

from .growth import EMPTY, label
from .results import Results, shown_figure
from .servers import ACCOUNTS, BARE, NEW, NGINX, OLD, OURS
from .small import BASIC, V1_TOKEN, V2_TOKEN
from .transfers import OURS_V2

LARGE, LARGEST = 100_000, 1_000_000


@dataclass(frozen=True)
class Measured:
    """One figure of the results."""

    work: str
    server: str
    unit: str

    def find(self, results: Results) -> float | None:
        """Return the median of the rounds; None if it was not measured."""
        return results.median(self.work, self.server, self.unit)


@dataclass(frozen=True)
class Goal:
    """A bound of one figure, or of its ratio to another one."""

    text: str
    figure: Measured
    bound: float
    reference: Measured | None = None
    is_least: bool = False  #: whether the bound is the least that is wanted

    def row(self, results: Results) -> list[str] | None:
        """Return what, goal, figure, reference, ratio and whether it is met; None if it was not measured."""
        value = self.figure.find(results)
        reference = self.reference.find(results) if self.reference else None
        if value is None or (self.reference and not reference):
            return None
        compared = value / reference if reference else value
        met = compared >= self.bound if self.is_least else compared <= self.bound
        unit = _UNITS[self.figure.unit]
        sign = "at least" if self.is_least else "at most"
        goal = f"{sign} {self.bound:g}" + (f" × {self.reference.server}" if self.reference else f" {unit}")
        return [
            self.text, goal, f"{shown_figure(value)} {unit}",
            f"{shown_figure(reference)} {unit}" if reference else "",
            shown_figure(compared) if reference else "", "yes" if met else "**no**",
        ]  # fmt: skip


_UNITS = {
    "cpu_ms": "ms CPU", "per_s": "/s", "mb_per_s": "MB/s", "seconds": "s", "ms": "ms", "growth_mib": "MiB",
    "peak_mib": "MiB", "cpu_s_per_gb": "s CPU/GB",
}  # fmt: skip


def _cpu(text: str, work: str, bound: float, reference: str, server: str = OURS, other: str = "") -> Goal:
    figure, compared = Measured(work, server, "cpu_ms"), Measured(other or work, reference, "cpu_ms")
    return Goal(text, figure, bound, compared)


def _speed(work: str, bound: float, reference: str, server: str = OURS) -> Goal:
    text = f"{work}{', /v2/' if server == OURS_V2 else ''}"
    return Goal(
        text, Measured(work, server, "mb_per_s"), bound, Measured(work, reference, "mb_per_s"), is_least=True
    )


def goals() -> list[Goal]:
    """Return all goals, in the order of the table."""
    found = [_cpu(f"{work}, 16 connections", work, 0.2, OLD) for work in ("_ping", "image json", "one tag")]
    found += [_cpu(f"{work}, 16 connections", work, 2, BARE) for work in ("_ping", "image json", "one tag")]
    for number, bound in ((1000, 1 / 25), (10_000, 1 / 40)):
        found.append(_cpu(f"list of {number:,} tags", f"list of {number:,} tags", bound, OLD))
    for number, most_ms in ((1000, 1.0), (10_000, 10.0)):
        work = f"list of {number:,} tags"
        found.append(Goal(work, Measured(work, OURS, "cpu_ms"), most_ms))
    for work in ("image json", "one tag", "list of 1,000 tags"):
        found += [
            _cpu(f"{work}, {kind[len(ACCOUNTS) + 2 :]}", work, 1.5, OURS, kind) for kind in (BASIC, V1_TOKEN)
        ]
    found.append(_cpu("manifest by tag, /v2/ token", "manifest by tag", 1.5, OURS, V2_TOKEN))
    found.append(_cpu("manifest by tag", "manifest by tag", 2, NEW))
    found += [*_search(), *_transfers()]
    for work, bound in (("push of 20 layers", 0.6), ("push again", 0.5), ("pull of 20 layers", 0.9)):
        found.append(Goal(work, Measured(work, OURS, "seconds"), bound, Measured(work, OLD, "seconds")))
    found += [
        _start(LARGE, OURS), _start(LARGE, ACCOUNTS),
        Goal("gc, nothing to free", Measured(_GC, OURS, "seconds"), 60),
        Goal("gc, memory", Measured(_GC, OURS, "peak_mib"), 256),
    ]  # fmt: skip
    return found


_GC = f"gc, {LARGE:,} images, {LARGE // 10:,} repositories"


def _search() -> list[Goal]:
    one, page = "search for one hit", "search, 25 of all"
    found = [
        Goal(f"{one}, {LARGE:,}", Measured(label(one, LARGE), OURS, "ms"), 0.5,
             Measured(label(one, LARGE), OLD, "ms")),
        Goal(f"{page}, {LARGE:,}", Measured(label(page, LARGE), OURS, "ms"), 5),
        Goal(f"first page /, {LARGE:,}", Measured(label("first page /", LARGE), OURS, "ms"), 20),
    ]  # fmt: skip
    for work in (one, page):
        small, large = (Measured(label(work, number), OURS, "ms") for number in (LARGE, LARGEST))
        found.append(Goal(f"{work}, {LARGEST:,} to {LARGE:,}", large, 3, small))
    return found


def _start(number: int, server: str) -> Goal:
    work = "start and first request"
    text = f"{work}{', accounts' if server == ACCOUNTS else ''}, {number:,} to {EMPTY}"
    reference = Measured(label(work, EMPTY), server, "seconds")
    return Goal(text, Measured(label(work, number), server, "seconds"), 1.1, reference)


def _transfers() -> list[Goal]:
    small, large = "100 MiB", "1,024 MiB"
    found = [
        _speed(f"PUT {small}", 0.9, BARE), _speed(f"PUT {large}", 0.9, BARE),
        _speed(f"PUT {small}", 1.5, OLD), _speed(f"PUT {large}", 1.3, OLD),
        _speed(f"GET {small}", 0.9, NGINX), _speed(f"GET {large}", 0.9, NGINX),
        _speed(f"PUT {large}", 0.8, NEW, OURS_V2), _speed(f"GET {large}", 0.8, NEW, OURS_V2),
    ]  # fmt: skip
    for direction in ("PUT", "GET"):
        work = f"{direction} {large}"
        found.append(Goal(f"{work}, memory", Measured(work, OURS, "growth_mib"), 8))
        found.append(Goal(f"{work}, memory, /v2/", Measured(work, OURS_V2, "growth_mib"), 8))
    return found
