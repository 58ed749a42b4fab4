"""Queries and descriptions that are made to cost much are answered like all others, and soon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.clock import Clock
from support.postgres import Postgres

from v1registry import FileStorage
from v1registry.names import RepositoryName
from v1registry.openers import open_search
from v1registry.registry.repositories import Repositories
from v1registry.rights import Listing
from v1registry.search import sqlite
from v1registry.search.base import SearchIndex
from v1registry.search.indexed import IndexedSearch
from v1registry.search.scan import ScanSearch
from v1registry.search.words import SEARCHED_LENGTH, Query

DESCRIPTIONS = {
    "ones": "a" * SEARCHED_LENGTH,
    "pairs": "ab" * (SEARCHED_LENGTH // 2),
    "end": "a" * 5000 + "b",
    "words": "the tests/tests of a registry-registry, \"quoted\" and 100%_sure, with 'aab'",
    "plain": "a service",
}

QUERIES = [
    *("a" * length for length in (3, 4, 31, 32, 33, 64, 65, 66, 3000, SEARCHED_LENGTH)),
    *("a" * length + "b" for length in (2, 3, 31, 32, 5000, 5001)),
    " ".join("a" * length + "b" for length in range(1, 33)),
    " ".join("a" * length for length in range(3, 35)),
    *("ab" * length for length in (2, 40, 2000)),
    *("tests/tests", "tests/te", "tests/testx", "registry-registry", "registry-registrx", "esting"),
    *('"quoted"', '"quoted', '""', "100%_sure", "1%_", "10_", "a\0b", "aab\0", "the the", "'aab'"),
    *(
        "a*a*b",
        "a?a",
        "*aab*",
        "aaa*aab",
        "?" * 200,
        "a?" * 500 + "b",
        "*" * 500,
        "tests*tests",
        "test?/test?",
    ),
]


class Everyone:
    """A caller who sees all repositories."""

    def may_list(self, repository: RepositoryName) -> bool:
        return True

    def listing(self) -> Listing:
        return Listing(is_everything=True)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def indexes(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> tuple[SearchIndex, SearchIndex]:
    """Return an index that is built, and the scan of the same repositories."""
    root: Path = tmp_path_factory.mktemp("search")
    storage = FileStorage(root, durable=False)
    repositories = Repositories(storage, clock=Clock())
    for name, description in DESCRIPTIONS.items():
        repository = RepositoryName("team", name)
        repositories.announce(repository, b"[]", [])
        repositories.describe(repository, description)
    setting = f"sqlite://{root}/search"
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        setting = server.url(request.getfixturevalue("module_database"))
    index = open_search(setting, storage, repositories)
    assert isinstance(index, IndexedSearch)
    index.rebuild(lambda name: None)
    assert index._is_ready()
    return index, ScanSearch(repositories)


def test_hostile_queries_find_what_a_scan_finds(
    indexes: tuple[SearchIndex, SearchIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, scan = indexes
    monkeypatch.delattr(index, "_scan")
    for query in QUERIES:
        found, expected = (one.find(query, Everyone(), 0, 10) for one in (index, scan))
        assert (found.hits, found.total) == (expected.hits, expected.total), query[:40]


def test_long_repetitive_query_takes_little_time(indexes: tuple[SearchIndex, SearchIndex]) -> None:
    began_s = time.process_time()
    assert indexes[0].find("a" * 7000, Everyone(), 0, 10).total == 1
    assert time.process_time() - began_s < 1


@pytest.mark.parametrize(
    "query", ["a" * 31 + "b", "b" + "a" * 31, "aaaaaaab " * 8, "a%" * 16, "_" * 32, "\\" * 32]
)
def test_repetitive_queries_are_bounded_in_a_database(
    indexes: tuple[SearchIndex, SearchIndex], query: str
) -> None:
    began_s = time.monotonic()
    indexes[0].find(query, Everyone(), 0, 10)
    assert time.monotonic() - began_s < 5


@pytest.mark.parametrize(
    ("query", "asked", "rest"),
    [
        ("busybox", '"busybox"', []),
        ("a" * 3000, '"aaa"', ["a" * 3000]),
        ("tests/tests", '"tests/te"', ["tests/tests"]),
        ("busybox busybo", '"busybox"', ["busybo"]),
        ("aab aaab", '"aab" "aaa"', ["aaab"]),
        ("ab", "", ["ab"]),
    ],
)
def test_each_trigram_is_asked_for_once(
    query: str, asked: str, rest: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "has_trigrams", lambda: True)
    phrases, words = sqlite._asked(Query(query))
    assert (phrases, [word.text for word in words]) == (asked, rest)
