"""The breadcrumbs of an image lead back to the repository that the visitor came from."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from support.reader import ATTACKS, PEOPLE, Reader, links_in, town, words
from v1registry_fakes import FakeRegistry

from v1registry.names import RepositoryName
from v1registry.registry import layout
from v1registry.registry.repositories import Repositories
from v1registry.web import browse_images

PAGES = ["", "/files", "/changes"]
FOLDER = ["srv/1/x", "srv/2/x", "srv/3/x"]


def way_in(reader: Reader, address: str, status: int = 200) -> str:
    return words(reader.page(address, status).select_one("nav.way"))


def test_image_pages_link_back_to_the_repository(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browse_images, "ENTRIES_SHOWN", 2)
    base = registry.add_image("team/app:base", files=dict.fromkeys(["a", "b", "c", *FOLDER], ""))
    image = registry.add_image(
        "team/app:1", files=dict.fromkeys(["d", "e", "f", *FOLDER], "changed"), parent=base
    )
    reader, seen = Reader(registry.app), set()
    found = [link for link in links_in(reader.page("/repositories/team/app")).values() if "/images/" in link]
    while found:
        address = found.pop()
        if address in seen:
            continue
        seen.add(address)
        page = reader.page(address)
        assert words(page.select_one("nav.way")).startswith("Repositories › team/app › Image ")
        assert links_in(page)["team/app"] == "/repositories/team/app"
        found += [str(link["href"]) for link in page.select("a[href*='/images/']")]

    assert all("repository=team/app" in address for address in seen)
    for each in (image, base):
        for part in (
            "?",
            "/files?page=2",
            "/files?path=srv&page=2",
            "/files?path=srv/3",
            "/changes?kind=added&page=2",
        ):
            assert any(address.startswith(f"/images/{each.id}{part}") for address in seen), part


def test_the_page_of_an_unreadable_layer_leads_back(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:1", layer=b"no archive")
    address = f"/images/{image.id}/files?repository=team/app"
    way = f"Repositories › team/app › Image {image.id[:12]}"
    assert way_in(Reader(registry.app), address, 400) == way


def test_official_repositories_have_short_names(registry: FakeRegistry) -> None:
    image = registry.add_image("debian:8")
    for name in ("library/debian", "debian", "library/debian/"):
        page = Reader(registry.app).page(f"/images/{image.id}?repository={name}")
        assert links_in(page)["debian"] == "/repositories/library/debian"


def test_without_origin_breadcrumbs_lead_to_the_list(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:1")
    assert way_in(Reader(registry.app), f"/images/{image.id}") == "Repositories"
    assert (
        way_in(Reader(registry.app), f"/images/{image.id}/files") == f"Repositories › Image {image.id[:12]}"
    )


@pytest.mark.parametrize("what", PAGES)
@pytest.mark.parametrize(
    "name",
    [
        *ATTACKS,
        "team/absent",
        "team/other",
        "x",
        "..",
        "a/..",
        "../../etc",
        "a//b",
        "/",
        "//evil.example.org",
        "https://evil.example.org/",
        "\0",
        "a\nb",
        "a" * 3000,
        "a/" * 500,
        "\udcff",
        "_deleted",
        "-/app",
    ],
)
def test_a_repository_without_the_image_is_ignored(registry: FakeRegistry, name: str, what: str) -> None:
    """Not even an existing repository: a link must not make an image look like part of another repository."""
    image = registry.add_image("team/app:1")
    registry.add_image("team/other:1", files={"other": ""})
    reader = Reader(registry.app)
    asked = quote(name.encode("utf-8", "surrogateescape"))
    plain = reader.ask(f"/images/{image.id}{what}")
    assert reader.ask(f"/images/{image.id}{what}?repository={asked}").body == plain.body


def test_an_invalid_old_name_is_shown(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:1")
    for attack in ATTACKS:
        name = RepositoryName("team", attack.replace("/", "_"))
        registry.storage.write(f"{layout.repository_folders(name)[-1]}/tag_latest", image.id.encode())
        reader = Reader(registry.app)
        page = reader.page(f"/repositories/{str(name).encode().decode('latin-1')}")
        way = reader.page(links_in(page)[image.id[:12]]).select("nav.way a")
        assert words(way[-1]) == words(page.h1)
        assert unquote(str(way[-1]["href"])) == f"/repositories/{name}"


@pytest.mark.parametrize("what", PAGES)
@pytest.mark.parametrize(("who", "is_seen"), PEOPLE.items())
def test_a_private_repository_is_named_only_to_readers(who: str | None, is_seen: bool, what: str) -> None:
    """The image is public, because another repository has it too."""
    registry = town()
    image = registry.image("mira_k/ledger:2015")
    registry.tag(image, "mira_k/shop:ledger")
    reader = Reader(registry.app, who)
    hidden = reader.ask(f"/images/{image.id}{what}?repository=mira_k/ledger")
    absent = reader.ask(f"/images/{image.id}{what}?repository=mira_k/absent")
    assert hidden.status == absent.status == 200
    assert (hidden.body == absent.body) is not is_seen
    assert (b"mira_k/ledger" in hidden.body) is is_seen


def test_a_deleted_repository_is_not_named(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:1")
    Repositories(registry.storage).mark_deleted(RepositoryName("team", "app"))
    assert way_in(Reader(registry.app), f"/images/{image.id}?repository=team/app") == "Repositories"


def test_a_tagged_image_belongs_to_the_repository(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:1")
    Repositories(registry.storage).set_tag(RepositoryName("team", "new"), "1", image.id, "")
    assert way_in(Reader(registry.app), f"/images/{image.id}?repository=team/new").startswith(
        "Repositories › team/new"
    )


def test_a_repository_token_opens_no_other_page() -> None:
    registry = town()
    image = registry.image("mira_k/shop:1.0")
    reader = Reader(registry.app, "mira_k")
    granted = reader.ask("/v1/repositories/mira_k/shop/images", HTTP_X_DOCKER_TOKEN="true")
    token = granted.header("X-Docker-Token")
    reader.environ["HTTP_AUTHORIZATION"] = f"Token {token}"
    for name, way in (
        ("mira_k/shop", f"Repositories › mira_k/shop › Image {image.id[:12]}"),
        ("mira_k/ledger", "Repositories"),
        ("mira_k/absent", "Repositories"),
    ):
        assert way_in(reader, f"/images/{image.id}?repository={name}") == way
