"""The account page: profile, addresses, and the grants of applications."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.access_tokens import Granter, bearer
from support.account_page import FORMS, XSS, done
from support.kept_mail import PUBLIC_URL, KeptMail
from support.page_person import PagesWorld, described, said, token_of

from v1registry import FileStorage, MemoryStorage
from v1registry.accounts.base import Email
from v1registry.oauth.scopes import SCOPES
from v1registry.rights import User


@pytest.fixture(params=["memory", "files"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> PagesWorld:
    storage = MemoryStorage() if request.param == "memory" else FileStorage(tmp_path, durable=False)
    return PagesWorld(storage)


@pytest.fixture
def memory() -> PagesWorld:
    return PagesWorld()


# -- the profile


def test_a_profile_is_changed_and_shown(world: PagesWorld) -> None:
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


def test_scope_texts_name_the_profile_fields(memory: PagesWorld) -> None:
    html = memory.mira().get("/account").html
    for name in ("full_name", "location", "company", "profile_url"):
        label = html.find("label", attrs={"for": name}).get_text()
        assert label.lower() in SCOPES["profile_read"]
    assert "primary" in html.find("h2", id="emails-title").find_next("ul").get_text()
    assert "primary e-mail address" in SCOPES["profile_read"]


def test_errors_are_at_their_fields_and_input_is_kept(memory: PagesWorld) -> None:
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


def test_extra_form_fields_are_ignored(memory: PagesWorld) -> None:
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


def test_markup_in_a_profile_is_escaped(memory: PagesWorld) -> None:
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


def test_addresses_are_added_made_primary_and_removed(world: PagesWorld) -> None:
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
def test_an_invalid_address_is_reported_at_its_field(memory: PagesWorld, email: str, problem: str) -> None:
    person = memory.mira()
    page = person.send(person.get("/account"), "/account/emails", email=email)
    assert page.status_int == 400
    assert problem in described(page, "email")
    assert page.html.find(id="email")["value"] == email
    assert len(memory.users.emails("mira_k")) == 1


def test_one_address_too_many_is_reported(memory: PagesWorld) -> None:
    for number in range(48):
        memory.users.add_email("mira_k", f"n{number}@example.org")
        memory.users.confirm_email("mira_k", f"n{number}@example.org")
    person = memory.mira()
    assert person.send(person.get("/account"), "/account/emails", email="last@example.org").status_int == 303
    page = person.send(person.get("/account"), "/account/emails", email="more@example.org")
    assert page.status_int == 400
    assert "50 addresses" in described(page, "email")


def test_invalid_changes_of_addresses_are_reported(memory: PagesWorld) -> None:
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


def test_the_page_cannot_verify_an_address(memory: PagesWorld) -> None:
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
    world = PagesWorld(mail=mail, public_url=PUBLIC_URL)
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


# -- applications


def test_granted_applications_are_shown_and_revoked(world: PagesWorld) -> None:
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


def test_grants_of_other_users_cannot_be_revoked(memory: PagesWorld) -> None:
    granter = Granter(memory.storage, memory.users)
    token = granter.token("zoe_x", ["profile_read"])
    (grant,) = granter.grants.of_user("zoe_x")
    person = memory.mira()
    form_token = token_of(person.get("/account"))
    for id_ in (grant.id, f"../zoe_x/{grant.id}", "", "\0", "x" * 10_000):
        answer = person.post("/account/grants/revocation", {"grant": id_, "form_token": form_token})
        assert answer.status_int == 303
    assert memory.person(headers=bearer(token)).get("/api/v1.1/users/zoe_x/").status_int == 200


def test_markup_of_an_application_is_escaped(memory: PagesWorld) -> None:
    Granter(memory.storage, memory.users).token("mira_k", name=XSS)
    page = memory.mira().get("/account")
    assert XSS in page.html.get_text()
    assert len(page.html.find_all("script")) == 1
    assert all(not name.startswith("on") for tag in page.html.find_all() for name in tag.attrs)
