"""Helpers for tests of the account page."""

from __future__ import annotations

from webtest import TestResponse

from support.page_person import PASSWORD, Person, location_of

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


def done(person: Person, answer: TestResponse) -> str:
    """Return the notice after a valid form. The browser is redirected, so a reload sends nothing."""
    assert answer.status_int == 303, answer
    assert location_of(answer).startswith("/account?done=")
    page = person.get(location_of(answer))
    assert page.status_int == 200
    return str(notice_of(page))


def notice_of(page: TestResponse) -> str | None:
    """Return the notice on a page, or None."""
    found = page.html.find("p", class_="notice", attrs={"role": "status"})
    return None if found is None else str(found.get_text())
