"""A mirror of a hostile origin: where it sends the mirror, and what it names (DST-043)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from support.credentials import basic
from support.mirrored import MirrorOf, blobs_of, whole_of
from support.wsgi_client import Client
from v1registry_fakes import FakeRegistry

from v1registry import MemoryStorage, Registry, SettingsError


@pytest.fixture
def origin() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def other() -> Iterator[FakeRegistry]:
    """A server in the network of the mirror, at a private address."""
    with FakeRegistry() as registry:
        yield registry


def test_DST_043_redirect_to_a_private_address_is_not_followed(
    origin: FakeRegistry, other: FakeRegistry
) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    mirror = MirrorOf(origin)
    mirror.client.get_manifest("alice/app", "1.0")
    for digest in blobs_of(origin, image):
        with origin.fail("GET", "*/blobs/*", redirect=f"{other.url}/v2/alice/app/blobs/{digest}"):
            assert mirror.blob("alice/app", digest).status == 502
    with origin.fail("GET", "*/manifests/*", redirect=f"{other.url}/secret"):
        assert mirror.client.get_manifest("alice/app", "2.0").status == 502
    assert list(other.requests) == []


def test_DST_043_credentials_are_not_sent_to_a_host_of_a_redirect(other: FakeRegistry) -> None:
    with FakeRegistry(auth="users:") as origin:
        origin.add_user("mira", "pw-mira")
        image = origin.add_image("mira/app:1.0", api="v2")
        other.add_image("mira/app:1.0", api="v2")
        mirror = MirrorOf(
            origin, mirror_user="mira", mirror_password="pw-mira", mirror_redirect_hosts="127.0.0.1"
        )
        mirror.client.get_manifest("mira/app", "1.0")
        for digest, data in blobs_of(origin, image).items():
            with origin.fail("GET", "*/blobs/*", redirect=f"{other.url}/v2/mira/app/blobs/{digest}"):
                assert mirror.blob("mira/app", digest).body == data
    assert len(other.requests) == 2
    assert all("Authorization" not in request.headers for request in other.requests)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_DST_043_token_endpoint_at_a_private_address_is_not_asked(
    origin: FakeRegistry, other: FakeRegistry, scheme: str
) -> None:
    mirror = MirrorOf(origin, mirror_user="mira", mirror_password="pw-mira")
    challenge = f'Bearer realm="{scheme}://{other.host}/token",service="x"'
    with origin.fail(status=401, headers={"WWW-Authenticate": challenge}):
        assert mirror.client.get_manifest("alice/app", "1.0").status in (404, 502)
    assert list(other.requests) == []


def test_DST_043_endpoint_of_v1_at_a_private_address_is_not_asked(other: FakeRegistry) -> None:
    with FakeRegistry(v2="absent") as origin:
        origin.add_image("alice/app:1.0")
        client = Client(MirrorOf(origin).app)
        with origin.fail("GET", "*/images", headers={"X-Docker-Endpoints": other.host}):
            assert client.get("/v1/repositories/alice/app/tags/1.0").status_int == 502
    assert list(other.requests) == []


def test_DST_043_list_that_goes_on_elsewhere_is_not_followed(
    origin: FakeRegistry, other: FakeRegistry
) -> None:
    origin.add_image("alice/app:1.0", api="v2")
    mirror = MirrorOf(origin)
    link = f'<{other.url}/v2/alice/app/tags/list>; rel="next"'
    with origin.fail("GET", "*/tags/list", headers={"Link": link}):
        assert mirror.client.get("/v2/alice/app/tags/list").status == 502
    assert list(other.requests) == []


def test_DST_043_list_without_end_is_bounded(origin: FakeRegistry) -> None:
    origin.add_image("alice/app:1.0", api="v2")
    mirror = MirrorOf(origin)
    with origin.fail("GET", "*/tags/list", headers={"Link": '</v2/alice/app/tags/list>; rel="next"'}):
        assert mirror.client.tags("alice/app") == ["1.0"]
    assert mirror.asked("*/tags/list") <= 200


def test_DST_043_odd_names_in_a_list_are_left_out(origin: FakeRegistry) -> None:
    origin.add_image("alice/app:1.0", api="v2")
    mirror = MirrorOf(origin)
    odd = ["1.0", "../x", "", "a/b", 7, None, "x" * 200, "\x00"]
    with origin.fail("GET", "*/tags/list", body=json.dumps({"name": "alice/app", "tags": odd})):
        assert mirror.client.tags("alice/app") == ["1.0"]


def test_DST_043_manifest_does_not_open_blobs_of_other_repositories(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin)
    secret = mirror.client.put_blob("bob/secret", b"secret")
    origin.add_image("alice/app:1.0", api="v2")
    mirror.pull("alice/app", "1.0")
    # the origin says that it has the blob
    with origin.fail("HEAD", "*/blobs/*", status=200):
        assert mirror.blob("alice/app", secret).status == 404
    with origin.fail("GET", "*/blobs/*", status=200, body=b"other"):
        assert whole_of(lambda: mirror.blob("alice/app", secret)) is None


def test_login_at_the_origin_reads_what_is_private_there() -> None:
    with FakeRegistry(auth="users:") as origin:
        origin.add_user("mira", "pw-mira")
        image = origin.add_image("mira/app:1.0", api="v2")
        private = Client(origin.app).put(
            "/v1/repositories/mira/app/properties", b'{"access": "private"}', basic("mira")
        )
        assert private.status_int == 200
        login = {"mirror_user": "mira", "mirror_password": "pw-mira"}
        assert MirrorOf(origin, **login).pull("mira/app", "1.0") == blobs_of(origin, image)
        by_v1 = MirrorOf(origin, mirror_api="v1", **login)
        assert Client(by_v1.app).get("/v1/repositories/mira/app/tags/1.0").status_int == 200
        for wrong in ({}, {"mirror_user": "mira", "mirror_password": "wrong"}):
            assert MirrorOf(origin, **wrong).client.get_manifest("mira/app", "1.0").status == 404


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"mirror": "registry.example.com"}, "mirror: must be a URL"),
        ({"mirror": "https://registry.example.com/v2"}, "mirror: must be a URL without path"),
        ({"mirror": "https://mira:pw@registry.example.com"}, "mirror: must be a URL without path"),
        ({"mirror": "https://r.example.com", "mirror_user": "mira"}, "mirror_password is missing"),
        ({"mirror": "https://r.example.com", "index": "https://i.example.com"}, "mirror needs images"),
        ({"mirror": "https://r.example.com", "mirror_ca_file": "/missing.pem"}, "mirror_ca_file: "),
    ],
)
def test_invalid_settings_of_a_mirror_are_named(settings: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Registry.from_settings({"storage": MemoryStorage(), **settings})
    assert problem in str(caught.value)


def test_password_of_the_origin_is_not_shown() -> None:
    settings = {"mirror": "https://r.example.com", "mirror_user": "mira", "mirror_password": "s3cret"}
    assert "s3cret" not in repr(Registry.from_settings({"storage": MemoryStorage(), **settings}).settings)


def test_DST_043_dripping_document_ends(origin: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("v1registry.mirror.origin._DOCUMENT_S", 0.5)
    mirror = MirrorOf(origin, mirror_wait_s=20)
    image = origin.add_image("alice/app:1.0", api="v2")
    with origin.fail("GET", "*/manifests/*", bytes_per_second=20):
        answer = mirror.client.get_manifest("alice/app", "1.0")
    assert answer.status == 503
    mirror.clock.advance(61)
    assert mirror.client.get_manifest("alice/app", "1.0").body == image.document
