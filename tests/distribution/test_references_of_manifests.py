"""What a manifest needs in its repository (DST-011, DST-015)."""

from __future__ import annotations

import json

import pytest
from support.v2_client import CONFIG_TYPES, V2Client, descriptor_of, digest_of, dumped

from v1registry import MemoryStorage, Registry
from v1registry.distribution.manifests import OCI_MANIFEST

CONFIG = b'{"a": "config"}'


@pytest.fixture
def client() -> V2Client:
    return V2Client(Registry(storage=MemoryStorage()))


def manifest_of(client: V2Client, media_type: str, **fields: object) -> bytes:
    document = json.loads(client.image("team/app", "one"))
    document["config"] = descriptor_of(CONFIG, media_type, **fields)
    return dumped(document)


@pytest.mark.parametrize(
    ("media_type", "fields"),
    [
        (CONFIG_TYPES[OCI_MANIFEST], {"urls": ["https://example.com/"]}),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", {}),
    ],
)
def test_DST_011_config_is_never_foreign(
    client: V2Client, media_type: str, fields: dict[str, object]
) -> None:
    data = manifest_of(client, media_type, **fields)
    answer = client.put_manifest("team/app", "latest", data)
    assert answer.status == 400
    (error,) = json.loads(answer.body)["errors"]
    assert error["code"] == "MANIFEST_BLOB_UNKNOWN"
    assert error["detail"] == [{"digest": digest_of(CONFIG), "size": len(CONFIG)}]
    client.put_blob("team/app", CONFIG)
    assert client.put_manifest("team/app", "latest", data).status == 201


def test_DST_015_config_with_urls_cannot_be_deleted_before_its_manifest(client: V2Client) -> None:
    digest = client.put_blob("team/app", CONFIG)
    data = manifest_of(client, CONFIG_TYPES[OCI_MANIFEST], urls=["https://example.com/"])
    assert client.put_manifest("team/app", "latest", data).status == 201
    assert client.ask("DELETE", f"/v2/team/app/blobs/{digest}").status == 405
