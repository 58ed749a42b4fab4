"""What is on the disk when a push is acknowledged, how often it is synced, and what a power cut may leave."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest
from support.cheap_passwords import CheapPasswords
from support.engine_client import EngineClient, make_image, tar_layer
from support.strict_engine import WsgiTransport
from support.wsgi_client import Client

from v1registry import FileStorage, Registry
from v1registry.accounts.users import UserStore

IMAGE = make_image(tar_layer({"etc/motd": b"power"}), name="power")
NEXT = make_image(tar_layer({"etc/next": b"power"}), name="next")


class Syncs:
    """Counts the calls of ``fsync`` since the last look, and fails those of paths that end in ``broken``."""

    def __init__(self, root: Path) -> None:
        self.paths: list[str] = []
        self.broken: str | None = None
        self._root = root
        self._fsync = os.fsync

    def fsync(self, descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if self.broken is not None and path.endswith(self.broken):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._fsync(descriptor)
        self.paths.append(str(Path(path).relative_to(self._root)))

    def since(self) -> list[str]:
        """Return what was synced since the last look, sorted."""
        found, self.paths = sorted(self.paths), []
        return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def client(root: Path) -> Client:
    """Return a client of a registry that has one image already."""
    client = Client(Registry(storage=FileStorage(root)))
    client.push(NEXT)
    return client


@pytest.fixture
def syncs(client: Client, root: Path, monkeypatch: pytest.MonkeyPatch) -> Syncs:
    found = Syncs(root)
    monkeypatch.setattr(os, "fsync", found.fsync)
    return found


def test_json_and_layer_are_not_synced_before_their_sum(client: Client, syncs: Syncs) -> None:
    client.put_json(IMAGE)
    client.put_layer(IMAGE)
    assert syncs.since() == []


def test_sum_syncs_each_file_once_and_two_folders(client: Client, syncs: Syncs) -> None:
    client.put_json(IMAGE)
    client.put_layer(IMAGE)
    client.put_checksum(IMAGE)
    found = syncs.since()
    files = [path.rpartition("/")[2] for path in found if path.startswith("uploads/")]
    assert files == ["_checksum", "ancestry", "json", "layer"]
    assert [path for path in found if not path.startswith("uploads/")] == [
        "images",
        f"images/{IMAGE.image_id}",
    ]


def test_files_are_synced_before_the_image_is_published_and_folders_after(
    client: Client, syncs: Syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put_json(IMAGE)
    client.put_layer(IMAGE)
    before: list[str] = []
    rename = os.rename

    def watched(source: str, target: str) -> None:
        if target.endswith(f"images/{IMAGE.image_id}"):
            before.extend(syncs.since())
        rename(source, target)

    monkeypatch.setattr(os, "rename", watched)
    client.put_checksum(IMAGE)
    assert [path.rpartition("/")[2] for path in before] == ["_checksum", "ancestry", "json", "layer"]
    assert syncs.since() == ["images", f"images/{IMAGE.image_id}"]


@pytest.mark.parametrize("name", ["_checksum", "ancestry", "json", "layer"])
def test_fault_of_one_sync_completes_nothing(client: Client, syncs: Syncs, root: Path, name: str) -> None:
    client.put_json(IMAGE)
    client.put_layer(IMAGE)
    syncs.broken = f"/{name}"
    assert client.put_checksum(IMAGE).status_int == 503
    assert not (root / "images" / IMAGE.image_id).exists()
    assert (
        client.get(f"/v1/images/{IMAGE.image_id}/json").json["error"]
        == "Image is being uploaded, retry later"
    )

    syncs.broken = None
    assert client.put_checksum(IMAGE).status_int == 200
    assert client.get(f"/v1/images/{IMAGE.image_id}/layer").body == IMAGE.layer


@pytest.mark.parametrize("folder", ["/images", f"/{IMAGE.image_id}"])
def test_fault_of_the_sync_of_a_folder_is_no_acknowledgement(
    client: Client, syncs: Syncs, folder: str
) -> None:
    client.put_json(IMAGE)
    client.put_layer(IMAGE)
    syncs.broken = folder
    assert client.put_checksum(IMAGE).status_int == 503


@pytest.mark.parametrize("kept_bytes", [0, 7])
def test_layer_that_a_power_cut_has_shortened_completes_nothing(
    client: Client, root: Path, kept_bytes: int
) -> None:
    client.put_json(IMAGE)
    client.put_layer(IMAGE)
    (layer,) = (root / "uploads" / IMAGE.image_id).rglob("layer")
    os.truncate(layer, kept_bytes)

    assert client.put_checksum(IMAGE).status_int == 400
    client.put_layer(IMAGE)
    assert client.put_checksum(IMAGE).status_int == 200
    assert client.get(f"/v1/images/{IMAGE.image_id}/layer").body == IMAGE.layer


@pytest.mark.parametrize("name", ["json", "ancestry", "_checksum"])
def test_document_that_a_power_cut_has_emptied_is_written_again(
    client: Client, root: Path, name: str
) -> None:
    client.put_json(IMAGE)
    client.put_layer(IMAGE)
    (document,) = (path for path in (root / "uploads" / IMAGE.image_id).rglob(name) if path.is_file())
    whole = document.read_bytes()
    os.truncate(document, 0)

    client.put_checksum(IMAGE)
    assert (root / "images" / IMAGE.image_id / name).read_bytes() == whole


def test_blob_is_synced_when_its_upload_is_finished(client: Client, syncs: Syncs) -> None:
    data = b"blob of an upload in parts"
    sha256 = hashlib.sha256(data).hexdigest()
    begun = client.request("POST", "/v2/first/app/blobs/uploads/")
    part = client.request("PATCH", begun.headers["Location"], data)
    assert (part.status_int, syncs.since()) == (202, [])

    finished = client.request("PUT", f"{part.headers['Location']}?digest=sha256:{sha256}")
    assert finished.status_int == 201
    synced = syncs.since()
    assert [path.rpartition("/")[2] for path in synced if path.startswith("uploads/")] == ["data"]
    folder = f"blobs/sha256/{sha256[:2]}"
    assert {folder, f"{folder}/{sha256}", "repositories/first/app/_v2/blobs"} <= set(synced)


def test_tag_and_its_folder_are_synced(client: Client, syncs: Syncs) -> None:
    client.tag("first/app", "1.0", NEXT)
    assert "repositories/first/app" in syncs.since()


def test_push_with_accounts_syncs_its_mark_with_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileStorage(tmp_path)
    UserStore(storage, passwords=CheapPasswords()).create("mira", "pw-mira", "mira@example.org")
    app = Registry(storage=storage, auth="users:")
    engine = EngineClient(login="mira:pw-mira", transport=WsgiTransport(app))
    syncs = Syncs(tmp_path)
    monkeypatch.setattr(os, "fsync", syncs.fsync)
    engine.push("mira/app", [IMAGE])
    synced = syncs.since()
    marks = f"images/{IMAGE.image_id}/_held_by"
    assert {marks, f"{marks}/mira"} <= set(synced)
    assert any(path.startswith("uploads/") and path.endswith("/_held_by/mira/app") for path in synced)
