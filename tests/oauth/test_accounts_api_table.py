"""Every endpoint of the accounts API for every caller: the statuses of tests/data/accounts-api-table.txt."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from support.access_tokens import UNKNOWN, Granter, bearer
from support.clock import Clock
from support.credentials import basic
from support.world import World
from support.wsgi_client import Answer, call

from v1registry import MemoryStorage, Registry, Storage
from v1registry.access.tokens import Tokens
from v1registry.accounts.users import UserStore
from v1registry.names import RepositoryName
from v1registry.oauth.grants import ACCESS_LIFETIME_S
from v1registry.rights import Action

PATH = Path(__file__).parent.parent / "data" / "accounts-api-table.txt"
SECRET = "the-key-of-the-server-of-this-table"
CALLERS = (
    "own",
    "oth",
    "any",
    "bad",
    "off",
    "adm",
    "tok",
    "pr",
    "pw",
    "er",
    "ew",
    "rr",
    "rw",
    "all",
    "tru",
    "obt",
    "adt",
    "oft",
    "exp",
    "unk",
    "rev",
)
ONE_SCOPE = {
    "pr": "profile_read",
    "pw": "profile_write",
    "er": "email_read",
    "ew": "email_write",
    "rr": "repo_read",
    "rw": "repo_write",
}
NAMES = {"own": "mira", "oth": "other", "off": "ida", "adm": "root"}

#: What is sent; nothing in other requests.
BODIES = {
    ("PATCH", "mira"): {"full_name": "Mira Kovac"},
    ("PATCH", "nobody"): {"full_name": "Nobody"},
    ("POST", "emails"): {"email": "four@example.org"},
    ("DELETE", "emails"): {"email": "two@example.org"},
    ("PATCH", "choose"): {"email": "two@example.org", "primary": True},
    ("PATCH", "verify"): {"email": "three@example.org", "verified": True},
    ("PATCH", "again"): {"email": "two@example.org", "verified": True},
    ("PATCH", "both"): {"email": "three@example.org", "verified": True, "primary": True},
}


@dataclass(frozen=True)
class Row:
    line: int  #: where it stands in the file
    method: str
    path: str
    expected: dict[str, int]

    @property
    def body(self) -> bytes:
        fields = BODIES.get((self.method, self.path.rstrip("/").rpartition("/")[2]))
        return b"" if fields is None else json.dumps(fields).encode()


def read_rows() -> Iterator[Row]:
    for number, line in enumerate(PATH.read_text(encoding="ascii").splitlines(), 1):
        if line and not line.startswith("#"):
            method, path, *cells = line.split()
            yield Row(number, method, path, dict(zip(CALLERS, map(int, cells), strict=True)))


ROWS = tuple(read_rows())


class TableWorld(World):
    """A world with the callers of the table.

    ``headers`` has the header that each of them sends.
    """

    users: UserStore

    def __init__(self) -> None:
        super().__init__(secret=[SECRET])
        store = self.users
        store.create("mira", "pw-mira", "mira@example.org")
        for email in ("two@example.org", "three@example.org"):
            store.add_email("mira", email)
        store.confirm_email("mira", "two@example.org")
        store.create("other", "pw-other", "other@example.org")
        store.create("ida", "pw-ida", "ida@example.org")
        store.create("root", "pw-root", "root@example.org", is_administrator=True)
        granter = Granter(self.storage, store)
        # the clock of the server goes on, so a good token is one that was made a moment ago
        before = Granter(self.storage, store, clock=Clock(time.time() - ACCESS_LIFETIME_S - 1))
        headers = {caller: basic(name) for caller, name in NAMES.items()}
        headers |= {"any": {}, "bad": basic("mira", "wrong")}
        tokens, account = Tokens([SECRET]), store.account("mira")
        mark = tokens.mark_of(account.user.id, account.password_mark)
        token = tokens.issue(RepositoryName("mira", "app"), Action.WRITE, account.user, mark=mark)
        headers["tok"] = {"Authorization": f"Token {token}"}
        headers |= {caller: bearer(granter.token("mira", [scope])) for caller, scope in ONE_SCOPE.items()}
        headers |= {
            "all": bearer(granter.token("mira")),
            "tru": bearer(granter.token("mira", is_trusted=True)),
            "obt": bearer(granter.token("other")),
            "adt": bearer(granter.token("root")),
            "oft": bearer(granter.token("ida")),
            "unk": bearer(UNKNOWN),
            "rev": bearer(granter.token("mira", name="revoked")),
            "exp": bearer(before.token("mira")),
        }
        store.set_active("ida", False)
        (revoked,) = [
            grant.id for grant in granter.grants.of_user("mira") if grant.application.name == "revoked"
        ]
        assert granter.grants.revoke("mira", revoked)
        # the oldest one, which is no caller's of the rows that revoke
        self.grant_id = granter.grants.of_user("mira")[-1].id
        self.headers = headers

    def copy(self) -> TableWorld:
        """Return a copy that a test may change."""
        return self._over(self.copied_storage())

    def beside(self) -> TableWorld:
        """Return a world with the same data and an application of its own."""
        return self._over(self.storage)

    def _over(self, storage: Storage) -> TableWorld:
        made = TableWorld.__new__(TableWorld)
        World.__init__(made, storage, **self.settings)
        made.headers, made.grant_id = self.headers, self.grant_id
        return made

    def ask(self, row: Row, caller: str, **environ: str) -> Answer:
        app = self.another_app()
        path = f"/api/v1.1/users/{row.path}".replace("GRANT", self.grant_id)
        path = re.sub(r"(?<=emails/)(choose|verify|again|both)$", "", path)
        for name, value in self.headers[caller].items():
            environ[f"HTTP_{name.upper()}"] = value
        environ.setdefault("wsgi.url_scheme", "https")
        return call(app, row.method, path, row.body, CONTENT_TYPE="application/json", **environ)


@cache
def world() -> TableWorld:
    """The world of all requests. Tests write to copies of it only."""
    return TableWorld()


def world_for(row: Row, caller: str) -> TableWorld:
    """Return a world for one request: a copy if the request changes what is stored."""
    if row.method in ("GET", "HEAD") or row.expected[caller] >= 400:
        # test_refused_request_changes_nothing shows it for refused requests
        return world().beside()
    return world().copy()


def lines() -> list[object]:
    return [pytest.param(row, id=f"line {row.line}: {row.method} {row.path}") for row in ROWS]


@pytest.mark.parametrize("row", lines())
def test_OAU_017_OAU_018_every_caller_gets_the_status_of_the_table(row: Row) -> None:
    wrong = []
    for caller, expected in row.expected.items():
        answer = world_for(row, caller).ask(row, caller)
        if answer.status != expected:
            wrong.append(f"{caller}: {answer.status}, not {expected}: {answer.body!r}")
        if answer.status >= 400 and (b"@example.org" in answer.body or b"Mira" in answer.body):
            wrong.append(f"{caller} is shown {answer.body!r}")
        if answer.status >= 400 and answer.status != 405 and list(json.loads(answer.body)) != ["detail"]:
            wrong.append(f"{caller} is told {answer.body!r}")
    assert not wrong, "\n".join(wrong)


def stored(there: TableWorld) -> dict[str, str]:
    """Return the etag of each value of the accounts. A changed value has a different one."""
    return {stat.key: stat.etag for stat in there.storage.list("accounts/")}


@pytest.mark.parametrize("row", lines())
def test_refused_request_changes_nothing(row: Row) -> None:
    for caller, expected in row.expected.items():
        if expected >= 400:
            there = world().beside()
            before = stored(there)
            there.ask(row, caller)
            assert stored(there) == before, caller


@pytest.mark.parametrize("row", lines())
def test_OAU_017_refusals_have_a_challenge(row: Row) -> None:
    for caller, expected in row.expected.items():
        challenge = world_for(row, caller).ask(row, caller).header("WWW-Authenticate")
        if expected == 401 and caller in ("exp", "unk", "rev"):
            assert challenge == 'Bearer realm="api", error="invalid_token"', caller
        elif expected == 401:
            assert challenge == 'Basic realm="api", Bearer realm="api"', caller
        elif expected == 403 and caller in ONE_SCOPE and not ("grants" in row.path or "ida" in row.path):
            if row.path not in ("mira/emails/verify", "mira/emails/both") or caller != "ew":
                needed = ("email" if "emails" in row.path else "profile") + (
                    "_read" if row.method == "GET" else "_write"
                )
                wanted = f'Bearer realm="api", error="insufficient_scope", scope="{needed}"'
                assert challenge == wanted, caller
        elif expected != 403:
            assert challenge is None, caller


@pytest.mark.parametrize("row", [row for row in ROWS if row.method == "GET"], ids=lambda row: row.path)
def test_head_has_the_same_status_and_no_body(row: Row) -> None:
    for caller, expected in row.expected.items():
        answer = world().beside().ask(Row(row.line, "HEAD", row.path, row.expected), caller)
        assert (answer.status, answer.body) == (expected, b""), caller


def test_table_has_every_endpoint_of_the_application() -> None:
    app = Registry(storage=MemoryStorage(), auth="users:")
    there = {(route.method, route.path) for route in app.table if route.path.startswith("/api/v1.1/users/")}
    asked = set()
    for row in ROWS:
        if 405 not in row.expected.values():
            path = re.sub(r"(choose|verify|again|both)$", "", f"/api/v1.1/users/{row.path}")
            found = app.table.match(row.method, path)
            assert found is not None, row
            asked.add((found[0].method, found[0].path))
    assert asked == there
