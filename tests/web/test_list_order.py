"""The list of repositories: reads of the storage, and the order."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.faulty_storage import FaultyStorage
from support.reader import Reader, names_in

from v1registry import FileStorage, MemoryStorage, Registry
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.rights import Listing
from v1registry.search.base import search
from v1registry.search.scan import ScanSearch

# -- reads of the storage


def test_a_page_reads_only_the_repositories_it_shows() -> None:
    storage = FaultyStorage()
    for number in range(500):
        storage.write(f"repositories/team/app-{number:03}/_index_images", b"[]")
    app = Registry(storage=storage)
    for address in ("/", "/?q=app"):
        before = storage.count("stat", "read")
        assert len(names_in(Reader(app).page(address))) == 25
        assert storage.count("stat", "read") - before < 25 * 10


# -- the order


_APPS = ["library/app-x", "a.b/app", "team/app", "zeta/app"]
_ALL = ["library/app-x", "library/zeta", "a.b/app", "a/b/c", "team/app", "zeta/app"]


class AllBut:
    """A caller who may see all repositories but one."""

    def __init__(self, hidden: str):
        self._hidden = hidden

    def may_list(self, repository: RepositoryName) -> bool:
        return str(repository) != self._hidden

    def listing(self) -> Listing:
        return Listing(rule=self.may_list)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", _ALL), (" ", _ALL), ("app", _APPS), ("APP", _APPS), ("team/app", ["team/app"]), ("a", _ALL),
        ("Zeta", ["library/zeta", "zeta/app"]), ("zeta app", ["zeta/app"]), ("zeta x", []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["memory", "file"])
def test_search_orders_by_exact_name_official_and_name(
    kind: str, query: str, names: list[str], tmp_path: Path
) -> None:
    storage = MemoryStorage() if kind == "memory" else FileStorage(tmp_path, durable=False)
    for name in ("team/app", "library/zeta", "library/app-x", "a/app", "a.b/app", "a/b/c", "zeta/app"):
        namespace, _, repository = name.partition("/")
        storage.write(f"repositories/{namespace}/{repository.replace('/', '%252F')}/_index_images", b"[]")
    (tmp_path / "repositories" / "a" / "nothing-in-it").mkdir(parents=True)
    index = ScanSearch(Repositories(storage))

    page = search(index, query, None, None, 100, AllBut("a/app"))
    assert [str(hit.name) for hit in page.hits] == names
    assert page.num_results == len(names)
