"""A program that attaches lists of contents (SBOM) to images and finds them, and its tests.

pytest examples/testing/test_artifacts.py
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from v1registry_fakes import FakeManifest, FakeRegistry

SBOM = "application/spdx+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": "", "size": 2}


def attach(session: requests.Session, url: str, subject: dict[str, Any], sbom: bytes) -> None:
    """Push a list of contents as an artifact that belongs to an image.

    :param url: the repository: ``http://HOST/v2/NAME``.
    :param subject: media type, digest and size of the manifest of the image.
    """
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": SBOM,
        "config": EMPTY | {"digest": _upload(session, url, b"{}")},
        "layers": [{"mediaType": SBOM, "digest": _upload(session, url, sbom), "size": len(sbom)}],
        "subject": subject,
    }
    document = json.dumps(manifest).encode()
    place = f"{url}/manifests/sha256:{hashlib.sha256(document).hexdigest()}"
    session.put(place, data=document, headers={"Content-Type": MANIFEST}, timeout=30).raise_for_status()


def attached(session: requests.Session, url: str, digest: str) -> list[bytes]:
    """Return the lists of contents that belong to an image."""
    found = session.get(f"{url}/referrers/{digest}", params={"artifactType": SBOM}, timeout=30)
    found.raise_for_status()
    lists: list[bytes] = []
    for each in found.json()["manifests"]:
        manifest = session.get(f"{url}/manifests/{each['digest']}", headers={"Accept": MANIFEST}, timeout=30)
        (layer,) = manifest.json()["layers"]
        lists.append(session.get(f"{url}/blobs/{layer['digest']}", timeout=30).content)
    return lists


def _upload(session: requests.Session, url: str, data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    begun = session.post(f"{url}/blobs/uploads/", timeout=30)
    begun.raise_for_status()
    place = urljoin(url, begun.headers["Location"])
    session.put(place, params={"digest": digest}, data=data, timeout=30).raise_for_status()
    return digest


# -- tests

URL = "http://registry.example.com/v2/alice/app"


@pytest.fixture
def image(v1registry: FakeRegistry) -> FakeManifest:
    return v1registry.add_image("alice/app:1.0", api="v2")


def test_a_list_is_found_by_its_image(
    v1registry: FakeRegistry, v1registry_session: requests.Session, image: FakeManifest
) -> None:
    subject = {"mediaType": MANIFEST, "digest": image.digest, "size": len(image.document)}

    attach(v1registry_session, URL, subject, b'{"name": "app"}')

    assert attached(v1registry_session, URL, image.digest) == [b'{"name": "app"}']


def test_artifacts_of_other_types_are_left_out(
    v1registry: FakeRegistry, v1registry_session: requests.Session, image: FakeManifest
) -> None:
    v1registry.add_artifact(
        "alice/app", b"signed", artifact_type="application/vnd.example.signature", subject=image
    )
    v1registry.add_artifact("alice/app", b"contents", artifact_type=SBOM, subject=image)

    assert attached(v1registry_session, URL, image.digest) == [b"contents"]


def test_an_image_without_artifacts_has_no_list(
    v1registry_session: requests.Session, image: FakeManifest
) -> None:
    assert attached(v1registry_session, URL, image.digest) == []
