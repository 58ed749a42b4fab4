"""Owners write descriptions as long as they like: what a search answers stays small (decisions.md 19)."""

from __future__ import annotations

import pytest
from support.world import World
from support.wsgi_client import Client

from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories


def searched(count: int, description: str) -> World:
    """Return a world with so many repositories, each with the description."""
    world = World()
    repositories = Repositories(world.storage)
    for number in range(count):
        name = RepositoryName.parse(f"alice/app{number}")
        repositories.announce(name, b"[]", [])
        repositories.describe(name, description)
    return world


@pytest.mark.parametrize("query", ["", "?q=app&n=100"])
def test_descriptions_of_one_answer_are_bounded_together(query: str) -> None:
    answer = Client(searched(100, "\U0001f600" * 25_000).app).get(f"/v1/search{query}")
    # each of these characters takes 12 bytes in JSON
    assert len(answer.body) < 12 * 500_000 + 50_000
    assert [len(result["description"]) for result in answer.json["results"]] == [5_000] * 100


def test_description_of_one_repository_is_whole() -> None:
    answer = Client(searched(1, "x" * 25_000).app).get("/v1/search?q=app0")
    assert answer.json["results"][0]["description"] == "x" * 25_000


def test_short_descriptions_are_whole_however_many_are_found() -> None:
    answer = Client(searched(300, "A service.").app).get("/v1/search")
    assert {result["description"] for result in answer.json["results"]} == {"A service."}
