"""The page of a repository: description, pull command, tags and shared layers."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from support.reader import ATTACKS, PEOPLE, Reader, checked, describe, links_in, rows_of, town, words
from support.wsgi_client import call
from v1registry_fakes import FakeRegistry

from v1registry import MemoryStorage, Registry
from v1registry.names import RepositoryName
from v1registry.registry import layout
from v1registry.registry.images import Images
from v1registry.registry.repositories import Repositories
from v1registry.registry.tags import TagRule
from v1registry.rights import Content
from v1registry.storage.base import StorageUnavailable
from v1registry.web.views import tag_lists
from v1registry.web.views.tag_lists import Tag, TagList

NAME = RepositoryName("team", "app")


# -- visibility


@pytest.mark.parametrize(("who", "is_seen"), PEOPLE.items())
def test_a_private_repository_is_shown_only_to_readers(who: str | None, is_seen: bool) -> None:
    registry = town()
    reader = Reader(registry.app, who)
    if is_seen:
        page = reader.page("/repositories/mira_k/ledger")
        assert words(page.select_one(".heading")) == "mira_k/ledger Private"
    else:
        hidden = reader.ask("/repositories/mira_k/ledger")
        absent = reader.ask("/repositories/mira_k/absent")
        assert (hidden.status, hidden.body) == (absent.status, absent.body)
        assert words(checked(hidden.body).h1) == "Repository not found"


def test_a_deleted_repository_is_404(registry: FakeRegistry) -> None:
    registry.add_image("team/app:1")
    Repositories(registry.storage).mark_deleted(NAME)
    Reader(registry.app).page("/repositories/team/app", 404)


@pytest.mark.parametrize(
    "path", ["x", "a/b/c/d", "..", "a/..", "a//b", "\0", "a\nb", "%", "a" * 3000, "\xff", "\xc3\xa9", " "]
)
def test_an_unknown_repository_is_404(registry: FakeRegistry, path: str) -> None:
    answer = Reader(registry.app).ask(f"/repositories/{path}")
    assert answer.status == (400 if path == "\xff" else 404)
    checked(answer.body)


def test_names_may_have_any_depth(registry: FakeRegistry) -> None:
    registry.add_image("a/b/c/d:1")
    registry.add_image("debian:1")
    reader = Reader(registry.app)
    assert words(reader.page("/repositories/a/b/c/d").h1) == "a/b/c/d"
    assert words(reader.page("/repositories/a/b/c/d/").h1) == "a/b/c/d"
    for path in ("/repositories/debian", "/repositories/library/debian"):
        assert words(reader.page(path).select_one(".heading")) == "debian Official"


def test_names_like_api_resources_work(registry: FakeRegistry) -> None:
    for name in ("team/tags", "team/images", "team/json"):
        registry.add_image(f"{name}:1")
        assert words(Reader(registry.app).page(f"/repositories/{name}").h1) == name


# -- description and rule


def test_the_description_has_lower_headings(registry: FakeRegistry) -> None:
    registry.add_repository("team/app")
    describe(registry, "team/app", "# One\n\n* **bold** [out](https://x.example/)\n\n<b>raw</b>")
    page = Reader(registry.app).page("/repositories/team/app")
    prose = page.select_one(".prose")
    assert words(prose.h3) == "One"
    assert words(prose.strong) == "bold"
    assert prose.a["rel"] == ["nofollow", "noopener", "noreferrer"]
    assert "<b>raw</b>" in words(prose)
    assert [element.name for element in page.find_all(["h1", "h2", "h3"])] == ["h1", "h2", "h3", "h2"]


def test_without_a_description_there_is_no_heading_for_it(registry: FakeRegistry) -> None:
    registry.add_repository("team/app")
    page = Reader(registry.app).page("/repositories/team/app")
    assert [words(heading) for heading in page.find_all("h2")] == ["Tags"]
    assert "No tags yet" in words(page.main)
    assert page.select(".command") == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (TagRule.FREE, None),
        (TagRule.IMMUTABLE, "Tags cannot be moved after they are set."),
        (TagRule.IMMUTABLE_BUT_LATEST, "Tags other than latest cannot be moved after they are set."),
    ],
)
def test_the_tag_rule_is_shown(registry: FakeRegistry, rule: TagRule, text: str | None) -> None:
    registry.add_image("team/app:1")
    Repositories(registry.storage).set_tag_rule(NAME, rule)
    section = words(Reader(registry.app).page("/repositories/team/app").select_one("#tags"))
    assert (text or "Tags 1 tag") in section
    assert ("cannot be moved" in section) is (text is not None)


# -- tags


def test_a_tag_has_its_image_size_layers_and_time(registry: FakeRegistry) -> None:
    base = registry.add_image("team/base:1", layer=b"x" * 3000)
    image = registry.add_image("team/app:1", layer=b"y" * 2000, parent=base)
    page = Reader(registry.app).page("/repositories/team/app")
    ((tag, short, size, layers, pushed),) = rows_of(page)
    assert (tag.split()[0], short, size, layers) == ("1", image.id[:12], "4.9 KiB", "2 layers")
    assert pushed == "just now"
    moment = page.select_one("tbody time")["datetime"]
    assert abs(datetime.fromisoformat(str(moment)) - datetime.now(timezone.utc)) < timedelta(minutes=5)
    assert links_in(page)[image.id[:12]] == f"/images/{image.id}?repository=team/app"


def test_shared_layers_are_shown(registry: FakeRegistry) -> None:
    base = registry.add_image(layer=b"x" * 3000)
    one = registry.add_image("team/app:one", layer=b"1" * 100, parent=base)
    registry.add_image("team/app:two", layer=b"2" * 200, parent=base)
    registry.add_image("team/app:three", layer=b"3" * 400)
    registry.tag(one, "team/app:uno")
    rows = {row[0].split()[0]: row for row in rows_of(Reader(registry.app).page("/repositories/team/app"))}
    assert rows["one"][1] == f"{one.id[:12]} also uno"
    assert rows["one"][3] == "2 layers all shared with other tags, 3.0 KiB"
    assert rows["two"][3] == "2 layers 1 shared with other tags, 2.9 KiB"
    assert rows["three"][3] == "1 layer none shared with other tags"


def test_many_tags_of_one_image_are_counted(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:a")
    for count, told in ((2, "b"), (4, "b, c, d"), (5, "4 other tags"), (7, "6 other tags")):
        for tag in "abcdefg"[:count]:
            registry.tag(image, f"team/app:{tag}")
        rows = {
            row[0].split()[0]: row for row in rows_of(Reader(registry.app).page("/repositories/team/app"))
        }
        assert rows["a"][1].replace(" ,", ",") == f"{image.id[:12]} also {told}"
    assert rows["g"][1] == f"{image.id[:12]} also 6 other tags"


def test_latest_comes_first_then_the_newest(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:latest")
    for tag in ("b", "c", "a"):
        registry.tag(image, f"team/app:{tag}")
    reader = Reader(registry.app)
    page = reader.page("/repositories/team/app")
    assert [row[0].split()[0] for row in rows_of(page)] == ["latest", "a", "c", "b"]
    page = reader.page(links_in(page)["name"].partition("#")[0])
    assert [row[0].split()[0] for row in rows_of(page)] == ["latest", "a", "b", "c"]
    page = reader.page(links_in(page)["time"].partition("#")[0])
    assert [row[0].split()[0] for row in rows_of(page)] == ["latest", "a", "c", "b"]


def test_a_tag_whose_push_has_not_ended_has_no_link(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:1", is_complete=False)
    registry.storage.write("repositories/team/app/tag_1", image.id.encode())  # as an old server does
    page = Reader(registry.app).page("/repositories/team/app")
    assert "missing, or you may not see it" in words(page.select_one("tbody"))
    assert page.select("tbody a") == []


def test_a_tag_of_a_missing_image_has_no_link(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:1")
    registry.add_image("team/app:2")
    registry.storage.delete_tree(f"images/{image.id}")
    page = Reader(registry.app).page("/repositories/team/app")
    assert len(rows_of(page)) == 2
    assert len(page.select("tbody td a")) == 1


def test_an_unfetched_layer_makes_the_size_a_minimum(registry: FakeRegistry) -> None:
    base = registry.add_image(layer=b"x" * 3000)
    registry.add_image("team/app:1", layer=b"y" * 2048, parent=base)
    registry.storage.delete(f"images/{base.id}/layer")
    ((_, _, size, layers, _),) = rows_of(Reader(registry.app).page("/repositories/team/app"))
    assert (size, layers) == ("at least 2.0 KiB", "2 layers")


@pytest.mark.parametrize(("count", "sizes"), [(100, [100]), (101, [100, 1])])
def test_many_tags_are_on_several_pages(registry: FakeRegistry, count: int, sizes: list[int]) -> None:
    image = registry.add_image("team/app:t000")
    folder = "repositories/team/app"
    for number in range(1, count):
        registry.storage.write(f"{folder}/tag_t{number:03}", image.id.encode())
    reader, found = Reader(registry.app), []
    address: str | None = "/repositories/team/app?sort=name"
    while address is not None:
        page = reader.page(address)
        found.append([row[0].split()[0] for row in rows_of(page)])
        following = page.select_one("a[rel=next]")
        address = None if following is None else str(following["href"]).partition("#")[0]
    assert [len(tags) for tags in found] == sizes
    assert [tag for tags in found for tag in tags] == [f"t{number:03}" for number in range(count)]
    for odd in ("-1", "x", "%00"):
        assert len(rows_of(reader.page(f"/repositories/team/app?page={odd}"))) == 100
    assert len(rows_of(reader.page("/repositories/team/app?page=999"))) == sizes[-1]


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_tags_and_descriptions_are_escaped(registry: FakeRegistry, attack: str) -> None:
    image = registry.add_image("team/app:1")
    registry.storage.write(layout.tag_key("repositories/team/app", attack), image.id.encode())
    describe(registry, "team/app", f"{attack}\n\n[x]({attack})\n\n![y]({attack})\n\n<{attack}>\n\n# {attack}")
    page = Reader(registry.app).page("/repositories/team/app")
    assert len(rows_of(page)) == 2
    assert not any(
        str(link["href"]).lower().startswith("javascript") for link in page.find_all("a", href=True)
    )


# -- other servers


def test_an_index_says_that_images_are_elsewhere() -> None:
    storage = MemoryStorage()
    app = Registry(storage=storage, images="elsewhere", endpoints="registry.example.com")
    call(app, "PUT", "/v1/repositories/team/app/", json.dumps([{"id": "0" * 64}]).encode())
    page = Reader(app).page("/repositories/team/app")
    assert "docker pull localhost/team/app" in [words(code) for code in page.select(".command code")]
    assert "Another registry keeps the images" in words(page.select_one("#tags"))
    for path in (f"/images/{'0' * 64}", f"/images/{'0' * 64}/files"):
        Reader(app).page(path, 404)


def test_links_have_the_mount_point_and_the_path() -> None:
    registry = FakeRegistry(pages="/browse")
    image = registry.add_image("team/app:1")
    reader = Reader(registry.app, SCRIPT_NAME="/hub")
    links = links_in(reader.page("/browse/repositories/team/app"))
    image_page = f"/hub/browse/images/{image.id}?repository=team/app"
    assert links == {"Repositories": "/hub/browse/", image.id[:12]: image_page}
    assert (
        links_in(reader.page(image_page.removeprefix("/hub")))["team/app"]
        == "/hub/browse/repositories/team/app"
    )


def test_an_outage_gets_an_error_page(registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.add_image("team/app:1")

    def fail(key: str) -> bytes:
        raise StorageUnavailable(key, "the disk /secret is on fire")

    monkeypatch.setattr(registry.storage, "read", fail)
    page = Reader(registry.app).page("/repositories/team/app", 503)
    assert "/secret" not in str(page)


def test_pages_of_users_are_not_cached() -> None:
    registry = town()
    assert Reader(registry.app).ask("/repositories/debian").header("Cache-Control") == "no-cache"
    answer = Reader(registry.app, "mira_k").ask("/repositories/mira_k/ledger")
    assert answer.header("Cache-Control") == "no-store"


# -- the model


def list_of(registry: FakeRegistry, can_read: object = None) -> TagList:
    allows = can_read if callable(can_read) else lambda image_id: True

    def content_of(image_id: str) -> Content | None:
        return Content(image_id) if allows(image_id) else None

    return TagList(Repositories(registry.storage), Images(registry.storage), NAME, content_of)


def test_hidden_layers_are_not_measured(registry: FakeRegistry) -> None:
    hidden = registry.add_image(layer=b"x" * 3000)
    registry.add_image("team/app:1", layer=b"y" * 100, parent=hidden)
    registry.add_image("team/app:2", layer=b"z" * 200, parent=hidden)
    listed = list_of(registry, lambda image_id: image_id != hidden.id)
    for facts in listed.facts(listed.tags):
        assert facts.is_readable
        assert (facts.layer_count, facts.shared_count, facts.shared_bytes) == (2, 1, 0)
        assert facts.size_bytes in (100, 200)
        assert not facts.is_whole


def test_a_hidden_image_shows_only_its_id(registry: FakeRegistry) -> None:
    registry.add_image("team/app:1", layer=b"y" * 100)
    listed = list_of(registry, lambda image_id: False)
    (facts,) = listed.facts(listed.tags)
    assert not facts.is_readable
    assert (facts.layer_count, facts.size_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("below", "most", "shared"), [(1, 60, 1), (1, 59, None), (21, 66, 21), (21, 65, None)]
)
def test_sharing_is_not_shown_over_the_limit(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch, below: int, most: int, shared: int | None
) -> None:
    """Three images count as 60 layers at least; with 22 layers each they count as 66."""
    base = registry.add_image(layers=below)
    for tag in ("a", "b", "c"):
        registry.add_image(f"team/app:{tag}", parent=base)
    monkeypatch.setattr(tag_lists, "MOST_COMPARED", most)
    listed = list_of(registry)
    assert {facts.shared_count for facts in listed.facts(listed.tags)} == {shared}
    table = words(Reader(registry.app).page("/repositories/team/app").select_one("tbody"))
    assert ("shared" in table) is (shared is not None)


def test_the_number_of_measured_layers_is_bounded(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add_image("team/app:1", layer=b"x" * 10, layers=3)
    for most, is_whole in ((3, True), (2, False)):
        monkeypatch.setattr(tag_lists, "MOST_MEASURED", most)
        listed = list_of(registry)
        (facts,) = listed.facts(listed.tags)
        assert (facts.layer_count, facts.is_whole) == (3, is_whole)


def test_tags_set_at_the_same_time_are_sorted_by_name(registry: FakeRegistry) -> None:
    registry.add_image("team/app:x")
    listed, now = list_of(registry), datetime(2015, 1, 1, tzinfo=timezone.utc)
    listed.tags = [Tag(name, "0" * 64, now) for name in ("b", "latest", "a")]
    assert [tag.name for tag in listed.sorted(by_name=False)] == ["latest", "a", "b"]


def test_public_pages_link_to_nothing_private() -> None:
    registry = town()
    secret = registry.tags("mira_k/ledger")["2015"]
    for address in ("/", "/repositories/mira_k/shop", "/repositories/debian"):
        assert secret[:12] not in str(Reader(registry.app).page(address))
