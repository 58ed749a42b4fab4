"""What ``verify`` finds: hurt tags, damage of each kind, and what it reads."""

from __future__ import annotations

import io
import json

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.engine_client import Image
from support.faulty_storage import FaultyStorage
from support.interfering import Interfering
from support.v2_client import V2Client, digest_of, index_of
from v1registry_fakes.clock import FakeClock

from v1registry import MemoryStorage, Registry, Storage
from v1registry.housekeeping.findings import HurtTag, Problem
from v1registry.housekeeping.pace import Pace
from v1registry.housekeeping.reach import Reach, Reached, StoredPlace
from v1registry.housekeeping.service import Housekeeping
from v1registry.housekeeping.verify import Finding, Verification
from v1registry.layers.tarsum import tarsum
from v1registry.rights import User

BASE = image_of("base")
TOP = image_of("top", BASE)
OTHER = image_of("other")
OTHER_BASE = Image(BASE.image_id, BASE.json, TOP.layer)  # other bytes under the same id


@pytest.fixture
def world(storage: Storage) -> AccountsWorld:
    return AccountsWorld(People.of(User("alice"), User("bob")), storage)


@pytest.fixture
def client(storage: Storage) -> V2Client:
    return V2Client(Registry(storage=storage))


def found(storage: Storage, *, reads_layers: bool = True) -> list[Finding]:
    return list(Housekeeping(storage).verify(reads_layers=reads_layers, restarts=True).findings())


def hurt(findings: list[Finding]) -> dict[str, tuple[str, ...]]:
    return {finding.tag: finding.keys for finding in findings if isinstance(finding, HurtTag)}


def problems(findings: list[Finding]) -> list[str]:
    return [finding.key for finding in findings if isinstance(finding, Problem)]


def damage(storage: Storage, key: str) -> None:
    """Change the last byte of a value. Keys that share the bytes are left alone."""
    value = storage.read(key)[0]
    storage.delete(key)
    storage.write(key, value[:-1] + bytes([value[-1] ^ 1]))


# -- hurt tags


def test_damage_of_an_ancestor_hurts_the_tags_above_it(world: AccountsWorld) -> None:
    world.person("alice").push("alice/app", BASE, TOP)
    world.person("bob").push("bob/app", BASE)
    world.person("bob").push("bob/other", OTHER)
    damage(world.storage, f"images/{BASE.image_id}/layer")

    findings = found(world.storage)

    folder = f"images/{BASE.image_id}"
    assert problems(findings) == [folder]
    assert hurt(findings) == {"alice/app:latest": (folder,), "bob/app:latest": (folder,)}


def test_damage_of_one_content_hurts_only_its_holder(world: AccountsWorld) -> None:
    world.person("alice").push("alice/app", BASE)
    world.person("bob").push("bob/app", OTHER_BASE)
    variant = f"images/{BASE.image_id}/_contents/{OTHER_BASE.payload_checksum.partition(':')[2]}"
    damage(world.storage, f"{variant}/layer")

    assert hurt(found(world.storage)) == {"bob/app:latest": (variant,)}


def test_a_missing_ancestor_hurts_the_tag(world: AccountsWorld) -> None:
    world.person("alice").push("alice/app", BASE, TOP)
    world.storage.delete_tree(f"images/{BASE.image_id}")

    assert hurt(found(world.storage, reads_layers=False)) == {
        "alice/app:latest": (f"images/{BASE.image_id}",)
    }


def test_damage_of_a_blob_hurts_the_tags_of_its_manifests(client: V2Client, storage: Storage) -> None:
    images = [client.image("team/app", text) for text in ("one", "two")]
    for image in images:
        assert client.put_manifest("team/app", digest_of(image), image).status == 201
    index = index_of(*images)
    assert client.put_manifest("team/app", "all", index, json.loads(index)["mediaType"]).status == 201
    for tag, image in zip(("one", "two"), images, strict=True):
        assert client.put_manifest("team/app", tag, image).status == 201
    config = json.loads(images[1])["config"]["digest"].partition(":")[2]
    key = f"blobs/sha256/{config[:2]}/{config}/data"
    damage(storage, key)

    findings = found(storage)

    assert problems(findings) == [key]
    assert hurt(findings) == {"team/app:all": (key,), "team/app:two": (key,)}


def test_a_missing_manifest_of_an_index_hurts_its_tag(client: V2Client, storage: Storage) -> None:
    image = client.image("team/app", "one")
    assert client.put_manifest("team/app", digest_of(image), image).status == 201
    index = index_of(image)
    assert client.put_manifest("team/app", "all", index, json.loads(index)["mediaType"]).status == 201
    sha256 = digest_of(image).partition(":")[2]
    key = f"blobs/sha256/{sha256[:2]}/{sha256}/data"
    storage.delete(key)

    assert hurt(found(storage, reads_layers=False)) == {"team/app:all": (key,)}


def test_whole_tags_of_both_apis_are_not_hurt(
    world: AccountsWorld, client: V2Client, storage: Storage
) -> None:
    world.person("alice").push("alice/app", BASE, TOP)
    assert client.put_manifest("team/app", "1.0", client.artifact("team/app", "report")).status == 201
    assert client.get_manifest("alice/app", "latest").status == 200  # converted

    assert found(storage) == []


def test_pushes_beside_a_run_are_no_damage(world: AccountsWorld) -> None:
    world.person("alice").push("alice/app", BASE, TOP)
    interfering = Interfering(world)

    findings = list(Housekeeping(world.storage).verify(progress=interfering).findings())

    assert findings == []
    assert interfering.pushes > 10


def test_an_image_that_is_removed_beside_a_run_is_no_damage(world: AccountsWorld) -> None:
    """Its JSON goes first, so for a moment it looks damaged."""
    faulty = FaultyStorage(world.storage)
    world.person("alice").push("alice/app", BASE)
    folder = f"images/{BASE.image_id}"
    assert world.person("alice").delete("alice/app").status_int == 200
    world.storage.delete(f"{folder}/json")
    faulty.after(lambda: world.storage.delete_tree(folder), "list_folders", key=f"{folder}/_contents")

    assert list(Housekeeping(faulty).verify(reads_layers=False).findings()) == []


def test_what_a_killed_collection_left_is_no_damage(world: AccountsWorld) -> None:
    alice, storage = world.person("alice"), FaultyStorage(world.storage)
    alice.push("alice/app", BASE)
    assert alice.delete("alice/app").status_int == 200
    storage.fail("delete", key=f"images/{BASE.image_id}/layer", error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        Housekeeping(storage).collect_garbage(grace_s=0)
    left = {stat.key.rpartition("/")[2] for stat in world.storage.list(f"images/{BASE.image_id}/")}
    assert "layer" in left
    assert "json" not in left

    assert found(world.storage) == []


def test_a_tag_that_is_deleted_beside_a_run_is_not_hurt(
    world: AccountsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.person("alice").push("alice/app", BASE)
    world.storage.delete_tree(f"images/{BASE.image_id}")
    look, looks = Reach.tag, list[str]()

    def look_after_deletion(reach: Reach, place: StoredPlace, tag: str) -> Reached | None:
        looks.append(tag)
        if len(looks) == 2:
            world.storage.delete("repositories/alice/app/tag_latest")
        return look(reach, place, tag)

    monkeypatch.setattr(Reach, "tag", look_after_deletion)

    assert hurt(found(world.storage, reads_layers=False)) == {}
    assert looks == ["latest", "latest"]


# -- damage


def test_a_digest_of_sha512_that_leads_to_other_bytes_is_found_by_each_run() -> None:
    clock = FakeClock()
    storage = MemoryStorage(clock=clock)
    client = V2Client(Registry(storage=storage, clock=clock))
    client.put_blob("team/app", b"long", "sha512")
    other = client.put_blob("team/app", b"other")
    (pointer,) = [stat.key for stat in storage.list("blobs/sha512/")]
    for days in range(3):
        clock.advance(days=1)
        findings = list(Housekeeping(storage, clock=clock).verify(older_than_s=30 * 86400).findings())
        assert problems(findings) == [pointer] * (days > 0)
        if not days:
            # after the blob was read
            storage.write(pointer, other.partition(":")[2].encode())


def test_a_digest_of_sha512_that_leads_to_other_bytes_is_found(client: V2Client, storage: Storage) -> None:
    client.put_blob("team/app", b"long", "sha512")
    assert found(storage) == []
    (pointer,) = [stat.key for stat in storage.list("blobs/sha512/")]
    other = client.put_blob("team/app", b"other").partition(":")[2]
    storage.write(pointer, other.encode())

    assert problems(found(storage)) == [pointer]
    assert problems(found(storage, reads_layers=False)) == []


def test_an_image_with_a_tarsum_alone_is_compared(storage: Storage) -> None:
    """docker-registry 0.6 stored what docker before 0.10 sent."""
    announced = tarsum(io.BytesIO(OTHER.layer), prefix=OTHER.json)
    folder = f"images/{OTHER.image_id}"
    for name, value in (("json", OTHER.json), ("layer", OTHER.layer), ("_checksum", announced.encode())):
        storage.write(f"{folder}/{name}", value)
    assert found(storage) == []

    other = image_of("another").layer
    storage.write(f"{folder}/layer", other)
    assert problems(found(storage)) == [folder]

    storage.write(f"{folder}/layer", b"no archive")
    assert problems(found(storage)) == [folder]


def test_a_layer_that_cannot_be_read_is_reported(world: AccountsWorld) -> None:
    faulty = FaultyStorage(world.storage)
    world.person("alice").push("alice/app", BASE, TOP)
    faulty.fail("open", key=f"images/{BASE.image_id}/layer")

    findings = list(Housekeeping(faulty).verify(quarantines=True).findings())

    problem = Problem(f"images/{BASE.image_id}/layer", "the layer cannot be read: the disk is gone")
    assert problem in findings
    assert "alice/app:latest" in hurt(findings)
    assert world.person("alice").image(BASE) == 200  # nothing was moved


def test_a_layer_that_is_written_again_while_it_is_read_is_no_damage(world: AccountsWorld) -> None:
    faulty, key = FaultyStorage(world.storage), f"images/{BASE.image_id}/layer"
    world.person("alice").push("alice/app", BASE)
    damage(world.storage, key)
    faulty.after(lambda: world.storage.write(key, BASE.layer), "open", key=key)

    assert list(Housekeeping(faulty).verify(quarantines=True).findings()) == []
    assert world.storage.read(key)[0] == BASE.layer


# -- what is read


def run(storage: Storage, **options: object) -> Verification:
    """Verify, and return the run."""
    verification = Housekeeping(storage).verify(**options)  # type: ignore[arg-type]
    list(verification.findings())
    return verification


def test_bytes_that_two_apis_share_are_read_once(client: V2Client, storage: Storage) -> None:
    assert client.put_manifest("team/app", "1.0", client.image("team/app", "one")).status == 201
    shared = {stat.etag: stat.size for stat in storage.list("blobs/sha256/") if stat.key.endswith("/data")}

    assert run(storage).read_bytes == sum(shared.values())


def test_a_damaged_layer_of_two_apis_is_found_at_both(client: V2Client, storage: Storage) -> None:
    image = client.image("team/app", "one")
    assert client.put_manifest("team/app", "1.0", image).status == 201
    sha256 = json.loads(image)["layers"][0]["digest"].partition(":")[2]
    blob = f"blobs/sha256/{sha256[:2]}/{sha256}/data"
    (layer,) = [stat.key for stat in storage.list("images/") if stat.key.endswith("/layer")]
    damage(storage, blob)
    storage.delete(layer)
    storage.link(blob, layer)

    findings = found(storage)

    assert set(problems(findings)) == {blob, layer.removesuffix("/layer")}
    assert set(hurt(findings)["team/app:1.0"]) == {blob, layer.removesuffix("/layer")}


def test_nothing_is_read_without_layers(world: AccountsWorld) -> None:
    world.person("alice").push("alice/app", BASE, TOP)
    before = {stat.key for stat in world.storage.list("")}

    assert run(world.storage, reads_layers=False).read_bytes == 0
    assert {stat.key for stat in world.storage.list("")} == before


def test_what_was_read_lately_is_left_out() -> None:
    clock = FakeClock()
    world = AccountsWorld(People.of(User("alice")), MemoryStorage(clock=clock))
    world.person("alice").push("alice/app", BASE, TOP)
    clock.advance(days=1)
    housekeeping = Housekeeping(world.storage, clock=clock)
    assert len(list(housekeeping.verify().findings())) == 0
    clock.advance(days=1)
    world.person("alice").push("alice/other", OTHER)

    second = housekeeping.verify(older_than_s=7 * 86400)
    assert list(second.findings()) == []
    assert (second.read_bytes, second.skipped) == (len(OTHER.layer), 2)

    clock.advance(days=6.5)
    third = housekeeping.verify(older_than_s=7 * 86400)
    list(third.findings())
    assert (third.read_bytes, third.skipped) == (len(BASE.layer) + len(TOP.layer), 1)


def test_a_run_that_ends_early_goes_on_later(world: AccountsWorld) -> None:
    images = sorted((image_of(f"image{number}") for number in range(10)), key=lambda image: image.image_id)
    for image in images:
        world.person("alice").push(f"alice/{image.image_id[:8]}", image)
    pauses = list[float]()

    def end_at_the_fourth(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(world.storage, pace=Pace(bytes_per_s=1, sleep=end_at_the_fourth))

    second = run(world.storage)

    assert second.skipped == 3
    assert second.read_bytes == sum(len(image.layer) for image in images[3:])
    assert run(world.storage).skipped == 0


def test_the_pace_of_a_run_counts_bytes(world: AccountsWorld) -> None:
    world.person("alice").push("alice/app", BASE, TOP)
    clock, slept_s = FakeClock(), list[float]()
    clock.freeze()

    run(world.storage, pace=Pace(bytes_per_s=1000, clock=clock, sleep=slept_s.append))

    assert max(slept_s) == pytest.approx((len(BASE.layer) + len(TOP.layer)) / 1000, abs=0.2)
