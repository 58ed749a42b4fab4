"""The page of owners: forms of other sites and of other users, hostile texts, and what is logged."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from support.guarded_pages import is_guarded
from support.managed import FORMS, NAME, PAGE, ManagedWorld
from support.page_person import Person, token_of
from support.reader import ATTACKS, checked

from v1registry.registry import layout
from v1registry.rights import Action
from v1registry.storage.base import StorageUnavailable


@pytest.fixture
def attacked() -> Iterator[ManagedWorld]:
    """A world whose repositories must stay unchanged."""
    world = ManagedWorld()
    before = world.state()
    yield world
    assert world.state() == before


@pytest.mark.parametrize("path", FORMS)
def test_forms_need_the_token_of_the_session(attacked: ManagedWorld, path: str) -> None:
    person = attacked.mira()
    of_nobody = token_of(attacked.person().get("/login"))
    elsewhere = token_of(attacked.mira().get(PAGE))
    of_zoe = token_of(attacked.zoe().get("/account"))
    for token in (None, "", "x" * 43, of_nobody, elsewhere, of_zoe):
        sent = FORMS[path] if token is None else {**FORMS[path], "form_token": token}
        answer = person.post(path, sent)
        assert answer.status_int == 403, token
        assert "Location" not in answer.headers


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}],
)
def test_forms_of_other_sites_are_refused(attacked: ManagedWorld, path: str, headers: dict[str, str]) -> None:
    person = attacked.mira()
    sent = {**FORMS[path], "form_token": token_of(person.get(PAGE))}
    assert person.post(path, sent, headers).status_int == 403


@pytest.mark.parametrize("path", FORMS)
def test_get_changes_nothing(attacked: ManagedWorld, path: str) -> None:
    person = attacked.mira()
    query = "&".join(f"{name}={value}" for name, value in FORMS[path].items())
    # to GET, the path is that of a repository which does not exist
    assert person.get(f"{path}?{query}").status_int == 404
    assert person.get(f"{PAGE}?{query}").status_int in (200, 404)


@pytest.mark.parametrize("path", FORMS)
def test_a_token_of_a_repository_sends_no_forms(attacked: ManagedWorld, path: str) -> None:
    mira = attacked.mira()
    token = token_of(mira.get(PAGE))
    app = attacked.app
    asked = Person(app).get(
        "/v1/repositories/mira_k/app/images",
        {"X-Docker-Token": "true", "Authorization": "Basic bWlyYV9rOnMzY3JldC1vbmU="},
    )
    header = {"Authorization": f"Token {asked.headers['X-Docker-Token']}"}
    assert asked.status_int == 200
    answer = mira.post(path, {**FORMS[path], "form_token": token}, header)
    assert answer.status_int in (303, 401, 403)
    assert "done=" not in answer.headers.get("Location", "")


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_texts_are_escaped(attack: str) -> None:
    world = ManagedWorld()
    world.repositories.describe(NAME, f"</textarea>{attack}")
    world.repositories.set_collaborator(NAME, attack, Action.READ)
    world.storage.write(layout.tag_key("repositories/mira_k/app", attack), b"0" * 64)
    person = world.mira()
    page = person.get(PAGE)
    is_guarded(page)
    assert attack in checked(page.body).textarea.get_text()
    for link in person.get("/repositories/mira_k/app").html.select('a[href*="?tag="]'):
        answer = person.get(link["href"])
        is_guarded(answer)
        checked(answer.body)


def test_an_outage_is_said_on_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ManagedWorld()
    person = world.mira()
    page = person.get(PAGE)

    def fail(key: str, *_: object, **__: object) -> None:
        raise StorageUnavailable(key, "the disk is gone")

    monkeypatch.setattr(world.storage, "write", fail)
    answer = person.send(page, "/manage/rule/mira_k/app", rule="immutable")
    assert answer.status_int == 503
    assert answer.headers["Content-Type"].startswith("text/html")


def test_changes_of_rights_and_deletions_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = ManagedWorld()
    person = world.mira()
    person.send(person.get(PAGE), "/manage/privacy/mira_k/app", access="private")
    person.send(person.get(PAGE), "/manage/collaborators/mira_k/app", user="zoe_x", right="read")
    person.send(person.get(PAGE), "/manage/deletion/mira_k/app", name="mira_k/app")
    for event in ("private", "'zoe_x' the right to read", "deleted"):
        assert any(
            "user=mira_k" in line and event in line and "mira_k/app" in line
            for line in caplog.text.splitlines()
        ), event
