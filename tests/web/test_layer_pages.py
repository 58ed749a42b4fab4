"""The pages of the files in a layer, and of its changes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reader import ATTACKS, Reader, checked, links_in, rows_of, words
from v1registry_fakes import FakeImage, FakeRegistry

from v1registry.web.views.contents import LayerTree, changes_of, path_of
from v1registry.web.views.texts import age, shown


def row(
    name: str, type_: str = "f", size: object = 1, *, deleted: object = False, **other: object
) -> list[Any]:
    facts = {"mtime": 1400000000, "mode": 0o644, "uid": 0, "gid": 0, **other}
    return [name, type_, deleted, size, facts["mtime"], facts["mode"], facts["uid"], facts["gid"]]


def image_with_rows(registry: FakeRegistry, rows: object) -> FakeImage:
    """Return an image whose layer has this stored list, as an old server may have left it."""
    image = registry.add_image()
    registry.storage.write(f"images/{image.id}/_files", json.dumps(rows).encode())
    return image


# -- files


def test_folders_of_a_layer_are_linked(registry: FakeRegistry) -> None:
    files = {"etc/motd": "hello", "srv/shop/a.py": "pass", "srv/shop/static/b.css": "x" * 2000, "top": ""}
    image = registry.add_image("team/app:1", files=files)
    reader = Reader(registry.app)
    page = reader.page(f"/images/{image.id}/files")
    assert [row[0] for row in rows_of(page)] == ["etc / 1 file", "srv / 2 files", "top"]
    assert [row[1] for row in rows_of(page)] == ["5 bytes", "2.0 KiB", "0 bytes"]
    assert "4 files, 2.0 KiB in all" in words(page.main)
    page = reader.page(links_in(page)["srv /"])
    page = reader.page(links_in(page)["shop /"])
    assert [row[0] for row in rows_of(page)] == ["static / 1 file", "a.py"]
    assert [words(item) for item in page.select(".path li")] == ["root", "srv", "shop"]
    assert words(page.select_one(".path [aria-current=page]")) == "shop"
    assert links_in(page)["root"] == f"/images/{image.id}/files"
    assert links_in(page)["srv"] == f"/images/{image.id}/files?path=srv"
    page = reader.page(links_in(page)["static /"])
    assert rows_of(page)[0][:2] == ["b.css", "2.0 KiB"]


def test_each_type_of_member_is_shown(registry: FakeRegistry) -> None:
    rows = [
        row("a", "f", 5, mode=0o100755, uid=1000, gid=100),
        row("b", "l", 0),
        row("c", "s", 0, mode=0o777),
        row("d", "c", 0),
        row("e", "b", 0),
        row("f", "d", 0, mode=0o1777),
        row("g", "i", 0, mtime=0),
        row("h", "u", 0),
        row("i", "f", 0, deleted=True),
    ]
    image = image_with_rows(registry, rows)
    page = Reader(registry.app).page(f"/images/{image.id}/files")
    found = {cells[0]: cells[1:] for cells in rows_of(page)}
    assert found["a"][:3] == ["5 bytes", "-rwxr-xr-x", "1000:100"]
    assert found["c symbolic link"][:2] == ["–", "lrwxrwxrwx"]
    assert found["f / 0 files"][:2] == ["0 bytes", "drwxrwxrwt"]
    assert found["g pipe"][3] == "–"
    assert {"b hard link", "d character device", "e block device", "h unknown type"} <= set(found)
    assert found["i removed by this layer"][0] == "–"
    assert "7 files, 5 bytes in all" in words(page.main)


def test_invalid_sizes_count_as_zero(registry: FakeRegistry) -> None:
    sizes: list[object] = [3, -5, "9", True, None, 1.5, {}, 4]
    image = image_with_rows(registry, [row(f"x/{number}", size=size) for number, size in enumerate(sizes)])
    page = Reader(registry.app).page(f"/images/{image.id}/files")
    assert rows_of(page)[0][:2] == ["x / 8 files", "7 bytes"]


def test_the_path_of_a_file_shows_the_file(registry: FakeRegistry) -> None:
    image = registry.add_image(files={"etc/motd": "hello"})
    page = Reader(registry.app).page(f"/images/{image.id}/files?path=/etc//motd")
    assert [cells[0] for cells in rows_of(page)] == ["motd"]


@pytest.mark.parametrize(
    "path",
    [
        "none",
        "..",
        "../..",
        "etc/none",
        "etc/motd/x",
        "/etc/passwd/../motd",
        "%00",
        "%ff",
        "a" * 9000,
        "%E2%80%AE",
        "*",
    ],
)
def test_an_unknown_path_is_404(registry: FakeRegistry, path: str) -> None:
    image = registry.add_image(files={"etc/motd": "hello"})
    page = Reader(registry.app).page(f"/images/{image.id}/files?path={path}", 404)
    assert words(page.h1) == "There is no such file or folder in this layer"


@pytest.mark.parametrize("path", ["", "/", ".", "./", "//", "/./."])
def test_equivalent_paths_show_the_root(registry: FakeRegistry, path: str) -> None:
    image = registry.add_image(files={"etc/motd": "hello"})
    page = Reader(registry.app).page(f"/images/{image.id}/files?path={quote(path)}")
    assert [cells[0] for cells in rows_of(page)] == ["etc / 1 file"]


def test_an_empty_layer_and_an_empty_folder_say_so(registry: FakeRegistry) -> None:
    reader = Reader(registry.app)
    nothing = registry.add_image(files={})
    assert "This layer has no files" in words(reader.page(f"/images/{nothing.id}/files").main)
    folder = registry.add_image(files={"tmp/": ""})
    assert "This folder is empty" in words(reader.page(f"/images/{folder.id}/files?path=tmp").main)


@pytest.mark.parametrize(("count", "sizes"), [(200, [200]), (201, [200, 1])])
def test_a_large_folder_is_on_several_pages(registry: FakeRegistry, count: int, sizes: list[int]) -> None:
    rows = [row(f"./big/f{number:04}") for number in range(count)]
    image = image_with_rows(registry, rows)
    reader, found = Reader(registry.app), []
    address: str | None = f"/images/{image.id}/files?path=big"
    while address is not None:
        page = reader.page(address)
        found.append([cells[0] for cells in rows_of(page)])
        assert f"{count} files" in words(page.main)
        following = page.select_one("a[rel~=next]")
        address = None if following is None else str(following["href"])
    assert [len(names) for names in found] == sizes
    assert [name for names in found for name in names] == [f"f{number:04}" for number in range(count)]


def test_50_000_files_in_one_folder_make_a_small_page(registry: FakeRegistry) -> None:
    image = image_with_rows(registry, [row(f"big/f{number}", size=10) for number in range(50_000)])
    answer = Reader(registry.app).ask(f"/images/{image.id}/files?path=big")
    assert len(answer.body) < 150_000
    assert "50,000 files, 488.3 KiB in all; 50,000 entries here, 1 to 200 shown" in words(
        checked(answer.body).main
    )


def test_unusual_names_have_working_links(registry: FakeRegistry) -> None:
    names = [
        "a b",
        "50%",
        "x?y",
        "#1",
        "é",
        "<b>",
        'q"',
        "a&b=c",
        "+",
        "%41",
        "\u202e",
        "\n",
        "ü\xff",
        "..",
        "…",
    ]
    image = image_with_rows(registry, [row(f"{name}/inside-{number}") for number, name in enumerate(names)])
    reader = Reader(registry.app)
    links = reader.page(f"/images/{image.id}/files").select("tbody a")
    assert len(links) == len(names)
    inside = []
    for link in links:
        path, _, query = str(link["href"]).partition("?")
        ((name, *_),) = rows_of(reader.page(f"{unquote_to_bytes(path).decode('latin-1')}?{query}"))
        inside.append(name)
    assert sorted(inside) == sorted(f"inside-{number}" for number in range(len(names)))


@pytest.mark.parametrize(
    "rows",
    [
        [row("a", size=-1), row("b", size="9" * 99), row("c", size=1 << 80), row("d", size=True),
         row("e", size=None)],
        [row("a", mtime=1 << 70), row("b", mtime=-1), row("c", mtime="x"), row("d", mtime=1e9),
         row("e", mtime=[])],
        [row("a", mode=1 << 70), row("b", mode=-1), row("c", mode="x"), row("d", mode=None),
         row("e", mode=[])],
        [row("a", uid=1 << 70), row("b", uid=-1), row("c", gid="x"), row("d", uid=None), row("e", gid=[])],
        [["a", [], {}, [], [], [], [], []], ["b", None, "yes", 1, 1, 1, 1, 1], ["", 1, 1, 1, 1, 1, 1, 1],
         ["x/y", [], 0, {}, 0, 0, 0, 0]],
        [row("a\ud800"), row("\ud800/b"), row("\udfff"), row("\0"), row("x" * 100_000)],
        [row("a"), row("a", "d"), row("a/b"), row("/a"), row("./a/"), row("a//b"), row("a/./b")],
        [row("/".join("d" * 5000))],
        [],
        None,
        {"a": 1},
        [[]],
        [1],
        [["a"]],
        "x",
    ],
)  # fmt: skip
def test_malformed_rows_of_old_servers_are_shown(registry: FakeRegistry, rows: object) -> None:
    image = image_with_rows(registry, rows)
    reader = Reader(registry.app)
    for query in ("", "?path=a", "?path=x", "?page=2", "?path=" + quote("/".join("d" * 400))):
        answer = reader.ask(f"/images/{image.id}/files{query}")
        assert answer.status in (200, 404), (query, answer.body)
        checked(answer.body)


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_file_names_are_escaped(registry: FakeRegistry, attack: str) -> None:
    image = registry.add_image(files={f"x/{attack}": "", f"{attack}/y": "", f"x/.wh.{attack}": ""})
    reader = Reader(registry.app)
    for what in ("files", "files?path=x", f"files?path={quote(attack)}", "changes", "changes?kind=removed",
                 f"changes?kind={quote(attack)}", f"files?page={quote(attack)}"):  # fmt: skip
        answer = reader.ask(f"/images/{image.id}/{what}")
        assert answer.status in (200, 404)
        page = checked(answer.body)
        assert "\u202e" not in words(page)


@pytest.mark.parametrize("what", ["files", "changes"])
@pytest.mark.parametrize(
    ("options", "layer", "text"),
    [
        ({}, b"this is no archive", "Layer format not supported."),
        ({"max_expanded_bytes": "1k"}, None, "The layer expands to more bytes than this server looks into."),
    ],
)
def test_an_unreadable_layer_says_why(
    options: dict[str, str], layer: bytes | None, text: str, what: str
) -> None:
    registry = FakeRegistry(**options)
    files = None if layer is not None else {"big": "x" * 5000}
    image = registry.add_image(layer=layer, files=files)
    page = Reader(registry.app).page(f"/images/{image.id}/{what}", 400)
    assert words(page.select_one(".alert")) == text
    assert links_in(page)["Back to the image"] == f"/images/{image.id}"
    Reader(registry.app).page(f"/images/{image.id}")


def test_an_image_without_a_layer_has_no_files(registry: FakeRegistry) -> None:
    image = registry.add_image()
    registry.storage.delete(f"images/{image.id}/layer")
    Reader(registry.app).page(f"/images/{image.id}/files", 404)


# -- changes


def test_changes_of_a_layer_are_shown(registry: FakeRegistry) -> None:
    base = registry.add_image(files={"etc/motd": "old", "etc/gone": "", "etc/kept": ""})
    image = registry.add_image(
        "team/app:1", files={"etc/motd": "new!", "srv/app.py": "pass", "etc/gone": None}, parent=base
    )
    reader = Reader(registry.app)
    page = reader.page(f"/images/{image.id}/changes")
    assert [words(tab) for tab in page.select(".tabs a")] == ["Added 1", "Changed 1", "Removed 1"]
    assert words(page.select_one(".tabs [aria-current=page]")) == "Added 1"
    assert rows_of(page)[0][:4] == ["srv/app.py", "file", "4 bytes", "-rw-r--r--"]
    page = reader.page(links_in(page)["Changed 1"])
    assert rows_of(page)[0][:3] == ["etc/motd", "file", "4 bytes"]
    page = reader.page(links_in(page)["Removed 1"])
    assert [cells[0] for cells in rows_of(page)] == ["etc/gone"]


def test_the_first_kind_with_changes_is_shown(registry: FakeRegistry) -> None:
    base = registry.add_image(files={"a": ""})
    image = registry.add_image(files={"a": None}, parent=base)
    for query in ("", "?kind=", "?kind=none", "?kind=%00"):
        page = Reader(registry.app).page(f"/images/{image.id}/changes{query}")
        assert words(page.select_one(".tabs [aria-current=page]")) == "Removed 1"
    page = Reader(registry.app).page(f"/images/{image.id}/changes?kind=added")
    assert "This layer added no files." in words(page.main)


def test_many_changes_are_on_several_pages(registry: FakeRegistry) -> None:
    image = registry.add_image(files={f"f{number:03}": "" for number in range(201)})
    reader = Reader(registry.app)
    page = reader.page(f"/images/{image.id}/changes")
    assert len(rows_of(page)) == 200
    assert "1 to 200 of 201 shown" in words(page.main)
    assert [cells[0] for cells in rows_of(reader.page(links_in(page)["Next"]))] == ["f200"]
    for asked in ("2", "99", "9" * 30):
        assert len(rows_of(reader.page(f"/images/{image.id}/changes?page={asked}"))) == 1


@pytest.mark.parametrize(
    "diff",
    [
        {"created": {"a": ["f", False, 1, 1, 1, 1, 1]}, "changed": [], "deleted": None},
        {"created": {"a": None, "b": [], "c": [[], {}, [], [], [], [], []], "\ud800": 1, "": "x"}},
        {"created": "x", "changed": {"a": "b"}},
        {},
    ],
)
def test_malformed_changes_of_old_servers_are_shown(registry: FakeRegistry, diff: object) -> None:
    image = registry.add_image()
    registry.storage.write(f"images/{image.id}/_diff", json.dumps(diff).encode())
    for kind in ("", "?kind=added", "?kind=changed", "?kind=removed"):
        Reader(registry.app).page(f"/images/{image.id}/changes{kind}")


# -- the model

members = st.text("ab/.", min_size=1, max_size=8)


@given(st.lists(st.tuples(members, st.sampled_from("fds"), st.integers(0, 9)), max_size=12))
def test_every_file_is_found_by_walking_and_sums_agree(found: list[tuple[str, str, int]]) -> None:
    rows = [row(name, type_, size if type_ == "f" else 0) for name, type_, size in found]
    last = {path_of(name): (type_, size) for name, type_, size in found}
    parents = {path[:at] for path in last for at in range(len(path)) if path[at] == "/"}
    files = {
        path: size if type_ == "f" else 0
        for path, (type_, size) in last.items()
        if path and type_ != "d" and path not in parents
    }

    folders = LayerTree(rows)

    def walk(path: str) -> dict[str, int]:
        folder = folders.folder(path)
        assert folder is not None
        seen: dict[str, int] = {}
        for entry in folder.entries:
            if entry.is_folder:
                inside = walk(entry.path)
                assert entry.size_bytes >= sum(inside.values())
                seen |= inside
            else:
                seen[entry.path] = entry.size_bytes or 0
        return seen

    assert walk("") == files


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"[]", b"3", b"[" * 9999, b"\xff"])
def test_invalid_changes_are_ignored(data: bytes) -> None:
    assert changes_of(data) == {"added": {}, "changed": {}, "removed": {}}


@given(st.text(), st.integers(0, 50))
def test_shown_text_is_encodable_and_short(text: str, longest: int) -> None:
    line = shown(text + "\ud800\u202e\0\x1b", longest)
    line.encode("utf-8")
    assert len(line) <= longest + 1
    assert not set(line) & set("\ud800\u202e\0\x1b\n\r\u2028")


def test_ages_are_shown_in_the_largest_unit() -> None:
    from datetime import datetime, timedelta

    now = datetime(2015, 6, 1)  # noqa: DTZ001
    told = [
        age(now - timedelta(seconds=seconds), now)
        for seconds in (-9, 0, 59, 60, 3599, 3600, 86399, 86400, 30 * 86400, 365 * 86400)
    ]
    assert told == [
        "just now", "just now", "just now", "1 minute ago", "59 minutes ago", "1 hour ago", "23 hours ago",
        "1 day ago",
        "1 month ago", "1 year ago",
    ]  # fmt: skip
