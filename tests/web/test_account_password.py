"""The account page: the password, and users of backends that only check passwords."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.access_tokens import Granter, bearer
from support.account_page import FORMS, done
from support.cheap_passwords import CheapPasswords
from support.page_person import PASSWORD, PagesWorld, Person, described, form_of, said, token_of
from webtest import TestResponse

from v1registry import FileStorage, MemoryStorage, Registry
from v1registry.accounts.backends.callback import Callback
from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.base import Backend
from v1registry.accounts.users import UserStore
from v1registry.rights import User


@pytest.fixture(params=["memory", "files"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> PagesWorld:
    storage = MemoryStorage() if request.param == "memory" else FileStorage(tmp_path, durable=False)
    return PagesWorld(storage)


@pytest.fixture
def memory() -> PagesWorld:
    return PagesWorld()


# -- the password


def change_password(
    person: Person, old: str = PASSWORD, new: str = "s3cret-two", again: str | None = None
) -> TestResponse:
    fields = {"old_password": old, "new_password": new, "new_password_again": new if again is None else again}
    return person.send(person.get("/account"), "/account/password", **fields)


def test_a_new_password_keeps_only_this_session(world: PagesWorld) -> None:
    person, other, copy = world.mira(), world.mira(), world.person()
    copy = copy.with_cookie(person.cookie)
    answer = change_password(person)
    assert "Other browsers are logged out" in done(person, answer)
    assert person.is_in()
    assert not other.is_in()
    assert not copy.is_in(), "a copy of the cookie of this browser"
    assert world.person().log_in("mira_k").status_int == 401
    assert world.person().log_in("mira_k", "s3cret-two").status_int == 303


def test_a_new_password_can_revoke_all_grants(memory: PagesWorld) -> None:
    granter = Granter(memory.storage, memory.users)
    tokens = [granter.token(name, ["profile_read"]) for name in ("mira_k", "mira_k", "zoe_x")]

    def statuses() -> list[int]:
        paths = [f"/api/v1.1/users/{name}/" for name in ("mira_k", "mira_k", "zoe_x")]
        people = [memory.person(headers=bearer(token)) for token in tokens]
        return [person.get(path).status_int for person, path in zip(people, paths, strict=True)]

    person = memory.mira()
    page = person.get("/account")
    box = page.html.find(id="revoke_all")
    assert "checked" not in box.attrs
    (label,) = page.html.find_all("label", attrs={"for": "revoke_all"})
    assert "applications" in label.get_text()
    assert (
        page.html.find(id=page.html.find(id=box["aria-describedby"]).a["href"].removeprefix("#")) is not None
    )
    assert "Applications with access keep it" in done(person, change_password(person))
    assert statuses() == [200, 200, 200]

    form = form_of(person.get("/account"), "/account/password")
    form["revoke_all"] = True
    form["old_password"], form["new_password"], form["new_password_again"] = (
        "wrong",
        "s3cret-six",
        "s3cret-six",
    )
    refused = form.submit(status="*")
    assert refused.status_int == 400
    assert "checked" in refused.html.find(id="revoke_all").attrs
    assert statuses() == [200, 200, 200]

    form = form_of(refused, "/account/password")
    form["old_password"], form["new_password"], form["new_password_again"] = (
        "s3cret-two",
        "s3cret-six",
        "s3cret-six",
    )
    assert "no application has access" in done(person, form.submit(status="*"))
    assert statuses() == [401, 401, 200]
    assert person.get("/account").html.find(id="revoke_all") is None


@pytest.mark.parametrize(
    ("fields", "where", "problem"),
    [
        ({"old": "wrong"}, "old_password", "The password is wrong"),
        ({"old": ""}, "old_password", "The password is wrong"),
        ({"new": "abc"}, "new_password", "5 to 1024"),
        ({"new": "x" * 1025}, "new_password", "5 to 1024"),
        ({"new": ""}, "new_password", "5 to 1024"),
        ({"again": "s3cret-three"}, "new_password_again", "are different"),
    ],
)
def test_an_invalid_password_is_reported_at_its_field(
    memory: PagesWorld, fields: dict[str, str], where: str, problem: str
) -> None:
    person = memory.mira()
    page = change_password(person, **fields)
    assert page.status_int == 400
    assert problem in described(page, where)
    assert person.is_in()
    assert memory.users.authenticate("mira_k", PASSWORD) is not None
    assert all("value" not in field.attrs for field in page.html.find_all("input", type="password"))


def test_attempts_of_the_old_password_are_limited(memory: PagesWorld) -> None:
    person = memory.mira(REMOTE_ADDR="10.1.1.1")
    statuses = [change_password(person, old=f"guess {number}").status_int for number in range(12)]
    assert statuses[:11] == [400] * 11
    assert statuses[11] == 429
    page = change_password(person)
    assert "Too many failed logins" in described(page, "old_password")
    assert memory.users.authenticate("mira_k", PASSWORD) is not None


def test_a_basic_user_gets_no_session(memory: PagesWorld) -> None:
    person = memory.person()
    person.browser.authorization = ("Basic", ("mira_k", PASSWORD))
    answer = change_password(person)
    assert answer.status_int == 303
    person.browser.authorization = ("Basic", ("mira_k", "s3cret-two"))
    assert "Your password has been changed" in done(person, answer)
    person.browser.authorization = None
    assert not person.is_in()


# -- backends that only check passwords


class Names(Backend):
    """A backend like LDAP: it knows names and ids, checks passwords, and nothing can be changed."""

    @property
    def has_ids(self) -> bool:
        return True

    def authenticate(self, username: str, password: str) -> User | None:
        return self.find(username) if password == PASSWORD else None

    def find(self, username: str) -> User | None:
        known = username in ("mira_k", "a name with é")
        return User(username, frozenset({"red", "blue"}), id=f"id-{username}") if known else None


@pytest.mark.parametrize("username", ["mira_k", "a name with é"])
def test_users_of_other_backends_see_their_account(username: str) -> None:
    storage, names = MemoryStorage(), Names()
    token = Granter(storage, names).token(username, ["profile_read"])
    person = Person(Registry(storage=storage, auth=names))
    assert person.log_in(username).status_int == 303
    page = person.get("/account")
    text = said(page)
    assert username in text
    assert "blue, red" in text
    assert "This account is managed elsewhere" in text
    assert "CI" in text
    assert [form.action for form in page.forms.values()].count("/account/profile") == 0
    assert "1970" not in text
    form_token = token_of(page)
    for path, fields in FORMS.items():
        if path in ("/account/profile", "/account/password", "/account/emails"):
            assert person.post(path, {**fields, "form_token": form_token}).status_int == 403, path
    (grant,) = Granter(storage, names).grants.of_user(username)
    assert person.send(page, "/account/grants/revocation", grant=grant.id).status_int == 303
    assert Person(person.app, headers=bearer(token)).get("/v1/search").status_int == 401


def test_users_of_a_callback_see_their_account() -> None:
    person = Person(Registry(storage=MemoryStorage(), auth=Callback(lambda name, password: password == "pw")))
    assert person.log_in("mira_k", "pw").status_int == 303
    assert "This account is managed elsewhere" in said(person.get("/account"))


def test_forms_of_outer_users_are_bound_to_them() -> None:
    storage = MemoryStorage()
    auth = BackendChain([Environ("my_app.user"), UserStore(storage, passwords=CheapPasswords())])
    for name in ("mira", "moe"):
        auth.create(name, PASSWORD)
    token = Granter(storage, auth).token("mira", ["profile_read"])
    app = Registry(storage=storage, auth=auth)
    person = Person(app, **{"my_app.user": "mira"})
    page = person.get("/account")
    (grant,) = Granter(storage, auth).grants.of_user("mira")
    # another user logs in to the surrounding application with the same browser
    person.browser.extra_environ["my_app.user"] = "moe"
    fields = {"grant": grant.id, "form_token": token_of(page)}
    assert person.post("/account/grants/revocation", fields).status_int == 403
    person.browser.extra_environ["my_app.user"] = "mira"
    assert person.post("/account/grants/revocation", fields).status_int == 303
    assert Person(app, headers=bearer(token)).get("/api/v1.1/users/mira/").status_int == 401


def test_changes_depend_on_the_backend_of_the_user(memory: PagesWorld) -> None:
    app = Registry(storage=memory.storage, auth=BackendChain([Environ("my_app.user"), memory.users]))
    kept = Person(app)
    kept.log_in("mira_k")
    assert kept.send(kept.get("/account"), "/account/profile", full_name="Mira").status_int == 303
    assert memory.users.account("mira_k").full_name == "Mira"
    of_environ = Person(app, **{"my_app.user": "somebody"})
    assert "This account is managed elsewhere" in said(of_environ.get("/account"))
