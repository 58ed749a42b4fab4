"""The user's repositories on the page of the account."""

from __future__ import annotations

import pytest
from support.kept_mail import PUBLIC_URL, KeptMail
from support.managed import NAME, ManagedWorld
from support.page_person import PagesWorld
from support.reader import Reader, links_in, make_private, words
from v1registry_fakes import FakeRegistry

from v1registry import MemoryStorage, Registry
from v1registry.accounts import Callback
from v1registry.rights import User
from v1registry.web import account


def registry_of(*names: str) -> FakeRegistry:
    registry = FakeRegistry(auth="users:")
    for username in ("mira_k", "tomas"):
        registry.add_user(username)
    for name in names:
        registry.add_image(name)
    return registry


def test_the_account_names_the_repositories_of_its_user() -> None:
    registry = registry_of("mira_k/b:1", "mira_k/a:1", "tomas/c:1", "debian:8")
    make_private(registry, "mira_k/b")
    page = Reader(registry.app, "mira_k").page("/account")
    rows = [words(row) for row in page.select("#repositories-title + ul > li")]
    assert rows == ["mira_k/a Manage", "mira_k/b Private Manage"]
    assert links_in(page)["mira_k/a"] == "/repositories/mira_k/a"
    assert links_in(page)["Manage"] == "/manage/mira_k/a"


def test_many_repositories_lead_to_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "REPOSITORIES_NAMED", 2)
    registry = registry_of("mira_k/a:1", "mira_k/b:1", "mira_k/c:1")
    reader = Reader(registry.app, "mira_k")
    page = reader.page("/account")
    assert len(page.select("#repositories-title + ul > li")) == 2
    page = reader.page(links_in(page)["Show all of them"])
    assert len(page.select(".listing li")) == 3


def test_an_account_without_repositories_says_how_to_begin() -> None:
    page = Reader(registry_of().app, "mira_k").page("/account")
    assert "Push to a name that begins with mira_k/" in words(page.main)


def test_a_deleted_repository_is_not_named() -> None:
    world = ManagedWorld()
    world.repositories.mark_deleted(NAME)
    assert world.mira().get("/account").html.select("#repositories-title + ul") == []


def test_without_mail_no_address_is_marked_as_confirmed() -> None:
    for world, is_marked in (
        (PagesWorld(), False),
        (PagesWorld(mail=KeptMail(), public_url=PUBLIC_URL), True),
    ):
        page = world.mira().get("/account")
        marks = [words(mark) for mark in page.html.select("#emails-title + ul .mark")]
        assert ("confirmed" in marks) == is_marked


@pytest.mark.parametrize("username", ["..", ".", "a/b", "\u202e", "x" * 300, " ", "<script>"])
def test_a_user_of_any_name_has_an_account_page(username: str) -> None:
    app = Registry(storage=MemoryStorage(), auth=Callback(lambda name, password: User(name)))
    page = Reader(app, username).page("/account")
    assert "You have no repositories yet" in words(page.main)
