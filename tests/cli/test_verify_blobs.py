"""``v1registry verify`` and the distribution API: blobs, manifests, and what repositories say of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.v2_client import V2Client, descriptor_of, digest_of

from v1registry import FileStorage, Registry
from v1registry.cli.main import main
from v1registry.storage.base import KeyNotFound

NAME = "team/deep/app"
FOLDER = "repositories/team/deep%252Fapp/_v2"


class Pushed:
    """A folder with an image, an artifact that is attached to it, and a blob with a SHA-512 digest."""

    def __init__(self, folder: Path):
        self.url = folder.as_uri()
        self.storage = FileStorage(folder, durable=False)
        self.client = V2Client(Registry(storage=self.storage))
        self.image = self.push()
        self.attached = self.client.artifact(
            NAME, "report", subject=descriptor_of(self.image, "application/x")
        )
        assert self.client.put_manifest(NAME, digest_of(self.attached), self.attached).status == 201
        self.client.put_blob(NAME, b"long", "sha512")

    def push(self) -> bytes:
        image = self.client.image(NAME, "one")
        assert self.client.put_manifest(NAME, "1.0", image).status == 201
        return image

    @property
    def layer(self) -> str:
        digest: str = json.loads(self.image)["layers"][0]["digest"]
        return digest.partition(":")[2]

    def blob_key(self, sha256: str) -> str:
        return f"blobs/sha256/{sha256[:2]}/{sha256}/data"

    def key(self, pattern: str) -> str:
        """Return the only key that begins with a text."""
        (found,) = [stat.key for stat in self.storage.list("") if stat.key.startswith(pattern)]
        return found

    def replace(self, key: str, value: bytes | None) -> None:
        """Replace a value; None deletes it. A layer of v1 that is linked to it stays as it is."""
        self.storage.delete(key)
        if value is not None:
            self.storage.write(key, value)


@pytest.fixture
def pushed(tmp_path: Path) -> Pushed:
    return Pushed(tmp_path / "registry")


def verify(pushed: Pushed, capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    """Return the lines about damage."""
    code = main(["verify", "--storage", pushed.url, *options])
    *lines, last = capsys.readouterr().out.splitlines()
    found = [line for line in lines if not line.startswith("tag ")]
    assert f", {len(found)} damaged values" in last
    assert code == (1 if lines else 0)
    return found


def test_verify_of_whole_blobs_reports_nothing(pushed: Pushed, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--layers", "--storage", pushed.url]) == 0
    # config, layer and manifest of the image, those of the artifact, and one more
    assert capsys.readouterr().out.startswith("1 images, 7 blobs, 1 repositories, 0 damaged values, ")


def test_verify_finds_changed_bytes_of_each_blob(pushed: Pushed, capsys: pytest.CaptureFixture[str]) -> None:
    keys = [stat.key for stat in pushed.storage.list("blobs/sha256/") if stat.key.endswith("/data")]
    for key in keys:
        pushed.replace(key, b"x" * pushed.storage.stat(key).size)
    assert verify(pushed, capsys) == []
    lines = verify(pushed, capsys, "--layers")
    assert [line.partition(":")[0] for line in lines if "do not fit the digest" in line] == sorted(keys)


def test_push_after_deleting_a_damaged_blob_mends_it(
    pushed: Pushed, capsys: pytest.CaptureFixture[str]
) -> None:
    key = pushed.blob_key(pushed.layer)
    pushed.replace(key, b"other")
    (line,) = verify(pushed, capsys, "--layers")
    assert line.endswith("run v1registry verify --quarantine, then push the image again")
    pushed.storage.delete(key)
    (line,) = verify(pushed, capsys, "--layers")
    assert line.startswith(f"{FOLDER}/blobs/{pushed.layer}: ")
    assert line.endswith("are missing: push the image again")
    pushed.push()
    assert verify(pushed, capsys, "--layers") == []


@pytest.mark.parametrize(
    ("pattern", "value", "text"),
    [
        (f"{FOLDER}/tags/1.0", b"{", "empty or cut"),
        (f"{FOLDER}/referrers/", b"", "empty or cut"),
        (f"{FOLDER}/blobs/LAYER", b"[]", "empty or cut"),
        (f"{FOLDER}/manifests/IMAGE", b"", "empty or cut"),
        (f"{FOLDER}/manifests/IMAGE", b'{"size": 1}', "its record says 1"),
        ("blobs/sha512/", b"../../users", "leads to no blob"),
        ("blobs/sha512/", b"0" * 64, "leads to no blob"),
    ],
)
def test_verify_reports_each_damaged_value_of_v2(
    pushed: Pushed, capsys: pytest.CaptureFixture[str], pattern: str, value: bytes, text: str
) -> None:
    image = digest_of(pushed.image).partition(":")[2]
    key = pushed.key(pattern.replace("LAYER", pushed.layer).replace("IMAGE", image))
    pushed.replace(key, value)
    (line,) = verify(pushed, capsys)
    assert line.startswith(f"{key}: ")
    assert text in line
    assert pushed.storage.read(key)[0] == value  # nothing is changed


def test_verify_reports_a_manifest_without_bytes(pushed: Pushed, capsys: pytest.CaptureFixture[str]) -> None:
    sha256 = digest_of(pushed.image).partition(":")[2]
    pushed.replace(pushed.blob_key(sha256), None)
    (line,) = verify(pushed, capsys)
    assert (
        line == f"{FOLDER}/manifests/{sha256}: the bytes of sha256:{sha256} are missing: push the image again"
    )
    with pytest.raises(KeyNotFound):
        pushed.storage.read(pushed.blob_key(sha256))
