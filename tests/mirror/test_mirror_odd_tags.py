"""What of an origin of v1 is not asked, not shown, or not kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.mirrored import MirrorOf
from support.wsgi_client import call
from v1registry_fakes import FakeClock, FakeRegistry

from v1registry.mirror.origin import Origin
from v1registry.mirror.origin_v1 import RemoteImage, V1Origin
from v1registry.settings import Settings

#: As a server gives them: decoded once.
ODD = ["..", ".", "x?y=1", "x#y", "%2e%2e%2f%2e%2e%2f_ping", "x y", "\r\nX: y", "\x00", "-x", "a" * 200]


@pytest.fixture
def origin() -> Iterator[FakeRegistry]:
    with FakeRegistry(v2="absent") as registry:
        registry.add_image("alice/app:1.0")
        yield registry


@pytest.mark.parametrize("tag", ODD)
def test_odd_tag_is_404_and_not_asked_of_the_origin(origin: FakeRegistry, tag: str) -> None:
    mirror = MirrorOf(origin)
    answer = call(mirror.app, "GET", f"/v1/repositories/alice/app/tags/{tag}")
    assert answer.status == 404
    assert list(origin.requests) == []


def test_odd_tags_in_a_list_are_left_out(origin: FakeRegistry) -> None:
    image_id = call(origin.app, "GET", "/v1/repositories/alice/app/tags/1.0").body
    tags = b'{"1.0": %s, "a b": %s, "..": %s, "%s": %s}' % (*[image_id] * 3, b"x" * 100_000, image_id)
    mirror = MirrorOf(origin)
    with origin.fail("GET", "*/tags", body=tags):
        listed = call(mirror.app, "GET", "/v1/repositories/alice/app/tags")
    assert listed.body == b'{"1.0": %s}' % image_id


def test_plain_tag_is_asked_of_the_origin(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin)
    assert call(mirror.app, "GET", "/v1/repositories/alice/app/tags/1.0").status == 200
    assert mirror.asked("*/tags/1.0") == 1


@pytest.mark.parametrize("name", ["alice/..", "../app", "alice/x?y", "alice/%2e%2e", "alice/a b"])
def test_odd_repository_is_404_and_not_asked_of_the_origin(origin: FakeRegistry, name: str) -> None:
    mirror = MirrorOf(origin)
    for path in ("tags/1.0", "tags", "images"):
        assert call(mirror.app, "GET", f"/v1/repositories/{name}/{path}").status == 404
    assert list(origin.requests) == []


def test_kept_image_counts_with_its_ancestry() -> None:
    image_ids = tuple(f"{number:064x}" for number in range(1000))
    images = V1Origin(Origin(Settings(mirror="http://localhost:1"), FakeClock()), 1000, FakeClock())._images
    for image_id in image_ids:
        images.keep(image_id, RemoteImage(image_id, b"{}", image_ids, None, frozenset()))
    assert 200 < len(images) < 300  # of 129 kB each, in 32 MiB
