"""The repositories and tags on the page of an image: those that hold it, and that the visitor may see."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.reader import ATTACKS, PEOPLE, Reader, make_private, town, words
from v1registry_fakes import FakeRegistry

from v1registry.registry import layout
from v1registry.web.views import places


def places_in(app: Any, image_id: str, who: str | None = None, query: str = "") -> dict[str, str]:
    """Return name of a repository -> what the page says of its tags."""
    page = Reader(app, who).page(f"/images/{image_id}{query}")
    return {
        words(row.a): words(row.span).replace(" ,", ",") for row in page.select("#places-title + ul > li")
    }


def test_the_page_names_repositories_and_tags(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:1.10")
    for name in ("team/app:latest", "team/app:1.9", "debian:8"):
        registry.tag(image, name)
    registry.add_image("team/other:1")
    assert places_in(registry.app, image.id) == {
        "debian": "tag 8",
        "team/app": "tags latest, 1.9, 1.10",
    }
    page = Reader(registry.app).page(f"/images/{image.id}")
    assert page.select_one("#places-title + ul a")["href"] == "/repositories/library/debian"


def test_many_tags_are_counted(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:0")
    for number in range(1, 8):
        registry.tag(image, f"team/app:{number}")
    assert places_in(registry.app, image.id) == {"team/app": "tags 0, 1, 2, 3, 4 and 3 more"}


def test_the_repository_that_the_visitor_came_from_comes_first(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:1")
    registry.tag(image, "debian:8")
    found = places_in(registry.app, image.id, query="?repository=team/app")
    assert list(found) == ["team/app", "debian"]


@pytest.mark.parametrize(("who", "is_seen"), PEOPLE.items())
def test_hidden_repositories_are_not_named(who: str | None, is_seen: bool) -> None:
    registry = town()
    image = registry.add_image("mira_k/shared:1", files={"a": "b"})
    registry.tag(image, "mira_k/hidden:2")
    make_private(registry, "mira_k/hidden")
    expected = {"mira_k/shared": "tag 1"}
    if who in ("mira_k", "root"):
        expected["mira_k/hidden"] = "tag 2"
    assert places_in(registry.app, image.id, who) == expected


def test_an_image_that_others_build_on_names_their_repository() -> None:
    registry = town()
    built = registry.add_image("mira_k/built:1", files={"top": "2"}, layers=2)
    _, base_id = json.loads(registry.storage.read(f"images/{built.id}/ancestry")[0])
    assert places_in(registry.app, base_id) == {"mira_k/built": "in an image that builds on it"}


@pytest.mark.parametrize("auth", ["open:", "users:"])
def test_the_number_of_repositories_is_bounded(auth: str) -> None:
    registry = FakeRegistry(auth=auth)
    image = registry.add_image("library/a-00:1")
    for number in range(1, 14):
        registry.tag(image, f"library/a-{number:02}:1")
    assert len(places_in(registry.app, image.id)) == places.MOST_PLACES
    page = Reader(registry.app).page(f"/images/{image.id}")
    assert "More repositories may have this image" in words(page.main)


def test_an_open_server_looks_at_some_repositories_only(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MOST_SEARCHED", 3)
    for number in range(3):
        registry.add_image(f"team/a-{number}:1")
    image = registry.add_image("team/z:1")
    assert places_in(registry.app, image.id) == {}
    assert places_in(registry.app, image.id, query="?repository=team/z") == {"team/z": "tag 1"}


def test_an_image_of_no_repository_has_no_list(registry: FakeRegistry) -> None:
    image = registry.add_image()
    page = Reader(registry.app).page(f"/images/{image.id}")
    assert page.select("#places-title") == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_tags_are_escaped(registry: FakeRegistry, attack: str) -> None:
    image = registry.add_image("team/app:1")
    registry.storage.write(layout.tag_key("repositories/team/app", attack), image.id.encode())
    assert list(places_in(registry.app, image.id)) == ["team/app"]


def test_the_id_can_be_copied(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:1")
    button = Reader(registry.app).page(f"/images/{image.id}").select_one(".facts button")
    assert button["data-copy"] == image.id
    assert button.has_attr("hidden"), "it does nothing without a script"
