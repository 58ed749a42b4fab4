"""How many bytes each repository uses: from Python and by ``v1registry usage``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.engine_client import Image
from support.interfering import Interfering
from support.v2_client import V2Client, digest_of, dumped, index_of

from v1registry import FileStorage, MemoryStorage, Registry, Storage
from v1registry.cli.main import main
from v1registry.housekeeping.kept_usage import MOST_KEPT, RepositoryUsage, Usage, keep
from v1registry.housekeeping.service import Housekeeping
from v1registry.rights import User

BASE = image_of("base")
TOP = image_of("top", BASE)
OTHER_TOP = image_of("other-top", BASE)
OTHER_BASE = Image(BASE.image_id, BASE.json, TOP.layer)  # other bytes under the same id


@pytest.fixture
def world(storage: Storage) -> AccountsWorld:
    return AccountsWorld(People.of(User("alice"), User("bob")), storage)


@pytest.fixture
def client(storage: Storage) -> V2Client:
    return V2Client(Registry(storage=storage))


def size_of(storage: Storage, *prefixes: str) -> int:
    """Return the bytes below prefixes; keys that share their bytes count once."""
    found = {stat.etag: stat.size for prefix in prefixes for stat in storage.list(prefix)}
    return sum(found.values())


def usage_of(storage: Storage) -> tuple[Usage, dict[str, RepositoryUsage]]:
    """Return the report, and its rows by name. What each report must fulfil is checked."""
    usage = Housekeeping(storage).usage()
    totals = usage.totals
    own_bytes = sum(row.own_bytes for row in usage.repositories)
    assert totals.stored_bytes == size_of(storage, "images/", "blobs/sha256/")
    assert own_bytes + totals.shared_bytes + totals.unreachable_bytes == totals.stored_bytes
    assert all(row.shared_bytes <= totals.shared_bytes for row in usage.repositories)
    return usage, {row.name: row for row in usage.repositories}


def test_an_empty_storage_uses_nothing(storage: Storage) -> None:
    usage, rows = usage_of(storage)

    assert rows == {}
    assert (usage.totals.stored_bytes, usage.totals.images, usage.totals.blobs) == (0, 0, 0)


def test_layers_of_several_repositories_are_shared(world: AccountsWorld) -> None:
    storage = world.storage
    world.person("alice").push("alice/app", BASE, TOP)
    world.person("bob").push("bob/app", BASE, OTHER_TOP)

    usage, rows = usage_of(storage)

    base = size_of(storage, f"images/{BASE.image_id}/")
    assert usage.totals.shared_bytes == base
    for name, image in (("alice/app", TOP), ("bob/app", OTHER_TOP)):
        assert rows[name].own_bytes == size_of(storage, f"images/{image.image_id}/")
        assert rows[name].shared_bytes == base
        assert rows[name].tags == 1
    assert usage.totals.images == 3


def test_a_layer_that_three_repositories_reach_counts_once(world: AccountsWorld) -> None:
    for number in range(3):
        world.person("alice").push(f"alice/app{number}", BASE)

    usage, rows = usage_of(world.storage)

    assert usage.totals.shared_bytes == usage.totals.stored_bytes
    assert {row.own_bytes for row in rows.values()} == {0}
    assert {row.shared_bytes for row in rows.values()} == {usage.totals.stored_bytes}


def test_each_content_of_an_id_belongs_to_its_holder(world: AccountsWorld) -> None:
    storage, folder = world.storage, f"images/{BASE.image_id}"
    world.person("alice").push("alice/app", BASE)
    world.person("bob").push("bob/app", OTHER_BASE)

    _, rows = usage_of(storage)

    assert rows["bob/app"].own_bytes == size_of(storage, f"{folder}/_contents/")
    assert rows["alice/app"].own_bytes == size_of(storage, f"{folder}/") - rows["bob/app"].own_bytes


def test_images_without_a_tag_are_unreachable(world: AccountsWorld) -> None:
    alice = world.person("alice")
    alice.push("alice/app", BASE, TOP)
    assert alice.ask("DELETE", "/v1/repositories/alice/app/tags/latest").status_int == 200

    usage, rows = usage_of(world.storage)

    assert rows == {}
    assert usage.totals.unreachable_bytes == usage.totals.stored_bytes > 0


def test_a_layer_of_both_apis_is_counted_once(client: V2Client, storage: Storage) -> None:
    assert client.put_manifest("team/app", "1.0", client.image("team/app", "one")).status == 201
    keys = [stat.key for stat in storage.list("") if stat.key.endswith(("/layer", "/data"))]
    assert sum(key.startswith("images/") for key in keys) == 1

    usage, rows = usage_of(storage)

    assert rows["team/app"].own_bytes == usage.totals.stored_bytes
    assert usage.totals.stored_bytes < sum(stat.size for stat in storage.list("blobs/")) + sum(
        stat.size for stat in storage.list("images/")
    )


def test_blobs_of_an_index_and_its_images_are_reached(client: V2Client, storage: Storage) -> None:
    images = [client.image("team/app", text) for text in ("one", "two")]
    for image in images:
        assert client.put_manifest("team/app", digest_of(image), image).status == 201
    index = index_of(*images)
    media_type = json.loads(index)["mediaType"]
    assert client.put_manifest("team/app", "1.0", index, media_type).status == 201

    usage, rows = usage_of(storage)

    assert (rows["team/app"].tags, rows["team/app"].manifests) == (1, 3)
    assert usage.totals.unreachable_bytes == 0


def test_blobs_without_a_manifest_are_unreachable(client: V2Client, storage: Storage) -> None:
    client.put_blob("team/app", b"alone")

    usage, _ = usage_of(storage)

    assert (usage.totals.unreachable_bytes, usage.totals.blobs) == (5, 1)


def test_blobs_of_two_repositories_are_shared(client: V2Client, storage: Storage) -> None:
    for name in ("team/one", "team/two"):
        artifact = client.artifact(name, "report", annotations={"of": name})
        assert client.put_manifest(name, "1.0", artifact).status == 201

    usage, rows = usage_of(storage)

    assert usage.totals.shared_bytes == len(b"{}") + len(b"report")
    assert rows["team/one"].shared_bytes == usage.totals.shared_bytes


def test_a_manifest_with_unknown_references_is_counted(client: V2Client, storage: Storage) -> None:
    """The type is unknown, so its references were not checked, and need not exist."""
    data = dumped({"layers": [{"digest": "sha256:" + "0" * 64, "size": 1}]})
    assert client.put_manifest("team/app", "1.0", data, "application/vnd.example+json").status == 201

    usage, rows = usage_of(storage)

    assert rows["team/app"].own_bytes == usage.totals.stored_bytes == len(data)


def test_unfinished_pushes_and_quarantine_are_counted_apart(world: AccountsWorld, storage: Storage) -> None:
    alice = world.person("alice")
    assert alice.announce("alice/app", BASE) == 200
    assert [alice.put_json(BASE), alice.put_layer(BASE)] == [200, 200]
    storage.write("quarantine/20260101/images/x/layer", b"damaged")

    usage, _ = usage_of(storage)

    assert usage.totals.stored_bytes == 0
    assert usage.totals.unfinished_bytes >= len(BASE.layer) + len(BASE.json)
    assert usage.totals.quarantined_bytes == len(b"damaged")


def test_a_repository_in_the_folder_of_an_old_server_is_counted(tmp_path: Path) -> None:
    sample = Path(__file__).parents[1] / "data" / "docker-registry-0.9.1-data"

    usage = Housekeeping(FileStorage(sample)).usage(is_kept=False)

    by_name = {row.name: row for row in usage.repositories}
    assert {"foo/bar", "library/busybox"} <= set(by_name)
    assert by_name["library/busybox"].tags == 2
    # the unfinished image
    assert usage.totals.unreachable_bytes > 0


def test_a_report_beside_pushes_and_deletions_is_made(world: AccountsWorld) -> None:
    world.person("alice").push("alice/app", BASE, TOP)

    usage = Housekeeping(world.storage).usage(progress=Interfering(world))

    assert {"alice/app"} <= {row.name for row in usage.repositories}
    assert all(row.own_bytes >= 0 and row.shared_bytes >= 0 for row in usage.repositories)
    usage_of(world.storage)


# -- the kept report


def test_the_last_report_is_kept(world: AccountsWorld) -> None:
    world.person("alice").push("alice/app", BASE, TOP)
    housekeeping = Housekeeping(world.storage)
    assert housekeeping.last_usage() is None

    usage = housekeeping.usage()

    assert housekeeping.last_usage() == usage


def test_the_kept_report_has_the_largest_repositories() -> None:
    storage = MemoryStorage()
    usage = Housekeeping(storage).usage()
    rows = tuple(RepositoryUsage(f"a/{number}", 1, 0, 0, 0) for number in range(MOST_KEPT + 1))
    keep(storage, replace(usage, repositories=rows))

    last = Housekeeping(storage).last_usage()

    assert last is not None
    assert last.repositories == rows[:-1]


@pytest.mark.parametrize(
    "stored",
    [
        b"{",
        b"{}",
        b'{"repositories": 1, "totals": {}}',
        b'{"repositories": [{"name": 1}], "totals": {}}',
        b'{"repositories": [], "totals": {"repositories": 1}}',
        b'{"repositories": [[]], "totals": []}',
    ],
)
def test_a_damaged_report_counts_as_missing(stored: bytes) -> None:
    storage = MemoryStorage()
    storage.write("housekeeping/usage", stored)

    assert Housekeeping(storage).last_usage() is None


@pytest.mark.parametrize("key", ["name", "own_bytes", "tags"])
def test_a_report_with_a_wrong_type_counts_as_missing(key: str, world: AccountsWorld) -> None:
    world.person("alice").push("alice/app", BASE)
    Housekeeping(world.storage).usage()
    fields = json.loads(world.storage.read("housekeeping/usage")[0])
    fields["repositories"][0][key] = None
    world.storage.write("housekeeping/usage", json.dumps(fields).encode())

    assert Housekeeping(world.storage).last_usage() is None


# -- the command


def test_the_command_prints_rows_and_totals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = FileStorage(tmp_path / "store", durable=False)
    AccountsWorld(People.of(User("alice")), storage).person("alice").push("alice/app", BASE, TOP)
    url = (tmp_path / "store").as_uri()

    assert main(["usage", "--storage", url]) == 0
    header, row, summary, *_ = capsys.readouterr().out.splitlines()
    assert header.split() == ["own", "shared", "tags", "repository"]
    assert row.split()[-4:] == ["0", "B", "1", "alice/app"]
    assert summary.startswith("1 repositories, 2 images, 0 blobs: ")


def test_the_command_prints_lines_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = FileStorage(tmp_path / "store", durable=False)
    alice = AccountsWorld(People.of(User("alice")), storage).person("alice")
    alice.push("alice/one", BASE, TOP)
    alice.push("alice/two", BASE)

    url = (tmp_path / "store").as_uri()
    assert main(["usage", "--json", "--most", "1", "--no-keep", "--storage", url]) == 0

    row, total = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["kind"], row["name"]) == ("repository", "alice/one")
    assert (total["kind"], total["repositories"]) == ("total", 2)
    assert Housekeeping(storage).last_usage() is None


@pytest.mark.parametrize("option", ["--rate=0", "--rate=x", "--objects-per-second=0", "--most=-1"])
def test_an_invalid_option_of_the_command_is_rejected(option: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["usage", option, "--storage", tmp_path.as_uri()])

    assert caught.value.code == 2
