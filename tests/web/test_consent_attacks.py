"""The consent page: who may answer, forged answers, and escaping."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.access_tokens import Granter, bearer
from support.cheap_passwords import CheapPasswords
from support.consent_page import BACK, XSS, Asking, asked_by, decide, raw_question
from support.page_person import (
    PASSWORD,
    Person,
    location_of,
    query_of,
    said,
    token_of,
)

from v1registry import MemoryStorage, Registry
from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.users import UserStore


@pytest.fixture
def world() -> Asking:
    return Asking()


# -- who may answer


def test_a_basic_user_needs_the_form_token(world: Asking) -> None:
    """Basic authenticates like a session, but the form token is needed: browsers resend passwords."""
    person = world.person()
    person.browser.authorization = ("Basic", ("mira_k", PASSWORD))
    assert person.post(world.asked(), {"allow": "1"}).status_int == 403
    page = person.get(world.asked())
    assert page.status_int == 200
    answer = decide(person, page, allow=True)
    assert "code" in query_of(location_of(answer))
    person.browser.authorization = ("Basic", ("zoe_x", PASSWORD))
    assert decide(person, page, allow=True).status_int == 403


def test_an_application_cannot_consent(world: Asking) -> None:
    token = Granter(world.storage, world.users).token("mira_k")
    person = world.person(headers=bearer(token))
    assert location_of(person.get(world.asked())).startswith("/login?next=")
    form_token = token_of(world.mira().get(world.asked()))
    answer = person.post(world.asked(), {"allow": "1", "form_token": form_token})
    assert location_of(answer).startswith("/login?next=")
    # a session beside it does not help
    both = world.mira()
    page = both.get(world.asked())
    both.headers.update(bearer(token))
    assert location_of(decide(both, page, allow=True)).startswith("/login?next=")


def test_users_of_the_outer_application_can_consent() -> None:
    storage = MemoryStorage()
    auth = BackendChain([Environ("my_app.user"), UserStore(storage, passwords=CheapPasswords())])
    for name in ("mira", "moe"):
        auth.create(name, PASSWORD)
    app = Registry(storage=storage, auth=auth)
    application, _ = app.applications.add("Example CI", [BACK])
    person = Person(app, **{"my_app.user": "mira"})
    page = person.get(asked_by(application))
    assert "mira" in said(page)
    person.browser.extra_environ["my_app.user"] = "moe"
    assert decide(person, page, allow=True).status_int == 403, "somebody else is there now"
    person.browser.extra_environ["my_app.user"] = "mira"
    assert "code" in query_of(location_of(decide(person, page, allow=True)))
    assert app.grants.of_user("moe") == []


def test_an_inactive_user_grants_nothing(world: Asking) -> None:
    person = world.mira()
    page = person.get(world.asked())
    world.users.set_active("mira_k", False)
    assert location_of(decide(person, page, allow=True)).startswith("/login?next=")
    person.browser.authorization = ("Basic", ("mira_k", PASSWORD))
    assert person.get(world.asked()).status_int == 403


# -- forged answers


def test_without_the_form_token_the_page_asks_again(world: Asking) -> None:
    person = world.mira()
    earlier = token_of(person.get(world.asked()))
    person.send(person.get("/account"), "/logout")
    of_nobody = token_of(person.get("/login"))
    person.log_in("mira_k")
    elsewhere = token_of(world.mira().get(world.asked()))
    zoe = world.person()
    zoe.log_in("zoe_x")
    of_zoe = token_of(zoe.get(world.asked()))
    for token in (None, "", "x" * 43, earlier, of_nobody, elsewhere, of_zoe):
        fields = {"allow": "1"} if token is None else {"allow": "1", "form_token": token}
        answer = person.post(world.asked(), fields)
        assert answer.status_int == 403
        assert "Location" not in answer.headers
        assert "This form has expired" in said(answer)
    # denying needs the token too: another site must not answer at all
    assert person.post(world.asked(), {}).status_int == 403
    assert decide(person, answer, allow=True).status_int == 302


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://ci.example.org"},
        {"Origin": "null"},
    ],
)
def test_another_site_cannot_answer_with_the_token(world: Asking, headers: dict[str, str]) -> None:
    person = world.mira()
    answer = decide(person, person.get(world.asked()), allow=True, headers=headers)
    assert answer.status_int == 403
    assert "Location" not in answer.headers


def test_the_request_may_come_from_another_site(world: Asking) -> None:
    page = world.mira().get(
        world.asked(), {"Sec-Fetch-Site": "cross-site", "Referer": "https://ci.example.org/"}
    )
    assert page.status_int == 200


def test_the_answer_is_checked_like_the_request(world: Asking) -> None:
    person = world.mira()
    token = token_of(person.get(world.asked()))
    yes = {"allow": "1", "form_token": token}
    # parameters of the request in the body are ignored
    answer = person.post(
        world.asked(), {**yes, "scope": "repo_write", "redirect_uri": "https://evil.example.org/"}
    )
    assert location_of(answer).startswith(f"{BACK}?")
    code = query_of(location_of(answer))["code"]
    assert world.tokens(code).json["scope"] == "profile_read email_read"
    answer = person.post(world.asked(redirect_uri="https://evil.example.org/"), yes)
    assert (answer.status_int, "Location" in answer.headers) == (400, False)
    answer = person.post(world.asked(scope="everything"), yes)
    assert query_of(location_of(answer))["error"] == "invalid_scope"
    world.app.applications.remove(world.application.client_id)
    answer = person.post(world.asked(), yes)
    assert (answer.status_int, "Location" in answer.headers) == (400, False)


BODIES = [
    "allow=1&allow=1&form_token={}",
    "allow=1&form_token={0}&form_token={0}",
    "allow=1&form_token={}&x=%ff",
]


@pytest.mark.parametrize("body", BODIES)
def test_a_form_with_a_field_twice_or_bad_bytes_grants_nothing(world: Asking, body: str) -> None:
    person = world.mira()
    answer = person.post(world.asked(), body.format(token_of(person.get(world.asked()))))
    assert (answer.status_int, "Location" in answer.headers) == (400, False)


def test_neither_json_nor_a_large_form_grants_anything(world: Asking) -> None:
    person = world.mira()
    token = token_of(person.get(world.asked()))
    as_json = json.dumps({"allow": "1", "form_token": token})
    assert person.post(world.asked(), as_json, {"Content-Type": "application/json"}).status_int == 400
    assert person.post(world.asked(), as_json, {"Content-Type": "text/plain"}).status_int == 400
    assert person.post(world.asked(), {"allow": "1", "form_token": token, "x": "x" * 65536}).status_int == 413


_SHARED = Asking()
_COOKIE = _SHARED.mira().cookie


@given(query=st.text(alphabet=st.characters(min_codepoint=1, max_codepoint=255), max_size=200))
def test_no_query_gives_a_500_or_leads_elsewhere(query: str) -> None:
    cookie = f"__Host-v1registry_session={_COOKIE}"
    for text in (query, f"client_id={_SHARED.application.client_id}&response_type=code&{query}"):
        answer = raw_question(_SHARED, text, HTTP_COOKIE=cookie)
        assert answer.status in (200, 302, 400)
        if answer.status == 302:
            assert str(answer.header("Location")).startswith(
                (f"{BACK}?", "https://ci.example.org/other?from=v1&")
            )


# -- escaping


def test_markup_of_applications_is_escaped() -> None:
    world = Asking(options={"name": XSS, "description": XSS})
    world.users.create(XSS, PASSWORD)
    person = world.person()
    person.log_in(XSS)
    page = person.get(world.asked(state=XSS))
    text = page.html.find("main").get_text()
    assert text.count(XSS) >= 3
    assert len(page.html.find_all("script")) == 1
    assert page.html.find_all("img") == []
    assert all(not name.startswith("on") for tag in page.html.find_all() for name in tag.attrs)
    assert "49" not in text
    assert XSS in page.html.find("title").get_text()
