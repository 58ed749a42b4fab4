"""The start page: the list of repositories, and search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from support.faulty_storage import FaultyStorage
from support.reader import ATTACKS, HTML, PEOPLE, Reader, checked, describe, links_in, names_in, town, words
from support.wsgi_client import call
from v1registry_fakes import FakeRegistry

from v1registry import MemoryStorage, Registry
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.storage.base import StorageUnavailable


def fill(registry: FakeRegistry, count: int) -> None:
    for number in range(count):
        registry.add_repository(f"team/app-{number:03}")


# -- the start page


@pytest.mark.parametrize("accept", ["*/*", "application/json", "", "text/html;q=0", "text/plain, */*;q=0.1"])
def test_other_clients_get_the_json_string(registry: FakeRegistry, accept: str) -> None:
    answer = call(registry.app, "GET", "/", HTTP_ACCEPT=accept)
    assert (answer.status, json.loads(answer.body)) == (200, "docker-registry server")
    assert answer.header("Vary") == "Accept"


@pytest.mark.parametrize("accept", [HTML, "text/html", "application/json, text/HTML;q=0.1"])
def test_a_client_that_accepts_html_gets_the_page(registry: FakeRegistry, accept: str) -> None:
    answer = call(registry.app, "GET", "/", HTTP_ACCEPT=accept)
    assert (answer.status, answer.header("Content-Type")) == (200, "text/html; charset=utf-8")
    assert "Accept" in (answer.header("Vary") or "")
    checked(answer.body)


@pytest.mark.parametrize("accept", ["*/*", HTML])
def test_head_is_answered_as_get_is(registry: FakeRegistry, accept: str) -> None:
    got = call(registry.app, "GET", "/", HTTP_ACCEPT=accept)
    asked = call(registry.app, "HEAD", "/", HTTP_ACCEPT=accept)
    assert asked.body == b""
    for name in ("Content-Type", "Content-Length", "Vary", "Cache-Control"):
        assert asked.header(name) == got.header(name)


def test_other_methods_are_refused(registry: FakeRegistry) -> None:
    for path in ("/", "/repositories/a/b", f"/images/{'0' * 64}"):
        answer = call(registry.app, "POST", path)
        assert (answer.status, answer.header("Allow")) == (405, "GET, HEAD")


def site(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the site's own"]


def test_in_front_of_an_application_pages_need_a_path() -> None:
    plain = Registry(storage=MemoryStorage()).in_front_of(site)
    for path in ("/", "/repositories/a/b", "/images/x", "/static/pages.css"):
        assert call(plain, "GET", path, HTTP_ACCEPT=HTML).body == b"the site's own"
    below = Registry(storage=MemoryStorage(), pages="/registry").in_front_of(site)
    for path in ("/", "/registryx", "/repositories/a/b"):
        assert call(below, "GET", path, HTTP_ACCEPT=HTML).body == b"the site's own"
    for path in ("/registry", "/registry/"):
        page = Reader(below).page(path)
        assert page.select_one("form[role=search]")["action"] == "/registry/"
        # the string has another address, so */* gets the page here
        assert call(below, "GET", path).header("Content-Type") == "text/html; charset=utf-8"


def test_pages_below_a_path_leave_the_string_at_the_root() -> None:
    app = Registry(storage=MemoryStorage(), pages="/registry")
    assert json.loads(call(app, "GET", "/", HTTP_ACCEPT=HTML).body) == "docker-registry server"
    Reader(app).page("/registry/")


def test_without_pages_the_root_is_the_json_string() -> None:
    app = Registry(storage=MemoryStorage(), pages="off")
    assert json.loads(call(app, "GET", "/", HTTP_ACCEPT=HTML).body) == "docker-registry server"
    for path in ("/repositories/a/b", f"/images/{'0' * 64}", "/static/pages.css"):
        assert call(app, "GET", path, HTTP_ACCEPT=HTML).status == 404


def test_with_an_external_index_there_are_no_pages() -> None:
    app = Registry(storage=MemoryStorage(), index="https://index.example.com")
    assert json.loads(call(app, "GET", "/", HTTP_ACCEPT=HTML).body) == "docker-registry server"


def test_all_addresses_have_the_mount_point(registry: FakeRegistry) -> None:
    fill(registry, 26)
    page = Reader(registry.app, SCRIPT_NAME="/a b").page("/?q=app")
    addresses = [
        str(element[name]) for name in ("href", "src", "action") for element in page.select(f"[{name}]")
    ]
    assert len(addresses) > 25
    assert all(address.startswith(("/a%20b/", "#")) for address in addresses), addresses


# -- the list


def test_official_repositories_come_first() -> None:
    registry = town()
    page = Reader(registry.app, "mira_k").page("/")
    for details in page.select(".listing .short"):
        details.extract()
    items = [words(item) for item in page.select(".listing li")]
    assert items == ["debian Official", "mira_k/ledger Private The secret books", "mira_k/shop"]


def test_each_repository_is_linked_once(registry: FakeRegistry) -> None:
    registry.add_image("deep/er/and/deeper:1")
    registry.add_image("debian:8")
    links = [str(link["href"]) for link in Reader(registry.app).page("/").select(".listing a")]
    assert links == ["/repositories/library/debian", "/repositories/deep/er/and/deeper"]
    for link in links:
        Reader(registry.app).page(link)


@pytest.mark.parametrize(("who", "is_seen"), PEOPLE.items())
def test_private_repositories_are_listed_only_to_readers(who: str | None, is_seen: bool) -> None:
    registry = town()
    reader = Reader(registry.app, who)
    for address in ("/", "/?q=ledger", "/?q=SECRET+books", "/?q=mira_k%2Fledger", "/?q=ledger&part=results"):
        page = checked(reader.ask(address).body)
        assert ("mira_k/ledger" in names_in(page)) is is_seen, address
        assert ("secret" in words(page).replace("SECRET", "")) is is_seen, address
    listed = names_in(reader.page("/"))
    assert words(reader.page("/").select_one(".count")) == f"{len(listed)} repositories"


def test_hidden_repositories_look_like_none() -> None:
    hidden = FakeRegistry(auth="users:")
    hidden.add_repository("mira_k/one", is_private=True)
    bodies = {Reader(registry.app).ask("/").body for registry in (hidden, FakeRegistry(auth="users:"))}
    assert len(bodies) == 1


def test_a_deleted_repository_is_not_listed(registry: FakeRegistry) -> None:
    fill(registry, 2)
    Repositories(registry.storage).mark_deleted(RepositoryName("team", "app-000"))
    assert names_in(Reader(registry.app).page("/")) == ["team/app-001"]


def test_an_empty_registry_says_so(registry: FakeRegistry) -> None:
    assert "No repositories yet" in words(Reader(registry.app).page("/").main)


@pytest.mark.parametrize(
    ("description", "summary"),
    [
        ("# Title\n\nText", "Title"),
        ("\n\n**bold** and `code` and [a link](https://x.example)", "bold and code and a link"),
        ("---\n===\nsnake_case stays", "snake_case stays"),
        ("x" * 300, "x" * 200 + "…"),
        ("![logo](https://x.example/l.png) Name", "logo Name"),
    ],
)
def test_the_list_shows_the_summary(registry: FakeRegistry, description: str, summary: str) -> None:
    registry.add_repository("a/b")
    describe(registry, "a/b", description)
    assert words(Reader(registry.app).page("/").select_one(".listing p")) == summary


# -- search


def test_search_matches_names_and_descriptions(registry: FakeRegistry) -> None:
    for name, description in (("a/web", ""), ("b/db", "For the WEB shop"), ("c/mail", "postfix")):
        registry.add_repository(name)
        describe(registry, name, description)
    reader = Reader(registry.app)
    assert names_in(reader.page("/?q=wEb")) == ["a/web", "b/db"]
    assert names_in(reader.page("/?q=shop+db")) == ["b/db"]
    page = reader.page("/?q=%20web%20")
    assert page.select_one("input[type=search]")["value"] == "web"
    assert words(page.select_one(".count")) == "2 repositories with web"


def test_an_exact_name_comes_first(registry: FakeRegistry) -> None:
    for name in ("library/web-shop", "a/web", "web"):
        registry.add_repository(name)
    assert names_in(Reader(registry.app).page("/?q=a/web")) == ["a/web"]
    assert names_in(Reader(registry.app).page("/?q=web")) == ["web", "web-shop", "a/web"]


def test_an_empty_search_links_to_the_list(registry: FakeRegistry) -> None:
    page = Reader(registry.app).page("/?q=nothing")
    assert words(page.select_one(".count")) == "No repository found"
    assert links_in(page)["Show all repositories"] == "/"


def test_search_is_a_plain_form(registry: FakeRegistry) -> None:
    form = Reader(registry.app).page("/").select_one("form[role=search]")
    assert (form["method"], form["action"]) == ("get", "/")
    field = form.select_one("input")
    assert (field["name"], field["type"]) == ("q", "search")
    assert words(form.select_one(f"label[for={field['id']}]"))
    assert form.select_one("button[type=submit]")


def test_the_list_part_equals_that_of_the_page(registry: FakeRegistry) -> None:
    fill(registry, 30)
    reader = Reader(registry.app)
    for query in ("", "q=app", "q=app&page=2", "q=none"):
        part = reader.ask(f"/?{query}&part=results").body.decode()
        assert "<html" not in part
        assert part.strip() in reader.ask(f"/?{query}").body.decode()
        assert checked(part.encode()).select_one("[data-announce]")["data-announce"]


# -- pages


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, [0]), (25, [25]), (26, [25, 1]), (50, [25, 25]), (51, [25, 25, 1])]
)
def test_pages_list_each_item_once(registry: FakeRegistry, count: int, sizes: list[int]) -> None:
    fill(registry, count)
    reader, address, seen = Reader(registry.app), "/", []
    found: list[int] = []
    while True:
        page = reader.page(address)
        seen += names_in(page)
        found.append(len(names_in(page)))
        following = page.select_one("a[rel=next]")
        if following is None:
            break
        address = str(following["href"])
    assert found == sizes
    assert seen == [f"team/app-{number:03}" for number in range(count)]
    while (previous := reader.page(address).select_one("a[rel=prev]")) is not None:
        address = str(previous["href"])
    assert address == "/"


def test_the_total_is_shown_if_it_is_known(registry: FakeRegistry) -> None:
    fill(registry, 30)
    reader = Reader(registry.app)
    assert words(reader.page("/").select_one(".count")) == "More than 25 repositories"
    assert words(reader.page("/?page=2").select_one(".count")) == "30 repositories"


def test_pages_keep_the_search(registry: FakeRegistry) -> None:
    fill(registry, 30)
    assert links_in(Reader(registry.app).page("/?q=app"))["Next"] == "/?q=app&page=2"


@pytest.mark.parametrize("page", ["-1", "0", "x", "%00", "1.5", "", "%ff", "+1", "1e9", "٣"])
def test_an_invalid_page_number_shows_the_first(registry: FakeRegistry, page: str) -> None:
    fill(registry, 26)
    assert len(names_in(Reader(registry.app).page(f"/?page={quote(page, safe='%+')}"))) == 25


@pytest.mark.parametrize("page", ["3", "99999999999999999999", "9" * 5000])
def test_a_page_past_the_end_shows_the_last(registry: FakeRegistry, page: str) -> None:
    fill(registry, 26)
    assert names_in(Reader(registry.app).page(f"/?page={page}")) == ["team/app-025"]


@pytest.mark.parametrize(
    "query",
    ["%00", "%ff%fe", "%ed%a0%80", "a" * 5000, "%20", "+" * 500, "%E2%80%AE", "%0d%0aX:y", "&&&=", "q"],
)
def test_invalid_queries_are_clamped(registry: FakeRegistry, query: str) -> None:
    fill(registry, 1)
    page = Reader(registry.app).page(f"/?q={query}")
    assert len(page.select_one("input[type=search]")["value"]) <= 201


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_values_are_escaped(registry: FakeRegistry, attack: str) -> None:
    registry.add_repository("vera/hostile")
    describe(registry, "vera/hostile", f"hostile {attack}")
    reader = Reader(registry.app)
    for address in (
        "/",
        f"/?q={quote(attack)}",
        f"/?q=hostile&page={quote(attack)}",
        f"/?part={quote(attack)}",
    ):
        checked(reader.ask(address).body)
    if attack.startswith("<script"):
        assert "alert(1)" in words(reader.page("/").select_one(".listing p"))
        assert reader.page(f"/?q={quote(attack)}").select_one("input[type=search]")["value"] == attack


def test_invalid_old_names_have_working_links(registry: FakeRegistry) -> None:
    """docker-registry accepted any name. Each must have a working address."""
    names = ["a b", "50%", "x?y", "#1", "é", "<b>", 'q"uote', "a%2Fb"]
    for name in names:
        folder = f"repositories/team/{quote(quote(name, safe=''), safe='').replace('%2520', '%2B')}"
        registry.storage.write(f"{folder}/_index_images", b"[]")
    page = Reader(registry.app).page("/")
    assert len(names_in(page)) == len(names)
    for link in page.select(".listing a"):
        answer = call(registry.app, "GET", _decoded(str(link["href"])), HTTP_ACCEPT=HTML)
        assert answer.status == 200, link
        assert words(checked(answer.body).h1) == words(link)


def _decoded(address: str) -> str:
    """Return an address as WSGI servers pass it: decoded once, each byte a character."""
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(address).decode("latin-1")


# -- errors, custom templates, static files


def test_an_outage_gets_an_error_page() -> None:
    storage = FaultyStorage()
    storage.fail("list_folders", error=StorageUnavailable("repositories", "the disk /secret is on fire"))
    page = Reader(Registry(storage=storage)).page("/", 503)
    assert words(page.h1) == "The storage is not available, retry later"
    assert "/secret" not in str(page)


def test_templates_and_static_files_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "repositories.html").write_text(
        '{% extends "base.html" %}{% block content %}<h1>Ours: {{ part.items | length }}</h1>{% endblock %}'
    )
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "pages.css").write_text("body { color: red }")
    reader = Reader(Registry(storage=MemoryStorage(), templates=str(tmp_path)))
    page = reader.page("/")
    assert words(page.h1) == "Ours: 0"
    sheet = reader.ask(str(page.select_one("link[rel=stylesheet]")["href"]))
    assert sheet.body == b"body { color: red }"


def test_static_files_are_cached_until_they_change(registry: FakeRegistry) -> None:
    reader = Reader(registry.app)
    page = reader.page("/")
    addresses = [str(element[name]) for name in ("href", "src") for element in page.select(f"head [{name}]")]
    assert len(addresses) == 3
    for address in addresses:
        answer = reader.ask(address)
        assert answer.status == 200
        assert answer.header("Cache-Control") == "public, max-age=31536000, immutable"
        assert reader.ask(address.partition("?")[0]).header("Cache-Control") == "no-cache"
        assert reader.ask(address.partition("?")[0] + "?v=old").header("Cache-Control") == "no-cache"


@pytest.mark.parametrize(
    "name", ["none.css", "..", "../pages.py", "..%2fpages.py", "\0", "pages.css\0", "/etc/passwd"]
)
def test_other_static_files_are_404(registry: FakeRegistry, name: str) -> None:
    assert Reader(registry.app).ask(f"/static/{name}").status == 404


def test_pages_load_nothing_from_other_sites(registry: FakeRegistry) -> None:
    answer = Reader(registry.app).ask("/")
    policy = answer.header("Content-Security-Policy") or ""
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
