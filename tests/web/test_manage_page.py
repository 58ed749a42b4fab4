"""The page on which owners change and delete a repository and its tags."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.managed import FORMS, IMAGE, NAME, PAGE, ManagedWorld, noticed
from support.page_person import Person, described, form_of, location_of, said
from support.reader import Reader, make_private, town, words
from v1registry_fakes import FakeRegistry

from v1registry import MemoryStorage, Registry
from v1registry.accounts import Callback
from v1registry.registry import layout
from v1registry.registry.repositories import Repositories
from v1registry.registry.tags import TagRule
from v1registry.rights import Action, User
from v1registry.web import manage


@pytest.fixture
def world() -> ManagedWorld:
    return ManagedWorld()


# -- who may


def test_only_owners_see_the_link_and_the_page() -> None:
    registry = town()
    registry.add_user("friend")
    make_private(registry, "mira_k/ledger", tomas=Action.READ, friend=Action.WRITE)
    for who, status in (("mira_k", 200), ("root", 200), ("tomas", 403), ("friend", 403), ("vera_x", 404)):
        reader = Reader(registry.app, who)
        assert reader.ask("/manage/mira_k/ledger").status == status, who
        if status in (200, 403):
            page = reader.page("/repositories/mira_k/ledger")
            assert (page.select('a[href^="/manage/"]') != []) == (status == 200), who


def test_an_anonymous_visitor_logs_in_first(world: ManagedWorld) -> None:
    person = world.person()
    answer = person.get(PAGE)
    assert location_of(answer) == f"/login?next={PAGE}"
    page = person.get(location_of(answer))
    answer = person.send(page, "/login", username="mira_k", password="s3cret-one")
    assert location_of(answer) == PAGE
    assert person.get(PAGE).status_int == 200


def test_a_hidden_repository_looks_like_a_missing_one(world: ManagedWorld) -> None:
    world.repositories.set_private(NAME, True)
    for person in (world.person(), world.zoe()):
        hidden = person.get(PAGE, {"Accept": "text/html"})
        missing = person.get("/manage/mira_k/absent", {"Accept": "text/html"})
        assert hidden.status_int == missing.status_int == 404
        assert hidden.body == missing.body


@pytest.mark.parametrize("path", FORMS)
def test_a_form_of_a_user_who_is_no_owner_changes_nothing(world: ManagedWorld, path: str) -> None:
    world.repositories.set_collaborator(NAME, "zoe_x", Action.WRITE)
    before = world.state()
    person = world.zoe()
    token = form_of(person.get("/account"), "/account/profile")["form_token"].value
    answer = person.post(path, {**FORMS[path], "form_token": str(token)})
    assert answer.status_int == 403
    assert world.state() == before


@pytest.mark.parametrize("path", FORMS)
def test_an_anonymous_form_leads_to_the_login(world: ManagedWorld, path: str) -> None:
    before = world.state()
    answer = world.person().post(path, FORMS[path])
    assert location_of(answer) == f"/login?next={PAGE}"
    assert world.state() == before


def test_an_open_server_has_no_such_pages() -> None:
    registry = FakeRegistry()
    registry.add_image("mira_k/app:1")
    reader = Reader(registry.app)
    assert reader.ask(PAGE).status == 404
    assert reader.page("/repositories/mira_k/app").select('a[href^="/manage/"]') == []


# -- description, privacy, collaborators, rule


def test_the_description_is_saved_and_shown(world: ManagedWorld) -> None:
    person = world.mira()
    text = "\n# App\r\n\r\n<b>raw</b> & *more*"
    answer = person.send(person.get(PAGE), "/manage/description/mira_k/app", description=text)
    assert noticed(person, answer) == "The description has been saved."
    assert world.repositories.description(NAME) == "\n# App\n\n<b>raw</b> & *more*"
    assert person.get(PAGE).html.textarea.get_text() == "\n\n# App\n\n<b>raw</b> & *more*"
    assert "more" in said(person.get("/repositories/mira_k/app"))
    answer = person.send(person.get(PAGE), "/manage/description/mira_k/app", description="")
    assert world.repositories.description(NAME) == ""


@pytest.mark.parametrize("character", ["x", "ж", "\U0001f433"])
def test_the_longest_description_is_saved_in_every_script(world: ManagedWorld, character: str) -> None:
    person, text = world.mira(), character * 25_000
    answer = person.send(person.get(PAGE), "/manage/description/mira_k/app", description=text)
    assert noticed(person, answer) == "The description has been saved."
    assert world.repositories.description(NAME) == text


def test_a_description_that_is_too_long_is_shown_again(world: ManagedWorld) -> None:
    person = world.mira()
    answer = person.send(person.get(PAGE), "/manage/description/mira_k/app", description="x" * 25_001)
    assert answer.status_int == 400
    assert "at most 25,000 characters, not 25,001" in described(answer, "description")
    assert "x" * 25_001 in answer.html.textarea.get_text()
    assert world.repositories.description(NAME) == ""


def test_an_owner_makes_the_repository_private_and_public(world: ManagedWorld) -> None:
    person, other = world.mira(), world.person()
    answer = person.send(person.get(PAGE), "/manage/privacy/mira_k/app", access="private")
    assert noticed(person, answer).startswith("The repository is private.")
    assert other.get("/repositories/mira_k/app").status_int == 404
    assert form_of(person.get(PAGE), "/manage/privacy/mira_k/app")["access"].value == "private"
    answer = person.send(person.get(PAGE), "/manage/privacy/mira_k/app", access="public")
    assert noticed(person, answer).startswith("The repository is public.")
    assert other.get("/repositories/mira_k/app").status_int == 200


def test_collaborators_are_added_changed_and_removed(world: ManagedWorld) -> None:
    person, action = world.mira(), "/manage/collaborators/mira_k/app"
    for right, stored in (("read", Action.READ), ("write", Action.WRITE)):
        form = [form for form in person.get(PAGE).forms.values() if form.action == action][-1]
        form["user"], form["right"] = "zoe_x", right
        assert noticed(person, form.submit(headers=person.headers)) == "The collaborators have been changed."
        assert world.repositories.collaborators(NAME) == {"zoe_x": stored}
    page = person.get(PAGE)
    assert "zoe_x reads and pushes" in said(page)
    form = form_of(page, action, user="zoe_x")
    assert noticed(person, form.submit(headers=person.headers)) == "The collaborators have been changed."
    assert world.repositories.collaborators(NAME) == {}


@pytest.mark.parametrize("name", ["absent", "", " ", "a\nb", "x" * 5000, "../../x", "<script>"])
def test_an_unknown_user_cannot_collaborate(world: ManagedWorld, name: str) -> None:
    person = world.mira()
    answer = person.send(person.get(PAGE), "/manage/collaborators/mira_k/app", user=name, right="read")
    assert answer.status_int == 400
    assert described(answer, "user") == "There is no user of this name"
    assert world.repositories.collaborators(NAME) == {}


def test_collaborator_is_recorded_with_the_account(world: ManagedWorld) -> None:
    person = world.mira()
    person.send(person.get(PAGE), "/manage/collaborators/mira_k/app", user="zoe_x", right="read")
    zoe = world.users.find("zoe_x")
    assert world.repositories.granted(NAME, zoe) is Action.READ
    assert world.repositories.granted(NAME, replace(zoe, id="another")) is None


def test_the_number_of_collaborators_is_bounded(world: ManagedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manage, "MOST_COLLABORATORS", 1)
    world.users.create("other", "s3cret-one", "other@example.org")
    world.repositories.set_collaborator(NAME, "other", Action.READ)
    person, path = world.mira(), "/manage/collaborators/mira_k/app"
    token = form_of(person.get(PAGE), "/manage/privacy/mira_k/app")["form_token"].value
    sent = {"form_token": str(token), "right": "write"}
    answer = person.post(path, {**sent, "user": "zoe_x"})
    assert described(answer, "user") == "A repository has at most 1 collaborators"
    assert person.post(path, {**sent, "user": "other"}).status_int == 303
    assert world.repositories.collaborators(NAME) == {"other": Action.WRITE}


def test_a_registry_to_read_from_offers_no_changes(world: ManagedWorld) -> None:
    person = Person(world.another_app(read_only=True))
    person.log_in("mira_k")
    assert person.get("/repositories/mira_k/app").html.select('a[href^="/manage/"]') == []
    assert person.get("/account").html.select('a[href^="/manage/"]') == []
    before = world.state()
    for path, fields in FORMS.items():
        assert person.post(path, fields).status_int >= 400
    assert person.get(PAGE).status_int >= 400
    assert world.state() == before


def test_a_collaborator_whose_account_is_gone_can_be_removed(world: ManagedWorld) -> None:
    world.repositories.set_collaborator(NAME, "zoe_x", Action.READ)
    world.users.delete("zoe_x")
    person = world.mira()
    form = form_of(person.get(PAGE), "/manage/collaborators/mira_k/app", user="zoe_x")
    assert form.submit(headers=person.headers).status_int == 303
    assert world.repositories.collaborators(NAME) == {}


def test_a_backend_without_look_up_gets_no_collaborators() -> None:
    app = Registry(storage=MemoryStorage(), auth=Callback(lambda name, password: User(name)))
    app.storage.write("repositories/mira_k/app/_private", b"")
    person = Person(app)
    person.log_in("mira_k")
    answer = person.send(person.get(PAGE), "/manage/collaborators/mira_k/app", user="anyone", right="read")
    assert answer.status_int == 400
    assert described(answer, "user").startswith("This server cannot look up users by name.")


def test_collaborator_is_recorded_by_the_name_of_the_directory() -> None:
    zoe = User("Zoe.X", id="7")
    directory = Callback(
        lambda name, password: User(name),
        find=lambda name: zoe if name.lower() == "zoe.x" else User(name),
        has_ids=True,
    )
    app = Registry(storage=MemoryStorage(), auth=directory)
    app.storage.write("repositories/mira_k/app/_private", b"")
    person = Person(app)
    person.log_in("mira_k")
    answer = person.send(person.get(PAGE), "/manage/collaborators/mira_k/app", user="zoe.x", right="read")
    assert answer.status_int == 303
    assert Repositories(app.storage).granted(NAME, zoe) is Action.READ


def test_the_rule_of_the_tags_is_set(world: ManagedWorld) -> None:
    person = world.mira()
    for rule in TagRule:
        answer = person.send(person.get(PAGE), "/manage/rule/mira_k/app", rule=rule.value)
        assert noticed(person, answer) == "The rule of the tags has been changed."
        assert world.repositories.tag_rule(NAME) is rule
        assert form_of(person.get(PAGE), "/manage/rule/mira_k/app")["rule"].value == rule.value


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("privacy", {}),
        ("privacy", {"access": "hidden"}),
        ("rule", {"rule": "frozen"}),
        ("collaborators", {"user": "zoe_x", "right": "delete"}),
        ("collaborators", {"user": "zoe_x"}),
        ("deletion", {}),
        ("deletion", {"name": "mira_k"}),
        ("deletion", {"name": "app"}),
    ],
)
def test_invalid_forms_change_nothing(world: ManagedWorld, path: str, fields: dict[str, str]) -> None:
    person, before = world.mira(), world.state()
    token = form_of(person.get(PAGE), "/manage/privacy/mira_k/app")["form_token"].value
    answer = person.post(f"/manage/{path}/mira_k/app", {**fields, "form_token": str(token)})
    assert answer.status_int == 400
    assert answer.html.find(role="alert") is not None
    assert world.state() == before


# -- deletions


def test_a_tag_is_deleted_after_a_confirmation(world: ManagedWorld) -> None:
    person = world.mira()
    link = person.get("/repositories/mira_k/app").html.find("a", attrs={"aria-label": "Delete the tag 1"})
    page = person.get(link["href"])
    assert IMAGE.image_id[:12] in said(page)
    assert set(world.repositories.tags(NAME)) == {"1", "latest"}, "a link deletes nothing"
    answer = person.send(page, "/manage/tags/mira_k/app")
    assert noticed(person, answer) == "The tag has been deleted."
    assert set(world.repositories.tags(NAME)) == {"latest"}
    assert person.get(link["href"]).status_int == 404
    assert person.send(page, "/manage/tags/mira_k/app").status_int == 404


def test_a_tag_that_was_moved_meanwhile_is_not_deleted(world: ManagedWorld) -> None:
    person = world.mira()
    page = person.get(f"{PAGE}?tag=1")
    world.repositories.set_tag(NAME, "1", "f" * 64, "")
    answer = person.send(page, "/manage/tags/mira_k/app")
    assert answer.status_int == 409
    assert "The tag 1 names something different now" in said(answer)
    assert world.repositories.tags(NAME)["1"] == "f" * 64


@pytest.mark.parametrize("tag", ["a b", "<script>", "a/b", "é", "_x_json", "\u202ex"])
def test_a_tag_of_any_old_name_can_be_deleted(world: ManagedWorld, tag: str) -> None:
    world.storage.write(layout.tag_key("repositories/mira_k/app", tag), IMAGE.image_id.encode())
    assert tag in world.repositories.tags(NAME)
    person = world.mira()
    links = person.get("/repositories/mira_k/app").html.select('a[href*="?tag="]')
    pages = [person.get(link["href"]) for link in links]
    (page,) = [page for page in pages if page.html.find("input", attrs={"name": "tag", "value": tag})]
    assert person.send(page, "/manage/tags/mira_k/app").status_int == 303
    assert set(world.repositories.tags(NAME)) == {"1", "latest"}


@pytest.mark.parametrize("typed", ["mira_k/app", " mira_k/app "])
def test_a_repository_is_deleted_by_its_name(world: ManagedWorld, typed: str) -> None:
    person = world.mira()
    answer = person.send(person.get(PAGE), "/manage/deletion/mira_k/app", name=typed)
    assert noticed(person, answer, at="/") == "The repository has been deleted."
    assert not world.repositories.exists(NAME)
    assert world.person().get("/repositories/mira_k/app").status_int == 404
    answer = world.person().get(f"/images/{IMAGE.image_id}", {"Accept": "text/html"})
    assert answer.status_int == 404, "its images belong to no repository any more"


def test_an_administrator_deletes_an_official_repository() -> None:
    registry = FakeRegistry(auth="users:", oauth_http="allow")
    registry.add_user("root", is_administrator=True)
    registry.add_image("debian:8")
    person = Person(registry.app)
    person.log_in("root", "secret")
    page = person.get("/manage/library/debian")
    assert person.send(page, "/manage/deletion/library/debian", name="debian").status_int == 303
    assert Reader(registry.app).ask("/repositories/debian").status == 404


def test_an_index_of_another_registry_deletes_nothing_here() -> None:
    world = ManagedWorld()
    app = world.another_app(images="elsewhere", endpoints="registry.example.com")
    person = Person(app)
    person.log_in("mira_k")
    page = person.get(PAGE)
    assert form_of(page, "/manage/description/mira_k/app")
    assert not any("deletion" in (form.action or "") for form in page.forms.values())
    assert person.post("/manage/deletion/mira_k/app").status_int == 405


def test_names_of_any_depth_can_be_managed() -> None:
    registry = FakeRegistry(auth="users:")
    registry.add_user("mira_k")
    for name in ("mira_k/description/app", "mira_k/a/b/c"):
        registry.add_image(f"{name}:1")
        page = Reader(registry.app, "mira_k").page(f"/manage/{name}")
        assert words(page.h1) == f"Manage {name}"
