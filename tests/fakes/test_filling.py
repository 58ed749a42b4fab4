"""Filling a fake: repositories with facts, names with a registry in front, and configs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.reader import Reader, words
from v1registry_fakes import FakeRegistry, WSGISession


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as made:
        yield made


@pytest.fixture
def session(registry: FakeRegistry) -> Iterator[WSGISession]:
    with WSGISession(registry.app) as made:
        yield made


# -- repositories


def test_search_shows_description_and_stars(registry: FakeRegistry, session: WSGISession) -> None:
    registry.add_repository("alice/known", description="Known to *many*", star_count=42)
    (hit,) = session.get("/v1/search", params={"q": "known"}).json()["results"]
    assert (hit["name"], hit["description"], hit["star_count"]) == ("alice/known", "Known to *many*", 42)


def test_pages_show_description_and_stars(registry: FakeRegistry) -> None:
    registry.add_repository("alice/known", description="Known to *many*", star_count=1)
    registry.add_repository("alice/plain")
    reader = Reader(registry.app)
    items = [words(item) for item in reader.page("/").select(".listing li")]
    assert items == ["alice/known 1 star Known to many", "alice/plain"]
    page = reader.page("/repositories/alice/known")
    assert words(page.select_one(".heading")) == "alice/known 1 star"
    assert words(page.select_one(".prose")) == "Known to many"
    assert words(reader.page("/repositories/alice/plain").select_one(".heading")) == "alice/plain"


def test_facts_of_an_existing_repository_are_kept_and_changed(
    registry: FakeRegistry, session: WSGISession
) -> None:
    image = registry.add_image("alice/app:1")
    registry.add_repository("alice/app", description="First", star_count=3)
    registry.add_repository("alice/app", star_count=4)
    (hit,) = session.get("/v1/search", params={"q": "app"}).json()["results"]
    assert (hit["description"], hit["star_count"]) == ("First", 4)
    assert registry.tags("alice/app") == {"1": image.id}


@pytest.mark.parametrize("stars", [-1, 1 << 31])
def test_impossible_number_of_stars_is_rejected(registry: FakeRegistry, stars: int) -> None:
    with pytest.raises(ValueError, match="stars must be between 0 and"):
        registry.add_repository("alice/app", star_count=stars)


def test_private_repository_has_facts_for_its_readers() -> None:
    with FakeRegistry(auth="users:") as registry, WSGISession(registry.app) as session:
        registry.add_user("alice")
        registry.add_repository("alice/app", description="Hidden", star_count=5, is_private=True)
        assert session.get("/v1/search", params={"q": "app"}).json()["results"] == []
        (hit,) = session.get("/v1/search", params={"q": "app"}, auth=("alice", "secret")).json()["results"]
        assert (hit["description"], hit["star_count"]) == ("Hidden", 5)


# -- names


def test_names_may_have_the_registry_in_front(registry: FakeRegistry) -> None:
    image = registry.add_image(f"{registry.host}/alice/app:1")
    assert registry.tags("alice/app") == registry.tags(f"{registry.host}/alice/app") == {"1": image.id}
    assert registry.image(f"{registry.host}/alice/app:1") == image
    registry.tag(image, "registry.example.com/app")
    assert registry.image("library/app:latest") == registry.image("localhost/app") == image
    registry.add_repository("[::1]:5000/alice/empty")
    assert registry.repositories == ["alice/app", "alice/empty", "library/app"]


def test_names_of_v2_may_have_the_registry_in_front(registry: FakeRegistry) -> None:
    host = "registry.example.com:443"
    image = registry.add_image(f"{host}/alice/app:1", api="v2")
    assert registry.manifest(f"{host}/alice/app:1") == registry.manifest("alice/app:1") == image
    assert registry.manifest(f"{host}/alice/app@{image.digest}") == image
    index = registry.add_index(f"{host}/alice/app:2", {"linux/amd64": image})
    artifact = registry.add_artifact(f"{host}/alice/app", "text", subject=image)
    assert index.repositories == artifact.repositories == ["alice/app"]


def test_pushes_are_asserted_with_the_registry_in_front(registry: FakeRegistry, session: WSGISession) -> None:
    image = registry.add_image("alice/app:1")
    assert session.put("/v1/repositories/alice/app/tags/2", json=image.id).status_code == 200
    assert registry.assert_pushed(f"{registry.host}/alice/app:2") == image


def test_only_one_part_is_a_registry(registry: FakeRegistry) -> None:
    registry.add_image("localhost:5000/my.team/app:1")
    assert registry.repositories == ["my.team/app"]


# -- configs and ids


def test_config_is_that_of_the_image(registry: FakeRegistry) -> None:
    config = {"Cmd": ["sh"], "Env": ["A=1"]}
    assert registry.add_image("alice/app:1", config=config).json["config"] == config
    manifest = registry.add_image("alice/app:2", config=config, json={"author": "alice"}, api="v2")
    assert (manifest.config["config"], manifest.config["author"]) == (config, "alice")


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_config_that_is_given_twice_is_rejected(registry: FakeRegistry, api: str) -> None:
    with pytest.raises(TypeError, match="config is given twice"):
        registry.add_image("alice/app:1", config={}, json={"config": {}}, api=api)  # type: ignore[call-overload]


def test_id_is_the_given_one(registry: FakeRegistry) -> None:
    assert registry.add_image("alice/app:1", id="ab" * 32).id == "ab" * 32
    assert registry.images["ab" * 32] == registry.image("alice/app:1")
