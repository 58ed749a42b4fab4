"""The page by which administrators see what uses the disk."""

from __future__ import annotations

import json
import random

import pytest
from support.reader import ATTACKS, Reader, links_in, words
from v1registry_fakes import FakeRegistry

from v1registry import Registry
from v1registry.housekeeping.kept_usage import RepositoryUsage, Totals, Usage, keep
from v1registry.web import usage as usage_page


def registry_of(**settings: str) -> FakeRegistry:
    registry = FakeRegistry(auth="users:", **settings)
    registry.add_user("root1", is_administrator=True)
    registry.add_user("mira_k")
    return registry


def keep_rows(registry: FakeRegistry, *rows: RepositoryUsage, repositories: int | None = None) -> None:
    count = len(rows) if repositories is None else repositories
    totals = Totals(registry.clock.time_s() - 7200, count, 12, 34, 5 << 20, 1 << 20, 2048, 0, 0)
    keep(registry.storage, Usage(totals, rows))


def test_before_the_first_run_the_page_names_the_command() -> None:
    page = Reader(registry_of().app, "root1").page("/usage")

    assert "Nothing has been measured yet" in words(page.main)
    assert "v1registry usage" in words(page.main)


def test_the_page_shows_the_last_report() -> None:
    registry = registry_of()
    registry.add_image("mira_k/large:1", files={"a": random.Random(1).randbytes(5000).hex()})
    registry.add_image("mira_k/small:1")
    Registry(registry.storage).housekeeping.usage()

    page = Reader(registry.app, "root1").page("/usage")

    rows = [words(row) for row in page.select("tbody tr")]
    assert [row.split()[0] for row in rows] == ["mira_k/large", "mira_k/small"]
    assert links_in(page)["mira_k/large"] == "/repositories/mira_k/large"
    assert "2 repositories" in words(page.main)


def test_the_page_says_when_it_was_measured() -> None:
    registry = registry_of()
    keep_rows(registry, RepositoryUsage("mira_k/app", 1 << 20, 0, 3, 0))

    text = words(Reader(registry.app, "root1").page("/usage").main)

    assert "Measured 2 hours ago" in text
    assert "12 images and 34 blobs" in text
    assert "Quarantine" not in text


def test_nothing_is_measured_in_a_request() -> None:
    registry = registry_of()
    registry.add_image("mira_k/app:1")
    before = {stat.key: stat.etag for stat in registry.storage.list("")}

    Reader(registry.app, "root1").page("/usage")

    assert {stat.key: stat.etag for stat in registry.storage.list("")} == before


def test_many_repositories_have_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_page, "REPOSITORIES_SHOWN", 2)
    registry = registry_of()
    rows = [RepositoryUsage(f"mira_k/app{number}", 9 - number, 0, 1, 0) for number in range(5)]
    keep_rows(registry, *rows, repositories=2000)
    reader = Reader(registry.app, "root1")

    page = reader.page("/usage")

    assert len(page.select("tbody tr")) == 2
    assert "those 5 are listed that use the most alone, 1 to 2 shown" in words(page.main)
    page = reader.page(links_in(page)["Next"])
    assert [words(row).split()[0] for row in page.select("tbody tr")] == ["mira_k/app2", "mira_k/app3"]
    assert links_in(page)["Previous"] == "/usage"
    assert len(reader.page("/usage?page=99").select("tbody tr")) == 1


@pytest.mark.parametrize("name", ATTACKS)
def test_a_strange_name_is_escaped(name: str) -> None:
    registry = registry_of()
    keep_rows(registry, RepositoryUsage(f"mira_k/{name}", 1, 0, 1, 0))

    page = Reader(registry.app, "root1").page("/usage")

    (link,) = page.select("tbody th a")
    assert str(link["href"]).startswith("/repositories/mira_k/")
    assert "<" not in str(link["href"])


@pytest.mark.parametrize("stored", [b"{", b'{"totals": {}, "repositories": []}', b"[" * 5000])
def test_a_damaged_report_counts_as_missing(stored: bytes) -> None:
    registry = registry_of()
    registry.storage.write("housekeeping/usage", stored)

    assert "Nothing has been measured yet" in words(Reader(registry.app, "root1").page("/usage").main)


def test_a_report_with_impossible_numbers_counts_as_missing() -> None:
    registry = registry_of()
    keep_rows(registry, RepositoryUsage("mira_k/app", 1, 0, 1, 0))
    fields = json.loads(registry.storage.read("housekeeping/usage")[0])
    for value in (1e300, float("nan"), -1e300):
        fields["totals"]["measured_at_s"] = value
        registry.storage.write("housekeeping/usage", json.dumps(fields).encode())

        assert "Nothing has been measured yet" in words(Reader(registry.app, "root1").page("/usage").main)
    fields["totals"].update(measured_at_s=0, stored_bytes=10**400)
    registry.storage.write("housekeeping/usage", json.dumps(fields).encode())
    assert "Nothing has been measured yet" in words(Reader(registry.app, "root1").page("/usage").main)


# -- who may see it


def test_only_administrators_see_the_page() -> None:
    registry = registry_of()
    registry.add_image("root1/secret-name:1")
    Registry(registry.storage).housekeeping.usage()

    answer = Reader(registry.app, "mira_k").ask("/usage")
    assert answer.status == 403
    assert b"secret-name" not in answer.body

    answer = Reader(registry.app).ask("/usage")
    assert (answer.status, answer.header("Location")) == (303, "/login?next=/usage")


def test_only_administrators_get_a_link_to_the_page() -> None:
    registry = registry_of()

    assert links_in(Reader(registry.app, "root1").page("/account"))["disk usage"] == "/usage"
    assert "disk usage" not in links_in(Reader(registry.app, "mira_k").page("/account"))


def test_the_page_is_not_cached() -> None:
    answer = Reader(registry_of().app, "root1").ask("/usage")

    assert answer.header("Cache-Control") == "no-store"


@pytest.mark.parametrize(
    "settings", [{}, {"auth": "users:", "pages": "off"}, {"auth": "users:", "images": "elsewhere"}]
)
def test_without_accounts_pages_or_images_there_is_no_page(settings: dict[str, str]) -> None:
    if "images" in settings:
        settings = {**settings, "endpoints": "registry.example.org"}
    registry = Registry.from_settings({"storage": "memory:", **settings})

    assert Reader(registry).ask("/usage").status == 404


def test_the_page_is_below_the_path_of_the_pages() -> None:
    registry = registry_of(pages="/registry")

    assert "Disk usage" in words(Reader(registry.app, "root1").page("/registry/usage").main)
