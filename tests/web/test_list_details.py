"""Tags, size and last push in the list of repositories."""

from __future__ import annotations

from typing import Any

import pytest
from support.reader import Reader, describe, make_private, words
from v1registry_fakes import FakeRegistry

from v1registry import Registry
from v1registry.web import browse
from v1registry.web.views.tag_lists import TagList


def details_in(app: Any, who: str | None = None) -> dict[str, str]:
    """Return name of a repository -> the line about its tags."""
    page = Reader(app, who).page("/")
    return {
        words(item.a): words(item.select_one(".short")) if item.select_one(".short") else ""
        for item in page.select(".listing li")
    }


def test_the_list_shows_tags_size_and_last_push(registry: FakeRegistry) -> None:
    base = registry.add_image("team/app:1.0", layer=b"b" * 2048)
    registry.add_image("team/app:latest", layer=b"x" * 1024, parent=base)
    registry.add_repository("team/empty")
    assert details_in(registry.app) == {
        "team/app": "2 tags latest has 3.0 KiB pushed just now",
        "team/empty": "",
    }
    part = Reader(registry.app).ask("/?part=results")
    assert b"latest</bdi> has 3.0 KiB" in part.body


def test_an_unreadable_image_has_no_size(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:1")
    registry.storage.delete_tree(f"images/{image.id}")
    assert details_in(registry.app) == {"team/app": "1 tag pushed just now"}


def test_many_tags_are_counted_up_to_a_limit(registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browse, "TAGS_COUNTED", 3)
    image = registry.add_image("team/app:a", layer=b"x" * 1024)
    for tag in "bc":
        registry.tag(image, f"team/app:{tag}")
    assert details_in(registry.app)["team/app"].startswith("3 tags ")
    registry.tag(image, "team/app:d")
    assert details_in(registry.app)["team/app"].startswith("more than 3 tags ")
    assert "pushed" not in details_in(registry.app)["team/app"]


def test_an_index_of_another_registry_shows_no_tags() -> None:
    registry = FakeRegistry()
    registry.add_image("team/app:1")
    app = Registry(storage=registry.storage, images="elsewhere", endpoints="registry.example.com")
    assert details_in(app) == {"team/app": ""}


def test_the_list_reads_no_images_of_other_pages(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name in ("read", "stat", "folder_version"):
        ask = getattr(registry.storage, name)
        monkeypatch.setattr(registry.storage, name, lambda key, ask=ask: (asked.append(key), ask(key))[1])
    counts = []
    for number in range(75):
        registry.add_image(f"team/app-{number:03}:1")
        if number in (24, 74):
            asked.clear()
            Reader(registry.app).page("/")
            counts.append(sum(key.startswith("images/") for key in asked))
    # what was read some seconds ago is looked at once more, so the second page may cost more
    assert 0 < counts[1] <= 2 * counts[0]
    assert len({key.split("/")[1] for key in asked if key.startswith("images/")}) <= browse.REPOSITORIES_SHOWN


def test_the_layers_of_a_list_are_measured_once(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = registry.add_image("team/app:1", layers=5)
    expected = details_in(registry.app)
    measured: list[object] = []
    monkeypatch.setattr(TagList, "size", lambda self, tag: measured.append(tag))
    assert details_in(registry.app) == expected
    assert measured == []
    registry.tag(registry.add_image(layer=b"x", parent=base), "team/app:1")
    details_in(registry.app)
    assert len(measured) == 1


def test_the_summary_says_more_than_the_name(registry: FakeRegistry) -> None:
    registry.add_repository("team/billing-api")
    describe(registry, "team/billing-api", "# Billing API\n\nAll that is *paid*")
    page = Reader(registry.app).page("/")
    assert words(page.select_one(".listing p")) == "All that is paid"


def test_a_private_repository_shows_its_tags_to_readers_only() -> None:
    registry = FakeRegistry(auth="users:")
    for username in ("mira_k", "vera_x"):
        registry.add_user(username)
    registry.add_image("mira_k/ledger:2015", layer=b"x" * 1024)
    make_private(registry, "mira_k/ledger")
    for _ in range(2):
        assert details_in(registry.app, "mira_k") == {
            "mira_k/ledger": "1 tag 2015 has 1.0 KiB pushed just now"
        }
        assert details_in(registry.app, "vera_x") == {}
