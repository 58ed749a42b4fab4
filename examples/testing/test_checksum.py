"""A program that compares the checksum of a layer, and its tests.

pytest examples/testing/test_checksum.py
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import requests
from v1registry_fakes import FakeRegistry


class WrongChecksum(Exception):
    """A layer is not the one that was pushed."""


def verified_layer(session: requests.Session, url: str, image_id: str) -> bytes:
    """Return the layer of an image of v1.

    :raises WrongChecksum: it differs from the checksum of the push.
    """
    document = session.get(f"{url}/v1/images/{image_id}/json", timeout=30)
    document.raise_for_status()
    layer = session.get(f"{url}/v1/images/{image_id}/layer", timeout=300)
    layer.raise_for_status()
    payload = hashlib.sha256(document.content + b"\n" + layer.content).hexdigest()
    expected = document.headers["X-Docker-Checksum-Payload"]
    if expected != f"sha256:{payload}":
        raise WrongChecksum(f"{image_id}: expected {expected}, not sha256:{payload}")
    return layer.content


# -- tests

URL = "http://registry.example.com"


def test_an_intact_layer_is_returned(v1registry: FakeRegistry, v1registry_session: requests.Session) -> None:
    image = v1registry.add_image("alice/app:1.0", files={"etc/motd": "hello"})

    assert verified_layer(v1registry_session, URL, image.id) == image.layer


@pytest.mark.parametrize(
    "fault",
    [
        {"route": "get_layer", "corrupt_byte": 0},
        {"route": "get_layer", "corrupt_byte": -1},
        {"route": "get_json", "wrong_checksum": True},
        {"route": "get_layer", "body": b""},
    ],
    ids=["first byte", "last byte", "checksum", "empty"],
)
def test_damage_is_found(
    v1registry: FakeRegistry, v1registry_session: requests.Session, fault: dict[str, Any]
) -> None:
    image = v1registry.add_image("alice/app:1.0", files={"etc/motd": "hello"})
    v1registry.fail("GET", **fault)

    with pytest.raises(WrongChecksum, match=image.id):
        verified_layer(v1registry_session, URL, image.id)
