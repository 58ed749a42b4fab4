"""``v1registry prepare-v2``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.converted import VECTORS, Converted, store_image
from support.engine_client import Image, make_image
from support.old_data import SAMPLE, tree
from support.v2_client import V2Client

from v1registry import FileStorage, Registry
from v1registry.cli.main import main
from v1registry.rights import User

DIGESTS = {tag: vector["schema2_digest"] for vector in VECTORS for tag in vector["tags"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the folder that docker-registry 0.9.1 wrote."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "sample"))


def test_all_tags_are_prepared_and_a_repetition_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["prepare-v2", "--json", "--storage", f"file://{folder}"]
    assert main(command) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["tag"]: row["digest"] for row in rows} == DIGESTS
    assert {row["reason"] for row in rows} == {None}
    before = tree(folder)
    assert main(["prepare-v2", "--storage", f"file://{folder}"]) == 0
    assert capsys.readouterr().out == f"{len(DIGESTS)} tags prepared, 0 without a manifest\n"
    assert tree(folder) == before


def test_named_repositories_and_tags_alone_are_prepared(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["prepare-v2", "--json", "--jobs", "1", "--storage", f"file://{folder}"]
    assert main([*command, "--repository", "busybox:1.0", "--repository", "foo/bar"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert sorted(row["tag"] for row in rows) == ["foo/bar:v1", "library/busybox:1.0"]


def test_tag_with_a_pushed_manifest_is_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = V2Client(Registry(storage=FileStorage(str(folder)), v2="on"))
    client.put_manifest("foo/bar", "v1", client.image("foo/bar", "one"))
    assert main(["prepare-v2", "--json", "--storage", f"file://{folder}"]) == 0
    tags = {row["tag"] for row in json.loads(capsys.readouterr().out)}
    assert tags == set(DIGESTS) - {"foo/bar:v1"}


@pytest.mark.parametrize("name", ["busybox:missing", "foo/missing", "Foo/bar", "../x"])
def test_unknown_name_exits_with_5(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["prepare-v2", "--repository", name, "--storage", f"file://{folder}"]) == 5
    assert name in capsys.readouterr().err


def test_tag_without_a_manifest_is_named_and_exits_with_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = FileStorage(str(folder))
    image = make_image(b"no tar at all")
    store_image(storage, image)
    storage.write("repositories/foo/bar/tag_broken", image.image_id.encode())
    assert main(["prepare-v2", "--storage", f"file://{folder}"]) == 1
    shown = capsys.readouterr()
    assert shown.out == f"{len(DIGESTS)} tags prepared, 1 without a manifest\n"
    assert "v1registry: foo/bar:broken: the layer is not a tar archive" in shown.err


def test_index_elsewhere_is_a_usage_error(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("V1REGISTRY_INDEX", "https://index.example")
    assert main(["prepare-v2", "--storage", f"file://{folder}"]) == 2
    assert "index" in capsys.readouterr().err


def test_server_finds_what_was_prepared_without_reading_layers(folder: Path) -> None:
    assert main(["prepare-v2", "--storage", f"file://{folder}"]) == 0
    before = tree(folder)
    converted = Converted(FileStorage(str(folder)))
    for vector in VECTORS:
        repository = vector["tags"][0].partition(":")[0]
        assert str(converted.digest(repository, vector["id"])) == vector["schema2_digest"]
    assert tree(folder) == before


def test_contents_of_one_id_in_two_repositories_are_not_mixed(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = AccountsWorld(People.of(User("alice"), User("bob")), FileStorage.from_url(url))
    base, other = image_of("base"), image_of("other")
    top = image_of("top", base)
    world.person("alice").push("alice/app", base, top)
    world.person("bob").push("bob/app", Image(base.image_id, base.json, other.layer), top)
    (tmp_path / "registry.ini").write_text(f"[v1registry]\nstorage = {url}\nauth = users:\n")
    assert main(["prepare-v2", "--json", "--config", str(tmp_path / "registry.ini")]) == 0
    alice, bob = json.loads(capsys.readouterr().out)
    assert (alice["image_id"], alice["tag"]) == (bob["image_id"], "alice/app:latest")
    assert alice["digest"] != bob["digest"]
    manifests = {}
    for row in (alice, bob):
        digits = row["digest"][7:]
        manifests[row["tag"]] = json.loads(world.storage.read(f"blobs/sha256/{digits[:2]}/{digits}/data")[0])
    bases = {tag: manifest["layers"][0]["digest"] for tag, manifest in manifests.items()}
    assert world.storage.read(_data_key(bases["alice/app:latest"]))[0] == base.layer
    assert world.storage.read(_data_key(bases["bob/app:latest"]))[0] == other.layer


def _data_key(digest: str) -> str:
    return f"blobs/sha256/{digest[7:9]}/{digest[7:]}/data"


def test_progress_of_layers_is_shown_on_a_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    command = ["prepare-v2", "--storage", f"file://{folder}"]
    assert main([*command, "--repository", "foo/bar", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert main(command) == 0
    shown = capsys.readouterr().err
    image_ids = [vector["id"] for vector in VECTORS if "foo/bar:v1" not in vector["tags"]]
    assert all(f"read {image_id[:12]}" in shown for image_id in image_ids)
