"""Stars of repositories: stored, searched, and gone with the repository (hub.md 7)."""

from __future__ import annotations

import pytest
from support.wsgi_client import Client

from v1registry import Storage
from v1registry.errors import RepositoryNotFound
from v1registry.names import RepositoryName
from v1registry.registry.repositories import MOST_STARS, Repositories

NAME = RepositoryName("foo", "bar")


@pytest.fixture
def repositories(client: Client, storage: Storage) -> Repositories:
    """The repositories alpha/app, foo/bar, library/bar-z and zoo/app, without stars."""
    for name in ("alpha/app", "foo/bar", "library/bar-z", "zoo/app"):
        assert client.put(f"/v1/repositories/{name}/", "[]").status_int == 200
    return Repositories(storage)


def found(client: Client, query: str = "") -> list[tuple[str, int]]:
    results = client.get(f"/v1/search?q={query}").json["results"]
    return [(result["name"], result["star_count"]) for result in results]


def test_section_7_search_shows_stars_and_sorts_by_them(client: Client, repositories: Repositories) -> None:
    repositories.set_stars(RepositoryName("zoo", "app"), 42)
    repositories.set_stars(NAME, 7)
    assert found(client) == [("library/bar-z", 0), ("zoo/app", 42), ("foo/bar", 7), ("alpha/app", 0)]
    assert found(client, "alpha/app") == [("alpha/app", 0)]


def test_section_7_exact_names_come_before_stars(client: Client, repositories: Repositories) -> None:
    assert client.put("/v1/repositories/foo/bar-2/", "[]").status_int == 200
    repositories.set_stars(RepositoryName("foo", "bar-2"), 1000)
    assert found(client, "foo/bar") == [("foo/bar", 0), ("foo/bar-2", 1000)]


@pytest.mark.parametrize("stars", [0, 1, MOST_STARS])
def test_number_of_stars_is_read_as_set(repositories: Repositories, stars: int) -> None:
    repositories.set_stars(NAME, stars)
    assert repositories.stars(NAME) == stars
    assert repositories.starred() == ({NAME: stars} if stars else {})


@pytest.mark.parametrize("stars", [-1, MOST_STARS + 1])
def test_number_out_of_range_is_rejected(repositories: Repositories, stars: int) -> None:
    with pytest.raises(ValueError, match=rf"between 0 and 2147483647, not {stars}$"):
        repositories.set_stars(NAME, stars)
    assert repositories.stars(NAME) == 0


def test_stars_of_a_missing_repository_are_rejected(repositories: Repositories, storage: Storage) -> None:
    before = [stat.key for stat in storage.list("")]
    with pytest.raises(RepositoryNotFound):
        repositories.set_stars(RepositoryName("foo", "none"), 1)
    assert [stat.key for stat in storage.list("")] == before


def test_stars_are_gone_with_the_repository(client: Client, repositories: Repositories) -> None:
    repositories.set_stars(NAME, 42)
    assert client.delete("/v1/repositories/foo/bar/").status_int == 200
    assert client.put("/v1/repositories/foo/bar/", "[]").status_int == 200
    assert repositories.stars(NAME) == 0
    assert repositories.starred() == {}


@pytest.mark.parametrize("value", [b"", b"-1", b"4 2", b"4.2", b"x", b"9" * 11, b"9" * 5000, "٤".encode()])
def test_damaged_number_of_stars_counts_as_none(
    client: Client, repositories: Repositories, storage: Storage, value: bytes
) -> None:
    repositories.set_stars(NAME, 42)
    storage.write("repositories/foo/bar/_stars", value)
    assert dict(found(client))["foo/bar"] == 0


def test_stars_of_odd_names_are_found(storage: Storage) -> None:
    repositories = Repositories(storage)
    name = RepositoryName("foo", "a/b")
    storage.write("repositories/foo/a%2Fb/_index_images", b"[]")
    repositories.set_stars(name, 3)
    assert repositories.starred() == {name: 3}
