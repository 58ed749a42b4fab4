"""A FakeRegistry with accounts: users, rights, applications."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from v1registry_fakes import FakeRegistry
from webtest import TestApp

from v1registry.accounts.backends.callback import Callback
from v1registry.accounts.base import AccountExists
from v1registry.rights import User


@pytest.fixture
def v1registry_options() -> dict[str, Any]:
    return {"auth": "users:"}


def test_only_added_users_can_log_in(v1registry: FakeRegistry) -> None:
    v1registry.add_user("alice", "pw-alice")

    def status(*credentials: str) -> int:
        return requests.get(f"{v1registry.url}/v1/users/", auth=credentials, timeout=10).status_code

    assert status("alice", "pw-alice") == 200
    assert status("alice", "secret") == 401
    assert status("robert", "pw-alice") == 401


def test_an_added_user_has_the_given_properties(v1registry: FakeRegistry) -> None:
    user = v1registry.add_user("alice", groups=["team"], is_administrator=True, email="alice@example.org")
    assert user == User("alice", frozenset({"team"}), is_administrator=True)
    with pytest.raises(AccountExists):
        v1registry.add_user("robert", email="alice@example.org")


def test_an_inactive_user_is_rejected(v1registry: FakeRegistry, v1registry_client: TestApp) -> None:
    v1registry.add_user("alice", is_active=False)
    v1registry_client.authorization = ("Basic", ("alice", "secret"))
    assert v1registry_client.get("/v1/users/", status=403).json == "Account is not Active"


def test_private_images_are_read_by_their_owner_alone(
    v1registry: FakeRegistry, v1registry_client: TestApp
) -> None:
    for name in ("alice", "robert"):
        v1registry.add_user(name)
    v1registry.add_repository("alice/app", is_private=True)
    image = v1registry.add_image("alice/app:1.0", layers=2)
    statuses = {}
    for name in ("alice", "robert"):
        v1registry_client.authorization = ("Basic", (name, "secret"))
        for image_id in image.ancestry:
            answer = v1registry_client.get(f"/v1/images/{image_id}/json", expect_errors=True)
            statuses.setdefault(name, set()).add(answer.status_int)
    assert statuses == {"alice": {200}, "robert": {404}}


def test_an_image_can_be_tagged_elsewhere(v1registry: FakeRegistry, v1registry_client: TestApp) -> None:
    v1registry.add_repository("alice/app", is_private=True)
    image = v1registry.add_image("alice/app:1.0")
    v1registry.tag(image, "library/app")
    assert v1registry_client.get(f"/v1/images/{image.id}/json").status_int == 200
    assert v1registry.image("library/app").id == image.id


def test_an_image_belongs_to_a_repository(v1registry: FakeRegistry) -> None:
    with pytest.raises(ValueError, match="give a name"):
        v1registry.add_image()


def test_a_reset_forgets_the_users(v1registry: FakeRegistry) -> None:
    v1registry.add_user("alice")
    v1registry.reset()
    v1registry.add_user("alice")


def test_filling_leaves_no_trace_among_the_requests(v1registry: FakeRegistry) -> None:
    v1registry.add_user("alice")
    v1registry.add_image("alice/app:1.0")
    assert list(v1registry.requests) == []


def test_a_policy_that_allows_nothing_allows_filling(v1registry: FakeRegistry) -> None:
    def nothing(*asked: object) -> bool:
        return False

    with FakeRegistry(auth="users:", policy=nothing) as registry:
        registry.add_image("alice/app:1.0")
        assert registry.repositories == ["alice/app"]


def test_an_application_gets_a_token_after_consent(v1registry: FakeRegistry) -> None:
    v1registry.add_user("alice", email="alice@example.org")
    application = v1registry.add_application()
    authorize = f"{v1registry.url}/api/v1.1/o/authorize/?client_id={application.client_id}&response_type=code"

    location = v1registry.consent(f"{authorize}&state=s1", "alice")

    answer = parse_qs(urlsplit(location).query)
    assert answer["state"] == ["s1"]
    assert location.startswith("https://application.example.org/back?")
    tokens = requests.post(
        f"{v1registry.url}/api/v1.1/o/token/",
        data={"grant_type": "authorization_code", "code": answer["code"][0]},
        auth=(application.client_id, str(application.client_secret)),
        timeout=10,
    ).json()
    assert tokens["username"] == "alice"
    profile = requests.get(
        f"{v1registry.url}/api/v1.1/users/alice/",
        headers={"Authorization": f"Bearer {tokens['access_token']}"},
        timeout=10,
    )
    assert profile.json()["email"] == "alice@example.org"


def test_a_denied_consent_is_reported_to_the_application(v1registry: FakeRegistry) -> None:
    v1registry.add_user("alice")
    application = v1registry.add_application()
    url = f"/api/v1.1/o/authorize/?client_id={application.client_id}&response_type=code"
    assert "error=access_denied" in v1registry.consent(url, "alice", is_allowed=False)
    assert "error=invalid_scope" in v1registry.consent(f"{url}&scope=everything", "alice")
    with pytest.raises(ValueError, match=r"there is no user 'alcie': create it with add_user\(\)"):
        v1registry.consent(url, "alcie")
    with pytest.raises(ValueError, match="nowhere"):
        v1registry.consent("/api/v1.1/o/authorize/?client_id=unknown&response_type=code", "alice")


@pytest.mark.parametrize("options", [{}, {"auth": Callback(lambda username, password: True)}])
def test_without_ids_of_users_there_are_no_applications(options: dict[str, Any]) -> None:
    with FakeRegistry(**options) as registry:
        with pytest.raises(ValueError, match="no OAuth"):
            registry.add_application()
        with pytest.raises(ValueError, match="no OAuth"):
            registry.consent("/api/v1.1/o/authorize/?client_id=ci&response_type=code", "alice")


@pytest.mark.parametrize("options", [{}, {"auth": Callback(lambda username, password: True)}])
def test_add_user_needs_accounts_in_the_storage(options: dict[str, Any]) -> None:
    with FakeRegistry(**options) as registry, pytest.raises(ValueError, match='auth="users:"'):
        registry.add_user("alice")
