"""Who has something fetched, and who reads it, on a mirror with accounts (DST-044)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.credentials import basic
from support.mirrored import blobs_of, digests_in
from support.v2_client import V2Client
from support.wsgi_client import Client
from v1registry_fakes import FakeRegistry


@pytest.fixture
def origin() -> Iterator[FakeRegistry]:
    with FakeRegistry(auth="users:") as registry:
        registry.add_user("robot", "pw-robot", is_administrator=True)
        yield registry


@pytest.fixture
def make(origin: FakeRegistry) -> Iterator[Callable[..., FakeRegistry]]:
    """Return a mirror with the users mira and ada, an administrator."""
    made: list[FakeRegistry] = []

    def make(**settings: Any) -> FakeRegistry:
        mirror = FakeRegistry(auth="users:", mirror=origin.url, **settings)
        made.append(mirror)
        mirror.add_user("mira", "pw-mira")
        mirror.add_user("ada", "pw-ada", is_administrator=True)
        return mirror

    yield make
    for mirror in made:
        mirror.close()


LOGIN = {"mirror_user": "robot", "mirror_password": "pw-robot"}


def statuses(mirror: FakeRegistry, path: str) -> tuple[int, int, int]:
    """Return the statuses for an anonymous caller, mira and ada."""
    found = [V2Client(mirror.app, user).get(path).status for user in (None, "mira", "ada")]
    return found[0], found[1], found[2]


def test_DST_044_mirror_without_login_is_public(origin: FakeRegistry, make: Callable[..., Any]) -> None:
    image = origin.add_image("team/app:1.0", api="v2")
    mirror = make()
    anonymous = V2Client(mirror.app)
    answer = anonymous.get_manifest("team/app", "1.0")
    assert (answer.status, answer.body) == (200, image.document)
    for digest, data in blobs_of(origin, image).items():
        assert anonymous.get(f"/v2/team/app/blobs/{digest}").body == data
    assert Client(mirror.app).get("/v1/repositories/team/app/properties").json == {"access": "public"}


@pytest.mark.parametrize("settings", [LOGIN, {"mirror_visibility": "private"}])
def test_DST_044_private_mirror_fetches_for_those_who_may_write(
    origin: FakeRegistry, make: Callable[..., Any], settings: dict[str, str]
) -> None:
    image = origin.add_image("team/app:1.0", api="v2")
    mirror, asked = make(**settings), len(origin.requests)
    path = "/v2/team/app/manifests/1.0"
    for user, status in ((None, 401), ("mira", 404)):
        assert V2Client(mirror.app, user).get(path).status == status
    assert len(origin.requests) == asked
    assert statuses(mirror, path) == (401, 404, 200)
    # and afterwards
    assert statuses(mirror, path) == (401, 404, 200)
    digest = digests_in(image.document)[0]
    assert statuses(mirror, f"/v2/team/app/blobs/{digest}") == (401, 404, 200)
    assert statuses(mirror, f"/v2/team/app/blobs/{digest}") == (401, 404, 200)
    assert statuses(mirror, "/v2/team/app/tags/list") == (401, 404, 200)


def test_DST_044_owner_of_a_namespace_has_its_repositories_fetched(
    origin: FakeRegistry, make: Callable[..., Any]
) -> None:
    image = origin.add_image("mira/app:1.0", api="v2")
    mirror = make(**LOGIN)
    assert V2Client(mirror.app).get_manifest("mira/app", "1.0").status == 401
    assert V2Client(mirror.app, "mira").get_manifest("mira/app", "1.0").body == image.document
    assert V2Client(mirror.app).get_manifest("mira/app", "1.0").status == 401


def test_DST_044_mirror_with_login_may_be_made_public(origin: FakeRegistry, make: Callable[..., Any]) -> None:
    image = origin.add_image("team/app:1.0", api="v2")
    mirror = make(mirror_visibility="public", **LOGIN)
    assert V2Client(mirror.app).get_manifest("team/app", "1.0").body == image.document


def test_DST_044_members_policy_fetches_for_users_alone(
    origin: FakeRegistry, make: Callable[..., Any]
) -> None:
    origin.add_image("team/app:1.0", api="v2")
    mirror = make(policy="members", **LOGIN)
    path = "/v2/team/app/manifests/1.0"
    assert V2Client(mirror.app).get(path).status == 401
    assert origin.requests.matching("HEAD") == []
    assert statuses(mirror, path) == (401, 200, 200)


def test_DST_044_private_mirror_hides_itself_from_v1_too(
    origin: FakeRegistry, make: Callable[..., Any]
) -> None:
    image = origin.add_image("team/app:1.0")
    mirror = make(mirror_api="v1", **LOGIN)
    client = Client(mirror.app)
    paths = ("/v1/repositories/team/app/images", "/v1/repositories/team/app/tags/1.0")
    for headers, status in (({}, 401), (basic("mira"), 404), (basic("ada"), 200)):
        assert client.get(paths[0], headers={**headers}).status_int in (status, 404 if headers else 401)
    token = client.get(paths[0], headers={**basic("ada"), "X-Docker-Token": "true"}).headers["X-Docker-Token"]
    bearer = {"Authorization": f"Token {token}"}
    assert client.get(paths[1], headers=bearer).json == image.id
    for name in ("json", "ancestry", "layer"):
        path = f"/v1/images/{image.id}/{name}"
        assert client.get(path).status_int in (401, 404)
        assert client.get(path, headers=basic("mira")).status_int == 404
        assert client.get(path, headers=bearer).status_int == 200
    for name in ("json", "ancestry", "layer"):
        path = f"/v1/images/{image.id}/{name}"
        assert client.get(path, headers=basic("mira")).status_int == 404
    assert client.get(paths[1], headers=basic("ada")).json == image.id
    assert client.get(paths[1], headers=basic("mira")).status_int == 404


def test_DST_044_token_of_another_repository_fetches_nothing(
    origin: FakeRegistry, make: Callable[..., Any]
) -> None:
    image = origin.add_image("team/app:1.0")
    origin.add_image("team/other:1.0")
    mirror = make(mirror_api="v1")
    client = Client(mirror.app)
    answer = client.get("/v1/repositories/team/other/images", headers={"X-Docker-Token": "true"})
    bearer = {"Authorization": f"Token {answer.headers['X-Docker-Token']}"}
    assert client.get("/v1/repositories/team/app/tags/1.0", headers=bearer).status_int == 401
    assert client.get(f"/v1/images/{image.id}/json", headers=bearer).status_int == 404
