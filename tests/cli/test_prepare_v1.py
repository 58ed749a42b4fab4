"""``v1registry prepare-v1``."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from support.pushed_views import sha256
from support.v2_client import OCI_INDEX, V2Client, descriptor_of, digest_of, dumped, tar_of

from v1registry import FileStorage, Registry
from v1registry.cli.main import main
from v1registry.storage.base import KeyNotFound


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "registry"


def client_of(folder: Path, **settings: Any) -> V2Client:
    return V2Client(Registry(storage=f"file://{folder}", v2="on", **settings))


def put(client: V2Client, tag: str, content: str, name: str = "team/app") -> str:
    """Push an image of one layer; return its id in v1."""
    manifest = client.image(name, content)
    assert client.put_manifest(name, tag, manifest).status == 201
    digest: str = json.loads(manifest)["config"]["digest"]
    return digest.removeprefix("sha256:")


def run(folder: Path, *options: str) -> int:
    return main(["prepare-v1", "--storage", f"file://{folder}", *options])


def tags_of(folder: Path, name: str = "team/app") -> dict[str, str]:
    """Return the tags that v1 shows."""
    answer = client_of(folder).get(f"/v1/repositories/{name}/tags")
    assert answer.status == 200, answer
    tags: dict[str, str] = json.loads(answer.body)
    return tags


def test_tags_that_the_setting_left_out_are_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = client_of(folder, v1_view="off")
    ids = {tag: put(client, tag, tag) for tag in ("1.0", "2.0")}
    digests = {tag: client.shown("team/app", tag) for tag in ids}
    assert tags_of(folder) == {}
    assert run(folder) == 0
    shown = capsys.readouterr()
    assert shown.out == "2 tags shown in v1 now, 0 that v1 cannot have, 0 failed\n"
    assert f"team/app:1.0: {ids['1.0']}\n" in shown.err
    assert "  reading the layer sha256:" in shown.err
    assert tags_of(folder) == ids
    assert {tag: client_of(folder).shown("team/app", tag) for tag in ids} == digests
    assert run(folder) == 0
    assert capsys.readouterr().out == "0 tags shown in v1 now, 0 that v1 cannot have, 0 failed\n"


@pytest.mark.parametrize("settings", [{"max_v1_view_bytes": 50}, {"max_expanded_bytes": 1000}])
def test_image_beyond_the_bounds_of_the_server_is_shown(folder: Path, settings: dict[str, Any]) -> None:
    image_id = put(client_of(folder, **settings), "1.0", "a")
    assert tags_of(folder) == {}
    assert run(folder, "--quiet") == 0
    assert tags_of(folder) == {"1.0": image_id}


def test_named_tags_alone_are_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = client_of(folder, v1_view="off")
    ids = {tag: put(client, tag, tag) for tag in ("1.0", "2.0")}
    put(client, "1.0", "a", "team/other")
    assert run(folder, "--json", "--quiet", "--repository", "team/app:2.0") == 0
    expected = {"tag": "team/app:2.0", "image_id": ids["2.0"], "reason": None, "is_failed": False}
    assert json.loads(capsys.readouterr().out) == [expected]
    assert tags_of(folder) == {"2.0": ids["2.0"]}
    assert tags_of(folder, "team/other") == {}


@pytest.mark.parametrize("name", ["team/app:missing", "team/missing", "Team/app", "../x"])
def test_unknown_name_exits_with_5(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    put(client_of(folder), "1.0", "a")
    assert run(folder, "--repository", name) == 5
    assert name in capsys.readouterr().err


def test_artifact_is_no_failure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = client_of(folder)
    client.put_blob("team/app", b"{}")
    empty = descriptor_of(b"{}", "application/vnd.oci.empty.v1+json")
    artifact = dumped({"schemaVersion": 2, "config": empty, "layers": [empty]})
    assert client.put_manifest("team/app", "text", artifact).status == 201
    assert run(folder) == 0
    assert capsys.readouterr().out == "0 tags shown in v1 now, 1 that v1 cannot have, 0 failed\n"


def test_wrong_diff_id_is_named_and_exits_with_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = client_of(folder)
    layer = gzip.compress(tar_of("a"))
    config = dumped({"rootfs": {"type": "layers", "diff_ids": [sha256(b"different")]}})
    for blob in (layer, config):
        client.put_blob("team/app", blob)
    manifest = {
        "schemaVersion": 2,
        "config": descriptor_of(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor_of(layer, "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    assert client.put_manifest("team/app", "1.0", dumped(manifest)).status == 201
    assert run(folder) == 1
    shown = capsys.readouterr()
    assert shown.out == "0 tags shown in v1 now, 0 that v1 cannot have, 1 failed\n"
    assert "v1registry: team/app:1.0: the layer " in shown.err


def test_index_is_shown_by_the_platform_of_the_settings(folder: Path, tmp_path: Path) -> None:
    client = client_of(folder, v1_view="off")
    entries, ids = [], {}
    for architecture in ("amd64", "arm64"):
        manifest = client.image("team/app", architecture)
        assert client.put_manifest("team/app", digest_of(manifest), manifest).status == 201
        ids[architecture] = json.loads(manifest)["config"]["digest"].removeprefix("sha256:")
        platform = {"os": "linux", "architecture": architecture}
        media_type = "application/vnd.oci.image.manifest.v1+json"
        entries.append(descriptor_of(manifest, media_type, platform=platform))
    index = dumped({"schemaVersion": 2, "manifests": entries})
    assert client.put_manifest("team/app", "1.0", index, OCI_INDEX).status == 201
    ini = tmp_path / "registry.ini"
    ini.write_text(f"[v1registry]\nstorage = file://{folder}\nv1_platform = linux/arm64\n")
    assert main(["prepare-v1", "--config", str(ini)]) == 0
    assert tags_of(folder) == {"1.0": ids["arm64"]}
    assert client_of(folder).shown("team/app", "1.0") == digest_of(index)


def test_tag_that_moved_meanwhile_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(folder, v1_view="off")
    put(client, "1.0", "a")
    link, moved = FileStorage.link, []

    def move_once(self: FileStorage, source: str, target: str) -> object:
        if not moved and target.endswith("/view-0/layer"):
            moved.append(put(client, "1.0", "b"))
        return link(self, source, target)

    monkeypatch.setattr(FileStorage, "link", move_once)
    assert run(folder) == 0
    assert moved
    assert tags_of(folder) == {}


def test_deleted_manifest_is_left_alone(folder: Path) -> None:
    client = client_of(folder, v1_view="off")
    put(client, "1.0", "a")
    digest = client.shown("team/app", "1.0")
    assert digest is not None
    assert client.delete_manifest("team/app", digest).status == 202
    assert run(folder) == 0
    with pytest.raises(KeyNotFound):
        FileStorage(str(folder)).stat("repositories/team/app/tag_1.0")
