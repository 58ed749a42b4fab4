"""Fetches whose storage fails at any step, or whose repository is deleted meanwhile (DST-046)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.credentials import basic
from support.faulty_storage import FaultyStorage
from support.mirrored import MirrorOf, blobs_of, digests_in, large
from support.programs import eventually
from support.wsgi_client import Client
from v1registry_fakes import FakeRegistry

from v1registry.accounts.users import UserStore
from v1registry.housekeeping.verify import Verification
from v1registry.storage.base import StorageUnavailable


@pytest.fixture
def origin() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_DST_046_pull_is_whole_after_a_failure_at_each_step(origin: FakeRegistry, api: str) -> None:
    image = origin.add_image("alice/app:1.0", files={"a": "1"}, layers=2)
    expected = None
    for step in range(200):
        storage = FaultyStorage()
        mirror = MirrorOf(origin, storage, mirror_api=api)
        client = Client(mirror.app)
        storage.fail("write", "publish", "link", skip=step, error=StorageUnavailable("test", "fails"))
        broken = [
            client.get(path).status_int
            for path in ("/v2/alice/app/manifests/1.0", "/v1/repositories/alice/app/tags/1.0")
        ]
        storage.heal()
        # a request joins work that began before, and gets its failure
        eventually(partial(_shows_manifest, client), f"a manifest after step {step}")
        blobs = mirror.pull("alice/app", "1.0")
        assert client.get("/v1/repositories/alice/app/tags/1.0").status_int == 200
        assert list(Verification(storage, reads_layers=True).findings()) == [], step
        expected = expected or blobs
        assert blobs == expected, step
        if broken == [200, 200]:
            break
    assert 5 < step < 199
    assert image.is_complete


def _shows_manifest(client: Client) -> bool:
    return client.get("/v2/alice/app/manifests/1.0").status_int == 200


def test_DST_046_interrupted_beginning_never_shows_a_private_mirror() -> None:
    with FakeRegistry(auth="users:") as origin:
        origin.add_user("robot", "pw-robot", is_administrator=True)
        origin.add_image("team/app:1.0", api="v2")
        for step in range(12):
            storage = FaultyStorage()
            users = UserStore(storage)
            users.create("ada", "pw-ada", is_administrator=True)
            mirror = MirrorOf(origin, storage, auth=users, mirror_user="robot", mirror_password="pw-robot")
            client, path = Client(mirror.app), "/v2/team/app/manifests/1.0"
            storage.fail("write", key="repositories/*", skip=step, error=StorageUnavailable("test", "fails"))
            client.get(path, headers=basic("ada"))
            # 404 if the repository has an incarnation already, as after an interrupted push
            assert client.get(path).status_int in (401, 404), step
            storage.heal()
            assert client.get(path).status_int in (401, 404), step
            assert client.get(path, headers=basic("ada")).status_int == 200, step
            assert client.get(path).status_int == 401, step


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_DST_046_repository_that_is_deleted_meanwhile_stays_deleted(origin: FakeRegistry, api: str) -> None:
    mirror = MirrorOf(origin, mirror_api=api)
    client = Client(mirror.app)
    if api == "v1":
        image = origin.add_image("alice/app:1.0", files={"data": large()})
        assert client.get("/v1/repositories/alice/app/tags/1.0").json == image.id
        path, pattern = f"/v1/images/{image.id}/layer", "*/layer"
    else:
        manifest = origin.add_image("alice/app:1.0", files={"data": large()}, api="v2")
        assert mirror.client.get_manifest("alice/app", "1.0").status == 200
        path, pattern = f"/v2/alice/app/blobs/{digests_in(manifest.document)[1]}", "*/blobs/*"
    with origin.fail("GET", pattern, bytes_per_second=600_000):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.url_scheme": "http",
                   "SERVER_NAME": "localhost", "SERVER_PORT": "80"}  # fmt: skip
        body: Any = mirror.app(environ, lambda status, headers: lambda data: None)
        with closing(body):
            chunks = iter(body)
            assert next(chunks)
            assert client.delete("/v1/repositories/alice/app/").status_int == 200
            with pytest.raises(StorageUnavailable):
                b"".join(chunks)
    assert client.get("/v2/_catalog").json == {"repositories": []}
    assert list(mirror.storage.list("repositories/")) == []


def test_origin_with_a_certificate_of_its_own_is_trusted_by_the_setting(tmp_path: Path) -> None:
    with FakeRegistry(tls=True) as origin:
        image = origin.add_image("alice/app:1.0", api="v2")
        mirror = MirrorOf(origin, mirror_ca_file=str(origin.ca_file))
        assert mirror.pull("alice/app", "1.0") == blobs_of(origin, image)
        assert MirrorOf(origin).client.get_manifest("alice/app", "1.0").status == 503
