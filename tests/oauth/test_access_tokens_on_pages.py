"""No page accepts an access token, or a repository token, as a log-in."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from support.access_tokens import REDIRECT_URI, UNKNOWN, Granter, bearer
from support.account_asker import HUB
from support.cheap_passwords import CheapPasswords
from support.credentials import basic
from support.engine_client import make_image, tar_layer
from support.wsgi_client import Client
from webtest import TestResponse

from v1registry import MemoryStorage, Registry
from v1registry.access.tokens import Tokens
from v1registry.accounts.users import UserStore
from v1registry.names import RepositoryName
from v1registry.oauth.scopes import ACCOUNT_SCOPES, SCOPES
from v1registry.rights import Action

SECRET = "the-key-of-the-server-of-these-pages"
IMAGE = make_image(tar_layer({"./etc/private-file.conf": b"private"}), None)
QUERY = urlencode({"client_id": "mallory", "response_type": "code", "redirect_uri": REDIRECT_URI})
CONSENT = f"/api/v1.1/o/authorize/?{QUERY}"
HTML = {"Accept": "text/html"}


class Site:
    """A server with the private repository mira/app, and the application mallory without grants."""

    def __init__(self) -> None:
        storage = MemoryStorage()
        self.store = UserStore(storage, passwords=CheapPasswords())
        self.store.create("mira", "pw-mira", "mira@example.org")
        self.app = Registry(storage=storage, auth=self.store, public_url=HUB, secret=[SECRET])
        self.app.applications.add("Mallory", [REDIRECT_URI], client_id="mallory", scopes=tuple(SCOPES))
        self.granter = Granter(storage, self.store)
        for path, body in (
            ("properties", '{"access": "private"}'),
            ("", f'[{{"id": "{IMAGE.image_id}"}}]'),
        ):
            assert self.ask(f"/v1/repositories/mira/app/{path}", basic("mira"), "PUT", body).status_int == 200
        for what, sent in (("json", IMAGE.json), ("layer", IMAGE.layer), ("checksum", b"")):
            sums = {"X-Docker-Checksum-Payload": IMAGE.payload_checksum}
            path = f"/v1/images/{IMAGE.image_id}/{what}"
            assert Client(self.app).request("PUT", path, sent, {**basic("mira"), **sums}).status_int == 200
        tag = f'"{IMAGE.image_id}"'
        assert self.ask("/v1/repositories/mira/app/tags/latest", basic("mira"), "PUT", tag).status_int == 200

    def ask(
        self, path: str, headers: dict[str, str], method: str = "GET", body: bytes | str = b""
    ) -> TestResponse:
        return Client(self.app).request(method, path, body, {**HTML, **headers})


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture(
    params=["all scopes", "scopes of accounts", "repository token", "repository token of an application"]
)
def headers(request: pytest.FixtureRequest, site: Site) -> dict[str, str]:
    """Credentials that are valid, and not a log-in."""
    if request.param == "all scopes":
        return bearer(site.granter.token("mira"))
    if request.param == "scopes of accounts":
        return bearer(site.granter.token("mira", ACCOUNT_SCOPES))
    by = {}
    if request.param.endswith("application"):
        access = site.granter.grants.verify(site.granter.token("mira"))
        assert access is not None
        by = {"access_id": access.access_id}
    tokens, account = Tokens([SECRET]), site.store.account("mira")
    mark = tokens.mark_of(account.user.id, account.password_mark)
    token = tokens.issue(RepositoryName("mira", "app"), Action.WRITE, account.user, mark=mark, **by)
    return {"Authorization": f"Token {token}"}


def test_access_token_cannot_consent_for_its_user(site: Site, headers: dict[str, str]) -> None:
    granted = site.granter.grants.of_user("mira")
    assert site.ask(CONSENT, basic("mira")).status_int == 200
    answer = site.ask(CONSENT, headers)
    assert answer.status_int in (302, 303)
    assert "/login" in answer.headers["Location"]
    assert "Mallory" not in answer.text
    form = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    answer = site.ask(CONSENT, form, "POST", "allow=1")
    assert "code=" not in answer.headers.get("Location", "")
    assert site.granter.grants.of_user("mira") == granted


@pytest.mark.parametrize("path", ["/account/", "/account"])
def test_access_token_does_not_open_the_account_page(site: Site, headers: dict[str, str], path: str) -> None:
    assert "mira@example.org" in site.ask(path, basic("mira")).text
    assert "mira@example.org" not in site.ask(path, headers).text


@pytest.mark.parametrize(
    "form", ["profile", "password", "emails", "emails/primary", "emails/removal", "grants/revocation"]
)
def test_access_token_changes_nothing_on_the_account_page(
    site: Site, headers: dict[str, str], form: str
) -> None:
    site.store.add_email("mira", "two@example.org")
    account, granted = site.store.account("mira"), site.granter.grants.of_user("mira")
    fields = {
        "full_name": "Mallory",
        "email": "two@example.org",
        "password": "mallory-was-here",
        "new_password": "mallory-was-here",
    }
    sent = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    answer = site.ask(f"/account/{form}", sent, "POST", urlencode(fields))
    assert answer.status_int in (303, 302, 401, 403)
    assert site.store.account("mira") == account
    assert site.granter.grants.of_user("mira") == granted


PRIVATE_PAGES = ("/repositories/mira/app", f"/images/{IMAGE.image_id}", f"/images/{IMAGE.image_id}/files")


@pytest.mark.parametrize("path", PRIVATE_PAGES)
def test_private_repositories_need_a_repository_scope(site: Site, path: str) -> None:
    assert site.ask(path, basic("mira")).status_int == 200
    for scopes in (ACCOUNT_SCOPES, ()):
        answer = site.ask(path, bearer(site.granter.token("mira", scopes)))
        assert answer.status_int in (403, 404)
        assert "private-file" not in answer.text
        assert "latest" not in answer.text
    assert "mira/app" not in site.ask("/", bearer(site.granter.token("mira", ACCOUNT_SCOPES))).text


@pytest.mark.parametrize("path", [*PRIVATE_PAGES, "/account/", CONSENT])
def test_invalid_token_is_401_on_a_page(site: Site, path: str) -> None:
    assert site.ask(path, bearer(UNKNOWN)).status_int == 401
