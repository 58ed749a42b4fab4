"""A program that keeps a copy of repositories in a second registry, and its tests.

pytest examples/testing/test_mirror.py
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
import requests
from v1registry_fakes import FakeRegistry

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def mirror(source: str, target: str, repository: str) -> int:
    """Copy all images of a repository between two registries. Return how many tags changed.

    :raises requests.RequestException: one of the registries fails; tags that were copied stay.
    """
    changed = 0
    with requests.Session() as session:
        session.headers["Accept"] = MANIFEST
        tags = session.get(f"{source}/v2/{repository}/tags/list", timeout=30)
        tags.raise_for_status()
        for tag in tags.json()["tags"]:
            manifest = session.get(f"{source}/v2/{repository}/manifests/{tag}", timeout=30)
            manifest.raise_for_status()
            there = session.head(f"{target}/v2/{repository}/manifests/{tag}", timeout=30)
            if there.headers.get("Docker-Content-Digest") == manifest.headers["Docker-Content-Digest"]:
                continue
            for blob in [manifest.json()["config"], *manifest.json()["layers"]]:
                _copy(session, f"{source}/v2/{repository}", f"{target}/v2/{repository}", blob["digest"])
            session.put(
                f"{target}/v2/{repository}/manifests/{tag}",
                data=manifest.content,
                headers={"Content-Type": manifest.headers["Content-Type"]},
                timeout=30,
            ).raise_for_status()
            changed += 1
    return changed


def _copy(session: requests.Session, source: str, target: str, digest: str) -> None:
    if session.head(f"{target}/blobs/{digest}", timeout=30).status_code == 200:
        return
    with session.get(f"{source}/blobs/{digest}", stream=True, timeout=30) as blob:
        blob.raise_for_status()
        upload = session.post(f"{target}/blobs/uploads/", timeout=30)
        upload.raise_for_status()
        place = urljoin(target, upload.headers["Location"])
        session.put(
            place, params={"digest": digest}, data=blob.iter_content(65536), timeout=300
        ).raise_for_status()


# -- tests


@pytest.fixture
def copy() -> Iterator[FakeRegistry]:
    """The second registry."""
    with FakeRegistry() as registry:
        yield registry


def test_all_tags_are_copied_once(v1registry: FakeRegistry, copy: FakeRegistry) -> None:
    image = v1registry.add_image("alice/app:1.0", files={"etc/motd": "hello"}, api="v2")
    v1registry.add_image("alice/app:1.1", parent=image, api="v2")

    assert mirror(v1registry.url, copy.url, "alice/app") == 2
    assert copy.assert_pushed("alice/app:1.0", digest=image.digest).files == {"etc/motd": b"hello"}

    copy.requests.clear()
    assert mirror(v1registry.url, copy.url, "alice/app") == 0
    copy.assert_not_requested("PUT")


def test_a_new_tag_sends_only_new_layers(v1registry: FakeRegistry, copy: FakeRegistry) -> None:
    base = v1registry.add_image("alice/app:1.0", api="v2")
    mirror(v1registry.url, copy.url, "alice/app")
    copy.requests.clear()
    v1registry.add_image("alice/app:1.1", files={"etc/new": "x"}, parent=base, api="v2")

    assert mirror(v1registry.url, copy.url, "alice/app") == 1

    copy.assert_requested("POST", "*/blobs/uploads/", times=2)  # a config and a layer


def test_a_source_that_fails_leaves_the_copy_as_it_was(v1registry: FakeRegistry, copy: FakeRegistry) -> None:
    v1registry.add_image("alice/app:1.0", api="v2")
    v1registry.fail(route="get_blob", cut_after_bytes=5)

    with pytest.raises(requests.RequestException):
        mirror(v1registry.url, copy.url, "alice/app")

    assert dict(copy.manifests) == {}
