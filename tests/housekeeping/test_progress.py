"""Progress bars of maintenance."""

from __future__ import annotations

import argparse
import io
import sys

import pytest

from v1registry.cli.housekeeping_options import progress_of
from v1registry.housekeeping.progress import SILENCE


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


def options(*, quiet: bool) -> argparse.Namespace:
    return argparse.Namespace(quiet=quiet)


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Let standard error be a terminal until the test ends."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


@pytest.mark.parametrize(("unit", "shown"), [("B", "images: 0.00B "), ("images", "images: 0 images ")])
def test_a_step_is_shown_on_a_terminal(unit: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    step = progress_of(options(quiet=False)).start("images", None, unit)
    step.advance(2048)
    step.finish()

    assert terminal.getvalue().lstrip("\r").startswith(shown)


def test_quiet_commands_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_terminal(monkeypatch)

    assert progress_of(options(quiet=True)) is SILENCE


def test_without_a_terminal_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    assert progress_of(options(quiet=False)) is SILENCE


def test_missing_tqdm_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_terminal(monkeypatch)
    monkeypatch.setitem(sys.modules, "tqdm", None)

    with pytest.raises(ImportError, match=r"pip install 'v1registry\[server\]', or --quiet"):
        progress_of(options(quiet=False))
