"""A program that goes on with a download whose connection broke, and its tests.

pytest examples/testing/test_resume.py
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import requests
from v1registry_fakes import FakeRegistry


class DownloadFailed(Exception):
    """A blob could not be downloaded."""


def download(url: str, repository: str, digest: str, path: Path, *, attempts: int = 5) -> None:
    """Write a blob to a file. What an earlier call wrote is kept.

    :raises DownloadFailed: the connection breaks too often, or the content is wrong.
    """
    for _ in range(attempts):
        done = path.stat().st_size if path.exists() else 0
        headers = {"Range": f"bytes={done}-"} if done else {}
        source = f"{url}/v2/{repository}/blobs/{digest}"
        try:
            with requests.get(source, headers=headers, stream=True, timeout=30) as answer:
                answer.raise_for_status()
                with path.open("ab" if answer.status_code == 206 else "wb") as file:
                    for chunk in answer.iter_content(4096):
                        file.write(chunk)
            break
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            continue
    else:
        raise DownloadFailed(f"the connection broke {attempts} times")
    if f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" != digest:
        path.unlink()
        raise DownloadFailed(f"the content is not that of {digest}")


# -- tests


@pytest.fixture
def digest(v1registry: FakeRegistry) -> str:
    image = v1registry.add_image("alice/app:1.0", layer=bytes(range(256)) * 400, api="v2")
    return str(image.json["layers"][0]["digest"])


def test_a_broken_download_goes_on(v1registry: FakeRegistry, digest: str, tmp_path: Path) -> None:
    v1registry.fail(route="get_blob", cut_after_bytes=40_960, times=2)

    download(v1registry.url, "alice/app", digest, tmp_path / "layer")

    assert (tmp_path / "layer").read_bytes() == v1registry.blobs[digest]
    ranges = [each.headers.get("Range") for each in v1registry.assert_requested(route="get_blob", times=3)]
    assert ranges == [None, "bytes=40960-", "bytes=81920-"]


def test_a_connection_that_always_breaks_is_reported(
    v1registry: FakeRegistry, digest: str, tmp_path: Path
) -> None:
    v1registry.fail(route="get_blob", refuse_connection=True)

    with pytest.raises(DownloadFailed, match="broke 3 times"):
        download(v1registry.url, "alice/app", digest, tmp_path / "layer", attempts=3)


def test_a_wrong_content_is_not_kept(v1registry: FakeRegistry, digest: str, tmp_path: Path) -> None:
    v1registry.fail(route="get_blob", corrupt_byte=1000)

    with pytest.raises(DownloadFailed, match="not that of sha256:"):
        download(v1registry.url, "alice/app", digest, tmp_path / "layer")

    assert not (tmp_path / "layer").exists()
