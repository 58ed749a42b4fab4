"""A registry whose owner changes repositories on the pages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from webtest import TestResponse

from support.credentials import basic
from support.engine_client import make_image, tar_layer
from support.page_person import PASSWORD, PagesWorld, Person, location_of
from support.wsgi_client import Client
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories

NAME = RepositoryName("mira_k", "app")
PAGE = "/manage/mira_k/app"
IMAGE = make_image(tar_layer({"etc/motd": b"hello"}), name="managed")

#: Each form of the page with valid fields.
FORMS: dict[str, dict[str, str]] = {
    "/manage/description/mira_k/app": {"description": "changed"},
    "/manage/privacy/mira_k/app": {"access": "private"},
    "/manage/collaborators/mira_k/app": {"user": "zoe_x", "right": "write"},
    "/manage/rule/mira_k/app": {"rule": "immutable"},
    "/manage/tags/mira_k/app": {"tag": "1"},
    "/manage/deletion/mira_k/app": {"name": "mira_k/app"},
}


class ManagedWorld(PagesWorld):
    """A world in which mira_k has pushed mira_k/app with the tags 1 and latest."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        login = basic("mira_k", PASSWORD)
        client = Client(self.app, HTTP_AUTHORIZATION=login["Authorization"])
        client.put("/v1/repositories/mira_k/app/", f'[{{"id": "{IMAGE.image_id}"}}]')
        client.push(IMAGE)
        for tag in ("1", "latest"):
            client.put(f"/v1/repositories/mira_k/app/tags/{tag}", f'"{IMAGE.image_id}"')
        self.repositories = Repositories(self.storage)
        assert set(self.repositories.tags(NAME)) == {"1", "latest"}

    def zoe(self) -> Person:
        """Return a browser in which zoe_x is logged in."""
        person = self.person()
        assert person.log_in("zoe_x").status_int == 303
        return person

    def state(self) -> dict[str, str]:
        """Return what is stored of repositories: key -> digest."""
        return dict(self._state())

    def _state(self) -> Iterator[tuple[str, str]]:
        for stat in self.storage.list("repositories/"):
            yield stat.key, hashlib.sha256(self.storage.read(stat.key)[0]).hexdigest()


def noticed(person: Person, answer: TestResponse, at: str = PAGE) -> str:
    """Return the notice after a valid form. The browser is redirected, so a reload sends nothing."""
    assert answer.status_int == 303, answer
    assert location_of(answer).partition("?")[0] == at
    page = person.get(location_of(answer), {"Accept": "text/html"})
    assert page.status_int == 200
    return str(page.html.find("p", class_="notice", attrs={"role": "status"}).get_text())
