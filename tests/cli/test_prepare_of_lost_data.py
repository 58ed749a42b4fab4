"""``prepare-v2`` and ``prepare-v1`` over an object store that has lost data objects."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.accounts_world import image_of
from support.converted import store_chain
from support.lost_data import LosingStorage
from support.v2_client import V2Client

from v1registry import Registry
from v1registry.cli import prepare_v2
from v1registry.cli.main import main

BASE = image_of("base")
TOP = image_of("top", BASE)
OTHER = image_of("other")


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> LosingStorage:
    storage = LosingStorage(monkeypatch)
    monkeypatch.setattr(prepare_v2, "open_shared_storage", lambda _: storage)
    return storage


@pytest.fixture
def images(storage: LosingStorage) -> None:
    """Store two tags on a chain, and one on a different image in each of two repositories."""
    store_chain(storage, [BASE, TOP])
    store_chain(storage, [OTHER])
    for place, image in (("app/tag_1", TOP), ("app/tag_2", TOP), ("app/tag_3", OTHER), ("zoo/tag_1", OTHER)):
        storage.write(f"repositories/team/{place}", image.image_id.encode())


def prepared(capsys: pytest.CaptureFixture[str], command: str = "prepare-v2") -> dict[str, Any]:
    """Return the rows of the command by their tags."""
    assert main([command, "--json", "--quiet", "--storage", "memory:"]) == 1
    return {row["tag"]: row for row in json.loads(capsys.readouterr().out)}


@pytest.mark.parametrize("key", [f"images/{BASE.image_id}/{name}" for name in ("json", "layer", "_checksum")])
def test_tag_on_a_lost_image_is_reported_and_the_others_are_prepared(
    images: None, storage: LosingStorage, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    storage.lose(key)
    rows = prepared(capsys)
    assert list(rows) == ["team/app:1", "team/app:2", "team/app:3", "team/zoo:1"]
    for tag in ("team/app:1", "team/app:2"):
        assert rows[tag]["digest"] is None
        assert rows[tag]["reason"].startswith(f"{key}: its data is missing in the object store")
    for tag in ("team/app:3", "team/zoo:1"):
        assert rows[tag]["digest"]


def test_lost_tag_is_reported_and_the_others_are_prepared(
    images: None, storage: LosingStorage, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "repositories/team/app/tag_2"
    storage.lose(key)
    rows = prepared(capsys)
    assert [tag for tag, row in rows.items() if row["digest"] is None] == ["team/app:2"]
    assert rows["team/app:2"]["image_id"] is None
    assert rows["team/app:2"]["reason"].startswith(f"{key}: its data is missing")


def test_lost_pointer_to_a_manifest_is_reported_for_its_tag(
    images: None, storage: LosingStorage, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "repositories/team/app/_v2/tags/2"
    storage.write(key, b"{}")
    storage.lose(key)
    rows = prepared(capsys)
    assert [tag for tag, row in rows.items() if row["digest"] is None] == ["team/app:2"]
    assert rows["team/app:2"]["reason"].startswith(f"{key}: its data is missing")


def test_lost_incarnation_is_reported_for_the_tags_of_its_repository(
    images: None,
    storage: LosingStorage,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("V1REGISTRY_AUTH", "users:")
    key = "repositories/team/app/_incarnation"
    storage.write(key, b"0" * 32)
    storage.lose(key)
    reasons = {tag: row["reason"] for tag, row in prepared(capsys).items()}
    assert all(reasons[f"team/app:{tag}"].startswith(f"{key}: its data is missing") for tag in "123")
    assert reasons["team/zoo:1"] is None


def test_lost_manifest_is_reported_and_the_others_are_shown_in_v1(
    storage: LosingStorage, capsys: pytest.CaptureFixture[str]
) -> None:
    client = V2Client(Registry(storage=storage, v2="on", v1_view="off"))
    keys = {}
    for tag in ("1", "2"):
        manifest = client.image("team/app", tag)
        assert client.put_manifest("team/app", tag, manifest).status == 201
        digits = str(client.shown("team/app", tag)).partition(":")[2]
        keys[tag] = f"blobs/sha256/{digits[:2]}/{digits}/data"
    storage.lose(keys["1"])
    rows = prepared(capsys, "prepare-v1")
    assert rows["team/app:1"]["is_failed"]
    assert rows["team/app:1"]["reason"].startswith(f"{keys['1']}: its data is missing")
    assert rows["team/app:2"]["image_id"]
