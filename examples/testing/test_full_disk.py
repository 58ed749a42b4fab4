"""A program that uploads a file in pieces and tidies up if the registry has no room, and its tests.

pytest examples/testing/test_full_disk.py
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from v1registry_fakes import FakeRegistry

PIECE_BYTES = 1000


class UploadFailed(Exception):
    """The registry did not take the file."""


def upload(session: requests.Session, url: str, path: Path) -> str:
    """Upload a file as a blob, and return its digest. A failed upload is cancelled.

    :param url: the repository: ``http://HOST/v2/NAME``.
    :raises UploadFailed: the registry did not take the file; the text is its reason.
    """
    place = urljoin(url, _checked(session.post(f"{url}/blobs/uploads/", timeout=30)).headers["Location"])
    digest, offset = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                place_of_piece = {"Content-Range": f"{offset}-{offset + len(piece) - 1}"}
                answer = _checked(session.patch(place, data=piece, headers=place_of_piece, timeout=300))
                place = urljoin(url, answer.headers["Location"])
                digest.update(piece)
                offset += len(piece)
        name = f"sha256:{digest.hexdigest()}"
        _checked(session.put(place, params={"digest": name}, timeout=300))
        return name
    except UploadFailed:
        session.delete(place, timeout=30)
        raise


def _checked(answer: requests.Response) -> requests.Response:
    if not answer.ok:
        (problem,) = answer.json()["errors"]
        raise UploadFailed(f"{answer.status_code}: {problem['message']}")
    return answer


# -- tests

URL = "http://registry.example.com/v2/alice/app"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"x" * 2500)
    return tmp_path / "file"


def test_a_file_is_uploaded_in_pieces(
    v1registry: FakeRegistry, v1registry_session: requests.Session, file: Path
) -> None:
    digest = upload(v1registry_session, URL, file)

    assert v1registry.blobs[digest] == file.read_bytes()
    v1registry.assert_requested("PATCH", times=3)


def test_a_full_disk_cancels_the_upload(
    v1registry: FakeRegistry, v1registry_session: requests.Session, file: Path
) -> None:
    v1registry.fail("PATCH", storage="full", after=1)

    with pytest.raises(UploadFailed, match="no room left"):
        upload(v1registry_session, URL, file)

    v1registry.assert_requested_in_order(("POST", "*"), ("PATCH", "*"), ("PATCH", "*"), ("DELETE", "*"))
    assert dict(v1registry.blobs) == {}
