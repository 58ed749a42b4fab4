"""What expires in a FakeRegistry if a test moves its clock, in process and on the live port."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import requests
from support.kept_mail import PUBLIC_URL, KeptMail
from v1registry_fakes import FakeApplication, FakeRegistry, WSGISession

from v1registry.log import ACCESS_LOGGER
from v1registry.oauth.grants import CODE_LIFETIME_S

ALICE = ("alice", "secret")
BACK = "https://ci.example.org/back"


class LiveSession(requests.Session):
    """A session whose relative URLs are below one URL, over TCP."""

    def __init__(self, url: str):
        super().__init__()
        self._url = url

    def request(  # type: ignore[override]
        self, method: str, url: str, *arguments: Any, **options: Any
    ) -> requests.Response:
        return super().request(method, urljoin(self._url, url), *arguments, timeout=20, **options)


@pytest.fixture
def v1registry_options() -> dict[str, Any]:
    return {"auth": "users:"}


@pytest.fixture(params=["in process", "live port"])
def session(request: pytest.FixtureRequest, v1registry: FakeRegistry) -> Iterator[requests.Session]:
    """Add the user alice, and yield a session on the registry."""
    v1registry.add_user("alice")
    is_live = request.param == "live port"
    with LiveSession(v1registry.url) if is_live else WSGISession(v1registry.app) as session:
        yield session


# -- tokens


def test_v1_token_expires(v1registry: FakeRegistry, session: requests.Session) -> None:
    v1registry.add_image("alice/app:1")
    headers = {"X-Docker-Token": "true"}
    answer = session.get("/v1/repositories/alice/app/images", headers=headers, auth=ALICE)
    token = {"Authorization": f"Token {answer.headers['X-Docker-Token']}"}

    v1registry.clock.advance(minutes=59)
    assert session.get("/v1/repositories/alice/app/tags", headers=token).status_code == 200
    v1registry.clock.advance(minutes=1)
    assert session.get("/v1/repositories/alice/app/tags", headers=token).status_code == 401


def test_v2_token_and_refresh_token_expire(v1registry: FakeRegistry, session: requests.Session) -> None:
    v1registry.add_image("alice/app:1", api="v2")

    def tokens(**form: str) -> requests.Response:
        scope = {"scope": "repository:alice/app:pull", "service": "any", "client_id": "ci"}
        return session.post("/v2/token", data={**scope, **form})

    def pull(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return session.get("/v2/alice/app/tags/list", headers=headers).status_code

    first = tokens(grant_type="password", username="alice", password="secret", access_type="offline").json()
    v1registry.clock.advance(minutes=4)
    assert pull(first["access_token"]) == 200
    v1registry.clock.advance(minutes=1)
    assert pull(first["access_token"]) == 401

    v1registry.clock.advance(days=29)
    refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    assert pull(tokens(**refresh).json()["access_token"]) == 200
    v1registry.clock.advance(days=1)
    assert tokens(**refresh).status_code == 401


# -- OAuth


def new_code(registry: FakeRegistry, application: FakeApplication) -> str:
    url = f"/api/v1.1/o/authorize/?client_id={application.client_id}&response_type=code"
    return registry.consent(url, "alice").removeprefix(f"{BACK}?code=")


def oauth_tokens(session: requests.Session, application: FakeApplication, **form: str) -> requests.Response:
    credentials = (application.client_id, application.client_secret or "")
    return session.post("/api/v1.1/o/token/", data=form, auth=credentials)


def test_oauth_code_expires(v1registry: FakeRegistry, session: requests.Session) -> None:
    application = v1registry.add_application("CI", [BACK])
    early, late = new_code(v1registry, application), new_code(v1registry, application)

    v1registry.clock.advance(CODE_LIFETIME_S - 10)
    redeemed = oauth_tokens(session, application, grant_type="authorization_code", code=early)
    assert redeemed.status_code == 200
    v1registry.clock.advance(10)
    refused = oauth_tokens(session, application, grant_type="authorization_code", code=late)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_oauth_access_and_refresh_token_expire(v1registry: FakeRegistry, session: requests.Session) -> None:
    application = v1registry.add_application("CI", [BACK])
    code = new_code(v1registry, application)
    tokens = oauth_tokens(session, application, grant_type="authorization_code", code=code).json()

    def profile() -> int:
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        return session.get("/api/v1.1/users/alice/", headers=headers).status_code

    v1registry.clock.advance(days=180, seconds=-60)
    assert profile() == 200
    v1registry.clock.advance(minutes=1)
    assert profile() == 401


@pytest.mark.parametrize(("days", "status"), [(359, 200), (360, 400)])
def test_oauth_refresh_token_expires(
    v1registry: FakeRegistry, session: requests.Session, days: int, status: int
) -> None:
    application = v1registry.add_application("CI", [BACK])
    code = new_code(v1registry, application)
    tokens = oauth_tokens(session, application, grant_type="authorization_code", code=code).json()
    v1registry.clock.advance(days=days)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert oauth_tokens(session, application, **form).status_code == status


# -- pages and mails


def form_token(page: requests.Response) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]


def test_session_of_the_pages_expires(v1registry: FakeRegistry, session: requests.Session) -> None:
    form = {"form_token": form_token(session.get("/login")), "username": "alice", "password": "secret"}
    session.post("/login", data=form, allow_redirects=False)

    v1registry.clock.advance(minutes=59)
    page = session.get("/account", allow_redirects=False)
    assert (page.status_code, "alice" in page.text) == (200, True)
    v1registry.clock.advance(minutes=60)
    assert session.get("/account", allow_redirects=False).status_code == 303


def test_form_of_an_expired_session_is_rejected(v1registry: FakeRegistry, session: requests.Session) -> None:
    form = {"form_token": form_token(session.get("/login")), "username": "alice", "password": "secret"}
    v1registry.clock.advance(hours=1)
    assert session.post("/login", data=form, allow_redirects=False).status_code == 403


@pytest.mark.parametrize(("seconds", "is_active"), [(3 * 86400 - 60, True), (3 * 86400, False)])
def test_mailed_link_expires(seconds: int, is_active: bool) -> None:
    mail = KeptMail()
    with (
        FakeRegistry(auth="users:", mail=mail, public_url=PUBLIC_URL) as registry,
        WSGISession(registry.app) as session,
    ):
        body = {"username": "mira_k", "password": "s3cret-one", "email": "mira@example.org"}
        assert session.post("/v1/users/", json=body).status_code == 201
        registry.clock.advance(seconds)
        page = session.get(mail.path)
        if is_active:
            session.post(mail.path)
        status = session.get("/v1/users/", auth=("mira_k", "s3cret-one")).status_code
    assert status == (200 if is_active else 403)
    assert page.status_code == (200 if is_active else 404)


def test_pages_tell_ages_by_the_clock(v1registry: FakeRegistry, session: requests.Session) -> None:
    v1registry.clock.freeze()
    v1registry.clock.set(datetime(2014, 5, 1, tzinfo=timezone.utc))
    v1registry.add_image("alice/app:1")
    assert "just now" in session.get("/repositories/alice/app").text
    v1registry.clock.advance(days=3)
    assert "3 days ago" in session.get("/repositories/alice/app").text


# -- pushes


def test_unfinished_upload_of_v2_expires(v1registry: FakeRegistry, session: requests.Session) -> None:
    begun = session.post("/v2/alice/app/blobs/uploads/", auth=ALICE)
    location = urlsplit(begun.headers["Location"]).path
    assert begun.status_code == 202

    v1registry.clock.advance(hours=23)
    assert session.get(location, auth=ALICE).status_code == 204
    v1registry.clock.advance(hours=1, seconds=1)
    assert session.get(location, auth=ALICE).status_code == 404


def test_unfinished_push_of_v1_expires(v1registry: FakeRegistry, session: requests.Session) -> None:
    begun = v1registry.add_image("alice/app:1", is_complete=False)
    assert begun.id in v1registry.images
    v1registry.clock.advance(hours=25, seconds=1)
    v1registry.add_image("alice/app:2")
    assert begun.id not in v1registry.images


@pytest.mark.parametrize(("hours", "status"), [(23, 200), (25, 400)])
def test_announcement_of_a_push_expires(hours: int, status: int) -> None:
    image_id = "a" * 64
    with FakeRegistry(auth="users:") as registry, WSGISession(registry.app) as session:
        registry.add_user("root", is_administrator=True)
        session.auth = ("root", "secret")
        body = json.dumps([{"id": image_id}])
        assert session.put("/v1/repositories/library/base/", data=body).status_code == 200

        registry.clock.advance(hours=hours)
        answer = session.put(f"/v1/images/{image_id}/json", json={"id": image_id})
    assert answer.status_code == status, answer.text


def test_note_of_a_deletion_expires(v1registry: FakeRegistry, session: requests.Session) -> None:
    v1registry.add_image("alice/app:1")
    assert session.delete("/v1/repositories/alice/app/", auth=ALICE).status_code == 200

    def notes() -> list[str]:
        # every ten seconds, a request removes what has expired of one kind
        for _ in range(20):
            v1registry.clock.advance(10)
            v1registry.add_image("alice/other:1")
        return [stat.key for stat in v1registry.storage.list("uploads/_deleted/")]

    v1registry.clock.advance(hours=23)
    assert notes() == ["uploads/_deleted/alice/app"]
    v1registry.clock.advance(hours=2)
    assert notes() == []


# -- limits and memories


def test_limit_on_failed_logins_is_over_after_a_while(
    v1registry: FakeRegistry, session: requests.Session
) -> None:
    v1registry.clock.freeze()
    statuses = [session.get("/v1/users/", auth=("alice", "wrong")).status_code for _ in range(12)]
    assert statuses == [401] * 11 + [429]
    assert session.get("/v1/users/", auth=ALICE).status_code == 429
    v1registry.clock.advance(1)
    assert session.get("/v1/users/", auth=ALICE).status_code == 200


def test_limit_on_registrations_is_over_after_an_hour() -> None:
    with (
        FakeRegistry(auth="users:", registrations_per_hour=2) as registry,
        WSGISession(registry.app) as session,
    ):
        registry.clock.freeze()

        def register(name: str) -> int:
            body = {"username": name, "password": "s3cret-one", "email": f"{name}@example.org"}
            return session.post("/v1/users/", json=body).status_code

        assert [register(name) for name in ("mira_a", "mira_b", "mira_c")] == [201, 201, 429]
        registry.clock.advance(hours=1)
        assert [register(name) for name in ("mira_c", "mira_d", "mira_e")] == [201, 201, 429]


def test_account_that_was_not_activated_in_time_gives_way() -> None:
    with (
        FakeRegistry(auth="users:", mail=KeptMail(), public_url=PUBLIC_URL) as registry,
        WSGISession(registry.app) as session,
    ):

        def register() -> int:
            body = {"username": "mira_k", "password": "s3cret-one", "email": "mira@example.org"}
            return session.post("/v1/users/", json=body).status_code

        statuses = [register()]
        registry.clock.advance(days=2)
        statuses.append(register())
        registry.clock.advance(days=1, seconds=1)
        statuses.append(register())
    assert statuses == [201, 400, 201]


def test_answers_of_another_index_are_kept_for_a_minute() -> None:
    with (
        FakeRegistry(auth="users:", images="elsewhere") as index,
        FakeRegistry(index=index.url) as registry,
        WSGISession(registry.app) as session,
        WSGISession(index.app) as index_session,
    ):
        index.add_user("alice")
        registry.clock.freeze()
        body = json.dumps([{"id": "a" * 64}])
        answer = index_session.put(
            "/v1/repositories/alice/app/", data=body, headers={"X-Docker-Token": "true"}, auth=ALICE
        )
        session.headers["Authorization"] = f"Token {answer.headers['X-Docker-Token']}"

        def asked_by(seconds: float) -> int:
            index.requests.clear()
            registry.clock.advance(seconds)
            assert session.get("/v1/repositories/alice/app/tags").status_code in (200, 404)
            return len(index.requests)

        assert [asked_by(seconds) for seconds in (0, 59, 1)] == [1, 0, 1]


# -- what is written down


def test_public_images_may_be_cached_for_a_year_from_the_clock_on() -> None:
    with FakeRegistry() as registry, WSGISession(registry.app) as session:
        registry.clock.freeze()
        registry.clock.set(datetime(2014, 5, 1, tzinfo=timezone.utc))
        image = registry.add_image("alice/app:1")
        answer = session.get(f"/v1/images/{image.id}/json")
        assert answer.headers["Expires"] == "Fri, 01 May 2015 00:00:00 GMT"


def test_values_in_memory_and_accounts_have_the_time_of_the_clock(v1registry: FakeRegistry) -> None:
    moment = datetime(2014, 5, 1, tzinfo=timezone.utc)
    v1registry.clock.freeze()
    v1registry.clock.set(moment)
    v1registry.add_user("alice")
    v1registry.add_image("alice/app:1")
    assert {stat.modified for stat in v1registry.storage.list("")} == {moment}
    with WSGISession(v1registry.app) as session:
        profile = session.get("/api/v1.1/users/alice/", auth=ALICE).json()
    assert profile["date_joined"].startswith("2014-05-01T00:00:00")


def test_access_log_has_the_time_of_the_clock(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, ACCESS_LOGGER)
    with FakeRegistry(access_log="json") as registry, WSGISession(registry.app) as session:
        registry.clock.set(datetime(2014, 5, 1, 12, tzinfo=timezone.utc))
        registry.clock.freeze()
        session.get("/v1/_ping")
    (line,) = (record.getMessage() for record in caplog.records if record.name == ACCESS_LOGGER)
    assert json.loads(line)["time"].startswith("2014-05-01T12:00:00.")


# -- the clock of a fake


def test_shift_makes_a_token_expired_for_one_request(v1registry: FakeRegistry) -> None:
    v1registry.add_user("alice")
    v1registry.add_image("alice/app:1")
    with WSGISession(v1registry.app) as session:
        headers = {"X-Docker-Token": "true"}
        answer = session.get("/v1/repositories/alice/app/images", headers=headers, auth=ALICE)
        session.headers["Authorization"] = f"Token {answer.headers['X-Docker-Token']}"
        with v1registry.clock.shifted(2 * 3600):
            assert session.get("/v1/repositories/alice/app/tags").status_code == 401
        assert session.get("/v1/repositories/alice/app/tags").status_code == 200


def test_reset_puts_the_clock_back(v1registry: FakeRegistry) -> None:
    v1registry.clock.advance(days=400)
    v1registry.clock.freeze()
    v1registry.reset()
    assert not v1registry.clock.is_frozen
    assert abs(v1registry.clock.time_s() - time.time()) < 60


def test_two_registries_have_clocks_of_their_own(v1registry: FakeRegistry) -> None:
    with FakeRegistry() as other:
        other.clock.advance(days=1)
        assert abs(v1registry.clock.time_s() - time.time()) < 60


def test_system_time_is_not_patched(v1registry: FakeRegistry) -> None:
    before_s = time.time()
    v1registry.clock.advance(days=1)
    assert time.time() - before_s < 3600
