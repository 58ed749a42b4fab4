"""Pages of layers with many files, with deep folders, and with a large expanded size."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from support.reader import Reader, links_in, rows_of, words
from v1registry_fakes import FakeImage, FakeRegistry

from v1registry import MemoryStorage
from v1registry.web.views.contents import MOST_MEMBERS, MOST_OF_WAY, LayerTree, TooManyMembers
from v1registry.web.views.packed import Packed, View

REFUSED = "The layer has too many files and folders to display."


def row(name: str, type_: str = "f", size: object = 1) -> list[Any]:
    return [name, type_, False, size, 1400000000, 0o644, 0, 0]


def registry_with(rows: object) -> tuple[FakeRegistry, FakeImage]:
    """Return a registry, and an image whose layer has these stored rows."""
    registry = FakeRegistry()
    image = registry.add_image("team/app:1", files={"a": ""})
    registry.storage.write(f"images/{image.id}/_files", json.dumps(rows).encode())
    return registry, image


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the reads of a storage: last part of the key -> count."""
    counts: Counter[str] = Counter()

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(storage: MemoryStorage, key: str, *arguments: Any) -> Any:
            found = method(storage, key, *arguments)
            counts[key.rpartition("/")[2]] += 1
            return found

        return call

    for name in ("open", "read"):
        monkeypatch.setattr(MemoryStorage, name, watched(getattr(MemoryStorage, name)))
    return counts


# -- caching


def test_a_file_list_is_read_once_for_all_pages(opened: Counter[str]) -> None:
    registry, image = registry_with([row(f"d{number % 3}/f{number:03}") for number in range(900)])
    reader = Reader(registry.app)
    for query in ("", "?path=d1", "?path=d1&page=2", "?path=d2/f002", ""):
        reader.page(f"/images/{image.id}/files{query}")
    assert opened["_files"] == 1


def test_changes_are_read_once_for_all_pages(opened: Counter[str]) -> None:
    registry = FakeRegistry()
    image = registry.add_image(files={f"f{number}": "" for number in range(201)})
    reader = Reader(registry.app)
    reader.page(f"/images/{image.id}/changes")
    read = opened["_diff"]
    for query in ("", "?page=2", "?kind=removed"):
        reader.page(f"/images/{image.id}/changes{query}")
    assert opened["_diff"] == read


def test_a_replaced_file_list_is_shown() -> None:
    registry, image = registry_with([row("old")])
    reader = Reader(registry.app)
    assert rows_of(reader.page(f"/images/{image.id}/files"))[0][0] == "old"
    registry.storage.write(f"images/{image.id}/_files", json.dumps([row("new")]).encode())
    assert rows_of(reader.page(f"/images/{image.id}/files"))[0][0] == "new"


def test_two_registries_share_no_cache() -> None:
    first, image = registry_with([row("one")])
    second = FakeRegistry()
    other = second.add_image(id=image.id, files={"two": ""})
    assert other.id == image.id
    for registry, name in ((first, "one"), (second, "two"), (first, "one")):
        assert rows_of(Reader(registry.app).page(f"/images/{image.id}/files"))[0][0] == name


# -- limits


def test_too_many_files_are_refused_and_read_once(opened: Counter[str]) -> None:
    registry, image = registry_with([row(f"f{number}") for number in range(MOST_MEMBERS + 1)])
    reads = []
    for _ in range(3):
        page = Reader(registry.app).page(f"/images/{image.id}/files", 400)
        assert words(page.select_one(".alert")) == REFUSED
        assert links_in(page)["Back to the image"] == f"/images/{image.id}"
        reads.append(opened["_files"])
    assert reads[0] == reads[-1]


def test_the_maximum_number_of_files_is_shown() -> None:
    folders = LayerTree([row(f"f{number}") for number in range(20)], most_members=20)
    assert folders.folder("") is not None
    with pytest.raises(TooManyMembers):
        LayerTree([row(f"f{number}") for number in range(21)], most_members=20)


def test_implied_folders_count() -> None:
    folders = LayerTree([row("/".join("d" * 20) + "/f")], most_members=20)
    assert folders.folder("/".join("d" * 20)) is not None
    with pytest.raises(TooManyMembers):
        LayerTree([row("/".join("d" * 21) + "/f")], most_members=20)


def test_a_name_of_a_million_folders_is_refused() -> None:
    registry, image = registry_with([row("d/" * 1_000_000 + "f")])
    page = Reader(registry.app).page(f"/images/{image.id}/files", 400)
    assert words(page.select_one(".alert")) == REFUSED


@pytest.mark.parametrize("kept", ["_files", "_diff"])
def test_a_very_long_stored_list_is_refused(kept: str) -> None:
    registry = FakeRegistry()
    image = registry.add_image(files={"a": ""})
    registry.storage.write(f"images/{image.id}/{kept}", b"[" + b" " * (32 << 20) + b"]")
    what = "files" if kept == "_files" else "changes"
    page = Reader(registry.app).page(f"/images/{image.id}/{what}", 400)
    assert words(page.select_one(".alert")) == "The layer has more files than are listed here."


def test_pages_have_lower_limits_than_the_api() -> None:
    registry = FakeRegistry(max_shown_bytes="10k")
    image = registry.add_image("team/app:1", files={"big": "x" * 20_000})
    reader = Reader(registry.app)
    for what in ("files", "changes"):
        page = reader.page(f"/images/{image.id}/{what}", 400)
        assert (
            words(page.select_one(".alert")) == "The layer expands to more bytes than this server looks into."
        )
    assert reader.ask(f"/v1/images/{image.id}/files").status == 200
    assert rows_of(reader.page(f"/images/{image.id}/files"))[0][:2] == ["big", "19.5 KiB"]


def test_the_cache_needs_no_more_memory_than_stated() -> None:
    rows = [row(f"usr/share/part-{number % 500}/{number}/file-{number:06}.py") for number in range(20_000)]
    tracemalloc.start()
    try:
        folders = LayerTree(rows)
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.5 * folders.size_bytes < taken_bytes < 1.2 * folders.size_bytes


def test_sizes_of_any_length_are_shown() -> None:
    registry, image = registry_with([row("a", size=10**400), row("d/b", size=10**4000), row("d/c", size=5)])
    page = Reader(registry.app).page(f"/images/{image.id}/files")
    assert [cells[:2] for cells in rows_of(page)] == [["d / 2 files", "5 bytes"], ["a", "–"]]


# -- deep folders


@pytest.mark.parametrize(
    ("depth", "is_whole"), [(MOST_OF_WAY, True), (MOST_OF_WAY + 1, False), (2000, False)]
)
def test_a_long_path_shows_its_last_folders(depth: int, is_whole: bool) -> None:
    names = [f"{number}" for number in range(depth)] if depth < 100 else ["d"] * depth
    path = "/".join(names)
    registry, image = registry_with([row(f"{path}/f")])
    page = Reader(registry.app).page(f"/images/{image.id}/files?path={path}")
    steps = [words(item) for item in page.select(".path li")]
    assert steps == ["root", *([] if is_whole else ["…"]), *names[-MOST_OF_WAY:]]
    assert page.select(".path a")[-1]["href"] == f"/images/{image.id}/files?path={path.rpartition('/')[0]}"
    assert rows_of(page)[0][0] == "f"


# -- robots


@pytest.mark.parametrize("layer", [None, b"this is no archive"])
def test_robots_may_not_index_layers(layer: bytes | None) -> None:
    registry = FakeRegistry()
    files = {f"d/f{number:03}": "" for number in range(401)} if layer is None else None
    image = registry.add_image("team/app:1", layer=layer, files=files)
    reader = Reader(registry.app)
    for what in ("files", "files?path=d&page=2", "changes", "changes?page=2"):
        answer = reader.ask(f"/images/{image.id}/{what}")
        assert answer.header("X-Robots-Tag") == "noindex, nofollow"
    for address in ("/", "/repositories/team/app", f"/images/{image.id}"):
        assert reader.ask(address).header("X-Robots-Tag") is None
    for what in ("", "/files", "/files?path=d&page=2", "/changes", "/changes?page=2"):
        page = reader.page(f"/images/{image.id}{what}", 400 if what and layer else 200)
        inside = [
            link for link in page.select("a[href]") if "/files" in link["href"] or "/changes" in link["href"]
        ]
        assert inside or layer
        assert all("nofollow" in link["rel"] for link in inside), inside


# -- packed lists


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 401])
def test_a_packed_list_equals_the_list(count: int) -> None:
    values = [[number, "\ud800", None] for number in range(count)]
    packed = Packed(values)
    view = View(packed, lambda value: value[0])
    assert [packed[index] for index in range(-count, count)] == values * 2
    assert len(packed) == len(view) == count
    bounds = [None, 0, 1, 150, 199, 200, 201, 400, 999, -1]
    for start in bounds:
        for stop in bounds:
            assert view[start:stop] == list(range(count))[start:stop], (start, stop)
    for index in (count, -count - 1):
        with pytest.raises(IndexError):
            packed[index]
