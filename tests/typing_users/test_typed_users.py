"""Tests as users write them. They run, and mypy and pyright find nothing in them."""

from __future__ import annotations

import asyncio
import unittest
from datetime import datetime, timezone
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
from v1registry_fakes import (
    FakeApplication,
    FakeClock,
    FakeImage,
    FakeManifest,
    FakeOptions,
    FakeRegistry,
    Fault,
    Layer,
    LiveServer,
    NotThere,
    PushRefused,
    RecordedRequest,
    RegistryTestCase,
    RequestPattern,
    WSGISession,
)


@pytest.fixture(scope="session")
def v1registry_options() -> FakeOptions:
    return {"auth": "users:", "search_limit": 10}


def newest_tag(session: WSGISession, repository: str) -> str:
    tags: dict[str, str] = session.get(f"/v1/repositories/{repository}/tags").json()
    return max(tags)


def test_filling_and_looking(v1registry: FakeRegistry, v1registry_session: WSGISession) -> None:
    base: FakeImage = v1registry.add_image(
        "alice/base", files={"bin/sh": b"", "etc/old": None, "etc/motd": "a"}
    )
    layer: Layer = Layer({"a": "b"}).file("bin/su", b"", mode=0o4755).symlink("c", "a").compressed(None)
    image = v1registry.add_image("alice/app:1.0", layer=layer, parent=base, config={"Cmd": ["sh"]})
    v1registry.add_repository("alice/app", description="text", star_count=5)
    v1registry.tag(image, "alice/app:2.0")
    ids: list[str] = image.ancestry
    files: dict[str, bytes | None] = image.files
    assert (ids, files["a"]) == ([image.id, base.id], b"b")
    assert newest_tag(v1registry_session, "alice/app") == "2.0"
    assert v1registry.tags("alice/app")["2.0"] == image.id
    with pytest.raises(NotThere):
        v1registry.image("alice/none")
    with pytest.raises(PushRefused):
        v1registry.add_image("alice/app:-")


def test_manifests(v1registry: FakeRegistry, tmp_path: Path) -> None:
    image: FakeManifest = v1registry.add_image("alice/app:1", files={"a": "b"}, api="v2")
    index: FakeManifest = v1registry.add_index("alice/app:2", {"linux/amd64": image})
    artifact = v1registry.add_artifact("alice/app", {"sbom": "text"}, subject=image)
    digest: str = artifact.digest
    assert index.manifests == [image]
    assert v1registry.blobs[digest] == artifact.document
    with pytest.raises(OSError, match="none"):
        pushed: list[FakeImage | FakeManifest] = v1registry.add_archive(tmp_path / "none", "alice/app:3")
        assert not pushed


def test_requests_are_seen(v1registry: FakeRegistry, v1registry_session: WSGISession) -> None:
    v1registry_session.get("/v1/_ping")
    request: RecordedRequest = v1registry.requests[-1]
    status: int | None = request.status
    assert status == 200
    (found,) = v1registry.assert_requested("GET", "/v1/_ping", times=1)
    v1registry.assert_not_requested(route="get_layer")
    v1registry.assert_requested_in_order(("GET", "/v1/_ping"), only=True)
    assert found is v1registry.wait_for_request("GET", api="v1", timeout_s=1)
    assert RequestPattern("GET", "*/_ping").matches(found)


def test_faults(v1registry: FakeRegistry, v1registry_httpx: httpx.Client) -> None:
    image = v1registry.add_image("alice/app:1", files={"a": "b"})
    with v1registry.fail("GET", "*/tags", status=503, times=2, retry_after_s=1) as fault:
        typed: Fault = fault
        assert v1registry_httpx.get("/v1/repositories/alice/app/tags").status_code == 503
        assert typed.count == 1
    v1registry.fail(route="get_layer", cut_after_bytes=3)
    with pytest.raises(httpx.RemoteProtocolError):
        v1registry_httpx.get(f"/v1/images/{image.id}/layer")


def test_profile() -> None:
    with FakeRegistry(profile="hub", search_limit=5) as registry, registry.session() as session:
        registry.add_image("alice/app:1")
        assert isinstance(session.get("/v1/repositories/alice/app/tags").json(), list)


def test_the_clock_moves(v1registry: FakeRegistry) -> None:
    clock: FakeClock = v1registry.clock
    clock.set(datetime(2014, 6, 9, tzinfo=timezone.utc))
    clock.advance(minutes=5)
    assert v1registry.clock.now().year == 2014


def test_accounts(v1registry: FakeRegistry) -> None:
    v1registry.add_user("alice", "correct horse", groups=["team"])
    application: FakeApplication = v1registry.add_application("CI", ["https://ci.example.org/back"])
    secret: str | None = application.client_secret
    assert secret


@pytest.mark.v1registry(tls=True)
class TestShared:
    def test_class(self, v1registry_per_class: FakeRegistry) -> None:
        assert v1registry_per_class.url.startswith("https://")
        with v1registry_per_class.session() as session:
            assert session.get("/v1/_ping").ok

    def test_module(self, v1registry_per_module: FakeRegistry, v1registry_per_session: FakeRegistry) -> None:
        assert v1registry_per_module is not v1registry_per_session


def test_async_client(v1registry_async_httpx: httpx.AsyncClient) -> None:
    async def ask() -> int:
        return (await v1registry_async_httpx.get("/v1/_ping")).status_code

    assert asyncio.run(ask()) == 200


def test_live_port(v1registry_server: LiveServer, v1registry: FakeRegistry) -> None:
    assert v1registry.url == v1registry_server.url


class TestCase(RegistryTestCase, unittest.IsolatedAsyncioTestCase):
    registry_options: ClassVar[FakeOptions] = {"v2": "absent", "tls": True}

    async def test_it(self) -> None:
        self.registry.add_image("alice/app:1")
        transport = self.registry.async_httpx_transport()
        async with httpx.AsyncClient(transport=transport, base_url=self.registry.in_process_url) as client:
            assert (await client.get("/v1/_ping")).status_code == 200
