"""What a registry serves over a storage, to compare a copy with its source."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from support.accounts_world import AccountsWorld
from support.backends import People
from support.v2_client import OCI_INDEX, OCI_MANIFEST, V2Client
from v1registry import Storage
from v1registry.housekeeping.copying import CopyReport, copy_storage
from v1registry.housekeeping.service import Housekeeping
from v1registry.rights import User


def copied(source: Storage, destination: Storage, **options: Any) -> CopyReport:
    """Copy a registry, and check that the last pass found nothing to do and nothing damaged."""
    report = copy_storage(source, destination, **options)
    assert report.is_settled, report
    assert report.is_whole, report
    return report


def served(storage: Storage) -> dict[str, object]:
    """Return what alice reads through both APIs: each tag, with sums and digests of all that it reaches."""
    world = AccountsWorld(People.of(User("alice")), storage)
    alice, client = world.person("alice"), V2Client(world.app, "alice")
    found: dict[str, object] = {}
    for name in sorted(map(str, world.repositories.all())):
        tags = alice.get(f"/v1/repositories/{name}/tags")
        for tag, image_id in sorted(tags.json.items() if tags.status_int == 200 else ()):
            found[f"v1 {name}:{tag}"] = _image(alice, image_id)
        for tag in sorted(_v2_tags(client, name)):
            found[f"v2 {name}:{tag}"] = _manifest(client, name, tag)
    return found


def _image(alice: Any, image_id: str) -> list[object]:
    ancestry = alice.get(f"/v1/images/{image_id}/ancestry")
    if ancestry.status_int != 200:
        return [image_id, ancestry.status_int]
    parts: list[object] = []
    for ancestor in ancestry.json:
        described = alice.get(f"/v1/images/{ancestor}/json")
        layer = alice.get(f"/v1/images/{ancestor}/layer")
        sums = described.headers.get("X-Docker-Checksum-Payload")
        parts.append([ancestor, described.status_int, sums, hashlib.sha256(layer.body).hexdigest()])
    return parts


def _v2_tags(client: V2Client, name: str) -> list[str]:
    answer = client.get(f"/v2/{name}/tags/list")
    return list(json.loads(answer.body)["tags"]) if answer.status == 200 else []


def _manifest(client: V2Client, name: str, tag: str) -> object:
    answer = client.get_manifest(name, tag, Accept=f"{OCI_MANIFEST}, {OCI_INDEX}")
    if answer.status != 200:
        return answer.status
    digests = [hashlib.sha256(answer.body).hexdigest()]
    manifest = json.loads(answer.body)
    for descriptor in (manifest.get("config"), *manifest.get("layers", ())):
        if descriptor is not None:
            blob = client.get(f"/v2/{name}/blobs/{descriptor['digest']}")
            digests.append(f"{blob.status} {hashlib.sha256(blob.body).hexdigest()}")
    return digests


def values(storage: Storage, *, without: tuple[str, ...] = ("uploads/", "housekeeping/")) -> dict[str, bytes]:
    """Return key -> value, without folders."""
    return {
        stat.key: storage.read(stat.key)[0] for stat in storage.list("") if not stat.key.startswith(without)
    }


def assert_serves_the_same(source: Storage, destination: Storage) -> None:
    """Check that a registry over a copy serves what the source does, and that nothing in it is damaged."""
    names = [str(name) for name in AccountsWorld(People.of(), source).repositories.all()]
    assert names == [str(name) for name in AccountsWorld(People.of(), destination).repositories.all()]
    assert served(destination) == served(source)
    assert list(Housekeeping(destination).verify(restarts=True).findings()) == []
