"""A reader of pages that checks each page, and a registry with content for all pages."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from bs4 import BeautifulSoup, Tag
from v1registry_fakes import FakeRegistry

from support.wsgi_client import Answer, call
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.rights import Action

HTML = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"

#: Texts that run a script, or break out of their context, if they are not escaped.
ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "</title></code></pre></textarea><iframe src=//evil.example>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe \u2028 \x1b[31m",
)


class Reader:
    """A browser of an anonymous visitor, or of a user with Basic.

    :param environ: what else each request has, such as ``SCRIPT_NAME``.
    """

    def __init__(self, app: Any, username: str | None = None, password: str = "secret", **environ: Any):
        self.app = app
        self.environ: dict[str, Any] = {"HTTP_ACCEPT": HTML, **environ}
        if username is not None:
            text = base64.b64encode(f"{username}:{password}".encode()).decode()
            self.environ["HTTP_AUTHORIZATION"] = f"Basic {text}"

    def ask(self, address: str, method: str = "GET", **environ: Any) -> Answer:
        path, _, query = address.partition("?")
        return call(self.app, method, path, QUERY_STRING=query, **{**self.environ, **environ})

    def page(self, address: str, status: int = 200) -> BeautifulSoup:
        """Return a page after the checks that hold for all pages."""
        answer = self.ask(address)
        assert answer.status == status, (answer.status, answer.body[:2000])
        assert answer.header("Content-Type") == "text/html; charset=utf-8"
        assert answer.header("X-Frame-Options") == "DENY"
        return checked(answer.body)


def checked(body: bytes) -> BeautifulSoup:
    """Return a page, or a part of one, after a check that it has no injected markup."""
    page = BeautifulSoup(body.decode("utf-8"), "html.parser")
    for element in page.find_all(True):
        assert element.name not in ("iframe", "img", "style", "object", "embed", "base"), element
        for name, value in element.attrs.items():
            assert not name.startswith("on"), element
            assert name != "style", element
            if name in ("href", "src", "action"):
                assert str(value).startswith(("/", "http://", "https://", "mailto:", "#")), element
                assert not str(value).startswith("//"), element
    scripts = page.find_all("script")
    assert all(script.get("src", "").startswith("/") and not script.string for script in scripts)
    if page.html is not None:
        assert len(page.find_all("h1")) == 1
        assert len(page.find_all("main")) == 1
        assert page.title is not None
        assert page.title.string
        ids = [element["id"] for element in page.find_all(id=True)]
        assert len(ids) == len(set(ids))
    return page


def words(element: Tag | None) -> str:
    """Return the text of a part of a page, with white space collapsed."""
    assert element is not None
    return " ".join(element.get_text(" ", strip=True).split())


def names_in(page: BeautifulSoup) -> list[str]:
    """Return the names of the repositories in a list."""
    return [words(link) for link in page.select(".listing a")]


def rows_of(page: BeautifulSoup) -> list[list[str]]:
    """Return the texts of the cells of the page's table."""
    return [[words(cell) for cell in row.find_all(["th", "td"])] for row in page.select("tbody tr")]


def links_in(page: BeautifulSoup) -> dict[str, str]:
    """Return text -> address of the links in the content of a page; the first of each text."""
    found: dict[str, str] = {}
    for link in page.select("main a[href]"):
        found.setdefault(words(link), str(link["href"]))
    return found


def facts_in(page: BeautifulSoup) -> dict[str, str]:
    """Return label -> text of the facts on a page."""
    return {words(item.dt): words(item.dd) for item in page.select(".facts > div")}


def describe(registry: FakeRegistry, name: str, description: str) -> None:
    """Set the description of a repository."""
    Repositories(registry.storage).describe(RepositoryName.parse(name), description)


def make_private(registry: FakeRegistry, name: str, **collaborators: Action) -> None:
    """Make a repository private."""
    repositories, repository = Repositories(registry.storage), RepositoryName.parse(name)
    repositories.set_private(repository, True)
    for username, action in collaborators.items():
        repositories.set_collaborator(repository, username, action)


def town(**options: Any) -> FakeRegistry:
    """Return a registry in which ``tomas`` may read a private repository of ``mira_k``, and ``vera`` not."""
    registry = FakeRegistry(auth="users:", **options)
    for username in ("mira_k", "tomas", "vera_x"):
        registry.add_user(username)
    registry.add_user("root", is_administrator=True)
    registry.add_image("debian:8", files={"etc/debian_version": "8.0"})
    registry.add_image("mira_k/shop:1.0", files={"srv/shop.py": "pass"})
    registry.add_image("mira_k/ledger:2015", files={"srv/ledger.txt": "the books"})
    make_private(registry, "mira_k/ledger", tomas=Action.READ)
    describe(registry, "mira_k/ledger", "The secret books")
    return registry


#: Visitor -> whether the private repository is visible.
PEOPLE: Mapping[str | None, bool] = {
    None: False,
    "vera_x": False,
    "mira_k": True,
    "tomas": True,
    "root": True,
}
