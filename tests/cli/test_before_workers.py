"""Work before workers start: it is done in a process of its own, and its failure is that of the caller."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from v1registry.cli.before_workers import do_before_workers
from v1registry.cli.exits import CommandFailed
from v1registry.storage import StorageUnavailable


def test_function_runs_in_another_process(tmp_path: Path) -> None:
    place = tmp_path / "process"
    do_before_workers(lambda: place.write_text(str(os.getpid())) and None)
    assert place.read_text() != str(os.getpid())


def test_its_exception_is_raised() -> None:
    def fail() -> None:
        raise StorageUnavailable("a/b", "the object store failed")

    with pytest.raises(StorageUnavailable, match="a/b: the object store failed"):
        do_before_workers(fail)


def test_process_that_is_killed_is_a_failure() -> None:
    with pytest.raises(CommandFailed, match="was ended"):
        do_before_workers(lambda: os.kill(os.getpid(), signal.SIGKILL))
