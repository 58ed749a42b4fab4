"""How long ``serve`` counts the repositories at its start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from v1registry.assembly import assemble
from v1registry.cli import trials
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories


def test_count_ends_within_a_large_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "repositories" / "team" / "app").mkdir(parents=True)
    (tmp_path / "repositories" / "team" / "app" / "_index_images").write_bytes(b"[]")
    services, listed = assemble({"storage": f"file://{tmp_path}"}), list[RepositoryName]()

    def endless(self: Repositories, namespace: str) -> Iterator[RepositoryName]:
        while True:
            listed.append(RepositoryName(namespace, f"app{len(listed)}"))
            yield listed[-1]

    monkeypatch.setattr(Repositories, "in_namespace", endless)

    count = trials.count_repositories(services, within_s=trials.COUNTING_AT_START_S)

    assert count is not None
    assert not count.is_complete
    assert count.number in (len(listed), len(listed) - 1)
