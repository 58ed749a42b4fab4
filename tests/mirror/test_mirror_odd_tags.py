"""Tags of v1 that no client can set are not asked of the origin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.mirrored import MirrorOf
from support.wsgi_client import call
from v1registry_fakes import FakeRegistry

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
