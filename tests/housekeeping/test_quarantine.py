"""``verify --quarantine``: damaged bytes are moved out of the way, and pushes restore them."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.engine_client import Image
from support.faulty_storage import FaultyStorage
from support.v2_client import V2Client

from v1registry import FileStorage, MemoryStorage, Registry, Storage
from v1registry.cli import verify as verify_command
from v1registry.cli.housekeeping_options import ended_by_signals
from v1registry.cli.main import main
from v1registry.housekeeping.findings import Problem
from v1registry.housekeeping.pace import Pace
from v1registry.housekeeping.service import Housekeeping
from v1registry.rights import User

BASE = image_of("base")
TOP = image_of("top", BASE)
OTHER_BASE = Image(BASE.image_id, BASE.json, TOP.layer)  # other bytes under the same id


@pytest.fixture
def world(storage: Storage) -> AccountsWorld:
    return world_of(storage)


def world_of(storage: Storage) -> AccountsWorld:
    """Return a server with an image of alice and bob, and with a different content of its parent."""
    world = AccountsWorld(People.of(User("alice"), User("bob"), User("carol")), storage)
    world.person("alice").push("alice/app", BASE, TOP)
    world.person("bob").push("bob/app", BASE, TOP)
    world.person("carol").push("carol/app", OTHER_BASE)
    return world


def damage(storage: Storage, key: str) -> None:
    value = storage.read(key)[0]
    storage.delete(key)
    storage.write(key, value[:-1] + bytes([value[-1] ^ 1]))


def quarantine(storage: Storage) -> list[Problem]:
    findings = Housekeeping(storage).verify(quarantines=True, restarts=True).findings()
    return [finding for finding in findings if isinstance(finding, Problem)]


def is_clean(storage: Storage) -> bool:
    return not list(Housekeeping(storage).verify(restarts=True).findings())


@pytest.mark.parametrize("name", ["layer", "json"])
def test_a_damaged_image_is_moved_and_restored_by_a_push(world: AccountsWorld, name: str) -> None:
    storage, folder = world.storage, f"images/{BASE.image_id}"
    if name == "layer":
        damage(storage, f"{folder}/layer")
    else:
        storage.write(f"{folder}/json", BASE.json.replace(b"base.conf", b"BASE.conf"))
    damaged = {part: storage.read(f"{folder}/{part}")[0] for part in ("json", "layer")}

    (problem,) = quarantine(storage)

    assert problem.key == folder
    for part, value in damaged.items():
        assert storage.read(f"{problem.moved_to}/{folder}/{part}")[0] == value
    alice, bob = world.person("alice"), world.person("bob")
    assert alice.image(BASE) == 404

    alice.push("alice/app", BASE, TOP)

    for person in (alice, bob):
        assert person.get(f"/v1/images/{BASE.image_id}/layer").body == BASE.layer
    assert world.person("carol").get(f"/v1/images/{BASE.image_id}/layer").body == OTHER_BASE.layer
    assert is_clean(storage)


def test_a_damaged_content_beside_the_first_is_restored_by_a_push(world: AccountsWorld) -> None:
    storage = world.storage
    variant = f"images/{BASE.image_id}/_contents/{OTHER_BASE.payload_checksum.partition(':')[2]}"
    damage(storage, f"{variant}/layer")

    (problem,) = quarantine(storage)

    assert problem.key == variant
    assert problem.moved_to
    assert world.person("alice").image(BASE) == 200
    world.person("carol").push("carol/app", OTHER_BASE)
    assert is_clean(storage)


def test_a_damaged_blob_is_moved_and_restored_by_a_push(storage: Storage) -> None:
    client = V2Client(Registry(storage=storage))
    image = client.image("team/app", "one")
    assert client.put_manifest("team/app", "1.0", image).status == 201
    digest = json.loads(image)["layers"][0]["digest"]
    sha256 = digest.partition(":")[2]
    key = f"blobs/sha256/{sha256[:2]}/{sha256}/data"
    damage(storage, key)

    problem = next(problem for problem in quarantine(storage) if problem.key == key)

    assert problem.moved_to
    assert client.get(f"/v2/team/app/blobs/{digest}").status == 404
    assert client.put_manifest("team/app", "1.0", client.image("team/app", "one")).status == 201
    assert client.get(f"/v2/team/app/blobs/{digest}").status == 200
    assert is_clean(storage)


def test_an_image_on_an_open_server_is_restored_by_a_push(storage: Storage) -> None:
    client = V2Client(Registry(storage=storage))
    assert client.put_manifest("team/app", "1.0", client.image("team/app", "one")).status == 201
    (layer,) = [stat.key for stat in storage.list("images/") if stat.key.endswith("/layer")]
    damage(storage, layer)

    assert quarantine(storage)

    assert client.put_manifest("team/app", "1.0", client.image("team/app", "one")).status == 201
    assert is_clean(storage)


def test_whole_data_is_not_moved(world: AccountsWorld) -> None:
    before = {stat.key for stat in world.storage.list("")}

    assert quarantine(world.storage) == []
    assert {stat.key for stat in world.storage.list("")} - before == {"housekeeping/verify"}


def test_a_copy_of_the_quarantine_brings_everything_back(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "store", durable=False)
    world = world_of(storage)
    damage(storage, f"images/{BASE.image_id}/layer")
    before = {stat.key: storage.read(stat.key)[0] for stat in storage.list("images/")}
    (problem,) = quarantine(storage)

    shutil.copytree(tmp_path / "store" / problem.moved_to, tmp_path / "store", dirs_exist_ok=True)

    assert {stat.key: storage.read(stat.key)[0] for stat in storage.list("images/")} == before
    assert world.person("alice").image(BASE) == 200


def test_a_push_that_restores_an_image_meanwhile_wins(world: AccountsWorld) -> None:
    faulty, key = FaultyStorage(world.storage), f"images/{BASE.image_id}/json"
    damage(world.storage, f"images/{BASE.image_id}/layer")

    def restore() -> None:
        for name, value in (("json", BASE.json), ("layer", BASE.layer)):
            world.storage.write(f"images/{BASE.image_id}/{name}", value)

    faulty.before(restore, "delete", key=key)

    (problem,) = quarantine(faulty)

    assert problem.moved_to == ""
    assert world.storage.read(key)[0] == BASE.json
    assert list(world.storage.list("quarantine/")) == []
    assert is_clean(world.storage)


class Killed(BaseException):
    """The process is killed at a call of the storage."""


@pytest.mark.parametrize("kind", ["image", "blob"])
def test_a_run_that_is_killed_at_any_call_loses_nothing(kind: str) -> None:
    """Afterwards either the value is where it was, or a push restores it; the next run finishes the work."""
    for calls in range(1000):
        storage = MemoryStorage()
        world, client = world_of(storage), V2Client(Registry(storage=storage))
        assert client.put_manifest("team/app", "1.0", client.artifact("team/app", "report")).status == 201
        blob = next(stat.key for stat in storage.list("blobs/") if stat.size == len(b"report"))
        key = blob if kind == "blob" else f"images/{BASE.image_id}/layer"
        damage(storage, key)
        damaged = storage.read(key)[0]
        faulty = FaultyStorage(storage)
        faulty.fail("link", "delete", "write", error=Killed(), skip=calls)
        try:
            quarantine(faulty)
        except Killed:
            is_killed = True
        else:
            is_killed = False
        quarantine(storage)
        places = [stat.key for stat in storage.list("") if stat.key.endswith(key)]
        assert any(storage.read(place)[0] == damaged for place in places)
        world.person("alice").push("alice/app", BASE, TOP)
        assert client.put_manifest("team/app", "1.0", client.artifact("team/app", "report")).status == 201
        assert is_clean(storage)
        if not is_killed:
            assert calls >= 3
            return


# -- the command


@pytest.fixture
def url(tmp_path: Path) -> str:
    return (tmp_path / "store").as_uri()


def test_the_command_prints_where_a_value_was_moved(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    storage = FileStorage.from_url(url)
    world_of(storage)
    damage(storage, f"images/{BASE.image_id}/layer")

    assert main(["verify", "--quarantine", "--storage", url]) == 1
    first, *tags, summary = capsys.readouterr().out.splitlines()
    assert first.startswith(
        f"images/{BASE.image_id}: the layer or the JSON does not fit the stored sum: push"
    )
    assert "(moved to quarantine/" in first
    assert [line.split(": ")[0] for line in tags] == ["tag alice/app:latest", "tag bob/app:latest"]
    assert ", 1 damaged values, 2 hurt tags, " in summary


def test_the_command_prints_lines_of_json(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    storage = FileStorage.from_url(url)
    world_of(storage)
    damage(storage, f"images/{BASE.image_id}/layer")

    assert main(["verify", "--restart", "--json", "--storage", url]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["kind"] for row in rows] == ["problem", "hurt_tag", "hurt_tag", "total"]
    assert rows[1]["keys"] == [f"images/{BASE.image_id}"]
    assert (rows[-1]["problems"], rows[-1]["hurt_tags"], rows[-1]["skipped"]) == (1, 2, 0)
    assert rows[-1]["read_bytes"] == len(BASE.layer) + 2 * len(TOP.layer)


def test_the_command_leaves_out_what_was_read_lately(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    world_of(FileStorage.from_url(url))
    assert main(["verify", "--older-than", "1d", "--storage", url]) == 0
    capsys.readouterr()

    assert main(["verify", "--older-than", "1d", "--storage", url]) == 0
    assert capsys.readouterr().out.endswith(" 0 damaged values, 3 layers and blobs read lately\n")


def test_sigterm_ends_the_command_which_goes_on_later(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileStorage.from_url(url)
    world_of(storage)
    pace = Pace(1, sleep=lambda seconds: os.kill(os.getpid(), signal.SIGTERM))
    with monkeypatch.context() as context:
        context.setattr(verify_command, "pace_of", lambda options: pace)
        assert main(["verify", "--layers", "--storage", url]) == 130
    assert "began_at_s" in json.loads(storage.read("housekeeping/verify")[0])

    assert main(["verify", "--layers", "--storage", url]) == 0
    assert "began_at_s" not in json.loads(storage.read("housekeeping/verify")[0])


def test_signals_are_as_before_after_a_command() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with ended_by_signals(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)

    assert signal.getsignal(signal.SIGTERM) is before
