"""The account page: forms of other sites and of other users."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.account_page import FORMS, notice_of
from support.page_person import PagesWorld, location_of, token_of

from v1registry.storage.base import StorageUnavailable


@pytest.fixture
def memory() -> PagesWorld:
    return PagesWorld()


# -- forms of other sites


@pytest.fixture
def attacked(memory: PagesWorld) -> Iterator[PagesWorld]:
    """A world that must stay unchanged."""
    memory.users.add_email("mira_k", "two@example.org")
    memory.users.confirm_email("mira_k", "two@example.org")
    before = {stat.key: memory.storage.read(stat.key)[0] for stat in memory.storage.list("accounts/users/")}
    yield memory
    after = {stat.key: memory.storage.read(stat.key)[0] for stat in memory.storage.list("accounts/users/")}
    assert after == before


@pytest.mark.parametrize("path", FORMS)
def test_forms_need_the_token_of_the_session(attacked: PagesWorld, path: str) -> None:
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
def test_a_form_of_another_site_is_rejected(attacked: PagesWorld, path: str, headers: dict[str, str]) -> None:
    person = attacked.mira()
    token = token_of(person.get("/account"))
    assert person.post(path, {**FORMS[path], "form_token": token}, headers).status_int == 403


@pytest.mark.parametrize("path", FORMS)
def test_an_anonymous_visitor_must_log_in(attacked: PagesWorld, path: str) -> None:
    person = attacked.person()
    for answer in (person.get("/account"), person.post(path, FORMS[path])):
        assert (answer.status_int, location_of(answer)) == (303, "/login?next=/account")
    assert person.get(path).status_int == 405 or path == "/account"


@pytest.mark.parametrize("path", FORMS)
def test_invalid_forms_change_nothing(attacked: PagesWorld, path: str) -> None:
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


def test_unknown_notice_keys_are_ignored(memory: PagesWorld) -> None:
    person = memory.mira()
    for text in ("You+are+hacked", "<script>alert(1)</script>", "%ff", "", "__class__"):
        page = person.get(f"/account?done={text}")
        assert page.status_int == 200
        assert notice_of(page) is None


def test_the_page_is_not_cached_or_framed(memory: PagesWorld) -> None:
    page = memory.mira().get("/account")
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert "form-action 'self';" in page.headers["Content-Security-Policy"]


def test_a_session_ends_with_its_account(memory: PagesWorld) -> None:
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


def test_an_outage_does_not_log_out(memory: PagesWorld, monkeypatch: pytest.MonkeyPatch) -> None:
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
