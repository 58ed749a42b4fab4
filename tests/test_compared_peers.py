"""The page of figures that tests/benchmarks/compare.py writes. Nothing is measured here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.programs import PROJECT

sys.path.insert(0, str(PROJECT / "tests" / "benchmarks"))

from comparison import page, plots
from comparison.goals import Goal, Measured, goals
from comparison.results import Results
from comparison.servers import OLD, OURS


@pytest.fixture
def results() -> Results:
    """Return figures of two rounds."""
    found = Results()
    for number, ours_ms, old_ms in ((10, 0.5, 1.0), (100, 0.6, 4.0), (1000, 1.0, 30.0), (10_000, 9.0, 300.0)):
        for factor in (1, 3):
            found.add(f"list of {number:,} tags", OURS, cpu_ms=ours_ms * factor)
            found.add(f"list of {number:,} tags", OLD, cpu_ms=old_ms * factor)
    return found


def test_goals_compare_medians_of_one_run(results: Results) -> None:
    work = "list of 1,000 tags"
    goal = Goal("tags", Measured(work, OURS, "cpu_ms"), 1 / 25, Measured(work, OLD, "cpu_ms"))
    assert goal.row(results) == [
        "tags", "at most 0.04 × docker-registry 0.9.1", "2 ms CPU", "60.0 ms CPU", "0.0333", "yes",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bound", "is_least", "met"), [(3, True, "**no**"), (1, True, "yes"), (1, False, "**no**")]
)
def test_goals_without_a_reference_compare_the_figure(
    results: Results, bound: float, is_least: bool, met: str
) -> None:
    goal = Goal("tags", Measured("list of 1,000 tags", OURS, "cpu_ms"), bound, is_least=is_least)
    row = goal.row(results)
    assert row is not None
    assert row[-1] == met


def test_what_was_not_measured_has_no_row() -> None:
    assert [goal.row(Results()) for goal in goals()] == [None] * len(goals())


def test_page_gets_tables_and_plots_and_keeps_its_text(results: Results, tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    target = tmp_path / "performance.md"
    target.write_text(f"before\n{page.BEGIN}\nold figures\n{page.END}\nafter\n")
    page.write(target, results)
    text = target.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old figures" not in text
    assert "| list of 1,000 tags | 2 (1 to 3) | 60.0 (30.0 to 90.0) |" in text
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["cost-of-tags.svg"]


def test_plots_are_svg_with_a_line_for_each_server() -> None:
    drawn = plots.plot("Title & more", "x", "y", {"one": [(1, 2), (10, 30)], "<two>": [(1, 5)]})
    root = ElementTree.fromstring(drawn)
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert names.count("polyline") == 2
    assert names.count("circle") == 3
    assert "<two>" in [element.text for element in root.iter()]


def test_figures_survive_a_file(results: Results, tmp_path: Path) -> None:
    results.failures.append("gc was not measured to its end: x")
    results.save(tmp_path / "figures.json")
    assert Results.load(tmp_path / "figures.json") == results


def test_unknown_suites_are_rejected() -> None:
    command = [sys.executable, str(PROJECT / "tests" / "benchmarks" / "compare.py"), "--suites", "small,fast"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "suites are limits, small, layers, image, growth, gc, not fast" in done.stderr


def test_page_of_the_project_has_the_marks() -> None:
    text = (PROJECT / "docs" / "performance.md").read_text("utf-8")
    assert text.index(page.BEGIN) < text.index(page.END)
