"""Every endpoint, for everybody, with all kinds of credentials: the statuses of tests/data/rights-table.txt.

And nobody who may not read the private repository gets one byte of it, or sees that it is there.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import pytest
from support.access_tokens import UNKNOWN, Granter, bearer
from support.accounts_world import (
    DELETE,
    READ,
    SECRET,
    WRITE,
    AccountsWorld,
    image_of,
    list_of,
    mark_of,
)
from support.backends import People
from support.clock import Clock
from support.credentials import basic, token_header
from support.rights_of_v2 import is_v2, v2_request_of, v2_token_of
from support.rights_table import BEARERS, CALLERS, CREDENTIALS, KINDS, Row, read_rows
from support.wsgi_client import PAYLOAD_HEADER, Answer, call
from v1registry_fakes.layers import files_in

from v1registry import Registry
from v1registry.access.tokens import Tokens
from v1registry.names import RepositoryName
from v1registry.oauth.scopes import ACCOUNT_SCOPES
from v1registry.rights import User
from v1registry.wsgi.routing import Route

ROWS = tuple(read_rows())
PEOPLE = {
    "off": User("ida_inactive", is_active=False),
    "str": User("stranger"),
    "col": User("colin"),
    "wri": User("wanda"),
    "own": User("acme"),
    "mem": User("mira", frozenset({"acme", "others"})),
    "adm": User("root", is_administrator=True),
}
NAMES = {
    "public": "acme/public",
    "private": "acme/private",
    "library": "library/base",
    "absent": "acme/nowhere",
    "deleted": "acme/deleted",
}
TAGS = {**dict.fromkeys(NAMES, "latest"), "private": "private-tag"}
IMAGES = {kind: image_of(f"{kind}-file") for kind in NAMES}
IMAGES["private"] = image_of("private-file", parent := image_of("private-parent"))
DESCRIPTION = "private-description of acme/private"

#: What stands only in the private repository. Its images' ids do not count: the attacker knows them.
PRIVATE = (
    b"private-file",
    b"private-parent",
    b"private-tag",
    b"private-description",
    *(bytes([*image.layer[10:30]]) for image in (IMAGES["private"], parent)),
    *(image.payload_checksum.removeprefix("sha256:").encode() for image in (IMAGES["private"], parent)),
)
BLIND = ("any", "bad", "off", "str")  #: those who may not read it


def is_blind(row: Row) -> bool:
    """Tell whether who asks may not read it. Applications have nothing of an administrator's power."""
    if row.credentials in BEARERS and (row.caller == "adm" or not row.credentials.startswith("repo_")):
        return True
    return row.caller in BLIND


@cache
def world() -> AccountsWorld:
    """What everybody comes to. Only copies of it are written to."""
    made = AccountsWorld(People.of(*PEOPLE.values()), oauth_http="allow")
    acme, root = made.person("acme"), made.person("root")
    acme.push("acme/other", image_of("other"))
    for kind in ("public", "private", "deleted"):
        if kind == "private":
            acme.make_private(NAMES[kind])
        acme.push(NAMES[kind], *([parent] if kind == "private" else []), IMAGES[kind], tag=TAGS[kind])
        made.grant(NAMES[kind], "colin", READ)
        made.grant(NAMES[kind], "wanda", WRITE)
    root.push(NAMES["library"], IMAGES["library"])
    for kind in ("public", "private", "library"):
        # in the distribution API each image is there by its digest once it was asked for
        assert root.get(f"/v2/{NAMES[kind]}/manifests/{TAGS[kind]}").status_int == 200
    made.repositories.describe(RepositoryName.parse(NAMES["private"]), DESCRIPTION)
    assert acme.delete(NAMES["deleted"], wants_token=True).status_int == 202
    return made


@cache
def access_token(username: str, credentials: str) -> str:
    """Return the token of an application for a user. Accounts that are inactive now were active then."""
    if credentials == "unissued":
        return UNKNOWN
    people = People.of(*(User(user.name) for user in PEOPLE.values()))
    scopes = ACCOUNT_SCOPES if credentials == "accounts" else (credentials,)
    return Granter(world().storage, people).token(username, scopes)


def headers_of(row: Row) -> dict[str, str]:
    """Return the credentials of a row."""
    user = PEOPLE.get(row.caller)
    if row.credentials in BEARERS:
        assert user is not None
        return bearer(access_token(user.name, row.credentials))
    if row.credentials == "basic":
        if row.caller == "any":
            return {}
        return basic("acme", "wrong") if row.caller == "bad" else basic(user.name if user else "")
    repository = "acme/other" if row.credentials == "other" else NAMES[row.kind]
    if is_v2(row):
        return v2_token_of(row, user, repository, "another key" if row.credentials == "forged" else SECRET)
    right = {"GET": READ, "PUT": WRITE, "DELETE": DELETE}[row.method.rstrip("?")]
    access = {"read": READ, "write": WRITE, "delete": DELETE}.get(row.credentials, right)
    name = RepositoryName.parse(repository)
    tokens = Tokens([SECRET])
    if row.credentials == "forged":
        tokens = Tokens(["another key"])
    elif row.credentials == "expired":
        tokens = Tokens([SECRET], clock=Clock(time.time() - 12 * 3600 - 1))
    return token_header(tokens.issue(name, access, user, mark=mark_of(tokens, user)))


def request_of(row: Row) -> tuple[str, str, bytes, dict[str, str]]:
    """Return method, path, body and headers of a row."""
    image, tag = IMAGES[row.kind], TAGS[row.kind]
    if is_v2(row):
        return v2_request_of(row, NAMES[row.kind], tag, image, headers_of(row))
    path = row.path if row.path.startswith("/") else f"/v1/{row.path}"
    path = path.replace("REPO", NAMES[row.kind]).replace("ID", image.image_id).replace("TAG", tag)
    headers, body = headers_of(row), b""
    if row.method == "DELETE?":
        headers["X-Docker-Token"] = "true"
    what = row.path.rpartition("/")[2]
    if row.method == "PUT":
        bodies = {
            "json": image.json,
            "layer": image.layer,
            "": list_of(image).encode(),
            "images": list_of(image).encode(),
            "properties": b'{"access": "private"}',
            "more": json.dumps(image.image_id).encode(),
        }
        body = bodies.get(what, b"")
        if what == "checksum":
            headers[PAYLOAD_HEADER] = image.payload_checksum
    return row.method.rstrip("?"), path, body, headers


def ask(app: Registry, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    path, _, query = path.partition("?")
    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    if "HTTP_CONTENT_TYPE" in environ:
        environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE")
    return call(app, method, path, body, QUERY_STRING=query, REMOTE_ADDR="192.0.2.1", **environ)


def answer_to(row: Row, method: str | None = None) -> Answer:
    """Make the request of a row to a server on which nothing else was asked before that changes anything."""
    there = world()
    _ = headers_of(row)  # what is granted has to be there before the world is copied
    if row.method != "GET" and not row.expected.startswith("4"):
        there = there.copy()
    elif row.method != "GET" or row.credentials in ("basic", "gone"):
        # a refused request changes nothing that is stored, but a wrong password counts in the application
        there = AccountsWorld(People(dict(there.people.users)), there.storage, **there.settings)
    if row.credentials == "gone":
        there.people.users.clear()
    own, path, body, headers = request_of(row)
    return ask(there.app, method or own, path, body, headers)


def outcome(row: Row, answer: Answer) -> str:
    """Return what stands in the table for an answer."""
    if row.expected in ("yes", "no") and answer.status == 200:
        told = json.loads(answer.body)
        if row.path == "/v2/_catalog":
            return "yes" if NAMES[row.kind] in told["repositories"] else "no"
        if "access" in told:
            assert type(told["access"]) is bool
            return "yes" if told["access"] else "no"
        name = NAMES[row.kind].removeprefix("library/")
        found = {result["name"] for result in told["results"]}
        assert told["num_results"] == len(found)
        return "yes" if name in found or NAMES[row.kind] in found else "no"
    return str(answer.status)


def leaks(answer: Answer) -> list[bytes]:
    """Return the private bytes in an answer."""
    sent = b"\n".join(
        [answer.body, *(f"{name}: {value}".encode("latin-1") for name, value in answer.headers)]
    )
    return [private for private in PRIVATE if private in sent]


def lines(rows: Iterable[Row]) -> list[Any]:
    """Return a parameter for each line of the table: its rows."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row.line, []).append(row)
    return [
        pytest.param(rows, id=f"line {line}: {rows[0].method} {rows[0].path}") for line, rows in found.items()
    ]


@pytest.mark.parametrize("rows", lines(ROWS))
def test_each_caller_gets_its_status_and_no_private_byte(rows: list[Row]) -> None:
    wrong = []
    for row in rows:
        answer = answer_to(row)
        found = outcome(row, answer)
        if found != row.expected:
            wrong.append(f"{row}: {found}, not {row.expected}: {answer.body[:80]!r}")
        # what is refused holds nothing private, and neither does what is answered to those who may not see it
        if (is_blind(row) or answer.status >= 400) and leaks(answer):
            wrong.append(f"{row} shows {leaks(answer)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("rows", lines(row for row in ROWS if row.method == "GET"))
def test_head_has_the_same_status_and_no_body(rows: list[Row]) -> None:
    for row in rows:
        answer = answer_to(row, "HEAD")
        expected = {"yes": "200", "no": "200"}.get(row.expected, row.expected)
        assert (str(answer.status), answer.body) == (expected, b""), str(row)
        assert not is_blind(row) or not leaks(answer)


WITHOUT_REPOSITORY = ("users/", "_ping", "_status", "/v2/", "/v2/token", "/usage")


def test_the_table_has_each_case_once_and_all_of_them() -> None:
    assert len(ROWS) >= 800
    cases = Counter((row.method, row.path, row.kind, row.credentials, row.caller) for row in ROWS)
    assert [case for case, count in cases.items() if count > 1] == []
    for method, path in {(row.method, row.path) for row in ROWS}:
        kinds = KINDS if path not in WITHOUT_REPOSITORY else ("public",)
        for kind in kinds:
            for credentials in CREDENTIALS:
                callers = {row.caller for row in ROWS if (row.method, row.path, row.kind,
                row.credentials) == (method, path, kind, credentials)}  # fmt: skip
                bad = {"any", "bad"} if credentials in ("gone", *BEARERS) else {"bad"}
                impossible = set() if credentials == "basic" else bad
                assert callers == set(CALLERS) - impossible, (method, path, kind, credentials)


#: Rows of the application that the table does not ask, and why.
ELSEWHERE = {
    ("GET", "/"): "the same for everybody, tests/registry/test_registry_checklist_status.py",
    ("POST", "/v1/users[/]"): "credentials are not looked at, tests/hub/test_hub_users.py",
    ("POST", "/v2/token"): "credentials are in the form, tests/distribution/test_v2_token_endpoint.py",
    ("PUT", "/v1/users/{username}[/]"): "not about repositories, tests/hub/test_hub_user_changes.py",
}


def test_the_table_has_every_endpoint_of_the_application() -> None:
    app = world().app

    def route_of(row: Row) -> Route:
        method, path, _, _ = request_of(row)
        found = app.table.match(method, path.partition("?")[0])
        assert found is not None, str(row)
        return found[0]

    asked = {route_of(row).handler for row in ROWS}
    missing = {
        (route.method, route.path)
        for route in app.table
        if route.path.startswith(("/v1/", "/v2", "/usage")) or route.path == "/"
        if route.handler not in asked
    }
    # NAME/tags/images is a list or a tag: both are in the table under other names
    missing -= {(method, "/v1/repositories/{repository_named_tags}/images") for method in ("GET", "PUT")}
    missing -= {("GET", "/v1/repositories/{repository_named_tags}/images[/]")}
    assert missing == set(ELSEWHERE)


SEEN = tuple(row for row in ROWS if row.kind == "private" and is_blind(row) and row.method == "GET")


@pytest.mark.parametrize("rows", lines(SEEN))
def test_hidden_and_absent_images_get_the_same_answer(rows: list[Row]) -> None:
    for row in rows:
        absent = Row(row.line, row.method, row.path, "absent", row.credentials, row.caller, row.expected)
        for method in ("GET", "HEAD"):
            hidden_answer, absent_answer = answer_to(row, method), answer_to(absent, method)
            assert told(hidden_answer) == told(absent_answer), str(row)


def told(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return what an answer tells, apart from the name of the repository, which the caller gave."""
    hidden, absent = NAMES["private"], NAMES["absent"]  # of one length
    headers = [
        (name, value.replace(hidden, absent))
        for name, value in answer.headers
        if name.lower() != "x-request-id"
    ]
    return answer.status, headers, answer.body.replace(hidden.encode(), absent.encode())


def test_private_bytes_are_found_in_answers_to_the_owner() -> None:
    """Whoever may read the repository gets all of them: else the search above would prove nothing."""
    there, shown = world(), b""
    owner = there.person("acme")
    image_id, name = IMAGES["private"].image_id, NAMES["private"]
    for path in (
        *(f"/v1/images/{image_id}/{what}" for what in ("json", "layer", "files")),
        *(f"/v1/images/{parent.image_id}/{what}" for what in ("json", "layer")),
        f"/v1/repositories/{name}/tags",
        "/v1/search",
    ):
        answer = owner.get(path)
        assert answer.status_int == 200
        shown += answer.body + str(answer.headers).encode()
    assert [private for private in PRIVATE if private not in shown] == []
    assert list(files_in(IMAGES["private"].layer)) == ["etc/private-file.conf"]
