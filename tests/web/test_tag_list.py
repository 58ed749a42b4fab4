"""Tags on the page of a repository: natural order, filter, and the size that a tag alone takes."""

from __future__ import annotations

import pytest
from support.reader import Reader, links_in, rows_of, words
from v1registry_fakes import FakeRegistry

PAGE = "/repositories/team/app"


def tags_at(registry: FakeRegistry, query: str) -> list[str]:
    rows = rows_of(Reader(registry.app).page(f"{PAGE}?{query}"))
    return [row[0].split()[0] for row in rows]


def many(registry: FakeRegistry, *tags: str) -> None:
    image = registry.add_image(f"team/app:{tags[0]}")
    for tag in tags[1:]:
        registry.tag(image, f"team/app:{tag}")


def test_numbers_in_tags_are_sorted_as_numbers(registry: FakeRegistry) -> None:
    many(registry, "1.10", "1.9", "latest", "10", "2", "1.9-rc10", "1.9-rc9", "b", "007", "7", "9" * 120)
    assert tags_at(registry, "sort=name") == [
        "latest",
        "1.9",
        "1.9-rc9",
        "1.9-rc10",
        "1.10",
        "2",
        "007",
        "7",
        "10",
        "9" * 120,
        "b",
    ]


def test_a_filter_shows_the_tags_with_a_text(registry: FakeRegistry) -> None:
    many(registry, *(f"1.{number}" for number in range(10)), "1.10", "2.1-RC", "latest")
    page = Reader(registry.app).page(f"{PAGE}?q=rc")
    assert [row[0].split()[0] for row in rows_of(page)] == ["2.1-RC"]
    assert "1 of 13 tags" in words(page.select_one("#tags"))
    assert links_in(page)["Show all tags"] == f"{PAGE}#tags"
    assert page.select_one('input[name="q"]')["value"] == "rc"
    page = Reader(registry.app).page(f"{PAGE}?q=1.1")
    assert links_in(page)["name"] == f"{PAGE}?q=1.1&sort=name#tags"
    assert tags_at(registry, "q=1.1&sort=name") == ["1.1", "1.10"]


def test_a_filter_without_a_match_says_so(registry: FakeRegistry) -> None:
    many(registry, "1", "2")
    page = Reader(registry.app).page(f"{PAGE}?q=absent")
    assert "0 of 2 tags" in words(page.select_one("#tags"))
    assert page.select("table") == []


def test_few_tags_have_no_filter(registry: FakeRegistry) -> None:
    many(registry, *map(str, range(10)))
    assert Reader(registry.app).page(PAGE).select("form.search") == []
    many(registry, "10")
    form = Reader(registry.app).page(f"{PAGE}?sort=name").select_one("form.search")
    assert form["action"] == f"{PAGE}#tags"
    assert form.select_one('input[name="sort"]')["value"] == "name"


@pytest.mark.parametrize("query", ["q=%00", "q=" + "x" * 5000, "q=%ff", "q=<script>", "q=%e2%80%ae"])
def test_odd_filters_do_no_harm(registry: FakeRegistry, query: str) -> None:
    many(registry, "1")
    assert len(rows_of(Reader(registry.app).page(f"{PAGE}?{query}"))) == 0


def test_the_filter_is_kept_on_the_next_page(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:base")
    for number in range(101):
        registry.storage.write(f"repositories/team/app/tag_t{number}", image.id.encode())
    page = Reader(registry.app).page(f"{PAGE}?q=t&sort=name")
    assert page.select_one("a[rel=next]")["href"] == f"{PAGE}?q=t&sort=name&page=2#tags"
    assert tags_at(registry, "q=t&sort=name&page=2") == ["t100"]


def test_a_tag_shows_the_size_that_it_alone_takes(registry: FakeRegistry) -> None:
    base = registry.add_image(layer=b"b" * 3072)
    registry.add_image("team/app:one", layer=b"x" * 1024, parent=base)
    two = registry.add_image("team/app:two", layer=b"y" * 2048, parent=base)
    rows = {row[0].split()[0]: row[2] for row in rows_of(Reader(registry.app).page(PAGE))}
    assert rows == {"one": "4.0 KiB 1.0 KiB of its own", "two": "5.0 KiB 2.0 KiB of its own"}
    registry.tag(two, "team/app:deux")
    rows = {row[0].split()[0]: row[2] for row in rows_of(Reader(registry.app).page(PAGE))}
    assert rows["two"] == rows["deux"] == "5.0 KiB 0 bytes of its own"


def test_a_single_tag_shows_one_size(registry: FakeRegistry) -> None:
    registry.add_image("team/app:one", layer=b"x" * 1024)
    assert rows_of(Reader(registry.app).page(PAGE))[0][2] == "1.0 KiB"
