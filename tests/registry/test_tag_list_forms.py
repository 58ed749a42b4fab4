"""The list of tags: an object, or a list as Docker Hub answers it (registry.md 8.1)."""

from __future__ import annotations

import pytest
from v1registry_fakes import FakeRegistry
from webtest import TestApp


def test_tags_are_an_object_by_default() -> None:
    with FakeRegistry() as registry:
        image = registry.add_image("alice/app:1.0")
        assert TestApp(registry.app).get("/v1/repositories/alice/app/tags").json == {"1.0": image.id}


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_hub_form_is_a_list_of_layers_and_names(api: str) -> None:
    with FakeRegistry(tags_form="hub") as registry:
        for tag in ("3.9", "3.10"):
            registry.add_image(f"library/python:{tag}", api=api)  # type: ignore[call-overload]
        ids = registry.tags("library/python")

        answer = TestApp(registry.app).get("/v1/repositories/python/tags")

        assert answer.content_type == "application/json"
        assert sorted(answer.json, key=lambda tag: str(tag["name"])) == [
            {"layer": ids["3.10"][:8], "name": "3.10"},
            {"layer": ids["3.9"][:8], "name": "3.9"},
        ]


def test_hub_form_without_tags_is_an_empty_list() -> None:
    with FakeRegistry(tags_form="hub") as registry:
        registry.add_repository("alice/app")
        assert TestApp(registry.app).get("/v1/repositories/alice/app/tags").json == []


def test_hub_form_keeps_the_answer_to_a_missing_repository() -> None:
    with FakeRegistry(tags_form="hub") as registry:
        answer = TestApp(registry.app).get("/v1/repositories/alice/app/tags", status=404)
        assert answer.json == {"error": "Repository not found"}


def test_hub_form_leaves_a_single_tag_and_v2_as_they_are() -> None:
    with FakeRegistry(tags_form="hub") as registry:
        image = registry.add_image("alice/app:1.0")
        client = TestApp(registry.app)
        assert client.get("/v1/repositories/alice/app/tags/1.0").json == image.id
        assert client.get("/v2/alice/app/tags/list").json == {"name": "alice/app", "tags": ["1.0"]}
