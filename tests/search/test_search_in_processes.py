"""The SQLite index in several processes: others see each change at once, and kill -9 leaves nothing wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.searching_processes import ORDERS, Everybody, fork_that_searches, opened, rounds
from support.worker_processes import started_workers

from v1registry.rights import Listing


def test_each_process_finds_what_the_others_change(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with started_workers(ORDERS, 2, tmp_path, "auto") as (one, other):
        assert one.ask("push", "team/app") == "team/app"
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("data/search/*/index.sqlite3")) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert other.ask("push", "team/base") == "team/app team/base"
        assert one.ask("look", "team/app") == "team/app team/base"
        assert one.ask("remove", "team/app") == "team/base"
        assert other.ask("look", "team/app") == "team/base"
        index, repositories = opened(tmp_path / "data")
        assert other.ask("hide", "team/base") == "team/base"
        assert index.find("", Everybody(repositories, Listing(has_public=True)), 0, 9).total == 0


def test_forked_process_opens_the_index_again(tmp_path: Path) -> None:
    fork_that_searches(tmp_path)


def test_killed_processes_leave_a_right_index(tmp_path: Path) -> None:
    rounds(tmp_path / "data", 2)


@pytest.mark.real
def test_killed_processes_leave_a_right_index_in_many_rounds(tmp_path: Path) -> None:
    rounds(tmp_path / "data", 30)
