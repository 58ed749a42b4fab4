"""``v1registry image`` and ``v1registry verify``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.engine_client import Image

from v1registry import FileStorage
from v1registry.cli.housekeeping_options import in_words
from v1registry.cli.main import main
from v1registry.rights import User

SAMPLE = Path(__file__).parents[1] / "data" / "docker-registry-0.9.1-data"

BASE = image_of("base")
TOP = image_of("top", BASE)
OTHER = Image(BASE.image_id, BASE.json, TOP.layer)  # other bytes under the same id


@pytest.fixture
def world(url: str) -> AccountsWorld:
    """A running server: alice and bob hold different contents of one id."""
    world = AccountsWorld(People.of(User("alice"), User("bob")), FileStorage.from_url(url))
    world.person("alice").push("alice/app", BASE, TOP)
    world.person("bob").push("bob/app", OTHER)
    return world


def damage(world: AccountsWorld, key: str, value: bytes = b"") -> None:
    world.storage.write(key, value)


# -- show


def test_show_tells_which_repository_holds_which_content(
    world: AccountsWorld, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", "show", BASE.image_id, "--json", "--storage", url]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["tags"] == ["bob/app:latest"]
    first, second = shown["contents"]
    assert (first["name"], first["state"], first["holders"]) == ("first", "complete", ["alice/app"])
    assert first["checksums"] == [BASE.payload_checksum]
    assert (second["holders"], second["checksums"]) == (["bob/app"], [OTHER.payload_checksum])
    assert second["name"] == OTHER.payload_checksum.removeprefix("sha256:")
    assert (first["layer_bytes"], second["layer_bytes"]) == (len(BASE.layer), len(OTHER.layer))


def test_show_for_people_has_one_line_a_content(
    world: AccountsWorld, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", "show", TOP.image_id, "--storage", url]) == 0
    assert capsys.readouterr().out == (
        f"image {TOP.image_id}\n"
        f"content first: complete, layer of {len(TOP.layer)} bytes, {TOP.payload_checksum}, "
        f"parent {BASE.image_id}\n"
        "  held by: alice/app\n"
        "tags: alice/app:latest\n"
    )


def test_show_says_what_is_damaged(
    world: AccountsWorld, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(world, f"images/{TOP.image_id}/json")
    assert main(["image", "show", TOP.image_id, "--storage", url]) == 0
    assert "content first: damaged (its JSON is empty or cut)" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["show"], ["remove"], ["remove", "--force"]])
def test_unknown_image_exits_with_5_and_invalid_id_with_2(
    url: str, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main(["image", *command, "0" * 64, "--storage", url]) == 5
    assert "unknown image" in capsys.readouterr().err
    assert main(["image", *command, "latest", "--storage", url]) == 2
    assert "16 or 64 lower-case hex digits, not 'latest'" in capsys.readouterr().err


# -- remove


def test_image_that_is_used_is_not_removed(
    world: AccountsWorld, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", "remove", BASE.image_id, "--storage", url]) == 1
    error = capsys.readouterr().err
    assert "is used by 2 repositories: alice/app, bob/app" in error
    assert "nothing was removed" in error
    assert world.person("alice").image(BASE) == 200


def test_image_that_an_unmarked_tag_reaches_is_not_removed(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On an open server no marks are kept."""
    storage = FileStorage.from_url(url)
    for image, ancestry in ((BASE, [BASE]), (TOP, [TOP, BASE])):
        storage.write(f"images/{image.image_id}/json", image.json)
        storage.write(f"images/{image.image_id}/layer", image.layer)
        ids = json.dumps([ancestor.image_id for ancestor in ancestry])
        storage.write(f"images/{image.image_id}/ancestry", ids.encode())
    storage.write("repositories/library/app/tag_1", TOP.image_id.encode())
    assert main(["image", "remove", BASE.image_id, "--storage", url]) == 1
    assert "library/app" in capsys.readouterr().err
    storage.delete("repositories/library/app/tag_1")
    assert main(["image", "remove", BASE.image_id, "--storage", url]) == 0
    assert not list(storage.list(f"images/{BASE.image_id}/"))


def test_image_without_holders_is_removed(
    world: AccountsWorld, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.person("alice").delete("alice/app").status_int == 200
    size = sum(stat.size for stat in world.storage.list(f"images/{TOP.image_id}/"))
    assert main(["image", "remove", TOP.image_id, "--storage", url]) == 0
    assert capsys.readouterr().out == f"image {TOP.image_id} removed: 1 content(s), {size} bytes\n"
    assert not list(world.storage.list(f"images/{TOP.image_id}/"))


def test_removed_image_can_be_pushed_again(
    world: AccountsWorld, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", "remove", BASE.image_id, "--force", "--storage", url]) == 0
    out = capsys.readouterr().out
    assert "2 content(s)" in out
    assert "push it again to alice/app, bob/app" in out
    alice = world.person("alice")
    assert alice.image(BASE) == 404
    alice.push("alice/app", BASE, TOP)
    assert alice.get(f"/v1/images/{BASE.image_id}/layer").body == BASE.layer


# -- verify


def test_verify_of_whole_data_reports_nothing(
    world: AccountsWorld, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--layers", "--storage", url]) == 0
    size = in_words(len(BASE.layer) + len(TOP.layer) + len(OTHER.layer))
    expected = f"2 images, 0 blobs, 2 repositories, 0 damaged values, {size} read\n"
    assert capsys.readouterr().out == expected


def test_verify_of_the_data_of_an_old_server_reports_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder has an unfinished push too."""
    shutil.copytree(SAMPLE, tmp_path / "sample")
    assert main(["verify", "--layers", "--storage", f"file://{tmp_path}/sample"]) == 0
    assert ", 0 damaged values, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        (f"images/{TOP.image_id}/json", b"", "JSON is empty or cut"),
        (f"images/{TOP.image_id}/json", BASE.json, "different id"),
        (f"images/{TOP.image_id}/layer", b"", "layer is empty"),
        (f"images/{TOP.image_id}/ancestry", b'["', "list of ancestors"),
        (f"images/{TOP.image_id}/_checksum", b'["sha2', "sum of the layer"),
        (f"images/{TOP.image_id}/_held_by/alice/app", b"{", "mark of the holder"),
        ("repositories/alice/app/_index_images", b"[{", "image list"),
        ("repositories/alice/app/tag_latest", b"0123", "tag is empty or cut"),
        ("repositories/alice/app/tag_new", b"0" * 64, "not complete"),
        ("repositories/alice/app/taglatest_json", b"", "value is empty or cut"),
        ("repositories/alice/app/_incarnation", b"", "lost what it holds"),
        ("repositories/alice/app/_tag_rule", b"immut", "rule of the tags"),
        ("repositories/alice/app/_collaborators", b"{", "value is empty or cut"),
        ("accounts/users/carol", b"{", "restore it from a backup"),
    ],
)
def test_verify_reports_each_damaged_value(
    world: AccountsWorld, url: str, capsys: pytest.CaptureFixture[str], key: str, value: bytes, text: str
) -> None:
    damage(world, key, value)
    assert main(["verify", "--storage", url]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(key.startswith(line.partition(":")[0]) and text in line for line in lines)
    assert main(["verify", "--json", "--storage", url]) == 1
    *found, total = map(json.loads, capsys.readouterr().out.splitlines())
    assert len(found) == len(lines) - 1
    assert total["problems"] == sum(row["kind"] == "problem" for row in found) > 0
    assert world.storage.read(key)[0] == value  # nothing is changed


def test_verify_finds_a_cut_layer_if_it_reads_layers(
    world: AccountsWorld, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = f"images/{TOP.image_id}/layer"
    damage(world, key, TOP.layer[:-1])
    assert main(["verify", "--storage", url]) == 0
    assert main(["verify", "--layers", "--storage", url]) == 1
    assert "does not fit the stored sum" in capsys.readouterr().out
    assert main(["image", "remove", TOP.image_id, "--force", "--storage", url]) == 0
    world.person("alice").push("alice/app", BASE, TOP)
    assert main(["verify", "--layers", "--storage", url]) == 0
