"""Grants in the accounts API: list and revoke. These endpoints are ours."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from support.access_tokens import Granter, bearer
from support.account_asker import MIRA, Asker
from support.clock import Clock
from support.credentials import basic

from v1registry import Registry, Storage
from v1registry.accounts.users import UserStore

GRANTS = MIRA + "grants/"

#: An hour ago: the server's own clock goes on.
THEN = datetime.now(timezone.utc).replace(microsecond=250) - timedelta(hours=1)


@pytest.fixture
def granter(storage: Storage, store: UserStore) -> Granter:
    return Granter(storage, store)


@pytest.fixture
def person(app: Registry) -> Asker:
    return Asker(app, basic("mira"))


def test_users_see_their_own_grants_newest_first(person: Asker, storage: Storage, store: UserStore) -> None:
    assert person("GET", GRANTS).json == []
    earlier = Granter(storage, store, clock=Clock(THEN.timestamp()))
    earlier.token("mira", ["email_read", "profile_read"], name="First")
    Granter(storage, store, clock=Clock(THEN.timestamp() + 60)).token("mira", ["repo_read"], name="Second")
    earlier.token("other", name="Of another")
    answer = person("GET", GRANTS)
    assert answer.status_int == 200
    second, first = answer.json
    assert [second["application"]["name"], first["application"]["name"]] == ["Second", "First"]
    assert first == {
        "id": first["id"],
        "application": {
            "client_id": first["application"]["client_id"],
            "name": "First",
            "description": "",
        },
        "scopes": ["email_read", "profile_read"],
        "granted_at": THEN.strftime("%Y-%m-%dT%H:%M:%S.000250Z"),
    }
    assert person("GET", GRANTS.rstrip("/")).json == answer.json


def test_shown_grants_contain_no_secrets(person: Asker, granter: Granter) -> None:
    token = granter.token("mira")
    assert token not in person("GET", GRANTS).text
    assert "secret" not in person("GET", GRANTS).text


def test_revoked_grant_is_invalid_at_once(person: Asker, app: Registry, granter: Granter) -> None:
    one, two = (Asker(app, bearer(granter.token("mira", name=name))) for name in ("One", "Two"))
    assert [one("GET", MIRA).status_int, two("GET", MIRA).status_int] == [200, 200]
    (grant_id,) = [
        grant["id"] for grant in person("GET", GRANTS).json if grant["application"]["name"] == "One"
    ]
    answer = person("DELETE", f"{GRANTS}{grant_id}/")
    assert (answer.status_int, answer.body, answer.headers["Content-Length"]) == (204, b"", "0")
    assert [one("GET", MIRA).status_int, two("GET", MIRA).status_int] == [401, 200]
    assert [grant["application"]["name"] for grant in person("GET", GRANTS).json] == ["Two"]
    again = person("DELETE", f"{GRANTS}{grant_id}")
    assert (again.status_int, again.json) == (404, {"detail": "There is no such grant"})


def test_user_cannot_revoke_grants_of_another_user(person: Asker, granter: Granter) -> None:
    granter.token("other")
    (grant,) = granter.grants.of_user("other")
    # below the own name it is not there, and below the other's it is not one's own
    assert person("DELETE", f"{GRANTS}{grant.id}/").status_int == 404
    assert person("DELETE", f"/api/v1.1/users/other/grants/{grant.id}/").status_int == 403
    assert granter.grants.of_user("other") == [grant]


@pytest.mark.parametrize(
    "grant_id", ["x", "%00", "..", "0" * 32, "0" * 33, "A" * 32, "x" * 3000, "a%2Fb", "%E2%98%83"]
)
def test_odd_grant_id_is_404(person: Asker, grant_id: str) -> None:
    assert person("DELETE", f"{GRANTS}{grant_id}/").status_int == 404


def test_later_account_with_the_same_name_has_no_grants(
    person: Asker, app: Registry, granter: Granter, store: UserStore
) -> None:
    application = Asker(app, bearer(granter.token("mira")))
    store.delete("mira")
    assert application("GET", MIRA).status_int == 401
    store.create("mira", "pw-mira", "mira@example.org")
    assert application("GET", MIRA).status_int == 401
    assert person("GET", GRANTS).json == []
