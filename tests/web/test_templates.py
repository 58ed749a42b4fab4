"""The comments of templates list their values. Custom templates rely on them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from jinja2 import Environment, Template, nodes
from jinja2.meta import find_undeclared_variables
from support.kept_mail import PUBLIC_URL, KeptMail
from support.page_person import AUTHORIZE, PASSWORD, PagesWorld, Person, location_of
from support.reader import Reader
from support.wsgi_client import call
from v1registry_fakes import FakeRegistry

from v1registry import MemoryStorage, Registry
from v1registry.web import pages as pages_module
from v1registry.web.pages import Pages

FOLDER: Final = Path(pages_module.__file__).parent / "templates"
NAMES: Final = sorted(path.name for path in FOLDER.iterdir())

#: Templates of macros, which are not pages.
PARTS: Final = ("_forms.html", "_parts.html")


def comment_of(name: str) -> str:
    found = re.match(r"\{# (.+?)\s*#\}\n", (FOLDER / name).read_text("utf-8"), re.DOTALL)
    assert found is not None, f"{name} does not begin with a comment"
    return found[1]


def told_by(name: str) -> set[str]:
    """Return the names of the values in a template's comment, besides the common ones."""
    told = re.findall(r"^  (\w+): \S", comment_of(name), re.MULTILINE)
    assert len(told) == len(set(told)), name
    return set(told)


def used_by(name: str) -> set[str]:
    """Return the names that a template reads, without those that it sets or imports."""
    parsed = environment().parse((FOLDER / name).read_text("utf-8"))
    imported = {
        each[1] if isinstance(each, tuple) else each
        for statement in parsed.find_all(nodes.FromImport)
        for each in statement.names
    }
    made = {each.name for each in parsed.find_all(nodes.Name) if each.ctx == "store"}
    return find_undeclared_variables(parsed) - imported - made


def of_all() -> set[str]:
    return told_by("base.html")


@pytest.mark.parametrize("name", NAMES)
def test_a_template_documents_its_values(name: str) -> None:
    assert comment_of(name)[0].isupper()
    used = used_by(name)
    assert used <= told_by(name) | of_all()
    told_in_vain = set() if name == "base.html" else told_by(name) - used
    # repositories.html includes it
    assert not told_in_vain or name == "repositories.html", told_in_vain


def test_documented_template_values_are_passed(rendered: Rendered) -> None:
    """Each page is documented, with exactly the values that it reads."""
    visit_every_page()

    assert sorted(rendered) == [name for name in NAMES if name not in (*PARTS, "base.html")]
    for name, all_values in rendered.items():
        assert set().union(*all_values) == told_by(name) | of_all(), name
        assert told_by(name) <= set.intersection(*all_values), name


def test_all_filters_are_documented() -> None:
    told = re.search(r"filters ([\w, ]+)\.", comment_of("base.html"))
    assert told is not None
    assert told[1].split(", ") == sorted(pages_module._filters())


def test_values_of_all_templates_are_documented() -> None:
    section = (Path(__file__).parents[2] / "docs" / "pages.md").read_text("utf-8")
    for name in [*of_all(), *pages_module._filters()]:
        assert re.search(rf"`{name}\b", section), name


def test_no_comment_is_sent_to_browsers() -> None:
    answer = Reader(FakeRegistry().app).ask("/")
    assert answer.body.startswith(b"<!DOCTYPE html>\n<html")


# -- every page

Rendered = Mapping[str, list[set[str]]]


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> Rendered:
    """Record template -> the names of the values of each rendering."""
    seen: dict[str, list[set[str]]] = {}
    render = Template.render

    def noting(self: Template, values: dict[str, Any]) -> str:
        seen.setdefault(str(self.name), []).append(set(values))
        return render(self, values)

    monkeypatch.setattr(Template, "render", noting)
    return seen


@cache
def environment() -> Environment:
    return Pages("", can_browse=True, has_accounts=True, can_register=True)._environment


def visit_every_page() -> None:
    """Visit each page. A page that cannot be rendered fails the test."""
    look_around()
    be_a_person()
    follow_a_link()


def look_around() -> None:
    registry = FakeRegistry()
    image = registry.add_image("team/app:1", files={"etc/motd": "hello"})
    broken = registry.add_image("team/app:2", layer=b"no archive")
    reader = Reader(registry.app)
    assert reader.ask("/?part=results").status == 200
    for address in ("/", "/repositories/team/app"):
        reader.page(address)
    for part in ("", "/files", "/changes"):
        reader.page(f"/images/{image.id}{part}")
    reader.page(f"/images/{broken.id}/files", 400)
    manifest = registry.add_image("team/app:3", api="v2")
    reader.page(f"/manifests/{manifest.digest}?repository=team/app")
    reader.page("/repositories/team/absent", 404)
    index = Registry(storage=MemoryStorage(), images="elsewhere", endpoints="registry.example.com")
    call(index, "PUT", "/v1/repositories/team/app/", b"[]")
    Reader(index).page("/repositories/team/app")


def be_a_person() -> None:
    world = PagesWorld()
    application, _ = world.app.applications.add("Example CI", ["https://ci.example.org/back"])
    question = f"{AUTHORIZE}?response_type=code&client_id={application.client_id}"
    person = world.mira()
    for path, status in (("/account", 200), (question, 200), (f"{question}x", 400)):
        assert person.get(path).status_int == status, path
    registry = FakeRegistry(auth="users:")
    registry.add_user("mira_k")
    registry.add_image("mira_k/app:1")
    registry.add_user("root1", is_administrator=True)
    for path in ("/manage/mira_k/app", "/manage/mira_k/app?tag=1"):
        Reader(registry.app, "mira_k").page(path)
    Reader(registry.app, "root1").page("/usage")
    for path in ("/login", "/register"):
        assert world.person().get(path).status_int == 200
    person = Person(world.another_app(pages="off"))
    answer = person.log_in("mira_k", base="/api/v1.1/o")
    assert person.get(location_of(answer)).status_int == 200


def follow_a_link() -> None:
    mail = KeptMail()
    person = PagesWorld(mail=mail, public_url=PUBLIC_URL).person()
    new = {"username": "new_one", "email": "new@example.org", "password": PASSWORD}
    answer = person.send(person.get("/register"), "/register", **new, password_again=PASSWORD)
    assert answer.status_int == 200
    assert person.get(mail.path).status_int == 200
    assert person.post(mail.path).status_int == 200
    assert person.get(mail.path).status_int == 404
