"""Bodies of the accounts API: JSON or a form. Other bodies are 400, never 500 (oauth.md 4)."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.account_asker import FORM, JSON, MIRA, Asker
from support.cheap_passwords import CheapPasswords
from support.credentials import basic
from support.wsgi_client import Answer, call

from v1registry import MemoryStorage, Registry
from v1registry.accounts.users import UserStore
from v1registry.wsgi.bodies import fields_of_body


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, b"{"),
        (JSON, b'{"full_name": "x",}'),
        (JSON, b"[]"),
        (JSON, b'"full_name"'),
        (JSON, b"null"),
        (JSON, b'{"full_name": NaN}'),
        (JSON, b'{"full_name": "\xff"}'),
        (JSON, b"\xef\xbb\xbf{}"),
        (JSON, b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}"),
        (JSON, b"[" * 60_000),
        (JSON, b'{"a": ' + b"9" * 5000 + b"}"),
        ("application/vnd.example+json", b"{"),
        (FORM, b"full_name=%ff"),
        (FORM, b"full_name=\xff"),
        (FORM, b"full_name=a&full_name=b"),
        (FORM, b"&".join(b"a%d=1" % number for number in range(101))),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n--x--"),
        ("text/xml", b"<full_name/>"),
        ("text/plain", b"full_name=x"),
        (";", b"{"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", MIRA), *((method, MIRA + "emails/") for method in ("POST", "PATCH", "DELETE"))],
)
def test_OAU_025_invalid_body_is_400(app: Registry, kind: str, body: bytes, method: str, path: str) -> None:
    answer = call(
        app, method, path, body, CONTENT_TYPE=kind, HTTP_AUTHORIZATION=basic("mira")["Authorization"]
    )
    assert answer.status == 400
    assert json.loads(answer.body).keys() == {"detail"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, b'{"full_name": "Mira"}'),
        ("application/json; charset=utf-8", b'\n{"full_name": "Mira"}\n'),
        ("Application/JSON", b'{"full_name": "Mira"}'),
        ("application/vnd.example+json", b'{"full_name": "Mira"}'),
        ("", b' {"full_name": "Mira"}'),
        ("", b"full_name=Mira"),
        (FORM, b"full_name=%4d%69ra&"),
        (f"{FORM}; charset=utf-8", b"full_name=Mira\r\n"),
    ],
)
def test_OAU_025_json_and_form_bodies_are_equivalent(app: Registry, kind: str, body: bytes) -> None:
    environ = {"CONTENT_TYPE": kind} if kind else {}
    answer = call(app, "PATCH", MIRA, body, HTTP_AUTHORIZATION=basic("mira")["Authorization"], **environ)
    assert (answer.status, json.loads(answer.body)["full_name"]) == (200, "Mira")


def test_body_of_64_kib_is_accepted_and_one_byte_more_refused(app: Registry) -> None:
    def ask(size: int) -> Answer:
        body = b'{"shoe_size": "' + b"x" * (size - 17) + b'"}'
        assert len(body) == size
        return call(app, "PATCH", MIRA, body, HTTP_AUTHORIZATION=basic("mira")["Authorization"])

    assert ask(1 << 16).status == 200
    assert ask((1 << 16) + 1).status == 413


def test_unauthorized_request_is_refused_without_its_body(app: Registry) -> None:
    """Credentials are checked before the body is read."""
    for headers, status in (({}, 401), (basic("other"), 403)):
        answer = Asker(app, headers)("PATCH", MIRA, full_name=7)
        assert answer.status_int == status


def test_form_fields_are_text_except_true() -> None:
    form = b"verified=TRUE&primary=1&email=true"
    assert fields_of_body(form, FORM, ("verified", "primary")) == {
        "verified": True,
        "primary": "1",
        "email": "true",
    }


SMALL = MemoryStorage()
SMALL_STORE = UserStore(SMALL, passwords=CheapPasswords())
SMALL_STORE.create("mira", "pw-mira", "mira@example.org")
SMALL_APP = Registry(storage=SMALL, auth=SMALL_STORE)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.emails(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    ["full_name", "location", "profile_url", "gravatar_email", "email", "verified", "primary", "other"]
)
BODIES = (
    st.binary(max_size=200)
    | st.dictionaries(FIELDS, VALUES, max_size=4).map(lambda fields: json.dumps(fields).encode())
    | st.lists(st.tuples(FIELDS, st.text(max_size=20)), max_size=4).map(
        lambda pairs: urlencode(pairs, errors="replace").encode()
    )
)


@settings(max_examples=300, deadline=None)
@given(
    method=st.sampled_from(["GET", "PATCH", "POST", "DELETE", "HEAD"]),
    end=st.sampled_from(["", "emails/", "grants/", "grants/x/"]),
    kind=st.sampled_from([JSON, FORM, "", "text/plain", "multipart/form-data"]),
    body=BODIES,
    query=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30) | st.just("email=x"),
)
def test_random_request_is_never_a_500(method: str, end: str, kind: str, body: bytes, query: str) -> None:
    answer = call(
        SMALL_APP,
        method,
        MIRA + end,
        body,
        CONTENT_TYPE=kind,
        QUERY_STRING=query,
        HTTP_AUTHORIZATION=basic("mira")["Authorization"],
    )
    assert answer.status in (200, 201, 204, 400, 403, 404, 405)
    primary = [email for email in SMALL_STORE.account("mira").emails if email.primary]
    assert len(primary) == 1
    for email in SMALL_STORE.account("mira").emails:
        if not email.primary:
            SMALL_STORE.remove_email("mira", email.email)
