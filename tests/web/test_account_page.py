"""The account page: changes by its user, attacks, and users of backends that only check passwords."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.access_tokens import Granter, bearer
from support.cheap_passwords import CheapPasswords
from support.kept_mail import PUBLIC_URL, KeptMail
from support.page_person import PASSWORD, Person, World, described, form_of, location_of, said, token_of
from webtest import TestResponse

from v1registry import FileStorage, MemoryStorage, Registry
from v1registry.accounts.backends.callback import Callback
from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.base import Backend, Email
from v1registry.accounts.users import UserStore
from v1registry.oauth.scopes import SCOPES
from v1registry.rights import User
from v1registry.storage.base import StorageUnavailable

#: Each form of the page with valid fields.
FORMS: dict[str, dict[str, str]] = {
    "/account/profile": {"full_name": "Changed"},
    "/account/password": {
        "old_password": PASSWORD,
        "new_password": "s3cret-two",
        "new_password_again": "s3cret-two",
    },
    "/account/emails": {"email": "new@example.org"},
    "/account/emails/link": {"address": "two@example.org"},
    "/account/emails/primary": {"address": "two@example.org"},
    "/account/emails/removal": {"address": "two@example.org"},
    "/account/grants/revocation": {"grant": "0" * 32},
}

XSS = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}"


@pytest.fixture(params=["memory", "files"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    storage = MemoryStorage() if request.param == "memory" else FileStorage(tmp_path, durable=False)
    return World(storage)


@pytest.fixture
def memory() -> World:
    return World()


def done(person: Person, answer: TestResponse) -> str:
    """Return the notice after a valid form. The browser is redirected, so a reload sends nothing."""
    assert answer.status_int == 303, answer
    assert location_of(answer).startswith("/account?done=")
    page = person.get(location_of(answer))
    assert page.status_int == 200
    return str(notice_of(page))


def notice_of(page: TestResponse) -> str | None:
    found = page.html.find("p", class_="notice", attrs={"role": "status"})
    return None if found is None else str(found.get_text())


# -- the profile


def test_a_profile_is_changed_and_shown(world: World) -> None:
    person = world.mira()
    fields = {
        "full_name": "  Mira Kovač ",
        "location": "Graz",
        "company": "Example & Works",
        "profile_url": "https://mira.example.org/?a=1&b=2",
        "gravatar_email": "mira@example.net",
    }
    answer = person.send(person.get("/account"), "/account/profile", **fields)
    assert done(person, answer) == "Your profile has been saved."
    html = person.get("/account").html
    for name, value in fields.items():
        assert html.find(id=name)["value"] == value.strip()
    account = world.users.account("mira_k")
    assert (account.full_name, account.profile_url) == ("Mira Kovač", fields["profile_url"])
    # fields that are not sent stay
    person.post("/account/profile", {"location": "Wien", "form_token": token_of(person.get("/account"))})
    assert world.users.account("mira_k").company == "Example & Works"
    # fields that are sent empty become empty
    person.send(person.get("/account"), "/account/profile", location="")
    assert world.users.account("mira_k").location == ""


def test_scope_texts_name_the_profile_fields(memory: World) -> None:
    html = memory.mira().get("/account").html
    for name in ("full_name", "location", "company", "profile_url"):
        label = html.find("label", attrs={"for": name}).get_text()
        assert label.lower() in SCOPES["profile_read"]
    assert "primary" in html.find("h2", id="emails-title").find_next("ul").get_text()
    assert "primary e-mail address" in SCOPES["profile_read"]


def test_errors_are_at_their_fields_and_input_is_kept(memory: World) -> None:
    person = memory.mira()
    fields = {
        "full_name": "Mira",
        "profile_url": "javascript:alert(1)",
        "gravatar_email": "nobody",
        "company": "x" * 256,
    }
    page = person.send(person.get("/account"), "/account/profile", **fields)
    assert page.status_int == 400
    for name in ("profile_url", "gravatar_email", "company"):
        assert described(page, name)
        assert page.html.find(id=name)["value"] == fields[name]
    assert page.html.find(id="full_name")["value"] == "Mira"
    assert "aria-invalid" not in page.html.find(id="full_name").attrs
    assert memory.users.account("mira_k").full_name == ""


def test_extra_form_fields_are_ignored(memory: World) -> None:
    person = memory.mira()
    token = token_of(person.get("/account"))
    fields = {
        "full_name": "Mira",
        "is_administrator": "true",
        "groups": "red",
        "username": "zoe_x",
        "id": "1",
        "password": "x",
    }
    assert person.post("/account/profile", {**fields, "form_token": token}).status_int == 303
    account = memory.users.account("mira_k")
    assert (account.user, account.full_name) == (User("mira_k"), "Mira")
    assert memory.users.account("zoe_x").full_name == ""


def test_markup_in_a_profile_is_escaped(memory: World) -> None:
    person = memory.mira()
    memory.users.set_profile(
        "mira_k", dict.fromkeys(("full_name", "location", "company", "profile_url"), XSS)
    )
    memory.users.add_email("mira_k", XSS)
    memory.users.set_groups("mira_k", [XSS])
    page = person.get("/account")
    assert page.html.find(id="full_name")["value"] == XSS
    assert len(page.html.find_all("script")) == 1
    assert page.html.find_all("img") == []
    assert all(not name.startswith("on") for tag in page.html.find_all() for name in tag.attrs)


# -- addresses


def test_addresses_are_added_made_primary_and_removed(world: World) -> None:
    person = world.mira()
    answer = person.send(person.get("/account"), "/account/emails", email=" two@example.org ")
    assert done(person, answer) == "The address has been added."
    page = person.get("/account")
    assert "Make primary" not in said(page), "it is not confirmed"
    world.users.confirm_email("mira_k", "two@example.org")

    answer = person.send(person.get("/account"), "/account/emails/primary", address="two@example.org")
    assert "Your primary address has been changed" in done(person, answer)
    assert world.users.emails("mira_k") == (
        Email("mira_k@example.org", True, False),
        Email("two@example.org", True, True),
    )
    answer = person.send(person.get("/account"), "/account/emails/removal", address="mira_k@example.org")
    assert done(person, answer) == "The address has been removed."
    assert [email.email for email in world.users.emails("mira_k")] == ["two@example.org"]


@pytest.mark.parametrize(
    ("email", "problem"),
    [
        ("nobody", "an address such as"),
        ("", "an address such as"),
        ("zoe_x@example.org", "already exists"),
        ("a@b.org\0", "an address such as"),
        ("Mira <mira@example.org>", "an address such as"),
    ],
)
def test_an_invalid_address_is_reported_at_its_field(memory: World, email: str, problem: str) -> None:
    person = memory.mira()
    page = person.send(person.get("/account"), "/account/emails", email=email)
    assert page.status_int == 400
    assert problem in described(page, "email")
    assert page.html.find(id="email")["value"] == email
    assert len(memory.users.emails("mira_k")) == 1


def test_one_address_too_many_is_reported(memory: World) -> None:
    for number in range(48):
        memory.users.add_email("mira_k", f"n{number}@example.org")
        memory.users.confirm_email("mira_k", f"n{number}@example.org")
    person = memory.mira()
    assert person.send(person.get("/account"), "/account/emails", email="last@example.org").status_int == 303
    page = person.send(person.get("/account"), "/account/emails", email="more@example.org")
    assert page.status_int == 400
    assert "50 addresses" in described(page, "email")


def test_invalid_changes_of_addresses_are_reported(memory: World) -> None:
    person = memory.mira()
    memory.users.add_email("mira_k", "two@example.org")
    token = token_of(person.get("/account"))
    for path, address, status, problem in [
        ("/account/emails/removal", "mira_k@example.org", 400, "primary address cannot be removed"),
        ("/account/emails/removal", "three@example.org", 404, "no such address"),
        ("/account/emails/removal", "zoe_x@example.org", 404, "no such address"),
        ("/account/emails/removal", "", 400, "address"),
        ("/account/emails/primary", "two@example.org", 400, "has to be verified"),
        ("/account/emails/primary", "zoe_x@example.org", 404, "no such address"),
        ("/account/emails/primary", "\0", 400, "address"),
    ]:
        page = person.post(path, {"address": address, "form_token": token})
        assert page.status_int == status, (path, address)
        assert problem in page.html.find(attrs={"role": "alert"}).get_text()
    assert [email.email for email in memory.users.emails("mira_k")] == [
        "mira_k@example.org",
        "two@example.org",
    ]
    assert [email.email for email in memory.users.emails("zoe_x")] == ["zoe_x@example.org"]


def test_the_page_cannot_verify_an_address(memory: World) -> None:
    memory.users.add_email("mira_k", "two@example.org")
    person = memory.mira()
    token = token_of(person.get("/account"))
    fields = {
        "address": "two@example.org",
        "email": "two@example.org",
        "verified": "true",
        "form_token": token,
    }
    for path in FORMS:
        if path not in ("/account/password", "/account/emails/removal"):
            person.post(path, fields)
    assert [email.verified for email in memory.users.emails("mira_k")] == [True, False]


def test_an_added_address_gets_a_link_by_mail() -> None:
    mail = KeptMail()
    world = World(mail=mail, public_url=PUBLIC_URL)
    person = world.mira()
    mail.error = OSError("down")
    answer = person.send(person.get("/account"), "/account/emails", email="two@example.org")
    assert "We have mailed a link" in done(person, answer)
    assert mail.sent == []
    mail.error = None
    answer = person.send(person.get("/account"), "/account/emails/link", address="two@example.org")
    assert "We have mailed a link" in done(person, answer)
    assert mail.kinds_and_addresses == [("confirmation", "two@example.org")]
    person.send(person.get("/account"), "/account/emails/link", address="two@example.org")
    assert len(mail.sent) == 1, "not too soon again"
    token = token_of(person.get("/account"))
    for address in ("zoe_x@example.org", "mira_k@example.org", "somebody@example.net", ""):
        assert (
            person.post("/account/emails/link", {"address": address, "form_token": token}).status_int == 303
        )
    assert len(mail.sent) == 1, "only own addresses that wait get mail"
    assert person.post(mail.path).status_int == 200
    assert "Mail a link" not in said(person.get("/account"))


# -- the password


def change_password(
    person: Person, old: str = PASSWORD, new: str = "s3cret-two", again: str | None = None
) -> TestResponse:
    fields = {"old_password": old, "new_password": new, "new_password_again": new if again is None else again}
    return person.send(person.get("/account"), "/account/password", **fields)


def test_a_new_password_keeps_only_this_session(world: World) -> None:
    person, other, copy = world.mira(), world.mira(), world.person()
    copy = copy.with_cookie(person.cookie)
    answer = change_password(person)
    assert "Other browsers are logged out" in done(person, answer)
    assert person.is_in()
    assert not other.is_in()
    assert not copy.is_in(), "a copy of the cookie of this browser"
    assert world.person().log_in("mira_k").status_int == 401
    assert world.person().log_in("mira_k", "s3cret-two").status_int == 303


def test_a_new_password_can_revoke_all_grants(memory: World) -> None:
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
    memory: World, fields: dict[str, str], where: str, problem: str
) -> None:
    person = memory.mira()
    page = change_password(person, **fields)
    assert page.status_int == 400
    assert problem in described(page, where)
    assert person.is_in()
    assert memory.users.authenticate("mira_k", PASSWORD) is not None
    assert all("value" not in field.attrs for field in page.html.find_all("input", type="password"))


def test_attempts_of_the_old_password_are_limited(memory: World) -> None:
    person = memory.mira(REMOTE_ADDR="10.1.1.1")
    statuses = [change_password(person, old=f"guess {number}").status_int for number in range(12)]
    assert statuses[:11] == [400] * 11
    assert statuses[11] == 429
    page = change_password(person)
    assert "Too many failed logins" in described(page, "old_password")
    assert memory.users.authenticate("mira_k", PASSWORD) is not None


def test_a_basic_user_gets_no_session(memory: World) -> None:
    person = memory.person()
    person.browser.authorization = ("Basic", ("mira_k", PASSWORD))
    answer = change_password(person)
    assert answer.status_int == 303
    person.browser.authorization = ("Basic", ("mira_k", "s3cret-two"))
    assert "Your password has been changed" in done(person, answer)
    person.browser.authorization = None
    assert not person.is_in()


# -- applications


def test_granted_applications_are_shown_and_revoked(world: World) -> None:
    granter = Granter(world.storage, world.users)
    token = granter.token("mira_k", ["profile_read", "repo_write"], name="Builds <b>")
    other = granter.token("mira_k", ["profile_read"], name="Other")
    of_zoe = granter.token("zoe_x", ["profile_read"], name="Of Zoe")
    person = world.mira()
    page = person.get("/account")
    text = said(page)
    assert "Builds <b>" in text
    assert "ci.example.org" in text
    assert "pull, push to, change and delete your repositories" in text
    assert "Of Zoe" not in text
    (button,) = page.html.find_all("button", attrs={"aria-label": "Revoke Builds <b>"})
    grant = button.find_parent("form").find("input", attrs={"name": "grant"})["value"]

    answer = person.send(page, "/account/grants/revocation", grant=grant)

    assert "has been revoked" in done(person, answer)
    assert "Builds" not in said(person.get("/account"))
    statuses = [
        world.person(headers=bearer(each)).get(f"/api/v1.1/users/{name}/").status_int
        for name, each in (("mira_k", token), ("mira_k", other), ("zoe_x", of_zoe))
    ]
    assert statuses == [401, 200, 200]


def test_grants_of_other_users_cannot_be_revoked(memory: World) -> None:
    granter = Granter(memory.storage, memory.users)
    token = granter.token("zoe_x", ["profile_read"])
    (grant,) = granter.grants.of_user("zoe_x")
    person = memory.mira()
    form_token = token_of(person.get("/account"))
    for id_ in (grant.id, f"../zoe_x/{grant.id}", "", "\0", "x" * 10_000):
        answer = person.post("/account/grants/revocation", {"grant": id_, "form_token": form_token})
        assert answer.status_int == 303
    assert memory.person(headers=bearer(token)).get("/api/v1.1/users/zoe_x/").status_int == 200


def test_markup_of_an_application_is_escaped(memory: World) -> None:
    Granter(memory.storage, memory.users).token("mira_k", name=XSS)
    page = memory.mira().get("/account")
    assert XSS in page.html.get_text()
    assert len(page.html.find_all("script")) == 1
    assert all(not name.startswith("on") for tag in page.html.find_all() for name in tag.attrs)


# -- forms of other sites


@pytest.fixture
def attacked(memory: World) -> Iterator[World]:
    """A world that must stay unchanged."""
    memory.users.add_email("mira_k", "two@example.org")
    memory.users.confirm_email("mira_k", "two@example.org")
    before = {stat.key: memory.storage.read(stat.key)[0] for stat in memory.storage.list("accounts/users/")}
    yield memory
    after = {stat.key: memory.storage.read(stat.key)[0] for stat in memory.storage.list("accounts/users/")}
    assert after == before


@pytest.mark.parametrize("path", FORMS)
def test_forms_need_the_token_of_the_session(attacked: World, path: str) -> None:
    person = attacked.mira()
    earlier = token_of(person.get("/account"))
    person.send(person.get("/account"), "/logout")
    person.log_in("mira_k")
    of_nobody = token_of(attacked.person().get("/login"))
    elsewhere = token_of(attacked.mira().get("/account"))
    zoe = attacked.person()
    zoe.log_in("zoe_x")
    of_zoe = token_of(zoe.get("/account"))
    for token in (None, "", "x" * 43, earlier, of_nobody, elsewhere, of_zoe):
        sent = FORMS[path] if token is None else {**FORMS[path], "form_token": token}
        answer = person.post(path, sent)
        assert answer.status_int == 403, token
        assert "Location" not in answer.headers


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example.org"},
        {"Origin": "null"},
    ],
)
def test_a_form_of_another_site_is_rejected(attacked: World, path: str, headers: dict[str, str]) -> None:
    person = attacked.mira()
    token = token_of(person.get("/account"))
    assert person.post(path, {**FORMS[path], "form_token": token}, headers).status_int == 403


@pytest.mark.parametrize("path", FORMS)
def test_an_anonymous_visitor_must_log_in(attacked: World, path: str) -> None:
    person = attacked.person()
    for answer in (person.get("/account"), person.post(path, FORMS[path])):
        assert (answer.status_int, location_of(answer)) == (303, "/login?next=/account")
    assert person.get(path).status_int == 405 or path == "/account"


@pytest.mark.parametrize("path", FORMS)
def test_invalid_forms_change_nothing(attacked: World, path: str) -> None:
    person = attacked.mira()
    token = token_of(person.get("/account"))
    for body in (
        f"form_token={token}&form_token={token}",
        f"form_token={token}&x=%ff",
        f"form_token={token}&x=1&x=2",
    ):
        assert person.post(path, body).status_int == 400
    assert person.post(path, f"form_token={token}&x={'x' * 65536}").status_int == 413
    answer = person.post(path, f'{{"form_token": "{token}"}}', {"Content-Type": "application/json"})
    assert answer.status_int == 400


def test_unknown_notice_keys_are_ignored(memory: World) -> None:
    person = memory.mira()
    for text in ("You+are+hacked", "<script>alert(1)</script>", "%ff", "", "__class__"):
        page = person.get(f"/account?done={text}")
        assert page.status_int == 200
        assert notice_of(page) is None


def test_the_page_is_not_cached_or_framed(memory: World) -> None:
    page = memory.mira().get("/account")
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert "form-action 'self';" in page.headers["Content-Security-Policy"]


def test_a_session_ends_with_its_account(memory: World) -> None:
    for end in (
        lambda: memory.users.set_active("mira_k", False),
        lambda: memory.users.set_active("mira_k", True) or memory.users.delete("mira_k"),
    ):
        person = memory.mira()
        token = token_of(person.get("/account"))
        end()
        assert location_of(person.get("/account")) == "/login?next=/account"
        answer = person.post("/account/profile", {"full_name": "x", "form_token": token})
        assert location_of(answer) == "/login?next=/account"
        if memory.users.find("mira_k") is not None:
            memory.users.set_active("mira_k", True)


def test_an_outage_does_not_log_out(memory: World, monkeypatch: pytest.MonkeyPatch) -> None:
    person = memory.mira()

    def fail(*arguments: object, **options: object) -> bytes:
        raise StorageUnavailable("key", "switched off")

    with monkeypatch.context() as patch:
        patch.setattr(memory.storage, "read", fail)
        answer = person.get("/account")
        assert answer.status_int == 503
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "Set-Cookie" not in answer.headers
    assert person.get("/account").status_int == 200


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


def test_changes_depend_on_the_backend_of_the_user(memory: World) -> None:
    app = Registry(storage=memory.storage, auth=BackendChain([Environ("my_app.user"), memory.users]))
    kept = Person(app)
    kept.log_in("mira_k")
    assert kept.send(kept.get("/account"), "/account/profile", full_name="Mira").status_int == 303
    assert memory.users.account("mira_k").full_name == "Mira"
    of_environ = Person(app, **{"my_app.user": "somebody"})
    assert "This account is managed elsewhere" in said(of_environ.get("/account"))
