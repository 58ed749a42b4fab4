"""A step of a CI pipeline that publishes a folder as an image, without Docker, and its tests.

pytest examples/testing/test_publish.py
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from v1registry_fakes import FakeRegistry

OCI = "application/vnd.oci.image"


def publish(session: requests.Session, url: str, folder: Path, name: str, command: list[str]) -> str:
    """Push the files of a folder as an image of one layer. Return the digest of the manifest.

    :param name: such as ``alice/app:1.0``.
    :raises requests.RequestException: the registry does not take the image.
    """
    repository, _, tag = name.partition(":")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            member = archive.gettarinfo(path, str(path.relative_to(folder)))
            member.mtime = member.uid = member.gid = 0  # the same files give the same layer
            member.uname = member.gname = ""
            archive.addfile(member, io.BytesIO(path.read_bytes()) if path.is_file() else None)
    layer = gzip.compress(packed.getvalue(), mtime=0)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": command},
        "rootfs": {"type": "layers", "diff_ids": [_digest(packed.getvalue())]},
    }
    place = f"{url}/v2/{repository}"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": _upload(session, place, json.dumps(config).encode(), f"{OCI}.config.v1+json"),
        "layers": [_upload(session, place, layer, f"{OCI}.layer.v1.tar+gzip")],
    }
    answer = session.put(
        f"{place}/manifests/{tag}",
        data=json.dumps(manifest).encode(),
        headers={"Content-Type": f"{OCI}.manifest.v1+json"},
        timeout=30,
    )
    answer.raise_for_status()
    return answer.headers["Docker-Content-Digest"]


def _upload(session: requests.Session, place: str, data: bytes, media_type: str) -> dict[str, Any]:
    digest = _digest(data)
    if session.head(f"{place}/blobs/{digest}", timeout=30).status_code == 404:
        begun = session.post(f"{place}/blobs/uploads/", timeout=30)
        begun.raise_for_status()
        target = urljoin(place, begun.headers["Location"])
        session.put(target, params={"digest": digest}, data=data, timeout=300).raise_for_status()
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


# -- tests


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("hello")
    return tmp_path


def test_a_folder_becomes_an_image(
    v1registry: FakeRegistry, v1registry_session: requests.Session, folder: Path
) -> None:
    digest = publish(v1registry_session, v1registry.in_process_url, folder, "alice/site:1.0", ["serve"])

    image = v1registry.assert_pushed("alice/site:1.0", digest=digest)
    assert image.files["site/index.html"] == b"hello"
    assert image.config["config"] == {"Cmd": ["serve"]}
    # engines of v1 can pull it too
    assert v1registry.image("alice/site:1.0").files["site/index.html"] == b"hello"


def test_the_same_files_are_sent_once(
    v1registry: FakeRegistry, v1registry_session: requests.Session, folder: Path
) -> None:
    first = publish(v1registry_session, v1registry.in_process_url, folder, "alice/site:1.0", ["serve"])
    v1registry.requests.clear()

    assert first == publish(
        v1registry_session, v1registry.in_process_url, folder, "alice/site:1.1", ["serve"]
    )

    v1registry.assert_requested("HEAD", "*/blobs/*", status=200, times=2)
    v1registry.assert_not_requested("POST")


def test_a_registry_that_may_not_be_written_is_reported(
    v1registry: FakeRegistry, v1registry_session: requests.Session, folder: Path
) -> None:
    v1registry.fail("POST", api="v2", status=403)

    with pytest.raises(requests.HTTPError, match="403"):
        publish(v1registry_session, v1registry.in_process_url, folder, "alice/site:1.0", ["serve"])

    assert list(v1registry.repositories) == []
